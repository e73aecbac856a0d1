//! The trials of the stages that stand in the file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use miette::SourceSpan;
use permafrost_worker::{
    id::TrialId,
    model::AdaptorShape,
    task::{
        Attention, Classify, Dtype, Kind, Noop, NoopEnd, Output, Precision, Pretrain, Project, Subset, Task, Weights,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    super::{
        file::{Files, Stage, SweepFile},
        types::{Missing, PlannedTrial},
    },
    estimate::{self, Size},
};

/// Makes trials, and those that they need.
pub(super) struct Planner<'a> {
    pub(super) file: &'a SweepFile,
    pub(super) trials: Vec<PlannedTrial>,
    pub(super) missing: Vec<Missing>,
    /// Implied trials that are there already.
    pub(super) known: HashSet<TrialId>,
    /// The prepare trial and size of each collection.
    pub(super) datasets: Vec<Option<(TrialId, Size)>>,
    /// Classes of the class columns of each table.
    pub(super) classes: HashMap<usize, BTreeMap<String, BTreeSet<String>>>,
    /// Encoders' files that were looked at, and bytes of them.
    pub(super) weights: Vec<(Files, Weights, u64)>,
}

/// Why a trial cannot be planned.
pub(super) struct Wrong {
    pub(super) code: &'static str,
    /// Where; none: in the stage.
    pub(super) span: Option<SourceSpan>,
    pub(super) what: String,
    pub(super) help: Option<String>,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { code: "sweep::value", span: None, what, help: None }
    }
}

pub(super) type Made<T> = Result<T, Wrong>;

/// A trial before it has an identity.
pub(super) struct Draft {
    pub(super) task: Task,
    pub(super) parameters: Value,
    pub(super) disk_bytes: u64,
    pub(super) memory_bytes: u64,
}

impl<'a> Planner<'a> {
    pub(super) fn new(file: &'a SweepFile) -> Self {
        let datasets = file.datasets.iter().map(|_| None).collect();
        let (trials, missing, known, weights) = (Vec::new(), Vec::new(), HashSet::new(), Vec::new());
        Self { file, trials, missing, known, datasets, classes: HashMap::new(), weights }
    }

    /// Adds the trials of a stage: every point for every trial of the stage it builds on.
    pub(super) fn stage(
        &mut self,
        stage: &Stage,
        points: &[Map<String, Value>],
        before: &[Vec<usize>],
    ) -> Made<Vec<usize>> {
        let parents: Vec<Option<usize>> = match stage.from {
            None => vec![None],
            Some(from) => before[from].iter().copied().map(Some).collect(),
        };
        let mut made = Vec::with_capacity(parents.len() * points.len());
        let mut seen = HashSet::new();
        for parent in parents {
            for point in points {
                let draft = match stage.kind {
                    Kind::Embed => self.embed(stage, point)?,
                    Kind::Pretrain => self.pretrain(stage, point)?,
                    Kind::Classify => self.classify(stage, point, parent)?,
                    Kind::Project => self.project(stage, point, parent)?,
                    _ => self.noop(point, parent)?,
                };
                let id = identity(&draft.task)?;
                // Two names of one encoder, say. The database holds a trial once in a stage.
                if !seen.insert(id) {
                    return Err(format!("two of its trials are the same; one of them has {}", draft.parameters).into());
                }
                made.push(self.trials.len());
                self.add(id, &stage.name, draft);
            }
        }
        Ok(made)
    }

    pub(super) fn add(&mut self, id: TrialId, stage: &str, draft: Draft) {
        let Draft { task, parameters, disk_bytes, memory_bytes } = draft;
        let stage = stage.to_owned();
        self.trials.push(PlannedTrial { id, stage, task, parameters, disk_bytes, memory_bytes });
    }

    fn embed(&mut self, stage: &Stage, point: &Map<String, Value>) -> Made<Draft> {
        let (dataset, size) = self.dataset(stage)?;
        let name: String = field(point, "encoder")?;
        let output: Output = field(point, "output")?;
        let dtype: Option<Dtype> = field(point, "dtype")?;
        let mut draft = match (self.file.vision(&name).is_some(), self.file.text(&name).is_some()) {
            (true, true) => {
                return Err(format!("`{name}` is an image encoder and a text encoder; rename one of them").into());
            }
            (true, false) => self.vision_draft(stage, dataset, size, &name, output, dtype)?,
            _ => self.text_draft(stage, dataset, size, &name, output, dtype)?,
        };
        let mut parameters = point.clone();
        if let Task::Embed(task) = &draft.task {
            parameters.insert("dtype".to_owned(), serde_json::to_value(task.dtype).unwrap_or(Value::Null));
        }
        draft.parameters = Value::Object(parameters);
        Ok(draft)
    }

