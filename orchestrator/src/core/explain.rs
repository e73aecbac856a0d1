//! Why a trial is where it is.

use std::fmt;

use permafrost_worker::{id::TrialId, protocol::Attempt};
use uuid::Uuid;

use super::{
    machine::Core,
    types::{CoreError, TrialState},
};

/// Why a trial is where it is. Shown, it is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// It runs.
    Running {
        /// On this worker.
        worker: Uuid,
        /// As this attempt.
        attempt: Attempt,
        /// For so long.
        since_ms: u64,
        /// With so many members in its array.
        members: usize,
    },
    /// It waits for a worker.
    Queued {
        /// So many are before it.
        before: usize,
    },
    /// It waits before its next attempt.
    BackOff {
        /// So long.
        wait_ms: u64,
    },
    /// It waits for inputs.
    Inputs {
        /// These have no result yet.
        open: Vec<TrialId>,
        /// It has so many inputs.
        of: usize,
    },
    /// Inputs ended without a result.
    Blocked {
        /// These, and how.
        by: Vec<(TrialId, TrialState)>,
    },
    /// It has ended.
    Ended(TrialState),
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &mut dyn Iterator<Item = String>| ids.collect::<Vec<_>>().join(", ");
        match self {
            Self::Running { worker, attempt, since_ms, members } => {
                write!(
                    f,
                    "runs on worker {worker} as attempt {attempt}, for {} s, in an array of {members}",
                    since_ms / 1000
                )
            }
            Self::Queued { before } => write!(f, "waits for a free worker, {before} trials are before it"),
            Self::BackOff { wait_ms } => write!(f, "is tried again in {} s", wait_ms.div_ceil(1000)),
            Self::Inputs { open, of } => {
                write!(f, "waits for {} of {of} inputs: {}", open.len(), list(&mut open.iter().map(TrialId::short)))
            }
            Self::Blocked { by } => {
                let mut names = by.iter().map(|(id, state)| format!("{} {}", id.short(), state.name()));
                write!(f, "cannot run, an input ended without a result: {}", list(&mut names))
            }
            Self::Ended(state) => write!(f, "is {}", state.name()),
        }
    }
}

impl Core {
    /// Why a trial is where it is.
    ///
    /// # Errors
    /// [`CoreError::UnknownTrial`].
    pub fn explain(&self, id: TrialId) -> Result<Explanation, CoreError> {
        let index = self.graph.require(id)?;
        let trial = self.graph.get(index);
        Ok(match (trial.state, trial.held) {
            (TrialState::Running, Some(held)) => Explanation::Running {
                worker: held.worker,
                attempt: trial.attempts,
                since_ms: self.now_ms - held.granted_ms,
                members: held.members,
            },
            (TrialState::Ready, _) => match trial.not_before_ms {
                Some(at) => Explanation::BackOff { wait_ms: at.saturating_sub(self.now_ms) },
                None => {
                    Explanation::Queued { before: self.ready.iter().take_while(|&&(_, other)| other != index).count() }
                }
            },
            (TrialState::Waiting, _) => {
                let inputs = trial.inputs.iter().map(|&input| self.graph.get(input));
                let by: Vec<_> = inputs
                    .clone()
                    .filter(|input| input.state.ended_without_result())
                    .map(|input| (input.id, input.state))
                    .collect();
                if by.is_empty() {
                    let open = inputs.filter(|input| input.state != TrialState::Done).map(|input| input.id).collect();
                    Explanation::Inputs { open, of: trial.inputs.len() }
                } else {
                    Explanation::Blocked { by }
                }
            }
            (state, _) => Explanation::Ended(state),
        })
    }
}
