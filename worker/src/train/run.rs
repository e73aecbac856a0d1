//! What the training loops share: parameters with their moments, the best so far, and when to stop or to save.

use std::time::{Duration, Instant};

use super::{early_stop::EarlyStop, optimizer::AdamW};
use crate::{
    checkpoint::{self, State},
    error::Result,
    execute::{Job, Reporter},
    protocol::{Outcome, Stop},
};

/// Parameters under training.
pub(super) struct Weights {
    pub(super) p: Vec<f32>,
    pub(super) g: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
    /// Parameters after the best epoch; empty before the first.
    pub(super) best: Vec<f32>,
    optimizer: AdamW,
}

impl Weights {
    pub(super) fn new(p: Vec<f32>, weight_decay: f64) -> Self {
        let zeros = || vec![0.0; p.len()];
        let optimizer = AdamW { weight_decay, ..AdamW::default() };
        Self { g: zeros(), m: zeros(), v: zeros(), best: Vec::new(), optimizer, p }
    }

    /// One step of AdamW with the gradient in `g`; `step` counts from 0.
    pub(super) fn update(&mut self, step: u64, learning_rate: f64) {
        self.optimizer.step(&mut self.p, &self.g, &mut self.m, &mut self.v, step + 1, learning_rate);
    }

    pub(super) fn keep_best(&mut self) {
        self.best.clone_from(&self.p);
    }

    pub(super) fn vectors(&self) -> Vec<(&'static str, &[f32])> {
        vec![("p", &self.p), ("m", &self.m), ("v", &self.v), ("best", &self.best)]
    }

    pub(super) fn restore(&mut self, state: &mut State) -> Result<()> {
        let len = self.p.len();
        self.p = state.take("p", len)?;
        self.m = state.take("m", len)?;
        self.v = state.take("v", len)?;
        let best = if state.number("has_best")? == 1 { len } else { 0 };
        self.best = state.take("best", best)?;
        Ok(())
    }
}

/// Where a training run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Position {
    /// Steps done in all.
    pub(super) step: u64,
    /// The epoch that goes on.
    pub(super) epoch: u32,
    /// Steps done in it.
    pub(super) epoch_step: u64,
    /// Sum of the losses of those steps.
    pub(super) loss_sum: f64,
    pub(super) stop: EarlyStop,
}

impl Position {
    pub(super) fn new(stop: EarlyStop) -> Self {
        Self { step: 0, epoch: 0, epoch_step: 0, loss_sum: 0.0, stop }
    }

    pub(super) fn numbers(&self, has_best: bool) -> Vec<(&'static str, u64)> {
        let mut numbers = vec![
            ("epoch", u64::from(self.epoch)),
            ("epoch_step", self.epoch_step),
            ("loss_sum", self.loss_sum.to_bits()),
            ("has_best", u64::from(has_best)),
        ];
        numbers.extend(self.stop.numbers());
        numbers
    }

    pub(super) fn restore(&mut self, state: &State) -> Result<()> {
        self.step = state.step;
        self.epoch = state.number("epoch")? as u32;
        self.epoch_step = state.number("epoch_step")?;
        self.loss_sum = f64::from_bits(state.number("loss_sum")?);
        self.stop.restore(state)
    }

    /// The epoch is over: its mean loss.
    pub(super) fn end_epoch(&mut self) -> f64 {
        let mean = self.loss_sum / self.epoch_step as f64;
        (self.epoch_step, self.loss_sum) = (0, 0.0);
        self.epoch += 1;
        mean
    }
}

/// When to save and when to stop. The clock decides *when* a checkpoint is written, never what is computed.
pub(super) struct Watch<'a> {
    job: &'a Job,
    member: usize,
    reporter: &'a dyn Reporter,
    last: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(job: &'a Job, member: usize, reporter: &'a dyn Reporter) -> Self {
        Self { job, member, reporter, last: Instant::now() }
    }

    /// To be asked after every step: the outcome when the member must leave now.
    pub(super) fn after_step(
        &mut self,
        step: u64,
        numbers: impl FnOnce() -> Vec<(&'static str, u64)>,
        vectors: impl FnOnce() -> Vec<(&'static str, Vec<f32>)>,
        weights: &Weights,
    ) -> Result<Option<Outcome>> {
        let stop = self.reporter.stop(self.member);
        match stop {
            Some(Stop::Lost | Stop::Cancelled) => return Ok(Some(Outcome::Preempted { checkpoint: None })),
            None if self.last.elapsed() < Duration::from_millis(self.job.checkpoint_ms) => return Ok(None),
            Some(Stop::Drain) | None => {}
        }
        let extra = vectors();
        let mut all = weights.vectors();
        all.extend(extra.iter().map(|(name, vector)| (*name, vector.as_slice())));
        let checkpoint = checkpoint::write(self.job, self.member, step, &numbers(), &all)?;
        self.last = Instant::now();
        if stop.is_some() {
            return Ok(Some(Outcome::Preempted { checkpoint: Some(checkpoint) }));
        }
        self.reporter.checkpoint(self.member, checkpoint);
        Ok(None)
    }
}
