//! Devices that are sampled now, for people.

use super::{error::CliError, ui, usage};
use crate::{
    monitor::advice::{self, Advice},
    store::{DeviceState, Reader, StoreError},
};

/// Devices that were not sampled for so long are not told of, in milliseconds.
const RECENT_MS: i64 = 60_000;

/// Devices, and what is to be said of them.
pub(super) struct Devices {
    pub(super) states: Vec<DeviceState>,
    pub(super) advice: Vec<Advice>,
}

/// Devices that are sampled now.
pub(super) async fn now(reader: &Reader) -> Result<Devices, StoreError> {
    let states = reader.device_states(RECENT_MS).await?;
    let mut advice = advice::advice(reader).await?;
    advice.retain(|advice| states.iter().any(|state| state.device == advice.device));
    Ok(Devices { states, advice })
}

impl Devices {
    /// A line a device, and a line a finding; nothing where nothing is sampled.
    pub(super) fn print(&self) -> Result<(), CliError> {
        if self.states.is_empty() {
            return Ok(());
        }
        let nothing = || "-".to_owned();
        let gb = |bytes: Option<i64>| bytes.map_or_else(nothing, |bytes| format!("{:.1}", bytes as f64 / 1e9));
        let row = |state: &DeviceState| {
            vec![
                state.name.clone(),
                state.host.clone(),
                state.utilisation.map_or_else(nothing, usage::percent),
                format!("{} of {} GB", gb(state.memory_used_bytes), gb(Some(state.memory_bytes))),
                state.power_w.map_or_else(nothing, |watts| match state.power_limit_w {
                    Some(limit) => format!("{watts:.0} of {limit:.0} W"),
                    None => format!("{watts:.0} W"),
                }),
                state.temperature_c.map_or_else(nothing, |degrees| format!("{degrees:.0} °C")),
                state.throttle.clone().unwrap_or_else(nothing),
                state.members.to_string(),
            ]
        };
        let headers = ["device", "host", "utilisation", "memory", "power", "temperature", "throttled", "trials"];
        let rows = self.states.iter().map(row).collect();
        ui::out(format_args!("\n{}", ui::grid(&headers, rows, &[2, 3, 4, 5, 7])))?;
        for advice in &self.advice {
            let mark = if advice.warning { "warning" } else { "note" };
            ui::out(format_args!("{mark}: {} on {}: {}", advice.name, advice.host, advice.text))?;
            if let Some(cure) = &advice.cure {
                ui::out(format_args!("  hint: {cure}"))?;
            }
        }
        Ok(())
    }
}
