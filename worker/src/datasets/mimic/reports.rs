//! Where the reports are: a tree of files, or the zip archive as it was downloaded, which is not unpacked.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use zip::ZipArchive;

use super::tables::{StudyId, TREE, study_path};
use crate::{
    datasets::text,
    error::{Error, Result},
};

/// Name of the archive of reports.
pub const ARCHIVE: &str = "mimic-cxr-reports.zip";

/// Longest report read, in bytes; real ones have some thousand.
const MAX_REPORT_BYTES: u64 = 1 << 20;

/// Where the reports are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder with `files/p10/p10000032/s50414267.txt` and so on.
    Tree(PathBuf),
    /// A zip archive of such a folder.
    Archive(PathBuf),
}

/// What to do with each report. It is told the study, the text, and whether that was Latin-1; false ends the reading.
pub type Each<'a> = &'a mut dyn FnMut(StudyId, &str, bool) -> bool;

impl Source {
    /// Finds the reports in `place`: a zip archive, a folder that holds `mimic-cxr-reports.zip`, or the tree's root.
    ///
    /// # Errors
    /// [`Error::Input`] when there are none.
    pub fn find(place: &Path) -> Result<Self> {
        if place.is_file() {
            return Ok(Self::Archive(place.to_owned()));
        }
        // The tree of images may stand in the same folder, without reports: the archive is preferred.
        let archive = place.join(ARCHIVE);
        if archive.is_file() {
            return Ok(Self::Archive(archive));
        }
        if place.join(TREE).is_dir() {
            return Ok(Self::Tree(place.to_owned()));
        }
        Err(Error::Input {
            what: format!("{}: neither `{ARCHIVE}` nor a folder `{TREE}` is there", place.display()),
            cure: Some("download the reports of MIMIC-CXR 2.0.0 into that folder, or name another folder".to_owned()),
        })
    }

    /// Passes on the reports of `studies`, which are sorted, one at a time. An archive is read once, in its order, and
    /// none of it is kept; other studies' reports in it are counted. False when `each` ended it.
    ///
    /// # Errors
    /// [`Error::Input`] that names a report that is too long, or there twice, or the archive when it is damaged;
    /// [`Error::Io`].
    pub fn read(&self, studies: &[StudyId], others: &mut usize, each: Each<'_>) -> Result<bool> {
        match self {
            Self::Tree(root) => read_tree(root, studies, each),
            Self::Archive(path) => read_archive(path, studies, others, each),
        }
    }
}

fn read_tree(root: &Path, studies: &[StudyId], each: Each<'_>) -> Result<bool> {
    let mut bytes = Vec::new();
    for &study in studies {
        let path = root.join(study_path(study)).with_extension("txt");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        read_bounded(file, &mut bytes, &path.display().to_string())?;
        let (report, latin1) = text::decode(&bytes);
        if !each(study, &report, latin1) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_archive(path: &Path, studies: &[StudyId], others: &mut usize, each: Each<'_>) -> Result<bool> {
    let wrong = |error: zip::result::ZipError| Error::Input {
        what: format!("cannot read {}: {error}", path.display()),
        cure: Some("download it again; it may be cut off".to_owned()),
    };
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    let mut read = vec![false; studies.len()];
    let mut bytes = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(wrong)?;
        let name = entry.name().map_err(wrong)?.into_owned();
        let Some(study) = entry.is_file().then(|| study_of(&name)).flatten() else { continue };
        let Ok(position) = studies.binary_search(&study) else {
            *others += 1;
            continue;
        };
        let display = format!("{}!{name}", path.display());
        if std::mem::replace(&mut read[position], true) {
            return Err(Error::input(format!("{display}: the report of study {} is there twice", study.1)));
        }
        read_bounded(entry, &mut bytes, &display)?;
        let (report, latin1) = text::decode(&bytes);
        if !each(study, &report, latin1) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads all of `reader` into `bytes`.
fn read_bounded(reader: impl Read, bytes: &mut Vec<u8>, display: &str) -> Result<()> {
    bytes.clear();
    let read = reader.take(MAX_REPORT_BYTES + 1).read_to_end(bytes);
    read.map_err(|error| Error::input(format!("cannot read {display}: {error}")))?;
    if bytes.len() as u64 > MAX_REPORT_BYTES {
        return Err(Error::input(format!("{display}: longer than {MAX_REPORT_BYTES} bytes, this is no report")));
    }
    Ok(())
}

/// The study whose report an archive holds as `name`, such as `files/p10/p10000032/s50414267.txt`.
fn study_of(name: &str) -> Option<StudyId> {
    let mut parts = name.rsplit('/');
    let study = parts.next()?.strip_suffix(".txt")?.strip_prefix('s')?;
    let subject = parts.next()?.strip_prefix('p')?;
    Some((subject.parse().ok()?, study.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_studies() {
        let study = (10000032, 50414267);
        assert_eq!(study_path(study), Path::new("files/p10/p10000032/s50414267"));
        assert_eq!(study_of("files/p10/p10000032/s50414267.txt"), Some(study));
        assert_eq!(study_of("mimic-cxr-reports/files/p10/p10000032/s50414267.txt"), Some(study));
        for other in ["files/p10/p10000032/", "index.html", "s50414267.txt", "files/p10/p10/sx.txt", ""] {
            assert_eq!(study_of(other), None, "{other}");
        }
    }
}
