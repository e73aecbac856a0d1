//! Sweep files: YAML to a plan of trials, with diagnostics that name line and cure. Pure, but for looking whether the
//! files of users are there.

mod types;

pub use types::{MAX_TRIALS, Missing, Plan, PlannedTrial, ReportSpec, StagePlan};
