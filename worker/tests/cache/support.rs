//! An embed trial, and somebody to report to.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use permafrost_worker::{
    cache::{Layout, Row, Writer},
    execute::{Job, Reporter},
    id::TrialId,
    protocol::{Artifact, Attempt, Checkpoint, Lease, Outcome, Stop},
    task::{Dtype, Embed, Encoder, Output, Task},
};

/// A home folder with one embed trial.
pub struct World {
    pub folder: tempfile::TempDir,
    pub lease: Lease,
}

impl World {
    pub fn new(output: Output, dtype: Dtype) -> Self {
        let encoder = Encoder::VisualWords { descriptors: vec![], width: 1, seed: 0 };
        let dataset = TrialId::of(&"a collection").unwrap();
        Self::of(Task::Embed(Embed { output, dtype, ..Embed::pooled(dataset, encoder) }))
    }

    pub fn of(task: Task) -> Self {
        let trial = task.id().unwrap();
        let lease = Lease { trial, attempt: 1, task, inputs: BTreeMap::new(), checkpoints: vec![] };
        Self { folder: tempfile::tempdir().unwrap(), lease }
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// An attempt with what the database would hand out.
    pub fn attempt(&self, attempt: Attempt, checkpoints: &[Checkpoint], left: &[Artifact]) -> Job {
        let mut lease = self.lease.clone();
        (lease.attempt, lease.checkpoints) = (attempt, checkpoints.to_vec());
        if !left.is_empty() {
            lease.inputs.insert(lease.trial, left.to_vec());
        }
        Job { leases: vec![lease], home: self.home().to_owned(), wheel_dir: None, checkpoint_ms: 0 }
    }

    /// Embeds `rows` undisturbed, the shards in the order of `order` (as far as it goes).
    pub fn embed(&self, layout: &Layout, rows: &[(String, Row)], order: &[usize]) -> Vec<Artifact> {
        let (job, reporter) = (self.attempt(1, &[], &[]), Recorder::default());
        let writer = Writer::open(&job, 0, &reporter, layout.clone(), ids(rows)).unwrap();
        for shard in order.iter().copied().filter(|&shard| shard < writer.shards()).chain(0..writer.shards()) {
            writer.put(shard, part(&writer, rows, shard)).unwrap();
        }
        writer.finish().unwrap().0
    }
}

pub fn ids(rows: &[(String, Row)]) -> Vec<String> {
    rows.iter().map(|(id, _)| id.clone()).collect()
}

/// The rows of a shard.
pub fn part(writer: &Writer<'_>, rows: &[(String, Row)], shard: usize) -> Vec<Row> {
    rows[writer.rows(shard)].iter().map(|(_, row)| row.clone()).collect()
}

/// `count` samples with an embedding of `width`; every seventh has none.
pub fn rows(count: usize, width: usize) -> Vec<(String, Row)> {
    let value = |sample: usize, at: usize| ((sample * 31 + at * 17) % 101) as f32 / 8.0 - 6.0;
    let row = |sample: usize| match sample % 7 {
        3 => Row::Missing(format!("image {sample} is cut short")),
        _ => Row::Values(vec![(0..width).map(|at| value(sample, at)).collect()]),
    };
    (0..count).map(|sample| (format!("sample-{sample}"), row(sample))).collect()
}

/// Name, size and digest of each file: what must not depend on what happened on the way.
pub fn digests(files: &[Artifact]) -> Vec<(String, u64, String)> {
    files.iter().map(|file| (file.name.clone(), file.bytes, file.blake3.clone())).collect()
}

pub fn path(home: &Path, files: &[Artifact], name: &str) -> PathBuf {
    home.join(&files.iter().find(|file| file.name == name).unwrap().path)
}

/// Keeps what it is told.
#[derive(Default)]
pub struct Recorder {
    told: Mutex<Told>,
}

#[derive(Default)]
pub struct Told {
    pub checkpoints: Vec<Checkpoint>,
    pub log: Vec<String>,
    pub resumed: Option<u64>,
    pub outcome: Option<Outcome>,
}

impl Recorder {
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }
}

impl Reporter for Recorder {
    fn progress(&self, _: usize, _: u64, _: u64) {}
    fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}
    fn resumed(&self, _: usize, step: u64) {
        self.told().resumed = Some(step);
    }
    fn checkpoint(&self, _: usize, checkpoint: Checkpoint) {
        self.told().checkpoints.push(checkpoint);
    }
    fn log(&self, _: usize, message: &str) {
        self.told().log.push(message.to_owned());
    }
    fn stop(&self, _: usize) -> Option<Stop> {
        None
    }
    fn finish(&self, _: usize, outcome: Outcome) {
        self.told().outcome = Some(outcome);
    }
}
