//! The command line: one file a verb. What can be typed is in `args.rs`, what is printed goes through `ui.rs`, and what goes
//! wrong is a [`CliError`] with a cure and an exit code.

mod args;
mod bench;
mod completions;
mod connect;
mod control;
mod coordinator;
mod data;
mod devices;
mod diff;
mod doctor;
mod error;
mod explain;
mod export;
mod failures;
mod figure;
mod follow;
mod history;
mod launch;
mod logging;
mod logs;
mod mistyped;
mod output;
mod plan;
mod results;
mod run;
mod schema;
mod serve;
mod sql;
mod status;
mod top;
mod ui;
mod unwritable;
mod usage;
mod when;
mod which;
mod worker;

pub use args::Args;
pub use error::{CliError, exit};
pub use run::main;
