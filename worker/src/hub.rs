//! Models on the Hugging Face hub: where their files lie on this machine.

mod manifest;

pub use manifest::{File, MANIFEST, Manifest};
