//! Trials of a sweep by columns: what pages filter, sort and plot. The plan of a sweep never changes, so it is read once; states
//! and results are read anew.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;

use super::{error::StoreError, reader::Reader};
use crate::core::TrialState;

/// Trials whose results and metrics tell the names that their stage has.
const SAMPLE: i64 = 20;

/// In [`Column::of`]: the trial has no such parameter.
pub const NO_VALUE: u32 = u32::MAX;

/// The plan of a sweep.
#[derive(Debug)]
pub struct PlanColumns {
    /// The sweep's row.
    pub sweep: i64,
    /// Its stages, in the order of the plan.
    pub stages: Vec<StageColumns>,
}

/// Trials of a stage, in the order of the plan.
#[derive(Debug, Default)]
pub struct StageColumns {
    /// Its name.
    pub name: String,
    /// Rows of its trials.
    pub trials: Vec<i64>,
    /// Their identities.
    pub ids: Vec<String>,
    /// Their parameters, by name.
    pub parameters: BTreeMap<String, Column>,
    places: HashMap<i64, usize>,
}

/// Values of a parameter.
#[derive(Debug, Default)]
pub struct Column {
    /// Distinct ones, in the order in which they first appear.
    pub values: Vec<Value>,
    /// Which of them each trial has; [`NO_VALUE`]: none.
    pub of: Vec<u32>,
}

/// Names of what trials of a stage have.
#[derive(Clone, Debug, Default)]
pub struct StageNames {
    /// Final values.
    pub results: Vec<String>,
    /// Metrics over time.
    pub metrics: Vec<String>,
}

#[derive(FromRow)]
struct PlanRow {
    stage: String,
    trial: i64,
    id: String,
    parameters: String,
}

impl PlanColumns {
    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&StageColumns> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    fn of(sweep: i64, rows: Vec<PlanRow>) -> Result<Self, StoreError> {
        let mut plan = Self { sweep, stages: Vec::new() };
        let mut known: HashMap<(usize, String), HashMap<String, u32>> = HashMap::new();
        for PlanRow { stage, trial, id, parameters } in rows {
            let at = plan.stages.iter().position(|known| known.name == stage).unwrap_or_else(|| {
                plan.stages.push(StageColumns { name: stage.clone(), ..StageColumns::default() });
                plan.stages.len() - 1
            });
            let parameters: BTreeMap<String, Value> = serde_json::from_str(&parameters)
                .map_err(|error| StoreError::Content(format!("parameters of {id}: {error}")))?;
            let stage = &mut plan.stages[at];
            let place = stage.trials.len();
            stage.places.insert(trial, place);
            stage.trials.push(trial);
            stage.ids.push(id);
            for (name, value) in parameters {
                let column = match stage.parameters.get_mut(&name) {
                    Some(column) => column,
                    None => stage.parameters.entry(name.clone()).or_default(),
                };
                column.of.resize(place, NO_VALUE);
                // Neighbours in a plan mostly agree.
                let before = column.of.last().filter(|&&before| column.values.get(before as usize) == Some(&value));
                let index = match before {
                    Some(&index) => index,
                    None => *known.entry((at, name)).or_default().entry(value.to_string()).or_insert_with(|| {
                        column.values.push(value);
                        column.values.len() as u32 - 1
                    }),
                };
                column.of.push(index);
            }
        }
        for stage in &mut plan.stages {
            for column in stage.parameters.values_mut() {
                column.of.resize(stage.trials.len(), NO_VALUE);
            }
        }
        Ok(plan)
    }
}

impl StageColumns {
    /// Trials of these parameters, whose rows count from 1.
    #[cfg(test)]
    pub(crate) fn of_parameters(name: &str, parameters: &[Value]) -> Self {
        let row = |(i, parameters): (usize, &Value)| PlanRow {
            stage: name.to_owned(),
            trial: i as i64 + 1,
            id: format!("{i:064x}"),
            parameters: parameters.to_string(),
        };
        PlanColumns::of(1, parameters.iter().enumerate().map(row).collect()).unwrap().stages.remove(0)
    }

    /// Where that trial stands.
    pub fn place(&self, trial: i64) -> Option<usize> {
        self.places.get(&trial).copied()
    }

    /// A trial's value of a parameter.
    pub fn value(&self, place: usize, name: &str) -> Option<&Value> {
        self.parameters.get(name)?.value(place)
    }

    /// A trial's parameters.
    pub fn parameters_of(&self, place: usize) -> BTreeMap<&str, &Value> {
        self.parameters.iter().filter_map(|(name, column)| Some((name.as_str(), column.value(place)?))).collect()
    }

