//! `permafrost completions`.

use clap::CommandFactory;

use super::args::{Args, Completions};

/// Prints completions for a shell.
pub(super) fn run(args: &Completions) {
    let mut command = Args::command();
    clap_complete::generate(args.shell, &mut command, "permafrost", &mut std::io::stdout());
}
