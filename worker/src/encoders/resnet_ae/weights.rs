//! Weights of a ResNet-AE, as torchxrayvision names them.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use super::{Block, Bottleneck, Config, Convolution, ResNetAe};
use crate::{
    encoders::{
        source::Source,
        weights::{File, Weights},
    },
    error::{Error, Result},
};

/// What BatchNorm adds to variances.
const EPS: f64 = 1e-5;
/// Ends of the names of weights.
const EXTENSIONS: [&str; 4] = ["pt", "pth", "bin", "safetensors"];

/// See [`ResNetAe::load_as`].
pub(super) fn load(path: &Path, config: &Config, device: &Device) -> Result<ResNetAe> {
    let path = if path.is_dir() { only_file(path)? } else { path.to_owned() };
    let file = File::open(&path)?;
    build(&file, config, device).map_err(|what| wrong(&path, what))
}

/// See [`ResNetAe::of_source`].
pub(super) fn of_source(source: &mut Source, config: &Config, device: &Device) -> Result<ResNetAe> {
    let file = source.weights(0)?;
    build(&file, config, device).map_err(|what| source.wrong(0, &what))
}

/// # Errors
/// All that is wrong with the file.
fn build(file: &File, config: &Config, device: &Device) -> Result<ResNetAe, String> {
    let mut weights = Weights::new(file, device)?;
    let model = read(&mut weights, config, device);
    let ignored = ["uplayer", "conv1_1."];
    weights.refuse_others(|name| {
        ignored.iter().any(|start| name.starts_with(start)) || name.ends_with(".num_batches_tracked")
    });
    weights.finish(model)
}

/// The only file of weights in `folder`.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path.extension().is_some_and(|end| EXTENSIONS.iter().any(|extension| end == *extension)) {
            found.push(path);
        }
    }
    match found.as_slice() {
        [path] => Ok(path.clone()),
        others => {
            Err(wrong(folder, format!("{} files of weights (.{}), not one", others.len(), EXTENSIONS.join(", ."))))
        }
    }
}

/// A file is not what it should be.
fn wrong(path: &Path, what: String) -> Error {
    Error::Input {
        what: format!("{}: {what}", path.display()),
        cure: Some(
            "name the state dict of torchxrayvision's ResNet-AE, \
             `nihpcrsnamimic_ch-resnet101-2-ae-test2-elastic-e250.pt`"
                .to_owned(),
        ),
    }
}

fn read(weights: &mut Weights<'_>, config: &Config, device: &Device) -> candle_core::Result<ResNetAe> {
    let stem = convolution(weights, ("conv1", "bn1"), [1, config.stem, 7], 2)?;
    let mut blocks = config.blocks().into_iter();
    let mut stages = Vec::with_capacity(config.stages.len());
    for stage in &config.stages {
        let stage = blocks.by_ref().take(stage.blocks).map(|block| bottleneck(weights, &block));
        stages.push(stage.collect::<candle_core::Result<_>>()?);
    }
    Ok(ResNetAe { config: config.clone(), device: device.clone(), stem, stages })
}

fn bottleneck(weights: &mut Weights<'_>, block: &Block) -> candle_core::Result<Bottleneck> {
    let (from, width, to) = (block.from, block.width, block.to());
    let mut part = |convolution_name: &str, norm_name: &str, sizes, stride| {
        let names = (format!("{}.{convolution_name}", block.name), format!("{}.{norm_name}", block.name));
        convolution(weights, (&names.0, &names.1), sizes, stride)
    };
    Ok(Bottleneck {
        convolutions: [
            part("conv1", "bn1", [from, width, 1], 1)?,
            part("conv2", "bn2", [width, width, 3], block.stride)?,
            part("conv3", "bn3", [width, to, 1], 1)?,
        ],
        downsample: if block.downsample {
            Some(part("downsample.0", "downsample.1", [from, to, 1], block.stride)?)
        } else {
            None
        },
    })
}

/// A convolution and the norm after it, by name; `sizes` are channels in and out, and the side of the kernel.
fn convolution(
    weights: &mut Weights<'_>,
    (name, norm): (&str, &str),
    sizes: [usize; 3],
    stride: usize,
) -> candle_core::Result<Convolution> {
    let [from, to, size] = sizes;
    let kernel = weights.tensor(&[&format!("{name}.weight")], &[to, from, size, size])?;
    let mut statistic = |what: &str| weights.tensor(&[&format!("{norm}.{what}")], &[to]);
    let (weight, bias) = (statistic("weight")?, statistic("bias")?);
    let (mean, variance) = (statistic("running_mean")?, statistic("running_var")?);
    let padding = size / 2;
    if variance.min(0)?.to_scalar::<f32>()? < 0.0 {
        weights.refuse(format!("`{norm}.running_var` has values below 0"));
    }
    if !weights.is_sound() {
        return Ok(Convolution { kernel, bias, stride, padding });
    }
    let scale = (weight / (variance + EPS)?.sqrt()?)?;
    Ok(Convolution {
        kernel: kernel.broadcast_mul(&scale.reshape((to, 1, 1, 1))?)?,
        bias: shift(&bias, &mean, &scale)?,
        stride,
        padding,
    })
}

/// What the norm adds, [to, 1].
fn shift(bias: &Tensor, mean: &Tensor, scale: &Tensor) -> candle_core::Result<Tensor> {
    (bias - (mean * scale)?)?.unsqueeze(1)
}
