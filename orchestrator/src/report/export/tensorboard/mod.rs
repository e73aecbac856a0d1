//! Event files of TensorBoard: a folder a trial, a file an attempt, to which only what is new is added.

mod events;
mod folder;
mod proto;
mod record;

pub use folder::{Exporter, Pass, TensorboardError};
