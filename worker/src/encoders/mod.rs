//! Frozen encoders: visual words of images, BERT for texts. They fill the embedding cache.

mod batches;
mod bert;
pub mod dinov2;
mod elementwise;
mod family;
mod lanes;
mod layers;
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
    device::Device,
    error::{Error, Result},
    execute::{Job, Reporter},
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
        Encoder::Dinov2 { .. } | Encoder::ResNetAe { .. } | Encoder::Imported { .. } => Err(Error::Resources {
            what: "this version plans that encoder and cannot run it yet".to_owned(),
            cure: Some("use `visual-words` for images and a BERT out of a wheel for texts".to_owned()),
        }),
    }
}

/// What `member` is to do.
fn task(job: &Job, member: usize) -> Result<&Embed> {
    match &job.leases[member].task {
        Task::Embed(task) => Ok(task),
        other => Err(Error::input(format!("a {} trial among embed trials", other.kind().name()))),
    }
}
