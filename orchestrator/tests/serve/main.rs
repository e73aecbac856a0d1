//! The page's server over HTTP: what it answers, whom, and how it bears what users do.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "../../benches/serve/database.rs"]
mod database;

mod access;
mod answers;
mod console;
mod figures;
mod live;
mod support;
mod sweeps;
