//! Binary masks of chest radiographs of 1024 x 1024 pixels.

/// Width and height in pixels of the images of RSNA and SIIM-ACR.
pub const SIDE: usize = 1024;

/// A binary mask, [`SIDE`] x [`SIDE`].
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    pixels: Vec<u8>,
}

impl Mask {
    /// No pixel set.
    pub fn empty() -> Self {
        Self { pixels: vec![0; SIDE * SIDE] }
    }

    /// Row-major [[`SIDE`], [`SIDE`]], 1 where set and else 0.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Whether the pixel in column `x` and row `y`, counted from the upper left, is set.
    ///
    /// # Panics
    /// When it is outside the image.
    pub fn is_set(&self, x: usize, y: usize) -> bool {
        assert!(x < SIDE && y < SIDE, "({x}, {y}) is outside the image");
        self.pixels[y * SIDE + x] != 0
    }

    /// Number of pixels set.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|&&pixel| pixel != 0).count()
    }

    /// Sets columns `x..x + width` of rows `y..y + height`.
    ///
    /// # Panics
    /// When they reach out of the image.
    pub fn fill(&mut self, x: usize, y: usize, width: usize, height: usize) {
        assert!(x + width <= SIDE && y + height <= SIDE, "the box reaches out of the image");
        for row in self.pixels.chunks_exact_mut(SIDE).skip(y).take(height) {
            row[x..x + width].fill(1);
        }
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Mask({} pixels set)", self.area())
    }
}
