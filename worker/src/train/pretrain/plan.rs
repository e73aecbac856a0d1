//! What pre-training a member takes, the same on every device: its pairs, schedule and order, and what it leaves behind.

use std::collections::BTreeMap;

use super::{
    ADAPTOR,
    pairs::{Pair, Pairs},
};
use crate::{
    checkpoint::State,
    datasets::Split,
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    model::AdaptorShape,
    protocol::Outcome,
    random::{Key, Purpose},
    task::Pretrain,
    train::{
        course::{Course, Length, Past, diverged},
        early_stop::EarlyStop,
        schedule::LinearWarmup,
    },
};

/// A resolved task with its pairs.
pub(super) struct Plan<'a> {
    pub(super) task: &'a Pretrain,
    pub(super) pairs: &'a Pairs,
    pub(super) train: Vec<Pair>,
    pub(super) valid: Vec<Pair>,
    pub(super) test: Vec<Pair>,
    pub(super) shape: AdaptorShape,
    /// Pairs a step.
    pub(super) batch: usize,
    pub(super) steps_an_epoch: u64,
    schedule: LinearWarmup,
}

impl<'a> Plan<'a> {
    pub(super) fn new(task: &'a Pretrain, pairs: &'a Pairs) -> Result<Self> {
        let train = pairs.of(Split::Train)?;
        let batch = task.batch_size.min(train.len());
        if batch < 2 || task.epochs == 0 {
            return Err(Error::input("pre-training needs a batch of at least 2 and at least 1 epoch"));
        }
        let steps_an_epoch = (train.len() / batch) as u64;
        Ok(Self {
            steps_an_epoch,
            schedule: LinearWarmup::new(u64::from(task.epochs) * steps_an_epoch, task.warmup),
            train,
            valid: pairs.of(Split::Valid)?,
            test: pairs.of(Split::Test)?,
            shape: AdaptorShape { image_width: task.image_width, text_width: task.text_width },
            batch,
            task,
            pairs,
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
        let (train, valid, test) = (self.train.len(), self.valid.len(), self.test.len());
        let missing = self.pairs.missing();
        let message = format!(
            "{train} pairs to train, {valid} to validate, {test} to test, {missing} left out without an embedding; \
             {steps_an_epoch} steps an epoch"
        );
        reporter.log(member, &message);
        Ok(begun)
    }

    pub(super) fn learning_rate(&self, step: u64) -> f64 {
        self.task.learning_rate * self.schedule.factor(step)
    }

    /// Order of the training pairs in `epoch`.
    pub(super) fn order(&self, epoch: u32) -> Vec<u32> {
        Key::new(self.task.seed, Purpose::Order, u64::from(epoch)).permutation(self.train.len())
    }

    /// Writes the best parameters, and says how the member has ended. `test_loss` is theirs; none: there is no test split.
    pub(super) fn finish(&self, course: &Course<'_>, best: &[f32], test_loss: Option<f64>) -> Result<Outcome> {
        let Course { job, member, at, .. } = course;
        if test_loss.is_some_and(|loss| !loss.is_finite()) {
            return Ok(diverged(at.step, "test_loss"));
        }
        let path = job.folder(*member).join(ADAPTOR);
        let bytes = self.shape.to_safetensors(best);
        files::write_atomic(&path, |out| out.write_all(&bytes))?;
        let mut summary = BTreeMap::from([
            ("val_loss".to_owned(), -at.stop.best),
            ("best_epoch".to_owned(), f64::from(at.stop.best_epoch)),
            ("epochs".to_owned(), f64::from(at.epoch)),
            ("train_pairs".to_owned(), self.train.len() as f64),
            ("images_missing".to_owned(), self.pairs.missing() as f64),
        ]);
        summary.extend(test_loss.map(|loss| ("test_loss".to_owned(), loss)));
        Ok(Outcome::Done { summary, artifacts: vec![files::describe(&job.home, &path)?] })
    }
}
