//! Whether a coordinator leads a home folder, and what its sweep does then.

use std::{fs, path::Path};

use permafrost_worker::agent::Endpoint;
use serde::Serialize;

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
    let pid = rustix::process::Pid::from_raw(i32::try_from(endpoint.pid).ok()?)?;
    let gone = rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH) || is_dead(endpoint.pid);
    (!gone).then_some(CoordinatorView { pid: endpoint.pid, address: endpoint.address })
}

/// Whether a process has ended and only its entry is left: in a container nobody may collect it. Systems without `/proc` do not tell.
fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before may hold anything, brackets too.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// What a sweep does, in a word: `done`, `ended`, `stopped`, `waiting` or `running`.
pub fn state(stages: &[StageCounts], led: bool) -> &'static str {
    let sum = |count: fn(&StageCounts) -> i64| -> i64 { stages.iter().map(count).sum() };
    let left = sum(|stage| stage.ready + stage.running + stage.waiting - stage.blocked);
    let without = sum(|stage| stage.without_result + stage.blocked);
    match (left, without) {
        (0, 0) => "done",
        (0, _) => "ended",
        _ if !led => "stopped",
        _ if sum(|stage| stage.running) == 0 => "waiting",
        _ => "running",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_nobody_has_collected_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = || is_dead(child.id());
        for _ in 0..500 {
            if dead() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(dead());
        assert!(!is_dead(std::process::id()));
        child.wait().unwrap();
    }

    #[test]
    fn a_sweep_that_nobody_leads_is_stopped() {
        let stage = |running, done| StageCounts { running, done, total: running + done, ..StageCounts::default() };
        assert_eq!(state(&[stage(1, 2)], true), "running");
        assert_eq!(state(&[stage(1, 2)], false), "stopped");
        assert_eq!(state(&[stage(0, 2)], false), "done");
    }
}
