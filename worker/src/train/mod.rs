//! Training: pre-training of Adaptors, classification heads.

pub mod classify;
pub mod noop;
pub mod optimizer;
pub mod pretrain;
pub mod schedule;
