//! One pass of texts through an encoder, for all members of an array: who takes part, what is done, and checkpoints of it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::bert::Bert;
use crate::{
    cache, checkpoint,
    datasets::Report,
    error::{Error, Result},
    execute::{Job, Reporter},
    protocol::{Checkpoint, Outcome, Stop},
    task::{Encoder, Pooling},
};

/// Members that have not ended, the poolings they want, and what is pooled so far.
pub(super) struct Pass<'a> {
    job: &'a Job,
    reporter: &'a dyn Reporter,
    /// Of each member.
    poolings: Vec<Pooling>,
    ended: Vec<AtomicBool>,
    /// Of each pooling that is wanted.
    pooled: Vec<(Pooling, Mutex<Pooled>)>,
    /// Texts done, of so many.
    done: Mutex<usize>,
    count: usize,
    width: usize,
    last_saved: Mutex<Instant>,
}

/// Pooled outputs, as far as they are there.
#[derive(Clone)]
struct Pooled {
    /// A row a text.
    values: Vec<f32>,
    /// A 1 for each batch that is in `values`.
    done: Vec<f32>,
}

impl Pooled {
    fn batches(&self) -> u64 {
        self.done.iter().filter(|&&done| done > 0.0).count() as u64
    }
}

impl<'a> Pass<'a> {
    /// All members but those that want a pooler that `bert` lacks: these have failed.
    pub(super) fn new(job: &'a Job, reporter: &'a dyn Reporter, bert: &Bert, weights: &str) -> Self {
        let pooling = |member: usize| match super::task(job, member).map(|task| &task.encoder) {
            Ok(Encoder::Bert { pooling, .. }) => *pooling,
            // Checked by `Source::of`.
            _ => Pooling::Mean,
        };
        let poolings: Vec<Pooling> = (0..job.leases.len()).map(pooling).collect();
        let ended = poolings.iter().map(|_| AtomicBool::new(false)).collect();
        let (done, last_saved) = (Mutex::new(0), Mutex::new(Instant::now()));
        let pass = Self { job, reporter, poolings, ended, pooled: Vec::new(), done, count: 0, width: 0, last_saved };
        for member in 0..job.leases.len() {
            if pass.poolings[member] == Pooling::Pooler && bert.pooler.is_none() {
                let error = Error::Input {
                    what: format!("{weights} has no pooler (`pooler.dense.weight`)"),
                    cure: Some("use `pooling: mean` or `pooling: cls`".to_owned()),
                };
                pass.end(member, Outcome::Failed(error.into_failure()));
            }
        }
        pass
    }

    /// Makes room for `count` texts in `batches`, and takes up what checkpoints hold. Which batch a text is in follows from the
    /// texts alone, so what another attempt has done is as good.
    ///
    /// # Errors
    /// [`Error::Input`] when a checkpoint is of other texts.
    pub(super) fn restore(&mut self, count: usize, width: usize, batches: usize) -> Result<()> {
        (self.count, self.width) = (count, width);
        for member in self.active().collect::<Vec<_>>() {
            let pooled = match checkpoint::load(self.job, member, self.reporter) {
                Some(mut state) => {
                    Pooled { values: state.take("values", count * width)?, done: state.take("done", batches)? }
                }
                None => Pooled { values: vec![0.0; count * width], done: vec![0.0; batches] },
            };
            self.pooled.push((self.poolings[member], Mutex::new(pooled)));
        }
        Ok(())
    }

