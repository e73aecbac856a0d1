//! A file with a table of values, memory-mapped.

use std::{fs::File, path::Path};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::npy;
use crate::cache::EMBEDDINGS;

/// Values of a table, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Where the values of a table lie in a file, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// First byte.
    pub(super) start: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) kind: Kind,
}

/// A table of values.
#[derive(Debug)]
pub(super) struct Table {
    map: Mmap,
    place: Place,
}

impl Table {
    /// Opens a .npy file, or a safetensors file with one tensor or one that is called `embeddings`.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
        // SAFETY: the file was fingerprinted; a user who changes it meanwhile gets other values, which BLAKE3 tells apart.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| format!("cannot be mapped: {error}"))?;
        let place = if map.starts_with(npy::MAGIC) { npy::place(&map)? } else { safetensors(&map)? };
        if place.rows == 0 || place.width == 0 {
            return Err(format!("it has {} rows of {} values", place.rows, place.width));
        }
        Ok(Self { map, place })
    }

    pub(super) const fn rows(&self) -> usize {
        self.place.rows
    }

    pub(super) const fn width(&self) -> usize {
        self.place.width
    }

    /// The values of a row. What is beyond f32 is infinite.
    pub(super) fn row(&self, row: usize) -> Vec<f32> {
        let Place { start, width, kind, .. } = self.place;
        let start = start + row * width * kind.bytes();
        let bytes = &self.map[start..start + width * kind.bytes()];
        let pairs = bytes.as_chunks::<2>().0;
        match kind {
            Kind::F16 => pairs.iter().map(|&pair| f16::from_le_bytes(pair).to_f32()).collect(),
            Kind::Bf16 => pairs.iter().map(|&pair| bf16::from_le_bytes(pair).to_f32()).collect(),
            Kind::F32 => bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect(),
            Kind::F64 => bytes.as_chunks::<8>().0.iter().map(|&word| f64::from_le_bytes(word) as f32).collect(),
        }
    }
}

fn safetensors(bytes: &[u8]) -> Result<Place, String> {
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("neither a .npy file nor whole as safetensors: {error}"))?;
    let names = tensors.names();
    let name = match names.as_slice() {
        [only] => only,
        _ => EMBEDDINGS,
    };
    let tensor = tensors
        .tensor(name)
        .map_err(|_| format!("it has {} tensors, and none is called `{EMBEDDINGS}`", names.len()))?;
    let kind = match tensor.dtype() {
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        other => return Err(format!("`{name}` is {other:?}, not F16, BF16, F32 or F64")),
    };
    match *tensor.shape() {
        [rows, width] => {
            Ok(Place { start: tensor.data().as_ptr() as usize - bytes.as_ptr() as usize, rows, width, kind })
        }
        _ => Err(format!("`{name}` has the shape {:?}, not [samples, width]", tensor.shape())),
    }
}
