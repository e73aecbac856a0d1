//! Training: pre-training of Adaptors, classification heads.

mod array;
mod batched;
pub mod classify;
mod course;
mod early_stop;
pub mod features;
mod inputs;
pub mod noop;
pub mod optimizer;
pub mod pretrain;
mod sampling;
pub mod schedule;
pub(crate) mod sizing;
#[cfg(test)]
mod tests;
mod weights;
