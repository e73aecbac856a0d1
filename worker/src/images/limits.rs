//! How large an image may be.

use super::{Fault, MAX_SIDE};

/// How large an image may be. What is larger is refused before it is decoded, so that no file asks for more memory.
///
/// A read holds at most three times the file, 16 bytes a pixel, and 8 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: u64,
    /// Largest width and height, in pixels; never more than [`MAX_SIDE`] in effect.
    pub side: usize,
    /// Largest width times height.
    pub pixels: usize,
}

impl Default for Limits {
    /// Several times the largest radiographs: files of 256 MiB, sides of 16,384, 64 Mi pixels.
    fn default() -> Self {
        Self { file_bytes: 256 << 20, side: 16_384, pixels: 64 << 20 }
    }
}

impl Limits {
    /// Refuses an image of `width` x `height` pixels that is too large, or has no pixels.
    pub(super) fn check(&self, format: &'static str, width: usize, height: usize) -> Result<(), Fault> {
        let side = self.side.min(MAX_SIDE);
        if width == 0 || height == 0 {
            return Err(Fault::Damaged { format, what: format!("{width} x {height} pixels") });
        }
        if width > side || height > side {
            return Err(Fault::TooLarge { what: format!("{width} x {height} pixels, a side may have {side}") });
        }
        if width * height > self.pixels {
            return Err(Fault::TooLarge {
                what: format!("{width} x {height} pixels, the limit is {} in all", self.pixels),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive() {
        let limits = Limits { file_bytes: 1, side: 10, pixels: 50 };
        assert_eq!(limits.check("PNG", 10, 5), Ok(()));
        assert!(matches!(limits.check("PNG", 10, 6), Err(Fault::TooLarge { .. })));
        assert!(matches!(limits.check("PNG", 11, 1), Err(Fault::TooLarge { .. })));
        assert!(matches!(limits.check("PNG", 0, 5), Err(Fault::Damaged { .. })));
    }

    #[test]
    fn sides_beyond_the_largest_are_refused_whatever_the_limits() {
        let limits = Limits { file_bytes: 1, side: usize::MAX, pixels: usize::MAX };
        assert!(matches!(limits.check("PNG", MAX_SIDE + 1, 1), Err(Fault::TooLarge { .. })));
    }
}
