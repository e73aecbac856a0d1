//! What devices did: recorded within bounds, told to people and to Prometheus, and judged.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod advice;
mod columns;
mod dashboard;
mod metrics;
mod recording;
mod support;
