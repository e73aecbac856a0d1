//! Reading embeddings.

use std::{collections::HashMap, fs::File, ops::Range, path::Path};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::{DTYPE, FORMAT, MANIFEST, Manifest, TENSOR, VALUES};
use crate::{
    error::{Error, Result},
    files,
    protocol::Artifact,
};

#[cfg(target_endian = "big")]
compile_error!("embeddings are mapped as they lie on disk, which is little endian");

/// Embeddings of one encoder, memory-mapped. Ask by id: rows have no meaning by position.
#[derive(Debug)]
pub struct Embeddings {
    map: Mmap,
    /// Where the values lie in the file, in bytes.
    values: Range<usize>,
    width: usize,
    ids: Vec<String>,
    rows: HashMap<String, usize>,
}

impl Embeddings {
    /// Opens the embeddings among the `artifacts` of an [`crate::task::Embed`] trial.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a file is not the recorded one, [`Error::Input`] when one is missing, of another version,
    /// cut short, or wrong: sizes that do not fit the manifest, an id twice, a value that is not finite (named by its id).
    pub fn open(home: &Path, artifacts: &[Artifact]) -> Result<Self> {
        let manifest_path = find(home, artifacts, MANIFEST)?;
        let path = find(home, artifacts, VALUES)?;
        let manifest = manifest(&manifest_path).map_err(|what| wrong(&manifest_path, what))?;
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        // SAFETY: a finished artifact is never written again; it is replaced by rename only.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", &path))?;
        let values = values(&map, manifest.count, manifest.width).map_err(|what| wrong(&path, what))?;
        let mut rows = HashMap::with_capacity(manifest.count);
        for (row, id) in manifest.ids.iter().enumerate() {
            if rows.insert(id.clone(), row).is_some() {
                return Err(wrong(&manifest_path, format!("sample id `{id}` is there twice")));
            }
        }
        let embeddings = Self { map, values, width: manifest.width, ids: manifest.ids, rows };
        embeddings.check_finite().map_err(|what| wrong(&path, what))?;
        Ok(embeddings)
    }

    /// Values a row.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids of all samples, in the order of the file.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The embedding of sample `id`: [`Self::width`] values.
    pub fn get(&self, id: &str) -> Option<&[f32]> {
        self.rows.get(id).map(|row| self.row(*row))
    }

    /// The embedding of sample `id`, which must be there.
    ///
    /// # Errors
    /// [`Error::Input`] that names the id without a partner; `what` says whose it is, such as `image` or `report`.
    pub fn require(&self, what: &str, id: &str) -> Result<&[f32]> {
        self.get(id).ok_or_else(|| Error::Input {
            what: format!("{what} `{id}` has no embedding among {} rows", self.len()),
            cure: Some(
                "collection and embeddings do not belong together: `permafrost retry` the embed trial".to_owned(),
            ),
        })
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.all()[row * self.width..(row + 1) * self.width]
    }

    /// All rows, one after another.
    fn all(&self) -> &[f32] {
        // SAFETY: every bit pattern is an f32; alignment and length were checked on opening.
        let (before, all, after) = unsafe { self.map[self.values.clone()].align_to::<f32>() };
        debug_assert!(before.is_empty() && after.is_empty());
        all
    }

    fn check_finite(&self) -> Result<(), String> {
        match self.all().iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let id = &self.ids[at / self.width];
                Err(format!("the embedding of `{id}` has {} at {}", self.all()[at], at % self.width))
            }
        }
    }
}

fn wrong(path: &Path, what: String) -> Error {
    Error::Input {
        what: format!("{}: {what}", path.display()),
        cure: Some("`permafrost retry` the embed trial: the file is made again".to_owned()),
    }
}

fn find(home: &Path, artifacts: &[Artifact], name: &str) -> Result<std::path::PathBuf> {
    match artifacts.iter().find(|artifact| artifact.name == name) {
        Some(artifact) => files::verified(home, artifact),
        None => Err(Error::Input {
            what: format!("the embeddings have no `{name}`"),
            cure: Some("`permafrost retry` the embed trial".to_owned()),
        }),
    }
}

fn manifest(path: &Path) -> Result<Manifest, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let Version { format } = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if format != FORMAT {
        return Err(format!("format {format}, this program reads {FORMAT}"));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if manifest.dtype != DTYPE || manifest.file != VALUES {
        return Err(format!("values of type `{}` in `{}`", manifest.dtype, manifest.file));
    }
    if manifest.width == 0 {
        return Err("width 0".to_owned());
    }
    if manifest.ids.len() != manifest.count {
        return Err(format!("{} ids for {} rows", manifest.ids.len(), manifest.count));
    }
    Ok(manifest)
}

/// Where the values lie in `bytes`, a safetensors file.
fn values(bytes: &[u8], count: usize, width: usize) -> Result<Range<usize>, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("not whole as safetensors: {error}"))?;
    let tensor = tensors.tensor(TENSOR).map_err(|error| error.to_string())?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != [count, width] {
        let (dtype, shape) = (tensor.dtype(), tensor.shape());
        return Err(format!("`{TENSOR}` is {dtype:?} {shape:?}, the manifest says F32 [{count}, {width}]"));
    }
    let data = tensor.data();
    let start = data.as_ptr() as usize - bytes.as_ptr() as usize;
    if !(data.as_ptr() as usize).is_multiple_of(align_of::<f32>()) {
        return Err("its values are not aligned".to_owned());
    }
    Ok(start..start + data.len())
}
