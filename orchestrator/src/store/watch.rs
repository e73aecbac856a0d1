//! What devices do and what trials take of them, for all who watch.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::FromRow;

use super::{error::StoreError, reader::Reader, tables::now_ms};

/// Devices that are told of at once; a bound on what a page or a scrape can become.
const MAX_DEVICES: i64 = 1_000;
/// Samples that are looked at in one go: an hour of some hundred devices in minutes is far less.
const MAX_SAMPLES: i64 = 500_000;
/// Incidents that are told.
const MAX_INCIDENTS: i64 = 1_000;

/// A device, all that is known of it, and its last sample.
#[derive(Clone, Debug, Default, Serialize, FromRow)]
pub struct DeviceState {
    /// Its row.
    pub device: i64,
    /// Host.
    pub host: String,
    /// `cpu`, `cuda:0`, ...
    pub name: String,
    /// The card's own; empty for a processor.
    pub uuid: String,
    /// Model of processor or card.
    pub model: String,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Most power in watts.
    pub power_limit_w: Option<f64>,
    /// Version of the driver.
    pub driver: Option<String>,
    /// Seconds for which there were samples, ever.
    pub observed_s: f64,
    /// Those of them in which it computed.
    pub busy_s: f64,
    /// Joules meanwhile.
    pub energy_j: Option<f64>,
    /// Critical errors that the driver reported.
    pub xid_errors: i64,
    /// The number of the last one.
    pub last_xid: Option<i64>,
    /// When it was sampled last, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Share of the time in which it computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Memory used in bytes, by whatever process.
    pub memory_used_bytes: Option<i64>,
    /// Memory used in bytes by its worker.
    pub own_memory_bytes: Option<i64>,
    /// Power in watts.
    pub power_w: Option<f64>,
    /// Temperature in degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Clock of the multiprocessors in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Clock of the memory in MHz.
    pub memory_clock_mhz: Option<f64>,
    /// Reasons for which clocks are held down, separated by commas.
    pub throttle: Option<String>,
    /// Memory errors that were corrected since the driver was loaded.
    pub ecc_corrected: Option<i64>,
    /// Those that were not.
    pub ecc_uncorrected: Option<i64>,
    /// Processes that compute on it.
    pub processes: Option<i64>,
    /// Share of all processors of its host that was busy, 0 to 1.
    pub host_utilisation: Option<f64>,
    /// Trials that its worker ran.
    pub members: i64,
}

/// A sample, as far as those who watch look at it.
#[derive(Clone, Debug, Default, PartialEq, FromRow)]
pub struct Watched {
    /// Device.
    pub device: i64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Share of the time in which it computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Memory used in bytes.
    pub memory_used_bytes: Option<i64>,
    /// Reasons for which clocks are held down.
    pub throttle: Option<String>,
    /// Memory errors that were not corrected.
    pub ecc_uncorrected: Option<i64>,
    /// Processes that compute on it.
    pub processes: Option<i64>,
    /// Share of all processors of its host that was busy, 0 to 1.
    pub host_utilisation: Option<f64>,
    /// Trials that its worker ran.
    pub members: i64,
}

/// Trials that have not ended, of all sweeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct Work {
    /// They wait for inputs.
    pub waiting: i64,
    /// They could run now ...
    pub ready: i64,
    /// ... or wait before their next attempt.
    pub delayed: i64,
    /// They run.
    pub running: i64,
}

/// What the worker of a device runs: trials of one kind.
#[derive(Clone, Debug, FromRow)]
pub struct RunningKind {
    /// Host.
    pub host: String,
    /// Name of the device.
    pub name: String,
    /// Threads of its worker.
    pub threads: i64,
    /// Kind.
    pub kind: String,
    /// Attempts.
    pub running: i64,
}

/// Something that happened to a device.
#[derive(Clone, Debug, FromRow)]
pub struct DeviceIncident {
    /// Host.
    pub host: String,
    /// Name of the device.
    pub name: String,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// `xid`, `device-lost` or `device-back`.
    pub kind: String,
    /// For people.
    pub detail: String,
}

/// What a trial took of its devices, with all attempts that it needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, FromRow)]
pub struct TrialUsage {
    /// Samples that were taken while it ran. 0: it was too short, and utilisation and memory are not known.
    pub samples: i64,
    /// Mean share of the time in which the device computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Hours of the device.
    pub device_hours: f64,
    /// Joules; none: the device does not tell its power.
    pub energy_j: Option<f64>,
    /// Most memory that the worker used meanwhile, in bytes.
    pub memory_peak_bytes: Option<i64>,
}

