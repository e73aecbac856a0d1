//! Intervals and tests.

mod interval;
mod moments;
mod paired;
mod student;
mod wilcoxon;

pub(crate) use interval::{Interval, of_mean};
pub(crate) use moments::moments;
pub(crate) use paired::{LEVEL, Paired, Refusal, holm, paired};
pub(crate) use student::quantile_975;
