//! Sweeps, their progress and their results.

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

/// Trials of one stage in one state.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct StageRow {
    /// Stage.
    pub stage: String,
    /// State.
    pub state: String,
    /// Trials.
    pub trials: i64,
    /// Those that were done before the sweep was launched.
    pub reused: i64,
}

/// An attempt that runs.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct RunningRow {
    /// Stage.
    pub stage: String,
    /// Trial.
    pub id: String,
    /// Its number.
    pub attempt: u32,
    /// Units done ...
    pub done_units: i64,
    /// ... of so many; 0: unknown.
    pub total_units: i64,
    /// Began, in milliseconds since 1970 UTC.
    pub started: i64,
    /// Device of its worker.
    pub device: String,
    /// Host of its worker.
    pub host: String,
}

/// States of trials that ended without a result.
pub const WITHOUT_RESULT: [&str; 4] = ["failed", "diverged", "pruned", "cancelled"];

/// Trials of one stage, by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Stage.
    pub stage: String,
    /// Trials in all.
    pub total: i64,
    /// Those with a result.
    pub done: i64,
    /// Those that run.
    pub running: i64,
    /// Those that wait for a worker.
    pub ready: i64,
    /// Those that wait for inputs.
    pub waiting: i64,
    /// Those in a state of [`WITHOUT_RESULT`].
    pub without_result: i64,
    /// Those that were done before the sweep was launched.
    pub reused: i64,
}

/// How far a sweep is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SweepProgress {
    /// Stages in the order of the plan, by state.
    pub stages: Vec<StageRow>,
    /// What runs now.
    pub running: Vec<RunningRow>,
}

impl SweepProgress {
    /// Trials in these states.
    pub fn count(&self, states: &[&str]) -> i64 {
        self.stages.iter().filter(|row| states.contains(&row.state.as_str())).map(|row| row.trials).sum()
    }

    /// Each stage once, in the order of the plan.
    pub fn by_stage(&self) -> Vec<StageCounts> {
        let mut stages: Vec<StageCounts> = Vec::new();
        for row in &self.stages {
            let place = stages.iter().position(|counts| counts.stage == row.stage).unwrap_or_else(|| {
                stages.push(StageCounts { stage: row.stage.clone(), ..StageCounts::default() });
                stages.len() - 1
            });
            let counts = &mut stages[place];
            counts.total += row.trials;
            counts.reused += row.reused;
            match row.state.as_str() {
                "done" => counts.done += row.trials,
                "running" => counts.running += row.trials,
                "ready" => counts.ready += row.trials,
                "waiting" => counts.waiting += row.trials,
                state if WITHOUT_RESULT.contains(&state) => counts.without_result += row.trials,
                _ => {}
            }
        }
        stages
    }

    /// Trials in all.
    pub fn total(&self) -> i64 {
        self.stages.iter().map(|row| row.trials).sum()
    }

    /// Nothing runs and nothing could: what waits, waits for something that has ended without a result.
    pub fn is_finished(&self) -> bool {
        self.count(&["ready", "running"]) == 0
    }

    /// Every trial has a result.
    pub fn is_done(&self) -> bool {
        self.count(&["done"]) == self.total()
    }
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

/// Stage, trial, state, parameters, and a result where there is one.
type ValueRow = (String, String, String, String, Option<String>, Option<f64>);

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

    /// How far a sweep is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn progress(&self, sweep: i64) -> Result<SweepProgress, StoreError> {
        let stages = sqlx::query_as(
            "SELECT st.stage, t.state, count(*) AS trials, sum(st.reused) AS reused
             FROM sweep_trials st JOIN trials t USING (trial) WHERE st.sweep = ?
             GROUP BY st.stage, t.state ORDER BY min(st.position)",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let running = sqlx::query_as(
            "SELECT st.stage, t.id, a.attempt, a.done_units, a.total_units, a.started, w.device, w.host
             FROM attempts a JOIN trials t USING (trial) JOIN workers w USING (worker)
             JOIN sweep_trials st ON st.trial = a.trial AND st.sweep = ?
             WHERE a.state = 'running' ORDER BY a.started, st.position",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(SweepProgress { stages, running })
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
            "SELECT t.array_key, avg((a.ended - a.started) * 1.0 / a.members) FROM attempts a JOIN trials t USING (trial)
             WHERE a.state = 'done' GROUP BY t.array_key",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(rows.into_iter().collect())
    }
}