/// Columns of [`TrialUsage`] over rows of `attempt_usage`. As the view `trial_usage`, which would be computed whole for one trial; and the
/// utilisation of a trial that was too short for a sample is not told.
macro_rules! usage_columns {
    () => {
        "sum(u.samples) AS samples,
         CASE WHEN sum(u.samples) > 0 AND sum(u.device_s) > 0 THEN sum(u.busy_s) / sum(u.device_s) END AS utilisation,
         sum(u.device_s) / 3600.0 AS device_hours, sum(u.energy_j) AS energy_j, max(u.memory_peak_bytes) AS memory_peak_bytes"
    };
}

impl Reader {
    /// Devices that were sampled within the last `within_ms` milliseconds, with all that is known of them, by host and name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device_states(&self, within_ms: i64) -> Result<Vec<DeviceState>, StoreError> {
        // CROSS: a device first, then its samples by their key; SQLite would read all samples.
        sqlx::query_as(
            "SELECT d.*, s.* FROM devices d CROSS JOIN device_samples s
             WHERE s.device = d.device AND s.at = (SELECT max(l.at) FROM device_samples l WHERE l.device = d.device) AND s.at >= ?
             ORDER BY d.host, length(d.name), d.name LIMIT ?",
        )
        .bind(now_ms() - within_ms)
        .bind(MAX_DEVICES)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Samples of all devices since then, by device and time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn watched(&self, since: i64) -> Result<Vec<Watched>, StoreError> {
        sqlx::query_as(
            "SELECT s.device, s.at, s.utilisation, s.memory_used_bytes, s.throttle, s.ecc_uncorrected, s.processes, s.host_utilisation,
                    s.members
             FROM devices d JOIN device_samples s ON s.device = d.device AND s.at >= ? ORDER BY s.device, s.at LIMIT ?",
        )
        .bind(since)
        .bind(MAX_SAMPLES)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Trials that have not ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn work(&self) -> Result<Work, StoreError> {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM trials WHERE state = 'waiting') AS waiting,
                    (SELECT count(*) FROM trials WHERE state = 'ready' AND coalesce(not_before, 0) <= ?1) AS ready,
                    (SELECT count(*) FROM trials WHERE state = 'ready' AND not_before > ?1) AS delayed,
                    (SELECT count(*) FROM trials WHERE state = 'running') AS running",
        )
        .bind(now_ms())
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// What runs, by device and kind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running_kinds(&self) -> Result<Vec<RunningKind>, StoreError> {
        sqlx::query_as(
            "SELECT w.host, w.device AS name, max(w.threads) AS threads, t.kind, count(*) AS running
             FROM attempts a JOIN workers w USING (worker) JOIN trials t USING (trial)
             WHERE a.state = 'running' GROUP BY w.host, w.device, t.kind",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// What happened to devices since then, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device_incidents(&self, since: i64) -> Result<Vec<DeviceIncident>, StoreError> {
        // Events have no index by time; those that are kept are in order of time, and the last ones are found from the end.
        sqlx::query_as(
            "SELECT host, name, at, kind, detail FROM (
                 SELECT e.event, w.host, w.device AS name, e.at, e.kind, e.detail FROM events e JOIN workers w USING (worker)
                 WHERE e.kind IN ('xid', 'device-lost', 'device-back') AND e.at >= ? ORDER BY e.event DESC LIMIT ?
             ) ORDER BY event",
        )
        .bind(since)
        .bind(MAX_INCIDENTS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// What a trial took; none: nothing is known of it.
    pub(super) async fn usage(&self, row: i64) -> Result<Option<TrialUsage>, StoreError> {
        sqlx::query_as(concat!("SELECT ", usage_columns!(), " FROM attempt_usage u WHERE u.trial = ? GROUP BY u.trial"))
            .bind(row)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }

    /// What all trials of a sweep took together, shared ones included; none: nothing is known of any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_total(&self, sweep: i64) -> Result<Option<TrialUsage>, StoreError> {
        sqlx::query_as(concat!(
            "SELECT ",
            usage_columns!(),
            " FROM attempt_usage u WHERE u.trial IN (SELECT st.trial FROM sweep_trials st WHERE st.sweep = ?) HAVING count(*) > 0"
        ))
        .bind(sweep)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// What each trial of a sweep took, by identity, as far as that is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_usage(&self, sweep: i64) -> Result<HashMap<String, TrialUsage>, StoreError> {
        #[derive(FromRow)]
        struct Row {
            trial_id: String,
            #[sqlx(flatten)]
            usage: TrialUsage,
        }
        let rows: Vec<Row> = sqlx::query_as(concat!(
            "SELECT t.id AS trial_id, ",
            usage_columns!(),
            " FROM attempt_usage u JOIN trials t USING (trial)
             WHERE u.trial IN (SELECT st.trial FROM sweep_trials st WHERE st.sweep = ?) GROUP BY u.trial"
        ))
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().map(|row| (row.trial_id, row.usage)).collect())
    }
}
