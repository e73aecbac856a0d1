//! What an array reads: each file once, shared by the members that need it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    cache::Embeddings,
    datasets::Dataset,
    error::{Error, Result},
    execute::Job,
    files,
    id::TrialId,
    protocol::{Artifact, Lease},
    task::Output,
};

/// Collections and embeddings of a job, read when they are first asked for.
#[derive(Default)]
pub(super) struct Inputs {
    datasets: Mutex<HashMap<TrialId, Arc<Dataset>>>,
    embeddings: Mutex<HashMap<TrialId, Arc<Embeddings>>>,
}

impl Inputs {
    pub(super) fn dataset(&self, job: &Job, lease: &Lease, id: TrialId) -> Result<Arc<Dataset>> {
        once(&self.datasets, id, || Dataset::load(&job.home, artifacts(lease, id)?))
    }

    pub(super) fn embeddings(&self, job: &Job, lease: &Lease, id: TrialId, width: usize) -> Result<Arc<Embeddings>> {
        let embeddings = once(&self.embeddings, id, || Embeddings::open(&job.home, artifacts(lease, id)?))?;
        if embeddings.output() != Output::Pooled {
            return Err(Error::Input {
                what: format!("trial {id:?} keeps {:?} and no pooled embeddings", embeddings.output()),
                cure: Some("train on an encoder with `output: pooled`".to_owned()),
            });
        }
        if embeddings.width() != width {
            let found = embeddings.width();
            return Err(Error::Input {
                what: format!("the embeddings of trial {id:?} have width {found}, not {width}"),
                cure: Some("give the encoder its true `width` in the sweep file".to_owned()),
            });
        }
        Ok(embeddings)
    }
}

/// The value under `id`; made while others wait, so that it is made once.
fn once<T>(map: &Mutex<HashMap<TrialId, Arc<T>>>, id: TrialId, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = map.get(&id) {
        return Ok(Arc::clone(value));
    }
    let value = Arc::new(make()?);
    map.insert(id, Arc::clone(&value));
    Ok(value)
}

/// Files of an input trial.
pub(super) fn artifacts(lease: &Lease, id: TrialId) -> Result<&[Artifact]> {
    let files = lease.inputs.get(&id).map(Vec::as_slice);
    files.ok_or_else(|| Error::input(format!("trial {id:?} has left no files")))
}

/// The bytes of file `name` of an input trial, verified.
pub(super) fn read(job: &Job, lease: &Lease, id: TrialId, name: &str) -> Result<Vec<u8>> {
    let artifact = artifacts(lease, id)?.iter().find(|artifact| artifact.name == name);
    let artifact = artifact.ok_or_else(|| Error::input(format!("trial {id:?} has left no `{name}`")))?;
    let path = files::verified(&job.home, artifact)?;
    std::fs::read(&path).map_err(Error::io("read", &path))
}
