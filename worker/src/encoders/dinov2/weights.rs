//! A DINOv2's `config.json` and weights, as `transformers` saves them.

use std::{path::Path, sync::Mutex};

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::{Dinov2, Interpolation, Layer, Up, positions::Positions};
use crate::{
    encoders::{
        layers::Linear,
        source::Source,
        weights::{File, Weights},
    },
    error::{Error, Result},
};

/// Names that the weights may have, the preferred one first.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What is read of `config.json`. What may be missing has `transformers`' default.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    model_type: String,
    pub(super) hidden_size: usize,
    num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    #[serde(default = "four")]
    mlp_ratio: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "published_eps")]
    layer_norm_eps: f64,
    image_size: usize,
    pub(super) patch_size: usize,
    #[serde(default = "three")]
    num_channels: usize,
    #[serde(default = "yes")]
    qkv_bias: bool,
    #[serde(default)]
    use_swiglu_ffn: bool,
}

fn four() -> usize {
    4
}

fn three() -> usize {
    3
}

fn yes() -> bool {
    true
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn published_eps() -> f64 {
    1e-6
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// What is malformed, or is no DINOv2 as this program computes it.
    fn parse(json: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let fixed = [("model_type", &config.model_type, "dinov2"), ("hidden_act", &config.hidden_act, "gelu")];
        if let Some((name, found, expected)) = fixed.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(format!("`{name}` is `{found}`, not `{expected}`"));
        }
        let sizes = [
            ("hidden_size", config.hidden_size, 1 << 16),
            ("num_hidden_layers", config.num_hidden_layers, 1 << 10),
            ("num_attention_heads", config.num_attention_heads, 1 << 10),
            ("mlp_ratio", config.mlp_ratio, 1 << 6),
            ("image_size", config.image_size, 1 << 14),
            ("patch_size", config.patch_size, 1 << 8),
        ];
        if let Some((name, size, most)) = sizes.into_iter().find(|(_, size, most)| !(1..=*most).contains(size)) {
            return Err(format!("`{name}` is {size}, not in 1 to {most}"));
        }
        let multiples = [
            ("hidden_size", config.hidden_size, "num_attention_heads", config.num_attention_heads),
            ("image_size", config.image_size, "patch_size", config.patch_size),
        ];
        if let Some((name, size, of, unit)) = multiples.into_iter().find(|(_, size, _, unit)| size % unit != 0) {
            return Err(format!("`{name}` {size} is not a multiple of `{of}` {unit}"));
        }
        if config.num_channels != 3 || !config.qkv_bias {
            return Err("`num_channels` is not 3, or `qkv_bias` is not true".to_owned());
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
            return Err(format!("`layer_norm_eps` is {}, not in 0 to 1", config.layer_norm_eps));
        }
        Ok(config)
    }

    /// Patches of a side of the images of training.
    fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Hidden values of the feed-forward networks. SwiGLU has two thirds of them, rounded up to a multiple of 8.
    fn hidden(&self) -> usize {
        let hidden = self.hidden_size * self.mlp_ratio;
        if self.use_swiglu_ffn { (hidden * 2 / 3).next_multiple_of(8) } else { hidden }
    }
}

/// See [`Dinov2::load`].
pub(super) fn load(folder: &Path, interpolation: Interpolation, device: &Device) -> Result<Dinov2> {
    let path = folder.join("config.json");
    let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let config = Config::parse(&json).map_err(|what| wrong(&path, what))?;
    let path = FILES.map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    let path = path.ok_or_else(|| wrong(folder, format!("neither {}", FILES.join(" nor "))))?;
    let file = File::open(&path)?;
    build(&file, &config, interpolation, device).map_err(|what| wrong(&path, what))
}

/// See [`Dinov2::of_source`].
pub(super) fn of_source(source: &mut Source, interpolation: Interpolation, device: &Device) -> Result<Dinov2> {
    let config = Config::parse(&source.read(0)?).map_err(|what| source.wrong(0, &what))?;
    let file = source.weights(1)?;
    build(&file, &config, interpolation, device).map_err(|what| source.wrong(1, &what))
}

/// # Errors
/// All that is wrong with the file.
fn build(file: &File, config: &Config, interpolation: Interpolation, device: &Device) -> Result<Dinov2, String> {
    let mut weights = Weights::new(file, device)?.with_prefix("dinov2.", "embeddings.");
    let model = read(&mut weights, config, interpolation, device);
    // The mask token is for training, and a classifier for one of its tasks.
    weights.refuse_others(|name| name == "embeddings.mask_token" || name.starts_with("classifier."));
    weights.finish(model)
}

