//! Trials that do nothing, or fail on demand: for tests and benchmarks.

use std::time::{Duration, Instant};

use super::array;
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    protocol::Outcome,
    task::{Noop, NoopEnd, Task},
};

/// Runs the members one after another.
///
/// # Errors
/// Never; each member has its own outcome.
pub fn run(job: &Job, reporter: &dyn Reporter) -> Result<()> {
    array::run(job.leases.len(), 1, reporter, |member, _| {
        let Task::Noop(task) = &job.leases[member].task else {
            return Err(Error::input("not a no-op task"));
        };
        member_outcome(task, member, reporter)
    });
    Ok(())
}

fn member_outcome(task: &Noop, member: usize, reporter: &dyn Reporter) -> Result<Outcome> {
    for step in 0..task.steps {
        if let Some(why) = reporter.stop(member) {
            return Ok(stopped(why));
        }
        sleep(Duration::from_millis(task.step_ms), || reporter.stop(member).is_some());
        reporter.metric(member, "value", step, value(task, step));
        reporter.progress(member, step + 1, task.steps);
    }
    match task.end {
        NoopEnd::Done => {
            let summary = [("value".to_owned(), value(task, task.steps))].into();
            Ok(Outcome::Done { summary, artifacts: vec![] })
        }
        NoopEnd::Transient => {
            Err(Error::Transient { what: "asked to fail in a way that may pass".to_owned(), cure: None })
        }
        NoopEnd::Input => Err(Error::input("asked to fail for its input")),
        NoopEnd::Panic => panic!("asked to panic"),
        NoopEnd::Diverged => Ok(Outcome::Diverged { step: task.steps, what: "value".to_owned() }),
    }
}

/// A number that depends on the trial and the step.
fn value(task: &Noop, step: u64) -> f64 {
    1.0 / (1.0 + task.index as f64 + step as f64)
}

/// Sleeps, but looks around now and then.
fn sleep(duration: Duration, enough: impl Fn() -> bool) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if enough() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}
