//! DINOv2 (Oquab et al., 2024): a vision transformer, as `transformers` computes it and names its weights.

mod positions;
mod weights;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use candle_core::{Device, Tensor};

pub use self::positions::Interpolation;
use self::{positions::Positions, weights::Config};
use super::{
    attention::self_attention,
    elementwise::{add, add_gelu, silu_times},
    layers::{Linear, Norm},
    source::Source,
    vision,
};
use crate::error::Result;

/// A DINOv2: small, base, large or giant.
pub struct Dinov2 {
    config: Config,
    device: Device,
    /// Of the pixels of a patch, [width, 3 * patch * patch].
    patches: Linear,
    /// [CLS] with its position, [1, 1, width].
    cls: Tensor,
    positions: Positions,
    interpolation: Interpolation,
    /// Positions on the device, [patches, width], for images of the last size in patches.
    last: Mutex<Option<((usize, usize), Tensor)>>,
    layers: Vec<Layer>,
    norm: Norm,
}

/// One layer. What LayerScale multiplies is multiplied into `attention` and `down`.
struct Layer {
    attention_norm: Norm,
    query_key_value: Linear,
    attention: Linear,
    norm: Norm,
    up: Up,
    down: Linear,
}

/// The first half of a feed-forward network.
enum Up {
    /// GELU of it.
    Gelu(Linear),
    /// SiLU of the gate times the values.
    SwiGlu { gate: Linear, value: Linear },
}

/// What a [`Dinov2`] makes of images, after the final norm.
#[derive(Clone, Debug)]
pub struct Features {
    /// [CLS], [B, width].
    pub pooled: Tensor,
    /// Of the patches, row by row, [B, H / 14 * W / 14, width].
    pub tokens: Tensor,
}

impl Dinov2 {
    /// Loads `config.json` and `model.safetensors` (or `pytorch_model.bin`, a zip) of `folder` to `device`, as
    /// `transformers` saves a `Dinov2Model`; names may begin with `dinov2.`, with a `classifier` beside.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`], and [`crate::error::Error::Input`] with all tensors that are missing, of another shape,
    /// not finite, or not expected.
    pub fn load(folder: &Path, interpolation: Interpolation, device: &Device) -> Result<Self> {
        weights::load(folder, interpolation, device)
    }

    /// The same, of an encoder's files wherever they come from.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub(super) fn of_source(source: &mut Source, interpolation: Interpolation, device: &Device) -> Result<Self> {
        weights::of_source(source, interpolation, device)
    }

    /// Values of a token: 384 (small), 768 (base), 1024 (large), 1536 (giant).
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// Pixels of a patch's side, 14. Images have sides that are multiples of it.
    pub fn patch(&self) -> usize {
        self.config.patch_size
    }

    /// [CLS] and patch tokens of `images`, f32 [B, 3, H, W], normalised (see [`super::pixels`]), of any size in whole
    /// patches, on any device.
    ///
    /// On the CPU `threads` images are computed at a time, and neither that number nor the rest of the batch changes a bit
    /// of an image's features. On CUDA the shape of the batch may.
    ///
    /// # Errors
    /// [`crate::error::Error::Input`] for images of another shape, [`crate::error::Error::Tensor`] when the device fails.
    pub fn forward(&self, images: &Tensor, threads: usize) -> Result<Features> {
        let (height, width) = vision::size(images, 3, self.patch())?;
        let images = images.to_device(&self.device)?;
        let positions = self.positions((height / self.patch(), width / self.patch()))?;
        let [pooled, tokens] = vision::encode(&images, threads, |images| self.encode(images, &positions))?;
        Ok(Features { pooled, tokens })
    }

    /// [`Self::forward`] of images on this model's device, all together, and on the CPU on this thread alone.
    ///
    /// # Errors
    /// Those of [`Self::forward`].
    pub(super) fn forward_here(&self, images: &Tensor) -> Result<Features> {
        let (height, width) = vision::size(images, 3, self.patch())?;
        let positions = self.positions((height / self.patch(), width / self.patch()))?;
        let [pooled, tokens] = self.encode(images, &positions)?;
        Ok(Features { pooled, tokens })
    }

    /// Of the patches of an image of `size` patches, [patches, width].
    fn positions(&self, size: (usize, usize)) -> candle_core::Result<Tensor> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, positions)) = last.as_ref().filter(|(last, _)| *last == size) {
            return Ok(positions.clone());
        }
        let values = self.positions.at(size, self.interpolation);
        let positions = Tensor::from_vec(values, (size.0 * size.1, self.width()), &self.device)?;
        *last = Some((size, positions.clone()));
        Ok(positions)
    }

    fn encode(&self, images: &Tensor, positions: &Tensor) -> candle_core::Result<[Tensor; 2]> {
        let (batch, width) = (images.dim(0)?, self.width());
        let patches = self.patches.forward(&self.patches_of(images)?)?;
        let patches = add(patches.reshape((batch, (), width))?, positions)?;
        let x = Tensor::cat(&[&self.cls.repeat((batch, 1, 1))?, &patches], 1)?;
        let tokens = x.dim(1)?;
        let mut x = x.reshape((batch * tokens, width))?;
        for layer in &self.layers {
            let projected = layer.query_key_value.forward(&layer.attention_norm.forward(&x)?)?;
            let attended = self_attention(&projected, batch, self.config.num_attention_heads, None)?;
            x = add(layer.attention.forward(&attended)?, &x)?;
            let hidden = layer.up.forward(&layer.norm.forward(&x)?)?;
            x = add(layer.down.forward(&hidden)?, &x)?;
        }
        let x = self.norm.forward(&x)?.reshape((batch, tokens, width))?;
        Ok([x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?, x.narrow(1, 1, tokens - 1)?.contiguous()?])
    }

    /// Patches as rows, [B * patches, 3 * patch * patch]: the convolution that embeds them is a product, as its stride is its
    /// size.
    fn patches_of(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, channels, height, width) = images.dims4()?;
        let patch = self.patch();
        let (rows, columns) = (height / patch, width / patch);
        images
            .reshape(&[batch, channels, rows, patch, columns, patch][..])?
            .permute([0, 2, 4, 1, 3, 5].as_slice())?
            .reshape((batch * rows * columns, channels * patch * patch))
    }
}

impl Up {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Gelu(linear) => add_gelu(linear.product(x)?, &linear.bias),
            Self::SwiGlu { gate, value } => silu_times(gate.forward(x)?, &value.forward(x)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on CUDA.
    #[test]
    fn a_batch_as_one_is_its_images() {
        for name in ["dinov2", "dinov2-swiglu"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vision").join(name);
            let model = Dinov2::load(&folder, Interpolation::Size, &Device::Cpu).unwrap();
            let images = Tensor::randn(0.0_f32, 1.0, (3, 3, 42, 70), &Device::Cpu).unwrap();
            let alone = model.forward(&images, 1).unwrap();
            let [pooled, tokens] = model.encode(&images, &model.positions((3, 5)).unwrap()).unwrap();
            vision::assert_close(&pooled, &alone.pooled);
            vision::assert_close(&tokens, &alone.tokens);
        }
    }
}
