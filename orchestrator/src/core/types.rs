//! Words of the scheduler: states, events, effects, limits.

use std::collections::BTreeMap;

use permafrost_worker::{
    id::TrialId,
    protocol::{Attempt, FailureClass, Stop},
    task::Kind,
};
use uuid::Uuid;

/// State of a trial; the names are those of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrialState {
    /// An input has no result yet.
    Waiting,
    /// Could run now, or after its back-off.
    Ready,
    /// A worker holds its lease.
    Running,
    /// Has a result.
    Done,
    /// Could not be done.
    Failed,
    /// Its loss or weights stopped being finite: a result, but none to build on.
    Diverged,
    /// Stopped early by a search method.
    Pruned,
    /// A user does not want it.
    Cancelled,
}

impl TrialState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Ready,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Diverged,
        Self::Pruned,
        Self::Cancelled,
    ];

    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Pruned => "pruned",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Ended, and nothing to build on.
    pub const fn ended_without_result(self) -> bool {
        matches!(self, Self::Failed | Self::Diverged | Self::Pruned | Self::Cancelled)
    }
}

/// State of an attempt; the names are those of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttemptState {
    /// Under a lease.
    Running,
    /// With a result.
    Done,
    /// Could not be done.
    Failed,
    /// A value was not finite.
    Diverged,
    /// Stopped after a checkpoint, on demand.
    Preempted,
    /// Its worker was not heard from any more.
    Lost,
    /// A user did not want it any more.
    Cancelled,
}

impl AttemptState {
    /// Its name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
            Self::Preempted => "pre-empted",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Bounds and intervals.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A lease not renewed for so long is lost.
    pub lease_ttl_ms: u64,
    /// Most members of an array, whatever a worker offers.
    pub max_array: usize,
    /// An idle worker not heard from for so long is not counted on.
    pub idle_grace_ms: u64,
    /// Attempts that may fail for a transient reason.
    pub transient_tries: u32,
    /// Attempts that may fail for lack of memory or disk.
    pub resource_tries: u32,
    /// Attempts that may fail by a bug.
    pub bug_tries: u32,
    /// Attempts that may find an input damaged, and how often a result is made again for that.
    pub damaged_tries: u32,
    /// Attempts that may be lost in a row: beyond that, the trial itself is suspected of killing its workers.
    pub lost_tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease_ttl_ms: 30_000,
            max_array: 1024,
            idle_grace_ms: 30_000,
            transient_tries: 5,
            resource_tries: 3,
            bug_tries: 2,
            damaged_tries: 3,
            lost_tries: 20,
        }
    }
}

impl Limits {
    /// Attempts that may fail in this way before the trial fails.
    pub const fn tries(&self, class: FailureClass) -> u32 {
        match class {
            FailureClass::Transient => self.transient_tries,
            FailureClass::Resources => self.resource_tries,
            FailureClass::Input => 1,
            FailureClass::Bug => self.bug_tries,
        }
    }

    /// Pause before the next attempt, after `failures` of this class: doubles from try to try, a minute at most.
    pub fn back_off_ms(class: FailureClass, failures: u32) -> u64 {
        let first: u64 = match class {
            FailureClass::Transient => 1_000,
            FailureClass::Resources => 5_000,
            FailureClass::Input | FailureClass::Bug => 0,
        };
        (first << failures.saturating_sub(1).min(10)).min(60_000)
    }
}

/// A trial to be scheduled.
#[derive(Clone, Debug)]
pub struct NewTrial {
    /// Its identity.
    pub id: TrialId,
    /// What kind of work it is.
    pub kind: Kind,
    /// Trials with equal keys may run as one array.
    pub array_key: String,
    /// Trials whose results it reads.
    pub inputs: Vec<TrialId>,
}

/// A trial as the database has it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What it is.
    pub trial: NewTrial,
    /// Its state. Nothing runs any more when a coordinator starts: `Running` is taken as lost.
    pub state: TrialState,
    /// The last attempt's number.
    pub attempts: Attempt,
    /// What is left of its back-off.
    pub not_before_in_ms: Option<u64>,
}

