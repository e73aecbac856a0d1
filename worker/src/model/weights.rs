//! Weights as safetensors, with PyTorch's names.

use std::collections::BTreeSet;

use safetensors::{
    SafeTensors,
    tensor::{Dtype, SafeTensorError, TensorView},
};

use super::shape::Slot;

/// Why weights cannot be read. Messages read on from "failed to read weights: ".
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not a whole safetensors file: truncated, or something else.
    #[error("not a whole safetensors file: {0}")]
    Damaged(#[from] SafeTensorError),
    /// A tensor is not there.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// A tensor is there that the model does not have.
    #[error("tensor `{0}` does not belong to this model")]
    Unexpected(String),
    /// A tensor has another shape.
    #[error("tensor `{name}` has shape {found:?}, not {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape in the model.
        expected: Vec<usize>,
    },
    /// A tensor has another element type.
    #[error("tensor `{name}` holds {found:?}, not {expected:?}")]
    Type {
        /// Its name.
        name: String,
        /// Type in the file.
        found: Dtype,
        /// Type in the model.
        expected: Dtype,
    },
    /// A value is NaN or infinite.
    #[error("tensor `{name}` holds {value} at position {position}")]
    NotFinite {
        /// Its name.
        name: String,
        /// Row-major position.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A running variance is negative.
    #[error("tensor `{name}` holds a negative value at position {position}")]
    Negative {
        /// Its name.
        name: String,
        /// Row-major position.
        position: usize,
    },
}

/// Name of an I64 scalar, and its value.
pub(super) type Counter<'a> = (&'a str, u64);

/// The file with the tensors of `slots`, and scalar counters.
pub(super) fn write(slots: &[Slot], values: &[f32], counters: &[Counter<'_>]) -> Vec<u8> {
    assert_eq!(slots.last().map_or(0, |slot| slot.range.end), values.len(), "parameters have another length");
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let counts: Vec<[u8; 8]> = counters.iter().map(|(_, count)| count.to_le_bytes()).collect();
    let tensors = slots.iter().map(|slot| {
        let data = &bytes[4 * slot.range.start..4 * slot.range.end];
        (slot.name.as_str(), Dtype::F32, slot.shape.clone(), data)
    });
    let counters = counters.iter().zip(&counts).map(|((name, _), data)| (*name, Dtype::I64, vec![], &data[..]));
    let views = tensors.chain(counters).map(|(name, kind, shape, data)| {
        (name, TensorView::new(kind, shape, data).unwrap_or_else(|_| panic!("`{name}` has its own shape")))
    });
    safetensors::serialize(views, None).unwrap_or_else(|error| panic!("tensors in memory cannot be written: {error}"))
}

/// Parses the header, which must cover the whole file.
pub(super) fn open(bytes: &[u8]) -> Result<SafeTensors<'_>, WeightsError> {
    Ok(SafeTensors::deserialize(bytes)?)
}

/// Refuses tensors that are neither in `slots` nor in `others`.
pub(super) fn only(file: &SafeTensors<'_>, slots: &[Slot], others: &[&str]) -> Result<(), WeightsError> {
    let known: BTreeSet<&str> = slots.iter().map(|slot| slot.name.as_str()).chain(others.iter().copied()).collect();
    match file.names().into_iter().filter(|name| !known.contains(name)).min() {
        Some(name) => Err(WeightsError::Unexpected(name.to_owned())),
        None => Ok(()),
    }
}

/// The tensors of `slots`, one after another.
pub(super) fn read(file: &SafeTensors<'_>, slots: &[Slot]) -> Result<Vec<f32>, WeightsError> {
    let mut values = Vec::with_capacity(slots.last().map_or(0, |slot| slot.range.end));
    for slot in slots {
        let bytes = tensor(file, &slot.name, &slot.shape, Dtype::F32)?;
        for (position, bytes) in bytes.as_chunks::<4>().0.iter().enumerate() {
            let value = f32::from_le_bytes(*bytes);
            if !value.is_finite() {
                return Err(WeightsError::NotFinite { name: slot.name.clone(), position, value });
            }
            values.push(value);
        }
    }
    Ok(values)
}

/// A counter.
pub(super) fn read_counter(file: &SafeTensors<'_>, name: &str) -> Result<u64, WeightsError> {
    let bytes = tensor(file, name, &[], Dtype::I64)?;
    let mut value = [0; 8];
    value.copy_from_slice(bytes);
    Ok(u64::from_le_bytes(value))
}

fn tensor<'a>(file: &SafeTensors<'a>, name: &str, shape: &[usize], expected: Dtype) -> Result<&'a [u8], WeightsError> {
    let view = file.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
    if view.shape() != shape {
        let (found, expected) = (view.shape().to_vec(), shape.to_vec());
        return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
    }
    if view.dtype() != expected {
        return Err(WeightsError::Type { name: name.to_owned(), found: view.dtype(), expected });
    }
    Ok(view.data())
}
