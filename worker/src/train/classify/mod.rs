//! Training and testing of one classification head on frozen features (paper, sections 2.3 and 3.2).
//!
//! A new order each epoch; a last batch of one sample is left out, as BatchNorm needs two. Chosen on the validation split by
//! AUROC, or accuracy where there are several classes, then tested once. Images whose label is unknown are left out everywhere.

mod results;
mod samples;

use std::sync::Arc;

use self::{
    results::Scores,
    samples::{Samples, Splits},
};

use super::{
    array,
    early_stop::EarlyStop,
    features::{self, Features},
    inputs::Inputs,
    run::{Position, Watch, Weights},
    schedule::CosineRestarts,
};
use crate::{
    checkpoint,
    datasets::Dataset,
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    model::{Dropout, HeadShape, HeadStep, RunningStats, Targets},
    protocol::Outcome,
    random::{Key, Purpose},
    task::{Classify, Target, Task},
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
        let dataset = inputs.dataset(job, lease, task.dataset)?;
        let embeddings = inputs.embeddings(job, lease, task.image, task.image_width)?;
        let features = features::of(task, &dataset, &embeddings, job, lease, threads)?;
        Training::new(task, &dataset, features)?.run(job, member, reporter, &dataset)
    });
    Ok(())
}

struct Training<'a> {
    task: &'a Classify,
    features: Arc<Features>,
    splits: Splits,
    shape: HeadShape,
    step: HeadStep,
    stats: RunningStats,
    best_stats: RunningStats,
    /// Features of the present batch, [batch, width], and its classes, as a binary label's numbers too.
    x: Vec<f32>,
    y: Vec<u32>,
    y_binary: Vec<f32>,
}

