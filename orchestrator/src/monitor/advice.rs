//! Devices that are idle or starved, and the likely cause, from what was sampled in the last minutes.

mod rules;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

pub use self::rules::advise;
use crate::store::{DeviceIncident, DeviceState, Reader, StoreError, Watched, Work};

/// The time that is looked at, in milliseconds.
pub const WINDOW_MS: i64 = 120_000;
/// Incidents of the last hour are told.
const INCIDENTS_MS: i64 = 3_600_000;

/// What is wrong with a device, or worth knowing. The name is that in metrics and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// There is nothing to run.
    Idle,
    /// Trials are there, and none of them can run now.
    IdleWaiting,
    /// Trials could run, and the worker takes none.
    IdleReady,
    /// It runs trials that do not compute on it.
    HostWork,
    /// It runs trials, and computes little.
    Starved,
    /// Other programs compute on it.
    Shared,
    /// Its clocks are held down by heat, or by the board's protection.
    Throttled,
    /// Its clocks are held down by its power limit.
    PowerCap,
    /// Its memory is full.
    MemoryFull,
    /// Its memory has errors.
    MemoryErrors,
    /// Its driver reported a critical error within the last hour.
    CriticalError,
    /// Its driver does not reach it any more.
    Lost,
}

impl Finding {
    /// The name in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::IdleWaiting => "idle-waiting",
            Self::IdleReady => "idle-ready",
            Self::HostWork => "host-work",
            Self::Starved => "starved",
            Self::Shared => "shared",
            Self::Throttled => "throttled",
            Self::PowerCap => "power-cap",
            Self::MemoryFull => "memory-full",
            Self::MemoryErrors => "memory-errors",
            Self::CriticalError => "critical-error",
            Self::Lost => "lost",
        }
    }

    /// Whether somebody should look at it, rather than know it.
    pub const fn is_warning(self) -> bool {
        !matches!(self, Self::Idle | Self::HostWork | Self::Shared | Self::PowerCap)
    }
}

/// One finding about one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// Its row.
    pub device: i64,
    /// Host.
    pub host: String,
    /// `cpu`, `cuda:0`, ...
    pub name: String,
    /// What was found.
    pub finding: Finding,
    /// Somebody should look at it.
    pub warning: bool,
    /// What was seen and its likely cause, for people.
    pub text: String,
    /// What to do about it.
    pub cure: Option<String>,
}

/// What is known of a device.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// The device and its last sample.
    pub state: DeviceState,
    /// Its samples of the last [`WINDOW_MS`], in order.
    pub samples: Vec<Watched>,
    /// Kinds of the trials that its worker runs, each with their number.
    pub running: BTreeMap<String, i64>,
    /// Threads of its worker; 0: not known.
    pub threads: i64,
    /// What happened to it in the last hour, in order.
    pub incidents: Vec<DeviceIncident>,
}

/// Devices of the last hour, as advice sees them, and the work that there is.
///
/// # Errors
/// [`StoreError`].
pub async fn views(reader: &Reader) -> Result<(Vec<DeviceView>, Work), StoreError> {
    let now = Timestamp::now().as_millisecond();
    let mut samples: HashMap<i64, Vec<Watched>> = HashMap::new();
    for sample in reader.watched(now - WINDOW_MS).await? {
        samples.entry(sample.device).or_default().push(sample);
    }
    let kinds = reader.running_kinds().await?;
    let incidents = reader.device_incidents(now - INCIDENTS_MS).await?;
    let view = |state: DeviceState| {
        let own = |host: &str, name: &str| host == state.host && name == state.name;
        let runs = || kinds.iter().filter(|kind| own(&kind.host, &kind.name));
        DeviceView {
            samples: samples.remove(&state.device).unwrap_or_default(),
            running: runs().map(|kind| (kind.kind.clone(), kind.running)).collect(),
            threads: runs().map(|kind| kind.threads).max().unwrap_or(0),
            incidents: incidents.iter().filter(|incident| own(&incident.host, &incident.name)).cloned().collect(),
            state,
        }
    };
    let views = reader.device_states(INCIDENTS_MS).await?.into_iter().map(view).collect();
    Ok((views, reader.work().await?))
}

/// What is wrong with the devices that are sampled now, or worth knowing.
///
/// # Errors
/// [`StoreError`].
pub async fn advice(reader: &Reader) -> Result<Vec<Advice>, StoreError> {
    let (views, work) = views(reader).await?;
    let now = Timestamp::now().as_millisecond();
    Ok(views.iter().flat_map(|view| advise(view, work, now)).collect())
}
