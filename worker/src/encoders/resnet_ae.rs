//! The encoder of torchxrayvision's ResNet autoencoder of chest X-rays (Cohen et al., 2021, arXiv 2102.09475).

mod weights;

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{
    elementwise::{add, add_relu},
    vision,
};
use crate::error::Result;

/// Outputs of a bottleneck for each of its inner channels.
const EXPANSION: usize = 4;

/// Channels and depths. Tests have smaller networks of the same code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of the first convolution.
    pub stem: usize,
    /// `layer1` to `layer4`.
    pub stages: [Stage; 4],
}

/// Bottlenecks one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Inner channels; four times as many go out.
    pub width: usize,
    /// Bottlenecks, at least one.
    pub blocks: usize,
    /// Of the first one.
    pub stride: usize,
}

impl Config {
    /// `nihpcrsnamimic_ch-resnet101-2-ae-test2-elastic-e250.pt` of torchxrayvision.
    pub fn published() -> Self {
        let stage = |width, blocks, stride| Stage { width, blocks, stride };
        Self { stem: 64, stages: [stage(64, 3, 1), stage(128, 4, 2), stage(256, 23, 2), stage(128, 2, 6)] }
    }

    /// Trained values, running statistics not among them: 28,680,128 as published.
    pub fn parameters(&self) -> usize {
        // A convolution without bias, and a norm's weight and bias.
        let convolution = |from: usize, to: usize, size: usize| to * (from * size * size + 2);
        let block = |block: &Block| {
            let (from, width, to) = (block.from, block.width, block.to());
            let downsample = if block.downsample { convolution(from, to, 1) } else { 0 };
            convolution(from, width, 1) + convolution(width, width, 3) + convolution(width, to, 1) + downsample
        };
        convolution(1, self.stem, 7) + self.blocks().iter().map(block).sum::<usize>()
    }

    /// All bottlenecks in order.
    fn blocks(&self) -> Vec<Block> {
        let mut from = self.stem;
        let mut blocks = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            for number in 0..stage.blocks {
                let stride = if number == 0 { stage.stride } else { 1 };
                let downsample = stride != 1 || from != stage.width * EXPANSION;
                let name = format!("layer{}.{number}", index + 1);
                blocks.push(Block { name, from, width: stage.width, stride, downsample: number == 0 && downsample });
                from = stage.width * EXPANSION;
            }
        }
        blocks
    }
}

/// A bottleneck's place and sizes.
struct Block {
    name: String,
    from: usize,
    width: usize,
    stride: usize,
    /// Whether its shortcut is a convolution.
    downsample: bool,
}

impl Block {
    fn to(&self) -> usize {
        self.width * EXPANSION
    }
}

/// The encoder. BatchNorm is as in evaluation.
pub struct ResNetAe {
    config: Config,
    device: Device,
    stem: Convolution,
    /// `layer1` to `layer4`.
    stages: Vec<Vec<Bottleneck>>,
}

/// A convolution without bias, with the norm after it multiplied into it.
struct Convolution {
    /// [to, from, size, size].
    kernel: Tensor,
    /// [to, 1].
    bias: Tensor,
    stride: usize,
    padding: usize,
}

struct Bottleneck {
    convolutions: [Convolution; 3],
    downsample: Option<Convolution>,
}

/// What a [`ResNetAe`] makes of images. Sizes are of the published network at 224 x 224.
#[derive(Clone, Debug)]
pub struct Maps {
    /// ReLU of the first convolution, [B, 64, 112, 112].
    pub stem: Tensor,
    /// [B, 256, 56, 56].
    pub layer1: Tensor,
    /// [B, 512, 28, 28].
    pub layer2: Tensor,
    /// [B, 1024, 14, 14].
    pub layer3: Tensor,
    /// What the autoencoder would decode, [B, 512, 3, 3].
    pub spatial: Tensor,
    /// The mean of `spatial` over the image, [B, 512].
    pub pooled: Tensor,
}

