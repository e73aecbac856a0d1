//! Metrics for Prometheus, in the OpenMetrics text format: what the database says at the time of the scrape.
//!
//! Names follow Prometheus' conventions: a prefix, base units (seconds, bytes, joules, watts, hertz, ratios) at the end, `_total` for what
//! only grows. Series stay few: sweeps, stages, states, hosts and devices are labels; a trial is one only while it runs, and a bounded
//! number of them, because every trial that ever was would be a series that Prometheus keeps. What is said of trials that have ended is
//! in the database.

mod families;

use jiff::Timestamp;
use permafrost_worker::{PROGRAM_VERSION, task::Kind};
use prometheus_client::{encoding::text, registry::Registry};

use self::families::{Counters, Gauges};
use super::advice;
use crate::store::{DeviceState, Reader, StoreError};

/// The `Content-Type` of [`metrics`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Devices that were not sampled for so long are not told of, in milliseconds.
const GONE_MS: i64 = 300_000;
/// States of trials.
const STATES: [&str; 8] = ["waiting", "ready", "running", "done", "failed", "diverged", "pruned", "cancelled"];
/// States in which attempts have ended.
const ENDED: [&str; 6] = ["done", "failed", "diverged", "pre-empted", "lost", "cancelled"];

/// All metrics as text.
///
/// # Errors
/// [`StoreError`].
pub async fn metrics(reader: &Reader) -> Result<String, StoreError> {
    let mut registry = Registry::with_prefix("permafrost");
    let build = Gauges::new(&mut registry, "build_info", "Version of the program; the value is 1");
    build.set(&[("version", PROGRAM_VERSION)], 1.0);
    let size = Gauges::new(&mut registry, "database_size_bytes", "Size of the results database, without its log");
    size.set(&[], reader.size_bytes().await? as f64);
    trials(&mut registry, reader).await?;
    running(&mut registry, reader).await?;
    workers(&mut registry, reader).await?;
    let states = reader.device_states(GONE_MS).await?;
    devices(&mut registry, &states);
    health(&mut registry, &states);
    let found = Gauges::new(
        &mut registry,
        "device_finding",
        "What is wrong with a device, or worth knowing, such as idle or starved; the value is 1, and warning says whether to look at it",
    );
    for advice in advice::advice(reader).await? {
        let warning = if advice.warning { "true" } else { "false" };
        let labels = [
            ("host", &*advice.host),
            ("device", &advice.name),
            ("finding", advice.finding.name()),
            ("warning", warning),
        ];
        found.set(&labels, 1.0);
    }
    let mut document = String::new();
    text::encode(&mut document, &registry).map_err(|error| StoreError::Content(format!("metrics: {error}")))?;
    Ok(document)
}

/// Trials, sweeps and attempts.
async fn trials(registry: &mut Registry, reader: &Reader) -> Result<(), StoreError> {
    let trials = Gauges::new(registry, "trials", "Trials of all sweeps by state");
    // Series that begin with the first of their kind would hide it: nothing increases.
    for state in STATES {
        trials.set(&[("state", state)], 0.0);
    }
    for (state, count) in reader.count_trials().await? {
        trials.set(&[("state", &state)], count as f64);
    }
    let sweeps = Gauges::new(registry, "sweep_trials", "Trials of the latest revision of a sweep by stage and state");
    let rows = reader.count_sweeps().await?;
    for (row, state) in rows.iter().flat_map(|row| STATES.map(|state| (row, state))) {
        sweeps.set(&[("sweep", &*row.sweep), ("stage", &row.stage), ("state", state)], 0.0);
    }
    for row in rows {
        let labels = [("sweep", &*row.sweep), ("stage", &row.stage), ("state", &row.state)];
        sweeps.set(&labels, row.trials as f64);
    }
    let attempts = Counters::new(registry, "attempts", "Attempts that have ended, by kind of trial and how they ended");
    let seconds = Counters::new(
        registry,
        "attempt_seconds",
        "Time that attempts took, those of an array divided among its members, by kind of trial and how they ended",
    );
    for (kind, state) in Kind::ALL.into_iter().flat_map(|kind| ENDED.map(|state| (kind.name(), state))) {
        attempts.add(&[("kind", kind), ("state", state)], 0.0);
        seconds.add(&[("kind", kind), ("state", state)], 0.0);
    }
    for row in reader.count_attempts().await?.iter().filter(|row| ENDED.contains(&row.state.as_str())) {
        let labels = [("kind", &*row.kind), ("state", &row.state)];
        attempts.add(&labels, row.attempts as f64);
        seconds.add(&labels, row.seconds);
    }
    Ok(())
}

/// Trials that run.
async fn running(registry: &mut Registry, reader: &Reader) -> Result<(), StoreError> {
    let progress = Gauges::new(
        registry,
        "running_trial_progress_ratio",
        "Share of the work of a running trial that is done; a bounded number of trials, those that run longest",
    );
    let since =
        Gauges::new(registry, "running_trial_duration_seconds", "Time since the attempt of a running trial began");
    let metric = Gauges::new(
        registry,
        "running_trial_metric",
        "Latest value of a metric of a running trial, such as train_loss, in its own unit",
    );
    let running = reader.running_trials().await?;
    let now = Timestamp::now().as_millisecond();
    for trial in &running {
        let labels =
            [("trial", &*trial.short), ("kind", &trial.kind), ("host", &trial.host), ("device", &trial.device)];
        since.set(&labels, (now - trial.started).max(0) as f64 / 1e3);
        if trial.total_units > 0 {
            progress.set(&labels, trial.done_units as f64 / trial.total_units as f64);
        }
    }
    let rows: Vec<i64> = running.iter().map(|trial| trial.trial).collect();
    for value in reader.latest_values(&rows).await? {
        if let Some(trial) = running.iter().find(|trial| trial.trial == value.trial) {
            metric.set(&[("trial", &*trial.short), ("kind", &trial.kind), ("metric", &value.metric)], value.value);
        }
    }
    Ok(())
}

