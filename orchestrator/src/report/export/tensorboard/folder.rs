//! A sweep's folder of runs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::events::{Known, new_records, with_file};
use crate::{
    report::export::{Run, labels, read},
    store::{ExportTrial, Reader, StoreError},
};

/// Trials that are read at once.
const CHUNK: usize = 200;

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum TensorboardError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What one pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Trials that have a run.
    pub runs: usize,
    /// Runs to which something was added.
    pub changed: usize,
    /// Values that were added.
    pub values: usize,
    /// Trials that have not ended yet.
    pub unfinished: usize,
}

/// Keeps a folder of runs in step with a sweep. Files hold all that it must remember: it may be killed, and made anew.
pub struct Exporter {
    folder: PathBuf,
    /// Folders of runs that are there, by stage and identity.
    places: HashMap<(String, String), PathBuf>,
    files: HashMap<PathBuf, Known>,
    /// Trials of which all is written, with their last attempt.
    complete: HashSet<(i64, i64)>,
}

impl Exporter {
    /// Into this folder, which has a folder a stage.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), places: HashMap::new(), files: HashMap::new(), complete: HashSet::new() }
    }

    /// Writes what is new; `now` is in milliseconds since 1970 UTC. `progress` is told how many of how many trials were looked at.
    ///
    /// # Errors
    /// [`TensorboardError`].
    pub async fn pass(
        &mut self,
        reader: &Reader,
        sweep: i64,
        now: i64,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Pass, TensorboardError> {
        let mut trials = reader.export_trials(sweep).await?;
        trials.retain(|trial| !Run::is_preparation(trial));
        let names = labels(&trials);
        let mut pass =
            Pass { unfinished: trials.iter().filter(|trial| !Run::has_ended(trial)).count(), ..Pass::default() };
        let ran = trials.into_iter().zip(names).filter(|(trial, _)| trial.attempts > 0);
        let ran: Vec<(ExportTrial, String)> = ran.collect();
        pass.runs = ran.len();
        let todo: Vec<&(ExportTrial, String)> =
            ran.iter().filter(|(trial, _)| !self.complete.contains(&(trial.trial, trial.attempts))).collect();
        for (at, chunk) in todo.chunks(CHUNK).enumerate() {
            progress(at * CHUNK, todo.len());
            let rows: Vec<ExportTrial> = chunk.iter().map(|(trial, _)| trial.clone()).collect();
            for (run, (_, name)) in read(reader, &rows, now).await?.iter().zip(chunk.iter()) {
                let values = self.write(run, name)?;
                pass.values += values.unwrap_or(0);
                pass.changed += usize::from(values.is_some());
            }
        }
        progress(todo.len(), todo.len());
        Ok(pass)
    }

    /// Adds what is new of a run; none: nothing was.
    fn write(&mut self, run: &Run, name: &str) -> Result<Option<usize>, TensorboardError> {
        let folder = self.place(run, name)?;
        let mut files: BTreeMap<i64, PathBuf> = BTreeMap::new();
        let having = with_file(run);
        for attempt in run.attempts.iter().filter(|attempt| having.contains(&attempt.attempt)) {
            // TensorBoard reads files in the order of their names.
            let name = format!("events.out.tfevents.{:010}.permafrost.{:04}", attempt.started / 1000, attempt.attempt);
            files.insert(attempt.attempt, folder.join(name));
        }
        for path in files.values() {
            if !self.files.contains_key(path) {
                let content = match fs::read(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                    content => content.map_err(failed("read", path))?,
                };
                self.files.insert(path.clone(), Known::of(&content));
            }
        }
        let ended_before = |attempt: &i64, path: &PathBuf| {
            Some(*attempt) != run.attempts.last().map(|last| last.attempt)
                && self.files.get(path).is_some_and(|known| known.ended)
        };
        if files.iter().any(|(attempt, path)| ended_before(attempt, path)) {
            // It had ended, and was run again: its run begins anew.
            fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
            files.values().for_each(|path| {
                self.files.insert(path.clone(), Known::default());
            });
        }
        let mut changed = None;
        for (attempt, path) in &files {
            let mut known = self.files.get(path).cloned().unwrap_or_default();
            let whole = known.bytes;
            let first = having.first() == Some(attempt);
            let (records, values) = new_records(run, *attempt, first, &mut known);
            if !records.is_empty() {
                fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
                let mut file = OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .open(path)
                    .map_err(failed("open", path))?;
                // What a killed export left half is cut off.
                file.set_len(whole as u64).map_err(failed("write", path))?;
                io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed("write", path))?;
                file.write_all(&records).map_err(failed("write", path))?;
                changed = Some(changed.unwrap_or(0) + values);
            }
            self.files.insert(path.clone(), known);
        }
        if Run::has_ended(&run.trial) {
            self.complete.insert((run.trial.trial, run.trial.attempts));
            files.values().for_each(|path| {
                self.files.remove(path);
            });
        }
        Ok(changed)
    }

    /// The folder of a run: the one that is there, whatever a sweep then differed in, or a new one.
    fn place(&mut self, run: &Run, name: &str) -> Result<PathBuf, TensorboardError> {
        let stage: String = run
            .trial
            .stage
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        let parent = self.folder.join(&stage);
        let end = run.trial.id.get(..10).unwrap_or(&run.trial.id).to_owned();
        let key = (stage.clone(), end.clone());
        // The stage itself stands for that its folder was looked into.
        if self.places.insert((stage.clone(), String::new()), parent.clone()).is_none() {
            match fs::read_dir(&parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                entries => {
                    for entry in entries.map_err(failed("read", &parent))?.flatten() {
                        let name = entry.file_name().to_string_lossy().into_owned();
                        let end = name.rsplit('-').next().unwrap_or_default().to_owned();
                        self.places.insert((stage.clone(), end), entry.path());
                    }
                }
            }
        }
        Ok(self.places.entry(key).or_insert_with(|| parent.join(name)).clone())
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TensorboardError {
    let path = path.to_owned();
    move |source| TensorboardError::Io { action, path, source }
}
