//! A folder with a collection in it, and somebody to report to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use permafrost_worker::{
    datasets::{
        Dataset, Split,
        check::{self, Depth, Findings},
        prepare::{self, Prepared},
    },
    device::Device,
    execute::{Job, Reporter, execute},
    protocol::{Checkpoint, Failure, Lease, Outcome, Stop},
    task::{Prepare, Reader, Splitting, Task},
};

/// Seven tenths to train, two to validate, one to test.
pub const GROUPS: Splitting = Splitting::Groups { seed: 3, train: 0.7, valid: 0.2 };

/// A folder that goes when it is dropped.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// An image of the fixtures, made different from others by `mark` where that can be done.
pub fn image(name: &str, mark: u8) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/images").join(name);
    let mut bytes = fs::read(path).unwrap();
    if name.ends_with(".dcm") {
        // The last pixel; the very last byte may be padding.
        let last = bytes.len() - 2;
        bytes[last] = mark;
    } else {
        // Decoders do not look at what follows the image.
        bytes.push(mark);
    }
    bytes
}

/// The reader with the fingerprint that a planner would give it.
pub fn planned(mut reader: Reader) -> Reader {
    let found = prepare::fingerprint(&reader).unwrap_or_default();
    match &mut reader {
        Reader::OpenI { .. } => {}
        Reader::MimicCxr { fingerprint, .. }
        | Reader::Rsna { fingerprint, .. }
        | Reader::Covidx { fingerprint, .. }
        | Reader::Siim { fingerprint, .. }
        | Reader::Table { fingerprint, .. } => *fingerprint = found,
    }
    reader
}

/// What became of a prepare trial.
pub struct Ran {
    home: Place,
    pub outcome: Outcome,
    pub log: Vec<String>,
}

impl Ran {
    pub fn done(&self) -> (Dataset, &BTreeMap<String, f64>) {
        let Outcome::Done { summary, artifacts } = &self.outcome else { panic!("not done: {:?}", self.outcome) };
        (Dataset::load(self.home.path(), artifacts).unwrap(), summary)
    }

    pub fn failure(&self) -> &Failure {
        let Outcome::Failed(failure) = &self.outcome else { panic!("it has not failed: {:?}", self.outcome) };
        assert!(failure.cure.is_some(), "{} has no cure", failure.message);
        failure
    }
}

/// Runs a prepare trial.
pub fn run(reader: &Reader, split: Splitting) -> Ran {
    run_until(reader, split, None)
}

/// Runs one that is told to stop.
pub fn run_until(reader: &Reader, split: Splitting, stop: Option<Stop>) -> Ran {
    let home = Place::new();
    let task = Task::Prepare(Prepare { reader: reader.clone(), split });
    let lease = Lease { trial: task.id().unwrap(), attempt: 1, task, inputs: BTreeMap::new(), checkpoints: vec![] };
    let job = Job { leases: vec![lease], home: home.path().to_owned(), wheel_dir: None, checkpoint_ms: u64::MAX };
    let recorder = Recorder { stop, outcome: Mutex::new(None), log: Mutex::new(vec![]) };
    execute(&Device::Cpu { threads: 2 }, &job, &recorder);
    let (outcome, log) = (recorder.outcome.into_inner().unwrap().unwrap(), recorder.log.into_inner().unwrap());
    Ran { home, outcome, log }
}

/// Reads the collection without a trial.
pub fn read(reader: &Reader, split: Splitting) -> Prepared {
    prepare::read(reader, &split, None, &|_| false).unwrap().unwrap()
}

/// Looks at all of a collection, against the published sizes.
pub fn look(reader: &Reader, split: Splitting, depth: Depth) -> Findings {
    let Prepared { dataset, listed, .. } = read(reader, split);
    let published = check::published(reader, &split);
    let root = reader.root().unwrap();
    let options = check::Options { root, depth, published: &published, listed: &listed };
    check::check(&dataset, &options, &|_, _| false).unwrap()
}

/// Images in each split.
pub fn sizes(dataset: &Dataset) -> [usize; 3] {
    Split::ALL.map(|split| dataset.images.iter().filter(|image| image.split == split).count())
}

struct Recorder {
    stop: Option<Stop>,
    outcome: Mutex<Option<Outcome>>,
    log: Mutex<Vec<String>>,
}

impl Reporter for Recorder {
    fn progress(&self, _: usize, _: u64, _: u64) {}

    fn metric(&self, _: usize, name: &str, _: u64, _: f64) {
        panic!("a prepare trial has no metric {name}");
    }

    fn checkpoint(&self, _: usize, _: Checkpoint) {
        panic!("a prepare trial has no checkpoints");
    }

    fn log(&self, _: usize, message: &str) {
        self.log.lock().unwrap().push(message.to_owned());
    }

    fn stop(&self, _: usize) -> Option<Stop> {
        self.stop
    }

    fn finish(&self, _: usize, outcome: Outcome) {
        assert!(self.outcome.lock().unwrap().replace(outcome).is_none(), "finished twice");
    }
}
