//! Reading embeddings.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use memmap2::Mmap;

use super::{
    header,
    layout::Layout,
    manifest::{MANIFEST, Manifest, Shard},
};
use crate::{
    error::{Error, Result},
    files,
    protocol::Artifact,
    task::{Dtype, Output},
};

#[cfg(target_endian = "big")]
compile_error!("embeddings are mapped as they lie on disk, which is little endian");

/// Embeddings of one encoder, memory-mapped. Ask by id: rows have no meaning by position.
#[derive(Debug)]
pub struct Embeddings {
    shards: Vec<Mapped>,
    layout: Layout,
    output: Output,
    /// Values of a row in each tensor.
    lengths: Vec<usize>,
    ids: Vec<String>,
    rows: HashMap<String, usize>,
    /// Shard of each row, and its place there.
    places: Vec<(u32, u32)>,
    missing: BTreeMap<String, String>,
}

/// A shard, and where the values of each tensor lie in it, in bytes.
#[derive(Debug)]
struct Mapped {
    map: Mmap,
    values: Vec<Range<usize>>,
}

/// The rows of one tensor.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    of: &'a Embeddings,
    tensor: usize,
}

impl Embeddings {
    /// Opens the embeddings among the `artifacts` of an [`crate::task::Embed`] trial.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a file is not the recorded one, [`Error::Input`] when one is missing, of another version,
    /// cut short, or wrong: sizes or ids that do not fit the manifest, an id twice, a value that is not finite (named by its id).
    pub fn open(home: &Path, artifacts: &[Artifact]) -> Result<Self> {
        let manifest_path = find(home, artifacts, MANIFEST)?;
        let bytes = std::fs::read(&manifest_path).map_err(Error::io("read", &manifest_path))?;
        let manifest = Manifest::parse(&bytes).map_err(|what| wrong(&manifest_path, what))?;
        let (layout, output) = (manifest.layout(), manifest.output());
        let (mut shards, mut places) = (Vec::with_capacity(manifest.shards.len()), Vec::new());
        for shard in &manifest.shards {
            let path = find(home, artifacts, &shard.file)?;
            let ids = &manifest.ids[places.len()..places.len() + shard.rows];
            places.extend((0..shard.rows).map(|row| (shards.len() as u32, row as u32)));
            shards.push(map(&path, shard, &layout, ids)?);
        }
        let rows = manifest.ids.iter().enumerate().map(|(row, id)| (id.clone(), row)).collect();
        let missing = manifest.missing.into_iter().map(|missing| (missing.id, missing.reason)).collect();
        let lengths = layout.lengths().collect();
        let embeddings = Self { shards, layout, output, lengths, ids: manifest.ids, rows, places, missing };
        if output == Output::Pooled {
            embeddings.check_finite().map_err(|what| wrong(&manifest_path, what))?;
        }
        Ok(embeddings)
    }

    /// What is kept of a sample.
    pub const fn output(&self) -> Output {
        self.output
    }

    /// Values of a vector: the length of the first tensor's last axis.
    pub fn width(&self) -> usize {
        self.layout.tensors[0].1.last().copied().unwrap_or(0)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids of the samples that have a row, in the order of the rows.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Samples that have no embedding, and why: such as damaged images.
    pub const fn missing(&self) -> &BTreeMap<String, String> {
        &self.missing
    }

    /// The row of sample `id`, which must be there.
    ///
    /// # Errors
    /// [`Error::Input`] that names the id without a partner; `what` says whose it is, such as `image` or `report`.
    pub fn find(&self, what: &str, id: &str) -> Result<usize> {
        self.rows.get(id).copied().ok_or_else(|| match self.missing.get(id) {
            Some(reason) => Error::input(format!("{what} `{id}` has no embedding: {reason}")),
            None => Error::Input {
                what: format!("{what} `{id}` has no embedding among {} rows", self.len()),
                cure: Some(
                    "collection and embeddings do not belong together: `permafrost retry` the embed trial".to_owned(),
                ),
            },
        })
    }

    /// The first tensor of sample `id`: its embedding. Values kept as f32 are not copied.
    pub fn get(&self, id: &str) -> Option<Cow<'_, [f32]>> {
        self.rows.get(id).map(|&row| self.row(row))
    }

