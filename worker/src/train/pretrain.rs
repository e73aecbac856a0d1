//! Not written yet.

use crate::{
    device::Device,
    error::Result,
    execute::{Job, Reporter},
};

/// Runs an array of these trials.
///
/// # Errors
/// What stops the whole array.
pub fn run(_device: &Device, _job: &Job, _reporter: &dyn Reporter) -> Result<()> {
    Ok(())
}
