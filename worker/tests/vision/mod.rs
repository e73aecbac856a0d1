//! What the tests of vision encoders share, and those that need no reference values.

pub mod bench;
mod bits;
mod inputs;
