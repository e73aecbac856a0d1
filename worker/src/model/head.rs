//! The classification head: Dropout, Linear without bias, BatchNorm, ReLU, Dropout, Linear (paper, section 2.3).

use std::ops::Range;

use super::{
    init,
    shape::{Slot, Slots},
    weights::{self, WeightsError},
};

/// Sizes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeadShape {
    /// Width of a feature.
    pub width: usize,
    /// Width of the hidden layer; 512 in the paper.
    pub hidden: usize,
    /// Outputs: 1 for a binary label, else the number of classes.
    pub classes: usize,
}

/// BatchNorm's running statistics. They are part of a trained head, and of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStats {
    /// Running mean of each hidden unit.
    pub mean: Vec<f32>,
    /// Running unbiased variance of each hidden unit.
    pub variance: Vec<f32>,
    /// Batches seen.
    pub batches: u64,
}

impl RunningStats {
    /// Those of an untrained head with `hidden` units: mean 0, variance 1.
    pub fn new(hidden: usize) -> Self {
        Self { mean: vec![0.0; hidden], variance: vec![1.0; hidden], batches: 0 }
    }
}

const BATCHES: &str = "norm.num_batches_tracked";

impl HeadShape {
    /// Number of parameters, running statistics not counted.
    pub const fn parameters(self) -> usize {
        let Self { width, hidden, classes } = self;
        hidden * width + 2 * hidden + classes * hidden + classes
    }

    /// Every tensor, in the order of the flat buffer.
    pub fn layout(self) -> Vec<Slot> {
        HeadPlaces::new(self).slots
    }

    /// Initial weights, with the distributions of PyTorch's `nn.Linear` and `nn.BatchNorm1d`.
    pub fn init(self, seed: u64) -> Vec<f32> {
        let places = HeadPlaces::new(self);
        let mut p = vec![0.0; self.parameters()];
        for (index, slot) in places.slots.iter().enumerate() {
            let values = &mut p[slot.range.clone()];
            match slot.name.as_str() {
                "norm.weight" => values.fill(1.0),
                "norm.bias" => {}
                _ => init::linear(&places.slots, index, values, seed),
            }
        }
        p
    }

    /// A safetensors file that PyTorch loads with `load_state_dict` into a module with children `hidden`, `norm` and
    /// `output`. Equal parameters give equal bytes.
    ///
    /// # Panics
    /// When `p` or `stats` have other lengths than this shape's.
    pub fn to_safetensors(self, p: &[f32], stats: &RunningStats) -> Vec<u8> {
        assert_eq!(p.len(), self.parameters(), "parameters have another length");
        let values = [p, &stats.mean, &stats.variance].concat();
        weights::write(&self.file_layout(), &values, &[(BATCHES, stats.batches)])
    }

    /// Reads what [`Self::to_safetensors`], or PyTorch, wrote.
    ///
    /// # Errors
    /// When the bytes are no safetensors file, or hold other tensors than this shape's, or a value is not finite.
    pub fn from_safetensors(self, bytes: &[u8]) -> Result<(Vec<f32>, RunningStats), WeightsError> {
        let file = weights::open(bytes)?;
        let layout = self.file_layout();
        weights::only(&file, &layout, &[BATCHES])?;
        let mut p = weights::read(&file, &layout)?;
        let variance = p.split_off(p.len() - self.hidden);
        let mean = p.split_off(p.len() - self.hidden);
        if let Some(position) = variance.iter().position(|&value| value < 0.0) {
            return Err(WeightsError::Negative { name: "norm.running_var".to_owned(), position });
        }
        Ok((p, RunningStats { mean, variance, batches: weights::read_counter(&file, BATCHES)? }))
    }

    /// The parameters and the running statistics.
    fn file_layout(self) -> Vec<Slot> {
        let mut slots = Slots(self.layout());
        slots.push("norm.running_mean", &[self.hidden]);
        slots.push("norm.running_var", &[self.hidden]);
        slots.0
    }
}

/// Where the tensors are.
#[derive(Clone, Debug)]
pub(super) struct HeadPlaces {
    pub slots: Vec<Slot>,
    pub hidden: Range<usize>,
    pub norm_weight: Range<usize>,
    pub norm_bias: Range<usize>,
    pub output: Range<usize>,
    pub output_bias: Range<usize>,
}

impl HeadPlaces {
    pub fn new(shape: HeadShape) -> Self {
        let HeadShape { width, hidden, classes } = shape;
        let mut slots = Slots::default();
        Self {
            hidden: slots.push("hidden.weight", &[hidden, width]),
            norm_weight: slots.push("norm.weight", &[hidden]),
            norm_bias: slots.push("norm.bias", &[hidden]),
            output: slots.push("output.weight", &[classes, hidden]),
            output_bias: slots.push("output.bias", &[classes]),
            slots: slots.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_papers() {
        for (classes, count) in [(1, 394_753), (3, 395_779)] {
            let shape = HeadShape { width: 768, hidden: 512, classes };
            assert_eq!(shape.parameters(), count);
            assert_eq!(shape.layout().last().map(|slot| slot.range.end), Some(count));
        }
    }
}
