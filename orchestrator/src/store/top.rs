//! What `top` shows of a sweep: bounded answers, cheap enough to be asked for each second.

use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;

use super::{error::StoreError, live::LogRow, reader::Reader, words::Words};

/// Events among which those of a sweep are looked for: this is done each second.
const EVENTS_LOOKED_AT: i64 = 20_000;

/// A sweep's name, without its file.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct SweepName {
    /// Its row.
    pub sweep: i64,
    /// Name.
    pub name: String,
    /// Revision.
    pub revision: i64,
    /// When it was launched, in milliseconds since 1970 UTC.
    pub submitted: i64,
}

/// A trial of a list.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct TrialLine {
    /// Stage.
    pub stage: String,
    /// Identity.
    pub id: String,
    /// State.
    pub state: String,
    /// JSON object: parameters.
    pub parameters: String,
    /// When it came to its end, in milliseconds since 1970 UTC.
    pub ended: Option<i64>,
    /// Value of the result that was asked for.
    pub value: Option<f64>,
    /// What its last attempt said, where it went wrong.
    pub message: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
}

/// The end of a curve.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct Tail {
    /// Identity.
    pub id: String,
    /// Metric.
    pub metric: String,
    /// JSON list of steps and values.
    pub points: String,
}

/// Which trials a list has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed<'a> {
    /// Of this stage.
    pub stage: Option<&'a str>,
    /// In one of these states; empty: in any.
    pub states: &'a [&'a str],
    /// Whose identity, stage, state or parameters these [`Words`] fit.
    pub filter: &'a str,
    /// The result that is shown.
    pub metric: Option<&'a str>,
    /// Those that ended last come first; else in the order of the plan.
    pub latest_first: bool,
}

impl Reader {
    /// Sweeps by name, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_names(&self, at_most: i64) -> Result<Vec<SweepName>, StoreError> {
        sqlx::query_as("SELECT sweep, name, revision, submitted FROM sweeps ORDER BY sweep DESC LIMIT ?")
            .bind(at_most)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }

    /// Trials of a sweep.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trial_lines(
        &self,
        sweep: i64,
        listed: &Listed<'_>,
        at_most: i64,
    ) -> Result<Vec<TrialLine>, StoreError> {
        let words = Words::of(listed.filter);
        // Words are looked for here, so that they mean the same in every list; without any, SQLite ends at the limit.
        let limit = if words.is_empty() { at_most } else { -1 };
        let mut rows = sqlx::query_as(
            "SELECT st.stage, t.id, t.state, st.parameters, t.ended, r.value, a.message, a.cure
             FROM sweep_trials st JOIN trials t USING (trial)
             LEFT JOIN results r ON r.trial = t.trial AND r.name = ?4 AND t.state = 'done'
             LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts AND t.state <> 'done'
             WHERE st.sweep = ?1 AND (?2 IS NULL OR st.stage = ?2)
               AND (?3 = '[]' OR t.state IN (SELECT value FROM json_each(?3)))
             ORDER BY CASE WHEN ?5 THEN -t.ended END, st.position, st.stage LIMIT ?6",
        )
        .bind(sweep)
        .bind(listed.stage)
        .bind(json!(listed.states).to_string())
        .bind(listed.metric)
        .bind(listed.latest_first)
        .bind(limit)
        .fetch(&self.pool);
        let mut lines: Vec<TrialLine> = Vec::new();
        while (lines.len() as i64) < at_most
            && let Some(line) = rows.try_next().await.map_err(|error| self.failed(error))?
        {
            let line: TrialLine = line;
            if words.fit(&line.id, &[&line.stage, &line.state], &line.parameters) {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    /// Events of the trials of a sweep, and those of no trial, newest first; among the last [`EVENTS_LOOKED_AT`] of the database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_of(&self, sweep: i64, at_most: i64) -> Result<Vec<LogRow>, StoreError> {
        sqlx::query_as(
            "SELECT e.event, e.at, e.kind, t.id, e.attempt, e.detail
             FROM (SELECT * FROM events ORDER BY event DESC LIMIT ?2) e LEFT JOIN trials t USING (trial)
             WHERE e.trial IS NULL OR EXISTS (SELECT 1 FROM sweep_trials st WHERE st.trial = e.trial AND st.sweep = ?1)
             ORDER BY e.event DESC LIMIT ?3",
        )
        .bind(sweep)
        .bind(EVENTS_LOOKED_AT)
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// The last values of one curve of each of these trials: of the first of `metrics` that it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tails(&self, trials: &[i64], metrics: &[i64], points: i64) -> Result<Vec<Tail>, StoreError> {
        sqlx::query_as(
            "WITH chosen AS (
                 SELECT w.value AS trial, (
                     SELECT p.value FROM json_each(?2) p
                     WHERE EXISTS (SELECT 1 FROM metrics m WHERE m.trial = w.value AND m.metric = p.value) ORDER BY p.key LIMIT 1
                 ) AS metric
                 FROM json_each(?1) w
             )
             SELECT t.id, n.name AS metric, (
                 SELECT json_group_array(json_array(step, value)) FROM (
                     SELECT m.step, m.value, max(m.attempt) FROM metrics m WHERE m.trial = c.trial AND m.metric = c.metric
                     GROUP BY m.step ORDER BY m.step DESC LIMIT ?3
                 )
             ) AS points
             FROM chosen c JOIN trials t ON t.trial = c.trial JOIN metric_names n ON n.metric = c.metric",
        )
        .bind(json!(trials).to_string())
        .bind(json!(metrics).to_string())
        .bind(points)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Names of metrics with their rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn metric_names(&self) -> Result<Vec<(i64, String)>, StoreError> {
        sqlx::query_as("SELECT metric, name FROM metric_names ORDER BY metric LIMIT 1000")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }

    /// The report of a sweep as it was resolved, as JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_report(&self, sweep: i64) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT report FROM sweeps WHERE sweep = ?")
            .bind(sweep)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.failed(error))
    }
}
