//! Files inside a fetched Python wheel, which is a zip archive.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use zip::{ZipArchive, read::ZipFile};

use crate::{
    error::{Error, Result},
    files,
    protocol::Artifact,
};

/// A wheel, opened.
pub struct Wheel {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

impl Wheel {
    /// Opens the wheel among the `artifacts` of a [`crate::task::Fetch`] trial, after checking that it is the fetched one.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Damaged`] when it is not the recorded file, [`Error::Input`] when
    /// there is none or it is no zip archive.
    pub fn open(home: &Path, artifacts: &[Artifact]) -> Result<Self> {
        let artifact =
            artifacts.iter().find(|artifact| artifact.name.ends_with(".whl")).ok_or_else(|| Error::Input {
                what: "the fetch trial left no wheel".to_owned(),
                cure: Some("`permafrost retry` the fetch trial".to_owned()),
            })?;
        Self::open_path(files::verified(home, artifact)?)
    }

    /// Opens the wheel at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Input`] when it is no zip archive.
    pub fn open_path(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| Error::input(format!("{} is no wheel: {error}", path.display())))?;
        Ok(Self { path, archive })
    }

    /// Whether it holds the file `name`.
    pub fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(name).is_some()
    }

    /// How messages name the file `name` in it.
    pub fn display(&self, name: &str) -> String {
        format!("{}!{name}", self.path.display())
    }

    /// The file `name`, unpacked while it is read.
    ///
    /// # Errors
    /// [`Error::Input`] when it is not there.
    pub fn stream(&mut self, name: &str) -> Result<ZipFile<'_, BufReader<File>>> {
        let display = self.display(name);
        self.archive.by_name(name).map_err(|error| Error::input(format!("cannot read {display}: {error}")))
    }

    /// The content of the file `name`.
    ///
    /// # Errors
    /// [`Error::Input`] when it is not there or cannot be unpacked.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        let display = self.display(name);
        let mut stream = self.stream(name)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map_err(|error| Error::input(format!("cannot read {display}: {error}")))?;
        Ok(bytes)
    }
}
