//! Training: pre-training of Adaptors, classification heads.

mod array;
pub mod classify;
mod early_stop;
pub mod features;
mod inputs;
pub mod noop;
pub mod optimizer;
pub mod pretrain;
mod run;
mod sampling;
pub mod schedule;
