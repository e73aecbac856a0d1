//! What training a head takes, the same on every device: its samples, schedule and order, and what it leaves behind.

use std::{borrow::Cow, sync::Arc};

use super::{ETA_MIN, HIDDEN, PERIOD, results::Scores, samples::Splits};
use crate::{
    checkpoint::State,
    datasets::Dataset,
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    model::{HeadShape, RunningStats},
    protocol::Outcome,
    random::{Key, Purpose},
    task::{Classify, Target},
    train::{
        course::{Course, Length, Past, Quality, diverged},
        early_stop::EarlyStop,
        features::Features,
        schedule::CosineRestarts,
        weights::Saved,
    },
};

/// A resolved task with its samples and their features.
pub(super) struct Plan<'a> {
    pub(super) task: &'a Classify,
    dataset: Arc<Dataset>,
    pub(super) features: Arc<Features>,
    pub(super) splits: Splits,
    pub(super) shape: HeadShape,
    pub(super) steps_an_epoch: u64,
    schedule: CosineRestarts,
}

impl<'a> Plan<'a> {
    pub(super) fn new(task: &'a Classify, dataset: Arc<Dataset>, features: Arc<Features>) -> Result<Self> {
        let splits = Splits::of(task, &dataset, &|image| features.has(image))?;
        if task.batch_size < 2 || task.epochs == 0 {
            return Err(Error::input("a head needs a batch of at least 2 and at least 1 epoch"));
        }
        let classes = match task.target {
            Target::Binary => 1,
            Target::Classes => splits.labels.classes.len(),
        };
        // A last batch of one sample has no variance.
        let batches = |n: usize| (n / task.batch_size + usize::from(n % task.batch_size > 1)) as u64;
        let steps_an_epoch = batches(splits.train.images.len());
        let period = ((steps_an_epoch * u64::from(task.epochs)) as f64 * PERIOD) as u64;
        Ok(Self {
            shape: HeadShape { width: features.width, hidden: HIDDEN, classes },
            steps_an_epoch,
            schedule: CosineRestarts::new(period, ETA_MIN, task.learning_rate),
            task,
            dataset,
            features,
            splits,
        })
    }

    /// The member's way, from its last checkpoint, which `past` may have written; the rest of that is to be restored into the model.
    pub(super) fn begin<'j>(
        &self,
        job: &'j Job,
        member: usize,
        reporter: &'j dyn Reporter,
        past: &Past,
    ) -> Result<(Course<'j>, Option<State>)> {
        let Self { task, steps_an_epoch, .. } = self;
        let stop = EarlyStop::new(task.patience, task.min_delta);
        let length = Length { stop, epochs: task.epochs, steps_an_epoch: *steps_an_epoch };
        let begun = Course::begin(job, member, reporter, past, length)?;
        reporter.log(member, &self.describe());
        Ok(begun)
    }

    fn describe(&self) -> String {
        let Splits { labels, train, valid, test } = &self.splits;
        format!(
            "`{}`: {} samples to train, {} to validate, {} to test, {} images left out without an embedding; {} \
             steps an epoch",
            labels.name,
            train.describe(labels),
            valid.describe(labels),
            test.describe(labels),
            self.features.missing(),
            self.steps_an_epoch
        )
    }

    /// The learning rate of all steps of `epoch`.
    pub(super) fn learning_rate(&self, epoch: u32) -> f64 {
        self.schedule.rate(u64::from(epoch))
    }

    /// Order of the training samples in `epoch`.
    pub(super) fn order(&self, epoch: u32) -> Vec<u32> {
        Key::new(self.task.seed, Purpose::Order, u64::from(epoch)).permutation(self.splits.train.images.len())
    }

    /// How good a head with these outputs of the validation samples is.
    pub(super) fn quality(&self, logits: Vec<f32>) -> Quality {
        let scores = Scores::of(logits, self.task.target, self.shape.classes);
        Quality::Score(val_metric(self.task.target), scores.quality(&self.splits.valid))
    }

    /// Writes the best head and its predictions, and says how the member has ended. `logits` are those of the test samples.
    pub(super) fn finish(
        &self,
        course: &Course<'_>,
        best: &[f32],
        stats: &RunningStats,
        logits: Vec<f32>,
    ) -> Result<Outcome> {
        let Course { job, member, at, .. } = course;
        let (target, Splits { labels, train, test, .. }) = (self.task.target, &self.splits);
        let scores = Scores::of(logits, target, self.shape.classes);
        let Some(quality) = scores.quality(test) else {
            return Ok(diverged(at.step, "a test score"));
        };
        let folder = job.folder(*member);
        let head = folder.join("head.safetensors");
        let bytes = self.shape.to_safetensors(best, stats);
        files::write_atomic(&head, |out| out.write_all(&bytes))?;
        let mut summary = scores.summary(test, labels)?;
        summary.extend([
            (metric(target).to_owned(), quality),
            (val_metric(target).to_owned(), at.stop.best),
            ("best_epoch".to_owned(), f64::from(at.stop.best_epoch)),
            ("epochs".to_owned(), f64::from(at.epoch)),
            ("train_samples".to_owned(), train.images.len() as f64),
            ("test_samples".to_owned(), test.images.len() as f64),
            ("images_missing".to_owned(), self.features.missing() as f64),
        ]);
        if target == Target::Binary {
            summary.insert("train_positives".to_owned(), train.count(1) as f64);
        }
        let predictions = folder.join("predictions.csv");
        scores.write(&predictions, test, labels, &self.dataset)?;
        let artifacts = vec![files::describe(&job.home, &head)?, files::describe(&job.home, &predictions)?];
        Ok(Outcome::Done { summary, artifacts })
    }
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

/// Running statistics of a checkpoint; those of the best epoch have the prefix `best_`.
fn stats_of(state: &mut State, prefix: &str) -> Result<RunningStats> {
    Ok(RunningStats {
        mean: state.take(&format!("{prefix}mean"), HIDDEN)?,
        variance: state.take(&format!("{prefix}variance"), HIDDEN)?,
        batches: state.number(&format!("{prefix}batches"))?,
    })
}

/// The running statistics of a head, and those of its best epoch.
pub(super) fn restore_stats(state: &mut State) -> Result<[RunningStats; 2]> {
    Ok([stats_of(state, "")?, stats_of(state, "best_")?])
}

/// What a checkpoint has of the running statistics.
pub(super) fn save_stats<'s>(saved: &mut Saved<'s>, now: Cow<'s, RunningStats>, best: Cow<'s, RunningStats>) {
    saved.numbers.extend([("batches", now.batches), ("best_batches", best.batches)]);
    for ([mean, variance], stats) in [(["mean", "variance"], now), (["best_mean", "best_variance"], best)] {
        let [means, variances] = match stats {
            Cow::Borrowed(stats) => [Cow::from(&stats.mean), Cow::from(&stats.variance)],
            Cow::Owned(stats) => [Cow::from(stats.mean), Cow::from(stats.variance)],
        };
        saved.vectors.extend([(mean, means), (variance, variances)]);
    }
}
