//! Colours to grey, as libpng weighs them for OpenCV.

/// Weights of red, green and blue, in 1/32768.
const WEIGHTS: [u32; 3] = [9_797, 19_234, 3_737];
const HALF: u32 = 1 << 14;

/// Grey of 8-bit red, green and blue. libpng truncates here.
pub(super) fn of_8_bits(rgb: [u8; 3]) -> u8 {
    (weighted(rgb.map(u32::from)) >> 15) as u8
}

/// The upper 8 bits of the grey of 16-bit red, green and blue. libpng rounds here, and OpenCV drops the lower 8 bits.
pub(super) fn of_16_bits(rgb: [u16; 3]) -> u8 {
    ((weighted(rgb.map(u32::from)) + HALF) >> 15 >> 8) as u8
}

fn weighted(rgb: [u32; 3]) -> u32 {
    WEIGHTS.iter().zip(rgb).map(|(weight, value)| weight * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_as_it_is() {
        for level in 0..=u8::MAX {
            assert_eq!(of_8_bits([level; 3]), level);
            assert_eq!(of_16_bits([u16::from(level) * 257; 3]), level);
        }
    }
}
