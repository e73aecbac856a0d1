//! Layers that all encoders with attention have, in candle, on the CPU or on CUDA.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::elementwise::add;

/// `x W^T + b`.
pub(super) struct Linear {
    /// [to, from].
    pub(super) weight: Tensor,
    /// [to].
    pub(super) bias: Tensor,
}

impl Linear {
    /// Of rows `x`, [n, from].
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        add(self.product(x)?, &self.bias)
    }

    /// Without the bias.
    pub(super) fn product(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)
    }

    /// The same with its outputs multiplied by `scale`, [to].
    pub(super) fn scaled(&self, scale: &Tensor) -> Result<Self> {
        let weight = self.weight.broadcast_mul(&scale.unsqueeze(1)?)?;
        Ok(Self { weight, bias: (&self.bias * scale)? })
    }
}

/// Layer normalisation.
pub(super) struct Norm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    pub(super) eps: f32,
}

impl Norm {
    /// Layer normalisation over the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(x.dim(D::Minus1)?, self.weight.dim(0)?);
        candle_nn::ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// Multi-head self-attention before its output projection, of `rows`, [samples * length, 3 * width]: queries, keys and values.
/// `mask` is added to the scores, [samples, heads, length, length], where it has size 1 or theirs. Gives [samples * length, width].
pub(super) fn self_attention(rows: &Tensor, samples: usize, heads: usize, mask: Option<&Tensor>) -> Result<Tensor> {
    let (count, all) = rows.dims2()?;
    let (length, width) = (count / samples, all / 3);
    let size = width / heads;
    let all = rows.reshape((samples, length, 3, heads, size))?;
    let part = |i: usize| all.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let (query, key, value) = ((part(0)? * (1.0 / (size as f64).sqrt()))?, part(1)?, part(2)?);
    let mut scores = query.matmul(&key.transpose(D::Minus2, D::Minus1)?)?;
    if let Some(mask) = mask {
        scores = add(scores, mask)?;
    }
    softmax_last_dim(&scores)?.matmul(&value)?.transpose(1, 2)?.reshape((count, width))
}
