//! The results database: one writer that groups commits, and read-only readers.

mod change;
mod columns;
mod console;
mod error;
mod lineage;
mod live;
mod metrics;
mod open;
mod overview;
mod query;
mod reader;
mod results;
mod submit;
mod tables;
mod timeline;
mod trials;
mod writer;

pub use change::{
    Change, EndedAttempt, NewSweep, NewWorker, PlannedRow, Progress, Recorded, Refused, ResultRows, StateChange,
};
pub use columns::{Column, NO_VALUE, PlanColumns, StageColumns, StageNames};
pub use console::{LimitedResult, QueryLimits};
pub use error::StoreError;
pub use lineage::{RelatedRow, TrialFacts, UsageRow};
pub use live::{CurvePoint, DeviceRow, DeviceTime, LogRow};
pub use overview::{Curve, FailureGroup, StageTime};
pub use query::{QueryResult, SqlValue};
pub use reader::{Payload, Reader};
pub use results::{
    FailureRow, ResultRow, RunningRow, StageCounts, StageRow, SweepProgress, SweepRow, WITHOUT_RESULT, WorkerRow,
};
pub use timeline::{ArrayRow, DeviceBucket, Follower, Glance, KnownDevice};
pub use trials::{ArtifactRow, AttemptRow, EventRow, InputRow, PlaceRow, TrialDetail};
pub use writer::{Commit, Store};

/// Name of the database in a home folder.
pub const DATABASE: &str = "results.sqlite";
