//! Runs an array of leased trials on a device.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use crate::{
    device::Device,
    error::Error,
    protocol::{Checkpoint, DeviceInfo, Failure, FailureClass, Lease, Outcome, Stop},
    task::{Encoder, Kind, Task},
};

/// What running code tells the outside, and asks of it. Members are numbered as in [`Job::leases`].
///
/// All methods may be called from several threads and return at once.
pub trait Reporter: Sync {
    /// `done` of `total` units of work (0: unknown) are done.
    fn progress(&self, member: usize, done: u64, total: u64);

    /// A metric's value. It must be finite.
    fn metric(&self, member: usize, name: &str, step: u64, value: f64);

    /// The member goes on from the checkpoint of this step. Good to know, and no more: a reporter may ignore it.
    fn resumed(&self, _member: usize, _step: u64) {}

    /// A checkpoint is on disk and synced. It covers every metric reported before this call.
    fn checkpoint(&self, member: usize, checkpoint: Checkpoint);

    /// A line for the attempt's own log.
    fn log(&self, member: usize, message: &str);

    /// Asked at least once a step: must this member stop?
    fn stop(&self, member: usize) -> Option<Stop>;

    /// The member has ended. Called exactly once a member; it may leave before its neighbours.
    fn finish(&self, member: usize, outcome: Outcome);
}

/// An array to run.
pub struct Job {
    /// Trials of equal shape and kind; at least one.
    pub leases: Vec<Lease>,
    /// The home folder.
    pub home: PathBuf,
    /// Wheels a user put there by hand; looked at before pip is asked.
    pub wheel_dir: Option<PathBuf>,
    /// Write a checkpoint about this often, in milliseconds.
    pub checkpoint_ms: u64,
}

impl Job {
    /// Folder for the files of this attempt of `member`: no two attempts ever write to the same place.
    pub fn folder(&self, member: usize) -> PathBuf {
        let lease = &self.leases[member];
        crate::files::attempt_folder(&self.home, lease.trial, lease.attempt)
    }
}

/// Runs `job` to its end. Every member is finished exactly once through `reporter`, also when the code panics.
pub fn execute(device: &Device, job: &Job, reporter: &dyn Reporter) {
    let finished = Finished::new(reporter, job.leases.len());
    let kind = job.leases[0].task.kind();
    let result = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Fetch => crate::datasets::fetch::run(job, &finished),
        Kind::Prepare => crate::datasets::prepare::run(job, &finished),
        Kind::Embed => crate::encoders::run(device, job, &finished),
        Kind::Pretrain => crate::train::pretrain::run(device, job, &finished),
        Kind::Classify => crate::train::classify::run(device, job, &finished),
        Kind::Project => crate::train::project::run(device, job, &finished),
        Kind::Noop => crate::train::noop::run(job, &finished),
    }));
    let failure = match result {
        Ok(Ok(())) => Failure {
            class: FailureClass::Bug,
            message: format!("a {} trial ended without an outcome", kind.name()),
            cure: None,
            damaged: None,
        },
        Ok(Err(error)) => error.into_failure(),
        Err(panic) => Failure { class: FailureClass::Bug, message: panic_text(&*panic), cure: None, damaged: None },
    };
    finished.finish_rest(&failure);
}

/// How many of so many members of an array a device works on at a time. The others take their turn, in the order of the array, one as soon
/// as another has ended.
///
/// `task` is that of one of the members: an array is of one sort.
pub fn side_by_side(task: &Task, device: &DeviceInfo, members: usize) -> usize {
    let most = match task {
        Task::Fetch(_) | Task::Prepare(_) | Task::Noop(_) => 1,
        Task::Embed(task) => match task.encoder {
            Encoder::VisualWords { .. } | Encoder::Imported { .. } => 1,
            // Each image or text goes through the encoder once, for all members.
            Encoder::Bert { .. } | Encoder::Dinov2 { .. } | Encoder::ResNetAe { .. } => members,
        },
        // On a card all members make each step together.
        Task::Pretrain(_) | Task::Classify(_) if device.name != "cpu" => members,
        Task::Pretrain(_) | Task::Classify(_) | Task::Project(_) => device.threads,
    };
    most.clamp(1, members.max(1))
}

/// The text of a panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned());
    format!("panicked: {text}")
}

/// Passes everything on and remembers who has finished.
struct Finished<'a> {
    inner: &'a dyn Reporter,
    done: std::sync::Mutex<Vec<bool>>,
}

impl<'a> Finished<'a> {
    fn new(inner: &'a dyn Reporter, members: usize) -> Self {
        Self { inner, done: std::sync::Mutex::new(vec![false; members]) }
    }

    /// Marks `member` as finished; false when it was already.
    fn mark(&self, member: usize) -> bool {
        let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        !std::mem::replace(&mut done[member], true)
    }

    fn finish_rest(&self, failure: &Failure) {
        let members = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len();
        for member in 0..members {
            if self.mark(member) {
                self.inner.finish(member, Outcome::Failed(failure.clone()));
            }
        }
    }
}

impl Reporter for Finished<'_> {
    fn progress(&self, member: usize, done: u64, total: u64) {
        self.inner.progress(member, done, total);
    }

    fn metric(&self, member: usize, name: &str, step: u64, value: f64) {
        self.inner.metric(member, name, step, value);
    }

    fn resumed(&self, member: usize, step: u64) {
        self.inner.resumed(member, step);
    }

    fn checkpoint(&self, member: usize, checkpoint: Checkpoint) {
        self.inner.checkpoint(member, checkpoint);
    }

    fn log(&self, member: usize, message: &str) {
        self.inner.log(member, message);
    }

    fn stop(&self, member: usize) -> Option<Stop> {
        self.inner.stop(member)
    }

    fn finish(&self, member: usize, outcome: Outcome) {
        if self.mark(member) {
            self.inner.finish(member, outcome);
        }
    }
}

/// The outcome of a member that was told to stop before it had anything to save.
pub fn stopped(_why: Stop) -> Outcome {
    Outcome::Preempted { checkpoint: None }
}

impl Error {
    /// As the coordinator records it.
    pub fn into_failure(self) -> Failure {
        let damaged = match &self {
            Self::Damaged { path, .. } => crate::files::origin(path),
            _ => None,
        };
        Failure { class: self.class(), message: self.to_string(), cure: self.cure(), damaged }
    }
}
