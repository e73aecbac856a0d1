//! Floating-point operations of the steps, a multiplication and an addition counted as two. Only matrix products are counted.

use crate::model::{Dims, HeadShape};

/// Pre-training of a grid of backbone pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Pairs of an epoch.
    pub pairs: u64,
    /// Epochs.
    pub epochs: u64,
    /// Adaptors.
    pub adaptors: u64,
}

/// The paper's: 277,110 pairs, 50 epochs (section 3.1), 3 image x 5 text encoders (Table 1).
pub const GRID: Grid = Grid { pairs: 277_110, epochs: 50, adaptors: 15 };

impl Grid {
    /// How long it takes at so many pairs a second, of all Adaptors together; validation not counted.
    pub fn seconds(self, pairs_a_second: f64) -> f64 {
        (self.pairs * self.epochs * self.adaptors) as f64 / pairs_a_second
    }
}

/// Forward and backward of one pair in a batch of `batch`, without queries and keys, which do not matter to the result.
///
/// Weights of `w` elements cost `2 w` a row forward, `2 w` for their own gradient and `2 w` for their input's; projections have
/// no input gradient. A pair is two rows.
pub fn adaptor_flops(shape: impl Into<Dims>, batch: usize) -> f64 {
    let Dims { image_width, text_width, width, hidden, layers, .. } = shape.into();
    let projections = 4 * width * (image_width + text_width);
    let layers = 2 * 6 * layers * (2 * width * width + 2 * width * hidden);
    let logits = 6 * batch * width;
    (projections + layers + logits) as f64
}

/// Forward and backward of one sample; the hidden layer has no input gradient.
pub fn head_flops(shape: HeadShape) -> f64 {
    let HeadShape { width, hidden, classes } = shape;
    (4 * width * hidden + 6 * hidden * classes) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AdaptorShape;

    /// By hand: 2 rows x 2 layers x 3 x 2 x (2 x 768^2 + 2 x 768 x 2048), two projections of 768^2 at 4, logits at 6 x 1024 x 768.
    #[test]
    fn a_pair_takes_113_million() {
        let flops = adaptor_flops(AdaptorShape { image_width: 768, text_width: 768 }, 1024);
        assert_eq!(flops, 103_809_024.0 + 4_718_592.0 + 4_718_592.0);
        assert_eq!(head_flops(HeadShape { width: 768, hidden: 512, classes: 3 }), 1_572_864.0 + 9_216.0);
    }

    #[test]
    fn the_grid_takes_as_long_as_its_pairs() {
        assert_eq!(GRID.seconds(207_832_500.0), 1.0);
    }
}
