//! Tables to standard output or to a file, in the form that was asked for.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
};

use super::{args::Output, error::CliError, ui, unwritable::unwritable};
use crate::report::{Format, Table, render, to_parquet};

/// Writes tables. `json` makes the document of a verb out of them.
///
/// # Errors
/// [`CliError`]: a file that cannot be written, or bytes for a terminal.
pub(super) fn write(
    tables: &[Table],
    format: Output,
    path: Option<&Path>,
    json: impl FnOnce() -> serde_json::Value,
) -> Result<(), CliError> {
    let text = match format.text() {
        None => return bytes(&to_parquet(tables)?, path),
        Some(Format::Json) => format!("{:#}", json()),
        Some(format) => render(tables, format, ui::style()),
    };
    match path {
        None => ui::out(text.trim_end()),
        Some(path) => saved(path, format!("{}\n", text.trim_end()).as_bytes()),
    }
}

fn bytes(bytes: &[u8], path: Option<&Path>) -> Result<(), CliError> {
    if let Some(path) = path {
        return saved(path, bytes);
    }
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        let cure = "add --output FILE, or send it into a pipe".to_owned();
        return Err(CliError::Usage { what: "Parquet is not for a terminal".to_owned(), cure });
    }
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Io { action: "write", path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

fn saved(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    fs::write(path, bytes).map_err(unwritable(path, "--output"))
}
