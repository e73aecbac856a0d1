//! What a trial took of its devices, for people.

use super::ui;
use crate::store::{AttemptRow, TrialDetail, TrialUsage};

/// Joules in a kilowatt hour.
const KWH_J: f64 = 3.6e6;

/// A line an attempt, and one for all where there are several.
pub(super) fn of_trial(trial: &TrialDetail) -> String {
    if trial.attempts.iter().all(|attempt| attempt.samples.is_none()) {
        return "device use  not sampled: the trial was too short for the first sample, or sampling was off (--sample-ms 0)".to_owned();
    }
    let mut rows: Vec<Vec<String>> = trial.attempts.iter().map(attempt).collect();
    if let Some(usage) = trial.usage.as_ref().filter(|_| trial.attempts.len() > 1) {
        let short = usage.samples == 0;
        rows.push(row(
            "all",
            Some(usage.samples),
            usage.utilisation,
            usage.device_hours * 3600.0,
            usage.energy_j,
            usage.memory_peak_bytes,
            short,
        ));
    }
    ui::grid(
        &["device use", "samples", "utilisation", "device time", "energy", "peak memory"],
        rows,
        &[0, 1, 2, 3, 4, 5],
    )
}

fn attempt(attempt: &AttemptRow) -> Vec<String> {
    let number = attempt.attempt.to_string();
    let Some(device_s) = attempt.device_s else {
        return std::iter::once(number).chain(["-", "not sampled", "-", "-", "-"].map(str::to_owned)).collect();
    };
    let short = attempt.samples == Some(0);
    row(&number, attempt.samples, attempt.utilisation, device_s, attempt.energy_j, attempt.memory_peak_bytes, short)
}

fn row(
    name: &str,
    samples: Option<i64>,
    utilisation: Option<f64>,
    device_s: f64,
    energy_j: Option<f64>,
    memory: Option<i64>,
    short: bool,
) -> Vec<String> {
    let nothing = || "-".to_owned();
    vec![
        name.to_owned(),
        samples.map_or_else(nothing, |samples| samples.to_string()),
        match utilisation {
            _ if short => "too short".to_owned(),
            Some(share) => percent(share),
            None => nothing(),
        },
        device_time(device_s),
        energy_j.map_or_else(nothing, energy),
        memory.map_or_else(nothing, |bytes| ui::bytes(bytes.unsigned_abs())),
    ]
}

/// What a sweep took, in a line.
pub(super) fn of_sweep(total: &TrialUsage, reused: bool) -> String {
    let mut parts = vec![device_time(total.device_hours * 3600.0)];
    parts.extend(total.utilisation.map(|share| format!("{} of it computing", percent(share))));
    parts.extend(total.energy_j.map(energy));
    let with = if reused { " (with the trials that are reused)" } else { "" };
    format!("device time{with}: {}", parts.join(", "))
}

/// A share for people.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Seconds of a device, which may be few, or hours of it.
fn device_time(seconds: f64) -> String {
    match seconds {
        0.0..60.0 => format!("{seconds:.2} s"),
        60.0..3600.0 => ui::duration((seconds * 1000.0) as i64),
        _ => format!("{:.2} h", seconds / 3600.0),
    }
}

fn energy(joules: f64) -> String {
    match joules {
        0.0..1e4 => format!("{joules:.0} J"),
        1e4..KWH_J => format!("{:.0} kJ", joules / 1e3),
        _ => format!("{:.2} kWh", joules / KWH_J),
    }
}
