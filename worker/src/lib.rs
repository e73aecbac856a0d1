//! All that runs on a device: reading data, encoding it with frozen backbones, training Adaptors and heads.
//!
//! `permafrost worker` runs this library. It knows the coordinator only through [`protocol`].

// Unit tests share fixtures with the tests in `tests/`.
#[cfg(test)]
extern crate self as permafrost_worker;

pub mod agent;
pub mod bench;
pub mod cache;
pub mod checkpoint;
pub mod cuda;
pub mod datasets;
pub mod device;
pub mod encoders;
pub mod error;
pub mod execute;
pub mod files;
pub mod hub;
pub mod id;
pub mod images;
pub mod matrix;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod protocol;
pub mod random;
pub mod task;
pub mod train;
pub mod tsne;

/// Version of this program, recorded with every attempt. Workers and coordinator must agree on it.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");
