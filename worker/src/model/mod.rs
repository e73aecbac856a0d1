//! What is trained: the Adaptor and the classification head (paper, section 2), written by hand for the CPU.
//!
//! Parameters, gradients and moments are flat `f32` slices in the order of `layout()`. All matrices are row-major.
//! Every result is the same to the last bit for every number of threads.

mod adaptor;
mod blocks;
mod dropout;
mod head;
mod head_step;
mod infonce;
mod init;
mod layer;
mod linear;
mod norm;
mod shape;
mod weights;

pub use adaptor::AdaptorStep;
pub use dropout::Dropout;
pub use head::{HeadShape, RunningStats};
pub use head_step::{HeadStep, Targets};
pub use shape::{AdaptorShape, Dims, Slot};
pub use weights::WeightsError;

/// Width of the Adaptor's token, and of the features it makes (paper, section 2.1).
pub const WIDTH: usize = 768;
