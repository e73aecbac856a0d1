//! Devices over time, with the attempts that ran on them, and how a follower sees that something changed.

use serde::Serialize;
use sqlx::{Connection, FromRow, SqliteConnection};

use super::{error::StoreError, open, reader::Reader};

/// An array that ran on a device, or runs.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct ArrayRow {
    /// Host of the worker.
    pub host: String,
    /// Its device.
    pub device: String,
    /// Model of that device.
    pub model: String,
    /// Kind of its trials.
    pub kind: String,
    /// Members.
    pub members: i64,
    /// Began, in milliseconds since 1970 UTC.
    pub started: i64,
    /// Ended; none: some run.
    pub ended: Option<i64>,
    /// Of the members: those that ended well.
    pub done: i64,
    /// Of the members: those that run.
    pub running: i64,
    /// A trial of it.
    pub id: String,
}

/// The time in which trials ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct ActiveSpan {
    /// The first attempt began, in milliseconds since 1970 UTC.
    pub first: i64,
    /// The last one ended, or its worker was heard from.
    pub last: i64,
    /// Some run now.
    pub running: bool,
}

/// A stretch of a device's time.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct DeviceBucket {
    /// Device.
    pub device: i64,
    /// Its beginning, in milliseconds since 1970 UTC.
    pub at: i64,
    /// Mean share of the time in which it computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Greatest memory used in bytes.
    pub memory_used_bytes: Option<i64>,
    /// Mean power in watts.
    pub power_w: Option<f64>,
    /// Greatest temperature in degrees Celsius.
    pub temperature_c: Option<f64>,
}

/// A device that was sampled at some time.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct KnownDevice {
    /// Its row.
    pub device: i64,
    /// Host.
    pub host: String,
    /// `cpu`, `cuda:0`, ...
    pub name: String,
    /// Model.
    pub model: String,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Most power in watts.
    pub power_limit_w: Option<f64>,
}

/// Follows the database on a connection of its own.
#[derive(Debug)]
pub struct Follower {
    connection: SqliteConnection,
    path: std::path::PathBuf,
}

/// What tells one state of the database from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Counts commits of others, as this connection sees them.
    pub version: i64,
    /// The last sweep.
    pub sweep: i64,
    /// Trials by state.
    pub states: String,
    /// Attempts that run, with their progress.
    pub running: String,
    /// The last event.
    pub event: i64,
    /// The last sample of any device.
    pub sampled: i64,
}

impl Follower {
    /// Looks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn glance(&mut self, before: &Glance) -> Result<Glance, StoreError> {
        let failed = |error| StoreError::from_sqlx(&self.path, error);
        let version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut self.connection).await.map_err(failed)?;
        if version == before.version {
            return Ok(before.clone());
        }
        let (sweep, states, running, event, sampled) = sqlx::query_as(
            "SELECT coalesce((SELECT max(sweep) FROM sweeps), 0),
                    (SELECT coalesce(group_concat(state || n), '') FROM (SELECT state, count(*) AS n FROM trials GROUP BY state)),
                    (SELECT coalesce(group_concat(trial || '.' || attempt || '.' || done_units), '')
                     FROM (SELECT * FROM attempts WHERE state = 'running' LIMIT 1000)),
                    coalesce((SELECT max(event) FROM events), 0),
                    coalesce((SELECT max((SELECT max(s.at) FROM device_samples s WHERE s.device = d.device)) FROM devices d), 0)",
        )
        .fetch_one(&mut self.connection)
        .await
        .map_err(failed)?;
        Ok(Glance { version, sweep, states, running, event, sampled })
    }
}

impl Reader {
    /// A follower of this database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn follower(&self) -> Result<Follower, StoreError> {
        let connection =
            SqliteConnection::connect_with(&open::reading(&self.path)).await.map_err(|error| self.failed(error))?;
        Ok(Follower { connection, path: self.path.clone() })
    }

    /// Arrays that ran between two moments, the latest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn arrays(&self, from: i64, to: i64, at_most: i64) -> Result<Vec<ArrayRow>, StoreError> {
        sqlx::query_as(
            "SELECT w.host, w.device, w.model, t.kind, count(*) AS members, min(a.started) AS started,
                    CASE WHEN sum(a.ended IS NULL) = 0 THEN max(a.ended) END AS ended,
                    sum(a.state = 'done') AS done, sum(a.state = 'running') AS running, min(t.id) AS id
             FROM attempts a JOIN trials t USING (trial) JOIN workers w USING (worker)
             WHERE a.started <= ?2 AND coalesce(a.ended, ?2) >= ?1
             GROUP BY a.array ORDER BY started DESC LIMIT ?3",
        )
        .bind(from)
        .bind(to)
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// The first and the last moment at which anything ran, or trials of a sweep that were not done before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn active_span(&self, sweep: Option<i64>) -> Result<Option<ActiveSpan>, StoreError> {
        let sql = match sweep {
            None => {
                "SELECT min(a.started) AS first, max(coalesce(a.ended, max(a.started, w.last_seen))) AS last,
                        coalesce(sum(a.state = 'running'), 0) > 0 AS running
                 FROM attempts a JOIN workers w USING (worker) HAVING count(*) > 0"
            }
            Some(_) => {
                "SELECT min(a.started) AS first, max(coalesce(a.ended, max(a.started, w.last_seen))) AS last,
                        coalesce(sum(a.state = 'running'), 0) > 0 AS running
                 FROM sweep_trials st JOIN attempts a USING (trial) JOIN workers w USING (worker)
                 WHERE st.sweep = ? AND NOT st.reused HAVING count(*) > 0"
            }
        };
        let query = sqlx::query_as(sql);
        let query = if let Some(sweep) = sweep { query.bind(sweep) } else { query };
        query.fetch_optional(&self.pool).await.map_err(|error| self.failed(error))
    }

    /// All devices that were ever sampled, by host and name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_devices(&self) -> Result<Vec<KnownDevice>, StoreError> {
        sqlx::query_as(
            "SELECT device, host, name, model, memory_bytes, power_limit_w FROM devices ORDER BY host, length(name), name LIMIT 1000",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// What devices did between two moments, in stretches of `bucket_ms`; from samples of the last hour where `fine`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device_buckets(
        &self,
        from: i64,
        to: i64,
        bucket_ms: i64,
        fine: bool,
    ) -> Result<Vec<DeviceBucket>, StoreError> {
        let sql = if fine {
            "SELECT s.device, ?1 + (s.at - ?1) / ?3 * ?3 AS at, avg(s.utilisation) AS utilisation, max(s.memory_used_bytes) AS memory_used_bytes,
                    avg(s.power_w) AS power_w, max(s.temperature_c) AS temperature_c
             FROM devices d JOIN device_samples s ON s.device = d.device AND s.at BETWEEN ?1 AND ?2
             GROUP BY s.device, (s.at - ?1) / ?3 ORDER BY s.device, 2"
        } else {
            "SELECT m.device, ?1 + (m.minute - ?1) / ?3 * ?3 AS at, sum(m.utilisation * m.samples) / sum(m.samples) AS utilisation,
                    max(m.memory_used_bytes) AS memory_used_bytes, sum(m.power_w * m.samples) / sum(m.samples) AS power_w,
                    max(m.temperature_c) AS temperature_c
             FROM devices d JOIN device_minutes m ON m.device = d.device AND m.minute BETWEEN ?1 AND ?2
             GROUP BY m.device, (m.minute - ?1) / ?3 ORDER BY m.device, 2"
        };
        sqlx::query_as(sql)
            .bind(from)
            .bind(to)
            .bind(bucket_ms.max(1))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }
}
