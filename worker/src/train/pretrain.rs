//! Pre-training of one Adaptor on image-text pairs (paper, sections 2.2 and 3.1).
//!
//! Batches are drawn without replacement, in a new order each epoch; what does not fill a batch at the end of an epoch is
//! left out, as the loss compares the members of a batch. The validation loss is the mean over batches of the same size in
//! a fixed order (the last one may be smaller): it depends on the batch size, so compare it among equal ones only.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    array,
    early_stop::EarlyStop,
    inputs::Inputs,
    run::{Position, Watch, Weights},
    schedule::LinearWarmup,
};
use crate::{
    cache::Embeddings,
    checkpoint,
    datasets::{Dataset, Image, Split},
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    model::{AdaptorShape, AdaptorStep, Dropout},
    protocol::Outcome,
    random::{Key, Purpose},
    task::{Attention, Pretrain, Task},
};

/// Name of the artifact.
pub const ADAPTOR: &str = "adaptor.safetensors";

/// Runs the members.
///
/// # Errors
/// When the device cannot train; each member has its own outcome otherwise.
pub fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let threads = array::cpu_threads(device)?;
    let inputs = Inputs::default();
    array::run(job.leases.len(), threads, reporter, |member, threads| {
        let lease = &job.leases[member];
        let Task::Pretrain(task) = &lease.task else { return Err(Error::input("not a pre-training task")) };
        let Attention::OwnKv = task.attention;
        let dataset = inputs.dataset(job, lease, task.dataset)?;
        let images = inputs.embeddings(job, lease, task.image, task.image_width)?;
        let texts = inputs.embeddings(job, lease, task.text, task.text_width)?;
        let pairs = Pairs { dataset, images, texts };
        Training::new(task, &pairs, threads)?.run(job, member, reporter)
    });
    Ok(())
}

/// Images and reports that belong together.
struct Pairs {
    dataset: Arc<Dataset>,
    images: Arc<Embeddings>,
    texts: Arc<Embeddings>,
}

/// Rows of an image's embedding and of its report's.
type Pair = (usize, usize);

impl Pairs {
    /// Ids of the images with a report, each with that of its report.
    fn ids(&self) -> impl Iterator<Item = (&Image, &str)> {
        let report = |image: &Image| Some(self.dataset.reports[image.report?].id.as_str());
        self.dataset.images.iter().filter_map(move |image| Some((image, report(image)?)))
    }

    /// Whether image or report is known to have no embedding.
    fn is_missing(&self, image: &Image, report: &str) -> bool {
        self.images.missing().contains_key(&image.id) || self.texts.missing().contains_key(report)
    }

    /// Pairs that are left out, in all splits.
    fn missing(&self) -> usize {
        self.ids().filter(|(image, report)| self.is_missing(image, report)).count()
    }

    /// The pairs of one split, matched by id. Images without a report are in none, neither is what is known to have no embedding.
    /// Only the test split may have none at all: some collections have nothing left to test on.
    fn of(&self, split: Split) -> Result<Vec<Pair>> {
        let ids = self.ids().filter(|(image, report)| image.split == split && !self.is_missing(image, report));
        let pair = |(image, report): (&Image, &str)| {
            Ok((self.images.find("image", &image.id)?, self.texts.find("report", report)?))
        };
        let pairs: Vec<Pair> = ids.map(pair).collect::<Result<_>>()?;
        if pairs.len() < 2 && !(split == Split::Test && pairs.is_empty()) {
            let (name, found) = (split.name(), pairs.len());
            return Err(Error::input(format!("the {name} split has {found} pairs, at least 2 are needed")));
        }
        Ok(pairs)
    }

    /// Copies the rows of a batch together.
    fn gather(&self, pairs: impl Iterator<Item = Pair>, images: &mut Vec<f32>, texts: &mut Vec<f32>) {
        images.clear();
        texts.clear();
        for (image, text) in pairs {
            self.images.append(image, images);
            self.texts.append(text, texts);
        }
    }
}

struct Training<'a> {
    task: &'a Pretrain,
    pairs: &'a Pairs,
    train: Vec<Pair>,
    valid: Vec<Pair>,
    test: Vec<Pair>,
    shape: AdaptorShape,
    batch: usize,
    steps_an_epoch: u64,
    threads: usize,
    step: AdaptorStep,
    /// Rows of the present batch.
    images: Vec<f32>,
    texts: Vec<f32>,
}

impl<'a> Training<'a> {
    fn new(task: &'a Pretrain, pairs: &'a Pairs, threads: usize) -> Result<Self> {
        let train = pairs.of(Split::Train)?;
        let batch = task.batch_size.min(train.len());
        if batch < 2 || task.epochs == 0 {
            return Err(Error::input("pre-training needs a batch of at least 2 and at least 1 epoch"));
        }
        let shape = AdaptorShape { image_width: task.image_width, text_width: task.text_width };
        Ok(Self {
            steps_an_epoch: (train.len() / batch) as u64,
            train,
            valid: pairs.of(Split::Valid)?,
            test: pairs.of(Split::Test)?,
            shape,
            batch,
            threads,
            step: AdaptorStep::with_precision(shape, batch, task.precision),
            images: Vec::new(),
            texts: Vec::new(),
            task,
            pairs,
        })
    }

