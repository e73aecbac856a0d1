//! Errors of work on a card.

use crate::error::Error;

/// Result of work on a card.
pub type Result<T, E = CudaError> = std::result::Result<T, E>;

/// What can go wrong on a card.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// The card's memory is full. The remedy is a smaller array.
    #[error("the card's memory is full: {bytes} bytes were asked for, {free} are free")]
    OutOfMemory {
        /// What was asked for.
        bytes: usize,
        /// What was free then.
        free: usize,
    },
    /// A call of the driver or of cuBLAS failed.
    #[error("{call} failed: {what}")]
    Call {
        /// What was called.
        call: &'static str,
        /// The library's own words.
        what: String,
    },
    /// No kernel of that name was compiled in.
    #[error("there is no kernel `{0}`")]
    NoKernel(String),
    /// Sizes that the kernels are not written for.
    #[error("{0}")]
    Sizes(String),
}

impl CudaError {
    /// A [`CudaError::Call`], for `map_err`.
    pub fn call<E: std::fmt::Display>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Call { call, what: error.to_string() }
    }

    /// Whether a smaller array may help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. })
    }
}

impl From<CudaError> for Error {
    fn from(error: CudaError) -> Self {
        let cure = match error {
            CudaError::OutOfMemory { .. } => {
                Some("use a smaller `batch_size`, or a card with more free memory (`nvidia-smi` shows who uses it)")
            }
            CudaError::Call { .. } => Some("check `nvidia-smi` and the kernel log; the attempt is tried again"),
            CudaError::NoKernel(_) | CudaError::Sizes(_) => None,
        };
        match error {
            CudaError::Sizes(what) => Self::input(what),
            CudaError::Call { .. } => Self::Transient { what: error.to_string(), cure: cure.map(str::to_owned) },
            CudaError::OutOfMemory { .. } | CudaError::NoKernel(_) => {
                Self::Resources { what: error.to_string(), cure: cure.map(str::to_owned) }
            }
        }
    }
}
