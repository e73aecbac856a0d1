//! A small collection with embeddings, and somebody to report to.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use permafrost_worker::{
    cache::{self, Layout, Row, Writer},
    datasets::{ClassColumn, Dataset, Image, LabelColumns, Report, Split},
    device::Device,
    execute::{Job, Reporter, execute},
    id::TrialId,
    protocol::{Artifact, Attempt, Checkpoint, Failure, Lease, Outcome, Stop},
    task::{Attention, Classify, Dtype, Embed, Encoder, Precision, Pretrain, Subset, Target, Task},
};

pub const IMAGE_WIDTH: usize = 6;
pub const TEXT_WIDTH: usize = 5;
/// Classes of the label `kind`.
pub const KINDS: [&str; 3] = ["a", "b", "c"];

/// The kind of the i-th image of a split: half are `a`, a third `b`, a sixth `c`.
pub fn kind(i: usize) -> u32 {
    [0, 0, 0, 1, 1, 2][i % 6]
}

/// A home folder with one prepared collection; each has trial ids of its own, as features are kept by them.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub inputs: BTreeMap<TrialId, Vec<Artifact>>,
    pub dataset: TrialId,
    pub image: TrialId,
    pub text: TrialId,
}

/// Ids of the images of a split; each has the report of the same number.
pub fn ids(split: Split, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{}-{i}", split.name())).collect()
}

