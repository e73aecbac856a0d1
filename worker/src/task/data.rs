//! Fetching and preparing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    datasets::{
        general::Columns,
        mimic::{HeldOut, ReportText},
        splits::Unit,
    },
    id::TrialId,
};

/// Downloads files and checks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum Fetch {
    /// See [`Wheel`].
    Wheel(Wheel),
    /// See [`Snapshot`].
    Hub(Snapshot),
}

/// A Python wheel, by `pip download --no-deps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wheel {
    /// Distribution name, such as `torchxrayvision`.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// File name of the wheel.
    pub file: String,
    /// SHA-256 of the wheel, in lowercase hexadecimal.
    pub sha256: String,
}

/// Files of a model on the Hugging Face hub at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Owner and name, such as `facebook/dinov2-small`.
    pub repository: String,
    /// The commit: 40 hexadecimal digits. A branch would be another thing tomorrow.
    pub revision: String,
    /// What is needed. Of each entry, the first file that is there is taken; an entry that is optional ends with an empty name.
    pub files: Vec<Vec<String>>,
}

/// Parses a collection and splits it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepare {
    /// Where the collection comes from, and how it is read.
    pub reader: Reader,
    /// How samples come into their splits.
    pub split: Splitting,
}

/// How samples come into their splits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Splitting {
    /// As published: [`crate::datasets::splits`], or the collection's own table of splits.
    Published,
    /// As a column of the table says.
    Column,
    /// By shares of the groups (patients, reports), drawn by seed; the rest is the test split.
    Groups {
        /// Which ones.
        seed: u64,
        /// Share of the training split, in (0, 1).
        train: f64,
        /// Share of the validation split, in (0, 1).
        valid: f64,
    },
}

/// The collections that can be read.
///
/// A `location` says where something lies and is no part of a trial's identity (see [`Task::id`]): a folder may be moved. What lies
/// there is told by the fingerprint, that of the collection's tables and, for [`Reader::Table`], images; see [`crate::datasets::prepare::fingerprint`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Reader {
    /// Indiana University chest X-ray reports with Open-i visual words, out of the `torchxrayvision` wheel.
    OpenI {
        /// The trial that fetched the wheel.
        wheel: TrialId,
        /// Reports that the collection must have.
        reports: usize,
        /// Images that they must name.
        images: usize,
    },
    /// MIMIC-CXR v2, as downloaded from PhysioNet; see [`crate::datasets::mimic`].
    MimicCxr {
        /// The folder of the tables and of the images.
        location: PathBuf,
        /// Of the tables, and of the archive of the reports where there is one.
        fingerprint: String,
        /// What becomes of the authors' validation and test splits.
        held_out: HeldOut,
        /// What a report's text is.
        text: ReportText,
    },
    /// The RSNA pneumonia challenge of 2018, as downloaded from Kaggle: label `pneumonia`; see [`crate::datasets::labels::rsna`].
    Rsna {
        /// The folder.
        location: PathBuf,
        /// Of the label file.
        fingerprint: String,
    },
    /// COVIDx CXR-2 in the version of `train_COVIDx9A.txt`: classes `diagnosis`; see [`crate::datasets::labels::covidx`].
    Covidx {
        /// The folder.
        location: PathBuf,
        /// Of the two lists.
        fingerprint: String,
    },
    /// SIIM-ACR pneumothorax, as downloaded from Kaggle: label `pneumothorax`; see [`crate::datasets::labels::siim`].
    Siim {
        /// The folder.
        location: PathBuf,
        /// Of the label file.
        fingerprint: String,
        /// What is split.
        unit: Unit,
    },
    /// Any table of samples; see [`crate::datasets::general`].
    Table {
        /// The table.
        location: PathBuf,
        /// Folder of images and masks.
        root: Location,
        /// Of the table.
        fingerprint: String,
        /// Which column holds what.
        columns: Box<Columns>,
        /// Clean texts as the paper does.
        clean_texts: bool,
        /// Largest share of images without a file; more are an error.
        max_missing: f64,
    },
}

/// A place, where one is a mapping of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The place.
    pub location: PathBuf,
}
