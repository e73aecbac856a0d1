//! A grey image, and its geometry.

use super::resize::resize;
use crate::error::{Error, Result};

/// Largest width and height of a [`Grey`], in pixels.
pub const MAX_SIDE: usize = 65_535;

/// A grey image of 8 bits; 0 is black.
#[derive(Clone, PartialEq, Eq)]
pub struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Grey {
    /// An image of `width` x `height` pixels, row by row from the top.
    ///
    /// # Errors
    /// [`Error::Input`] when a side is 0 or more than [`MAX_SIDE`], or `pixels` has another length.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        check_size(width, height)?;
        if pixels.len() != width * height {
            return Err(Error::input(format!("{} values for {width} x {height} pixels", pixels.len())));
        }
        Ok(Self { width, height, pixels })
    }

    /// Pixels in a row.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// `[height, width]`, row by row from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// [`Grey::pixels`], kept.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Resized to `width` x `height` as OpenCV's `INTER_AREA` does it.
    ///
    /// When neither side grows, a pixel is the average of the area it covers, with exact fractional weights. Else OpenCV
    /// interpolates linearly between neighbours that it finds by area, in both directions, and so does this. Within one
    /// level of OpenCV, and equal to it where both sides shrink by whole factors.
    ///
    /// # Errors
    /// [`Error::Input`] when a side is 0 or more than [`MAX_SIDE`].
    pub fn resized(&self, width: usize, height: usize) -> Result<Self> {
        check_size(width, height)?;
        Ok(Self { width, height, pixels: resize(self, width, height) })
    }

    /// Resized by [`Grey::resized`] so that the longest side has `size` pixels.
    ///
    /// The other side keeps the aspect and is rounded down, as in MGCA's `resize_img`, but never to 0, where that fails.
    ///
    /// # Errors
    /// [`Error::Input`] when `size` is 0 or more than [`MAX_SIDE`].
    pub fn resized_longest(&self, size: usize) -> Result<Self> {
        // MGCA's order of operations: a square may lose a column to rounding, and a padded column takes its place.
        let shorter = |long: usize, short: usize| ((short as f64 * (size as f64 / long as f64)) as usize).max(1);
        if self.height >= self.width {
            self.resized(shorter(self.height, self.width), size)
        } else {
            self.resized(size, shorter(self.width, self.height))
        }
    }

    /// Padded with black to a square of the longest side, as in MGCA's `resize_img`: half of it on either side, an odd line
    /// to the right or to the bottom.
    pub fn padded_square(&self) -> Self {
        let side = self.width.max(self.height);
        let (left, top) = ((side - self.width) / 2, (side - self.height) / 2);
        let mut pixels = vec![0; side * side];
        for (to, from) in pixels.chunks_exact_mut(side).skip(top).zip(self.rows()) {
            to[left..left + self.width].copy_from_slice(from);
        }
        Self { width: side, height: side, pixels }
    }

    /// The `size` x `size` pixels in the middle. Half a pixel is rounded to even, as in torchvision's `CenterCrop`.
    ///
    /// # Errors
    /// [`Error::Input`] when `size` is 0 or larger than the image.
    pub fn centre_crop(&self, size: usize) -> Result<Self> {
        if size == 0 || size > self.width || size > self.height {
            let (width, height) = (self.width, self.height);
            return Err(Error::input(format!("cannot crop {width} x {height} pixels to {size} x {size}")));
        }
        let start = |side: usize| {
            let margin = side - size;
            margin / 2 + usize::from(margin % 4 == 3)
        };
        let (left, top) = (start(self.width), start(self.height));
        let rows = self.rows().skip(top).take(size);
        let pixels = rows.flat_map(|row| &row[left..left + size]).copied().collect();
        Ok(Self { width: size, height: size, pixels })
    }

    /// Its rows, from the top.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.width)
    }
}

impl std::fmt::Debug for Grey {
    /// The size alone: pixels would fill the screen.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grey {{ {} x {} }}", self.width, self.height)
    }
}

/// Refuses sides that no [`Grey`] has.
fn check_size(width: usize, height: usize) -> Result<()> {
    let sides = 1..=MAX_SIDE;
    if sides.contains(&width) && sides.contains(&height) {
        return Ok(());
    }
    Err(Error::input(format!("an image of {width} x {height} pixels; sides are 1 to {MAX_SIDE}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize) -> Grey {
        Grey::new(width, height, (1..=width * height).map(|value| value as u8).collect()).unwrap()
    }

    #[test]
    fn padding_is_black_and_its_odd_line_is_last() {
        assert_eq!(image(1, 4).padded_square().pixels(), [0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0]);
        assert_eq!(image(3, 2).padded_square().pixels(), [1, 2, 3, 4, 5, 6, 0, 0, 0]);
        assert_eq!(image(2, 2).padded_square(), image(2, 2));
    }

    #[test]
    fn the_crop_is_central() {
        assert_eq!(image(4, 4).centre_crop(2).unwrap().pixels(), [6, 7, 10, 11]);
        // A margin of 3 is 1.5 a side, which goes to 2; one of 1 goes to 0.
        assert_eq!(image(5, 3).centre_crop(2).unwrap().pixels(), [3, 4, 8, 9]);
        assert!(image(5, 3).centre_crop(4).is_err());
        assert!(image(5, 3).centre_crop(0).is_err());
    }

    #[test]
    fn the_shorter_side_is_rounded_down_but_not_to_nothing() {
        let size = |width, height, size| {
            let resized = image(width, height).resized_longest(size).unwrap();
            (resized.width(), resized.height())
        };
        assert_eq!(size(30, 20, 10), (10, 6));
        assert_eq!(size(20, 30, 10), (6, 10));
        assert_eq!(size(1, 200, 64), (1, 64));
        assert_eq!(size(8, 8, 16), (16, 16));
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(Grey::new(0, 1, vec![]).is_err());
        assert!(Grey::new(2, 2, vec![0; 3]).is_err());
        assert!(Grey::new(MAX_SIDE + 1, 1, vec![0; MAX_SIDE + 1]).is_err());
        assert!(image(2, 2).resized(0, 2).is_err());
        assert!(image(2, 2).resized_longest(MAX_SIDE + 1).is_err());
    }
}
