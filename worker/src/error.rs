//! Errors of running trials. Each knows its class, which decides on another try, and a cure, where there is one.

use std::path::{Path, PathBuf};

use crate::{files, images::Fault, protocol::FailureClass};

/// Result of code that runs trials.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while a trial runs. Messages read on from "failed: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `create`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was read is not what it should be.
    #[error("{what}")]
    Input {
        /// What is wrong, naming file and place.
        what: String,
        /// What to do about it.
        cure: Option<String>,
    },
    /// A file's content is not what was recorded.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        what: String,
    },
    /// A file holds no image that can be read.
    #[error("{}: {fault}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A program or service outside failed in a way that may pass.
    #[error("{what}")]
    Transient {
        /// What failed.
        what: String,
        /// What to do if it does not pass.
        cure: Option<String>,
    },
    /// This machine lacks something.
    #[error("{what}")]
    Resources {
        /// What is lacking.
        what: String,
        /// What to do about it.
        cure: Option<String>,
    },
    /// Candle failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// An [`Error::Input`] without a cure.
    pub fn input(what: impl Into<String>) -> Self {
        Self::Input { what: what.into(), cure: None }
    }

    /// Decides on another try.
    pub fn class(&self) -> FailureClass {
        use std::io::ErrorKind;
        match self {
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory => FailureClass::Resources,
                ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::InvalidData
                | ErrorKind::ReadOnlyFilesystem => FailureClass::Input,
                _ => FailureClass::Transient,
            },
            Self::Input { .. } | Self::Damaged { .. } | Self::Image { .. } => FailureClass::Input,
            Self::Transient { .. } => FailureClass::Transient,
            Self::Resources { .. } => FailureClass::Resources,
            Self::Tensor(_) => FailureClass::Bug,
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free space on that disk; the same command goes on where it stopped".to_owned())
            }
            Self::Input { cure, .. } | Self::Transient { cure, .. } | Self::Resources { cure, .. } => cure.clone(),
            Self::Image { fault, .. } => fault.cure().map(str::to_owned),
            Self::Damaged { path, .. } => Some(match files::origin(path) {
                Some(origin) => format!(
                    "it is made again by itself, twice at most; check the disk, then `permafrost retry {}`",
                    origin.trial.short()
                ),
                None => "`permafrost retry` the trial that wrote it: the file is made again".to_owned(),
            }),
            _ => None,
        }
    }
}
