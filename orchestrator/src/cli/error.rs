//! What a user is told when something goes wrong, and the exit codes.

use std::{fmt, io, path::PathBuf};

use miette::Diagnostic;
use permafrost_worker::{agent::AgentError, error::Error};

use super::{failures::Unfinished, ui, unwritable::Unwritable};
use crate::{
    coordinator::{CoordinatorError, HomeError},
    figure::FigureError,
    monitor::serve::ServeError,
    store::StoreError,
    sweep::{Missing, SweepErrors},
};

/// Exit codes of the program. They are an interface: `docs/cli.md` lists them.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// Something failed: a file, the database, a check.
    pub const FAILED: u8 = 1;
    /// Wrong usage, or a sweep file with errors.
    pub const USAGE: u8 = 2;
    /// Trials ended without a result.
    pub const UNFINISHED: u8 = 3;
    /// Files are missing that a user has to provide.
    pub const MISSING: u8 = 4;
    /// Coordinator or workers cannot run.
    pub const COORDINATOR: u8 = 5;
    /// Something is wrong with a data set.
    pub const FINDINGS: u8 = 6;
    /// Interrupted by a user.
    pub const INTERRUPTED: u8 = 130;
}

/// Why a verb ended without doing what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The sweep file has errors.
    #[error(transparent)]
    Sweep(#[from] SweepErrors),
    /// Files are missing that a user has to provide.
    #[error("{}", MissingFiles(.0))]
    Missing(Vec<Missing>),
    /// Trials ended without a result.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The database cannot be used, or does not hold what was asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This process cannot coordinate.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// A coordinator that was started has ended.
    #[error("the coordinator ended ({status}): {message}")]
    CoordinatorEnded {
        /// How.
        status: String,
        /// Its exit code, when it was not killed.
        code: Option<u8>,
        /// What it said.
        message: String,
        /// What it said to do about it.
        cure: Option<String>,
    },
    /// A coordinator of another version runs.
    #[error("a coordinator of version {found} runs in {}, this is version {}", home.display(), permafrost_worker::PROGRAM_VERSION)]
    OtherVersion {
        /// Its version.
        found: String,
        /// The home folder.
        home: PathBuf,
    },
    /// The page cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The coordinator cannot be reached, or refuses.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// A figure cannot be drawn.
    #[error(transparent)]
    Figure(FigureError),
    /// A device cannot be used.
    #[error(transparent)]
    Device(#[from] Error),
    /// A file of a user, or the system.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder that a user chose cannot be written.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// No coordinator runs where one is needed.
    #[error("no coordinator runs in {}", .0.display())]
    NoCoordinator(PathBuf),
    /// Something that a user named is not there.
    #[error("{what}")]
    NotFound {
        /// What.
        what: String,
        /// What there is.
        cure: String,
    },
    /// Arguments do not fit together.
    #[error("{what}")]
    Usage {
        /// What.
        what: String,
        /// What would.
        cure: String,
    },
    /// Tables cannot be written as Parquet.
    #[error(transparent)]
    Parquet(#[from] crate::report::parquet::ParquetError),
    /// A check of `doctor` failed; it was printed already.
    #[error("{0} of the checks failed")]
    Unhealthy(usize),
    /// Something is wrong with so many data sets; what, was printed already.
    #[error("something is wrong with {}", ui::counted(*.0, "data set"))]
    Findings(usize),
    /// So many data sets are not there; which, was printed already.
    #[error("{} or parts of it cannot be found", ui::counted(*.0, "data set"))]
    NoData(usize),
    /// So many rows of a benchmark failed; which, was printed already.
    #[error("{} could not be measured", ui::counted(*.0, "row"))]
    Unmeasured(usize),
    /// Results could not be handed to another tool.
    #[error(transparent)]
    Export(#[from] super::export::ExportError),
    /// A user stopped it.
    #[error("{0}")]
    Interrupted(String),
}

impl From<FigureError> for CliError {
    fn from(error: FigureError) -> Self {
        match error {
            FigureError::Store(error) => error.into(),
            other => Self::Figure(other),
        }
    }
}

impl CliError {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Sweep(_) | Self::Usage { .. } => exit::USAGE,
            Self::Missing(_) | Self::NoData(_) => exit::MISSING,
            Self::Findings(_) => exit::FINDINGS,
            Self::Unfinished(_) => exit::UNFINISHED,
            Self::Interrupted(_) => exit::INTERRUPTED,
            Self::CoordinatorEnded { code, .. } => code.unwrap_or(exit::COORDINATOR),
            Self::Coordinator(
                CoordinatorError::Home(HomeError::Busy { .. })
                | CoordinatorError::Listen { .. }
                | CoordinatorError::NoWorkers(_),
            )
            | Self::Serve(ServeError::Listen { .. })
            | Self::OtherVersion { .. }
            | Self::NoCoordinator(_)
            | Self::Agent(_) => exit::COORDINATOR,
            // Files are the user's, whoever reads them.
            Self::Device(error) if !matches!(error, Error::Io { .. }) => exit::COORDINATOR,
            _ => exit::FAILED,
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Missing(_) => {
                Some("provide them and run the same command again; `permafrost plan FILE` shows the rest".to_owned())
            }
            Self::Store(error) => error.cure(),
            Self::Coordinator(error) => error.cure(),
            Self::Serve(error) => error.cure(),
            Self::CoordinatorEnded { cure, .. } => cure.clone(),
            Self::OtherVersion { .. } => {
                Some("`permafrost drain` of that version ends it; or name another --home".to_owned())
            }
            Self::Agent(error) => error.cure(),
            Self::Export(error) => error.cure(),
            Self::Device(error) => error.cure(),
            Self::Unfinished(error) => Some(error.cure()),
            Self::NotFound { cure, .. } | Self::Usage { cure, .. } => Some(cure.clone()),
            Self::Figure(error) => error.cure(),
            Self::Unwritable(error) => Some(error.cure()),
            Self::NoCoordinator(_) => {
                Some("start one with `permafrost launch FILE`, or name its home folder with --home".to_owned())
            }
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Some("check the path".to_owned()),
                io::ErrorKind::PermissionDenied => Some("check its permissions".to_owned()),
                io::ErrorKind::StorageFull => Some("free space on that disk".to_owned()),
                _ => None,
            },
            Self::Sweep(_)
            | Self::Parquet(_)
            | Self::Unhealthy(_)
            | Self::Findings(_)
            | Self::NoData(_)
            | Self::Unmeasured(_)
            | Self::Interrupted(_) => None,
        }
    }
}

impl Diagnostic for CliError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.cure().map(|cure| Box::new(cure) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        match self {
            Self::Sweep(errors) => errors.source_code(),
            _ => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            Self::Sweep(errors) => errors.related(),
            _ => None,
        }
    }
}

/// Missing files as a list, those of one thing under its name and cure.
struct MissingFiles<'a>(&'a [Missing]);

impl fmt::Display for MissingFiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files or folders are missing", self.0.len())?;
        grouped(self.0, "").iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Missing files as lines: after `indent` what each thing is with its cure, then its files.
pub(super) fn grouped(missing: &[Missing], indent: &str) -> Vec<String> {
    let mut groups: Vec<Vec<&Missing>> = Vec::new();
    for entry in missing {
        let same = |group: &&mut Vec<&Missing>| (&group[0].what, &group[0].cure) == (&entry.what, &entry.cure);
        match groups.iter_mut().find(same) {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    let mut lines = Vec::new();
    for group in groups {
        lines.push(format!("{indent}{}: {}", group[0].what, group[0].cure));
        lines.extend(group.iter().map(|missing| format!("    {}", missing.path.display())));
    }
    lines
}
