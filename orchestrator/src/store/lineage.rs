//! Where a trial comes from, what comes of it, and what it took.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::FromRow;

use super::{columns, error::StoreError, reader::Reader};

/// A trial above or below another.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct RelatedRow {
    /// Steps away.
    pub depth: i64,
    /// Identity.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
    /// JSON object: parameters where it stands first.
    pub parameters: Option<String>,
}

/// What an attempt took of a device. What the device cannot tell is none.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct AttemptUsage {
    /// Trial.
    pub id: String,
    /// Attempt.
    pub attempt: u32,
    /// Device.
    pub device: String,
    /// Its model.
    pub model: String,
    /// Samples that were taken while it ran. 0: it was too short, and utilisation and memory are not known.
    pub samples: i64,
    /// Seconds of the device.
    pub device_s: f64,
    /// Those of them in which it computed.
    pub busy_s: f64,
    /// Joules.
    pub energy_j: Option<f64>,
    /// Most memory used, in bytes.
    pub memory_peak_bytes: Option<i64>,
}

/// What a table of trials shows of one beside its parameters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrialFacts {
    /// Its row.
    pub trial: i64,
    /// State.
    pub state: String,
    /// Attempts.
    pub attempts: u32,
    /// Began, in milliseconds since 1970 UTC.
    pub started: Option<i64>,
    /// Ended.
    pub ended: Option<i64>,
    /// Share that is done, while it runs.
    pub done: Option<f64>,
    /// Device.
    pub device: Option<String>,
    /// Final values.
    pub results: BTreeMap<String, f64>,
}

#[derive(FromRow)]
struct FactsRow {
    trial: i64,
    state: String,
    attempts: u32,
    started: Option<i64>,
    ended: Option<i64>,
    done: Option<f64>,
    device: Option<String>,
    results: String,
}

impl Reader {
    /// All that a trial reads, near and far, nearest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ancestors(&self, trial: i64, at_most: i64) -> Result<Vec<RelatedRow>, StoreError> {
        sqlx::query_as(
            "WITH RECURSIVE line (trial, depth) AS (
                 SELECT input, 1 FROM trial_inputs WHERE trial = ?1
                 UNION SELECT e.input, depth + 1 FROM line JOIN trial_inputs e USING (trial) WHERE depth < 32
             )
             SELECT max(l.depth) AS depth, t.id, t.kind, t.state,
                    (SELECT st.parameters FROM sweep_trials st WHERE st.trial = t.trial LIMIT 1) AS parameters
             FROM line l JOIN trials t USING (trial) GROUP BY t.trial ORDER BY depth, t.trial LIMIT ?2",
        )
        .bind(trial)
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Trials that read a trial's results, and how many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn readers_of(&self, trial: i64, at_most: i64) -> Result<(i64, Vec<RelatedRow>), StoreError> {
        let count = sqlx::query_scalar("SELECT count(*) FROM trial_inputs WHERE input = ?")
            .bind(trial)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let rows = sqlx::query_as(
            "SELECT 1 AS depth, t.id, t.kind, t.state,
                    (SELECT st.parameters FROM sweep_trials st WHERE st.trial = t.trial LIMIT 1) AS parameters
             FROM trial_inputs e JOIN trials t USING (trial) WHERE e.input = ? ORDER BY e.trial LIMIT ?",
        )
        .bind(trial)
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok((count, rows))
    }

    /// What attempts of these trials took.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempt_usage(&self, trials: &[i64]) -> Result<Vec<AttemptUsage>, StoreError> {
        sqlx::query_as(
            "SELECT t.id, u.attempt, d.name AS device, d.model, u.samples, u.device_s, u.busy_s, u.energy_j, u.memory_peak_bytes
             FROM json_each(?) j CROSS JOIN attempt_usage u ON u.trial = j.value JOIN trials t USING (trial) JOIN devices d USING (device)
             ORDER BY j.key, u.attempt",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// What tables of these trials show, in this order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn facts(&self, trials: &[i64]) -> Result<Vec<TrialFacts>, StoreError> {
        let rows: Vec<FactsRow> = sqlx::query_as(
            "SELECT t.trial, t.state, t.attempts, coalesce(a.begun, a.started) AS started, a.ended, w.device,
                    CASE WHEN t.state = 'running' AND a.total_units > 0 THEN a.done_units * 1.0 / a.total_units END AS done,
                    (SELECT json_group_array(json_array(r.name, r.value)) FROM results r WHERE r.trial = t.trial AND t.state = 'done') AS results
             FROM json_each(?) j CROSS JOIN trials t ON t.trial = j.value
             LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts LEFT JOIN workers w USING (worker) ORDER BY j.key",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let facts = rows.into_iter().map(|row| {
            let FactsRow { trial, state, attempts, started, ended, done, device, results } = row;
            let results = columns::parse::<(String, f64)>(&results)?.into_iter().collect();
            Ok(TrialFacts { trial, state, attempts, started, ended, done, device, results })
        });
        facts.collect()
    }
}

impl Reader {
    /// Parameters of a trial, as the first sweep that has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn parameters_of(&self, trial: i64) -> Result<BTreeMap<String, Value>, StoreError> {
        let text: Option<String> =
            sqlx::query_scalar("SELECT parameters FROM sweep_trials WHERE trial = ? ORDER BY sweep LIMIT 1")
                .bind(trial)
                .fetch_optional(&self.pool)
                .await
                .map_err(|error| self.failed(error))?;
        let text = text.unwrap_or_else(|| "{}".to_owned());
        serde_json::from_str(&text).map_err(|error| StoreError::Content(format!("parameters: {error}")))
    }

    /// Columns of tables and views: kind, table, column, type.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn schema_columns(&self) -> Result<Vec<(String, String, String, String)>, StoreError> {
        sqlx::query_as(
            "SELECT s.type, s.name, c.name, c.type FROM sqlite_schema s JOIN pragma_table_info(s.name) c
             WHERE s.type IN ('table', 'view') AND s.name NOT GLOB '*sql*' ORDER BY s.type = 'table', s.rowid, c.cid",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }
}
