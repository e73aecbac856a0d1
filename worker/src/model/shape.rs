//! Sizes of an Adaptor, and where each tensor lies in the flat parameter buffer.

use std::ops::Range;

use super::{
    WIDTH, init,
    weights::{self, WeightsError},
};

/// One tensor in a flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// PyTorch's name, such as `layers.0.self_attn.in_proj_weight`.
    pub name: String,
    /// PyTorch's shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements in the flat buffer, row-major.
    pub range: Range<usize>,
}

/// Sizes of the paper's Adaptor: all that differs between backbone pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdaptorShape {
    /// Width of an image embedding.
    pub image_width: usize,
    /// Width of a text embedding.
    pub text_width: usize,
}

/// All sizes of an Adaptor. The paper's come from [`AdaptorShape`]; others are for tests and ablations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dims {
    /// Width of an image embedding.
    pub image_width: usize,
    /// Width of a text embedding.
    pub text_width: usize,
    /// Width of a token.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Width of the feed-forward block's hidden layer.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
}

impl From<AdaptorShape> for Dims {
    fn from(shape: AdaptorShape) -> Self {
        let AdaptorShape { image_width, text_width } = shape;
        Self { image_width, text_width, width: WIDTH, heads: 12, hidden: 2048, layers: 2 }
    }
}

impl AdaptorShape {
    /// Number of parameters, queries' and keys' included.
    pub fn parameters(self) -> usize {
        Dims::from(self).parameters()
    }

    /// Every tensor, in the order of the flat buffer.
    pub fn layout(self) -> Vec<Slot> {
        Dims::from(self).layout()
    }

    /// See [`Dims::init`].
    pub fn init(self, seed: u64) -> Vec<f32> {
        Dims::from(self).init(seed)
    }

    /// See [`Dims::to_safetensors`].
    ///
    /// # Panics
    /// When `p` has another length than [`Self::parameters`].
    pub fn to_safetensors(self, p: &[f32]) -> Vec<u8> {
        Dims::from(self).to_safetensors(p)
    }

    /// See [`Dims::from_safetensors`].
    ///
    /// # Errors
    /// When the bytes are no safetensors file, or hold other tensors than this shape's, or a value is not finite.
    pub fn from_safetensors(self, bytes: &[u8]) -> Result<Vec<f32>, WeightsError> {
        Dims::from(self).from_safetensors(bytes)
    }
}

impl Dims {
    /// Number of parameters, queries' and keys' included.
    pub const fn parameters(self) -> usize {
        let Self { image_width, text_width, width, hidden, layers, .. } = self;
        let attention = 4 * width * width + 4 * width;
        let feed_forward = 2 * width * hidden + hidden + width;
        let norms = 4 * width;
        width * (image_width + text_width) + layers * (attention + feed_forward + norms) + 1
    }

    /// Every tensor, in the order of the flat buffer.
    pub fn layout(self) -> Vec<Slot> {
        Places::new(self).slots
    }

    /// Initial weights, with the distributions of PyTorch's `nn.Linear`, `nn.MultiheadAttention` and `nn.LayerNorm`;
    /// `logit_scale` starts at 2.6592. Tensor `i` of the layout is drawn from stream `i`.
    pub fn init(self, seed: u64) -> Vec<f32> {
        init::adaptor(self, seed)
    }

    /// A safetensors file that PyTorch loads with `load_state_dict`. Equal parameters give equal bytes.
    ///
    /// # Panics
    /// When `p` has another length than [`Self::parameters`].
    pub fn to_safetensors(self, p: &[f32]) -> Vec<u8> {
        weights::write(&self.layout(), p, &[])
    }

    /// Reads what [`Self::to_safetensors`], or PyTorch, wrote.
    ///
    /// # Errors
    /// When the bytes are no safetensors file, or hold other tensors than this shape's, or a value is not finite.
    pub fn from_safetensors(self, bytes: &[u8]) -> Result<Vec<f32>, WeightsError> {
        let file = weights::open(bytes)?;
        weights::only(&file, &self.layout(), &[])?;
        weights::read(&file, &self.layout())
    }
}

/// Where the tensors are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub slots: Vec<Slot>,
    pub image_projection: Range<usize>,
    pub text_projection: Range<usize>,
    pub layers: Vec<LayerPlaces>,
    pub logit_scale: usize,
}

