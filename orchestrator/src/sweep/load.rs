//! The way from a path to a plan.

use std::{fs, path::Path};

use super::{check::Check, error::SweepErrors, plan, read, types::Plan, yaml};

/// Largest sweep file.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the sweep file at `path` and plans it.
///
/// # Errors
/// Everything that is wrong with it, each with its place and a cure.
pub fn load(path: &Path) -> Result<Plan, SweepErrors> {
    let unreadable = |error: &std::io::Error| SweepErrors::unreadable(path, error);
    let metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if metadata.len() > MAX_BYTES {
        let error =
            std::io::Error::other(format!("it has {} bytes, a sweep file has at most {MAX_BYTES}", metadata.len()));
        return Err(unreadable(&error));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unreadable(&std::io::Error::other(format!("it is not UTF-8 text: byte {at} belongs to no character")))
    })?;
    parse(path, &text)
}

/// Plans the sweep file with this text; `path` is its name in diagnostics.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str) -> Result<Plan, SweepErrors> {
    let root = yaml::parse(text).map_err(|problem| SweepErrors::new(path, text, vec![problem]))?;
    let mut check = Check::default();
    let file = read::file(&root, &mut check);
    let planned = if check.problems.is_empty() { plan::plan(&file, text, &mut check) } else { None };
    match planned {
        Some(plan) if check.problems.is_empty() => Ok(plan),
        _ => Err(SweepErrors::new(path, text, check.problems)),
    }
}
