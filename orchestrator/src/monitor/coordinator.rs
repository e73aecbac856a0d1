//! Whether a coordinator leads a home folder, and what its sweep does then.

use std::path::Path;

use permafrost_worker::agent::Endpoint;
use serde::Serialize;

use super::process::is_alive;
use crate::store::StageCounts;

/// A coordinator that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoordinatorView {
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
}

/// The coordinator that has announced itself and is still there.
pub fn coordinator(home: &Path) -> Option<CoordinatorView> {
    let endpoint = Endpoint::read(home).ok()?;
    is_alive(endpoint.pid).then_some(CoordinatorView { pid: endpoint.pid, address: endpoint.address })
}

/// What a sweep does, in a word: `done`, `ended`, `stopped`, `waiting` or `running`.
pub fn state(stages: &[StageCounts], led: bool) -> &'static str {
    let all = StageCounts::of_all(stages);
    let left = all.ready + all.running + all.waiting - all.blocked;
    let without = all.without_result + all.blocked;
    match (left, without) {
        (0, 0) => "done",
        (0, _) => "ended",
        _ if !led => "stopped",
        _ if all.running == 0 => "waiting",
        _ => "running",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_nobody_leads_is_stopped() {
        let stage = |running, done| StageCounts { running, done, total: running + done, ..StageCounts::default() };
        assert_eq!(state(&[stage(1, 2)], true), "running");
        assert_eq!(state(&[stage(1, 2)], false), "stopped");
        assert_eq!(state(&[stage(0, 2)], false), "done");
    }
}
