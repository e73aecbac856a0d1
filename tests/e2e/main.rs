//! End-to-end tests on the real program.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod operations;
mod support;
mod training;
