//! Results and curves as columns, for pandas, pyarrow and DuckDB.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Run, read};
use crate::{
    report::parquet::{Column, ParquetError, Values, Writer},
    store::{ExportTrial, Reader, StoreError, SweepRow},
};

/// Trials that are read at once.
const CHUNK: usize = 200;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// A file, and how many rows it has.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its rows.
    pub rows: usize,
}

/// A row a trial and result; a trial without results has one row, without `metric` and `value`. Parameters are columns, typed by
/// what they hold; one that has the name of another column is called `parameter_NAME`.
///
/// # Errors
/// [`TablesError`].
pub async fn results(reader: &Reader, sweep: &SweepRow) -> Result<Table, TablesError> {
    let trials = reader.export_trials(sweep.sweep).await?;
    let mut rows: Vec<(&ExportTrial, Option<String>, Option<f64>)> = Vec::new();
    // By trial and stage: one trial may stand in several, with other parameters.
    let mut parsed: BTreeMap<(i64, &str), BTreeMap<String, Value>> = BTreeMap::new();
    for chunk in trials.chunks(CHUNK) {
        for (run, trial) in read_lightly(reader, chunk).await?.into_iter().zip(chunk) {
            if run.1.is_empty() {
                rows.push((trial, None, None));
            }
            rows.extend(run.1.into_iter().map(|(name, value)| (trial, Some(name), Some(value))));
            parsed.insert((trial.trial, &trial.stage), run.0);
        }
    }
    let text = |of: fn(&ExportTrial) -> Option<String>| Values::Text(rows.iter().map(|row| of(row.0)).collect());
    let count = rows.len();
    let mut columns: Vec<(&str, Values)> = vec![
        ("sweep", Values::Text(vec![Some(sweep.name.clone()); count])),
        ("revision", Values::Integer(vec![Some(sweep.revision); count])),
        ("stage", text(|trial| Some(trial.stage.clone()))),
        ("trial_id", text(|trial| Some(trial.id.clone()))),
        ("kind", text(|trial| Some(trial.kind.clone()))),
        ("state", text(|trial| Some(trial.state.clone()))),
        ("metric", Values::Text(rows.iter().map(|row| row.1.clone()).collect())),
        ("value", Values::Real(rows.iter().map(|row| row.2).collect())),
        ("attempts", Values::Integer(rows.iter().map(|row| Some(row.0.attempts)).collect())),
        ("started", Values::Time(rows.iter().map(|row| row.0.started).collect())),
        ("ended", Values::Time(rows.iter().map(|row| row.0.ended).collect())),
        ("device", text(|trial| trial.device.clone())),
        ("model", text(|trial| trial.model.clone())),
        ("host", text(|trial| trial.host.clone())),
        ("program", text(|trial| trial.program.clone())),
        ("message", text(|trial| trial.message.clone())),
    ];
    let fixed: BTreeSet<&str> = columns.iter().map(|column| column.0).collect();
    let names: BTreeSet<&String> = parsed.values().flat_map(BTreeMap::keys).collect();
    let parameters: Vec<Column> = names
        .into_iter()
        .map(|name| {
            let values: Vec<Option<&Value>> =
                rows.iter().map(|row| parsed.get(&(row.0.trial, row.0.stage.as_str()))?.get(name)).collect();
            let taken = fixed.contains(name.as_str());
            Column { name: if taken { format!("parameter_{name}") } else { name.clone() }, values: typed(&values) }
        })
        .collect();
    let mut all: Vec<Column> =
        columns.drain(..).map(|(name, values)| Column { name: name.to_owned(), values }).collect();
    all.extend(parameters);
    Ok(Table { bytes: crate::report::parquet::write(&all)?, rows: count })
}

/// Parameters and results of trials, without their curves.
async fn read_lightly(
    reader: &Reader,
    trials: &[ExportTrial],
) -> Result<Vec<(BTreeMap<String, Value>, Vec<(String, f64)>)>, StoreError> {
    let rows: Vec<i64> = trials.iter().map(|trial| trial.trial).collect();
    let mut results: BTreeMap<i64, Vec<(String, f64)>> = BTreeMap::new();
    for (trial, name, value) in reader.export_results(&rows).await? {
        results.entry(trial).or_default().push((name, value));
    }
    let one = |trial: &ExportTrial| {
        let parameters = super::runs::parameters_of(trial)?;
        Ok((parameters, results.get(&trial.trial).cloned().unwrap_or_default()))
    };
    trials.iter().map(one).collect()
}

/// A column of the narrowest type that holds all: whole numbers, numbers, truth values, else text.
fn typed(values: &[Option<&Value>]) -> Values {
    let present = || values.iter().flatten().filter(|value| !value.is_null());
    let some = |value: &Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    if present().next().is_none() {
        return Values::Text(vec![None; values.len()]);
    }
    if present().all(|value| value.is_i64()) {
        return Values::Integer(values.iter().map(|value| some(value)?.as_i64()).collect());
    }
    if present().all(|value| value.is_number()) {
        return Values::Real(values.iter().map(|value| some(value)?.as_f64()).collect());
    }
    if present().all(|value| value.is_boolean()) {
        return Values::Boolean(values.iter().map(|value| some(value)?.as_bool()).collect());
    }
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Values::Text(values.iter().map(|value| some(value).map(text)).collect())
}

/// A row a value that a trial reported: at each step that of the latest attempt.
///
/// # Errors
/// [`TablesError`].
pub async fn curves(reader: &Reader, sweep: &SweepRow, now: i64) -> Result<Table, TablesError> {
    let trials = reader.export_trials(sweep.sweep).await?;
    let mut file = Writer::new(&curve_columns(&[]))?;
    let mut rows = 0;
    for chunk in trials.chunks(CHUNK) {
        let columns = curve_columns(&read(reader, chunk, now).await?);
        rows += columns[0].values.len();
        file.append(&columns)?;
    }
    Ok(Table { bytes: file.finish()?, rows })
}

fn curve_columns(runs: &[Run]) -> Vec<Column> {
    let rows: Vec<(&Run, &super::RunPoint)> =
        runs.iter().flat_map(|run| run.curves().into_iter().map(move |point| (run, point))).collect();
    let column = |name: &str, values| Column { name: name.to_owned(), values };
    vec![
        column("stage", Values::Text(rows.iter().map(|row| Some(row.0.trial.stage.clone())).collect())),
        column("trial_id", Values::Text(rows.iter().map(|row| Some(row.0.trial.id.clone())).collect())),
        column("metric", Values::Text(rows.iter().map(|row| Some(row.1.metric.clone())).collect())),
        column("step", Values::Integer(rows.iter().map(|row| Some(row.1.step)).collect())),
        column("value", Values::Real(rows.iter().map(|row| Some(row.1.value)).collect())),
        column("attempt", Values::Integer(rows.iter().map(|row| Some(row.1.attempt)).collect())),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_narrow_as_their_values() {
        let values = |values: &[Value]| {
            let values: Vec<Option<&Value>> = values.iter().map(Some).collect();
            typed(&values)
        };
        assert_eq!(values(&[json!(1), json!(null)]), Values::Integer(vec![Some(1), None]));
        assert_eq!(values(&[json!(1), json!(0.5)]), Values::Real(vec![Some(1.0), Some(0.5)]));
        assert_eq!(values(&[json!(true)]), Values::Boolean(vec![Some(true)]));
        assert_eq!(
            values(&[json!("a"), json!(2), json!([1])]),
            Values::Text(["a", "2", "[1]"].map(|t| Some(t.to_owned())).to_vec())
        );
        assert_eq!(typed(&[None]), Values::Text(vec![None]));
    }
}
