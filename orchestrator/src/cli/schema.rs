//! `permafrost schema`.

use super::{error::CliError, ui};

/// Prints the JSON Schema of sweep files.
pub(super) fn run() -> Result<(), CliError> {
    ui::out(format_args!("{:#}", crate::sweep::schema()))
}
