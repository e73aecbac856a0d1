//! Training and testing of one classification head on frozen features (paper, sections 2.3 and 3.2).
//!
//! A new order each epoch; a last batch of one sample is left out, as BatchNorm needs two. Chosen on the validation split by
//! AUROC, then tested once. Images whose label is unknown are left out everywhere.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    array,
    early_stop::EarlyStop,
    features::{self, Features},
    inputs::Inputs,
    run::{Position, Watch, Weights},
    sampling,
    schedule::CosineRestarts,
};
use crate::{
    checkpoint,
    datasets::{Dataset, Split},
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    metrics::{accuracy, auroc, sigmoid},
    model::{Dropout, HeadShape, HeadStep, RunningStats, Targets},
    protocol::{Artifact, Outcome},
    random::{Key, Purpose},
    task::{Classify, Subset, Target, Task},
};

/// Width of the hidden layer (paper, section 2.3).
const HIDDEN: usize = 512;
/// Samples that are tested at once.
const TEST_BATCH: usize = 512;
/// Length of the schedule's period, as a share of all steps, and its least rate (the authors' code).
const PERIOD: f64 = 0.4;
const ETA_MIN: f64 = 1e-8;

/// Runs the members.
///
/// # Errors
/// When the device cannot train; each member has its own outcome otherwise.
pub fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let threads = array::cpu_threads(device)?;
    let inputs = Inputs::default();
    array::run(job.leases.len(), threads, reporter, |member, _| {
        let lease = &job.leases[member];
        let Task::Classify(task) = &lease.task else { return Err(Error::input("not a classification task")) };
        if task.target != Target::Binary || task.subset != Subset::Nested {
            return Err(Error::input(format!("label `{}`: this version trains binary labels alone", task.label)));
        }
        let dataset = inputs.dataset(job, lease, task.dataset)?;
        let embeddings = inputs.embeddings(job, lease, task.image, task.image_width)?;
        let features = features::of(task, &dataset, &embeddings, job, lease, threads)?;
        Training::new(task, &dataset, features)?.run(job, member, reporter, &dataset)
    });
    Ok(())
}

/// Samples of one split: which image, and its label.
struct Samples {
    images: Vec<usize>,
    positive: Vec<bool>,
}

impl Samples {
    fn of(dataset: &Dataset, features: &Features, column: usize, split: Split) -> Self {
        let present = dataset.images.iter().enumerate().filter(|&(i, _)| features.has(i));
        let labelled = present.filter(|(_, image)| image.split == split);
        let (images, positive) = labelled.filter_map(|(i, image)| Some((i, image.labels[column]?))).unzip();
        Self { images, positive }
    }

    fn positives(&self) -> usize {
        self.positive.iter().filter(|&&label| label).count()
    }

    fn check(self, label: &str, split: Split) -> Result<Self> {
        let (all, positives) = (self.images.len(), self.positives());
        if positives == 0 || positives == all {
            let name = split.name();
            return Err(Error::input(format!(
                "{positives} of the {all} {name} samples have `{label}`: both classes are needed"
            )));
        }
        Ok(self)
    }
}