    fn pretrain(&mut self, stage: &Stage, point: &Map<String, Value>) -> Made<Draft> {
        let (dataset, size) = self.dataset(stage)?;
        let vision: String = field(point, "vision")?;
        let text: String = field(point, "text")?;
        let (image, image_width) = self.vision(stage, dataset, size, &vision)?;
        let (text, text_width) = self.text(stage, dataset, size, &text)?;
        let task = Task::Pretrain(Pretrain {
            dataset,
            image,
            text,
            image_width,
            text_width,
            attention: field::<Attention>(point, "attention")?,
            i2t_weight: field(point, "i2t_weight")?,
            dropout: field(point, "dropout")?,
            precision: field::<Precision>(point, "precision")?,
            learning_rate: field(point, "learning_rate")?,
            weight_decay: field(point, "weight_decay")?,
            warmup: field(point, "warmup")?,
            epochs: field(point, "epochs")?,
            batch_size: field(point, "batch_size")?,
            patience: field(point, "patience")?,
            min_delta: field(point, "min_delta")?,
            seed: field(point, "seed")?,
        });
        let adaptor = 4 * AdaptorShape { image_width, text_width }.parameters() as u64;
        Ok(Draft {
            task,
            parameters: Value::Object(point.clone()),
            disk_bytes: adaptor,
            memory_bytes: estimate::pretrain_memory(size, image_width, text_width, adaptor),
        })
    }

    fn classify(&mut self, stage: &Stage, point: &Map<String, Value>, parent: Option<usize>) -> Made<Draft> {
        let (dataset, size) = self.dataset(stage)?;
        let mut parameters = point.clone();
        let adaptor = parent.map(|parent| self.trials[parent].id);
        let vision: String = match parent {
            None => field(point, "vision")?,
            Some(parent) => {
                let lineage = self.lineage(parent);
                let vision = field(&lineage, "vision")?;
                parameters.extend(lineage);
                vision
            }
        };
        let (image, image_width) = self.vision(stage, dataset, size, &vision)?;
        let label: String = field(point, "label")?;
        self.check_class(stage, &label)?;
        let collection = stage.dataset.map(|at| &self.file.datasets[at].1);
        let target = collection.and_then(|dataset| dataset.target(&label));
        let task = Task::Classify(Classify {
            dataset,
            image,
            adaptor,
            image_width,
            target: target.ok_or_else(|| format!("the collection has no label `{label}`"))?,
            label,
            subset: field::<Subset>(point, "subset")?,
            fraction: field(point, "fraction")?,
            dropout: field(point, "dropout")?,
            learning_rate: field(point, "learning_rate")?,
            weight_decay: field(point, "weight_decay")?,
            epochs: field(point, "epochs")?,
            batch_size: field(point, "batch_size")?,
            patience: field(point, "patience")?,
            min_delta: field(point, "min_delta")?,
            seed: field(point, "seed")?,
        });
        Ok(Draft {
            task,
            parameters: Value::Object(parameters),
            disk_bytes: estimate::HEAD_BYTES,
            memory_bytes: estimate::classify_memory(size, image_width, adaptor.is_some()),
        })
    }

    fn project(&mut self, stage: &Stage, point: &Map<String, Value>, parent: Option<usize>) -> Made<Draft> {
        let (dataset, size) = self.dataset(stage)?;
        let parent = parent.ok_or_else(|| "it builds on no Adaptor".to_owned())?;
        let lineage = self.lineage(parent);
        let vision: String = field(&lineage, "vision")?;
        let mut parameters = point.clone();
        parameters.extend(lineage);
        let (image, image_width) = self.vision(stage, dataset, size, &vision)?;
        let label: String = field(point, "label")?;
        self.check_class(stage, &label)?;
        let collection = stage.dataset.map(|at| &self.file.datasets[at].1);
        let target = collection.and_then(|dataset| dataset.target(&label));
        let samples: usize = field(point, "samples")?;
        let task = Task::Project(Project {
            dataset,
            image,
            adaptor: self.trials[parent].id,
            image_width,
            target: target.ok_or_else(|| format!("the collection has no label `{label}`"))?,
            label,
            split: field(point, "split")?,
            samples,
            perplexity: field(point, "perplexity")?,
            iterations: field(point, "iterations")?,
            seed: field(point, "seed")?,
        });
        Ok(Draft {
            task,
            parameters: Value::Object(parameters),
            disk_bytes: estimate::BYTES_PER_PLACE * samples.min(size.images) as u64,
            memory_bytes: estimate::classify_memory(size, image_width, true),
        })
    }

    /// What a trial inherits of its parent: the encoders as they are, everything else under the parent's stage.
    fn lineage(&self, parent: usize) -> Map<String, Value> {
        let parent = &self.trials[parent];
        let own = parent.parameters.as_object().into_iter().flatten();
        let renamed = own.map(|(name, value)| match name.as_str() {
            "vision" | "text" => (name.clone(), value.clone()),
            _ => (format!("{}.{name}", parent.stage), value.clone()),
        });
        renamed.collect()
    }

    fn noop(&self, point: &Map<String, Value>, parent: Option<usize>) -> Made<Draft> {
        let task = Task::Noop(Noop {
            index: field(point, "index")?,
            steps: field(point, "steps")?,
            step_ms: field(point, "step_ms")?,
            after: parent.map(|parent| self.trials[parent].id).into_iter().collect(),
            end: field::<NoopEnd>(point, "end")?,
        });
        Ok(Draft { task, parameters: Value::Object(point.clone()), disk_bytes: 0, memory_bytes: 0 })
    }
}

pub(super) fn identity(task: &Task) -> Made<TrialId> {
    task.id().map_err(|error| error.to_string().into())
}

fn field<T: DeserializeOwned>(point: &Map<String, Value>, name: &str) -> Made<T> {
    let value = point.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| format!("parameter `{name}`: {error}").into())
}
