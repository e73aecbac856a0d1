//! What can be wrong with the database.

use std::{path::PathBuf, sync::Arc};

/// Why the database cannot be used. Cheap to clone: one failed commit answers many requests.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("there is no database at {}", .0.display())]
    Missing(PathBuf),
    /// The file is something else.
    #[error("{} is not a results database", .0.display())]
    NotADatabase(PathBuf),
    /// A newer program has written it.
    #[error("{} has schema version {found}, this program knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// An older program has written it, and nobody has migrated it yet.
    #[error("{} has schema version {found}, this program needs {known}", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that is needed.
        known: i64,
    },
    /// A migration was changed after it was applied.
    #[error("the schema of {} is not that of any release: {reason}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk that holds {} is full", .0.display())]
    Full(PathBuf),
    /// The file or its folder cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The disk fails, or refuses for a reason that SQLite does not tell, such as a quota.
    #[error("the disk that holds {} does not work: {reason}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// The file was damaged.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// A statement of the user is wrong, or would write.
    #[error("{0}")]
    Statement(String),
    /// A statement of the user ran longer than it may, in seconds.
    #[error("the query took longer than {0} s")]
    TooLong(f64),
    /// No trial has that name.
    #[error("no trial begins with `{0}`")]
    NoSuchTrial(String),
    /// Several trials have that name.
    #[error("several trials begin with `{prefix}`: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The first few.
        candidates: Vec<String>,
    },
    /// What the database holds cannot be read.
    #[error("the database holds what it should not: {0}")]
    Content(String),
    /// The writer has ended.
    #[error("the database is closed")]
    Closed,
    /// Something else.
    #[error("the database at {} cannot be used: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What sqlx said.
        source: Arc<sqlx::Error>,
    },
}

/// SQLite's primary result codes.
const READ_ONLY: i32 = 8;
const IO_ERROR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

impl StoreError {
    /// Sorts an error of sqlx.
    pub(super) fn from_sqlx(path: &std::path::Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match code(&source) {
            Some(FULL) => Self::Full(path),
            Some(NOT_A_DATABASE) => Self::NotADatabase(path),
            Some(READ_ONLY | CANNOT_OPEN) => Self::Unwritable { path, reason: text(&source) },
            Some(IO_ERROR) => Self::Disk { path, reason: text(&source) },
            Some(CORRUPT) => Self::Damaged { path, reason: text(&source) },
            _ => Self::Sqlite { path, source: Arc::new(source) },
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("launch a sweep first, or name the home folder of one with --home".to_owned()),
            Self::NotADatabase(path) => Some(format!("move {} away, or name another --home", path.display())),
            Self::Newer { .. } => Some("use the version of permafrost that wrote it, or a newer one".to_owned()),
            Self::Schema { .. } => {
                Some("use the version of permafrost that wrote it, or name another --home".to_owned())
            }
            Self::Older { .. } => Some("launch any sweep with this version: that brings it up to date".to_owned()),
            Self::Full(_) => {
                Some("free space there; nothing that was committed is lost, and the same command goes on".to_owned())
            }
            Self::Unwritable { .. } => {
                Some("check the permissions of the home folder, or name another --home".to_owned())
            }
            Self::Disk { .. } => Some(
                "check your quota there and the health of the disk; nothing that was committed is lost, and the same command goes on"
                    .to_owned(),
            ),
            Self::Damaged { path, .. } => Some(format!(
                "put a backup in its place, or save what can be read: sqlite3 {} .recover",
                path.display()
            )),
            Self::NoSuchTrial(_) => {
                Some("`permafrost results --trials` lists the trials of a sweep, with their identities".to_owned())
            }
            Self::Ambiguous { .. } => Some("give more digits".to_owned()),
            Self::Statement(_) => {
                Some("`permafrost sql` only reads; docs/database.md lists tables and views".to_owned())
            }
            Self::TooLong(_) => Some(
                "ask for less: a WHERE on `trial` or on `sweep`, or a LIMIT; `permafrost sql` has no limit".to_owned(),
            ),
            _ => None,
        }
    }
}

/// SQLite's primary result code of an error.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// What SQLite said, without what sqlx puts around it.
pub(super) fn text(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
