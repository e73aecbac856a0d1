//! The typed sweep file.

use std::path::{Path, PathBuf};

use miette::SourceSpan;
use permafrost_worker::{
    datasets::{
        general::Columns,
        mimic::{HeldOut, ReportText},
        splits::Unit,
    },
    encoders::{Family, dinov2::Interpolation, pixels::DinoPixels},
    task::{Dtype, Kind, Pooling, Splitting, Target, Wheel},
};

use super::{
    registry,
    search::Axis,
    types::{FigureSpec, ReportSpec},
};

/// A sweep file, checked but not yet expanded.
pub(super) struct SweepFile {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) seed: u64,
    pub(super) datasets: Vec<(String, Dataset)>,
    /// Whether the file has the key `datasets`, whatever became of it.
    pub(super) has_datasets: bool,
    pub(super) vision: Vec<(String, Encoder<Vision>)>,
    pub(super) text: Vec<(String, Encoder<Text>)>,
    /// Each after the one it builds on.
    pub(super) stages: Vec<Stage>,
    pub(super) report: Vec<ReportSpec>,
    pub(super) figures: Vec<FigureSpec>,
}

/// A collection.
pub(super) struct Dataset {
    pub(super) source: Source,
    pub(super) split: Splitting,
    /// Longest side of an image before the crop; none: as the reader's images are usually resized.
    pub(super) resize: Option<usize>,
    pub(super) max_damaged: f64,
    /// Its name in the file.
    pub(super) span: SourceSpan,
}

/// Where a collection comes from.
pub(super) enum Source {
    OpenI { wheel: Wheel, reports: usize, images: usize },
    MimicCxr { root: PathBuf, held_out: HeldOut, text: ReportText },
    Rsna { root: PathBuf },
    Covidx { root: PathBuf },
    Siim { root: PathBuf, unit: Unit },
    Table { path: PathBuf, root: PathBuf, columns: Box<Columns>, clean_texts: bool, max_missing: f64 },
}

impl Source {
    /// The name of its reader.
    pub(super) fn reader(&self) -> &'static str {
        match self {
            Self::OpenI { .. } => "open-i",
            Self::MimicCxr { .. } => "mimic-cxr",
            Self::Rsna { .. } => "rsna",
            Self::Covidx { .. } => "covidx",
            Self::Siim { .. } => "siim",
            Self::Table { .. } => "table",
        }
    }

    /// Folder of the images.
    pub(super) fn root(&self) -> Option<&Path> {
        match self {
            Self::OpenI { .. } => None,
            Self::MimicCxr { root, .. }
            | Self::Rsna { root }
            | Self::Covidx { root }
            | Self::Siim { root, .. }
            | Self::Table { root, .. } => Some(root),
        }
    }
}

impl Dataset {
    /// Names of its labels, and what they predict.
    pub(super) fn labels(&self) -> Vec<(&str, Target)> {
        match &self.source {
            Source::OpenI { .. } => registry::OPEN_I_LABELS.iter().map(|label| (*label, Target::Binary)).collect(),
            Source::MimicCxr { .. } => Vec::new(),
            Source::Rsna { .. } => vec![(registry::RSNA_LABEL, Target::Binary)],
            Source::Covidx { .. } => vec![(registry::COVIDX_LABEL, Target::Classes)],
            Source::Siim { .. } => vec![(registry::SIIM_LABEL, Target::Binary)],
            Source::Table { columns, .. } => {
                let binary = columns.binary.iter().map(|label| (label.as_str(), Target::Binary));
                binary.chain(columns.classes.iter().map(|label| (label.as_str(), Target::Classes))).collect()
            }
        }
    }

    /// What `label` predicts; none: there is no such label. `column=class` is one class of a column against the rest.
    pub(super) fn target(&self, label: &str) -> Option<Target> {
        let labels = self.labels();
        if let Some((_, target)) = labels.iter().find(|(known, _)| *known == label) {
            return Some(*target);
        }
        let (column, class) = label.split_once('=')?;
        let known = match &self.source {
            Source::Covidx { .. } => registry::COVIDX_CLASSES.contains(&class),
            _ => !class.is_empty(),
        };
        (known && labels.contains(&(column, Target::Classes))).then_some(Target::Binary)
    }

    /// Whether its images are files; else they have no pixels.
    pub(super) fn has_pixels(&self) -> bool {
        match &self.source {
            Source::OpenI { .. } => false,
            Source::Table { columns, .. } => columns.image.is_some(),
            _ => true,
        }
    }

    /// Whether its split leaves something to test on, as far as the file tells.
    pub(super) fn has_test(&self) -> bool {
        let together = matches!(self.source, Source::MimicCxr { held_out: HeldOut::Together, .. });
        !together || self.split != Splitting::Published
    }

    /// Whether it has texts.
    pub(super) fn has_texts(&self) -> bool {
        match &self.source {
            Source::OpenI { .. } | Source::MimicCxr { .. } => true,
            Source::Table { columns, .. } => columns.text.is_some(),
            Source::Rsna { .. } | Source::Covidx { .. } | Source::Siim { .. } => false,
        }
    }
}

/// A frozen encoder.
#[derive(Clone)]
pub(super) struct Encoder<T> {
    pub(super) model: T,
    /// Values of an embedding.
    pub(super) width: usize,
    pub(super) dtype: Dtype,
    /// Its name in the file; none: known by name, without an entry.
    pub(super) span: Option<SourceSpan>,
}

/// An image encoder.
#[derive(Clone)]
pub(super) enum Vision {
    VisualWords { descriptors: Vec<String>, seed: u64 },
    Dinov2 { files: Files, crop: usize, normalise: DinoPixels, interpolation: Interpolation },
    ResNetAe { files: Files, crop: usize },
    Imported { file: PathBuf, ids: PathBuf },
}

/// A text encoder.
#[derive(Clone)]
pub(super) enum Text {
    Bert { files: Files, pooling: Pooling, max_tokens: usize },
    Imported { file: PathBuf, ids: PathBuf },
}

/// The files of an encoder.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Files {
    /// `model:` of the file.
    pub(super) model: String,
    pub(super) family: Family,
    pub(super) origin: Origin,
}

/// Where an encoder's files come from.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A BERT in a wheel.
    Wheel { wheel: Wheel, folder: String },
    /// A folder of the user's, or one file.
    Path(PathBuf),
    /// The hub; a revision is a commit, or a branch, of which the plan holds the commit.
    Hub { repository: String, revision: String },
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
    /// Names of the results that its trials have.
    pub(super) results: &'static [&'static str],
    /// What its trials are compared by; none for kinds whose trials are not compared.
    pub(super) metric: Option<(String, Goal)>,
    /// Every parameter of the kind, those of the file first and in its order.
    pub(super) axes: Vec<Axis>,
    /// How many of `axes` stand in the file.
    pub(super) given: usize,
}

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Minimize,
    Maximize,
}

impl SweepFile {
    pub(super) fn vision(&self, name: &str) -> Option<&Encoder<Vision>> {
        self.vision.iter().find(|(known, _)| known == name).map(|(_, encoder)| encoder)
    }

    pub(super) fn text(&self, name: &str) -> Option<&Encoder<Text>> {
        self.text.iter().find(|(known, _)| known == name).map(|(_, encoder)| encoder)
    }
}
