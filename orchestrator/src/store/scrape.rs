//! What metrics count, in few queries: a scrape must stay cheap in a large database.

use sqlx::FromRow;

use super::{error::StoreError, reader::Reader, results::WorkerRow, tables::now_ms};

/// Sweeps that are told, the latest first.
const MAX_SWEEPS: i64 = 50;
/// Running trials that are told.
const MAX_RUNNING: i64 = 200;
/// Names of metrics that are told of a running trial.
const MAX_METRICS: i64 = 2_000;

/// Trials of a stage of the latest revision of a sweep, in one state.
#[derive(Clone, Debug, FromRow)]
pub struct SweepCount {
    /// Sweep.
    pub sweep: String,
    /// Stage.
    pub stage: String,
    /// State.
    pub state: String,
    /// Trials.
    pub trials: i64,
}

/// Attempts of one kind in one state.
#[derive(Clone, Debug, FromRow)]
pub struct AttemptCount {
    /// Kind of the trials.
    pub kind: String,
    /// State.
    pub state: String,
    /// Attempts.
    pub attempts: i64,
    /// Seconds that they took, those of an array divided among its members.
    pub seconds: f64,
}

/// An attempt that runs.
#[derive(Clone, Debug, FromRow)]
pub struct ScrapedTrial {
    /// The trial's row.
    pub trial: i64,
    /// First ten digits of its identity.
    pub short: String,
    /// Kind.
    pub kind: String,
    /// Host of its worker.
    pub host: String,
    /// Device of its worker.
    pub device: String,
    /// Began, in milliseconds since 1970 UTC.
    pub started: i64,
    /// Units done ...
    pub done_units: i64,
    /// ... of so many; 0: unknown.
    pub total_units: i64,
}

/// The latest value of a metric of a trial.
#[derive(Clone, Debug, FromRow)]
pub struct LatestValue {
    /// The trial's row.
    pub trial: i64,
    /// Metric.
    pub metric: String,
    /// Value.
    pub value: f64,
}

/// Workers of one device.
#[derive(Clone, Debug, FromRow)]
pub struct WorkerCount {
    /// Host.
    pub host: String,
    /// Device.
    pub device: String,
    /// Workers that are there.
    pub workers: i64,
    /// When one of them was heard from last, in milliseconds since 1970 UTC.
    pub last_seen: i64,
    /// Trials that they run.
    pub running: i64,
}

impl Reader {
    /// Trials of all sweeps, by state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_trials(&self) -> Result<Vec<(String, i64)>, StoreError> {
        // Two columns of an index: the table itself is not read.
        sqlx::query_as("SELECT state, count(*) FROM trials GROUP BY state")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }

    /// Trials of the latest revisions of the latest sweeps, by stage and state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_sweeps(&self) -> Result<Vec<SweepCount>, StoreError> {
        sqlx::query_as(
            "WITH latest AS (SELECT name, max(sweep) AS sweep FROM sweeps GROUP BY name ORDER BY 2 DESC LIMIT ?)
             SELECT l.name AS sweep, st.stage, t.state, count(*) AS trials
             FROM latest l JOIN sweep_trials st USING (sweep) JOIN trials t USING (trial) GROUP BY l.sweep, st.stage, t.state",
        )
        .bind(MAX_SWEEPS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// All attempts, by kind and state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_attempts(&self) -> Result<Vec<AttemptCount>, StoreError> {
        sqlx::query_as(
            "SELECT t.kind, a.state, count(*) AS attempts, coalesce(sum((a.ended - a.begun) / 1000.0 / a.beside), 0.0) AS seconds
             FROM attempts a JOIN trials t USING (trial) GROUP BY t.kind, a.state",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Attempts that run, those that run longest first; no more than a bound.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running_trials(&self) -> Result<Vec<ScrapedTrial>, StoreError> {
        sqlx::query_as(
            "SELECT t.trial, substr(t.id, 1, 10) AS short, t.kind, w.host, w.device, a.begun AS started, a.done_units, a.total_units
             FROM attempts a JOIN trials t USING (trial) JOIN workers w USING (worker)
             WHERE a.state = 'running' AND a.begun IS NOT NULL AND w.last_seen >= ? ORDER BY a.begun, t.trial LIMIT ?",
        )
        .bind(now_ms() - WorkerRow::GONE_MS)
        .bind(MAX_RUNNING)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Latest values of the metrics of these trials, by their rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest_values(&self, trials: &[i64]) -> Result<Vec<LatestValue>, StoreError> {
        // For each trial and name the end of its curve, by the primary key: no curve is read.
        sqlx::query_as(
            "SELECT j.value AS trial, n.name AS metric,
                    (SELECT m.value FROM metrics m WHERE m.trial = j.value AND m.metric = n.metric ORDER BY m.step DESC, m.attempt DESC LIMIT 1)
                        AS value
             FROM json_each(?) j CROSS JOIN metric_names n
             WHERE EXISTS (SELECT 1 FROM metrics m WHERE m.trial = j.value AND m.metric = n.metric) LIMIT ?",
        )
        .bind(serde_json::json!(trials).to_string())
        .bind(MAX_METRICS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Workers that are there, by device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_workers(&self) -> Result<Vec<WorkerCount>, StoreError> {
        sqlx::query_as(
            "WITH busy AS (SELECT worker, count(*) AS running FROM attempts WHERE state = 'running' GROUP BY worker)
             SELECT w.host, w.device, count(*) AS workers, max(w.last_seen) AS last_seen, coalesce(sum(b.running), 0) AS running
             FROM workers w LEFT JOIN busy b USING (worker) WHERE w.ended IS NULL AND w.last_seen >= ?
             GROUP BY w.host, w.device ORDER BY w.host, w.device LIMIT 1000",
        )
        .bind(now_ms() - WorkerRow::GONE_MS)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Size of the database in bytes, without its log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn size_bytes(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }
}
