//! Whether a disk has room for what the trials of a plan leave on it.

use std::{collections::HashSet, fmt, io, path::Path};

use indicatif::DecimalBytes;
use permafrost_worker::id::TrialId;

use super::Plan;

/// Less room than a plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What the trials that are not done yet leave on disk, in bytes: an estimate.
    pub needed_bytes: u64,
    /// What is free for this user, in bytes.
    pub free_bytes: u64,
}

impl Shortage {
    /// Of an amount that is needed and one that is free, both in bytes.
    pub fn of(needed_bytes: u64, free_bytes: u64) -> Option<Self> {
        (free_bytes < needed_bytes).then_some(Self { needed_bytes, free_bytes })
    }

    /// What to do about it.
    pub fn cure(&self) -> String {
        "free space there, or name a --home on another disk".to_owned()
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, free) = (DecimalBytes(self.needed_bytes), DecimalBytes(self.free_bytes));
        write!(f, "the sweep needs about {needed} on disk, and {free} is free")
    }
}

/// Whether the disk of a home folder, which need not be there yet, has too little room for the trials of `plan` that are not
/// among `done`.
///
/// # Errors
/// When the system does not tell how much is free.
pub fn shortage(home: &Path, plan: &Plan, done: &HashSet<TrialId>) -> io::Result<Option<Shortage>> {
    Ok(Shortage::of(left_bytes(plan, done), free_bytes(home)?))
}

/// What the trials of a plan that are not among `done` leave on disk, each once, in bytes.
pub fn left_bytes(plan: &Plan, done: &HashSet<TrialId>) -> u64 {
    let mut seen = done.clone();
    plan.trials.iter().filter(|trial| seen.insert(trial.id)).map(|trial| trial.disk_bytes).sum()
}

/// What is free for this user on the disk of a folder, which need not be there yet, in bytes.
///
/// # Errors
/// When the system does not tell.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(existing(folder))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The folder itself, or the nearest above it that is there.
pub(crate) fn existing(folder: &Path) -> &Path {
    let found = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    if found.as_os_str().is_empty() { Path::new(".") } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep;

    #[test]
    fn trials_that_are_left_need_room() {
        let text = "name: x\nstages:\n  noop: {parameters: {index: {values: [1, 2, 3]}, steps: {value: 4}}}\n";
        let mut plan = sweep::parse(Path::new("x.yaml"), text).map_err(|error| error.to_string()).unwrap();
        plan.trials.iter_mut().for_each(|trial| trial.disk_bytes = 1_000_000);
        // A trial that several stages have is written once.
        plan.trials.push(plan.trials[0].clone());
        assert_eq!(left_bytes(&plan, &HashSet::new()), 3_000_000);
        let done = HashSet::from([plan.trials[1].id]);
        assert_eq!(left_bytes(&plan, &done), 2_000_000);

        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("no/such/home");
        assert!(free_bytes(&home).unwrap() > 0);
        assert_eq!(shortage(&home, &plan, &done).unwrap(), None);
        plan.trials[0].disk_bytes = 1 << 60;
        let shortage = shortage(&home, &plan, &done).unwrap().unwrap();
        assert!(shortage.needed_bytes > 1 << 60 && shortage.free_bytes < 1 << 60);
        assert_eq!(Shortage::of(5, 5), None);
        let text = Shortage::of(708_000_000, 42_000_000).unwrap().to_string();
        assert_eq!(text, "the sweep needs about 708.00 MB on disk, and 42.00 MB is free");
    }
}
