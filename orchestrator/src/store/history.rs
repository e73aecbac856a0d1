//! What was planned, made from what, by whom and when, across all sweeps.

use std::collections::{BTreeMap, HashSet};

use permafrost_worker::{id::TrialId, task::Task};
use serde_json::{Value, json};
use sqlx::FromRow;

use super::{
    error::StoreError,
    reader::{Reader, parse_id},
};

/// A trial with what made it.
#[derive(Clone, Debug, FromRow)]
pub struct MadeRow {
    /// Identity.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
    /// Number of its last attempt; 0: never tried.
    pub attempts: u32,
    /// When that began, in milliseconds since 1970 UTC.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// Version of the program that ran it.
    pub program: Option<String>,
    /// Its host.
    pub host: Option<String>,
    /// Its device.
    pub device: Option<String>,
    /// Model of that.
    pub model: Option<String>,
}

/// Where a trial stands in a sweep.
#[derive(Clone, Debug)]
pub struct PlacedRow {
    /// Row of the sweep.
    pub sweep: i64,
    /// Stage.
    pub stage: String,
    /// Trial.
    pub id: String,
    /// Parameters there.
    pub parameters: BTreeMap<String, Value>,
    /// It was done before that sweep was launched.
    pub reused: bool,
}

/// A time in which a trial of a sweep ran.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct SpanRow {
    /// Row of the sweep.
    pub sweep: i64,
    /// In milliseconds since 1970 UTC.
    pub started: i64,
    /// Likewise.
    pub ended: i64,
}

impl Reader {
    /// The file that a sweep was launched from, as it was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn source(&self, sweep: i64) -> Result<String, StoreError> {
        sqlx::query_scalar("SELECT source FROM sweeps WHERE sweep = ?")
            .bind(sweep)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }

    /// Every trial with what it does.
    ///
    /// # Errors
    /// [`StoreError`], also when a task is of another version of the program.
    pub async fn tasks(&self) -> Result<Vec<(TrialId, Task)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, task FROM trials ORDER BY trial")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let parse = |(id, task): (String, String)| {
            let parsed =
                serde_json::from_str(&task).map_err(|error| StoreError::Content(format!("task of {id}: {error}")))?;
            Ok((parse_id(&id)?, parsed))
        };
        rows.into_iter().map(parse).collect()
    }

    /// Every trial of these sweeps with its last attempt, in the order in which trials were first planned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn made(&self, sweeps: &[i64]) -> Result<Vec<MadeRow>, StoreError> {
        sqlx::query_as(
            "SELECT t.id, t.kind, t.state, t.attempts, coalesce(a.begun, a.started) AS started, a.ended, w.program, w.host, w.device, w.model
             FROM trials t LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts LEFT JOIN workers w USING (worker)
             WHERE t.trial IN (SELECT trial FROM sweep_trials WHERE sweep IN (SELECT value FROM json_each(?)))
             ORDER BY t.trial",
        )
        .bind(json!(sweeps).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// When the attempts ran that have ended, of trials of these sweeps that were not done before; sweep by sweep, by their beginning.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn spans(&self, sweeps: &[i64]) -> Result<Vec<SpanRow>, StoreError> {
        sqlx::query_as(
            "SELECT st.sweep, a.started, a.ended FROM sweep_trials st JOIN attempts a USING (trial)
             WHERE st.reused = 0 AND a.ended IS NOT NULL AND st.sweep IN (SELECT value FROM json_each(?))
             ORDER BY st.sweep, a.started, a.ended",
        )
        .bind(json!(sweeps).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Where the trials of these sweeps stand, sweep by sweep in the order of the plan.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn placed(&self, sweeps: &[i64]) -> Result<Vec<PlacedRow>, StoreError> {
        let rows: Vec<(i64, String, String, String, i64)> = sqlx::query_as(
            "SELECT st.sweep, st.stage, t.id, st.parameters, st.reused FROM sweep_trials st JOIN trials t USING (trial)
             WHERE st.sweep IN (SELECT value FROM json_each(?)) ORDER BY st.sweep, st.position, st.stage",
        )
        .bind(json!(sweeps).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let place = |(sweep, stage, id, parameters, reused): (i64, String, String, String, i64)| {
            let parameters = serde_json::from_str(&parameters)
                .map_err(|error| StoreError::Content(format!("parameters of {id}: {error}")))?;
            Ok(PlacedRow { sweep, stage, id, parameters, reused: reused != 0 })
        };
        rows.into_iter().map(place).collect()
    }

    /// Trials of these sweeps that wait for an input, near or far, that ended without a result.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn blocked(&self, sweeps: &[i64]) -> Result<HashSet<String>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "WITH RECURSIVE blocked (trial) AS (
                 SELECT e.trial FROM trial_inputs e JOIN trials i ON i.trial = e.input
                 WHERE i.state IN ('failed', 'diverged', 'pruned', 'cancelled')
                 UNION SELECT e.trial FROM blocked b JOIN trial_inputs e ON e.input = b.trial
             )
             SELECT DISTINCT t.id FROM blocked JOIN trials t USING (trial) JOIN sweep_trials st USING (trial)
             WHERE t.state = 'waiting' AND st.sweep IN (SELECT value FROM json_each(?))",
        )
        .bind(json!(sweeps).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(ids.into_iter().collect())
    }

    /// Results of the trials of these sweeps that are done, by trial and name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn values(&self, sweeps: &[i64]) -> Result<BTreeMap<String, BTreeMap<String, f64>>, StoreError> {
        let rows: Vec<(String, String, f64)> = sqlx::query_as(
            "SELECT t.id, r.name, r.value FROM trials t JOIN results r USING (trial)
             WHERE t.state = 'done' AND t.trial IN (SELECT trial FROM sweep_trials WHERE sweep IN (SELECT value FROM json_each(?)))",
        )
        .bind(json!(sweeps).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let mut values: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for (id, name, value) in rows {
            values.entry(id).or_default().insert(name, value);
        }
        Ok(values)
    }
}
