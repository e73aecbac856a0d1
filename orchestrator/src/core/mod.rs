//! The scheduler: a state machine of (state, event) -> (state, effects). It knows no clock, no IO and no chance, and nothing in
//! it depends on the order of a hash map: equal histories give equal effects.
//!
//! Time is milliseconds on whatever monotonic clock the caller has; a smaller time than before counts as the last one.

mod explain;
mod graph;
mod invariants;
mod lease;
mod machine;
mod types;

pub use explain::Explanation;
pub use invariants::Violation;
pub use machine::Core;
pub use types::{AttemptState, CoreError, Counts, Effect, End, Event, Limits, NewTrial, Refusal, Restored, TrialState};
