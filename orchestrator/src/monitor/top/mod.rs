//! `permafrost top`: a sweep on a terminal, as it runs.
//!
//! A [`Snapshot`] is all that is known at one moment; [`Source`] reads one from the database, and never writes. [`State`] is
//! what a user looks at, changed by keys and by snapshots. [`draw`] is a function of it alone. [`run`] puts the three together.

mod draw;
mod fetch;
mod format;
mod input;
mod run;
mod snapshot;
mod state;
mod text;
mod theme;

#[cfg(test)]
mod tests;

pub use crate::monitor::coordinator::CoordinatorView;
pub use draw::draw;
pub use fetch::{Source, Wanted};
pub use run::{Commands, TopError, run};
pub use snapshot::{DeviceView, Nothing, RunningView, Snapshot, SweepView};
pub use state::{Action, Command, State};
pub use text::text;
pub use theme::Theme;
