//! What must hold after every event. Tests ask after each step; nothing else does.

use super::{
    graph::Index,
    machine::Core,
    types::{Counts, TrialState},
};

/// An invariant that does not hold: a bug of this program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Core {
    /// Checks everything.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check_invariants(&self) -> Result<(), Violation> {
        let mut counts = Counts::default();
        for index in 0..self.graph.trials.len() as Index {
            counts.moved(None, self.graph.get(index).state);
            self.check_trial(index)?;
        }
        holds(counts == self.counts, || format!("counted {counts:?}, kept {:?}", self.counts))?;
        self.check_totals()
    }

    fn check_totals(&self) -> Result<(), Violation> {
        let (ready, delayed) = (self.ready.len(), self.delayed.len());
        let by_key: usize = self.ready_by_key.values().map(std::collections::BTreeSet::len).sum();
        let held: usize = self.workers.values().map(|worker| worker.held.len()).sum();
        let running = self.counts.of(TrialState::Running);
        holds(ready + delayed == self.counts.of(TrialState::Ready), || format!("{ready} + {delayed} are queued"))?;
        holds(by_key == ready, || format!("{by_key} are queued by key, {ready} in all"))?;
        holds(self.ready_by_key.values().all(|queue| !queue.is_empty()), || "an empty queue is kept".to_owned())?;
        holds(held == running, || format!("{held} leases are held, {running} trials run"))?;
        holds(self.deadlines.len() == running, || format!("{} deadlines, {running} trials run", self.deadlines.len()))
    }

    fn check_trial(&self, index: Index) -> Result<(), Violation> {
        let trial = self.graph.get(index);
        let name = || format!("trial {:?} ({})", trial.id, trial.state.name());
        let open = trial.inputs.iter().filter(|&&input| self.graph.get(input).state != TrialState::Done).count();
        holds(open == trial.open_inputs as usize, || format!("{} has {open} open inputs", name()))?;
        match trial.state {
            TrialState::Waiting => holds(open > 0, || format!("{} waits for nothing", name()))?,
            TrialState::Ready => holds(open == 0, || format!("{} is ready too early", name()))?,
            _ => {}
        }
        let rank = (std::cmp::Reverse(trial.weight), index);
        let queued = self.ready.contains(&rank);
        let delayed = trial.not_before_ms.is_some_and(|at| self.delayed.contains(&(at, index)));
        let expected = trial.state == TrialState::Ready;
        holds((queued ^ delayed) == expected && !(queued && delayed), || format!("{} is misplaced", name()))?;
        holds(expected || trial.not_before_ms.is_none(), || format!("{} has a back-off", name()))?;
        let keyed = self.ready_by_key.get(&trial.key).is_some_and(|queue| queue.contains(&rank));
        holds(keyed == queued, || format!("{} is misplaced by key", name()))?;
        match (trial.state, trial.held) {
            (TrialState::Running, Some(held)) => {
                let known = self.workers.get(&held.worker).is_some_and(|worker| worker.held.contains(&index));
                holds(known, || format!("{} is held by nobody", name()))?;
                holds(trial.attempts > 0, || format!("{} runs without an attempt", name()))?;
                holds(self.deadlines.contains(&(held.deadline_ms, index)), || format!("{} has no deadline", name()))
            }
            (state, held) => {
                holds(state != TrialState::Running && held.is_none(), || format!("{} and its lease disagree", name()))
            }
        }
    }
}

fn holds(condition: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if condition { Ok(()) } else { Err(Violation(what())) }
}
