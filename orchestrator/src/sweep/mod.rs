//! Sweep files: YAML to a plan of trials, with diagnostics that name line and cure. Pure, but for looking whether the
//! files of users are there. `docs/sweep-files.md` is the manual.

mod check;
mod error;
mod file;
mod keys;
mod load;
mod plan;
mod read;
mod registry;
mod report;
mod schema;
mod search;
mod stages;
mod types;
mod yaml;

pub use error::{Problem, SweepErrors};
pub use load::{load, parse};
pub use schema::schema;
pub use types::{MAX_TRIALS, Missing, Plan, PlannedTrial, ReportSpec, StagePlan};
