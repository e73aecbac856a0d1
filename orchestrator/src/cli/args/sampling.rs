//! How often devices are sampled: an option of several verbs.

use std::time::Duration;

use clap::Args;

/// The shortest interval: a driver's own values change no faster.
const LEAST_MS: u64 = 50;
/// The longest.
const MOST_MS: u64 = 60_000;

/// How often devices are sampled.
#[derive(Clone, Copy, Debug, Args)]
pub struct Sampling {
    /// Sample utilisation, memory and power of devices each so many milliseconds; 0 switches it off
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = parse)]
    pub sample_ms: u64,
}

impl Sampling {
    /// The interval; zero: never.
    pub const fn interval(&self) -> Duration {
        Duration::from_millis(self.sample_ms)
    }
}

fn parse(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(ms) if ms == 0 || (LEAST_MS..=MOST_MS).contains(&ms) => Ok(ms),
        _ => Err(format!("not 0, nor in {LEAST_MS}..={MOST_MS}")),
    }
}