    /// Parameters of which trials have different values.
    pub fn varying(&self) -> impl Iterator<Item = (&str, &Column)> {
        let varies = |column: &Column| column.values.len() > 1 || column.of.contains(&NO_VALUE);
        self.parameters.iter().filter(move |(_, column)| varies(column)).map(|(name, column)| (name.as_str(), column))
    }
}

impl Column {
    /// A trial's value.
    pub fn value(&self, place: usize) -> Option<&Value> {
        self.values.get(*self.of.get(place)? as usize)
    }
}

impl Reader {
    /// The plan of a sweep.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan_columns(&self, sweep: i64) -> Result<PlanColumns, StoreError> {
        let rows: Vec<PlanRow> = sqlx::query_as(
            "SELECT st.stage, st.trial, t.id, st.parameters FROM sweep_trials st JOIN trials t USING (trial)
             WHERE st.sweep = ? ORDER BY st.position, st.stage",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        // Parsing a large plan takes longer than other requests should wait.
        let parsed = tokio::task::spawn_blocking(move || PlanColumns::of(sweep, rows)).await;
        parsed.unwrap_or_else(|error| Err(StoreError::Content(error.to_string())))
    }

    /// Stages of a sweep of which trials run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running_stages(&self, sweep: i64) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(
            "SELECT DISTINCT st.stage FROM trials t JOIN sweep_trials st ON st.sweep = ? AND st.trial = t.trial WHERE t.state = 'running'",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }

    /// States of a stage's trials, in its order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stage_states(&self, sweep: i64, stage: &StageColumns) -> Result<Vec<TrialState>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(t.trial, t.state)) FROM sweep_trials st JOIN trials t USING (trial)
             WHERE st.sweep = ? AND st.stage = ?",
        )
        .bind(sweep)
        .bind(&stage.name)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let mut states = vec![TrialState::Waiting; stage.trials.len()];
        for (trial, state) in parse::<(i64, &str)>(&text)? {
            if let (Some(place), Some(state)) = (stage.place(trial), TrialState::parse(state)) {
                states[place] = state;
            }
        }
        Ok(states)
    }

    /// A final value of a stage's trials, in its order; of those that are done. To fifteen digits, as SQLite writes numbers in JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stage_values(
        &self,
        sweep: i64,
        stage: &StageColumns,
        name: &str,
    ) -> Result<Vec<Option<f64>>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(r.trial, r.value))
             FROM sweep_trials st JOIN trials t USING (trial) JOIN results r ON r.trial = t.trial AND r.name = ?3
             WHERE st.sweep = ?1 AND st.stage = ?2 AND t.state = 'done'",
        )
        .bind(sweep)
        .bind(&stage.name)
        .bind(name)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let mut values = vec![None; stage.trials.len()];
        for (trial, value) in parse::<(i64, f64)>(&text)? {
            if let Some(place) = stage.place(trial) {
                values[place] = Some(value);
            }
        }
        Ok(values)
    }

    /// Names of results and metrics of a stage, as its first trials have them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stage_names(&self, sweep: i64, stage: &str) -> Result<StageNames, StoreError> {
        let results = sqlx::query_scalar(
            "WITH sample AS (SELECT t.trial FROM sweep_trials st JOIN trials t USING (trial)
                             WHERE st.sweep = ? AND st.stage = ? AND t.state = 'done' LIMIT ?)
             SELECT DISTINCT r.name FROM sample JOIN results r USING (trial) ORDER BY r.name",
        )
        .bind(sweep)
        .bind(stage)
        .bind(SAMPLE)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        // Each name is looked up in the key of `metrics`: reading all steps would take long.
        let metrics = sqlx::query_scalar(
            "WITH sample AS MATERIALIZED (SELECT t.trial FROM sweep_trials st JOIN trials t USING (trial)
                             WHERE st.sweep = ? AND st.stage = ? AND t.attempts > 0 LIMIT ?)
             SELECT n.name FROM metric_names n
             WHERE EXISTS (SELECT 1 FROM sample s CROSS JOIN metrics m ON m.trial = s.trial AND m.metric = n.metric) ORDER BY n.name",
        )
        .bind(sweep)
        .bind(stage)
        .bind(SAMPLE)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        Ok(StageNames { results, metrics })
    }

    /// Rows of these trials, by identity or its first digits; those that are not there are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trial_rows(&self, prefixes: &[&str]) -> Result<Vec<(i64, String)>, StoreError> {
        sqlx::query_as(
            "SELECT t.trial, t.id FROM json_each(?) p JOIN trials t ON t.id >= p.value AND t.id < p.value || 'g' ORDER BY p.key, t.id",
        )
        .bind(json!(prefixes).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))
    }
}

/// One JSON text of many rows: sqlx takes longer over a row than SQLite.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<Vec<T>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Content(error.to_string()))
}
