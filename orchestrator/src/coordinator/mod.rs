//! The coordinator: drives the scheduler core and the store, and serves the HTTP API.
//!
//! One task, the actor, owns the core. Requests reach it through one channel, so their order is the order of everything; what
//! the core decides goes to the store in that same order, and a request is answered once that is on disk.

mod actor;
pub mod api;
mod check;
mod effects;
mod home;
mod http;
mod message;
pub mod offline;
mod server;
mod settings;
mod submit;

pub use home::HomeError;
pub use server::{CoordinatorError, run};
pub use settings::{Settings, Timing};
