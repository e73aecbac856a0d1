//! What a trial does, fully resolved: every value that determines its result, and nothing else.
//!
//! A task's canonical JSON, with the version of its kind, is what a trial's identity is made of. So a field belongs
//! here exactly if changing it changes the result: the interval of checkpoints does not, a learning rate does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::{IdError, TrialId};

/// The kinds of work, in the order in which a sweep needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Download a pinned Python wheel and check it.
    Fetch,
    /// Parse a collection into samples with texts, labels and splits.
    Prepare,
    /// Encode every sample of a collection with one frozen backbone.
    Embed,
    /// Pre-train one Adaptor on image-text pairs.
    Pretrain,
    /// Train and test one classification head on a frozen Adaptor.
    Classify,
    /// Do nothing for a while, or fail on demand: for tests and benchmarks.
    Noop,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Fetch, Self::Prepare, Self::Embed, Self::Pretrain, Self::Classify, Self::Noop];

    /// The name used in sweep files and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Prepare => "prepare",
            Self::Embed => "embed",
            Self::Pretrain => "pretrain",
            Self::Classify => "classify",
            Self::Noop => "noop",
        }
    }

    /// Version of the code behind this kind. Raise it when the same task gives another result: old results then
    /// keep their identity and the new ones get their own.
    pub const fn version(self) -> u32 {
        1
    }
}

/// What a trial does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Task {
    /// See [`Kind::Fetch`].
    Fetch(Fetch),
    /// See [`Kind::Prepare`].
    Prepare(Prepare),
    /// See [`Kind::Embed`].
    Embed(Embed),
    /// See [`Kind::Pretrain`].
    Pretrain(Pretrain),
    /// See [`Kind::Classify`].
    Classify(Classify),
    /// See [`Kind::Noop`].
    Noop(Noop),
}

/// Downloads one wheel with `pip download --no-deps` and checks its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    /// Distribution name, such as `torchxrayvision`.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// File name of the wheel.
    pub file: String,
    /// SHA-256 of the wheel, in lowercase hexadecimal.
    pub sha256: String,
}

/// Parses a collection and splits it by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepare {
    /// Where the collection comes from, and how it is read.
    pub reader: Reader,
    /// Seed of the split.
    pub split_seed: u64,
    /// Share of the groups in the training split, in (0, 1).
    pub train_share: f64,
    /// Share of the groups in the validation split, in (0, 1); the rest is the test split.
    pub valid_share: f64,
}

/// The collections that can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Reader {
    /// Indiana University chest X-ray reports with Open-i visual words, out of the `torchxrayvision` wheel.
    OpenI {
        /// The trial that fetched the wheel.
        wheel: TrialId,
        /// Reports that the collection must have.
        reports: usize,
        /// Images that they must name.
        images: usize,
    },
    /// MIMIC-CXR v2, as downloaded from PhysioNet. This version plans it and cannot read it yet.
    MimicCxr {
        /// The folder.
        root: PathBuf,
    },
    /// The RSNA pneumonia challenge of 2018, as downloaded from Kaggle. This version plans it and cannot read it yet.
    Rsna {
        /// The folder.
        root: PathBuf,
    },
}

/// Encodes the samples of a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// The [`Prepare`] trial.
    pub dataset: TrialId,
    /// The frozen encoder.
    pub encoder: Encoder,
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
    /// A BERT from a wheel.
    Bert {
        /// The trial that fetched the wheel.
        wheel: TrialId,
        /// Folder in the wheel with `config.json`, `model.safetensors` and `vocab.txt`.
        folder: String,
        /// How token outputs become one vector.
        pooling: Pooling,
        /// Longer texts are cut to this number of tokens, [CLS] and [SEP] included.
        max_tokens: usize,
    },
    /// An encoder of the paper by its name, its weights in a folder. This version plans it and cannot run it yet.
    Folder {
        /// Name, such as `dinov2-s`.
        model: String,
        /// The folder.
        weights: PathBuf,
    },
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
    /// Outputs of the head: 1 for a binary label (BCE, AUROC), more for classes (cross entropy, accuracy).
    pub classes: usize,
    /// Share of the training split that is used, in (0, 1]. Fractions of one seed are nested.
    pub fraction: f64,
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

impl Task {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fetch(_) => Kind::Fetch,
            Self::Prepare(_) => Kind::Prepare,
            Self::Embed(_) => Kind::Embed,
            Self::Pretrain(_) => Kind::Pretrain,
            Self::Classify(_) => Kind::Classify,
            Self::Noop(_) => Kind::Noop,
        }
    }

    /// Trials whose results it reads, each once, in a fixed order.
    pub fn inputs(&self) -> Vec<TrialId> {
        let mut inputs = match self {
            Self::Fetch(_) => vec![],
            Self::Prepare(task) => match &task.reader {
                Reader::OpenI { wheel, .. } => vec![*wheel],
                Reader::MimicCxr { .. } | Reader::Rsna { .. } => vec![],
            },
            Self::Embed(task) => match &task.encoder {
                Encoder::VisualWords { .. } | Encoder::Folder { .. } => vec![task.dataset],
                Encoder::Bert { wheel, .. } => vec![task.dataset, *wheel],
            },
            Self::Pretrain(task) => vec![task.dataset, task.image, task.text],
            Self::Classify(task) => [task.dataset, task.image].into_iter().chain(task.adaptor).collect(),
            Self::Noop(task) => task.after.clone(),
        };
        let mut seen = std::collections::HashSet::new();
        inputs.retain(|id| seen.insert(*id));
        inputs
    }

    /// Its identity.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn id(&self) -> Result<TrialId, IdError> {
        #[derive(Serialize)]
        struct Identity<'a> {
            version: u32,
            task: &'a Task,
        }
        TrialId::of(&Identity { version: self.kind().version(), task: self })
    }

    /// Trials with equal keys have equal shapes and may be leased together as one array.
    ///
    /// Learning rate, weight decay, seeds and inputs are per member; what fixes the sizes of tensors, the number of
    /// steps and the constants of the step is not.
    pub fn array_key(&self) -> String {
        match self {
            Self::Fetch(task) => format!("fetch/{}", task.file),
            Self::Prepare(_) => "prepare".to_owned(),
            Self::Embed(task) => match &task.encoder {
                // One array of all images, or of all poolings of one text encoder: the members share what they read.
                Encoder::VisualWords { .. } => format!("embed/visual-words/{}", task.dataset),
                Encoder::Bert { wheel, folder, max_tokens, .. } => {
                    format!("embed/bert/{}/{wheel}/{folder}/{max_tokens}", task.dataset)
                }
                Encoder::Folder { model, .. } => format!("embed/{model}/{}", task.dataset),
            },
            Self::Pretrain(t) => format!(
                "pretrain/{}/{}x{}/{:?}/b{}/e{}/w{}/p{}/a{}",
                t.dataset,
                t.image_width,
                t.text_width,
                t.attention,
                t.batch_size,
                t.epochs,
                t.warmup,
                t.dropout,
                t.i2t_weight
            ),
            Self::Classify(t) => format!(
                "classify/{}/{}/c{}/f{}/b{}/e{}/p{}",
                t.dataset,
                t.adaptor.map_or(t.image_width, |_| crate::model::WIDTH),
                t.classes,
                t.fraction,
                t.batch_size,
                t.epochs,
                t.dropout
            ),
            Self::Noop(t) => format!("noop/{}x{}", t.steps, t.step_ms),
        }
    }
}
