//! Rows of values to the bytes of a shard.

use half::{bf16, f16};

use super::{header, layout::Layout, manifest::Missing};
use crate::{
    error::{Error, Result},
    task::Dtype,
};

/// What an encoder makes of one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// The values of each tensor of the [`Layout`], in its order.
    Values(Vec<Vec<f32>>),
    /// Nothing, and why.
    Missing(String),
}

/// A shard in memory.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) header: Vec<u8>,
    pub(super) values: Vec<u8>,
    pub(super) rows: usize,
    pub(super) missing: Vec<Missing>,
}

/// Encodes the rows of samples `ids`.
///
/// # Errors
/// [`Error::Input`] when a row is not of this layout, or a value is not finite, as it is or as it would be kept: an encoder that
/// makes NaN is stopped here and not in the training that reads it.
pub(super) fn encode(layout: &Layout, ids: &[String], rows: &[Row]) -> Result<Encoded> {
    if ids.len() != rows.len() {
        return Err(wrong(format!("{} rows for the {} samples of a shard", rows.len(), ids.len())));
    }
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for (id, row) in ids.iter().zip(rows) {
        match row {
            Row::Values(values) if values.len() == layout.tensors.len() => present.push((id.as_str(), values)),
            Row::Values(values) => {
                let what = format!("`{id}` has values of {} tensors, not {}", values.len(), layout.tensors.len());
                return Err(wrong(what));
            }
            Row::Missing(reason) => missing.push(Missing { id: id.clone(), reason: reason.clone() }),
        }
    }
    let mut bytes = Vec::with_capacity(present.len() * layout.row_bytes());
    for (at, length) in layout.lengths().enumerate() {
        for (id, values) in &present {
            let values = &values[at];
            if values.len() != length {
                let what = format!("{} has {} values, not {length}", layout.called(at, id), values.len());
                return Err(wrong(what));
            }
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                return Err(wrong(format!("{} has {} at {place}", layout.called(at, id), values[place])));
            }
            put(&mut bytes, values, layout.dtype).map_err(|place| {
                let (type_name, widest, cure) = beyond(layout.dtype);
                Error::Input {
                    what: format!(
                        "{} has {} at {place}, beyond the {widest} of {type_name}",
                        layout.called(at, id),
                        values[place]
                    ),
                    cure: Some(cure.to_owned()),
                }
            })?;
        }
    }
    let present: Vec<&str> = present.into_iter().map(|(id, _)| id).collect();
    let header = header::write(layout, &present, &missing).map_err(|error| wrong(error.to_string()))?;
    Ok(Encoded { header, values: bytes, rows: present.len(), missing })
}

/// Appends `values`, all finite, as they are kept, rounded to the nearest (ties to even); where one is too large, its place.
fn put(bytes: &mut Vec<u8>, values: &[f32], dtype: Dtype) -> Result<(), usize> {
    match dtype {
        Dtype::F32 => bytes.extend_from_slice(crate::files::bytes_of(values)),
        Dtype::F16 => {
            for (place, &value) in values.iter().enumerate() {
                let value = f16::from_f32(value);
                bytes.extend(value.is_finite().then_some(value.to_le_bytes()).ok_or(place)?);
            }
        }
        Dtype::Bf16 => {
            for (place, &value) in values.iter().enumerate() {
                let value = bf16::from_f32(value);
                bytes.extend(value.is_finite().then_some(value.to_le_bytes()).ok_or(place)?);
            }
        }
    }
    Ok(())
}

/// Name of a type, its largest value, and what to use instead.
const fn beyond(dtype: Dtype) -> (&'static str, &'static str, &'static str) {
    match dtype {
        Dtype::F16 => ("f16", "65504", "use `dtype: bf16`, which has the range of f32, or `dtype: f32`"),
        Dtype::Bf16 | Dtype::F32 => ("bf16", "3.3895e38", "use `dtype: f32`"),
    }
}

fn wrong(what: String) -> Error {
    let cure = "check the sample and the encoder's weights: encoders make one row of finite values for each sample";
    Error::Input { what, cure: Some(cure.to_owned()) }
}
