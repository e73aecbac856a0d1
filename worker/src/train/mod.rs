//! Training: pre-training of Adaptors, classification heads; and what is made of their features.

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
pub mod project;
mod sampling;
pub mod schedule;
pub(crate) mod sizing;
#[cfg(test)]
mod tests;
mod weights;
