//! The embedding cache: what is written is read in every dtype, damage is found and only that made again, imports are checked.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod format;
mod imports;
mod python;
mod resume;
mod support;
