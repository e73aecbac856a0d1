//! What the tests of encoders share, and those that need no reference values.

pub mod bench;
mod bits;
mod inputs;
mod sources;
