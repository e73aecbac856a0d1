//! Writing embeddings.

use std::{collections::HashSet, path::Path};

use super::{DTYPE, FORMAT, MANIFEST, Manifest, TENSOR, VALUES};
use crate::{
    error::{Error, Result},
    files,
    protocol::Artifact,
};

/// Writes `rows` (id and `width` values) into `folder` below `home`. Each file is there whole or not at all, and the
/// manifest, which is written last, only after all the values.
///
/// # Errors
/// [`Error::Input`] when an id is empty or there twice, a row is not `width` long, or a value is not finite: an encoder
/// that makes NaN is stopped here and not in the training that reads it. [`Error::Io`] when a file cannot be written.
pub fn write(home: &Path, folder: &Path, width: usize, rows: &[(&str, &[f32])]) -> Result<Vec<Artifact>> {
    check(width, rows)?;
    let values = folder.join(VALUES);
    let header = header(rows.len(), width);
    files::write_atomic(&values, |out| {
        out.write_all(&header)?;
        let mut bytes = Vec::with_capacity(width * 4);
        for (_, row) in rows {
            bytes.clear();
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
            out.write_all(&bytes)?;
        }
        Ok(())
    })?;
    let manifest = Manifest {
        format: FORMAT,
        width,
        count: rows.len(),
        dtype: DTYPE.to_owned(),
        file: VALUES.to_owned(),
        ids: rows.iter().map(|(id, _)| (*id).to_owned()).collect(),
    };
    let path = folder.join(MANIFEST);
    files::write_atomic(&path, |out| serde_json::to_writer(out, &manifest).map_err(std::io::Error::from))?;
    Ok(vec![files::describe(home, &values)?, files::describe(home, &path)?])
}

fn check(width: usize, rows: &[(&str, &[f32])]) -> Result<()> {
    if width == 0 {
        return Err(wrong("embeddings of width 0".to_owned()));
    }
    let mut seen = HashSet::with_capacity(rows.len());
    for (id, row) in rows {
        if id.is_empty() || !seen.insert(*id) {
            return Err(wrong(format!("sample id `{id}` is empty or there twice")));
        }
        if row.len() != width {
            return Err(wrong(format!("the embedding of `{id}` has {} values, not {width}", row.len())));
        }
        if let Some(at) = row.iter().position(|value| !value.is_finite()) {
            return Err(wrong(format!("the embedding of `{id}` has {} at {at}", row[at])));
        }
    }
    Ok(())
}

fn wrong(what: String) -> Error {
    let cure = "check the sample and the encoder's weights: encoders make one row of finite values for each sample";
    Error::Input { what, cure: Some(cure.to_owned()) }
}

/// The start of a safetensors file with one f32 tensor: length of the header, then the header, padded to 8 bytes so that
/// a memory-mapped file has its values aligned.
fn header(count: usize, width: usize) -> Vec<u8> {
    let json = format!(
        r#"{{"{TENSOR}":{{"dtype":"F32","shape":[{count},{width}],"data_offsets":[0,{}]}}}}"#,
        count * width * 4
    );
    let padded = json.len().next_multiple_of(8);
    let mut bytes = (padded as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(8 + padded, b' ');
    bytes
}
