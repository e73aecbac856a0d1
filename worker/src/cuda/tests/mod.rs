//! The whole step, and training, against the CPU's: on the emulation, and on a card where there is one.

mod kernels;
mod step;
pub(crate) mod support;
mod training;
