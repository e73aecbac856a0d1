//! Runs for an MLflow tracking server, by its REST API 2.0.

mod client;
mod upload;

pub use client::{Credentials, MlflowError, Server};
pub use upload::{Uploaded, upload};
