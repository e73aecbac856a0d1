//! Runs embed trials on collections and wheels made for the test.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use permafrost_worker::{
    cache::Embeddings,
    datasets::{Dataset, Image, OPEN_I_PUBLISHED, Report},
    device::Device,
    execute::{Job, Reporter, execute},
    files,
    id::TrialId,
    protocol::{Artifact, Checkpoint, Failure, Lease, Outcome, Stop},
    task::{Embed, Encoder, Pooling, Prepare, Reader, Splitting, Task, Weights},
};

/// All three.
pub const POOLINGS: [Pooling; 3] = [Pooling::Pooler, Pooling::Mean, Pooling::Cls];

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/encoders").join(name)
}

/// Files of a wheel by their path in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Folder of the tiny encoder in its wheel.
pub const FOLDER: &str = "tiny/model";

/// The tiny BERT of the fixtures.
pub fn tiny() -> Files {
    ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
        .into_iter()
        .map(|name| (format!("{FOLDER}/{name}"), std::fs::read(fixture("model").join(name)).unwrap()))
        .collect()
}

/// What a run told its reporter.
#[derive(Default)]
pub struct Recorder {
    pub outcomes: Mutex<BTreeMap<usize, Outcome>>,
    pub progress: Mutex<BTreeMap<usize, Vec<(u64, u64)>>>,
    pub logs: Mutex<Vec<String>>,
    asked: AtomicUsize,
    /// Says drain from the question of this number on.
    stop_at: Option<usize>,
}

impl Reporter for Recorder {
    fn progress(&self, member: usize, done: u64, total: u64) {
        self.progress.lock().unwrap().entry(member).or_default().push((done, total));
    }
    fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}
    fn checkpoint(&self, _: usize, _: Checkpoint) {}
    fn log(&self, _: usize, message: &str) {
        self.logs.lock().unwrap().push(message.to_owned());
    }
    fn stop(&self, _: usize) -> Option<Stop> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        self.stop_at.filter(|&at| asked >= at).map(|_| Stop::Drain)
    }
    fn finish(&self, member: usize, outcome: Outcome) {
        assert!(self.outcomes.lock().unwrap().insert(member, outcome).is_none(), "member {member} ended twice");
    }
}

/// A home folder with a collection and a wheel.
pub struct Bench {
    pub home: tempfile::TempDir,
    pub inputs: BTreeMap<TrialId, Vec<Artifact>>,
    /// What later runs go on from.
    pub checkpoints: BTreeMap<TrialId, Vec<Checkpoint>>,
    attempt: u32,
}

pub fn id(name: &str) -> TrialId {
    TrialId::of(&name).unwrap()
}

impl Bench {
    /// A report for each of `texts`, called `r0` and on, each with one image.
    pub fn new(texts: &[&str]) -> Self {
        let words = |i: usize| [("CEDD".to_owned(), format!("f2p0k{i}"))].into();
        let report = |(i, text): (usize, &&str)| Report { id: format!("r{i}"), text: (*text).to_owned() };
        let image = |i| Image { id: format!("i{i}"), report: Some(i), words: words(i % 3), ..Image::default() };
        let reports = texts.iter().enumerate().map(report).collect();
        Self::of(&Dataset::new(vec![], reports, (0..texts.len()).map(image).collect()).unwrap())
    }

    pub fn of(dataset: &Dataset) -> Self {
        let home = tempfile::tempdir().unwrap();
        let artifact = dataset.save(home.path(), &home.path().join("prepare")).unwrap();
        let inputs = [(id("dataset"), vec![artifact])].into();
        Self { home, inputs, checkpoints: BTreeMap::new(), attempt: 0 }
    }

    /// Adds a wheel that is already on disk.
    pub fn wheel_at(mut self, path: &Path) -> Self {
        self.inputs.insert(id("wheel"), vec![files::describe(self.home.path(), path).unwrap()]);
        self
    }