struct Training<'a> {
    task: &'a Classify,
    features: Arc<Features>,
    train: Samples,
    valid: Samples,
    test: Samples,
    shape: HeadShape,
    step: HeadStep,
    stats: RunningStats,
    best_stats: RunningStats,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl<'a> Training<'a> {
    fn new(task: &'a Classify, dataset: &Dataset, features: Arc<Features>) -> Result<Self> {
        let column = dataset.label(&task.label)?;
        let samples = |split| Samples::of(dataset, &features, column, split).check(&task.label, split);
        let all = samples(Split::Train)?;
        let chosen = sampling::fraction(&all.positive, task.fraction, task.seed);
        let train = Samples {
            images: chosen.iter().map(|&i| all.images[i]).collect(),
            positive: chosen.iter().map(|&i| all.positive[i]).collect(),
        };
        if task.batch_size < 2 || task.epochs == 0 {
            return Err(Error::input("a head needs a batch of at least 2 and at least 1 epoch"));
        }
        let shape = HeadShape { width: features.width, hidden: HIDDEN, classes: 1 };
        Ok(Self {
            valid: samples(Split::Valid)?,
            test: samples(Split::Test)?,
            step: HeadStep::new(shape, task.batch_size.min(train.images.len()).max(TEST_BATCH)),
            stats: RunningStats::new(HIDDEN),
            best_stats: RunningStats::new(HIDDEN),
            task,
            features,
            train,
            shape,
            x: Vec::new(),
            y: Vec::new(),
        })
    }

    fn run(mut self, job: &Job, member: usize, reporter: &dyn Reporter, dataset: &Dataset) -> Result<Outcome> {
        let task = self.task;
        let mut weights = Weights::new(self.shape.init(task.seed), task.weight_decay);
        let mut at = Position::new(EarlyStop::new(task.patience, task.min_delta));
        if let Some(mut state) = checkpoint::load(job, member, reporter) {
            at.restore(&state)?;
            weights.restore(&mut state)?;
            self.stats = stats_of(&mut state, "")?;
            self.best_stats = stats_of(&mut state, "best_")?;
        }
        // A last batch of one sample has no variance.
        let batches = |n: usize| (n / task.batch_size + usize::from(n % task.batch_size > 1)) as u64;
        let steps_an_epoch = batches(self.train.images.len());
        let total = steps_an_epoch * u64::from(task.epochs);
        let message = format!(
            "{} samples to train ({} with `{}`), {} to validate, {} to test, {} images left out without an embedding; \
             {steps_an_epoch} steps an epoch",
            self.train.images.len(),
            self.train.positives(),
            task.label,
            self.valid.images.len(),
            self.test.images.len(),
            self.features.missing()
        );
        reporter.log(member, &message);
        let schedule = CosineRestarts::new((total as f64 * PERIOD) as u64, ETA_MIN, task.learning_rate);
        let mut watch = Watch::new(job, member, reporter);
        let mut order = self.order(at.epoch);
        while at.epoch < task.epochs && !at.stop.is_over() {
            let loss = self.train_step(&mut weights, &order, &at, schedule.rate(u64::from(at.epoch)));
            if !loss.is_finite() {
                return Ok(Outcome::Diverged { step: at.step, what: "train_loss".to_owned() });
            }
            at.step += 1;
            at.epoch_step += 1;
            at.loss_sum += f64::from(loss);
            reporter.progress(member, at.step, total);
            if at.epoch_step == steps_an_epoch {
                let epoch = at.epoch;
                let train_loss = at.end_epoch();
                let scores = self.scores(&weights.p, Split::Valid);
                let Ok(val_auroc) = auroc(&scores, &self.valid.positive) else {
                    return Ok(Outcome::Diverged { step: at.step - 1, what: "a validation score".to_owned() });
                };
                reporter.metric(member, "train_loss", u64::from(epoch), train_loss);
                reporter.metric(member, "val_auroc", u64::from(epoch), val_auroc);
                if at.stop.improved(epoch, val_auroc) {
                    weights.keep_best();
                    self.best_stats.clone_from(&self.stats);
                }
                order = self.order(at.epoch);
            }
            let numbers = || {
                let mut numbers = at.numbers(!weights.best.is_empty());
                numbers.extend([("batches", self.stats.batches), ("best_batches", self.best_stats.batches)]);
                numbers
            };
            let vectors = || {
                let (now, best) = (&self.stats, &self.best_stats);
                vec![
                    ("mean", now.mean.clone()),
                    ("variance", now.variance.clone()),
                    ("best_mean", best.mean.clone()),
                    ("best_variance", best.variance.clone()),
                ]
            };
            if let Some(outcome) = watch.after_step(at.step, numbers, vectors, &weights)? {
                return Ok(outcome);
            }
        }
        self.finish(job, member, &weights, &at, dataset)
    }

    fn order(&self, epoch: u32) -> Vec<u32> {
        Key::new(self.task.seed, Purpose::Order, u64::from(epoch)).permutation(self.train.images.len())
    }

    fn train_step(&mut self, weights: &mut Weights, order: &[u32], at: &Position, learning_rate: f64) -> f32 {
        let start = at.epoch_step as usize * self.task.batch_size;
        let end = (start + self.task.batch_size).min(order.len());
        self.x.clear();
        self.y.clear();
        for &sample in &order[start..end] {
            let sample = sample as usize;
            self.x.extend_from_slice(self.features.row(self.train.images[sample]));
            self.y.push(f32::from(u8::from(self.train.positive[sample])));
        }
        let dropout = Dropout { p: self.task.dropout, seed: self.task.seed, step: at.step };
        let loss = self.step.forward_backward(
            &weights.p,
            &mut weights.g,
            &mut self.stats,
            &self.x,
            Targets::Binary(&self.y),
            end - start,
            Some(dropout),
        );
        if loss.is_finite() {
            weights.update(at.step, learning_rate);
        }
        loss
    }

    /// Probabilities of the samples of a split, in evaluation mode.
    fn scores(&mut self, p: &[f32], split: Split) -> Vec<f32> {
        let (samples, stats) = match split {
            Split::Valid => (&self.valid, &self.stats),
            _ => (&self.test, &self.best_stats),
        };
        let mut scores = vec![0.0; samples.images.len()];
        for (images, out) in samples.images.chunks(TEST_BATCH).zip(scores.chunks_mut(TEST_BATCH)) {
            self.x.clear();
            for &image in images {
                self.x.extend_from_slice(self.features.row(image));
            }
            self.step.logits(p, stats, &self.x, images.len(), out);
        }
        scores.iter_mut().for_each(|score| *score = sigmoid(*score));
        scores
    }

    fn finish(
        mut self,
        job: &Job,
        member: usize,
        weights: &Weights,
        at: &Position,
        dataset: &Dataset,
    ) -> Result<Outcome> {
        let scores = self.scores(&weights.best, Split::Test);
        let Ok(test_auroc) = auroc(&scores, &self.test.positive) else {
            return Ok(Outcome::Diverged { step: at.step, what: "a test score".to_owned() });
        };
        let predicted: Vec<bool> = scores.iter().map(|&score| score > 0.5).collect();
        let right = accuracy(&predicted, &self.test.positive).map_err(|error| Error::input(error.to_string()))?;
        let folder = job.folder(member);
        let head = folder.join("head.safetensors");
        let bytes = self.shape.to_safetensors(&weights.best, &self.best_stats);
        files::write_atomic(&head, |out| out.write_all(&bytes))?;
        let count = |n: usize| n as f64;
        let summary = BTreeMap::from([
            ("auroc".to_owned(), test_auroc),
            ("val_auroc".to_owned(), at.stop.best),
            ("accuracy".to_owned(), right),
            ("best_epoch".to_owned(), f64::from(at.stop.best_epoch)),
            ("epochs".to_owned(), f64::from(at.epoch)),
            ("train_samples".to_owned(), count(self.train.images.len())),
            ("train_positives".to_owned(), count(self.train.positives())),
            ("test_samples".to_owned(), count(self.test.images.len())),
            ("test_positives".to_owned(), count(self.test.positives())),
            ("images_missing".to_owned(), count(self.features.missing())),
        ]);
        let artifacts = vec![files::describe(&job.home, &head)?, self.predictions(job, member, &scores, dataset)?];
        Ok(Outcome::Done { summary, artifacts })
    }

    /// Every test sample with its label and score.
    fn predictions(&self, job: &Job, member: usize, scores: &[f32], dataset: &Dataset) -> Result<Artifact> {
        let path = job.folder(member).join("predictions.csv");
        files::write_atomic(&path, |out| {
            let mut table = csv::Writer::from_writer(out);
            table.write_record(["image", "label", "score"])?;
            for ((&image, &label), score) in self.test.images.iter().zip(&self.test.positive).zip(scores) {
                table.write_record([
                    dataset.images[image].id.as_str(),
                    if label { "1" } else { "0" },
                    &score.to_string(),
                ])?;
            }
            table.flush()
        })?;
        files::describe(&job.home, &path)
    }
}

fn stats_of(state: &mut checkpoint::State, prefix: &str) -> Result<RunningStats> {
    Ok(RunningStats {
        mean: state.take(&format!("{prefix}mean"), HIDDEN)?,
        variance: state.take(&format!("{prefix}variance"), HIDDEN)?,
        batches: state.number(&format!("{prefix}batches"))?,
    })
}
