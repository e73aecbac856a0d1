//! One `embed` trial, again and again.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

use permafrost_worker::{
    cache::Embeddings,
    datasets::{Dataset, Image, Report},
    device::Device,
    encoders::{Family, dinov2::Interpolation, pixels::DinoPixels},
    execute::{Job, Reporter, execute},
    files,
    id::TrialId,
    images::{self, Limits},
    protocol::{Artifact, Checkpoint, Lease, Outcome, Stop},
    task::{Embed, Encoder, Location, Pixels, Pooling, Task, Weights},
};

use crate::{collection::Collection, torch::Result};

/// Longer texts are cut, as the paper does.
const MAX_TOKENS: usize = 112;

pub struct Trial {
    home: tempfile::TempDir,
    task: Embed,
    /// Of the collection.
    artifacts: Vec<Artifact>,
    folder: PathBuf,
    root: PathBuf,
    /// Files of images, or texts; sample ids are their numbers.
    samples: Vec<String>,
    attempt: u32,
    outcome: Option<Outcome>,
}

impl Trial {
    pub fn of_images(collection: &Collection, weights: Option<&Path>) -> Result<Self> {
        let (name, pixels) = match weights {
            Some(_) => ("dinov2-s", Pixels { resize: 256, crop: 224 }),
            None => ("vision/dinov2", Pixels { resize: 64, crop: 56 }),
        };
        let image = |(number, file): (usize, &PathBuf)| Image {
            id: number.to_string(),
            file: Some(file.clone()),
            ..Image::default()
        };
        let images = collection.images.iter().enumerate().map(image).collect();
        let dataset = Dataset::new(vec![], vec![], images)?;
        let samples = collection.images.iter().map(|file| file.display().to_string()).collect();
        Self::new(collection, &dataset, samples, folder(weights, name), |folder| {
            Ok(Encoder::Dinov2 {
                weights: weights_of(Family::Dinov2, folder)?,
                pixels,
                normalise: DinoPixels::ImageNet,
                interpolation: Interpolation::Size,
            })
        })
    }

    pub fn of_reports(collection: &Collection, weights: Option<&Path>) -> Result<Self> {
        let (name, max_tokens) = if weights.is_some() { ("minilm-l6", MAX_TOKENS) } else { ("encoders/model", 16) };
        let report = |(number, text): (usize, &String)| Report { id: number.to_string(), text: text.clone() };
        let reports: Vec<Report> = collection.notes.iter().enumerate().map(report).collect();
        let image = |number: usize| Image { id: number.to_string(), report: Some(number), ..Image::default() };
        let images = (0..reports.len()).map(image).collect();
        let dataset = Dataset::new(vec![], reports, images)?;
        Self::new(collection, &dataset, collection.notes.clone(), folder(weights, name), |folder| {
            Ok(Encoder::Bert { weights: weights_of(Family::Bert, folder)?, pooling: Pooling::Mean, max_tokens })
        })
    }

    fn new(
        collection: &Collection,
        dataset: &Dataset,
        samples: Vec<String>,
        folder: PathBuf,
        encoder: impl FnOnce(&Path) -> Result<Encoder>,
    ) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let artifacts = vec![dataset.save(home.path(), &home.path().join("artifacts/dataset"))?];
        let root = collection.root.clone();
        let mut task = Embed::pooled(TrialId::of(&"collection")?, encoder(&folder)?);
        task.root = Some(Location { location: root.clone() });
        Ok(Self { home, task, artifacts, folder, root, samples, attempt: 0, outcome: None })
    }

    pub fn count(&self) -> usize {
        self.samples.len()
    }

    pub fn encoder(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Writes what PyTorch reads: the files or texts, and of images the levels that are encoded, for comparing outputs.
    pub fn describe(&self, path: &Path) -> Result<()> {
        let mut description = serde_json::json!({
            "weights": self.folder.canonicalize()?,
            "root": self.root.canonicalize()?,
            "samples": self.samples,
        });
        match &self.task.encoder {
            Encoder::Dinov2 { pixels, .. } => {
                let mut levels = Vec::new();
                for file in &self.samples {
                    let image = images::read(&self.root.join(file), &Limits::default())?;
                    let image = image.resized_longest(pixels.resize)?.padded_square().centre_crop(pixels.crop)?;
                    levels.extend_from_slice(image.pixels());
                }
                let file = path.with_extension("levels");
                std::fs::write(&file, levels)?;
                description["levels"] = serde_json::json!(file);
                description["resize"] = pixels.resize.into();
                description["crop"] = pixels.crop.into();
            }
            Encoder::Bert { max_tokens, .. } => description["max_tokens"] = (*max_tokens).into(),
            _ => {}
        }
        Ok(std::fs::write(path, description.to_string())?)
    }

    /// From the loaded encoder to the embeddings on disk.
    pub fn seconds(&mut self, threads: usize) -> Result<f64> {
        self.attempt += 1;
        let task = Task::Embed(self.task.clone());
        let inputs = BTreeMap::from([(self.task.dataset, self.artifacts.clone())]);
        let lease = Lease { trial: task.id()?, attempt: self.attempt, task, inputs, checkpoints: vec![] };
        let home = self.home.path().to_owned();
        let job = Job { leases: vec![lease], home, wheel_dir: None, checkpoint_ms: u64::MAX };
        let watch = Watch::default();
        execute(&Device::Cpu { threads }, &job, &watch);
        let (start, end) = watch.times.into_inner().map_err(|error| error.to_string())?;
        let (start, (end, outcome)) = start.zip(end).ok_or("the trial said nothing")?;
        if !matches!(outcome, Outcome::Done { .. }) {
            return Err(format!("the trial is not done: {outcome:?}").into());
        }
        self.outcome = Some(outcome);
        Ok((end - start).as_secs_f64())
    }

    /// Of the last time, in the order of the samples.
    pub fn embeddings(&self) -> Result<Vec<Vec<f32>>> {
        let Some(Outcome::Done { artifacts, .. }) = &self.outcome else { return Err("nothing was run".into()) };
        let embeddings = Embeddings::open(self.home.path(), artifacts)?;
        let row = |number: usize| Ok(embeddings.require("sample", &number.to_string())?.to_vec());
        (0..self.count()).map(row).collect()
    }
}

/// The folder of an encoder: a real one, or that of the tests.
fn folder(weights: Option<&Path>, name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    weights.unwrap_or(&fixtures).join(name)
}

fn weights_of(family: Family, folder: &Path) -> Result<Weights> {
    let found = family.find(folder).map_err(|missing| format!("{}: {}", folder.display(), missing.join(", ")))?;
    Ok(Weights::Folder { location: folder.to_owned(), fingerprint: files::fingerprint(&found)? })
}

/// When all was loaded, which the first line of the log says, and when it ended.
#[derive(Default)]
struct Watch {
    times: Mutex<(Option<Instant>, Option<End>)>,
}

type End = (Instant, Outcome);

impl Reporter for Watch {
    fn progress(&self, _: usize, _: u64, _: u64) {}

    fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}

    fn checkpoint(&self, _: usize, _: Checkpoint) {}

    fn log(&self, _: usize, _: &str) {
        if let Ok(mut times) = self.times.lock() {
            times.0.get_or_insert_with(Instant::now);
        }
    }

    fn stop(&self, _: usize) -> Option<Stop> {
        None
    }

    fn finish(&self, _: usize, outcome: Outcome) {
        if let Ok(mut times) = self.times.lock() {
            times.1 = Some((Instant::now(), outcome));
        }
    }
}
