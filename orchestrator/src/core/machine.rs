//! The state machine: events in, effects out.

use std::collections::{BTreeMap, BTreeSet};

use permafrost_worker::{
    id::TrialId,
    protocol::{Attempt, FailureClass, Stop},
};
use uuid::Uuid;

use super::{
    graph::{Graph, Index},
    types::{AttemptState, CoreError, Counts, Effect, End, Event, Limits, NewTrial, Refusal, Restored, TrialState},
};

/// What is known of a worker.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) last_seen_ms: u64,
    pub(super) held: BTreeSet<Index>,
}

/// The scheduler.
pub struct Core {
    pub(super) limits: Limits,
    pub(super) now_ms: u64,
    pub(super) graph: Graph,
    pub(super) counts: Counts,
    /// Ready now, best first.
    pub(super) ready: BTreeSet<super::lease::Rank>,
    /// The same by array key.
    pub(super) ready_by_key: BTreeMap<u32, BTreeSet<super::lease::Rank>>,
    /// Ready later.
    pub(super) delayed: BTreeSet<(u64, Index)>,
    /// When leases run out.
    pub(super) deadlines: BTreeSet<(u64, Index)>,
    pub(super) workers: BTreeMap<Uuid, Worker>,
    pub(super) draining: bool,
    effects: Vec<Effect>,
}

