//! Optuna, as a process of its own.

use std::{path::Path, process::Command};

use super::{Result, session};

/// What Optuna did.
pub struct Optuna {
    /// Name and version.
    pub name: String,
    /// Seconds for its trials.
    pub seconds: f64,
}

impl Optuna {
    /// Has Optuna run `trials` no-op trials with SQLite, on the same disk.
    ///
    /// # Errors
    /// When the script fails.
    pub fn run(python: &str, script: &Path, sampler: &str, trials: usize) -> Result<Self> {
        let folder = session::folder()?;
        let output = Command::new(python)
            .arg(script)
            .args(["--sampler", sampler, "--trials", &trials.to_string(), "--folder"])
            .arg(folder.path())
            .output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", script.display(), String::from_utf8_lossy(&output.stderr)).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let (name, seconds) = text.trim().split_once('\t').ok_or("the script says something else")?;
        Ok(Self { name: name.to_owned(), seconds: seconds.parse()? })
    }
}
