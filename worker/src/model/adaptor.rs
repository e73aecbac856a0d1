//! Forward and backward of the Adaptor with its loss.

use super::{Dims, Dropout};

/// Buffers for the steps of one Adaptor.
#[derive(Debug)]
pub struct AdaptorStep {
    dims: Dims,
    max_batch: usize,
}

impl AdaptorStep {
    /// Buffers for batches of at most `max_batch` pairs.
    pub fn new(shape: impl Into<Dims>, max_batch: usize) -> Self {
        Self { dims: shape.into(), max_batch }
    }

    /// One training step without the update: the loss, and its gradient in `g` (overwritten).
    ///
    /// `images` is [batch, image_width], `texts` [batch, text_width], row `i` of both a pair. `i2t_weight` is alpha in
    /// the paper's Eq. 4. The loss is not finite when an input or a parameter is not.
    ///
    /// # Panics
    /// When a slice has another length than the shape's, or `batch` is 0 or above the maximum.
    #[expect(clippy::too_many_arguments, reason = "buffers stay the caller's")]
    pub fn forward_backward(
        &mut self,
        _p: &[f32],
        _g: &mut [f32],
        _images: &[f32],
        _texts: &[f32],
        batch: usize,
        _dropout: Option<Dropout>,
        _i2t_weight: f64,
        _threads: usize,
    ) -> f32 {
        assert!(batch <= self.max_batch && self.dims.layers > 0);
        panic!("not written yet")
    }

    /// The loss of one batch in evaluation mode.
    ///
    /// # Panics
    /// As [`Self::forward_backward`].
    pub fn loss(
        &mut self,
        _p: &[f32],
        _images: &[f32],
        _texts: &[f32],
        _batch: usize,
        _i2t_weight: f64,
        _threads: usize,
    ) -> f32 {
        panic!("not written yet")
    }

    /// Image features in evaluation mode: `x` is [batch, image_width], `out` [batch, width], its rows of length 1.
    /// Any batch size.
    ///
    /// # Panics
    /// When a slice has another length than the shape's.
    pub fn image_features(&mut self, _p: &[f32], _x: &[f32], _batch: usize, _out: &mut [f32], _threads: usize) {
        panic!("not written yet")
    }

    /// Text features in evaluation mode: `x` is [batch, text_width], `out` [batch, width], its rows of length 1.
    /// Any batch size.
    ///
    /// # Panics
    /// When a slice has another length than the shape's.
    pub fn text_features(&mut self, _p: &[f32], _x: &[f32], _batch: usize, _out: &mut [f32], _threads: usize) {
        panic!("not written yet")
    }
}
