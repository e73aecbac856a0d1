//! Training on a CUDA card: arrays of equal-shaped members as one batched model [K, ...].
//!
//! What is computed is written against [`Stream`], work on one device in order. Two things implement it: `Card`, a real card
//! (feature `cuda`), and, for tests, an emulation that compiles the very sources of the kernels for the processor. So nearly
//! all of this is proven on machines without a card.

pub mod adaptor;
pub mod buffer;
#[cfg(feature = "cuda")]
pub mod card;
mod counting;
#[cfg(test)]
pub(crate) mod emulation;
mod engine;
pub mod error;
pub mod heads;
mod kernels;
mod layout;
mod loss;
mod matrices;
pub mod stream;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod values;

pub use adaptor::{AdaptorArray, Member, Segment, State};
pub use buffer::{Buffer, Element, MatrixElement};
#[cfg(feature = "cuda")]
pub use card::Card;
pub use engine::Arithmetic;
pub use error::{CudaError, Result};
pub use stream::{Argument, Gemm, Kind, Memory, Operand, Replay, Stream};
pub use tables::{Order, Orders, Pairs, Table};
