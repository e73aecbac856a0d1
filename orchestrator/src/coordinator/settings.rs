//! What a coordinator is started with.

use std::{path::PathBuf, time::Duration};

/// Intervals. The defaults suit real training; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A lease not renewed for this long is lost.
    pub lease_ttl: Duration,
    /// Workers report at least this often.
    pub heartbeat: Duration,
    /// Workers write checkpoints about this often.
    pub checkpoint: Duration,
    /// How long a coordinator with nothing to do waits before it leaves.
    pub linger: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(30),
            heartbeat: Duration::from_secs(1),
            checkpoint: Duration::from_secs(30),
            linger: Duration::from_secs(1),
        }
    }
}

/// Everything a coordinator needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The home folder.
    pub home: PathBuf,
    /// Loopback port; 0 takes any that is free.
    pub port: u16,
    /// Devices of this machine that get a worker: `cpu`, `cuda:0`, ...
    pub devices: Vec<String>,
    /// Threads of a CPU worker; none: all cores.
    pub threads: Option<usize>,
    /// Wheels a user put there by hand.
    pub wheel_dir: Option<PathBuf>,
    /// How often workers sample their devices; zero: never.
    pub sample: Duration,
    /// Intervals.
    pub timing: Timing,
}
