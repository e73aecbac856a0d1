//! What devices do: `POST /v1/samples`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most samples in one [`Samples`].
pub const MAX_SAMPLES: usize = 600;
/// Most incidents in one [`Samples`].
pub const MAX_INCIDENTS: usize = 64;
/// The longest time that a sample may stand for, in milliseconds.
pub const MAX_SPAN_MS: u64 = 180_000;

/// What the device of a worker did. Sent also while nothing runs; it renews no lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Samples {
    /// Who sampled it.
    pub worker: Uuid,
    /// The worker's clock when this was sent, in milliseconds since 1970 UTC. All times below are by the same clock.
    pub sent_at: i64,
    /// The device.
    pub device: SampledDevice,
    /// At most [`MAX_SAMPLES`], in order of time.
    pub samples: Vec<Sample>,
    /// At most [`MAX_INCIDENTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Incident>,
}

/// A device, as its driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampledDevice {
    /// The card's own; empty for a processor.
    pub uuid: String,
    /// Model name of processor or card.
    pub model: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Most power in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit_w: Option<f64>,
    /// Version of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// A device at one moment. What it cannot tell is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The moment.
    pub at: i64,
    /// The time that it stands for, up to that moment, in milliseconds; 0: the first one, or one after a gap.
    pub span_ms: u64,
    /// Share of the time in which it computed, 0 to 1: of a card as its driver says; of a processor, the worker's own CPU time over
    /// that of its threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<f64>,
    /// Memory that is used, by whatever process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Of it, by the worker's own process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_memory_bytes: Option<u64>,
    /// Power in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_w: Option<f64>,
    /// Energy of the span in joules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_j: Option<f64>,
    /// Temperature in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    /// Clock of the multiprocessors in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_clock_mhz: Option<f64>,
    /// Clock of the memory in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_clock_mhz: Option<f64>,
    /// Reasons for which clocks are held down, separated by commas; none: there are none, or they are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<String>,
    /// Memory errors since the driver was loaded that were corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc_corrected: Option<u64>,
    /// Those that were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrected: Option<u64>,
    /// Processes that compute on it, of whatever program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Share of all processors of the host that was busy, 0 to 1, by whatever process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_utilisation: Option<f64>,
    /// Trials that the worker ran.
    pub members: u32,
}

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// When.
    pub at: i64,
    /// What.
    pub what: Happening,
}

/// What can happen to a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happening {
    /// The driver reported a critical error of that number.
    Xid(u64),
    /// The driver does not reach the card any more, and what it says.
    Lost(String),
    /// It reaches the card again.
    Back,
}

/// The coordinator's answer to [`Samples`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplesReply {
    /// Samples that were recorded.
    pub recorded: usize,
}
