//! A stream for tests that runs the kernels' own sources on the processor.

mod library;
mod memory;
mod product;
mod stream;

pub(crate) use stream::Emulation;
