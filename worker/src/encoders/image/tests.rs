//! The way of a card, on the processor.

use std::{collections::BTreeMap, path::Path, sync::Mutex};

use candle_core::Device;

use super::{batched, model::Model, one_by_one, pass::Pass, units::Units};
use crate::{
    cache::Embeddings,
    datasets::Image,
    encoders::{Family, dinov2::Interpolation, pixels::DinoPixels},
    execute::{Job, Reporter},
    files,
    id::TrialId,
    protocol::{Checkpoint, Lease, Outcome, Stop},
    task::{Embed, Encoder, Output, Pixels, Task, Weights},
};

struct Recorder(Mutex<Vec<Outcome>>);

impl Reporter for Recorder {
    fn progress(&self, _: usize, _: u64, _: u64) {}
    fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}
    fn checkpoint(&self, _: usize, _: Checkpoint) {}
    fn log(&self, _: usize, _: &str) {}
    fn stop(&self, _: usize) -> Option<Stop> {
        None
    }
    fn finish(&self, _: usize, outcome: Outcome) {
        self.0.lock().unwrap().push(outcome);
    }
}

fn embed() -> Embed {
    let location = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vision/dinov2");
    let fingerprint = files::fingerprint(&Family::Dinov2.find(&location).unwrap()).unwrap();
    let encoder = Encoder::Dinov2 {
        weights: Weights::Folder { location, fingerprint },
        pixels: Pixels { resize: 60, crop: 56 },
        normalise: DinoPixels::Symmetric,
        interpolation: Interpolation::Size,
    };
    let pooled = Embed::pooled(TrialId::of(&"collection").unwrap(), encoder);
    Embed { output: Output::Tokens, max_damaged: 0.5, ..pooled }
}

/// Tokens of the images, by a batch of this size; none: one by one.
fn run(images: &[Image], batch: Option<usize>) -> Embeddings {
    let home = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/images");
    let task = Task::Embed(embed());
    let lease = Lease { trial: task.id().unwrap(), attempt: 1, task, inputs: BTreeMap::new(), checkpoints: vec![] };
    let job = Job { leases: vec![lease], home: home.path().to_owned(), wheel_dir: None, checkpoint_ms: 0 };
    let recorder = Recorder(Mutex::default());
    let (model, pixels, _) = Model::open(&embed(), &job.leases[0], home.path(), &Device::Cpu).unwrap();
    let units = Units::of(images);
    let pass = Pass::new(&job, &recorder, (&root, pixels), &model, &units).unwrap();
    match batch {
        Some(batch) => batched(&pass, &model, &units.units, 2, batch).unwrap(),
        None => one_by_one(&pass, &model, &units.units, 2).unwrap(),
    }
    pass.finish();
    let outcomes = recorder.0.into_inner().unwrap();
    let [Outcome::Done { artifacts, .. }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    Embeddings::open(home.path(), artifacts).unwrap()
}

#[test]
fn batches_read_ahead_are_the_images_alone() {
    let files =
        ["grey8.png", "refused/cmyk.jpg", "grey.jpg", "", "rgb8.png", "grey8.png", "u8.dcm", "i12.dcm", "none.png"];
    let image = |number: usize| Image {
        id: format!("{number}"),
        file: Some(files[number % 9].into()).filter(|_| !number.is_multiple_of(9) || number < 30),
        ..Image::default()
    };
    let images: Vec<Image> =
        (0..80).map(image).filter(|image| image.file.as_ref().is_none_or(|file| *file != *"")).collect();
    let alone = run(&images, None);
    for batch in [1, 3, 100] {
        let found = run(&images, Some(batch));
        assert_eq!(found.ids(), alone.ids());
        assert!(!found.is_empty() && found.len() < images.len());
        for id in alone.ids() {
            let rows = [&alone, &found].map(|embeddings| embeddings.tensor("tokens").unwrap().get(id).unwrap());
            let largest = rows[0].iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (alone, found) in rows[0].iter().zip(rows[1].iter()) {
                assert!((alone - found).abs() <= 1e-5 * largest, "{id}: {found}, not {alone}");
            }
        }
    }
}
