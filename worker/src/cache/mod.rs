//! Embeddings of frozen encoders, on disk and memory-mapped, keyed by sample id.
//!
//! Two files. `embeddings.safetensors` holds one tensor `embeddings`, f32, `[count, width]`; `manifest.json` holds
//! `{"format": 1, "width": W, "count": N, "dtype": "f32", "file": "embeddings.safetensors", "ids": [...]}`, where
//! `ids[i]` names row `i`. In Python: `safetensors.numpy.load_file(path)["embeddings"]`. The files' BLAKE3 stand in the
//! [`crate::protocol::Artifact`]s of the trial that wrote them.

mod read;
mod write;

pub use read::Embeddings;
pub use write::write;

use serde::{Deserialize, Serialize};

/// Name of the artifact that says what the rows are.
const MANIFEST: &str = "manifest.json";
/// Name of the artifact that holds the rows.
const VALUES: &str = "embeddings.safetensors";
/// Name of the tensor in it.
const TENSOR: &str = "embeddings";
/// Version of this layout.
const FORMAT: u32 = 1;
/// Type of the values.
const DTYPE: &str = "f32";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    width: usize,
    count: usize,
    dtype: String,
    file: String,
    ids: Vec<String>,
}
