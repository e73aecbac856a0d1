//! What the device of this worker does, sampled: a card through NVML, the driver's own library, a processor through the system.
//!
//! A thread of its own asks, because a driver may take its time; nothing here can hold up the work on the device.

mod card;
mod nvml;
mod processor;
mod sampler;
mod throttle;
mod xid;

pub(crate) use nvml::card_of;
pub use nvml::{Card, LIBRARY, cards};
pub use sampler::{Batch, Sampler, Subject};
pub use xid::meaning as xid_meaning;
