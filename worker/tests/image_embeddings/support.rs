//! A collection of small images, a small DINOv2, and somebody to report to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use permafrost_worker::{
    cache::Embeddings,
    datasets::{Dataset, Image},
    device::Device,
    encoders::{Family, dinov2::Interpolation, pixels::DinoPixels},
    execute::{Job, Reporter, execute},
    files,
    id::TrialId,
    protocol::{Artifact, Checkpoint, Failure, Lease, Outcome, Stop},
    random::{Key, Purpose},
    task::{Dtype, Embed, Encoder, Location, Output, Pixels, Task, Weights},
};

pub const PIXELS: Pixels = Pixels { resize: 64, crop: 56 };

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

pub fn dinov2() -> Encoder {
    let location = fixture("vision/dinov2");
    let fingerprint = files::fingerprint(&Family::Dinov2.find(&location).unwrap()).unwrap();
    Encoder::Dinov2 {
        weights: Weights::Folder { location, fingerprint },
        pixels: PIXELS,
        normalise: DinoPixels::ImageNet,
        interpolation: Interpolation::Size,
    }
}

pub struct Home {
    folder: tempfile::TempDir,
    dataset: TrialId,
    artifacts: Vec<Artifact>,
    /// Ids and files of the images.
    pub images: Vec<(String, Option<String>)>,
}

impl Home {
    /// A collection of these images, below the folder that `write` fills.
    pub fn new(images: Vec<(String, Option<String>)>, write: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("collection");
        fs::create_dir(&root).unwrap();
        write(&root);
        let image = |(id, file): &(String, Option<String>)| Image {
            id: id.clone(),
            file: file.as_ref().map(PathBuf::from),
            ..Image::default()
        };
        let dataset = Dataset::new(vec![], vec![], images.iter().map(image).collect()).unwrap();
        let artifacts = vec![dataset.save(folder.path(), &folder.path().join("artifacts/dataset")).unwrap()];
        Self { folder, dataset: TrialId::of(&"collection").unwrap(), artifacts, images }
    }

    /// `count` images with noise, of several sizes.
    pub fn noise(count: usize) -> Self {
        let images = (0..count).map(|i| (format!("image-{i}"), Some(format!("{i}.png")))).collect();
        Self::new(images, |root| (0..count).for_each(|i| noise(&root.join(format!("{i}.png")), i)))
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("collection")
    }

    pub fn embed(&self, output: Output, dtype: Dtype) -> Embed {
        let root = Some(Location { location: self.root() });
        Embed { output, dtype, root, ..Embed::pooled(self.dataset, dinov2()) }
    }

    pub fn lease(&self, task: &Embed, attempt: u32, checkpoints: Vec<Checkpoint>) -> Lease {
        let task = Task::Embed(task.clone());
        let inputs = BTreeMap::from([(self.dataset, self.artifacts.clone())]);
        Lease { trial: task.id().unwrap(), attempt, task, inputs, checkpoints }
    }

    pub fn run(&self, leases: Vec<Lease>, threads: usize, stop: &Stopper) -> Vec<Member> {
        let recorder = Recorder { stop, members: Mutex::new(leases.iter().map(|_| Member::default()).collect()) };
        let job = Job { leases, home: self.path().to_owned(), wheel_dir: None, checkpoint_ms: 0 };
        execute(&Device::Cpu { threads }, &job, &recorder);
        recorder.members.into_inner().unwrap()
    }

    /// Runs tasks as one array, undisturbed, on two threads.
    pub fn run_tasks(&self, tasks: &[Embed]) -> Vec<Member> {
        self.run(tasks.iter().map(|task| self.lease(task, 1, vec![])).collect(), 2, &|_| None)
    }

    pub fn open(&self, member: &Member) -> Embeddings {
        Embeddings::open(self.path(), member.done().1).unwrap()
    }
}

/// Writes a grey PNG that no other number has.
pub fn noise(path: &Path, number: usize) {
    let (width, height) = (40 + number % 50, 90 - number % 37);
    let mut bits = vec![0; width * height];
    Key::new(number as u64, Purpose::Sample, 0).bits(&mut bits);
    let pixels: Vec<u8> = bits.into_iter().map(|bits| (bits >> 24) as u8).collect();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// By the rows done.
pub type Stopper = dyn Fn(u64) -> Option<Stop> + Sync;

#[derive(Clone, Debug, Default)]
pub struct Member {
    pub rows: u64,
    pub checkpoints: Vec<Checkpoint>,
    pub log: Vec<String>,
    pub outcome: Option<Outcome>,
}

impl Member {
    pub fn done(&self) -> (&BTreeMap<String, f64>, &[Artifact]) {
        match &self.outcome {
            Some(Outcome::Done { summary, artifacts }) => (summary, artifacts),
            other => panic!("it is not done: {other:?}"),
        }
    }

    pub fn failure(&self) -> &Failure {
        match &self.outcome {
            Some(Outcome::Failed(failure)) => failure,
            other => panic!("it has not failed: {other:?}"),
        }
    }

    /// What must not depend on what happened on the way.
    pub fn result(&self) -> (Vec<String>, BTreeMap<String, f64>) {
        let (summary, artifacts) = self.done();
        (
            artifacts.iter().map(|file| format!("{} {} {}", file.name, file.bytes, file.blake3)).collect(),
            summary.clone(),
        )
    }

    /// Files that went through the encoder, as the log has it.
    pub fn encoded(&self) -> usize {
        let line = self.log.iter().find(|line| line.contains("went through the encoder")).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    }
}

struct Recorder<'a> {
    stop: &'a Stopper,
    members: Mutex<Vec<Member>>,
}

impl Reporter for Recorder<'_> {
    fn progress(&self, member: usize, done: u64, total: u64) {
        let rows = &mut self.members.lock().unwrap()[member].rows;
        assert!(*rows <= done && done <= total, "from {rows} to {done} of {total}");
        *rows = done;
    }

    fn metric(&self, _: usize, name: &str, _: u64, value: f64) {
        panic!("{name} {value}");
    }

    fn checkpoint(&self, member: usize, checkpoint: Checkpoint) {
        self.members.lock().unwrap()[member].checkpoints.insert(0, checkpoint);
    }

    fn log(&self, member: usize, message: &str) {
        self.members.lock().unwrap()[member].log.push(message.to_owned());
    }

    fn stop(&self, member: usize) -> Option<Stop> {
        (self.stop)(self.members.lock().unwrap()[member].rows)
    }

    fn finish(&self, member: usize, outcome: Outcome) {
        let ended = self.members.lock().unwrap()[member].outcome.replace(outcome);
        assert!(ended.is_none(), "it has ended twice");
    }
}
