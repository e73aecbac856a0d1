//! The program `permafrost`: all but the training, which is in `permafrost-worker`.

pub mod cli;
pub mod coordinator;
pub mod core;
pub mod figure;
pub mod launcher;
pub mod monitor;
pub mod report;
pub mod store;
pub mod sweep;
