//! Sweep files: YAML to a plan of trials, with diagnostics that name line and cure. Pure, but for looking at the files of
//! users, and asking the hub for the commit of a branch. `docs/sweep-files.md` is the manual.

mod axes;
mod check;
mod datasets;
mod encoders;
mod error;
mod figures;
mod file;
mod keys;
mod load;
mod plan;
mod read;
mod registry;
mod report;
pub mod room;
mod schema;
mod search;
mod stages;
mod types;
mod yaml;

pub use error::{Problem, SweepErrors};
pub use figures::WIDTHS_MM as FIGURE_WIDTHS_MM;
pub use load::{load, parse};
pub(crate) use registry::READERS;
pub use registry::model_of as encoder_of_repository;
pub use schema::schema;
pub(crate) use stages::usually_maximized;
pub use types::{
    FigureKind, FigureSpec, MAX_TRIALS, Missing, Plan, PlannedTrial, ReportSpec, Spread, StagePlan, Theme,
};