    fn run(mut self, job: &Job, member: usize, reporter: &dyn Reporter) -> Result<Outcome> {
        let task = self.task;
        let mut weights = Weights::new(self.shape.init(task.seed), task.weight_decay);
        let mut at = Position::new(EarlyStop::new(task.patience, task.min_delta));
        if let Some(mut state) = checkpoint::load(job, member, reporter) {
            at.restore(&state)?;
            weights.restore(&mut state)?;
        }
        let total = u64::from(task.epochs) * self.steps_an_epoch;
        let (train, valid, test) = (self.train.len(), self.valid.len(), self.test.len());
        let steps = self.steps_an_epoch;
        let missing = self.pairs.missing();
        let message = format!(
            "{train} pairs to train, {valid} to validate, {test} to test, {missing} left out without an embedding; \
             {steps} steps an epoch"
        );
        reporter.log(member, &message);
        let schedule = LinearWarmup::new(total, task.warmup);
        let mut watch = Watch::new(job, member, reporter);
        let mut order = self.order(at.epoch);
        while at.epoch < task.epochs && !at.stop.is_over() {
            let learning_rate = task.learning_rate * schedule.factor(at.step);
            let loss = self.train_step(&mut weights, &order, &at, learning_rate);
            if !loss.is_finite() {
                return Ok(Outcome::Diverged { step: at.step, what: "train_loss".to_owned() });
            }
            at.step += 1;
            at.epoch_step += 1;
            at.loss_sum += f64::from(loss);
            reporter.progress(member, at.step, total);
            if at.epoch_step == self.steps_an_epoch {
                let epoch = at.epoch;
                let train_loss = at.end_epoch();
                let val_loss = self.loss(&weights.p, Split::Valid);
                if !val_loss.is_finite() {
                    return Ok(Outcome::Diverged { step: at.step - 1, what: "val_loss".to_owned() });
                }
                reporter.metric(member, "train_loss", u64::from(epoch), train_loss);
                reporter.metric(member, "val_loss", u64::from(epoch), val_loss);
                reporter.metric(member, "learning_rate", u64::from(epoch), learning_rate);
                reporter.log(member, &format!("epoch {epoch}: train_loss {train_loss:.4}, val_loss {val_loss:.4}"));
                if at.stop.improved(epoch, -val_loss) {
                    weights.keep_best();
                }
                order = self.order(at.epoch);
            }
            let numbers = || at.numbers(!weights.best.is_empty());
            if let Some(outcome) = watch.after_step(at.step, numbers, Vec::new, &weights)? {
                return Ok(outcome);
            }
        }
        self.finish(job, member, &weights, &at)
    }

    fn order(&self, epoch: u32) -> Vec<u32> {
        Key::new(self.task.seed, Purpose::Order, u64::from(epoch)).permutation(self.train.len())
    }

    fn train_step(&mut self, weights: &mut Weights, order: &[u32], at: &Position, learning_rate: f64) -> f32 {
        let start = at.epoch_step as usize * self.batch;
        let rows = order[start..start + self.batch].iter().map(|&row| self.train[row as usize]);
        self.pairs.gather(rows, &mut self.images, &mut self.texts);
        let dropout = Dropout { p: self.task.dropout, seed: self.task.seed, step: at.step };
        let loss = self.step.forward_backward(
            &weights.p,
            &mut weights.g,
            &self.images,
            &self.texts,
            self.batch,
            Some(dropout),
            self.task.i2t_weight,
            self.threads,
        );
        if loss.is_finite() {
            weights.update(at.step, learning_rate);
        }
        loss
    }

    /// Mean loss a pair, in evaluation mode, in batches of the fixed size. A last batch of one pair has no loss.
    fn loss(&mut self, p: &[f32], split: Split) -> f64 {
        let pairs = if split == Split::Valid { &self.valid } else { &self.test };
        let (mut sum, mut count) = (0.0, 0);
        for batch in pairs.chunks(self.batch).filter(|batch| batch.len() > 1) {
            self.pairs.gather(batch.iter().copied(), &mut self.images, &mut self.texts);
            let (weight, threads) = (self.task.i2t_weight, self.threads);
            let loss = self.step.loss(p, &self.images, &self.texts, batch.len(), weight, threads);
            sum += f64::from(loss) * batch.len() as f64;
            count += batch.len();
        }
        sum / count as f64
    }

    fn finish(mut self, job: &Job, member: usize, weights: &Weights, at: &Position) -> Result<Outcome> {
        let test_loss = (!self.test.is_empty()).then(|| self.loss(&weights.best, Split::Test));
        if test_loss.is_some_and(|loss| !loss.is_finite()) {
            return Ok(Outcome::Diverged { step: at.step, what: "test_loss".to_owned() });
        }
        let path = job.folder(member).join(ADAPTOR);
        let bytes = self.shape.to_safetensors(&weights.best);
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
