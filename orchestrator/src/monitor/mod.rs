//! Watching sweeps run.

pub mod advice;
pub mod metrics;
