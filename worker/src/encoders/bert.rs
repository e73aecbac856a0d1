//! BERT's forward pass (Devlin et al., 2019) in candle, on the CPU or on CUDA.

pub(super) mod weights;

use candle_core::{Result, Tensor};

use super::{
    attention::{Padding, self_attention},
    elementwise::{add, add_gelu},
    layers::{Linear, Norm},
};

/// One layer.
pub(super) struct Layer {
    pub(super) query_key_value: Linear,
    pub(super) attention: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) norm: Norm,
}

/// A BERT.
pub(super) struct Bert {
    pub(super) heads: usize,
    /// [vocabulary, width].
    pub(super) words: Tensor,
    /// [positions, width], token type 0 included.
    pub(super) positions: Tensor,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
    /// Only some files have one.
    pub(super) pooler: Option<Linear>,
}

/// Texts, padded to equal length.
pub(super) struct Padded {
    texts: usize,
    length: usize,
    /// [texts * length].
    ids: Tensor,
    /// None: all are equally long.
    padding: Option<Padding>,
    /// Weights of the mean over the tokens that are not padding, [texts, 1, length].
    pub(super) mean: Tensor,
}

impl Padded {
    /// Pads `texts`, at least one, none empty.
    pub(super) fn new(texts: &[&[u32]], device: &candle_core::Device) -> Result<Self> {
        let (count, length) = (texts.len(), texts.iter().map(|ids| ids.len()).max().unwrap_or(0));
        // Id 0 pads; the mask hides it, whatever it is.
        let mut ids = vec![0_u32; count * length];
        let mut mask = vec![f32::NEG_INFINITY; count * length];
        let mut mean = vec![0.0; count * length];
        for (text, row) in texts.iter().zip((0..).step_by(length.max(1))) {
            ids[row..row + text.len()].copy_from_slice(text);
            mask[row..row + text.len()].fill(0.0);
            mean[row..row + text.len()].fill(1.0 / text.len() as f32);
        }
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let padding = if lengths.iter().any(|own| *own != length) {
            Some(Padding { mask: Tensor::from_vec(mask, (count, 1, 1, length), device)?, lengths })
        } else {
            None
        };
        Ok(Self {
            texts: count,
            length,
            ids: Tensor::from_vec(ids, count * length, device)?,
            padding,
            mean: Tensor::from_vec(mean, (count, 1, length), device)?,
        })
    }
}

impl Bert {
    /// Values of a token.
    pub(super) fn width(&self) -> Result<usize> {
        self.words.dim(1)
    }

    /// Last hidden states, [texts, length, width]. Those of padding have no meaning.
    pub(super) fn forward(&self, batch: &Padded) -> Result<Tensor> {
        let (texts, length, width) = (batch.texts, batch.length, self.width()?);
        let words = self.words.index_select(&batch.ids, 0)?.reshape((texts, length, width))?;
        let x = add(words, &self.positions.narrow(0, 0, length)?)?.reshape((texts * length, width))?;
        let mut x = self.norm.forward(&x)?;
        for layer in &self.layers {
            let projected = layer.query_key_value.forward(&x)?;
            let attended = self_attention(&projected, texts, self.heads, batch.padding.as_ref())?;
            let attended = layer.attention.forward(&attended)?;
            x = layer.attention_norm.forward(&add(attended, &x)?)?;
            let fed = layer.down.forward(&add_gelu(layer.up.product(&x)?, &layer.up.bias)?)?;
            x = layer.norm.forward(&add(fed, &x)?)?;
        }
        x.reshape((texts, length, width))
    }
}
