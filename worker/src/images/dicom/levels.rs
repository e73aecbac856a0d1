//! From stored values to 8 bits.

use super::header::Layout;

/// Levels of `cells` by the range of their values: from 0, or the lowest where it is negative, to the highest.
///
/// MGCA has `convertScaleAbs(x, alpha=255 / x.max())` here, which would take the absolute values of negative ones.
pub(super) fn levels(cells: &[u16], layout: &Layout) -> Vec<u8> {
    let low = layout.high + 1 - layout.stored;
    let mask = u16::MAX >> (16 - layout.stored);
    let raw = |cell: u16| cell >> low & mask;
    let value = |raw: u16| {
        let negative = layout.signed && raw >> (layout.stored - 1) == 1;
        i32::from(raw) - if negative { 1 << layout.stored } else { 0 }
    };
    let lowest = cells.iter().map(|cell| value(raw(*cell))).min().unwrap_or(0).min(0);
    let highest = cells.iter().map(|cell| value(raw(*cell))).max().unwrap_or(0);
    let range = i64::from(highest) - i64::from(lowest);
    // One level for every value that there can be.
    let table: Vec<u8> = (0..=mask)
        .map(|raw| {
            let level = scale(i64::from(value(raw)) - i64::from(lowest), range);
            if layout.inverted { u8::MAX - level } else { level }
        })
        .collect();
    cells.iter().map(|cell| table[usize::from(raw(*cell))]).collect()
}

/// 255 `value` / `range`, a half to even; 0 when all values are the same and none is above 0.
fn scale(value: i64, range: i64) -> u8 {
    if range <= 0 {
        return 0;
    }
    let (level, rest) = (255 * value / range, 2 * (255 * value % range));
    // Values that no cell has may lie outside of the range.
    (level + i64::from(rest > range || (rest == range && level % 2 == 1))).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(stored: u16, high: u16, signed: bool, inverted: bool) -> Layout {
        Layout { rows: 1, columns: 3, allocated: 16, stored, high, signed, inverted }
    }

    #[test]
    fn the_highest_value_is_white() {
        assert_eq!(levels(&[100, 200, 400], &layout(12, 11, false, false)), [64, 128, 255]);
        assert_eq!(levels(&[100, 200, 400], &layout(12, 11, false, true)), [191, 127, 0]);
    }

    #[test]
    fn negative_values_begin_at_the_lowest() {
        // -2048, 0 and 2047 of 12 bits; the bits above are not part of the value.
        assert_eq!(levels(&[0xF800, 0x7000, 0x07FF], &layout(12, 11, true, false)), [0, 128, 255]);
        assert_eq!(levels(&[0x8000, 0xFFFF, 0xC000], &layout(16, 15, true, false)), [0, 255, 128]);
    }

    #[test]
    fn values_may_be_stored_in_the_upper_bits() {
        assert_eq!(levels(&[0x000F, 0x0800, 0xFFF0], &layout(12, 15, false, false)), [0, 8, 255]);
    }

    #[test]
    fn an_image_without_range_is_black_before_inversion() {
        assert_eq!(levels(&[0, 0, 0], &layout(12, 11, false, false)), [0, 0, 0]);
        assert_eq!(levels(&[7, 7, 7], &layout(12, 11, false, false)), [255, 255, 255]);
    }
}
