//! Frozen encoders: visual words of images, BERT for texts. They fill the embedding cache.

mod attention;
mod batches;
mod bert;
pub mod dinov2;
mod elementwise;
mod family;
mod image;
mod imported;
mod lanes;
mod layers;
mod norm;
mod pass;
pub mod pixels;
mod pooling;
pub mod resnet_ae;
mod source;
mod text;
pub mod tokens;
mod vision;
mod visual_words;
mod weights;

pub use family::Family;

use crate::{
    datasets::Dataset,
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
    protocol::Outcome,
    task::{Embed, Encoder, Task},
};

/// Runs an array of [`Embed`] trials. All have encoders of one sort; see [`Task::array_key`].
///
/// # Errors
/// What stops the whole array: an input that cannot be read, a device that fails. What concerns one member alone is its
/// own outcome.
pub fn run(device: &Device, job: &Job, reporter: &dyn Reporter) -> Result<()> {
    match &task(job, 0)?.encoder {
        Encoder::VisualWords { .. } => visual_words::run(job, reporter),
        Encoder::Bert { .. } => text::run(device, job, reporter),
        Encoder::Imported { .. } => imported::run(job, reporter),
        Encoder::Dinov2 { .. } | Encoder::ResNetAe { .. } => image::run(device, job, reporter),
    }
}

/// The collection that all members encode.
fn dataset(job: &Job) -> Result<Dataset> {
    let id = task(job, 0)?.dataset;
    Dataset::load(&job.home, job.leases[0].inputs.get(&id).map_or(&[][..], Vec::as_slice))
}

/// Runs the members one after another, each with an outcome of its own.
///
/// # Errors
/// When the collection cannot be read.
fn in_turn(job: &Job, reporter: &dyn Reporter, run: impl Fn(usize, &Embed, &Dataset) -> Result<Outcome>) -> Result<()> {
    let dataset = dataset(job)?;
    for member in 0..job.leases.len() {
        let outcome = task(job, member)
            .and_then(|task| run(member, task, &dataset))
            .unwrap_or_else(|error| Outcome::Failed(error.into_failure()));
        reporter.finish(member, outcome);
    }
    Ok(())
}

/// What `member` is to do.
fn task(job: &Job, member: usize) -> Result<&Embed> {
    match &job.leases[member].task {
        Task::Embed(task) => Ok(task),
        other => Err(Error::input(format!("a {} trial among embed trials", other.kind().name()))),
    }
}
