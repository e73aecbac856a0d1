//! Watching sweeps: the web page.

pub mod serve;
