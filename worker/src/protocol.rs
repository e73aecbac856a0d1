//! What coordinator and workers say to each other: JSON over HTTP, one request an exchange, always begun by the worker.
//!
//! | path | body | answer |
//! |---|---|---|
//! | `POST /v1/workers` | [`Register`] | [`Registered`] |
//! | `POST /v1/lease` | [`LeaseRequest`] | [`LeaseReply`], after at most [`LEASE_POLL_MS`] |
//! | `POST /v1/report` | [`Report`] | [`ReportReply`] |
//! | `POST /v1/finish` | [`Finish`] | [`FinishReply`] |
//! | `POST /v1/samples` | [`Samples`] | [`SamplesReply`] |
//!
//! Every request carries the token as `Authorization: Bearer`. Refusals are [`Refusal`]s.

mod samples;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::samples::{
    Happening, Incident, MAX_INCIDENTS, MAX_SAMPLES, MAX_SPAN_MS, Sample, SampledDevice, Samples, SamplesReply,
};
use crate::{
    id::TrialId,
    task::{Kind, Task},
};

/// Version of these messages. Both sides must speak the same one.
pub const PROTOCOL_VERSION: u32 = 2;

/// How long a lease request waits for work before it is answered with none, in milliseconds.
pub const LEASE_POLL_MS: u64 = 10_000;

/// Most metric points in one [`Report`]; a worker splits what is more.
pub const MAX_POINTS_A_REPORT: usize = 20_000;

/// Attempts of a trial are numbered from 1. The number is the fencing token: what carries an older one is refused.
pub type Attempt = u32;

/// A worker introduces itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// Must equal [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Must equal the coordinator's: results of different programs must not be mixed silently.
    pub program: String,
    /// Fresh a process: a worker that is restarted is another worker.
    pub worker: Uuid,
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// The device it drives.
    pub device: DeviceInfo,
}

/// A device, as recorded with every attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `cpu` or `cuda:0`.
    pub name: String,
    /// Model name of processor or card.
    pub model: String,
    /// Threads used for computing.
    pub threads: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// The coordinator's answer to [`Register`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// A lease not renewed for this long is lost, in milliseconds.
    pub lease_ttl_ms: u64,
    /// Report at least this often while working, in milliseconds.
    pub heartbeat_ms: u64,
    /// Write a checkpoint about this often, in milliseconds.
    pub checkpoint_ms: u64,
    /// The home folder: artifacts, caches and logs live below it.
    pub home: PathBuf,
}

/// A worker asks for work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// Who asks.
    pub worker: Uuid,
    /// Most members of an array of each kind; a kind that is missing is not taken.
    pub capacity: BTreeMap<Kind, usize>,
}

/// The coordinator's answer to [`LeaseRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LeaseReply {
    /// Work: trials of equal shape, to be run together.
    Array(Vec<Lease>),
    /// Nothing now; ask again.
    Idle,
    /// Nothing more; leave.
    Leave,
}

/// One trial to run, and the right to report it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The trial.
    pub trial: TrialId,
    /// The fencing token.
    pub attempt: Attempt,
    /// What to do.
    pub task: Task,
    /// Files of its input trials; and, where it has been done before and is made again, those that it left, under its own identity.
    pub inputs: BTreeMap<TrialId, Vec<Artifact>>,
    /// Checkpoints to resume from, newest first; the first that verifies is used.
    pub checkpoints: Vec<Checkpoint>,
}

/// A file that a trial left behind. Paths are relative to the home folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is, such as `adaptor.safetensors`; unique within a trial.
    pub name: String,
    /// Path below the home folder.
    pub path: PathBuf,
    /// Size.
    pub bytes: u64,
    /// BLAKE3 of the content, in hexadecimal.
    pub blake3: String,
}

/// A state from which a trial can go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// The file.
    pub file: Artifact,
}

/// One value of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Name, such as `train_loss`.
    pub name: String,
    /// Step (or epoch, as the metric has it), from 0.
    pub step: u64,
    /// Always finite: a value that is not ends the trial as diverged.
    pub value: f64,
}

/// Heartbeat, progress, metrics and checkpoints of everything a worker runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Who reports.
    pub worker: Uuid,
    /// One entry a lease it holds.
    pub members: Vec<MemberReport>,
}

/// News of one member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberReport {
    /// The trial.
    pub trial: TrialId,
    /// The fencing token.
    pub attempt: Attempt,
    /// Units of work done, such as steps or samples.
    pub done: u64,
    /// Units of work in all; 0 when unknown.
    pub total: u64,
    /// Metrics since the last report, in order.
    pub points: Vec<Point>,
    /// A checkpoint written since. It covers the points of this report and of all before, and none after.
    pub checkpoint: Option<Checkpoint>,
    /// Step of the checkpoint that this attempt went on from, once it has.
    pub resumed_step: Option<u64>,
}

/// The coordinator's answer to [`Report`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportReply {
    /// Members to stop, and why. All others go on, their leases renewed.
    pub stop: Vec<(TrialId, Stop)>,
}

/// Why a member must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The lease is lost: stop at once, write nothing, report nothing.
    Lost,
    /// Cancelled by a user: stop at once.
    Cancelled,
    /// The sweep drains: write a checkpoint and finish as [`Outcome::Preempted`].
    Drain,
}

/// Trials have ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finish {
    /// Who finishes.
    pub worker: Uuid,
    /// One entry a trial; many short trials of an array end in one request and one commit.
    pub members: Vec<MemberFinish>,
}

/// A trial has ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberFinish {
    /// The trial.
    pub trial: TrialId,
    /// The fencing token.
    pub attempt: Attempt,
    /// How.
    pub outcome: Outcome,
    /// Metrics since the last report.
    pub points: Vec<Point>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// With a result.
    Done {
        /// Final values, such as `auroc`.
        summary: BTreeMap<String, f64>,
        /// Files.
        artifacts: Vec<Artifact>,
    },
    /// A loss or weight stopped being finite. This is a result; it is not tried again.
    Diverged {
        /// The first bad step.
        step: u64,
        /// What was bad, such as `train_loss`.
        what: String,
    },
    /// Stopped on demand after a checkpoint; goes on later.
    Preempted {
        /// Where to go on, where one could be written.
        checkpoint: Option<Checkpoint>,
    },
    /// It could not be done.
    Failed(Failure),
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure; decides whether another try makes sense.
    pub class: FailureClass,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    pub cure: Option<String>,
    /// Whose file was found damaged, where that is the reason. An input's is made again, and then this trial is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Origin>,
}

/// The attempt that left a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The trial.
    pub trial: TrialId,
    /// Its attempt.
    pub attempt: Attempt,
}

/// Classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// Network, a busy file: worth several tries.
    Transient,
    /// Out of memory or disk: worth a try elsewhere or later.
    Resources,
    /// The input is wrong: not tried again until a user says so.
    Input,
    /// A bug in this program (a panic): tried once more, not for ever.
    Bug,
}

impl FailureClass {
    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Resources => "resources",
            Self::Input => "input",
            Self::Bug => "bug",
        }
    }
}

/// The coordinator's answer to [`Finish`]: what became of each member, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishReply {
    /// One entry a member.
    pub members: Vec<Verdict>,
}

/// What became of a [`MemberFinish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Committed.
    Accepted,
    /// The lease was lost; nothing was recorded.
    Refused,
}

/// The body of every answer that is not 200.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub cure: Option<String>,
}