impl ResNetAe {
    /// Loads the published network from `path`: a state dict in PyTorch's zip format, or safetensors, with torchxrayvision's
    /// names; or a folder with one such file (`.pt`, `.pth`, `.bin`, `.safetensors`). The decoder (`uplayer*`, `conv1_1`) is
    /// not read.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`], and [`crate::error::Error::Input`] with all tensors that are missing, of another shape,
    /// not finite, or not expected.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        Self::load_as(path, &Config::published(), device)
    }

    /// A network of other sizes; see [`Self::load`].
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn load_as(path: &Path, config: &Config, device: &Device) -> Result<Self> {
        weights::load(path, config, device)
    }

    /// Channels of [`Maps::spatial`] and [`Maps::pooled`].
    pub fn width(&self) -> usize {
        self.config.stages[3].width * EXPANSION
    }

    /// All maps of `images`, f32 [B, 1, H, W] from -1024 to 1024 (see [`super::pixels`]), of any size, on any device.
    ///
    /// On the CPU `threads` images are computed at a time, and neither that number nor the rest of the batch changes a bit
    /// of an image's maps. On CUDA the shape of the batch may.
    ///
    /// # Errors
    /// [`crate::error::Error::Input`] for images of another shape, [`crate::error::Error::Tensor`] when the device fails.
    pub fn forward(&self, images: &Tensor, threads: usize) -> Result<Maps> {
        vision::size(images, 1, 1)?;
        let images = images.to_device(&self.device)?;
        let maps = vision::encode(&images, threads, |images| self.encode(images))?;
        let [stem, layer1, layer2, layer3, spatial, pooled] = maps;
        Ok(Maps { stem, layer1, layer2, layer3, spatial, pooled })
    }

    fn encode(&self, images: &Tensor) -> candle_core::Result<[Tensor; 6]> {
        let stem = self.stem.forward_relu(images)?;
        // Zeros pad as well as minus infinity: there is nothing below after ReLU.
        let padded = stem.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
        let mut x = padded.max_pool2d_with_stride(3, 2)?;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            for bottleneck in stage {
                x = bottleneck.forward(&x)?;
            }
            stages.push(x.clone());
        }
        let [layer1, layer2, layer3, spatial] = stages.as_slice() else { candle_core::bail!("not four stages") };
        let maps = [layer1, layer2, layer3, spatial].map(Tensor::clone);
        let [layer1, layer2, layer3, spatial] = maps;
        let pooled = spatial.flatten_from(2)?.mean(2)?;
        Ok([stem, layer1, layer2, layer3, spatial, pooled])
    }
}

impl Bottleneck {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [first, second, third] = &self.convolutions;
        // Unlike the usual bottleneck, this one has a ReLU before the sum too: the weights were trained with it.
        let branch = third.forward_relu(&second.forward_relu(&first.forward_relu(x)?)?)?;
        match &self.downsample {
            Some(downsample) => add_relu(branch, &downsample.forward(x)?),
            None => add_relu(branch, x),
        }
    }
}

impl Convolution {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.apply(x, add)
    }

    fn forward_relu(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.apply(x, add_relu)
    }

    /// Of [B, from, H, W], with `add_bias` for the bias.
    fn apply(
        &self,
        x: &Tensor,
        add_bias: impl Fn(Tensor, &Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let product = x.conv2d(&self.kernel, self.padding, self.stride, 1, 1)?;
        let (batch, channels, height, width) = product.dims4()?;
        let rows = product.reshape((batch * channels, height * width))?;
        let bias = if batch == 1 { self.bias.clone() } else { self.bias.repeat((batch, 1))? };
        add_bias(rows, &bias)?.reshape((batch, channels, height, width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_encoder_has_the_published_number_of_parameters() {
        assert_eq!(Config::published().parameters(), 28_680_128);
        assert_eq!(Config::published().blocks().iter().filter(|block| block.downsample).count(), 4);
    }

    /// As on CUDA.
    #[test]
    fn a_batch_as_one_is_its_images() {
        let stage = |width, blocks, stride| Stage { width, blocks, stride };
        let config = Config { stem: 4, stages: [stage(2, 2, 1), stage(4, 2, 2), stage(6, 3, 2), stage(3, 2, 6)] };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vision/resnet-ae/model.pt");
        let model = ResNetAe::load_as(&path, &config, &Device::Cpu).unwrap();
        let images = Tensor::rand(-1024.0_f32, 1024.0, (3, 1, 60, 40), &Device::Cpu).unwrap();
        let maps = model.forward(&images, 1).unwrap();
        let alone = [maps.stem, maps.layer1, maps.layer2, maps.layer3, maps.spatial, maps.pooled];
        for (together, alone) in model.encode(&images).unwrap().iter().zip(&alone) {
            vision::assert_close(together, alone);
        }
    }
}
