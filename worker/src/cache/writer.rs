//! Writing embeddings shard by shard, so that a crash loses at most the shards that are being computed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    layout::{EMBEDDINGS, Layout, Shards, TOKENS},
    manifest::{MANIFEST, Manifest, Of, Shard},
    resume::{self, Done},
    shard::{self, Row},
};
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    protocol::Artifact,
    task::Output,
};

/// The embeddings of one member of an array, as far as they are there.
///
/// A shard that is finished is on disk, and a checkpoint that lists it is told, before [`Self::put`] returns. The next attempt takes
/// it over when it is whole, and makes it again when it is not. What is in a shard follows from the samples alone, so the files are
/// the same bit for bit however often the work was interrupted.
pub struct Writer<'a> {
    job: &'a Job,
    member: usize,
    /// None: nothing is told in between, as all is there at once.
    reporter: Option<&'a dyn Reporter>,
    folder: PathBuf,
    of: Of,
    layout: Layout,
    ids: Vec<String>,
    shards: Shards,
    state: Mutex<State>,
}

struct State {
    /// Of each shard.
    done: Vec<Option<Done>>,
    /// Step of the last checkpoint of any attempt. It only rises, as the highest are kept: one for each shard that was made.
    step: u64,
}

impl<'a> Writer<'a> {
    /// Embeddings of samples `ids`, in this order, by the [`crate::task::Embed`] task of `member`. Takes over what former attempts have
    /// finished; what of it is damaged is named in the log and has to be made again.
    ///
    /// # Errors
    /// [`Error::Input`] when there are no samples, an id is empty or there twice, or `layout` is not that of the task's output
    /// and dtype.
    pub fn open(
        job: &'a Job,
        member: usize,
        reporter: &'a dyn Reporter,
        layout: Layout,
        ids: Vec<String>,
    ) -> Result<Self> {
        let mut writer = Self::new(job, member, layout, ids)?;
        writer.reporter = Some(reporter);
        writer.take_over(reporter);
        Ok(writer)
    }

    /// Starts from nothing and tells nothing.
    pub(super) fn new(job: &'a Job, member: usize, layout: Layout, ids: Vec<String>) -> Result<Self> {
        let of = Of::member(job, member)?;
        layout.check()?;
        check_output(&of, &layout)?;
        check_ids(&ids)?;
        let shards = Shards::new(ids.len(), layout.row_bytes());
        let state = Mutex::new(State { done: vec![None; shards.count()], step: 0 });
        Ok(Self { job, member, reporter: None, folder: job.folder(member), of, layout, ids, shards, state })
    }

