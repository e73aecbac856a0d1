//! What is taken out of the database for other tools: trials whole, in bounded parts.

use serde_json::json;
use sqlx::FromRow;

use super::{error::StoreError, reader::Reader};

/// A trial of a sweep, with its last attempt where it has one.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct ExportTrial {
    /// Its row.
    pub trial: i64,
    /// Stage.
    pub stage: String,
    /// Identity.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
    /// JSON object: parameters as people write them.
    pub parameters: String,
    /// The last attempt's number; 0: it never ran.
    pub attempts: i64,
    /// Its last attempt began, in milliseconds since 1970 UTC.
    pub started: Option<i64>,
    /// Its last attempt ended.
    pub ended: Option<i64>,
    /// Members of its array.
    pub members: Option<i64>,
    /// What happened.
    pub message: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
    /// Device that ran it.
    pub device: Option<String>,
    /// Model of that device.
    pub model: Option<String>,
    /// Host of that device.
    pub host: Option<String>,
    /// Version of the program that ran it.
    pub program: Option<String>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ExportAttempt {
    /// Row of the trial.
    pub trial: i64,
    /// Its number.
    pub attempt: i64,
    /// Began, in milliseconds since 1970 UTC.
    pub started: i64,
    /// Ended.
    pub ended: Option<i64>,
}

/// A value that an attempt reported.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct ExportPoint {
    /// Row of the trial.
    pub trial: i64,
    /// Metric.
    pub metric: String,
    /// Step.
    pub step: i64,
    /// Attempt.
    pub attempt: i64,
    /// Value.
    pub value: f64,
}

impl Reader {
    /// Trials of a sweep in the order of the plan, each once a stage.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export_trials(&self, sweep: i64) -> Result<Vec<ExportTrial>, StoreError> {
        sqlx::query_as(
            "SELECT t.trial, st.stage, t.id, t.kind, t.state, st.parameters, t.attempts, coalesce(a.begun, a.started) AS started, a.ended, a.members, a.message, a.cure,
                    w.device, w.model, w.host, w.program
             FROM sweep_trials st JOIN trials t USING (trial)
             LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts LEFT JOIN workers w USING (worker)
             WHERE st.sweep = ? ORDER BY st.position, st.stage",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Results of these trials that are done, by trial and name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export_results(&self, trials: &[i64]) -> Result<Vec<(i64, String, f64)>, StoreError> {
        sqlx::query_as(
            "SELECT r.trial, r.name, r.value FROM json_each(?) j CROSS JOIN trials t ON t.trial = j.value JOIN results r USING (trial)
             WHERE t.state = 'done' ORDER BY r.trial, r.name",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Attempts of these trials, by trial and number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export_attempts(&self, trials: &[i64]) -> Result<Vec<ExportAttempt>, StoreError> {
        sqlx::query_as(
            "SELECT a.trial, a.attempt, coalesce(a.begun, a.started) AS started, a.ended FROM json_each(?) j CROSS JOIN attempts a ON a.trial = j.value
             ORDER BY a.trial, a.attempt",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// All that attempts of these trials reported, by trial, metric, step and attempt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn export_points(&self, trials: &[i64]) -> Result<Vec<ExportPoint>, StoreError> {
        sqlx::query_as(
            "SELECT m.trial, n.name AS metric, m.step, m.attempt, m.value
             FROM json_each(?) j CROSS JOIN metrics m ON m.trial = j.value JOIN metric_names n USING (metric)
             ORDER BY m.trial, n.name, m.step, m.attempt",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }
}
