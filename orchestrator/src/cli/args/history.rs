//! Arguments of `history`.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use crate::sweep::READERS;

/// Fewer digits of a fingerprint would fit too many.
const LEAST_DIGITS: usize = 4;

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
    #[arg(long, value_name = "DATA", value_parser = data)]
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

/// A reader, or the first digits of a fingerprint.
fn data(text: &str) -> Result<String, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if READERS.contains(&text) || digits && text.len() >= LEAST_DIGITS {
        return Ok(text.to_owned());
    }
    Err(format!("must be a reader ({}) or at least {LEAST_DIGITS} digits of a fingerprint", READERS.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_readers_or_fingerprints() {
        assert!(data("rsna").is_ok() && data("95f6").is_ok() && data("95f6c34756ab").is_ok());
        for wrong in ["", "1", "95f", "chexpert", "95g6c"] {
            assert!(data(wrong).unwrap_err().contains("open-i"), "{wrong}");
        }
    }
}
