//! Training, and doing nothing.

use serde::{Deserialize, Serialize};

use crate::id::TrialId;

/// Pre-trains one Adaptor (paper, section 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pretrain {
    /// The [`Prepare`] trial: pairs and splits.
    pub dataset: TrialId,
    /// The [`Embed`] trial of the images.
    pub image: TrialId,
    /// The [`Embed`] trial of the texts.
    pub text: TrialId,
    /// Width of an image embedding.
    pub image_width: usize,
    /// Width of a text embedding.
    pub text_width: usize,
    /// What a query attends to.
    pub attention: Attention,
    /// Weight of the image-to-text term, alpha in the paper's Eq. 4.
    pub i2t_weight: f64,
    /// Dropout probability.
    pub dropout: f64,
    /// Number format of the matrix products. [`Precision::F32`] is left out of the JSON, so that trials recorded before there was
    /// a choice keep their identity.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Share of all steps over which the learning rate rises linearly; it then falls linearly to zero.
    pub warmup: f64,
    /// Passes over the training pairs.
    pub epochs: u32,
    /// Pairs a step.
    pub batch_size: usize,
    /// Stop after so many epochs without a better validation loss; none: never.
    pub patience: Option<u32>,
    /// What counts as better.
    pub min_delta: f64,
    /// Seed of initial weights, order and dropout.
    pub seed: u64,
}

/// What a query attends to in the Adaptor's layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// Keys and values come from the sample's own modality: no leak of the partner.
    OwnKv,
}

/// Number format of the operands of the matrix products in pre-training. Weights, moments, sums, norms and the loss are f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: 8 bits of exponent, 8 significant bits. Faster, and another result.
    Bf16,
}

impl Precision {
    /// The name used in sweep files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    const fn is_f32(&self) -> bool {
        matches!(self, Self::F32)
    }
}

/// Trains and tests one classification head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classify {
    /// The [`Prepare`] trial: labels and splits.
    pub dataset: TrialId,
    /// The [`Embed`] trial of the images.
    pub image: TrialId,
    /// The [`Pretrain`] trial whose Adaptor makes the features; none: the embeddings themselves are the features.
    pub adaptor: Option<TrialId>,
    /// Width of an image embedding.
    pub image_width: usize,
    /// Label column.
    pub label: String,
    /// What kind of column it is.
    pub target: Target,
    /// Share of the training split that is used, in (0, 1].
    pub fraction: f64,
    /// Which samples these are.
    pub subset: Subset,
    /// Dropout probability.
    pub dropout: f64,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// Passes over the training samples.
    pub epochs: u32,
    /// Samples a step.
    pub batch_size: usize,
    /// Stop after so many epochs without a better validation score; none: never.
    pub patience: Option<u32>,
    /// What counts as better.
    pub min_delta: f64,
    /// Seed of initial weights, order, dropout and the fraction's sample.
    pub seed: u64,
}

/// What kind of label a head predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One of two: one output, binary cross entropy, chosen by AUROC.
    Binary,
    /// One of several: an output each, cross entropy, chosen by accuracy.
    Classes,
}

/// Which samples a fraction of the training split is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// Drawn class by class, by the trial's seed; fractions of one seed are nested.
    Nested,
    /// As published: pandas' `sample(frac, random_state=42)`, whatever the trial's seed; see [`crate::datasets::splits::fraction`].
    Published,
}

/// Does nothing, or fails on demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noop {
    /// Tells trials apart.
    pub index: u64,
    /// Steps; each reports a metric `value`.
    pub steps: u64,
    /// Milliseconds a step.
    pub step_ms: u64,
    /// Trials that must be done first.
    pub after: Vec<TrialId>,
    /// How it ends.
    pub end: NoopEnd,
}

/// How a [`Noop`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoopEnd {
    /// Well.
    Done,
    /// With a failure that is worth another try.
    Transient,
    /// With a failure of its input.
    Input,
    /// With a panic.
    Panic,
    /// With a loss that is not finite.
    Diverged,
}
