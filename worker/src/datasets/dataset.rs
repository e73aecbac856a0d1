//! A prepared collection: pairs of image and report, split, with labels. Everything is keyed by id, never by position.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    files,
    protocol::Artifact,
};

/// Name of the artifact that holds a [`Dataset`].
pub const FILE: &str = "dataset.json";

/// Version of that file's layout.
const FORMAT: u32 = 1;

/// A prepared collection.
///
/// Files written before there were class and number columns, image files, masks and groups read unchanged: what they lack
/// is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Version of the layout of `dataset.json`.
    format: u32,
    /// Names of the binary label columns, as sweep files write them, such as `normal` or `pleural-effusion`.
    pub labels: Vec<String>,
    /// Label columns of which each image has one of several classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassColumn>,
    /// Names of the numeric columns, such as `age`; units are the collection's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// The reports. Each is named by at least one image.
    pub reports: Vec<Report>,
    /// The images, in a fixed order.
    pub images: Vec<Image>,
}

/// The label columns of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelColumns {
    /// See [`Dataset::labels`].
    pub binary: Vec<String>,
    /// See [`Dataset::classes`].
    pub classes: Vec<ClassColumn>,
    /// See [`Dataset::numbers`].
    pub numbers: Vec<String>,
}

/// A label column of several classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassColumn {
    /// The column.
    pub name: String,
    /// The classes, different ones; images name them by position.
    pub values: Vec<String>,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Unique in the collection. Text embeddings are keyed by it.
    pub id: String,
    /// Its cleaned text; never empty. Different reports may have the same text.
    pub text: String,
}

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Unique in the collection. Image embeddings are keyed by it.
    pub id: String,
    /// Index of its report in [`Dataset::reports`]; none: it has none, and pre-training leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<usize>,
    /// Images of one report are always in the same split.
    pub split: Split,
    /// One value a column of [`Dataset::labels`]; none: unknown.
    pub labels: Vec<Option<bool>>,
    /// Visual words by descriptor, such as `CEDD` -> `f2p0k1352`; empty where the collection has none.
    pub words: BTreeMap<String, String>,
    /// One position in [`ClassColumn::values`] for each of [`Dataset::classes`]; none: unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Option<u32>>,
    /// One finite value a column of [`Dataset::numbers`]; none: unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Option<f64>>,
    /// Its file, relative to the collection's root; none where there are no pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Its mask, relative to the collection's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<PathBuf>,
    /// Whom it shows, such as the patient; none: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Which part of the collection a sample belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Trained on.
    #[default]
    Train,
    /// Models are chosen on it.
    Valid,
    /// Looked at once, at the end.
    Test,
}

impl Split {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// The name used in metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl Dataset {
    /// A checked collection of these parts.
    ///
    /// # Errors
    /// [`Error::Input`] when the parts do not fit together; see [`Dataset::load`].
    pub fn new(labels: Vec<String>, reports: Vec<Report>, images: Vec<Image>) -> Result<Self> {
        Self::with_columns(LabelColumns { binary: labels, ..LabelColumns::default() }, reports, images)
    }

    /// A checked collection whose labels are of any kind.
    ///
    /// # Errors
    /// [`Error::Input`] when the parts do not fit together; see [`Dataset::load`].
    pub fn with_columns(columns: LabelColumns, reports: Vec<Report>, images: Vec<Image>) -> Result<Self> {
        let LabelColumns { binary: labels, classes, numbers } = columns;
        let dataset = Self { format: FORMAT, labels, classes, numbers, reports, images };
        dataset.check().map_err(Error::input)?;
        Ok(dataset)
    }

    /// Reads the `dataset.json` among the `artifacts` of a [`crate::task::Prepare`] trial.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the file is not the recorded one, [`Error::Input`] when there is none, it is of another
    /// version, or its parts do not fit together: a doubled id, a report that does not exist or has no image,
    /// another number of labels than columns, one report in two splits.
    pub fn load(home: &Path, artifacts: &[Artifact]) -> Result<Self> {
        let artifact = artifacts.iter().find(|artifact| artifact.name == FILE).ok_or_else(|| Error::Input {
            what: format!("the prepared collection has no `{FILE}`"),
            cure: Some("`permafrost retry` the prepare trial".to_owned()),
        })?;
        let path = files::verified(home, artifact)?;
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let read = || -> Result<Self, String> {
            #[derive(Deserialize)]
            struct Version {
                format: u32,
            }
            let Version { format } = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            if format != FORMAT {
                return Err(format!("format {format}, this program reads {FORMAT}"));
            }
            let dataset: Self = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            dataset.check()?;
            Ok(dataset)
        };
        read().map_err(|what| Error::Input {
            what: format!("{}: {what}", path.display()),
            cure: Some("`permafrost retry` the prepare trial".to_owned()),
        })
    }

    /// Writes `dataset.json` into `folder` below `home`, crash safe.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, home: &Path, folder: &Path) -> Result<Artifact> {
        let path = folder.join(FILE);
        files::write_atomic(&path, |out| serde_json::to_writer(out, self).map_err(std::io::Error::from))?;
        files::describe(home, &path)
    }

    /// Checks that the parts fit together.
    fn check(&self) -> Result<(), String> {
        let classes = self.classes.iter().map(|column| &column.name);
        unique("label", self.labels.iter().chain(classes).chain(&self.numbers))?;
        for column in &self.classes {
            unique(&format!("class of `{}`", column.name), column.values.iter())?;
        }
        unique("report", self.reports.iter().map(|report| &report.id))?;
        unique("image", self.images.iter().map(|image| &image.id))?;
        if let Some(report) = self.reports.iter().find(|report| report.text.is_empty()) {
            return Err(format!("report `{}` has no text", report.id));
        }
        let mut splits = vec![None; self.reports.len()];
        for image in &self.images {
            self.check_labels(image)?;
            let Some(report) = image.report else { continue };
            let split = splits.get_mut(report).ok_or_else(|| {
                format!("image `{}` names report {report}, there are {}", image.id, self.reports.len())
            })?;
            if *split.get_or_insert(image.split) != image.split {
                return Err(format!("report `{}` is in two splits", self.reports[report].id));
            }
        }
        match splits.iter().position(Option::is_none) {
            Some(report) => Err(format!("report `{}` has no image", self.reports[report].id)),
            None => Ok(()),
        }
    }

    /// Checks that the labels of `image` fit the columns.
    fn check_labels(&self, image: &Image) -> Result<(), String> {
        let kinds = [
            ("labels", image.labels.len(), self.labels.len()),
            ("classes", image.classes.len(), self.classes.len()),
            ("numbers", image.numbers.len(), self.numbers.len()),
        ];
        for (kind, found, columns) in kinds {
            if found != columns {
                return Err(format!("image `{}` has {found} {kind}, there are {columns} columns", image.id));
            }
        }
        for (class, column) in image.classes.iter().zip(&self.classes) {
            if class.is_some_and(|class| class as usize >= column.values.len()) {
                let (name, count) = (&column.name, column.values.len());
                return Err(format!("image `{}` has a class of `{name}` beyond the {count} there are", image.id));
            }
        }
        match image.numbers.iter().flatten().find(|number| !number.is_finite()) {
            Some(number) => Err(format!("image `{}` has the number {number}", image.id)),
            None => Ok(()),
        }
    }
}

/// Checks that no id is empty or there twice.
fn unique<'a>(what: &str, ids: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = HashSet::new();
    for id in ids {
        if id.is_empty() {
            return Err(format!("an empty {what} id"));
        }
        if !seen.insert(id) {
            return Err(format!("{what} `{id}` is there twice"));
        }
    }
    Ok(())
}
