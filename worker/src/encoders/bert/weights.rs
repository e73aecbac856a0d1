//! A BERT's configuration and weights, as `transformers` saves them.

use candle_core::Device;
use serde::Deserialize;

use super::{Bert, Layer};
use crate::encoders::weights::{File, Weights};

/// CXR-BERT is a BERT with heads beside.
const MODEL_TYPES: [&str; 2] = ["bert", "cxr-bert"];

/// What is read of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::encoders) struct Config {
    /// Old configurations have none: then the other keys, which are BERT's, tell.
    model_type: Option<String>,
    pub(in crate::encoders) hidden_size: usize,
    num_hidden_layers: usize,
    pub(in crate::encoders) num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    #[serde(default = "published_eps")]
    pub(in crate::encoders) layer_norm_eps: f64,
    pub(in crate::encoders) max_position_embeddings: usize,
    #[serde(default = "published_types")]
    type_vocab_size: usize,
    pub(in crate::encoders) vocab_size: usize,
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
    pub(in crate::encoders) fn parse(json: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if let Some(other) = config.model_type.as_deref().filter(|kind| !MODEL_TYPES.contains(kind)) {
            return Err(format!("`model_type` is `{other}`, not `bert`"));
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

/// Loads a BERT of these sizes. Names may begin with `bert.`, norms may be called
/// `gamma` and `beta`, values may be of any floating-point type. There may be a pooler, and anything else beside.
///
/// # Errors
/// Everything that is missing, of another shape, or not finite.
pub(in crate::encoders) fn load(file: &File, config: &Config, device: &Device) -> Result<Bert, String> {
    let mut weights = Weights::new(file, device)?.with_prefix("bert.", "embeddings.");
    let bert = read(&mut weights, config);
    weights.finish(bert)
}

fn read(weights: &mut Weights<'_>, config: &Config) -> candle_core::Result<Bert> {
    let (width, hidden, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
    let words = weights.tensor(&["embeddings.word_embeddings.weight"], &[config.vocab_size, width])?;
    let positions =
        weights.tensor(&["embeddings.position_embeddings.weight"], &[config.max_position_embeddings, width])?;
    let types = weights.tensor(&["embeddings.token_type_embeddings.weight"], &[config.type_vocab_size, width])?;
    let norm = weights.norm("embeddings.LayerNorm", width, eps)?;
    let layers = (0..config.num_hidden_layers).map(|layer| {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        Ok(Layer {
            query_key_value: weights.query_key_value(&at("attention.self"), width)?,
            attention: weights.linear(&at("attention.output.dense"), width, width)?,
            attention_norm: weights.norm(&at("attention.output.LayerNorm"), width, eps)?,
            up: weights.linear(&at("intermediate.dense"), width, hidden)?,
            down: weights.linear(&at("output.dense"), hidden, width)?,
            norm: weights.norm(&at("output.LayerNorm"), width, eps)?,
        })
    });
    let layers = layers.collect::<candle_core::Result<_>>()?;
    let has_pooler = weights.has("pooler.dense.weight");
    let pooler = if has_pooler { Some(weights.linear("pooler.dense", width, width)?) } else { None };
    // Every token is of type 0, so that its row can be part of the position's.
    let positions = if weights.is_sound() { positions.broadcast_add(&types.get(0)?)? } else { positions };
    Ok(Bert { heads: config.num_attention_heads, words, positions, norm, layers, pooler })
}
