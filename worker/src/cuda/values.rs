//! Activations: f32 or bf16, as the precision has it.

use std::sync::Arc;

use half::bf16;

use super::{
    buffer::Buffer,
    error::Result,
    stream::{Argument, Kind, Stream},
};

/// Elements of either kind.
#[derive(Debug)]
pub(super) enum Values {
    F32(Buffer<f32>),
    Bf16(Buffer<bf16>),
}

impl Values {
    /// Elements that have to be written before they are read.
    pub fn undefined(stream: &Arc<dyn Stream>, kind: Kind, len: usize) -> Result<Self> {
        Ok(match kind {
            Kind::F32 => Self::F32(Buffer::undefined(stream, len)?),
            Kind::Bf16 => Self::Bf16(Buffer::undefined(stream, len)?),
        })
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::F32(_) => Kind::F32,
            Self::Bf16(_) => Kind::Bf16,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::F32(buffer) => buffer.len(),
            Self::Bf16(buffer) => buffer.len(),
        }
    }

    pub fn address(&self, at: usize) -> u64 {
        match self {
            Self::F32(buffer) => buffer.address(at),
            Self::Bf16(buffer) => buffer.address(at),
        }
    }

    /// For kernels: the address of the first element.
    pub fn start(&self) -> Argument {
        Argument::Pointer(self.address(0))
    }
}