    /// Adds a wheel with these files.
    pub fn wheel(self, files: &Files) -> Self {
        let path = self.home.path().join("test-1.0-py3-none-any.whl");
        let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in files {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        self.wheel_at(&path)
    }

    pub fn lease(&self, encoder: Encoder) -> Lease {
        let task = Task::Embed(Embed::pooled(id("dataset"), encoder));
        let trial = task.id().unwrap();
        let checkpoints = self.checkpoints.get(&trial).cloned().unwrap_or_default();
        Lease { trial, attempt: self.attempt, task, inputs: self.inputs.clone(), checkpoints }
    }

    /// Runs an array of `encoders`.
    pub fn run(&mut self, encoders: Vec<Encoder>, threads: usize, stop_at: Option<usize>) -> Recorder {
        self.attempt += 1;
        let recorder = Recorder { stop_at, ..Recorder::default() };
        let leases: Vec<Lease> = encoders.into_iter().map(|encoder| self.lease(encoder)).collect();
        let job = Job { leases, home: self.home.path().to_owned(), wheel_dir: None, checkpoint_ms: 1000 };
        execute(&Device::Cpu { threads }, &job, &recorder);
        assert_eq!(recorder.outcomes.lock().unwrap().len(), job.leases.len());
        recorder
    }

    /// The embeddings of each member, all of which must be done.
    pub fn embeddings(&mut self, encoders: Vec<Encoder>, threads: usize) -> Vec<Embeddings> {
        let recorder = self.run(encoders, threads, None);
        let outcomes = recorder.outcomes.into_inner().unwrap();
        outcomes.into_values().map(|outcome| Embeddings::open(self.home.path(), &done(outcome).1).unwrap()).collect()
    }

    /// The failure of the only member.
    pub fn failure(&mut self, encoder: Encoder) -> Failure {
        let outcomes = self.run(vec![encoder], 2, None).outcomes.into_inner().unwrap();
        match &outcomes[&0] {
            Outcome::Failed(failure) => failure.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// Summary and files of a trial that is done.
pub fn done(outcome: Outcome) -> (BTreeMap<String, f64>, Vec<Artifact>) {
    match outcome {
        Outcome::Done { summary, artifacts } => (summary, artifacts),
        other => panic!("{other:?}"),
    }
}

/// The encoder in the bench's wheel.
pub fn bert(folder: &str, pooling: Pooling, max_tokens: usize) -> Encoder {
    let weights = Weights::Wheel { wheel: id("wheel"), folder: folder.to_owned() };
    Encoder::Bert { weights, pooling, max_tokens }
}

/// All rows, in the order of the file.
pub fn rows(embeddings: &Embeddings) -> Vec<(&str, &[f32])> {
    embeddings.ids().iter().map(|id| (id.as_str(), embeddings.get(id).unwrap())).collect()
}

/// The Indiana University reports out of their wheel.
pub fn open_i(wheel: &Path) -> Dataset {
    let home = tempfile::tempdir().unwrap();
    let published = OPEN_I_PUBLISHED;
    let task = Task::Prepare(Prepare {
        reader: Reader::OpenI { wheel: id("wheel"), reports: published.reports, images: published.images },
        split: Splitting::Groups { seed: 0, train: 0.7, valid: 0.1 },
    });
    let inputs = [(id("wheel"), vec![files::describe(home.path(), wheel).unwrap()])].into();
    let lease = Lease { trial: task.id().unwrap(), attempt: 1, task, inputs, checkpoints: vec![] };
    let job = Job { leases: vec![lease], home: home.path().to_owned(), wheel_dir: None, checkpoint_ms: 1000 };
    let recorder = Recorder::default();
    execute(&Device::Cpu { threads: 1 }, &job, &recorder);
    let outcome = recorder.outcomes.into_inner().unwrap().remove(&0).unwrap();
    Dataset::load(home.path(), &done(outcome).1).unwrap()
}
