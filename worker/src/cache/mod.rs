//! Embeddings of frozen encoders, on disk and memory-mapped, keyed by sample id. For users: `docs/embeddings.md`.
//!
//! One folder an attempt of an [`crate::task::Embed`] trial. Shards `embeddings-00000-of-00012.safetensors` hold the rows of
//! the samples, one tensor an output, in the order of the ids; which samples are in a shard follows from their number and the
//! size of a row alone. `manifest.json`, written last, says what all this is. The files' BLAKE3 stand in the manifest and in the
//! [`crate::protocol::Artifact`]s of the trial.
//!
//! A shard is the unit of resuming: each is written atomically and made known by a checkpoint at once; see [`Writer`].

mod header;
mod layout;
mod manifest;
mod read;
mod resume;
mod shard;
mod write;
mod writer;

pub use layout::{EMBEDDINGS, Layout, TOKENS};
pub use manifest::MANIFEST;
pub use read::{Embeddings, Rows};
pub use shard::Row;
pub(crate) use write::only_pooled;
pub use write::write;
pub use writer::Writer;
