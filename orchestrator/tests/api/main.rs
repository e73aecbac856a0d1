//! The HTTP API answers whatever comes, and the coordinator goes on; several workers share the work without a mistake.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod fencing;
mod plans;
mod refusals;
mod reports;
mod samples;
mod support;
mod workers;
