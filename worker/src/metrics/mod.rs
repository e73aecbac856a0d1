//! Metrics of predictions, exact.

mod classification;

pub use classification::{MetricError, accuracy, argmax, auroc, recalls, sigmoid, softmax};
