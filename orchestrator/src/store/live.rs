//! What `top` and the page follow: curves and events.

use permafrost_worker::id::TrialId;
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;

use super::{error::StoreError, reader::Reader};

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