    fn take_over(&self, reporter: &dyn Reporter) {
        let number: HashMap<String, usize> =
            (0..self.shards.count()).map(|shard| (self.shards.file(shard), shard)).collect();
        let mut state = self.lock();
        let checkpoints = &self.job.leases[self.member].checkpoints;
        state.step = checkpoints.iter().map(|checkpoint| checkpoint.step).max().unwrap_or(0);
        for file in resume::listed(self.job, self.member, reporter) {
            let Some(&shard) = number.get(&file.name) else { continue };
            if state.done[shard].is_some() {
                continue;
            }
            let ids = &self.ids[self.shards.samples(shard)];
            match resume::take_over(&self.job.home, &file, &self.folder, &self.layout, ids) {
                Ok(done) => state.done[shard] = Some(done),
                // Damaged, or on a part of the disk that cannot be read: either way it is not needed.
                Err(error) => reporter.log(self.member, &format!("{error}; shard {shard} is made again")),
            }
        }
        let done = state.done.iter().flatten().count();
        if done > 0 {
            reporter.log(self.member, &format!("goes on with {done} of {} shards", self.shards.count()));
            if state.step > 0 {
                reporter.resumed(self.member, state.step);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.count()
    }

    /// The samples of a shard: places in the ids.
    pub fn rows(&self, shard: usize) -> Range<usize> {
        self.shards.samples(shard)
    }

    /// Whether a shard is there and need not be computed.
    pub fn is_done(&self, shard: usize) -> bool {
        self.lock().done[shard].is_some()
    }

    /// Samples of the finished shards that have no embedding.
    pub fn missing(&self) -> usize {
        self.lock().done.iter().flatten().map(|done| done.missing.len()).sum()
    }

    /// Finishes a shard: a row for each of its samples, in order. May be called from several threads. A shard that is there
    /// already stays as it is.
    ///
    /// # Errors
    /// [`Error::Input`] when a row is not of the layout, or a value is not finite as it is or as it would be kept;
    /// [`Error::Io`].
    pub fn put(&self, shard: usize, rows: Vec<Row>) -> Result<()> {
        if self.is_done(shard) {
            return Ok(());
        }
        let encoded = shard::encode(&self.layout, &self.ids[self.rows(shard)], &rows)?;
        drop(rows);
        let path = self.folder.join(self.shards.file(shard));
        files::write_atomic(&path, |out| {
            out.write_all(&encoded.header)?;
            out.write_all(&encoded.values)
        })?;
        let file = files::describe(&self.job.home, &path)?;
        let done = Done { file, rows: encoded.rows, missing: encoded.missing };
        // Under the lock, so that a later checkpoint lists all that an earlier one does.
        let mut state = self.lock();
        state.done[shard] = Some(done);
        if let Some(reporter) = self.reporter {
            state.step += 1;
            let listed = state.done.iter().flatten().map(|done| done.file.clone()).collect();
            reporter.checkpoint(self.member, resume::write_checkpoint(self.job, self.member, state.step, listed)?);
        }
        Ok(())
    }

    /// Writes the manifest, once every shard is there. Returns all files, and the counts `samples` (rows) and `samples_missing`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] when a shard is not there.
    pub fn finish(&self) -> Result<(Vec<Artifact>, BTreeMap<String, f64>)> {
        let (mut artifacts, mut shards, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, done) in self.lock().done.iter().enumerate() {
            let done = done.as_ref().ok_or_else(|| Error::input(format!("shard {shard} was not computed")))?;
            let Artifact { name, blake3, .. } = &done.file;
            shards.push(Shard { file: name.clone(), rows: done.rows, blake3: blake3.clone() });
            artifacts.push(done.file.clone());
            missing.extend(done.missing.iter().cloned());
        }
        let absent: HashSet<&str> = missing.iter().map(|missing| missing.id.as_str()).collect();
        let ids: Vec<String> = self.ids.iter().filter(|id| !absent.contains(id.as_str())).cloned().collect();
        let summary = BTreeMap::from([
            ("samples".to_owned(), ids.len() as f64),
            ("samples_missing".to_owned(), absent.len() as f64),
        ]);
        let manifest = Manifest::new(self.of.clone(), &self.layout, shards, ids, missing);
        let path = self.folder.join(MANIFEST);
        files::write_atomic(&path, |out| serde_json::to_writer(out, &manifest).map_err(std::io::Error::from))?;
        artifacts.push(files::describe(&self.job.home, &path)?);
        Ok((artifacts, summary))
    }
}

fn check_output(of: &Of, layout: &Layout) -> Result<()> {
    let shapes: Vec<(&str, usize)> = layout.tensors.iter().map(|(name, shape)| (name.as_str(), shape.len())).collect();
    let fits = match of.output {
        Output::Pooled => shapes == [(EMBEDDINGS, 1)],
        Output::Tokens => shapes == [(TOKENS, 2)],
        Output::Maps => true,
    };
    if !fits || layout.dtype != of.dtype {
        let (output, dtype) = (of.output, of.dtype);
        return Err(Error::input(format!("rows of {layout:?} for an output of {output:?} as {dtype:?}")));
    }
    Ok(())
}

fn check_ids(ids: &[String]) -> Result<()> {
    let mut seen = HashSet::with_capacity(ids.len());
    let wrong = |what: String| {
        Err(Error::Input { what, cure: Some("check the collection: each sample has an id of its own".to_owned()) })
    };
    if ids.is_empty() {
        return wrong("there is no sample to embed".to_owned());
    }
    match ids.iter().find(|id| id.is_empty() || !seen.insert(id.as_str())) {
        Some(id) => wrong(format!("sample id `{id}` is empty or there twice")),
        None => Ok(()),
    }
}
