//! Which files a collection is read from.

use std::path::{Path, PathBuf};

use super::super::mimic;
use crate::{
    error::{Error, Result},
    task::Reader,
};

/// Label file of RSNA, and the folder of its images.
pub(super) const RSNA: [&str; 2] = ["stage_2_train_labels.csv", "stage_2_train_images"];
/// Lists of COVIDx.
pub(super) const COVIDX: [&str; 2] = ["train_COVIDx9A.txt", "test_COVIDx9A.txt"];
/// Folders of the images of each list.
pub(super) const COVIDX_IMAGES: [&str; 2] = ["train", "test"];
/// Label file of SIIM-ACR, and the folder below which its images are.
pub(super) const SIIM: [&str; 2] = ["train-rle.csv", "dicom-images-train"];

/// A file or folder that a collection cannot be read without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// What it is, such as `the table of splits`.
    pub what: &'static str,
    /// Places of which one is enough; the first is the usual one.
    pub any_of: Vec<PathBuf>,
    /// How to get it.
    pub cure: &'static str,
    /// Whether it is part of the fingerprint, where it is a file.
    is_table: bool,
}

impl Required {
    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        self.any_of.iter().any(|path| path.exists())
    }

    fn table(what: &'static str, any_of: Vec<PathBuf>, cure: &'static str) -> Self {
        Self { what, any_of, cure, is_table: true }
    }

    fn folder(what: &'static str, path: PathBuf, cure: &'static str) -> Self {
        Self { what, any_of: vec![path], cure, is_table: false }
    }
}

impl Reader {
    /// The files whose content the fingerprint is made of: label files, tables of splits and views, the archive of the
    /// reports. Also those that are not there; none for [`Reader::OpenI`], which reads another trial's file.
    ///
    /// Images are not among them (they are too many to read), and neither is a tree of reports.
    pub fn tables(&self) -> Vec<PathBuf> {
        let tables = self.required().into_iter().filter(|required| required.is_table);
        let table = |required: Required| match required.any_of.iter().find(|path| path.exists()) {
            Some(path) => path.is_file().then(|| path.clone()),
            None => required.any_of.into_iter().next(),
        };
        tables.filter_map(table).collect()
    }

    /// What the collection cannot be read without.
    pub fn required(&self) -> Vec<Required> {
        match self {
            Self::OpenI { .. } => vec![],
            Self::MimicCxr { location, .. } => {
                let cure = "download MIMIC-CXR-JPG from PhysioNet (credentialed access)";
                let table = |what, name: &str| {
                    let gz = location.join(format!("{name}.gz"));
                    Required::table(what, vec![gz, location.join(name)], cure)
                };
                vec![
                    table("the table of splits", mimic::SPLITS),
                    table("the table of views", mimic::METADATA),
                    Required::table(
                        "the reports",
                        vec![location.join(mimic::ARCHIVE), location.join(mimic::TREE)],
                        "download mimic-cxr-reports.zip of MIMIC-CXR from PhysioNet (credentialed access)",
                    ),
                    Required::folder("the folder of the images", location.join(mimic::TREE), cure),
                ]
            }
            Self::Rsna { location, .. } => {
                let cure = "`kaggle competitions download -c rsna-pneumonia-detection-challenge`, and unpack it there";
                vec![
                    Required::table("the label file", vec![location.join(RSNA[0])], cure),
                    Required::folder("the folder of the images", location.join(RSNA[1]), cure),
                ]
            }
            Self::Covidx { location, .. } => {
                let cure =
                    "`kaggle datasets download andyczhao/covidx-cxr2` in the version with lists 9A, unpacked there";
                let list = |name: &&str| Required::table("a list of images", vec![location.join(name)], cure);
                let folder = |name: &&str| Required::folder("a folder of images", location.join(name), cure);
                COVIDX.iter().map(list).chain(COVIDX_IMAGES.iter().map(folder)).collect()
            }
            Self::Siim { location, .. } => {
                let cure = "download SIIM-ACR Pneumothorax Segmentation from Kaggle, and unpack it there";
                vec![
                    Required::table("the label file", vec![location.join(SIIM[0])], cure),
                    Required::folder("the folder of the images", location.join(SIIM[1]), cure),
                ]
            }
            Self::Table { location, root, .. } => vec![
                Required::table("the table", vec![location.clone()], "name the table of samples in the sweep file"),
                Required::folder(
                    "the folder of the images",
                    root.location.clone(),
                    "name the folder of the images as `root` in the sweep file",
                ),
            ],
        }
    }

    /// Folder that the files of images and masks are relative to; none: images without pixels.
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::OpenI { .. } => None,
            Self::MimicCxr { location, .. }
            | Self::Rsna { location, .. }
            | Self::Covidx { location, .. }
            | Self::Siim { location, .. } => Some(location),
            Self::Table { root, columns, .. } => columns.image.as_ref().map(|_| root.location.as_path()),
        }
    }

    /// What of [`Self::required`] is not there.
    pub fn missing(&self) -> Vec<Required> {
        self.required().into_iter().filter(|required| !required.is_there()).collect()
    }

    /// That of [`Self::tables`] when the sweep was planned.
    pub fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::OpenI { .. } => None,
            Self::MimicCxr { fingerprint, .. }
            | Self::Rsna { fingerprint, .. }
            | Self::Covidx { fingerprint, .. }
            | Self::Siim { fingerprint, .. }
            | Self::Table { fingerprint, .. } => Some(fingerprint),
        }
    }
}

/// Checks that all is there that `reader` needs.
pub(super) fn check(reader: &Reader) -> Result<()> {
    let missing = reader.missing();
    let Some(first) = missing.first() else { return Ok(()) };
    let names: Vec<String> = missing
        .iter()
        .map(|required| {
            let places: Vec<String> = required.any_of.iter().map(|path| path.display().to_string()).collect();
            format!("{}, {}, is not there", places.join(" or "), required.what)
        })
        .collect();
    Err(Error::Input { what: names.join("; "), cure: Some(first.cure.to_owned()) })
}

/// The files below `folder`, however deep, by what they are called without the extension `kind`; paths are relative to
/// `root`. `stop` is asked before each folder; none when it said so.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] for two files of one name.
pub(super) fn walk(
    root: &Path,
    folder: &str,
    kind: &str,
    stop: super::Stop<'_>,
) -> Result<Option<std::collections::HashMap<String, PathBuf>>> {
    let mut found = std::collections::HashMap::new();
    let mut folders = vec![(PathBuf::from(folder), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if stop(found.len()) {
            return Ok(None);
        }
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let entry = entry.map_err(Error::io("list", &path))?;
            let name = folder.join(entry.file_name());
            // Of the file, not of a link to it.
            if entry.path().is_dir() {
                // Deeper than any download; a link to a folder above would never end.
                if depth < MAX_DEPTH {
                    folders.push((name, depth + 1));
                }
                continue;
            }
            let is_kind = name.extension().is_some_and(|found| found.eq_ignore_ascii_case(kind));
            let Some(stem) = name.file_stem().filter(|_| is_kind) else { continue };
            if let Some(other) = found.insert(stem.to_string_lossy().into_owned(), name.clone()) {
                let mut both = [other.display().to_string(), name.display().to_string()];
                both.sort_unstable();
                return Err(Error::Input {
                    what: format!("{}: {} and {} have one name", root.display(), both[0], both[1]),
                    cure: Some("remove one of them".to_owned()),
                });
            }
        }
    }
    Ok(Some(found))
}

/// Most folders inside each other.
const MAX_DEPTH: usize = 8;
