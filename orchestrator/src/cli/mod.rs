//! The command line: one file a verb. What can be typed is in `args.rs`, what is printed goes through `ui.rs`, and what goes
//! wrong is a [`CliError`] with a cure and an exit code.

mod args;
mod bench;
mod completions;
mod connect;
mod control;
mod coordinator;
mod data;
mod doctor;
mod error;
mod explain;
mod failures;
mod figure;
mod follow;
mod launch;
mod logging;
mod logs;
mod plan;
mod results;
mod run;
mod schema;
mod sql;
mod status;
mod ui;
mod worker;

pub use args::Args;
pub use error::{CliError, exit};
pub use run::main;
