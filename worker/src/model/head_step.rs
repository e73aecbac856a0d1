//! Forward and backward of the classification head.

use super::{Dropout, HeadShape, RunningStats};

/// What a head is trained on.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// One of 0 and 1 for each sample: binary cross entropy with logits. The head has one output.
    Binary(&'a [f32]),
    /// The class of each sample: cross entropy.
    Classes(&'a [u32]),
}

/// Buffers for the steps of one head. Runs on the calling thread.
#[derive(Debug)]
pub struct HeadStep {
    shape: HeadShape,
    max_batch: usize,
}

impl HeadStep {
    /// Buffers for batches of at most `max_batch` samples.
    pub fn new(shape: HeadShape, max_batch: usize) -> Self {
        Self { shape, max_batch }
    }

    /// One training step without the update: the mean loss over the batch, its gradient in `g` (overwritten), and the
    /// running statistics moved by 0.1 towards the batch's. `x` is [batch, width].
    ///
    /// # Panics
    /// When a slice has another length than the shape's, the batch is below 2 (BatchNorm needs a variance) or above
    /// the maximum, or a class is out of range.
    #[expect(clippy::too_many_arguments, reason = "buffers stay the caller's")]
    pub fn forward_backward(
        &mut self,
        _p: &[f32],
        _g: &mut [f32],
        _stats: &mut RunningStats,
        _x: &[f32],
        _targets: Targets<'_>,
        batch: usize,
        _dropout: Option<Dropout>,
    ) -> f32 {
        assert!(batch <= self.max_batch && self.shape.width > 0);
        panic!("not written yet")
    }

    /// Outputs in evaluation mode: `x` is [batch, width], `out` [batch, classes]. Any batch size.
    ///
    /// # Panics
    /// When a slice has another length than the shape's.
    pub fn logits(&mut self, _p: &[f32], _stats: &RunningStats, _x: &[f32], _batch: usize, _out: &mut [f32]) {
        panic!("not written yet")
    }
}
