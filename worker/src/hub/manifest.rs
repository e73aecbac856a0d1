//! What a fetched snapshot consists of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    files,
    protocol::Artifact,
};

/// Name of the artifact that holds a [`Manifest`].
pub const MANIFEST: &str = "weights.json";

/// The files of a snapshot. They lie in the cache that all Hugging Face tools share, and not below the home folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Owner and name.
    pub repository: String,
    /// The commit.
    pub revision: String,
    /// What was there of what was asked for.
    pub files: Vec<File>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Name in the repository.
    pub name: String,
    /// Absolute path.
    pub path: PathBuf,
    /// Size.
    pub bytes: u64,
    /// BLAKE3 of the content, in hexadecimal.
    pub blake3: String,
}

impl Manifest {
    /// Reads the one among the `artifacts` of a [`crate::task::Fetch`] trial, after checking that it and all files that it
    /// names are the fetched ones.
    ///
    /// # Errors
    /// [`Error::Input`] when there is none, or a file is not as it was fetched; [`Error::Damaged`], [`Error::Io`].
    pub fn open(home: &Path, artifacts: &[Artifact]) -> Result<Self> {
        let artifact = artifacts.iter().find(|artifact| artifact.name == MANIFEST).ok_or_else(|| Error::Input {
            what: "the fetch trial left no list of files".to_owned(),
            cure: Some("`permafrost retry` the fetch trial".to_owned()),
        })?;
        let path = files::verified(home, artifact)?;
        let again = files::trial_of(&path).map_or_else(
            || "`permafrost retry` the fetch trial: it fetches the file again".to_owned(),
            |trial| format!("`permafrost retry {}` fetches the file again", trial.short()),
        );
        let json = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let manifest: Self = serde_json::from_slice(&json)
            .map_err(|error| Error::Damaged { path: path.clone(), what: error.to_string() })?;
        for file in &manifest.files {
            let wrong = |what: &str| Error::Input {
                what: format!("{} {what} since it was fetched", file.path.display()),
                cure: Some(again.clone()),
            };
            if !file.path.is_file() {
                return Err(wrong("has gone"));
            }
            let found = files::describe(home, &file.path)?;
            if (found.bytes, &found.blake3) != (file.bytes, &file.blake3) {
                return Err(wrong("has changed"));
            }
        }
        Ok(manifest)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The file `name`.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.name == name)
    }

    /// How messages name it.
    pub fn display(&self) -> String {
        let short = self.revision.get(..12).unwrap_or(&self.revision);
        format!("{} at {short} on the hub", self.repository)
    }
}
