//! The results database: one writer that groups commits, and read-only readers.

mod change;
mod columns;
mod console;
mod devices;
mod error;
mod export;
mod figures;
mod history;
mod lineage;
mod live;
mod metrics;
mod open;
mod overview;
mod progress;
mod query;
mod reader;
mod results;
mod scrape;
mod submit;
mod tables;
mod timeline;
mod top;
mod trials;
mod usage;
mod watch;
mod words;
mod writer;

pub use change::{
    Change, DeviceNews, EndedAttempt, NewSweep, NewWorker, PlannedRow, Progress, Recorded, Refused, ResultRows,
    StateChange,
};
pub use columns::{Column, NO_VALUE, PlanColumns, StageColumns, StageNames};
pub use console::{LimitedResult, QueryLimits};
pub use error::StoreError;
pub use export::{ExportAttempt, ExportPoint, ExportTrial};
pub use figures::Subject;
pub use history::{MadeRow, PlacedRow, SpanRow};
pub use lineage::{AttemptUsage, RelatedRow, TrialFacts};
pub use live::{CurvePoint, LogRow};
pub use overview::{Curve, FailureGroup, StageTime};
pub use progress::{RunningTrial, StageCounts, SweepProgress, WITHOUT_RESULT, WorkRow};
pub use query::{QueryResult, SqlValue};
pub use reader::{Payload, Reader};
pub use results::{FailureRow, ResultRow, SweepRow, WorkerRow};
pub use scrape::{AttemptCount, LatestValue, ScrapedTrial, SweepCount, WorkerCount};
pub use timeline::{ActiveSpan, ArrayRow, DeviceBucket, Follower, Glance, KnownDevice};
pub use top::{Listed, SweepName, Tail, TrialLine};
pub use trials::{ArtifactRow, AttemptRow, EventRow, InputRow, LACKS, PlaceRow, TrialDetail};
pub use watch::{DeviceIncident, DeviceState, RunningKind, TrialUsage, Watched, Work};
pub use words::Words;
pub use writer::{Commit, Store};

/// Name of the database in a home folder.
pub const DATABASE: &str = "results.sqlite";