/// A file is not what it should be.
fn wrong(path: &Path, what: String) -> Error {
    Error::Input {
        what: format!("{}: {what}", path.display()),
        cure: Some(format!("name a folder with config.json and {} of a DINOv2, as `transformers` saves it", FILES[0])),
    }
}

fn read(
    weights: &mut Weights<'_>,
    config: &Config,
    interpolation: Interpolation,
    device: &Device,
) -> candle_core::Result<Dinov2> {
    let (width, patch, side) = (config.hidden_size, config.patch_size, config.side());
    let cls = weights.tensor(&["embeddings.cls_token"], &[1, 1, width])?;
    let positions = weights.tensor(&["embeddings.position_embeddings"], &[1, 1 + side * side, width])?;
    let projection = "embeddings.patch_embeddings.projection";
    let kernel = weights.tensor(&[&format!("{projection}.weight")], &[width, 3, patch, patch])?;
    let bias = weights.tensor(&[&format!("{projection}.bias")], &[width])?;
    let layers = (0..config.num_hidden_layers).map(|layer| read_layer(weights, config, layer));
    let layers = layers.collect::<candle_core::Result<_>>()?;
    let norm = weights.norm("layernorm", width, config.layer_norm_eps)?;
    if !weights.is_sound() {
        candle_core::bail!("weights are not sound");
    }
    let trained = positions.narrow(1, 1, side * side)?.flatten_all()?.to_vec1()?;
    Ok(Dinov2 {
        config: config.clone(),
        device: device.clone(),
        patches: Linear::new(kernel.flatten_from(1)?, bias)?,
        cls: (cls + positions.narrow(1, 0, 1)?)?,
        positions: Positions::new(side, trained),
        interpolation,
        last: Mutex::default(),
        layers,
        norm,
    })
}

fn read_layer(weights: &mut Weights<'_>, config: &Config, layer: usize) -> candle_core::Result<Layer> {
    let (width, hidden, eps) = (config.hidden_size, config.hidden(), config.layer_norm_eps);
    let at = |part: &str| format!("encoder.layer.{layer}.{part}");
    let up = if config.use_swiglu_ffn {
        let both = weights.weight_and_bias(&at("mlp.weights_in"), width, 2 * hidden)?;
        if weights.is_sound() {
            Up::SwiGlu { gate: half(&both, 0)?, value: half(&both, 1)? }
        } else {
            Up::Gelu(Linear::new(both.0, both.1)?)
        }
    } else {
        Up::Gelu(weights.linear(&at("mlp.fc1"), width, hidden)?)
    };
    let down = if config.use_swiglu_ffn { "mlp.weights_out" } else { "mlp.fc2" };
    Ok(Layer {
        attention_norm: weights.norm(&at("norm1"), width, eps)?,
        query_key_value: weights.query_key_value(&at("attention.attention"), width)?,
        attention: scaled(weights, &at("attention.output.dense"), &at("layer_scale1.lambda1"), [width; 2])?,
        norm: weights.norm(&at("norm2"), width, eps)?,
        up,
        down: scaled(weights, &at(down), &at("layer_scale2.lambda1"), [hidden, width])?,
    })
}

/// Half number `half` of the outputs of a layer.
fn half((weight, bias): &(Tensor, Tensor), half: usize) -> candle_core::Result<Linear> {
    let count = bias.dim(0)? / 2;
    let part = |tensor: &Tensor| tensor.narrow(0, half * count, count);
    Linear::new(part(weight)?, part(bias)?)
}

/// The linear layer `name` with LayerScale's factors, the tensor `factors`, multiplied into it.
fn scaled(weights: &mut Weights<'_>, name: &str, factors: &str, [from, to]: [usize; 2]) -> candle_core::Result<Linear> {
    let (weight, bias) = weights.weight_and_bias(name, from, to)?;
    let scale = weights.tensor(&[factors], &[to])?;
    if weights.is_sound() {
        Linear::new(weight.broadcast_mul(&scale.unsqueeze(1)?)?, (bias * scale)?)
    } else {
        Linear::new(weight, bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes() {
        let config = |rest: &str| {
            let json = format!(r#"{{"model_type": "dinov2", "image_size": 518, "patch_size": 14, {rest}}}"#);
            Config::parse(json.as_bytes()).unwrap()
        };
        let base = config(r#""hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12"#);
        assert_eq!((base.side(), base.hidden(), base.layer_norm_eps), (37, 3072, 1e-6));
        let giant = config(
            r#""hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24, "use_swiglu_ffn": true"#,
        );
        assert_eq!(giant.hidden(), 4096);
    }
}
