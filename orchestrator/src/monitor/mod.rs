//! Watching: what runs, on what, and what comes of it.

pub mod advice;
pub mod coordinator;
pub mod estimate;
pub mod metrics;
pub(crate) mod process;
pub mod serve;
pub mod top;
