//! The two tables of MIMIC-CXR-JPG: which view an image shows, and in which split of the authors it is.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::reader::Dropped;
use crate::{
    datasets::{Split, table},
    error::{Error, Result},
};

/// Name of the table of splits, without `.gz`.
pub const SPLITS: &str = "mimic-cxr-2.0.0-split.csv";

/// Name of the table of views, without `.gz`.
pub const METADATA: &str = "mimic-cxr-2.0.0-metadata.csv";

/// Name of the folder of images, and of a tree of reports.
pub const TREE: &str = "files";

/// Views that are frontal: postero-anterior and antero-posterior.
const FRONTAL: [&str; 2] = ["PA", "AP"];

/// Images in each of the authors' splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// For training.
    pub train: usize,
    /// For validation.
    pub validate: usize,
    /// For testing.
    pub test: usize,
}

/// The published sizes of version 2.0.0, all views: 377,110 images.
pub const PUBLISHED: Published = Published { train: 368_960, validate: 2_991, test: 5_159 };

/// A study: the number of its patient, then its own.
pub type StudyId = (u32, u32);

/// Where the study's images lie, and with `.txt` its report, below the collection's root.
pub fn study_path((subject, study): StudyId) -> PathBuf {
    PathBuf::from(format!("{TREE}/p{:.2}/p{subject}/s{study}", subject.to_string()))
}

/// An image that a frontal view shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frontal {
    /// Whom it shows, and when.
    pub study: StudyId,
    /// Its name in the collection.
    pub dicom: String,
    /// In which split its authors put it.
    pub split: Split,
}

/// What the two tables say.
#[derive(Debug)]
pub struct Tables {
    /// The frontal images of both tables, by patient, study and name.
    pub frontal: Vec<Frontal>,
    /// Images in the table of splits.
    pub sizes: Published,
}

/// Reads both tables in `folder`, each plain or gzip.
///
/// # Errors
/// [`Error::Input`] with file and line for a malformed row, an image that is there twice, or of which the tables say
/// different studies; or when one of the tables is missing. [`Error::Io`].
pub fn read(folder: &Path, dropped: &mut Dropped) -> Result<Tables> {
    let mut splits = read_splits(&table::find(folder, SPLITS)?)?;
    let mut sizes = Published { train: 0, validate: 0, test: 0 };
    for (_, split, _) in splits.values() {
        *match split {
            Split::Train => &mut sizes.train,
            Split::Valid => &mut sizes.validate,
            Split::Test => &mut sizes.test,
        } += 1;
    }
    let path = table::find(folder, METADATA)?;
    let mut frontal = Vec::new();
    table::read(&path, &["dicom_id", "subject_id", "study_id", "ViewPosition"], &mut |row| {
        let [dicom, subject, study, view] = &row.cells[..] else { return Err("columns are missing".to_owned()) };
        let study = (number("subject_id", subject)?, number("study_id", study)?);
        let Some((other, split, seen)) = splits.get_mut(&**dicom) else {
            dropped.images_without_split.add(dicom.as_ref());
            return Ok(());
        };
        if std::mem::replace(seen, true) {
            return Err(format!("image `{dicom}` is there twice"));
        }
        if *other != study {
            return Err(format!("image `{dicom}` belongs to {study:?} here and to {other:?} in `{SPLITS}`"));
        }
        match &**view {
            view if FRONTAL.contains(&view) => frontal.push(Frontal { study, dicom: dicom.to_string(), split: *split }),
            "" => dropped.images_of_unknown_view += 1,
            _ => dropped.images_of_another_view += 1,
        }
        Ok(())
    })?;
    // Sorted: which name is shown must not depend on the order of a hash map.
    let mut unseen: Vec<String> =
        splits.into_iter().filter(|(_, (_, _, seen))| !seen).map(|(dicom, _)| dicom).collect();
    unseen.sort_unstable();
    unseen.into_iter().for_each(|dicom| dropped.images_without_metadata.add(dicom));
    frontal.sort_unstable();
    Ok(Tables { frontal, sizes })
}

/// By image: its study, its split, and whether the other table names it.
type Splits = HashMap<String, (StudyId, Split, bool)>;

fn read_splits(path: &Path) -> Result<Splits> {
    let mut splits: Splits = HashMap::new();
    table::read(path, &["dicom_id", "subject_id", "study_id", "split"], &mut |row| {
        let [dicom, subject, study, split] = &row.cells[..] else { return Err("columns are missing".to_owned()) };
        let split = match &**split {
            "train" => Split::Train,
            "validate" => Split::Valid,
            "test" => Split::Test,
            other => return Err(format!("`{other}` is no split: it must be train, validate or test")),
        };
        if dicom.is_empty() {
            return Err("`dicom_id` is empty".to_owned());
        }
        let study = (number("subject_id", subject)?, number("study_id", study)?);
        match splits.insert(dicom.to_string(), (study, split, false)) {
            Some(_) => Err(format!("image `{dicom}` is there twice")),
            None => Ok(()),
        }
    })?;
    Ok(splits)
}

fn number(column: &str, cell: &str) -> Result<u32, String> {
    cell.parse().map_err(|_| format!("`{cell}` in `{column}` is no number"))
}

impl Published {
    /// Compares the sizes that were found with the published ones.
    ///
    /// # Errors
    /// [`Error::Input`] that names both.
    pub fn check(self, found: Self) -> Result<()> {
        if found == self {
            return Ok(());
        }
        let show = |sizes: Self| format!("{} / {} / {}", sizes.train, sizes.validate, sizes.test);
        Err(Error::Input {
            what: format!(
                "`{SPLITS}` has {} images for training, validation and test; published are {}",
                show(found),
                show(self)
            ),
            cure: Some("download version 2.0.0 of MIMIC-CXR-JPG's tables again; they may be cut off".to_owned()),
        })
    }
}
