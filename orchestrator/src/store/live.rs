//! What `top` and the page follow: devices, curves and events.

use permafrost_worker::id::TrialId;
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;

use super::{error::StoreError, reader::Reader, tables::now_ms};

/// A device with its last sample. What it cannot tell is none.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct DeviceRow {
    /// Its row.
    pub device: i64,
    /// Host.
    pub host: String,
    /// `cpu`, `cuda:0`, ...
    pub name: String,
    /// Model of processor or card.
    pub model: String,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Most power in watts.
    pub power_limit_w: Option<f64>,
    /// When it was sampled last, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Share of the time in which it computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Memory used in bytes.
    pub memory_used_bytes: Option<i64>,
    /// Power in watts.
    pub power_w: Option<f64>,
    /// Temperature in degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Clock of the multiprocessors in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Reasons for which clocks are held down, separated by commas.
    pub throttle: Option<String>,
    /// Trials that its worker ran.
    pub members: i64,
}

/// A sample of a device.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct DeviceTime {
    /// Device.
    pub device: i64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Share of the time in which it computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Memory used in bytes.
    pub memory_used_bytes: Option<i64>,
    /// Power in watts.
    pub power_w: Option<f64>,
}

/// One value of a metric over time.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct CurvePoint {
    /// Trial.
    pub id: String,
    /// Metric.
    pub metric: String,
    /// Step.
    pub step: i64,
    /// Value.
    pub value: f64,
}

/// Something that happened, to whom.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct LogRow {
    /// Counts up.
    pub event: i64,
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// What kind.
    pub kind: String,
    /// The trial it is about.
    pub id: Option<String>,
    /// The attempt it is about.
    pub attempt: Option<u32>,
    /// For people.
    pub detail: Option<String>,
}

impl Reader {
    /// Devices that were sampled within the last `within_ms` milliseconds, with their last sample, by host and name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn devices(&self, within_ms: i64) -> Result<Vec<DeviceRow>, StoreError> {
        // CROSS: a device first, then its samples by their key; SQLite would read all samples.
        sqlx::query_as(
            "SELECT d.device, d.host, d.name, d.model, d.memory_bytes, d.power_limit_w, s.at, s.utilisation, s.memory_used_bytes, s.power_w,
                    s.temperature_c, s.sm_clock_mhz, s.throttle, s.members
             FROM devices d CROSS JOIN device_samples s
             WHERE s.device = d.device AND s.at = (SELECT max(l.at) FROM device_samples l WHERE l.device = d.device) AND s.at >= ?
             ORDER BY d.host, length(d.name), d.name",
        )
        .bind(now_ms() - within_ms)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Samples of all devices since then, in order: those of the last hour.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device_samples(&self, since: i64) -> Result<Vec<DeviceTime>, StoreError> {
        sqlx::query_as(
            "SELECT s.device, s.at, s.utilisation, s.memory_used_bytes, s.power_w
             FROM devices d CROSS JOIN device_samples s ON s.device = d.device AND s.at >= ? ORDER BY s.device, s.at",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Curves of these trials, in order of trial, metric and step: at each step the value of the latest attempt that reported it.
    /// Without a name, of all metrics.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn curves(&self, trials: &[TrialId], metric: Option<&str>) -> Result<Vec<CurvePoint>, StoreError> {
        // SQLite takes the other columns from the row that has the greatest attempt.
        sqlx::query_as(
            "SELECT t.id, n.name AS metric, m.step, m.value, max(m.attempt)
             FROM trials t JOIN metrics m ON m.trial = t.trial JOIN metric_names n ON n.metric = m.metric
             WHERE t.id IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR n.name = ?2)
             GROUP BY m.trial, m.metric, m.step ORDER BY m.trial, n.name, m.step",
        )
        .bind(json!(trials).to_string())
        .bind(metric)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// The last events, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, at_most: i64) -> Result<Vec<LogRow>, StoreError> {
        sqlx::query_as(
            "SELECT e.event, e.at, e.kind, t.id, e.attempt, e.detail FROM events e LEFT JOIN trials t USING (trial)
             ORDER BY e.event DESC LIMIT ?",
        )
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }
}
