//! Sweeps, their results, and workers.

use std::collections::BTreeMap;

use permafrost_worker::id::TrialId;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::FromRow;

use super::{
    error::StoreError,
    reader::{Reader, parse_id},
};

/// A launched sweep.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct SweepRow {
    /// Its row.
    pub sweep: i64,
    /// Name.
    pub name: String,
    /// Revision.
    pub revision: i64,
    /// BLAKE3 of the resolved plan.
    pub digest: String,
    /// JSON of the resolved `report:` key.
    #[serde(skip)]
    pub report: String,
    /// JSON list of tags.
    pub tags: String,
    /// When, in milliseconds since 1970 UTC.
    pub submitted: i64,
}

/// A trial with its results.
#[derive(Clone, Debug, Serialize)]
pub struct ResultRow {
    /// Stage.
    pub stage: String,
    /// Trial.
    pub id: String,
    /// State.
    pub state: String,
    /// Parameters as people write them.
    pub parameters: BTreeMap<String, Value>,
    /// Final values.
    pub values: BTreeMap<String, f64>,
}

/// A trial that ended without a result.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct FailureRow {
    /// Stage.
    pub stage: String,
    /// Trial.
    pub id: String,
    /// State.
    pub state: String,
    /// JSON object: parameters.
    pub parameters: String,
    /// Class of the last failure.
    pub class: Option<String>,
    /// What happened.
    pub message: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
}

/// A worker.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct WorkerRow {
    /// Fresh a process.
    pub uuid: String,
    /// Host.
    pub host: String,
    /// Process there.
    pub pid: i64,
    /// Program version.
    pub program: String,
    /// Device.
    pub device: String,
    /// Model of the device.
    pub model: String,
    /// Threads.
    pub threads: i64,
    /// Registered, in milliseconds since 1970 UTC.
    pub registered: i64,
    /// Last heard from.
    pub last_seen: i64,
    /// Left; none: still there.
    pub ended: Option<i64>,
    /// Attempts it runs now.
    pub running: i64,
}

impl WorkerRow {
    /// A worker that was not heard from for so long is not there, in milliseconds: a coordinator that was killed tells of no end.
    pub const GONE_MS: i64 = 120_000;

    /// Whether it is there at `now`, in milliseconds since 1970 UTC.
    pub fn is_here(&self, now: i64) -> bool {
        self.ended.is_none() && now - self.last_seen < Self::GONE_MS
    }
}

/// Stage, trial, state, parameters, and a result where there is one.
type ValueRow = (String, String, String, String, Option<String>, Option<f64>);

/// Trials of their values, which follow each other.
fn of_values(rows: Vec<ValueRow>) -> Result<Vec<ResultRow>, StoreError> {
    let mut results: Vec<ResultRow> = Vec::new();
    for (stage, id, state, parameters, name, value) in rows {
        if results.last().is_none_or(|last| last.id != id || last.stage != stage) {
            let parameters = serde_json::from_str(&parameters)
                .map_err(|error| StoreError::Content(format!("parameters of {id}: {error}")))?;
            results.push(ResultRow { stage, id, state, parameters, values: BTreeMap::new() });
        }
        if let (Some(last), Some(name), Some(value)) = (results.last_mut(), name, value) {
            last.values.insert(name, value);
        }
    }
    Ok(results)
}

impl Reader {
    /// All sweeps, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweeps(&self) -> Result<Vec<SweepRow>, StoreError> {
        sqlx::query_as("SELECT sweep, name, revision, digest, report, tags, submitted FROM sweeps ORDER BY sweep DESC")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }

    /// The latest revision of the sweep with that name; without a name, of the sweep launched last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest(&self, name: Option<&str>) -> Result<Option<SweepRow>, StoreError> {
        let sweeps = self.sweeps().await?;
        Ok(sweeps.into_iter().find(|sweep| name.is_none_or(|name| sweep.name == name)))
    }

    /// Trials of a sweep in one of these states, in the order of the plan.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trials_in(&self, sweep: i64, states: &[&str]) -> Result<Vec<TrialId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT t.id FROM sweep_trials st JOIN trials t USING (trial)
             WHERE st.sweep = ? AND t.state IN (SELECT value FROM json_each(?)) ORDER BY st.position, st.stage",
        )
        .bind(sweep)
        .bind(json!(states).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        ids.iter().map(|id| parse_id(id)).collect()
    }

    /// Every trial of a sweep with its results, in the order of the plan.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn results(&self, sweep: i64) -> Result<Vec<ResultRow>, StoreError> {
        let rows: Vec<ValueRow> = sqlx::query_as(
            "SELECT st.stage, t.id, t.state, st.parameters, r.name, r.value
             FROM sweep_trials st JOIN trials t USING (trial)
             LEFT JOIN results r ON r.trial = t.trial AND t.state = 'done'
             WHERE st.sweep = ? ORDER BY st.position, st.stage, r.name",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        of_values(rows)
    }

    /// The same of some trials of a stage, by their rows; with a name, that result alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn results_of(
        &self,
        sweep: i64,
        stage: &str,
        trials: &[i64],
        name: Option<&str>,
    ) -> Result<Vec<ResultRow>, StoreError> {
        let rows: Vec<ValueRow> = sqlx::query_as(
            "SELECT st.stage, t.id, t.state, st.parameters, r.name, r.value
             FROM json_each(?1) wanted JOIN sweep_trials st ON st.sweep = ?2 AND st.trial = wanted.value AND st.stage = ?3
             JOIN trials t USING (trial)
             LEFT JOIN results r ON r.trial = t.trial AND t.state = 'done' AND (?4 IS NULL OR r.name = ?4)
             ORDER BY st.position, r.name",
        )
        .bind(json!(trials).to_string())
        .bind(sweep)
        .bind(stage)
        .bind(name)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        of_values(rows)
    }

    /// Trials of a sweep that ended without a result, with what their last attempt said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failures(&self, sweep: i64) -> Result<Vec<FailureRow>, StoreError> {
        sqlx::query_as(
            "SELECT st.stage, t.id, t.state, st.parameters, a.class, a.message, a.cure
             FROM sweep_trials st JOIN trials t USING (trial)
             LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts
             WHERE st.sweep = ? AND t.state IN ('failed', 'diverged', 'cancelled', 'pruned') ORDER BY st.position",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Workers, those that are there first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        sqlx::query_as(
            "SELECT w.uuid, w.host, w.pid, w.program, w.device, w.model, w.threads, w.registered, w.last_seen, w.ended,
                    (SELECT count(*) FROM attempts a WHERE a.worker = w.worker AND a.state = 'running') AS running
             FROM workers w ORDER BY w.ended IS NOT NULL, w.worker DESC LIMIT 1000",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Mean duration of a trial that ended well, by array key, in milliseconds: trials of one key have equal shapes, and so about equal work.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mean_duration_ms(&self) -> Result<BTreeMap<String, f64>, StoreError> {
        let rows: Vec<(String, f64)> = sqlx::query_as(
            "SELECT t.array_key, avg((a.ended - a.begun) * 1.0 / a.beside) FROM attempts a JOIN trials t USING (trial)
             WHERE a.state = 'done' AND a.begun IS NOT NULL GROUP BY t.array_key",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().collect())
    }
}
