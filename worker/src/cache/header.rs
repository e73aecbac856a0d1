//! The header of a shard: a safetensors file's, with the ids of its rows in the metadata.

use std::ops::Range;

use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use super::{layout::Layout, manifest::Missing};
use crate::task::Dtype;

/// What a shard says of itself, beside its values.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// Samples with a row, in order.
    pub(super) ids: Vec<String>,
    /// Samples without one.
    pub(super) missing: Vec<Missing>,
    /// Where the values of each tensor of the layout lie in the file.
    pub(super) values: Vec<Range<usize>>,
}

/// Name of a type in a safetensors file.
pub(super) const fn name_of(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "F32",
        Dtype::F16 => "F16",
        Dtype::Bf16 => "BF16",
    }
}

const fn is(dtype: Dtype, found: safetensors::Dtype) -> bool {
    matches!(
        (dtype, found),
        (Dtype::F32, safetensors::Dtype::F32)
            | (Dtype::F16, safetensors::Dtype::F16)
            | (Dtype::Bf16, safetensors::Dtype::BF16)
    )
}

/// The start of a shard's file: the length of the header, then the header, padded so that mapped values are aligned. Written here,
/// as `safetensors` writes metadata in the order of a hash map, and equal embeddings are equal files.
pub(super) fn write(layout: &Layout, ids: &[&str], missing: &[Missing]) -> Result<Vec<u8>, serde_json::Error> {
    let mut entries = Map::new();
    let texts = json!({"ids": serde_json::to_string(ids)?, "missing": serde_json::to_string(missing)?});
    entries.insert("__metadata__".to_owned(), texts);
    let mut start = 0;
    for ((name, shape), length) in layout.tensors.iter().zip(layout.lengths()) {
        let end = start + ids.len() * length * layout.dtype.bytes();
        let shape: Vec<usize> = [ids.len()].iter().chain(shape).copied().collect();
        let entry = json!({"dtype": name_of(layout.dtype), "shape": shape, "data_offsets": [start, end]});
        entries.insert(name.clone(), entry);
        start = end;
    }
    let text = serde_json::to_vec(&Value::Object(entries))?;
    let padded = text.len().next_multiple_of(8);
    let mut bytes = (padded as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(&text);
    bytes.resize(8 + padded, b' ');
    Ok(bytes)
}

/// Reads the header of `bytes`, a whole shard of this layout.
///
/// # Errors
/// What does not fit.
pub(super) fn read(bytes: &[u8], layout: &Layout) -> Result<Header, String> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| format!("not whole as safetensors: {error}"))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("not whole as safetensors: {error}"))?;
    let texts = metadata.metadata().clone().unwrap_or_default();
    let text = |name: &str| texts.get(name).ok_or_else(|| format!("its metadata has no `{name}`"));
    let ids: Vec<String> = serde_json::from_str(text("ids")?).map_err(|error| format!("its ids: {error}"))?;
    let missing = serde_json::from_str(text("missing")?).map_err(|error| format!("its missing ids: {error}"))?;
    let mut values = Vec::with_capacity(layout.tensors.len());
    for (name, shape) in &layout.tensors {
        let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
        let wanted: Vec<usize> = [ids.len()].iter().chain(shape).copied().collect();
        if !is(layout.dtype, tensor.dtype()) || tensor.shape() != wanted {
            let (dtype, shape, expected) = (tensor.dtype(), tensor.shape(), name_of(layout.dtype));
            return Err(format!("`{name}` is {dtype:?} {shape:?}, not {expected} {wanted:?}"));
        }
        let start = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
        if !start.is_multiple_of(layout.dtype.bytes()) {
            return Err("its values are not aligned".to_owned());
        }
        values.push(start..start + tensor.data().len());
    }
    if tensors.len() != layout.tensors.len() {
        return Err(format!("{} tensors, not {}", tensors.len(), layout.tensors.len()));
    }
    Ok(Header { ids, missing, values })
}
