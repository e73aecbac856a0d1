//! Whole training runs on small data: what is wrong with inputs is said, divergence stays alone, and resuming changes no bit.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod classes;
mod diverged;
mod embeddings;
mod project;
mod resume;
mod support;