pub fn fresh_id() -> TrialId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    TrialId::of(&("a fixture", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap()
}

/// Values between -1 and 1 that depend on both.
pub fn values(id: &str, width: usize) -> Vec<f32> {
    let mut state = id.bytes().fold(0x9E37_79B9_u32, |state, byte| (state ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..width).map(|_| next()).collect()
}

/// A trial `id` that makes pooled embeddings.
pub fn embed_job(home: &Path, id: TrialId, dtype: Dtype) -> Job {
    let encoder = Encoder::VisualWords { descriptors: vec![], width: 1, seed: 0 };
    let task = Task::Embed(Embed { dtype, ..Embed::pooled(fresh_id(), encoder) });
    let lease = Lease { trial: id, attempt: 1, task, inputs: BTreeMap::new(), checkpoints: vec![] };
    Job { leases: vec![lease], home: home.to_owned(), wheel_dir: None, checkpoint_ms: u64::MAX }
}

impl Home {
    /// A collection with so many pairs in each split; every second one is sick.
    pub fn new(train: usize, valid: usize, test: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut images, mut reports) = (Vec::new(), Vec::new());
        for (split, count) in Split::ALL.into_iter().zip([train, valid, test]) {
            for (i, id) in ids(split, count).into_iter().enumerate() {
                let (report, labels) = (reports.len(), vec![Some(i % 2 == 0)]);
                let classes = vec![Some(kind(i))];
                images.push(Image { id: id.clone(), report: Some(report), split, labels, classes, ..Image::default() });
                reports.push(Report { id: format!("report-{id}"), text: "Text.".to_owned() });
            }
        }
        let kinds = ClassColumn { name: "kind".to_owned(), values: KINDS.map(str::to_owned).to_vec() };
        let columns = LabelColumns { binary: vec!["sick".to_owned()], classes: vec![kinds], numbers: vec![] };
        let dataset = Dataset::with_columns(columns, reports, images).unwrap();
        let files = vec![dataset.save(folder.path(), &folder.path().join("artifacts/dataset")).unwrap()];
        let mut home =
            Self { folder, inputs: BTreeMap::new(), dataset: fresh_id(), image: fresh_id(), text: fresh_id() };
        home.inputs.insert(home.dataset, files);
        let rows = |ids: Vec<&str>, width| -> Vec<(String, Vec<f32>)> {
            ids.into_iter().map(|id| (id.to_owned(), values(id, width))).collect()
        };
        let image_rows = rows(dataset.images.iter().map(|image| image.id.as_str()).collect(), IMAGE_WIDTH);
        let text_rows = rows(dataset.reports.iter().map(|report| report.id.as_str()).collect(), TEXT_WIDTH);
        let (image, text) = (home.image, home.text);
        home.embed(image, IMAGE_WIDTH, &image_rows);
        home.embed(text, TEXT_WIDTH, &text_rows);
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes embeddings as the files of trial `id`.
    pub fn embed(&mut self, id: TrialId, width: usize, rows: &[(String, Vec<f32>)]) {
        let rows: Vec<(&str, &[f32])> = rows.iter().map(|(id, row)| (id.as_str(), row.as_slice())).collect();
        let files = cache::write(&embed_job(self.path(), id, Dtype::F32), 0, width, &rows).unwrap();
        self.inputs.insert(id, files);
    }

    /// Writes embeddings of `rows` as the files of trial `id`; samples without values have no embedding.
    pub fn embed_some(&mut self, id: TrialId, width: usize, rows: Vec<(String, Option<Vec<f32>>)>) {
        let job = embed_job(self.path(), id, Dtype::F32);
        let recorder = Recorder { stop: &|_| None, members: Mutex::new(vec![Member::default()]) };
        let (ids, rows): (Vec<String>, Vec<Option<Vec<f32>>>) = rows.into_iter().unzip();
        let writer = Writer::open(&job, 0, &recorder, Layout::pooled(width, Dtype::F32), ids).unwrap();
        for shard in 0..writer.shards() {
            let row = |row: &Option<Vec<f32>>| match row {
                Some(values) => Row::Values(vec![values.clone()]),
                None => Row::Missing("cut short".to_owned()),
            };
            writer.put(shard, rows[writer.rows(shard)].iter().map(row).collect()).unwrap();
        }
        self.inputs.insert(id, writer.finish().unwrap().0);
    }

    pub fn pretrain(&self) -> Pretrain {
        Pretrain {
            dataset: self.dataset,
            image: self.image,
            text: self.text,
            image_width: IMAGE_WIDTH,
            text_width: TEXT_WIDTH,
            attention: Attention::OwnKv,
            i2t_weight: 0.75,
            precision: Precision::F32,
            dropout: 0.1,
            learning_rate: 1e-4,
            weight_decay: 0.01,
            warmup: 0.0,
            epochs: 2,
            batch_size: 4,
            patience: Some(5),
            min_delta: 0.0,
            seed: 3,
        }
    }

    pub fn classify(&self) -> Classify {
        Classify {
            dataset: self.dataset,
            image: self.image,
            adaptor: None,
            image_width: IMAGE_WIDTH,
            label: "sick".to_owned(),
            target: Target::Binary,
            subset: Subset::Nested,
            fraction: 1.0,
            dropout: 0.2,
            learning_rate: 1e-2,
            weight_decay: 0.01,
            epochs: 4,
            batch_size: 8,
            patience: Some(3),
            min_delta: 0.0,
            seed: 5,
        }
    }

    pub fn lease(&self, task: &Task, attempt: Attempt, checkpoints: Vec<Checkpoint>) -> Lease {
        Lease { trial: task.id().unwrap(), attempt, task: task.clone(), inputs: self.inputs.clone(), checkpoints }
    }

    /// Runs leases as one array, on two threads. `stop` says when a member must stop, by the steps it has done.
    pub fn run(&self, leases: Vec<Lease>, checkpoint_ms: u64, stop: &Stopper) -> Vec<Member> {
        self.run_on(&Device::Cpu { threads: 2 }, leases, checkpoint_ms, stop)
    }

    /// As [`Self::run`], on any device.
    pub fn run_on(&self, device: &Device, leases: Vec<Lease>, checkpoint_ms: u64, stop: &Stopper) -> Vec<Member> {
        let recorder = Recorder { stop, members: Mutex::new(leases.iter().map(|_| Member::default()).collect()) };
        let job = Job { leases, home: self.path().to_owned(), wheel_dir: None, checkpoint_ms };
        execute(device, &job, &recorder);
        recorder.members.into_inner().unwrap()
    }

    /// Runs tasks as one array, undisturbed.
    pub fn run_tasks(&self, tasks: &[Task]) -> Vec<Member> {
        let leases = tasks.iter().map(|task| self.lease(task, 1, vec![])).collect();
        self.run(leases, u64::MAX, &|_| None)
    }
}

/// By the steps done.
pub type Stopper = dyn Fn(u64) -> Option<Stop> + Sync;

/// What one member has reported.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub steps: u64,
    /// Bits of values.
    pub metrics: BTreeMap<(String, u64), u64>,
    pub checkpoints: Vec<Checkpoint>,
    pub outcome: Option<Outcome>,
}

impl Member {
    /// Everything that must not depend on what happened on the way: metrics and results to the last bit, and the files.
    pub fn result(&self) -> Vec<String> {
        let Some(Outcome::Done { summary, artifacts }) = &self.outcome else { panic!("not done: {:?}", self.outcome) };
        let metrics = self.metrics.iter().map(|((name, step), bits)| format!("{name} {step} {bits:x}"));
        let summary = summary.iter().map(|(name, value)| format!("{name} {:x}", value.to_bits()));
        let files = artifacts.iter().map(|file| format!("{} {} {}", file.name, file.bytes, file.blake3));
        metrics.chain(summary).chain(files).collect()
    }

    pub fn failure(&self) -> &Failure {
        match &self.outcome {
            Some(Outcome::Failed(failure)) => failure,
            other => panic!("it has not failed: {other:?}"),
        }
    }
}

struct Recorder<'a> {
    stop: &'a Stopper,
    members: Mutex<Vec<Member>>,
}

impl Reporter for Recorder<'_> {
    fn progress(&self, member: usize, done: u64, _: u64) {
        self.members.lock().unwrap()[member].steps = done;
    }

    fn metric(&self, member: usize, name: &str, step: u64, value: f64) {
        assert!(value.is_finite(), "{name} is {value}");
        let before = self.members.lock().unwrap()[member].metrics.insert((name.to_owned(), step), value.to_bits());
        assert!(before.is_none(), "{name} of {step} is reported twice");
    }

    fn checkpoint(&self, member: usize, checkpoint: Checkpoint) {
        self.members.lock().unwrap()[member].checkpoints.push(checkpoint);
    }

    fn log(&self, _: usize, message: &str) {
        assert!(!message.contains("passes over"), "{message}");
    }

    fn stop(&self, member: usize) -> Option<Stop> {
        (self.stop)(self.members.lock().unwrap()[member].steps)
    }

    fn finish(&self, member: usize, outcome: Outcome) {
        let ended = self.members.lock().unwrap()[member].outcome.replace(outcome);
        assert!(ended.is_none(), "it has ended twice");
    }
}
