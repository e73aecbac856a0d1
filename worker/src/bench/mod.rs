//! Speed of the training steps on random inputs of the paper's sizes, made on the device's machine: what `permafrost bench` and
//! `benches/heads.rs` run.
//!
//! A [`Workload`] is timed as training does the work: gathering a batch, forward, backward, AdamW. Its members are those of an
//! array. PyTorch yardsticks ([`Torch`]) run in turn with it, round by round, so that all see the same machine.

mod adaptor;
mod arithmetic;
mod cuda;
mod heads;
mod lanes;
mod measure;
mod peak;
mod report;
mod torch;

pub use self::{
    adaptor::AdaptorSetup,
    arithmetic::{GRID, Grid, adaptor_flops, head_flops},
    heads::HeadSetup,
    measure::{Contestant, Measured, in_turn, largest_difference},
    peak::{Peak, peak},
    report::{Check, Comparison, Ratio, Report, Row, Speed, What},
    torch::{Script, Torch},
};
use crate::{device::Device, error::Result};

/// Work that can be timed.
pub trait Workload {
    /// Runs `steps` steps of each of `members` members and waits until they are done. Gives the seconds this took, without the
    /// making of what a training run makes once.
    ///
    /// # Errors
    /// When the device fails, or a loss is not finite.
    fn run(&mut self, members: usize, steps: u32) -> Result<f64>;
}

/// Pre-training on that device.
///
/// # Errors
/// When the device cannot do it.
pub fn adaptors(device: &Device, setup: AdaptorSetup) -> Result<Box<dyn Workload>> {
    match device.stream()? {
        Some(stream) => Ok(Box::new(cuda::Adaptors::new(stream, setup, cuda::EMBEDDINGS)?)),
        None => Ok(Box::new(adaptor::OnCpu::new(setup, device.threads()))),
    }
}

/// Training of classification heads on that device.
///
/// # Errors
/// When the device cannot do it.
pub fn heads(device: &Device, setup: HeadSetup) -> Result<Box<dyn Workload>> {
    match device.stream()? {
        Some(stream) => Ok(Box::new(cuda::Heads::new(stream, setup)?)),
        None => Ok(Box::new(heads::OnCpu::new(setup, device.threads()))),
    }
}