    fn pooled(&self, pooling: Pooling) -> Option<std::sync::MutexGuard<'_, Pooled>> {
        let (_, pooled) = self.pooled.iter().find(|(other, _)| *other == pooling)?;
        Some(pooled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Poolings for which this batch has still to go through the encoder.
    pub(super) fn wanted(&self, batch: usize) -> Vec<Pooling> {
        let active: Vec<Pooling> = self.active().map(|member| self.poolings[member]).collect();
        active.into_iter().filter(|&pooling| self.pooled(pooling).is_some_and(|rows| rows.done[batch] == 0.0)).collect()
    }

    /// Keeps the rows of a batch.
    pub(super) fn put(&self, pooling: Pooling, number: usize, batch: &[usize], rows: &[Vec<f32>]) {
        let Some(mut pooled) = self.pooled(pooling) else { return };
        for (&text, row) in batch.iter().zip(rows) {
            pooled.values[text * self.width..(text + 1) * self.width].copy_from_slice(row);
        }
        pooled.done[number] = 1.0;
    }

    /// So many more texts are done.
    pub(super) fn progress(&self, texts: usize) {
        // Under the lock, so that progress never goes back.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += texts;
        for member in self.active() {
            self.reporter.progress(member, *done as u64, self.count as u64);
        }
    }

    fn active(&self) -> impl Iterator<Item = usize> {
        (0..self.ended.len()).filter(|&member| !self.ended[member].load(Ordering::Relaxed))
    }

    fn end(&self, member: usize, outcome: Outcome) {
        if !self.ended[member].swap(true, Ordering::Relaxed) {
            self.reporter.finish(member, outcome);
        }
    }

    /// Ends those that must stop, after a checkpoint where that is of use; whether any is left.
    ///
    /// # Errors
    /// When a checkpoint cannot be written.
    pub(super) fn goes_on(&self) -> Result<bool> {
        for member in self.active() {
            // Another lane may be about to end the same member.
            let _turn = self.last_saved.lock().unwrap_or_else(PoisonError::into_inner);
            let checkpoint = match self.reporter.stop(member) {
                None => continue,
                Some(_) if self.ended[member].load(Ordering::Relaxed) => continue,
                Some(Stop::Drain) => self.write(member)?,
                Some(Stop::Lost | Stop::Cancelled) => None,
            };
            self.end(member, Outcome::Preempted { checkpoint });
        }
        Ok(self.active().next().is_some())
    }

    /// Writes checkpoints when it is time.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn save_now_and_then(&self) -> Result<()> {
        let Ok(mut last) = self.last_saved.try_lock() else { return Ok(()) };
        if last.elapsed() < Duration::from_millis(self.job.checkpoint_ms) {
            return Ok(());
        }
        for member in self.active() {
            if let Some(checkpoint) = self.write(member)? {
                self.reporter.checkpoint(member, checkpoint);
            }
        }
        *last = Instant::now();
        Ok(())
    }

    /// The checkpoint of a member; none before the first batch.
    fn write(&self, member: usize) -> Result<Option<Checkpoint>> {
        // A copy, so that the other lanes need not wait for the disk.
        let Some(pooled) = self.pooled(self.poolings[member]).map(|pooled| pooled.clone()) else { return Ok(None) };
        match pooled.batches() {
            0 => Ok(None),
            step => {
                let vectors: [(&str, &[f32]); 2] = [("values", &pooled.values), ("done", &pooled.done)];
                checkpoint::write(self.job, member, step, &[], &vectors).map(Some)
            }
        }
    }

    /// Writes the embeddings of all that are left; `text_of` has the index of each report's text.
    ///
    /// # Errors
    /// When they cannot be written, or are not finite.
    pub(super) fn finish(&self, reports: &[Report], text_of: &[usize], summary: &BTreeMap<String, f64>) -> Result<()> {
        if !self.goes_on()? {
            return Ok(());
        }
        for member in self.active() {
            let Some(pooled) = self.pooled(self.poolings[member]) else { continue };
            let values = |text: usize| &pooled.values[text * self.width..(text + 1) * self.width];
            let rows: Vec<(&str, &[f32])> =
                reports.iter().zip(text_of).map(|(report, &text)| (report.id.as_str(), values(text))).collect();
            let artifacts = cache::write(&self.job.home, &self.job.folder(member), self.width, &rows)?;
            self.end(member, Outcome::Done { summary: summary.clone(), artifacts });
        }
        Ok(())
    }
}
