//! Dropout masks.
//!
//! Masks are a function of (seed, step, site, row, column). Site `s` of layer `l` draws from stream
//! `(4 l + s) * 2 + modality`, element (row, column) from position `row * columns + column`; images are modality 0, texts 1.
//! Sites: 0 attention probabilities (one column a head), 1 first residual, 2 feed-forward block, 3 second residual.

use pulp::{Simd, WithSimd};

use super::blocks;
use crate::random::{Key, Purpose};

/// Dropout in one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of an element being dropped, in [0, 1).
    pub p: f64,
    /// The trial's seed.
    pub seed: u64,
    /// Number of the step; each has its own masks.
    pub step: u64,
}

impl Dropout {
    /// Factor on what is kept.
    pub(super) fn scale(dropout: Option<Self>) -> f32 {
        dropout.map_or(1.0, |dropout| (1.0 / (1.0 - dropout.p)) as f32)
    }

    /// Writes a mask of 0 (dropped) and 1 for rows of `columns` elements. Without dropout all is kept.
    pub(super) fn fill(dropout: Option<Self>, stream: u32, columns: usize, mask: &mut [u8], threads: usize) {
        let Some(Self { p, seed, step }) = dropout.filter(|dropout| dropout.p > 0.0) else {
            mask.fill(1);
            return;
        };
        assert!(p < 1.0, "a dropout probability of {p} drops everything");
        let key = Key::new(seed, Purpose::Dropout, step).stream(stream);
        let dropped = (p * 4_294_967_296.0).round() as u32;
        let part = blocks::ROWS * columns;
        let kernels = mask.chunks_mut(part).enumerate().map(|(i, mask)| Fill { key, start: i * part, mask, dropped });
        blocks::run(threads, kernels);
    }
}

struct Fill<'a> {
    key: Key,
    start: usize,
    mask: &'a mut [u8],
    dropped: u32,
}

impl WithSimd for Fill<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {
        self.key.fill_mask(self.start, self.mask, self.dropped);
    }
}
