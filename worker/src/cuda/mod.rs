//! Training on a CUDA card: arrays of equal-shaped members as one batched model [K, ...].
//!
//! What is computed is written against [`Stream`], work on one device in order. Two things implement it: `Card`, a real card
//! (feature `cuda`), and, for tests, an emulation that compiles the very sources of the kernels for the processor. So nearly
//! all of this is proven on machines without a card.

pub mod buffer;
#[cfg(test)]
pub(crate) mod emulation;
pub mod error;
pub mod heads;
pub mod stream;

pub use buffer::{Buffer, Element};
pub use error::{CudaError, Result};
pub use stream::{Argument, Gemm, Kind, Memory, Operand, Replay, Stream};