/// How an attempt ended, as its worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a result.
    Done,
    /// A value was not finite.
    Diverged,
    /// On demand; goes on later.
    Preempted,
    /// Without a result.
    Failed(FailureClass),
    /// Without a result, as a file of an input is damaged.
    Damaged {
        /// Whose file.
        input: TrialId,
        /// The attempt that left it.
        made_by: Attempt,
    },
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A user wants these. Inputs may stand anywhere in the list, or be known already.
    Submit(Vec<NewTrial>),
    /// A worker introduced itself.
    Register {
        /// Who.
        worker: Uuid,
    },
    /// A worker asks for work.
    Lease {
        /// Who.
        worker: Uuid,
        /// Most members of an array of each kind.
        capacity: BTreeMap<Kind, usize>,
    },
    /// A worker renews its leases.
    Heartbeat {
        /// Who.
        worker: Uuid,
        /// Attempts it runs.
        members: Vec<(TrialId, Attempt)>,
    },
    /// An attempt has ended.
    Finish {
        /// Whose.
        worker: Uuid,
        /// The trial.
        trial: TrialId,
        /// The fencing token.
        attempt: Attempt,
        /// How.
        end: End,
    },
    /// A worker's process has ended.
    WorkerGone {
        /// Whose.
        worker: Uuid,
    },
    /// A user does not want these.
    Cancel(Vec<TrialId>),
    /// A user wants these again, with those of their inputs that ended without a result.
    Retry(Vec<TrialId>),
    /// Grant nothing more, and have what runs stop after a checkpoint.
    Drain,
    /// Go on after all.
    Undrain,
    /// Time has passed.
    Tick,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The worker gets these, as one array. Their state is `Running` from now on.
    Grant {
        /// Who.
        worker: Uuid,
        /// Trials and their new attempts.
        leases: Vec<(TrialId, Attempt)>,
    },
    /// There is nothing for this worker now.
    Idle {
        /// Who.
        worker: Uuid,
    },
    /// There will be nothing more for this worker.
    Leave {
        /// Who.
        worker: Uuid,
    },
    /// The worker must stop this.
    Stop {
        /// Who.
        worker: Uuid,
        /// The trial.
        trial: TrialId,
        /// The attempt it named.
        attempt: Attempt,
        /// Why.
        why: Stop,
    },
    /// An attempt has ended.
    AttemptEnded {
        /// The trial.
        trial: TrialId,
        /// The attempt.
        attempt: Attempt,
        /// How.
        state: AttemptState,
    },
    /// A trial's state changed, other than by a grant.
    State {
        /// The trial.
        trial: TrialId,
        /// From this.
        from: TrialState,
        /// To this.
        to: TrialState,
        /// To `Ready`: not before so many milliseconds from now.
        not_before_in_ms: Option<u64>,
    },
    /// A finish counts.
    Accepted {
        /// The trial.
        trial: TrialId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A finish does not count.
    Refused {
        /// The trial.
        trial: TrialId,
        /// The attempt it named.
        attempt: Attempt,
        /// Why.
        why: Refusal,
    },
}

/// Why a finish does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such trial.
    UnknownTrial,
    /// It does not run: the attempt was lost, cancelled or has ended.
    NotRunning,
    /// Another attempt runs.
    OtherAttempt,
    /// Another worker holds the lease.
    OtherWorker,
}

impl Refusal {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnknownTrial => "there is no such trial",
            Self::NotRunning => "the attempt is over",
            Self::OtherAttempt => "another attempt runs",
            Self::OtherWorker => "another worker holds the lease",
        }
    }
}

/// How many trials are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    counts: [usize; TrialState::ALL.len()],
}

impl Counts {
    /// Trials in this state.
    pub const fn of(&self, state: TrialState) -> usize {
        self.counts[state as usize]
    }

    pub(super) fn moved(&mut self, from: Option<TrialState>, to: TrialState) {
        if let Some(from) = from {
            self.counts[from as usize] -= 1;
        }
        self.counts[to as usize] += 1;
    }
}

/// What cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// An input is neither known nor submitted.
    #[error("trial {trial:?} needs {input:?}, which nobody has submitted")]
    UnknownInput {
        /// Who needs it.
        trial: TrialId,
        /// What is missing.
        input: TrialId,
    },
    /// Trials need each other in a circle.
    #[error("trial {0:?} needs its own result, directly or through others")]
    Cycle(TrialId),
    /// A trial is listed twice with different content.
    #[error("trial {0:?} is listed twice, with different inputs")]
    Ambiguous(TrialId),
    /// There is no such trial.
    #[error("there is no trial {0:?}")]
    UnknownTrial(TrialId),
}
