//! One member's way through its epochs: where it is, when it stops, what it reports, when it is saved. It is the same on every
//! device; how the steps are computed is not.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use super::{array, early_stop::EarlyStop, weights::Saved};
use crate::{
    checkpoint::{self, State},
    error::Result,
    execute::{Job, Reporter},
    protocol::{Checkpoint, Outcome, Stop},
};

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
    loss_sum: f64,
    pub(super) stop: EarlyStop,
}

impl Position {
    pub(super) fn new(stop: EarlyStop) -> Self {
        Self { step: 0, epoch: 0, epoch_step: 0, loss_sum: 0.0, stop }
    }

    fn numbers(&self, has_best: bool) -> Vec<(&'static str, u64)> {
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
}

/// How good a model is after an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quality {
    /// A loss, and the learning rate of the last step.
    Loss { val_loss: f64, learning_rate: f64 },
    /// A score that should rise, and its name; none: some prediction is not a number.
    Score(&'static str, Option<f64>),
}

impl Quality {
    /// The value that should rise; none: the model has diverged.
    fn score(self) -> Option<f64> {
        match self {
            Self::Loss { val_loss, .. } => val_loss.is_finite().then_some(-val_loss),
            Self::Score(_, score) => score,
        }
    }

    /// What was not finite, when it has diverged.
    const fn what(self) -> &'static str {
        match self {
            Self::Loss { .. } => "val_loss",
            Self::Score(..) => "a validation score",
        }
    }
}

/// One member on its way.
pub(super) struct Course<'a> {
    pub(super) job: &'a Job,
    pub(super) member: usize,
    reporter: &'a dyn Reporter,
    pub(super) at: Position,
    epochs: u32,
    pub(super) steps_an_epoch: u64,
    saved: Instant,
    past: Past,
}

/// How long a member trains.
pub(super) struct Length {
    pub(super) stop: EarlyStop,
    /// At most.
    pub(super) epochs: u32,
    pub(super) steps_an_epoch: u64,
}

/// What an attempt has already done for a member whose array was given up: it goes on from there.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// The last checkpoint that it has written.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Epochs that it has reported; resumed earlier, it does not report them again.
    epochs: u32,
}

impl<'a> Course<'a> {
    /// From the member's last checkpoint, which `past` may have written; the rest of that is to be restored into the model.
    ///
    /// # Errors
    /// When the checkpoint lacks something.
    pub(super) fn begin(
        job: &'a Job,
        member: usize,
        reporter: &'a dyn Reporter,
        past: &Past,
        length: Length,
    ) -> Result<(Self, Option<State>)> {
        let Length { stop, epochs, steps_an_epoch } = length;
        let mut at = Position::new(stop);
        let state = checkpoint::load_after(past.checkpoint.as_ref(), job, member, reporter);
        if let Some(state) = &state {
            at.restore(state)?;
        }
        let (saved, past) = (Instant::now(), past.clone());
        Ok((Self { job, member, reporter, at, epochs, steps_an_epoch, saved, past }, state))
    }

    pub(super) fn past(&self) -> Past {
        self.past.clone()
    }

    /// The member has ended.
    pub(super) fn end(&self, outcome: Result<Outcome>) {
        array::finish(self.reporter, self.member, outcome);
    }

    /// Whether there are steps to do.
    pub(super) fn goes_on(&self) -> bool {
        self.at.epoch < self.epochs && !self.at.stop.is_over()
    }

    /// Takes the losses of the steps that were just done, all of one epoch. The outcome when one is not finite: the model was not
    /// changed from that step on.
    pub(super) fn took(&mut self, losses: &[f32]) -> ControlFlow<Outcome> {
        for &loss in losses {
            if !loss.is_finite() {
                return ControlFlow::Break(diverged(self.at.step, "train_loss"));
            }
            self.at.step += 1;
            self.at.epoch_step += 1;
            self.at.loss_sum += f64::from(loss);
        }
        self.reporter.progress(self.member, self.at.step, u64::from(self.epochs) * self.steps_an_epoch);
        ControlFlow::Continue(())
    }

    /// Whether the epoch's last step was done and its validation is due.
    pub(super) fn is_due(&self) -> bool {
        self.at.epoch_step == self.steps_an_epoch
    }

