//! Arguments of `history`.

use std::path::PathBuf;

use clap::Args;

use super::Output;

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Names of sweeps [default: all]
    #[arg(value_name = "SWEEP")]
    pub sweeps: Vec<String>,
    /// Sweeps with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Launched at or after: 2026-03-01, 2026-03-01T12:00, or an age such as 7d or 12h
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Launched before
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Sweeps that this version of the program ran in part
    #[arg(long, value_name = "VERSION")]
    pub program: Option<String>,
    /// Sweeps on this data: a reader such as rsna, or the first digits of a fingerprint
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// One result, such as auroc, or stage.auroc: each cell of equal parameters over time, data and program
    #[arg(long, value_name = "RESULT")]
    pub metric: Option<String>,
    /// With --metric: only cells that were made more than once
    #[arg(long, requires = "metric")]
    pub changed: bool,
    /// Form of the table
    #[arg(long, short, value_enum)]
    pub format: Option<Output>,
    /// Write to this file instead
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}
