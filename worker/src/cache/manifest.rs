//! `manifest.json`: what embeddings are of, and where they lie.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::{Layout, file_name};
use crate::{
    error::{Error, Result},
    execute::Job,
    id::TrialId,
    task::{Dtype, Output, Task, without_locations},
};

/// Name of the file, and of the artifact.
pub const MANIFEST: &str = "manifest.json";
/// Version of the layout of folder, manifest and shards.
const FORMAT: u32 = 2;

/// A sample without an embedding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Missing {
    pub(super) id: String,
    pub(super) reason: String,
}

/// One tensor: its name, and the shape of one sample.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
}

/// One file of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shard {
    pub(super) file: String,
    pub(super) rows: usize,
    pub(super) blake3: String,
}

/// See the module. Nothing in it depends on the attempt: the same embeddings have the same manifest.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// What it is of.
    of: Of,
    tensors: Vec<Tensor>,
    /// Rows in all.
    count: usize,
    pub(super) shards: Vec<Shard>,
    /// Samples with a row, in order.
    pub(super) ids: Vec<String>,
    pub(super) missing: Vec<Missing>,
}

/// What embeddings are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// The trial that made them.
    trial: TrialId,
    /// The trial that prepared the collection.
    dataset: TrialId,
    /// The encoder, with the fingerprints of what the user gave; without places, which may change.
    encoder: Value,
    /// BLAKE3 of the files of the input trials, by trial and name.
    inputs: BTreeMap<TrialId, BTreeMap<String, String>>,
    pub(super) output: Output,
    pub(super) dtype: Dtype,
}

impl Of {
    /// What the embeddings of `member` are of.
    ///
    /// # Errors
    /// [`Error::Input`] when it does not embed.
    pub(super) fn member(job: &Job, member: usize) -> Result<Self> {
        let lease = &job.leases[member];
        let Task::Embed(task) = &lease.task else {
            return Err(Error::input(format!("a {} trial makes no embeddings", lease.task.kind().name())));
        };
        let encoder = serde_json::to_value(&task.encoder).map_err(|error| Error::input(error.to_string()))?;
        let reads = lease.task.inputs();
        let files = reads.iter().filter_map(|input| Some((*input, lease.inputs.get(input)?)));
        let digests = files
            .map(|(input, files)| (input, files.iter().map(|file| (file.name.clone(), file.blake3.clone())).collect()));
        Ok(Self {
            trial: lease.trial,
            dataset: task.dataset,
            encoder: without_locations(encoder),
            inputs: digests.collect(),
            output: task.output,
            dtype: task.dtype,
        })
    }
}

impl Manifest {
    pub(super) fn new(of: Of, layout: &Layout, shards: Vec<Shard>, ids: Vec<String>, missing: Vec<Missing>) -> Self {
        let tensor = |(name, shape): &(String, Vec<usize>)| Tensor { name: name.clone(), shape: shape.clone() };
        let tensors = layout.tensors.iter().map(tensor).collect();
        Self { format: FORMAT, of, tensors, count: ids.len(), shards, ids, missing }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if format != FORMAT {
            return Err(format!("format {format}, this program reads {FORMAT}"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        self.layout().check().map_err(|error| error.to_string())?;
        if self.ids.len() != self.count {
            return Err(format!("{} ids for {} rows", self.ids.len(), self.count));
        }
        let rows = self.shards.iter().try_fold(0_usize, |sum, shard| sum.checked_add(shard.rows));
        if rows != Some(self.count) || self.shards.is_empty() {
            return Err(format!("{} shards that do not have its {} rows", self.shards.len(), self.count));
        }
        for (at, shard) in self.shards.iter().enumerate() {
            if shard.file != file_name(at, self.shards.len()) {
                return Err(format!("shard {at} of {} is `{}`", self.shards.len(), shard.file));
            }
        }
        let mut seen = HashSet::with_capacity(self.count);
        for id in self.ids.iter().chain(self.missing.iter().map(|missing| &missing.id)) {
            if id.is_empty() || !seen.insert(id) {
                return Err(format!("sample id `{id}` is empty or there twice"));
            }
        }
        Ok(())
    }

    pub(super) fn layout(&self) -> Layout {
        let tensors = self.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone())).collect();
        Layout { tensors, dtype: self.of.dtype }
    }

    pub(super) const fn output(&self) -> Output {
        self.of.output
    }
}