    /// The first tensor of sample `id`, which must be there.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn require(&self, what: &str, id: &str) -> Result<Cow<'_, [f32]>> {
        self.find(what, id).map(|row| self.row(row))
    }

    /// The first tensor of a row.
    pub fn row(&self, row: usize) -> Cow<'_, [f32]> {
        self.first().row(row)
    }

    /// Appends the first tensor of a row to `out`.
    pub fn append(&self, row: usize, out: &mut Vec<f32>) {
        self.first().append(row, out);
    }

    const fn first(&self) -> Rows<'_> {
        Rows { of: self, tensor: 0 }
    }

    /// The rows of tensor `name`, such as `tokens` or `layer3`.
    ///
    /// # Errors
    /// [`Error::Input`] that lists the tensors there are.
    pub fn tensor(&self, name: &str) -> Result<Rows<'_>> {
        let names = || self.layout.tensors.iter().map(|(name, _)| name.as_str());
        match names().position(|other| other == name) {
            Some(tensor) => Ok(Rows { of: self, tensor }),
            None => Err(Error::Input {
                what: format!("the embeddings have no tensor `{name}`"),
                cure: Some(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
            }),
        }
    }

    fn check_finite(&self) -> Result<(), String> {
        for (row, id) in self.ids.iter().enumerate() {
            let values = self.row(row);
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(format!("{} has {} at {at}", self.layout.called(0, id), values[at]));
            }
        }
        Ok(())
    }
}

impl<'a> Rows<'a> {
    /// Shape of one row.
    pub fn shape(self) -> &'a [usize] {
        &self.of.layout.tensors[self.tensor].1
    }

    /// The values of sample `id`, row-major. Values kept as f32 are not copied.
    pub fn get(self, id: &str) -> Option<Cow<'a, [f32]>> {
        self.of.rows.get(id).map(|&row| self.row(row))
    }

    /// The values of a row.
    pub fn row(self, row: usize) -> Cow<'a, [f32]> {
        if self.of.layout.dtype == Dtype::F32 {
            return Cow::Borrowed(floats(self.bytes(row)));
        }
        let mut values = Vec::with_capacity(self.of.lengths[self.tensor]);
        self.append(row, &mut values);
        Cow::Owned(values)
    }

    /// Appends the values of a row to `out`.
    pub fn append(self, row: usize, out: &mut Vec<f32>) {
        let bytes = self.bytes(row);
        let (pairs, _) = bytes.as_chunks::<2>();
        match self.of.layout.dtype {
            Dtype::F32 => out.extend_from_slice(floats(bytes)),
            Dtype::F16 => out.extend(pairs.iter().map(|pair| f16::from_le_bytes(*pair).to_f32())),
            Dtype::Bf16 => out.extend(pairs.iter().map(|pair| bf16::from_le_bytes(*pair).to_f32())),
        }
    }

    fn bytes(self, row: usize) -> &'a [u8] {
        let (shard, at) = self.of.places[row];
        let Mapped { map, values } = &self.of.shards[shard as usize];
        let bytes = self.of.lengths[self.tensor] * self.of.layout.dtype.bytes();
        let start = values[self.tensor].start + at as usize * bytes;
        &map[start..start + bytes]
    }
}

/// Mapped bytes as the values they are.
fn floats(bytes: &[u8]) -> &[f32] {
    // SAFETY: every bit pattern is an f32; alignment and length were checked on opening.
    let (before, values, after) = unsafe { bytes.align_to::<f32>() };
    debug_assert!(before.is_empty() && after.is_empty());
    values
}

fn wrong(path: &Path, what: String) -> Error {
    Error::Input {
        what: format!("{}: {what}", path.display()),
        cure: Some("`permafrost retry` the embed trial: the file is made again".to_owned()),
    }
}

fn find(home: &Path, artifacts: &[Artifact], name: &str) -> Result<PathBuf> {
    match artifacts.iter().find(|artifact| artifact.name == name) {
        Some(artifact) => files::verified(home, artifact),
        None => Err(Error::Input {
            what: format!("the embeddings have no `{name}`"),
            cure: Some("`permafrost retry` the embed trial".to_owned()),
        }),
    }
}

fn map(path: &Path, shard: &Shard, layout: &Layout, ids: &[String]) -> Result<Mapped> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    // SAFETY: a finished artifact is never written again; it is replaced by rename only.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    let header = header::read(&map, layout).map_err(|what| wrong(path, what))?;
    if header.ids != ids {
        return Err(wrong(path, format!("its ids are not the {} that the manifest says", shard.rows)));
    }
    Ok(Mapped { map, values: header.values })
}
