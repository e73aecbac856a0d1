//! The results database: one writer that groups commits, and read-only readers.

mod change;
mod error;
mod figures;
mod live;
mod metrics;
mod open;
mod query;
mod reader;
mod results;
mod submit;
mod tables;
mod trials;
mod writer;

pub use change::{
    Change, EndedAttempt, NewSweep, NewWorker, PlannedRow, Progress, Recorded, Refused, ResultRows, StateChange,
};
pub use error::StoreError;
pub use figures::Subject;
pub use live::{CurvePoint, DeviceRow, DeviceTime, LogRow};
pub use query::{QueryResult, SqlValue};
pub use reader::{Payload, Reader};
pub use results::{
    FailureRow, ResultRow, RunningRow, StageCounts, StageRow, SweepProgress, SweepRow, WITHOUT_RESULT, WorkerRow,
};
pub use trials::{ArtifactRow, AttemptRow, EventRow, InputRow, PlaceRow, TrialDetail};
pub use writer::{Commit, Store};

/// Name of the database in a home folder.
pub const DATABASE: &str = "results.sqlite";
