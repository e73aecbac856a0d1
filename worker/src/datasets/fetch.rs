//! Not written yet.

use crate::{
    error::Result,
    execute::{Job, Reporter},
};

/// Runs an array of these trials.
///
/// # Errors
/// What stops the whole array.
pub fn run(_job: &Job, _reporter: &dyn Reporter) -> Result<()> {
    Ok(())
}