    /// Ends the epoch: reports it, and says whether the model is the best so far and must be kept.
    pub(super) fn end_epoch(&mut self, quality: Quality) -> ControlFlow<Outcome, bool> {
        let at = &mut self.at;
        let (member, epoch) = (self.member, at.epoch);
        let train_loss = at.loss_sum / at.epoch_step as f64;
        (at.epoch_step, at.loss_sum) = (0, 0.0);
        at.epoch += 1;
        let Some(score) = quality.score() else {
            return ControlFlow::Break(diverged(at.step - 1, quality.what()));
        };
        let improved = at.stop.improved(epoch, score);
        if epoch < self.past.epochs {
            return ControlFlow::Continue(improved);
        }
        self.past.epochs = epoch + 1;
        let metric = |name, value| self.reporter.metric(member, name, u64::from(epoch), value);
        metric("train_loss", train_loss);
        match quality {
            Quality::Loss { val_loss, learning_rate } => {
                metric("val_loss", val_loss);
                metric("learning_rate", learning_rate);
                let message = format!("epoch {epoch}: train_loss {train_loss:.4}, val_loss {val_loss:.4}");
                self.reporter.log(member, &message);
            }
            Quality::Score(name, _) => metric(name, score),
        }
        ControlFlow::Continue(improved)
    }

    /// To be asked after steps, at the end of an epoch after its validation: writes a checkpoint when it is time, and gives the outcome
    /// when the member must leave now. The clock decides *when* a checkpoint is written, never what is computed.
    pub(super) fn pause<'s>(&mut self, saved: impl FnOnce() -> Result<Saved<'s>>) -> Result<ControlFlow<Outcome>> {
        let stop = self.reporter.stop(self.member);
        match stop {
            Some(Stop::Lost | Stop::Cancelled) => {
                return Ok(ControlFlow::Break(Outcome::Preempted { checkpoint: None }));
            }
            None if self.saved.elapsed() < Duration::from_millis(self.job.checkpoint_ms) => {
                return Ok(ControlFlow::Continue(()));
            }
            Some(Stop::Drain) | None => {}
        }
        let saved = saved()?;
        let mut numbers = self.at.numbers(saved.has_best());
        numbers.extend(&saved.numbers);
        let vectors: Vec<(&str, &[f32])> = saved.vectors.iter().map(|(name, vector)| (*name, &**vector)).collect();
        let checkpoint = checkpoint::write(self.job, self.member, self.at.step, &numbers, &vectors)?;
        self.saved = Instant::now();
        if stop.is_some() {
            return Ok(ControlFlow::Break(Outcome::Preempted { checkpoint: Some(checkpoint) }));
        }
        self.past.checkpoint = Some(checkpoint.clone());
        self.reporter.checkpoint(self.member, checkpoint);
        Ok(ControlFlow::Continue(()))
    }

    /// Goes through all epochs on the CPU, step by step. The outcome when the member ends on the way.
    pub(super) fn run(&mut self, model: &mut impl Model) -> Result<ControlFlow<Outcome>> {
        while self.goes_on() {
            let loss = model.train_step(&self.at);
            if let ControlFlow::Break(outcome) = self.took(&[loss]) {
                return Ok(ControlFlow::Break(outcome));
            }
            if self.is_due() {
                match self.end_epoch(model.validate(&self.at)) {
                    ControlFlow::Break(outcome) => return Ok(ControlFlow::Break(outcome)),
                    ControlFlow::Continue(true) => model.keep_best(),
                    ControlFlow::Continue(false) => {}
                }
            }
            if let ControlFlow::Break(outcome) = self.pause(|| Ok(model.saved()))? {
                return Ok(ControlFlow::Break(outcome));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// A member whose steps are computed one by one.
pub(super) trait Model {
    /// The step at `at`: its loss. The model changes only when that is finite.
    fn train_step(&mut self, at: &Position) -> f32;

    /// How good the model is; `at` is the end of an epoch.
    fn validate(&mut self, at: &Position) -> Quality;

    /// Remembers the model as the best so far.
    fn keep_best(&mut self);

    /// Everything the rest of the run depends on.
    fn saved(&self) -> Saved<'_>;
}

/// The outcome of a member that something was not finite in.
pub(super) fn diverged(step: u64, what: &str) -> Outcome {
    Outcome::Diverged { step, what: what.to_owned() }
}
