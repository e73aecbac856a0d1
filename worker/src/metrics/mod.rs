//! Metrics of predictions, exact.

mod classification;

pub use classification::{MetricError, accuracy, auroc, sigmoid};
