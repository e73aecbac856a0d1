//! Shards that former attempts have finished: where they are listed, and how they are taken over.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::{header, layout::Layout, manifest::Missing};
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    id::TrialId,
    protocol::{Artifact, Checkpoint},
};

/// Version of the file of a checkpoint.
const FORMAT: u32 = 1;

/// A checkpoint: which shards are finished, and their BLAKE3.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    format: u32,
    trial: TrialId,
    step: u64,
    shards: Vec<Artifact>,
}

/// A finished shard.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) file: Artifact,
    pub(super) rows: usize,
    pub(super) missing: Vec<Missing>,
}

/// Writes a checkpoint.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn write_checkpoint(job: &Job, member: usize, step: u64, shards: Vec<Artifact>) -> Result<Checkpoint> {
    let path = job.folder(member).join(format!("checkpoint-{step}.json"));
    let progress = Progress { format: FORMAT, trial: job.leases[member].trial, step, shards };
    files::write_atomic(&path, |out| serde_json::to_writer(out, &progress).map_err(io::Error::from))?;
    Ok(Checkpoint { step, file: files::describe(&job.home, &path)? })
}

/// Shards that may be there: of the checkpoints, the newest first, and of the result that is made again. A checkpoint that cannot
/// be read is logged and passed over.
pub(super) fn listed(job: &Job, member: usize, reporter: &dyn Reporter) -> Vec<Artifact> {
    let lease = &job.leases[member];
    let mut found = Vec::new();
    for checkpoint in &lease.checkpoints {
        match read(job, lease.trial, checkpoint) {
            Ok(shards) => found.extend(shards),
            Err(error) => {
                reporter.log(member, &format!("passes over the checkpoint of step {}: {error}", checkpoint.step));
            }
        }
    }
    found.extend(lease.inputs.get(&lease.trial).into_iter().flatten().cloned());
    let mut seen = HashSet::new();
    found.retain(|file| seen.insert(file.path.clone()));
    found
}

fn read(job: &Job, trial: TrialId, checkpoint: &Checkpoint) -> Result<Vec<Artifact>> {
    let path = files::verified(&job.home, &checkpoint.file)?;
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let progress: Progress = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Damaged { path: path.clone(), what: error.to_string() })?;
    if progress.format != FORMAT || progress.trial != trial || progress.step != checkpoint.step {
        return Err(Error::Damaged { path, what: "it is of another format, trial or step".to_owned() });
    }
    Ok(progress.shards)
}

/// Takes a shard over into `folder`, after its BLAKE3 and its ids were compared: by a hard link, or as a copy where the file system
/// has none. No two attempts write to the same place.
///
/// # Errors
/// [`Error::Damaged`] when it is not what was recorded, or not of these samples; [`Error::Io`].
pub(super) fn take_over(home: &Path, file: &Artifact, folder: &Path, layout: &Layout, ids: &[String]) -> Result<Done> {
    let path = files::verified(home, file)?;
    let (rows, missing) = inspect(&path, layout, ids)?;
    let own = folder.join(&file.name);
    if own != path {
        link_or_copy(&path, &own)?;
    }
    let relative = own.strip_prefix(home).unwrap_or(&own).to_owned();
    Ok(Done { file: Artifact { path: relative, ..file.clone() }, rows, missing })
}

fn inspect(path: &PathBuf, layout: &Layout, ids: &[String]) -> Result<(usize, Vec<Missing>)> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    // SAFETY: a finished shard is never written again; it is replaced by rename only.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    let damaged = |what: String| Error::Damaged { path: path.clone(), what };
    let header = header::read(&map, layout).map_err(damaged)?;
    let missing: HashSet<&str> = header.missing.iter().map(|missing| missing.id.as_str()).collect();
    let (without, with): (Vec<&str>, Vec<&str>) = ids.iter().map(String::as_str).partition(|id| missing.contains(id));
    let listed = header.missing.iter().map(|missing| missing.id.as_str());
    if !with.iter().eq(&header.ids) || !without.into_iter().eq(listed) {
        return Err(damaged("it holds other samples".to_owned()));
    }
    Ok((header.ids.len(), header.missing))
}

fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut source = File::open(from).map_err(Error::io("open", from))?;
    files::write_atomic(to, |out| io::copy(&mut source, out).map(drop))
}
