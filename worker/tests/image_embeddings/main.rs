//! Images of a collection through the encoders, to the files of their embeddings.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod damaged;
mod outputs;
mod resume;
mod support;