async fn workers(registry: &mut Registry, reader: &Reader) -> Result<(), StoreError> {
    let there = Gauges::new(registry, "workers", "Workers that are there, by device");
    let seen =
        Gauges::new(registry, "worker_last_seen_timestamp_seconds", "When a worker of the device was heard from last");
    let runs = Gauges::new(registry, "worker_trials", "Trials that the workers of a device run");
    for row in reader.count_workers().await? {
        let labels = [("host", &*row.host), ("device", &row.device)];
        there.set(&labels, row.workers as f64);
        seen.set(&labels, row.last_seen as f64 / 1e3);
        runs.set(&labels, row.running as f64);
    }
    Ok(())
}

/// What devices do.
fn devices(registry: &mut Registry, states: &[DeviceState]) {
    let info = Gauges::new(registry, "device_info", "A device that is sampled; the value is 1");
    for state in states {
        let driver = state.driver.as_deref().unwrap_or_default();
        let labels = [
            ("host", &*state.host),
            ("device", &state.name),
            ("uuid", &state.uuid),
            ("model", &state.model),
            ("driver", driver),
        ];
        info.set(&labels, 1.0);
    }
    type Value = fn(&DeviceState) -> Option<f64>;
    let gauges: [(&str, &str, Value); 12] = [
        ("device_utilisation_ratio", "Share of the time in which the device computed", |s| s.utilisation),
        ("device_memory_size_bytes", "Memory of the device", |s| Some(s.memory_bytes as f64)),
        ("device_memory_used_bytes", "Memory used on the device, by whatever process", |s| bytes(s.memory_used_bytes)),
        ("device_worker_memory_bytes", "Memory used on the device by its worker", |s| bytes(s.own_memory_bytes)),
        ("device_power_watts", "Power that the device draws", |s| s.power_w),
        ("device_power_limit_watts", "Most power that the device may draw", |s| s.power_limit_w),
        ("device_temperature_celsius", "Temperature of the device", |s| s.temperature_c),
        ("device_sm_clock_hertz", "Clock of the card's multiprocessors", |s| s.sm_clock_mhz.map(|mhz| mhz * 1e6)),
        ("device_memory_clock_hertz", "Clock of the card's memory", |s| s.memory_clock_mhz.map(|mhz| mhz * 1e6)),
        ("device_processes", "Processes that compute on the card, of whatever program", |s| {
            s.processes.map(|n| n as f64)
        }),
        ("device_host_utilisation_ratio", "Share of all processors of the device's host that was busy", |s| {
            s.host_utilisation
        }),
        ("device_last_sample_timestamp_seconds", "When the device was sampled last", |s| Some(s.at as f64 / 1e3)),
    ];
    for (name, help, value) in gauges {
        let gauge = Gauges::new(registry, name, help);
        for state in states {
            if let Some(value) = value(state) {
                gauge.set(&[("host", &*state.host), ("device", &state.name)], value);
            }
        }
    }
    let counters: [(&str, &str, Value); 3] = [
        ("device_observed_seconds", "Time for which the device was sampled", |s| Some(s.observed_s)),
        ("device_busy_seconds", "That part of it in which the device computed", |s| Some(s.busy_s)),
        ("device_energy_joules", "Energy that the device took meanwhile", |s| s.energy_j),
    ];
    for (name, help, value) in counters {
        let counter = Counters::new(registry, name, help);
        for state in states {
            if let Some(value) = value(state) {
                counter.add(&[("host", &*state.host), ("device", &state.name)], value);
            }
        }
    }
}

/// What is wrong with devices.
fn health(registry: &mut Registry, states: &[DeviceState]) {
    let throttled = Gauges::new(
        registry,
        "device_throttled",
        "A reason for which the card's clocks are held down, such as sw-power-cap or hw-thermal; the value is 1",
    );
    let ecc = Counters::new(registry, "device_ecc_errors", "Errors of the card's memory since its driver was loaded");
    let xid = Counters::new(registry, "device_xid_errors", "Critical errors (XID) that the card's driver reported");
    let last = Gauges::new(registry, "device_last_xid_number", "Number of the last critical error (XID)");
    for state in states {
        let labels = [("host", &*state.host), ("device", state.name.as_str())];
        for reason in state.throttle.iter().flat_map(|reasons| reasons.split(',')) {
            throttled.set(&[labels[0], labels[1], ("reason", reason)], 1.0);
        }
        for (kind, errors) in [("corrected", state.ecc_corrected), ("uncorrected", state.ecc_uncorrected)] {
            if let Some(errors) = errors {
                ecc.add(&[labels[0], labels[1], ("type", kind)], errors as f64);
            }
        }
        // A processor has none.
        if !state.uuid.is_empty() {
            xid.add(&labels, state.xid_errors as f64);
        }
        if let Some(number) = state.last_xid {
            last.set(&labels, number as f64);
        }
    }
}

fn bytes(value: Option<i64>) -> Option<f64> {
    value.map(|bytes| bytes as f64)
}
