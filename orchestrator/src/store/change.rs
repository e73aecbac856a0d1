//! What can be written.

use std::collections::BTreeMap;

use permafrost_worker::{
    id::TrialId,
    protocol::{Artifact, Attempt, Checkpoint, DeviceInfo, Incident, Point, Sample, SampledDevice},
};
use uuid::Uuid;

use crate::core::{AttemptState, TrialState};

/// One thing to write. What concerns an attempt is written only while that attempt runs; what is not written comes back
/// as a [`Refused`], and is an event in the database.
#[derive(Clone, Debug)]
pub enum Change {
    /// A sweep was launched.
    Submit(NewSweep),
    /// A worker introduced itself.
    Worker(NewWorker),
    /// A worker was heard from.
    WorkerSeen(Uuid),
    /// A worker has left; none: all of them, because a coordinator starts.
    WorkerEnded(Option<Uuid>),
    /// A worker got an array.
    Grant {
        /// Who.
        worker: Uuid,
        /// Trials and their new attempts.
        leases: Vec<(TrialId, Attempt)>,
    },
    /// Metrics of one attempt.
    Points {
        /// The trial.
        trial: TrialId,
        /// The attempt.
        attempt: Attempt,
        /// In any order.
        points: Vec<Point>,
    },
    /// Progress of attempts.
    Progress(Vec<Progress>),
    /// A checkpoint of an attempt; the last two of a trial are kept.
    Checkpoint {
        /// The trial.
        trial: TrialId,
        /// The attempt.
        attempt: Attempt,
        /// What was written.
        checkpoint: Checkpoint,
    },
    /// Attempts brought results. Must come before the same attempts end.
    Results(Vec<ResultRows>),
    /// Attempts have ended.
    Ended(Vec<EndedAttempt>),
    /// Trials changed their state.
    States(Vec<StateChange>),
    /// What the device of a worker did.
    Samples(DeviceNews),
    /// Something else worth remembering.
    Event {
        /// Such as `drain`.
        kind: &'static str,
        /// The trial it is about.
        trial: Option<TrialId>,
        /// For people.
        detail: String,
    },
}

/// A launched sweep.
#[derive(Clone, Debug)]
pub struct NewSweep {
    /// Its name. A known name with another digest becomes the next revision.
    pub name: String,
    /// The file as it was.
    pub source: String,
    /// BLAKE3 of the resolved plan.
    pub digest: String,
    /// JSON of the resolved `report:` key.
    pub report: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Its trials, in the order of the plan.
    pub trials: Vec<PlannedRow>,
}

/// A trial of a launched sweep.
#[derive(Clone, Debug)]
pub struct PlannedRow {
    /// Identity.
    pub id: TrialId,
    /// Name of its kind.
    pub kind: &'static str,
    /// JSON of the task.
    pub task: String,
    /// Trials with equal keys may run as one array.
    pub array_key: String,
    /// Trials it reads.
    pub inputs: Vec<TrialId>,
    /// Name of its stage.
    pub stage: String,
    /// JSON object: parameters as people write them.
    pub parameters: String,
}

/// A worker.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Fresh a process.
    pub worker: Uuid,
    /// Host.
    pub host: String,
    /// Process there.
    pub pid: u32,
    /// Program version.
    pub program: String,
    /// Its device.
    pub device: DeviceInfo,
}

/// What the device of a worker did. Times are by the clock of this machine, in milliseconds since 1970 UTC.
#[derive(Clone, Debug)]
pub struct DeviceNews {
    /// Who sampled it.
    pub worker: Uuid,
    /// The device.
    pub device: SampledDevice,
    /// In order of time.
    pub samples: Vec<Sample>,
    /// In order of time.
    pub incidents: Vec<Incident>,
}

/// Progress of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: Attempt,
    /// Units done ...
    pub done: u64,
    /// ... of so many.
    pub total: u64,
    /// Step of the checkpoint it went on from, when that is news.
    pub resumed_step: Option<u64>,
}

/// What an attempt brought.
#[derive(Clone, Debug)]
pub struct ResultRows {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: Attempt,
    /// Final values.
    pub summary: BTreeMap<String, f64>,
    /// Files.
    pub artifacts: Vec<Artifact>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct EndedAttempt {
    /// The trial.
    pub trial: TrialId,
    /// The attempt.
    pub attempt: Attempt,
    /// How.
    pub state: AttemptState,
    /// Failed: name of the class.
    pub class: Option<&'static str>,
    /// What happened.
    pub message: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
}

/// A trial's new state.
#[derive(Clone, Copy, Debug)]
pub struct StateChange {
    /// The trial.
    pub trial: TrialId,
    /// It must be in this state.
    pub from: TrialState,
    /// It comes into this one.
    pub to: TrialState,
    /// Not to run within so many milliseconds from now.
    pub not_before_in_ms: Option<u64>,
}

/// A change that was not made, because its attempt does not run, or its trial is not in that state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was to be written.
    pub what: &'static str,
    /// The trial.
    pub trial: TrialId,
    /// The attempt; 0 for a state.
    pub attempt: Attempt,
}

/// What became of the changes of one call.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Those that were not made.
    pub refused: Vec<Refused>,
    /// Of a [`Change::Submit`]: trials that were not known before.
    pub new_trials: usize,
}
