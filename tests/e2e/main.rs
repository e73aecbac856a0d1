//! End-to-end tests on the real program.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]
#![expect(clippy::print_stderr, reason = "seeds are printed so that a failure can be repeated")]

mod bench;
mod commands;
mod data;
mod exports;
mod figures;
mod history;
mod monitor;
mod operations;
mod pixels;
mod serve;
#[path = "../../orchestrator/benches/serve/database.rs"]
mod serve_database;
mod support;
mod top;
mod training;
