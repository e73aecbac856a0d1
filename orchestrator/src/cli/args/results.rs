//! Arguments of `results`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{report::Format, sweep::Spread};

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For the terminal
    Table,
    /// A line a cell, for other programs
    Csv,
    /// For other programs
    Json,
    /// For a web page
    Markdown,
    /// For a paper; needs the package booktabs
    Latex,
    /// A row a cell, for pandas, DuckDB and others
    Parquet,
}

impl Output {
    /// The form that was asked for, or else what the ending of a file says, or else a table for people.
    pub fn chosen(asked: Option<Self>, json: bool, path: Option<&Path>) -> Self {
        let ending = path.and_then(Path::extension).and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let by_ending = match ending.as_deref() {
            Some("csv") => Some(Self::Csv),
            Some("json") => Some(Self::Json),
            Some("md" | "markdown") => Some(Self::Markdown),
            Some("tex") => Some(Self::Latex),
            Some("parquet") => Some(Self::Parquet),
            _ => None,
        };
        if json { Self::Json } else { asked.or(by_ending).unwrap_or(Self::Table) }
    }

    /// The form of text that it is; none: it is no text.
    pub fn text(self) -> Option<Format> {
        match self {
            Self::Table => Some(Format::Table),
            Self::Csv => Some(Format::Csv),
            Self::Json => Some(Format::Json),
            Self::Markdown => Some(Format::Markdown),
            Self::Latex => Some(Format::Latex),
            Self::Parquet => None,
        }
    }
}

/// Arguments of `results`.
#[derive(Debug, Args)]
pub struct Results {
    /// Name of a sweep, or NAME@REVISION [default: the one launched last; with --table all]
    #[arg(value_name = "SWEEP")]
    pub sweeps: Vec<String>,
    /// Form of the tables [default: as the ending of --output says, else table]
    #[arg(long, short, value_enum)]
    pub format: Option<Output>,
    /// An older revision of the sweep [default: the latest]
    #[arg(long, value_name = "N", conflicts_with = "table")]
    pub revision: Option<i64>,
    /// A row a trial instead of the report's cells
    #[arg(long)]
    pub trials: bool,
    /// Trials of this stage only; implies --trials
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<String>,
    /// The paper's Table 1, 2 or 3, filled with what these sweeps have for it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3), conflicts_with_all = ["trials", "stage", "compare"])]
    pub table: Option<u8>,
    /// Compare the values of this parameter pair by pair, with tests
    #[arg(long, value_name = "PARAMETER", conflicts_with_all = ["trials", "stage"])]
    pub compare: Option<String>,
    /// The value that the others are compared with [default: the best]
    #[arg(long, value_name = "VALUE", requires = "compare")]
    pub against: Option<String>,
    /// What stands beside a mean [default: as the report says]
    #[arg(long, value_enum)]
    pub spread: Option<Spread>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}