/// Where a layer's tensors are.
#[derive(Clone, Debug)]
pub(super) struct LayerPlaces {
    pub in_weight: Range<usize>,
    pub in_bias: Range<usize>,
    pub out_weight: Range<usize>,
    pub out_bias: Range<usize>,
    pub first_weight: Range<usize>,
    pub first_bias: Range<usize>,
    pub second_weight: Range<usize>,
    pub second_bias: Range<usize>,
    pub norm1_weight: Range<usize>,
    pub norm1_bias: Range<usize>,
    pub norm2_weight: Range<usize>,
    pub norm2_bias: Range<usize>,
}

impl Places {
    pub fn new(dims: Dims) -> Self {
        let Dims { image_width, text_width, width, heads, hidden, layers } = dims;
        assert!(heads > 0 && width.is_multiple_of(heads), "{heads} heads do not divide a width of {width}");
        assert!(layers > 0, "an adaptor needs a layer");
        let mut slots = Slots::default();
        let image_projection = slots.push("image_projection.weight", &[width, image_width]);
        let text_projection = slots.push("text_projection.weight", &[width, text_width]);
        let layers = (0..layers)
            .map(|layer| {
                let mut push = |name, shape: &[usize]| slots.push(&format!("layers.{layer}.{name}"), shape);
                LayerPlaces {
                    in_weight: push("self_attn.in_proj_weight", &[3 * width, width]),
                    in_bias: push("self_attn.in_proj_bias", &[3 * width]),
                    out_weight: push("self_attn.out_proj.weight", &[width, width]),
                    out_bias: push("self_attn.out_proj.bias", &[width]),
                    first_weight: push("linear1.weight", &[hidden, width]),
                    first_bias: push("linear1.bias", &[hidden]),
                    second_weight: push("linear2.weight", &[width, hidden]),
                    second_bias: push("linear2.bias", &[width]),
                    norm1_weight: push("norm1.weight", &[width]),
                    norm1_bias: push("norm1.bias", &[width]),
                    norm2_weight: push("norm2.weight", &[width]),
                    norm2_bias: push("norm2.bias", &[width]),
                }
            })
            .collect();
        let logit_scale = slots.push("logit_scale", &[]).start;
        Self { slots: slots.0, image_projection, text_projection, layers, logit_scale }
    }
}

impl LayerPlaces {
    /// The rows of `in_proj_weight` that make values; those of queries and keys come before.
    pub fn value_weight(&self) -> Range<usize> {
        let third = self.in_weight.len() / 3;
        self.in_weight.start + 2 * third..self.in_weight.end
    }

    /// The part of `in_proj_bias` that belongs to values.
    pub fn value_bias(&self) -> Range<usize> {
        let third = self.in_bias.len() / 3;
        self.in_bias.start + 2 * third..self.in_bias.end
    }
}

/// Lays tensors out one after another.
#[derive(Default)]
pub(super) struct Slots(pub Vec<Slot>);

impl Slots {
    pub fn push(&mut self, name: &str, shape: &[usize]) -> Range<usize> {
        let start = self.0.last().map_or(0, |slot| slot.range.end);
        let range = start..start + shape.iter().product::<usize>();
        self.0.push(Slot { name: name.to_owned(), shape: shape.to_vec(), range: range.clone() });
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's 12.2, 11.9 and 12.0 million.
    #[test]
    fn parameter_counts_are_the_papers() {
        for (image_width, count) in [(768, 12_207_617), (384, 11_912_705), (512, 12_011_009)] {
            assert_eq!(AdaptorShape { image_width, text_width: 768 }.parameters(), count);
        }
        assert_eq!(AdaptorShape { image_width: 768, text_width: 384 }.parameters(), 11_912_705);
    }

    #[test]
    fn tensors_lie_one_after_another() {
        let layout = AdaptorShape { image_width: 384, text_width: 384 }.layout();
        let mut end = 0;
        for slot in &layout {
            assert_eq!(slot.range.start, end, "{}", slot.name);
            assert_eq!(slot.range.len(), slot.shape.iter().product::<usize>(), "{}", slot.name);
            end = slot.range.end;
        }
        assert_eq!(end, AdaptorShape { image_width: 384, text_width: 384 }.parameters());
        assert_eq!(layout.iter().filter(|slot| slot.name == "layers.1.self_attn.in_proj_weight").count(), 1);
    }
}
