//! Results for the tools that people have: TensorBoard, MLflow, and whatever reads Parquet.

pub mod mlflow;
mod runs;
pub mod tables;
pub mod tensorboard;

pub use runs::{Run, RunPoint, labels, read};
