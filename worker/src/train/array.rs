//! Runs the members of an array on the CPU: side by side, one a core.
//!
//! Members share what they read and nothing else, so a member's result is the same alone and in any company, and one that
//! fails, diverges or stops leaves the others as they are.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    error::Result,
    execute::{Reporter, panic_text},
    protocol::{Failure, FailureClass, Outcome},
};

/// Calls `run(member, threads)` for each of `members`, at most `threads` at a time, and finishes each with what it gives.
pub(super) fn run(
    members: usize,
    threads: usize,
    reporter: &dyn Reporter,
    run: impl Fn(usize, usize) -> Result<Outcome> + Sync,
) {
    let lanes = threads.clamp(1, members.max(1));
    let next = AtomicUsize::new(0);
    let lane = || {
        loop {
            let member = next.fetch_add(1, Ordering::Relaxed);
            if member >= members {
                return;
            }
            // A member that is alone may use the cores that are left; the number of threads never changes a bit.
            let outcome = catch_unwind(AssertUnwindSafe(|| run(member, threads / lanes)));
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(panic) => {
                    let message = panic_text(&*panic);
                    Ok(Outcome::Failed(Failure { class: FailureClass::Bug, message, cure: None, damaged: None }))
                }
            };
            finish(reporter, member, outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..lanes {
            scope.spawn(lane);
        }
        lane();
    });
}

/// Ends `member` with what it gave.
pub(super) fn finish(reporter: &dyn Reporter, member: usize, outcome: Result<Outcome>) {
    let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(error.into_failure()));
    if let Outcome::Failed(failure) = &outcome {
        reporter.log(member, &format!("failed: {}", failure.message));
    }
    reporter.finish(member, outcome);
}
