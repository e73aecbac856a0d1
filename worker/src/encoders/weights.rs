//! A BERT's `config.json` and `model.safetensors`, as `transformers` saves them.

use candle_core::{D, DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::bert::{Bert, Layer, Linear, Norm};

/// Most problems that a message lists.
const LISTED: usize = 12;

/// What is read of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Config {
    model_type: String,
    pub(super) hidden_size: usize,
    num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    #[serde(default = "published_eps")]
    pub(super) layer_norm_eps: f64,
    pub(super) max_position_embeddings: usize,
    #[serde(default = "published_types")]
    type_vocab_size: usize,
    pub(super) vocab_size: usize,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

fn published_eps() -> f64 {
    1e-12
}

fn published_types() -> usize {
    2
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// What is malformed, or is no BERT as this program computes it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if config.model_type != "bert" {
            return Err(format!("`model_type` is `{}`, not `bert`", config.model_type));
        }
        if config.hidden_act != "gelu" {
            return Err(format!("`hidden_act` is `{}`, not `gelu`", config.hidden_act));
        }
        if let Some(other) = config.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(format!("`position_embedding_type` is `{other}`, not `absolute`"));
        }
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(format!("`hidden_size` {width} is not a multiple of `num_attention_heads` {heads}"));
        }
        let sizes = [
            ("hidden_size", width, 1 << 16),
            ("num_hidden_layers", config.num_hidden_layers, 1 << 10),
            ("intermediate_size", config.intermediate_size, 1 << 20),
            ("max_position_embeddings", config.max_position_embeddings, 1 << 24),
            ("type_vocab_size", config.type_vocab_size, 1 << 10),
            ("vocab_size", config.vocab_size, 1 << 24),
        ];
        match sizes.into_iter().find(|(_, size, most)| !(1..=*most).contains(size)) {
            Some((name, size, most)) => Err(format!("`{name}` is {size}, not in 1 to {most}")),
            None => Ok(config),
        }
    }
}

/// Loads a BERT of these sizes from `bytes`, a safetensors file. Names may begin with `bert.`, norms may be called
/// `gamma` and `beta`, values may be of any floating-point type. There may be a pooler, and anything else beside.
///
/// # Errors
/// Everything that is missing, of another shape, or not finite.
pub(super) fn load(bytes: &[u8], config: &Config, device: &Device) -> Result<Bert, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("not whole as safetensors: {error}"))?;
    let prefix = if tensors.iter().any(|(name, _)| name.starts_with("bert.embeddings.")) { "bert." } else { "" };
    let mut reader = Reader { tensors, prefix, device, problems: Vec::new() };
    let bert = reader.bert(config);
    let problems = reader.problems;
    if problems.is_empty() {
        return bert.map_err(|error| error.to_string());
    }
    let more = problems.len().saturating_sub(LISTED);
    let listed = problems.into_iter().take(LISTED).collect::<Vec<_>>().join("; ");
    Err(if more == 0 { listed } else { format!("{listed}; and {more} more") })
}

