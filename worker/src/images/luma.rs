//! Colours to grey, as libpng and libjpeg weigh them for OpenCV: red 0.299, green 0.587, blue 0.114.

/// The weights that libpng works with, in 1/32768.
const PNG: [u32; 3] = [9_797, 19_234, 3_737];
/// The weights that libjpeg works with, in 1/65536.
const JPEG: [u32; 3] = [19_595, 38_470, 7_471];

/// Grey of 8-bit red, green and blue in a PNG. libpng truncates here.
pub(super) fn of_png_8(rgb: [u8; 3]) -> u8 {
    (weighted(PNG, rgb.map(u32::from)) >> 15) as u8
}

/// Upper 8 bits of the grey of 16-bit red, green and blue in a PNG. libpng rounds here, and OpenCV drops the lower 8.
pub(super) fn of_png_16(rgb: [u16; 3]) -> u8 {
    ((weighted(PNG, rgb.map(u32::from)) + (1 << 14)) >> 15 >> 8) as u8
}

/// Grey of red, green and blue in a JPEG that stores these. libjpeg rounds.
pub(super) fn of_jpeg(rgb: [u8; 3]) -> u8 {
    ((weighted(JPEG, rgb.map(u32::from)) + (1 << 15)) >> 16) as u8
}

fn weighted(weights: [u32; 3], rgb: [u32; 3]) -> u32 {
    weights.iter().zip(rgb).map(|(weight, value)| weight * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_stays_as_it_is() {
        for level in 0..=u8::MAX {
            assert_eq!(of_png_8([level; 3]), level);
            assert_eq!(of_jpeg([level; 3]), level);
            assert_eq!(of_png_16([u16::from(level) * 257; 3]), level);
        }
    }
}