impl<'a> Training<'a> {
    fn new(task: &'a Classify, dataset: &Dataset, features: Arc<Features>) -> Result<Self> {
        let splits = Splits::of(task, dataset)?;
        if task.batch_size < 2 || task.epochs == 0 {
            return Err(Error::input("a head needs a batch of at least 2 and at least 1 epoch"));
        }
        let classes = match task.target {
            Target::Binary => 1,
            Target::Classes => splits.labels.classes.len(),
        };
        let shape = HeadShape { width: features.width, hidden: HIDDEN, classes };
        Ok(Self {
            step: HeadStep::new(shape, task.batch_size.min(splits.train.images.len()).max(TEST_BATCH)),
            stats: RunningStats::new(HIDDEN),
            best_stats: RunningStats::new(HIDDEN),
            task,
            features,
            splits,
            shape,
            x: Vec::new(),
            y: Vec::new(),
            y_binary: Vec::new(),
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
        let steps_an_epoch = batches(self.splits.train.images.len());
        let total = steps_an_epoch * u64::from(task.epochs);
        reporter.log(member, &self.describe(steps_an_epoch));
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
                let stats = self.stats.clone();
                let valid = &self.splits.valid;
                let scores = scores(&mut self.step, &self.features, task.target, &weights.p, &stats, valid);
                let Some(quality) = scores.quality(valid) else {
                    return Ok(Outcome::Diverged { step: at.step - 1, what: "a validation score".to_owned() });
                };
                reporter.metric(member, "train_loss", u64::from(epoch), train_loss);
                reporter.metric(member, val_metric(task.target), u64::from(epoch), quality);
                if at.stop.improved(epoch, quality) {
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
        Key::new(self.task.seed, Purpose::Order, u64::from(epoch)).permutation(self.splits.train.images.len())
    }

    fn train_step(&mut self, weights: &mut Weights, order: &[u32], at: &Position, learning_rate: f64) -> f32 {
        let start = at.epoch_step as usize * self.task.batch_size;
        let end = (start + self.task.batch_size).min(order.len());
        self.x.clear();
        self.y.clear();
        for &sample in &order[start..end] {
            let sample = sample as usize;
            self.x.extend_from_slice(self.features.row(self.splits.train.images[sample]));
            self.y.push(self.splits.train.classes[sample]);
        }
        let targets = match self.task.target {
            Target::Binary => {
                self.y_binary.clear();
                self.y_binary.extend(self.y.iter().map(|&class| class as f32));
                Targets::Binary(&self.y_binary)
            }
            Target::Classes => Targets::Classes(&self.y),
        };
        let dropout = Dropout { p: self.task.dropout, seed: self.task.seed, step: at.step };
        let loss = self.step.forward_backward(
            &weights.p,
            &mut weights.g,
            &mut self.stats,
            &self.x,
            targets,
            end - start,
            Some(dropout),
        );
        if loss.is_finite() {
            weights.update(at.step, learning_rate);
        }
        loss
    }

    fn describe(&self, steps_an_epoch: u64) -> String {
        let Splits { labels, train, valid, test } = &self.splits;
        format!(
            "`{}`: {} samples to train, {} to validate, {} to test; {steps_an_epoch} steps an epoch",
            labels.name,
            train.describe(labels),
            valid.describe(labels),
            test.describe(labels)
        )
    }

    fn finish(
        mut self,
        job: &Job,
        member: usize,
        weights: &Weights,
        at: &Position,
        dataset: &Dataset,
    ) -> Result<Outcome> {
        let (target, Splits { labels, train, test, .. }) = (self.task.target, &self.splits);
        let scores = scores(&mut self.step, &self.features, target, &weights.best, &self.best_stats, test);
        let Some(quality) = scores.quality(test) else {
            return Ok(Outcome::Diverged { step: at.step, what: "a test score".to_owned() });
        };
        let folder = job.folder(member);
        let head = folder.join("head.safetensors");
        let bytes = self.shape.to_safetensors(&weights.best, &self.best_stats);
        files::write_atomic(&head, |out| out.write_all(&bytes))?;
        let mut summary = scores.summary(test, labels)?;
        summary.extend([
            (metric(target).to_owned(), quality),
            (val_metric(target).to_owned(), at.stop.best),
            ("best_epoch".to_owned(), f64::from(at.stop.best_epoch)),
            ("epochs".to_owned(), f64::from(at.epoch)),
            ("train_samples".to_owned(), train.images.len() as f64),
            ("test_samples".to_owned(), test.images.len() as f64),
        ]);
        if target == Target::Binary {
            summary.insert("train_positives".to_owned(), train.count(1) as f64);
        }
        let predictions = folder.join("predictions.csv");
        scores.write(&predictions, test, labels, dataset)?;
        let artifacts = vec![files::describe(&job.home, &head)?, files::describe(&job.home, &predictions)?];
        Ok(Outcome::Done { summary, artifacts })
    }
}

/// Probabilities of `samples`, in evaluation mode.
fn scores(
    step: &mut HeadStep,
    features: &Features,
    target: Target,
    p: &[f32],
    stats: &RunningStats,
    samples: &Samples,
) -> Scores {
    let outputs = step.shape().classes;
    let mut logits = vec![0.0; samples.images.len() * outputs];
    let mut x = Vec::new();
    for (images, out) in samples.images.chunks(TEST_BATCH).zip(logits.chunks_mut(TEST_BATCH * outputs)) {
        x.clear();
        images.iter().for_each(|&image| x.extend_from_slice(features.row(image)));
        step.logits(p, stats, &x, images.len(), out);
    }
    Scores::of(logits, target, outputs)
}

/// What heads are tested by.
const fn metric(target: Target) -> &'static str {
    match target {
        Target::Binary => "auroc",
        Target::Classes => "accuracy",
    }
}

/// What heads are chosen by.
const fn val_metric(target: Target) -> &'static str {
    match target {
        Target::Binary => "val_auroc",
        Target::Classes => "val_accuracy",
    }
}

fn stats_of(state: &mut checkpoint::State, prefix: &str) -> Result<RunningStats> {
    Ok(RunningStats {
        mean: state.take(&format!("{prefix}mean"), HIDDEN)?,
        variance: state.take(&format!("{prefix}variance"), HIDDEN)?,
        batches: state.number(&format!("{prefix}batches"))?,
    })
}
