//! How far a sweep is, for all who show it: `launch`, `status`, `top` and the page.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::FromRow;

use super::{error::StoreError, reader::Reader};

/// States of trials that ended without a result.
pub const WITHOUT_RESULT: [&str; 4] = ["failed", "diverged", "pruned", "cancelled"];

/// Trials of one stage that are alike: in state, shape, and in whether they could ever run.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct WorkRow {
    /// Stage.
    pub stage: String,
    /// State.
    pub state: String,
    /// Trials with equal keys have about equal work.
    pub array_key: String,
    /// An input, near or far, has ended without a result.
    pub blocked: bool,
    /// Trials.
    pub trials: i64,
    /// Those that were done before the sweep was launched.
    pub reused: i64,
}

/// An attempt that runs, with what it is about.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct RunningTrial {
    /// Row of the trial.
    #[serde(skip)]
    pub trial: i64,
    /// Stage.
    pub stage: String,
    /// Identity.
    pub id: String,
    /// JSON object: parameters.
    #[serde(skip)]
    pub parameters: String,
    /// Its number.
    pub attempt: u32,
    /// Units done ...
    pub done_units: i64,
    /// ... of so many; 0: unknown.
    pub total_units: i64,
    /// When work on it began, in milliseconds since 1970 UTC; none: other members of its array come first.
    pub begun: Option<i64>,
    /// Members of its array that are worked on at a time.
    pub beside: i64,
    /// Trials with equal keys have about equal work.
    #[serde(skip)]
    pub array_key: String,
    /// Device of its worker.
    pub device: String,
    /// Host of its worker.
    pub host: String,
}

impl RunningTrial {
    /// The share that is done, 0 to 1; none: it has not told how much there is.
    pub fn share(&self) -> Option<f64> {
        (self.total_units > 0).then(|| (self.done_units as f64 / self.total_units as f64).clamp(0.0, 1.0))
    }
}

/// Trials of one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// Of those, the ones that wait in vain: an input has ended without a result.
    pub blocked: i64,
    /// Those in a state of [`WITHOUT_RESULT`].
    pub without_result: i64,
    /// Those that were done before the sweep was launched.
    pub reused: i64,
    /// The share done, 0 to 1, where what runs counts by its progress.
    pub share: f64,
}

impl StageCounts {
    /// All stages as one.
    pub fn of_all(stages: &[Self]) -> Self {
        let mut all = Self { stage: "in all".to_owned(), ..Self::default() };
        let mut done = 0.0;
        for stage in stages {
            all.total += stage.total;
            all.done += stage.done;
            all.running += stage.running;
            all.ready += stage.ready;
            all.waiting += stage.waiting;
            all.blocked += stage.blocked;
            all.without_result += stage.without_result;
            all.reused += stage.reused;
            done += stage.share * stage.total as f64;
        }
        all.share = done / all.total.max(1) as f64;
        all
    }
}

/// How far a sweep, or a part of it, is.
#[derive(Clone, Debug, Default)]
pub struct SweepProgress {
    /// Trials, stages in the order of the plan.
    pub work: Vec<WorkRow>,
    /// What runs now, oldest first; then members of arrays that wait for their turn.
    pub running: Vec<RunningTrial>,
}

impl SweepProgress {
    /// Trials in these states.
    pub fn count(&self, states: &[&str]) -> i64 {
        self.work.iter().filter(|row| states.contains(&row.state.as_str())).map(|row| row.trials).sum()
    }

    /// One stage of it.
    pub fn of_stage(&self, stage: &str) -> Self {
        Self {
            work: self.work.iter().filter(|row| row.stage == stage).cloned().collect(),
            running: self.running.iter().filter(|row| row.stage == stage).cloned().collect(),
        }
    }

    /// Each stage once, in the order of the plan.
    pub fn by_stage(&self) -> Vec<StageCounts> {
        let mut stages: Vec<StageCounts> = Vec::new();
        for row in &self.work {
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
            counts.blocked += if row.blocked { row.trials } else { 0 };
        }
        let mut under_way: BTreeMap<&str, f64> = BTreeMap::new();
        for row in &self.running {
            *under_way.entry(&row.stage).or_default() += row.share().unwrap_or(0.0);
        }
        for counts in &mut stages {
            // What runs was read a moment after the counts.
            let under_way = under_way.get(counts.stage.as_str()).map_or(0.0, |share| share.min(counts.running as f64));
            counts.share = (counts.done as f64 + under_way) / counts.total.max(1) as f64;
        }
        stages
    }

    /// Trials in all.
    pub fn total(&self) -> i64 {
        self.work.iter().map(|row| row.trials).sum()
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

impl Reader {
    /// How far a sweep is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn progress(&self, sweep: i64) -> Result<SweepProgress, StoreError> {
        let work = sqlx::query_as(
            "WITH RECURSIVE blocked (trial) AS (
                 SELECT e.trial FROM trials i JOIN trial_inputs e ON e.input = i.trial
                 WHERE i.state IN ('failed', 'diverged', 'pruned', 'cancelled')
                 UNION
                 SELECT e.trial FROM blocked b JOIN trial_inputs e ON e.input = b.trial
             )
             SELECT st.stage, t.state, t.array_key, b.trial IS NOT NULL AND t.state = 'waiting' AS blocked, count(*) AS trials,
                    sum(st.reused) AS reused
             FROM sweep_trials st JOIN trials t USING (trial) LEFT JOIN blocked b ON b.trial = st.trial
             WHERE st.sweep = ? GROUP BY st.stage, t.state, t.array_key, 4 ORDER BY min(st.position)",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let running = sqlx::query_as(
            "SELECT t.trial, st.stage, t.id, st.parameters, a.attempt, a.done_units, a.total_units, a.begun, a.beside, t.array_key,
                    w.device, w.host
             FROM attempts a JOIN trials t USING (trial) JOIN workers w USING (worker)
             JOIN sweep_trials st ON st.trial = a.trial AND st.sweep = ?
             WHERE a.state = 'running' ORDER BY a.begun IS NULL, a.begun, st.position",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(SweepProgress { work, running })
    }

    /// Other sweeps whose trials run or could, with how many, those launched last first; trials that they share with this sweep do not count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn at_work_beside(&self, sweep: i64) -> Result<Vec<(String, i64)>, StoreError> {
        sqlx::query_as(
            "SELECT s.name, count(DISTINCT t.trial) FROM trials t JOIN sweep_trials st USING (trial) JOIN sweeps s USING (sweep)
             WHERE t.state IN ('ready', 'running')
               AND NOT EXISTS (SELECT 1 FROM sweep_trials own WHERE own.sweep = ? AND own.trial = t.trial)
             GROUP BY s.name ORDER BY max(s.sweep) DESC",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }
}
