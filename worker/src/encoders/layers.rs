//! Layers that all encoders with attention have, in candle, on the CPU or on CUDA.

use candle_core::{Result, Tensor};

use super::{elementwise::add, norm::layer_norm};

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
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
