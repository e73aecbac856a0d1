//! Watching: what runs, on what, and what comes of it.

pub mod top;
