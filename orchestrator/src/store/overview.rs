//! What an overview of sweeps shows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;

use super::{columns, error::StoreError, reader::Reader};

/// Trials that ended without a result for the same reason.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct FailureGroup {
    /// State.
    pub state: String,
    /// Class of the failure.
    pub class: Option<String>,
    /// What happened.
    pub message: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
    /// Trials.
    pub trials: i64,
    /// Identities of a few, separated by spaces.
    #[serde(skip)]
    pub ids: String,
}

/// Time that trials of a stage took of their devices.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct StageTime {
    /// Stage.
    pub stage: String,
    /// Trials that ended well.
    pub trials: i64,
    /// Mean time of a device for one of them, in milliseconds; members of an array share it.
    pub mean_ms: f64,
}

/// A curve: steps and values.
pub type Curve = Vec<(i64, f64)>;

impl Reader {
    /// Trials of these sweeps by state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_counts(&self, sweeps: &[i64]) -> Result<BTreeMap<i64, BTreeMap<String, i64>>, StoreError> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT st.sweep, t.state, count(*) FROM json_each(?) s CROSS JOIN sweep_trials st ON st.sweep = s.value JOIN trials t USING (trial)
             GROUP BY st.sweep, t.state",
        )
        .bind(json!(sweeps).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let mut counts: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
        for (sweep, state, trials) in rows {
            counts.entry(sweep).or_default().insert(state, trials);
        }
        Ok(counts)
    }

    /// The sweep that has most of these trials; of several, the latest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_with(&self, trials: &[i64]) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar(
            "SELECT st.sweep FROM json_each(?) j CROSS JOIN sweep_trials st ON st.trial = j.value
             GROUP BY st.sweep ORDER BY count(DISTINCT st.trial) DESC, st.sweep DESC LIMIT 1",
        )
        .bind(json!(trials).to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Why trials of a sweep ended without a result, the most frequent first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failure_groups(&self, sweep: i64, at_most: i64) -> Result<Vec<FailureGroup>, StoreError> {
        // The index on `state` finds the few that failed.
        sqlx::query_as(
            "SELECT t.state, a.class, a.message, a.cure, count(*) AS trials, substr(group_concat(t.id, ' '), 1, 324) AS ids
             FROM trials t LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts
             WHERE t.state IN ('failed', 'diverged', 'pruned', 'cancelled')
               AND EXISTS (SELECT 1 FROM sweep_trials st WHERE st.sweep = ?1 AND st.trial = t.trial)
             GROUP BY t.state, a.class, a.message, a.cure ORDER BY trials DESC, min(t.trial) LIMIT ?2",
        )
        .bind(sweep)
        .bind(at_most)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// How long trials of each stage of a sweep took.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stage_times(&self, sweep: i64) -> Result<Vec<StageTime>, StoreError> {
        sqlx::query_as(
            "SELECT st.stage, count(*) AS trials, avg((a.ended - a.begun) * 1.0 / a.beside) AS mean_ms
             FROM sweep_trials st JOIN trials t USING (trial) JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts
             WHERE st.sweep = ? AND t.state = 'done' AND a.ended IS NOT NULL GROUP BY st.stage",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Curves of a metric, by row of trial, in order of steps: at each step the value of the latest attempt that reported it. Of every
    /// `stride`-th step; to fifteen digits, as SQLite writes numbers in JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn thinned_curves(
        &self,
        trials: &[i64],
        metric: &str,
        stride: i64,
    ) -> Result<BTreeMap<i64, Curve>, StoreError> {
        // SQLite takes the other columns from the row that has the greatest attempt.
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT trial, json_group_array(json_array(step, value)) FROM (
                 SELECT m.trial, m.step, m.value, max(m.attempt)
                 FROM json_each(?1) j CROSS JOIN metrics m ON m.trial = j.value
                     AND m.metric = (SELECT n.metric FROM metric_names n WHERE n.name = ?2)
                 WHERE m.step % ?3 = 0 GROUP BY m.trial, m.step
             ) GROUP BY trial",
        )
        .bind(json!(trials).to_string())
        .bind(metric)
        .bind(stride.max(1))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let mut curves = BTreeMap::new();
        for (trial, text) in rows {
            let mut curve: Curve = columns::parse(&text)?;
            // SQLite does not promise an order within a group.
            curve.sort_unstable_by_key(|point| point.0);
            curves.insert(trial, curve);
        }
        Ok(curves)
    }

    /// Metrics that one of these trials has reported, in the order of the alphabet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn metrics_of(&self, trials: &[i64]) -> Result<Vec<String>, StoreError> {
        // Each name is looked up in the key of `metrics`: reading all steps would take long.
        sqlx::query_scalar(
            "SELECT n.name FROM metric_names n
             WHERE EXISTS (SELECT 1 FROM json_each(?) j CROSS JOIN metrics m ON m.trial = j.value AND m.metric = n.metric) ORDER BY n.name",
        )
        .bind(json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// Steps of the curves of a metric of these trials, in all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn curve_steps(&self, trials: &[i64], metric: &str) -> Result<i64, StoreError> {
        // The last step of each is one look into the key.
        sqlx::query_scalar(
            "SELECT coalesce(sum((SELECT m.step + 1 FROM metrics m
                                  WHERE m.trial = j.value AND m.metric = (SELECT n.metric FROM metric_names n WHERE n.name = ?2)
                                  ORDER BY m.step DESC LIMIT 1)), 0)
             FROM json_each(?1) j",
        )
        .bind(json!(trials).to_string())
        .bind(metric)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }
}
