//! End-to-end tests on the real program.

mod operations;
mod support;
mod training;
