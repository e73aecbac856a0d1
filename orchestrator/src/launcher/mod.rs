//! Starts workers. For now: processes on this machine, one a device.

mod local;

pub use local::{Exit, LocalLauncher, WorkerCommand};
