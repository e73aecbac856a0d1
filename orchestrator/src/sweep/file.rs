//! The typed sweep file.

use std::path::PathBuf;

use miette::SourceSpan;
use permafrost_worker::task::{Kind, Pooling, Wheel};

use super::{search::Axis, types::ReportSpec};

/// A sweep file, checked but not yet expanded.
pub(super) struct SweepFile {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) seed: u64,
    pub(super) datasets: Vec<(String, Dataset)>,
    pub(super) vision: Vec<(String, Vision)>,
    pub(super) text: Vec<(String, Text)>,
    /// Each after the one it builds on.
    pub(super) stages: Vec<Stage>,
    pub(super) report: Vec<ReportSpec>,
}

/// A collection.
pub(super) enum Dataset {
    OpenI { wheel: Wheel, reports: usize, images: usize, split_seed: u64, train: f64, valid: f64 },
    Folder { reader: String, root: PathBuf },
}

/// An image encoder.
#[derive(Clone)]
pub(super) enum Vision {
    VisualWords { descriptors: Vec<String>, width: usize, seed: u64 },
    Folder { model: String, weights: PathBuf, width: usize },
}

/// A text encoder.
#[derive(Clone)]
pub(super) enum Text {
    Bert { wheel: Wheel, folder: String, width: usize, pooling: Pooling, max_tokens: usize },
    Folder { model: String, weights: PathBuf, width: usize },
}

/// How points are taken from a search space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Grid,
    Random { run_cap: usize },
}

/// A stage.
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) span: SourceSpan,
    pub(super) kind: Kind,
    /// Place in [`SweepFile::stages`] of the stage it builds on.
    pub(super) from: Option<usize>,
    /// Place in [`SweepFile::datasets`]; none for kinds that need no data.
    pub(super) dataset: Option<usize>,
    pub(super) method: Method,
    pub(super) metric: String,
    pub(super) maximize: bool,
    /// Every parameter of the kind, those of the file first and in its order.
    pub(super) axes: Vec<Axis>,
    /// How many of `axes` stand in the file.
    pub(super) given: usize,
}

impl SweepFile {
    pub(super) fn vision(&self, name: &str) -> Option<&Vision> {
        self.vision.iter().find(|(known, _)| known == name).map(|(_, encoder)| encoder)
    }

    pub(super) fn text(&self, name: &str) -> Option<&Text> {
        self.text.iter().find(|(known, _)| known == name).map(|(_, encoder)| encoder)
    }
}
