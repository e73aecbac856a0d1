//! Processes of this machine.

use rustix::process::{Pid, test_kill_process};

/// Whether a process is there and runs. One that has ended stays in the table of processes until its parent asks how it ended:
/// such a zombie does not run.
pub fn is_alive(pid: u32) -> bool {
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    test_kill_process(number) != Err(rustix::io::Errno::SRCH) && !is_zombie(pid)
}

/// Where there is no `/proc`, no process is known to be one.
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which may have parentheses of its own.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    matches!(state, Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        assert!(is_alive(std::process::id()) && is_alive(child.id()));
        child.kill().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Nobody has waited for it: only the state tells.
        while cfg!(target_os = "linux") && is_alive(child.id()) {
            assert!(std::time::Instant::now() < until, "the killed child still counts as alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(child.id()) && !is_alive(0) && !is_alive(u32::MAX));
    }
}