impl Core {
    /// A scheduler that knows no trial.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now_ms: 0,
            graph: Graph::default(),
            counts: Counts::default(),
            ready: BTreeSet::new(),
            ready_by_key: BTreeMap::new(),
            delayed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            workers: BTreeMap::new(),
            draining: false,
            effects: Vec::new(),
        }
    }

    /// Takes up what the database has. What was running is lost and ready again; the effects say so.
    ///
    /// # Errors
    /// [`CoreError`] when the trials are not a graph.
    pub fn restore(limits: Limits, now_ms: u64, trials: Vec<Restored>) -> Result<(Self, Vec<Effect>), CoreError> {
        let mut core = Self::new(limits);
        core.now_ms = now_ms;
        let mut new = Vec::with_capacity(trials.len());
        let mut kept = Vec::with_capacity(trials.len());
        for restored in trials {
            kept.push((restored.trial.id, restored.state, restored.attempts, restored.not_before_in_ms));
            new.push(restored.trial);
        }
        core.graph.add(new)?;
        for &(id, state, attempts, _) in &kept {
            let index = core.graph.require(id)?;
            let trial = core.graph.get_mut(index);
            (trial.state, trial.attempts) = (state, attempts);
            core.counts.moved(None, state);
        }
        core.graph.weigh();
        for &(id, state, attempt, not_before_in_ms) in &kept {
            let index = core.graph.require(id)?;
            core.count_open_inputs(index);
            match state {
                TrialState::Running => {
                    core.effects.push(Effect::AttemptEnded { trial: id, attempt, state: AttemptState::Lost });
                    core.make_runnable(index, None);
                }
                TrialState::Ready if core.graph.get(index).open_inputs == 0 => {
                    core.enqueue(index, not_before_in_ms.map(|wait| now_ms + wait));
                }
                TrialState::Ready | TrialState::Waiting => core.make_runnable(index, None),
                _ => {}
            }
        }
        let effects = std::mem::take(&mut core.effects);
        Ok((core, effects))
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`CoreError`] when the event names what is not there or cannot be; then nothing has changed.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Result<Vec<Effect>, CoreError> {
        self.now_ms = self.now_ms.max(now_ms);
        self.expire();
        match event {
            Event::Submit(trials) => self.submit(trials)?,
            Event::Register { worker } => self.seen(worker),
            Event::Lease { worker, capacity } => self.lease(worker, &capacity),
            Event::Heartbeat { worker, members } => self.heartbeat(worker, &members),
            Event::Finish { worker, trial, attempt, end } => self.finish(worker, trial, attempt, end),
            Event::WorkerGone { worker } => self.worker_gone(worker),
            Event::Cancel(trials) => self.cancel(&trials)?,
            Event::Retry(trials) => self.retry(&trials)?,
            Event::Drain => self.draining = true,
            Event::Undrain => self.draining = false,
            Event::Tick => {}
        }
        Ok(std::mem::take(&mut self.effects))
    }

    fn submit(&mut self, trials: Vec<NewTrial>) -> Result<(), CoreError> {
        let wanted: Vec<TrialId> = trials.iter().map(|trial| trial.id).collect();
        let first = self.graph.add(trials)?;
        for index in first..self.graph.trials.len() as Index {
            self.counts.moved(None, TrialState::Waiting);
            self.count_open_inputs(index);
        }
        self.graph.weigh();
        self.rank_again();
        for id in wanted {
            let index = self.graph.require(id)?;
            let trial = self.graph.get(index);
            if index >= first || trial.state == TrialState::Cancelled {
                self.make_runnable(index, None);
            }
        }
        Ok(())
    }

    pub(super) fn seen(&mut self, worker: Uuid) {
        self.workers.entry(worker).or_default().last_seen_ms = self.now_ms;
    }

    fn heartbeat(&mut self, worker: Uuid, members: &[(TrialId, Attempt)]) {
        self.seen(worker);
        for &(id, attempt) in members {
            let why = match self.held_by(worker, id, attempt) {
                Ok(index) => {
                    self.renew(index);
                    self.draining.then_some(Stop::Drain)
                }
                Err(_) => Some(self.why_lost(id, attempt)),
            };
            if let Some(why) = why {
                self.effects.push(Effect::Stop { worker, trial: id, attempt, why });
            }
        }
    }

    fn why_lost(&self, id: TrialId, attempt: Attempt) -> Stop {
        let cancelled = self.graph.find(id).is_some_and(|index| {
            let trial = self.graph.get(index);
            trial.state == TrialState::Cancelled && trial.attempts == attempt
        });
        if cancelled { Stop::Cancelled } else { Stop::Lost }
    }

    /// The trial, if this worker holds its lease with this attempt.
    fn held_by(&self, worker: Uuid, id: TrialId, attempt: Attempt) -> Result<Index, Refusal> {
        let index = self.graph.find(id).ok_or(Refusal::UnknownTrial)?;
        let trial = self.graph.get(index);
        match trial.held {
            None => Err(Refusal::NotRunning),
            Some(_) if trial.attempts != attempt => Err(Refusal::OtherAttempt),
            Some(held) if held.worker != worker => Err(Refusal::OtherWorker),
            Some(_) => Ok(index),
        }
    }

    fn finish(&mut self, worker: Uuid, id: TrialId, attempt: Attempt, end: End) {
        self.seen(worker);
        let index = match self.held_by(worker, id, attempt) {
            Ok(index) => index,
            Err(why) => {
                self.effects.push(Effect::Refused { trial: id, attempt, why });
                return;
            }
        };
        self.effects.push(Effect::Accepted { trial: id, attempt });
        let members = self.release(index).map_or(1, |held| held.members);
        let trial = self.graph.get_mut(index);
        trial.lost = 0;
        match end {
            End::Done => {
                self.end_attempt(index, AttemptState::Done);
                self.set_state(index, TrialState::Done, None);
                self.unblock(index);
            }
            End::Diverged => {
                self.end_attempt(index, AttemptState::Diverged);
                self.set_state(index, TrialState::Diverged, None);
            }
            End::Preempted => {
                self.end_attempt(index, AttemptState::Preempted);
                self.make_runnable(index, None);
            }
            End::Failed(class) => self.failed(index, class, members),
            End::Damaged { input, made_by } => self.damaged(index, input, made_by),
        }
    }

    fn failed(&mut self, index: Index, class: FailureClass, members: usize) {
        let tries = self.limits.tries(class);
        let trial = self.graph.get_mut(index);
        let failures = &mut trial.failures[class as usize];
        *failures += 1;
        let failures = *failures;
        // Whether it took its neighbours down or they it, nobody knows: let it show alone.
        trial.alone |= members > 1 && matches!(class, FailureClass::Bug | FailureClass::Resources);
        self.end_attempt(index, AttemptState::Failed);
        if failures >= tries {
            self.set_state(index, TrialState::Failed, None);
        } else {
            let wait = Limits::back_off_ms(class, failures);
            self.make_runnable(index, (wait > 0).then_some(wait));
        }
    }

    /// A trial cannot go on, as a file that attempt `made_by` of an input left is damaged: the input is made again, unless that has
    /// happened since, and the trial then tried again. Bounded for both: a disk that damages everything is not written to for ever.
    fn damaged(&mut self, index: Index, input: TrialId, made_by: Attempt) {
        self.end_attempt(index, AttemptState::Failed);
        let limit = self.limits.damaged_tries;
        let trial = self.graph.get_mut(index);
        trial.damaged += 1;
        let hopeless = trial.damaged >= limit;
        let input = self.graph.find(input).filter(|input| self.graph.get(index).inputs.contains(input));
        let Some(input) = input.filter(|_| !hopeless) else {
            self.set_state(index, TrialState::Failed, None);
            return;
        };
        let source = self.graph.get_mut(input);
        if source.state == TrialState::Done && source.attempts == made_by {
            source.remade += 1;
            if source.remade >= limit {
                self.set_state(index, TrialState::Failed, None);
                return;
            }
            self.block(input);
            self.make_runnable(input, None);
        }
        self.make_runnable(index, None);
    }

    /// Gives up the leases that ran out, and makes ready what has waited long enough.
    fn expire(&mut self) {
        while let Some(&(deadline_ms, index)) = self.deadlines.first() {
            if deadline_ms > self.now_ms {
                break;
            }
            self.lose(index);
        }
        while let Some(&(not_before_ms, index)) = self.delayed.first() {
            if not_before_ms > self.now_ms {
                break;
            }
            self.delayed.pop_first();
            self.graph.get_mut(index).not_before_ms = None;
            self.enqueue(index, None);
        }
    }

    fn worker_gone(&mut self, worker: Uuid) {
        let held = self.workers.get(&worker).map(|worker| worker.held.clone()).unwrap_or_default();
        for index in held {
            self.lose(index);
        }
        self.workers.remove(&worker);
    }

    fn lose(&mut self, index: Index) {
        let members = self.release(index).map_or(1, |held| held.members);
        let limit = self.limits.lost_tries;
        let trial = self.graph.get_mut(index);
        trial.lost += 1;
        let lost = trial.lost;
        trial.alone |= members > 1 && lost > 1;
        self.end_attempt(index, AttemptState::Lost);
        if lost >= limit {
            self.set_state(index, TrialState::Failed, None);
        } else {
            self.make_runnable(index, None);
        }
    }

    fn cancel(&mut self, trials: &[TrialId]) -> Result<(), CoreError> {
        let found = trials.iter().map(|&id| self.graph.require(id)).collect::<Result<Vec<_>, _>>()?;
        for index in found {
            match self.graph.get(index).state {
                TrialState::Waiting | TrialState::Ready => {}
                TrialState::Running => {
                    self.release(index);
                    self.end_attempt(index, AttemptState::Cancelled);
                }
                _ => continue,
            }
            self.set_state(index, TrialState::Cancelled, None);
        }
        Ok(())
    }

    fn retry(&mut self, trials: &[TrialId]) -> Result<(), CoreError> {
        let mut found = trials.iter().map(|&id| self.graph.require(id)).collect::<Result<Vec<_>, _>>()?;
        for &index in &found {
            // Only a trial that is named is done again although it has a result.
            if self.graph.get(index).state == TrialState::Done {
                self.block(index);
                self.make_runnable(index, None);
            }
        }
        let mut visited = BTreeSet::new();
        while let Some(index) = found.pop() {
            if !visited.insert(index) {
                continue;
            }
            let trial = self.graph.get_mut(index);
            (trial.failures, trial.lost, trial.alone) = ([0; 4], 0, false);
            (trial.damaged, trial.remade) = (0, 0);
            match trial.state {
                state if state.ended_without_result() => self.make_runnable(index, None),
                TrialState::Ready if trial.not_before_ms.is_some() => {
                    self.dequeue(index);
                    self.make_runnable(index, None);
                }
                _ => {}
            }
            for input in self.graph.get(index).inputs.clone() {
                self.graph.get_mut(input).remade = 0;
                if self.graph.get(input).state != TrialState::Done {
                    found.push(input);
                }
            }
        }
        Ok(())
    }

    /// A trial has a result: what waited for nothing else may run.
    fn unblock(&mut self, index: Index) {
        for dependant in self.graph.get(index).dependants.clone() {
            let trial = self.graph.get_mut(dependant);
            trial.open_inputs -= 1;
            if trial.open_inputs == 0 && trial.state == TrialState::Waiting {
                self.make_runnable(dependant, None);
            }
        }
    }

    /// A trial's result is to be made again: what has not begun waits for it.
    fn block(&mut self, index: Index) {
        for dependant in self.graph.get(index).dependants.clone() {
            let trial = self.graph.get_mut(dependant);
            trial.open_inputs += 1;
            if trial.state == TrialState::Ready {
                self.make_runnable(dependant, None);
            }
        }
    }

    fn count_open_inputs(&mut self, index: Index) {
        let inputs = &self.graph.get(index).inputs;
        let open = inputs.iter().filter(|&&input| self.graph.get(input).state != TrialState::Done).count();
        self.graph.get_mut(index).open_inputs = open as u32;
    }

    fn end_attempt(&mut self, index: Index, state: AttemptState) {
        let trial = self.graph.get(index);
        self.effects.push(Effect::AttemptEnded { trial: trial.id, attempt: trial.attempts, state });
    }

    /// `Ready`, now or after `wait_ms`; or `Waiting`, when an input has no result.
    fn make_runnable(&mut self, index: Index, wait_ms: Option<u64>) {
        let open = self.graph.get(index).open_inputs > 0;
        self.set_state(index, if open { TrialState::Waiting } else { TrialState::Ready }, wait_ms);
    }

    pub(super) fn set_state(&mut self, index: Index, to: TrialState, wait_ms: Option<u64>) {
        let from = self.graph.get(index).state;
        if from == TrialState::Ready {
            self.dequeue(index);
        }
        let trial = self.graph.get_mut(index);
        (trial.state, trial.not_before_ms) = (to, None);
        if to == TrialState::Ready {
            self.enqueue(index, wait_ms.map(|wait| self.now_ms + wait));
        }
        self.counts.moved(Some(from), to);
        if from != to || to == TrialState::Ready {
            let trial = self.graph.get(index).id;
            self.effects.push(Effect::State { trial, from, to, not_before_in_ms: wait_ms });
        }
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// When something will happen by itself: a lease runs out, a back-off ends.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let first = |set: &BTreeSet<(u64, Index)>| set.first().map(|&(at, _)| at);
        first(&self.deadlines).into_iter().chain(first(&self.delayed)).min()
    }

    /// Trials by state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Trials under a lease.
    pub fn running(&self) -> usize {
        self.deadlines.len()
    }

    /// Nothing runs and nothing could, now or after a back-off.
    pub fn is_quiet(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty() && self.deadlines.is_empty()
    }

    /// Whether some trial could be granted now.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether it grants nothing more.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// A trial's state.
    pub fn state(&self, id: TrialId) -> Option<TrialState> {
        self.graph.find(id).map(|index| self.graph.get(index).state)
    }
}