struct Reader<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'static str,
    device: &'a Device,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn bert(&mut self, config: &Config) -> candle_core::Result<Bert> {
        let (width, hidden) = (config.hidden_size, config.intermediate_size);
        let words = self.tensor(&["embeddings.word_embeddings.weight"], &[config.vocab_size, width])?;
        let positions =
            self.tensor(&["embeddings.position_embeddings.weight"], &[config.max_position_embeddings, width])?;
        let types = self.tensor(&["embeddings.token_type_embeddings.weight"], &[config.type_vocab_size, width])?;
        let norm = self.norm("embeddings.LayerNorm", config)?;
        let layers = (0..config.num_hidden_layers).map(|layer| {
            let at = |part: &str| format!("encoder.layer.{layer}.{part}");
            Ok(Layer {
                query_key_value: self.query_key_value(&at("attention.self"), width)?,
                attention: self.linear(&at("attention.output.dense"), width, width)?,
                attention_norm: self.norm(&at("attention.output.LayerNorm"), config)?,
                up: self.linear(&at("intermediate.dense"), width, hidden)?,
                down: self.linear(&at("output.dense"), hidden, width)?,
                norm: self.norm(&at("output.LayerNorm"), config)?,
            })
        });
        let layers = layers.collect::<candle_core::Result<_>>()?;
        let has_pooler = self.tensors.tensor(&format!("{}pooler.dense.weight", self.prefix)).is_ok();
        let pooler = if has_pooler { Some(self.linear("pooler.dense", width, width)?) } else { None };
        // Every token is of type 0, so that its row can be part of the position's.
        let positions = if self.problems.is_empty() { positions.broadcast_add(&types.get(0)?)? } else { positions };
        Ok(Bert { heads: config.num_attention_heads, words, positions, norm, layers, pooler })
    }

    /// The three projections of the attention as one.
    fn query_key_value(&mut self, name: &str, width: usize) -> candle_core::Result<Linear> {
        let parts = ["query", "key", "value"].map(|part| self.linear(&format!("{name}.{part}"), width, width));
        let [query, key, value] = parts;
        let (query, key, value) = (query?, key?, value?);
        if !self.problems.is_empty() {
            return Ok(query);
        }
        Ok(Linear {
            weight: Tensor::cat(&[query.weight, key.weight, value.weight], 0)?,
            bias: Tensor::cat(&[query.bias, key.bias, value.bias], 0)?,
        })
    }

    fn linear(&mut self, name: &str, from: usize, to: usize) -> candle_core::Result<Linear> {
        Ok(Linear {
            weight: self.tensor(&[&format!("{name}.weight")], &[to, from])?,
            bias: self.tensor(&[&format!("{name}.bias")], &[to])?,
        })
    }

    fn norm(&mut self, name: &str, config: &Config) -> candle_core::Result<Norm> {
        let width = [config.hidden_size];
        Ok(Norm {
            weight: self.tensor(&[&format!("{name}.weight"), &format!("{name}.gamma")], &width)?,
            bias: self.tensor(&[&format!("{name}.bias"), &format!("{name}.beta")], &width)?,
            eps: config.layer_norm_eps as f32,
        })
    }

    /// The tensor of one of these names. What is wrong with it is noted, and something is returned so that all that is
    /// wrong with the file is found in one go.
    fn tensor(&mut self, names: &[&str], shape: &[usize]) -> candle_core::Result<Tensor> {
        match self.read(names, shape)? {
            Ok(tensor) => Ok(tensor),
            Err(problem) => {
                self.problems.push(problem);
                Tensor::zeros(1, DType::F32, self.device)
            }
        }
    }

    fn read(&self, names: &[&str], shape: &[usize]) -> candle_core::Result<Result<Tensor, String>> {
        let found = names.iter().find_map(|name| {
            let name = format!("{}{name}", self.prefix);
            Some((self.tensors.tensor(&name).ok()?, name))
        });
        let Some((view, name)) = found else {
            return Ok(Err(format!("`{}{}` is missing", self.prefix, names.join("` or `"))));
        };
        if view.shape() != shape {
            return Ok(Err(format!("`{name}` is {:?}, not {shape:?}", view.shape())));
        }
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            other => return Ok(Err(format!("`{name}` is of type {other:?}"))),
        };
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?;
        let bad = tensor.flatten_all()?.to_vec1::<f32>()?.iter().filter(|value| !value.is_finite()).count();
        if bad > 0 {
            return Ok(Err(format!("`{name}` has {bad} values that are not finite")));
        }
        Ok(Ok(tensor.to_device(self.device)?))
    }
}

impl Norm {
    /// Layer normalisation over the last dimension.
    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        debug_assert_eq!(x.dim(D::Minus1)?, self.weight.dim(0)?);
        candle_nn::ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
