//! Cells by parameters, with the numbers that `permafrost results` prints.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    error::{Answer, Refusal},
    scope::{Scope, Wanted},
    site::{Loaded, Site},
};
use crate::{
    core::TrialState,
    report::{BLOCKED, Table, repeats::is_seed},
    store::{ResultRow, StageColumns},
    sweep::ReportSpec,
};

/// Most values of a parameter that makes rows, columns or panels.
const MAX_AXIS: usize = 60;

/// A heat map for each value of a parameter.
#[derive(Serialize)]
pub(super) struct GridAnswer {
    stage: String,
    row: Option<String>,
    column: Option<String>,
    by: Option<String>,
    value: Option<String>,
    maximize: Option<bool>,
    /// Parameters that may be rows, columns and panels.
    choices: Vec<String>,
    /// Others that vary, with the value that is meant; an empty text: all of them.
    filters: Vec<FilterLine>,
    /// Filters of the request that mean nothing here, and why.
    ignored: Vec<String>,
    /// Seeds differ: a cell is a mean over them.
    seeds: bool,
    /// As `docs/results-json.md` describes a table.
    table: Value,
}

#[derive(Serialize)]
struct FilterLine {
    name: String,
    value: String,
    values: Vec<String>,
}

/// `GET /api/grid`: `row`, `column` and `by` name parameters, `value` a result, and `f.NAME` values of other parameters; `*` stands for
/// all of them.
pub(super) async fn grid(State(site): State<Arc<Site>>, Wanted(mut asked): Wanted) -> Answer<GridAnswer> {
    let given: BTreeMap<String, String> =
        asked.extract_if(|key, _| key.starts_with("f.")).map(|(key, value)| (key[2..].to_owned(), value)).collect();
    let scope = Scope::of(&site, &asked).await?;
    let (stage, loaded) = (scope.stage(), &scope.loaded);
    let axes = Axes::of(loaded, stage, |name| asked.get(name).map(String::as_str))?;
    let value = asked.get("value").filter(|name| !name.is_empty()).cloned();
    let value = value.or_else(|| loaded.metric(&stage.name).map(|(name, _)| name.to_owned()));
    let filters = filters(stage, &axes, &given);
    let ignored = ignored(stage, &given);
    let results = match &value {
        Some(value) => results(&scope, &axes, &filters, value).await?,
        None => Vec::new(),
    };
    let maximize =
        loaded.metric(&stage.name).filter(|(name, _)| value.as_deref() == Some(*name)).and_then(|(_, max)| max);
    let table =
        loaded.report.tables.iter().find(|table| table.stage == stage.name && Some(&table.metric) == value.as_ref());
    let spec = json!({
        "title": "", "rows": axes.rows(), "columns": axes.column.iter().collect::<Vec<_>>(), "stage": stage.name,
        "metric": value.clone().unwrap_or_default(), "filter": Map::new(), "note": null,
        "reference": table.and_then(|table| table.reference.clone()),
    });
    let spec: ReportSpec =
        serde_json::from_value(spec).map_err(|error| Refusal::wrong(error.to_string(), "report this as a bug"))?;
    let mut table = Table::of_report(&spec, &results, maximize).to_json();
    tell_ready(&mut table, &axes, &results);
    let choices = stage.varying().filter(|(_, column)| column.values.len() <= MAX_AXIS);
    Ok(Json(GridAnswer {
        choices: choices.map(|(name, _)| name.to_owned()).collect(),
        stage: stage.name.clone(),
        maximize,
        value,
        filters,
        ignored,
        seeds: stage.varying().any(|(name, _)| is_seed(name)),
        table,
        row: axes.row,
        column: axes.column,
        by: axes.by,
    }))
}

/// Parameters of rows, columns and panels.
struct Axes {
    row: Option<String>,
    column: Option<String>,
    by: Option<String>,
}

impl Axes {
    /// Those asked for; otherwise text, vision and fraction where a sweep has them, then those of its table, then what varies.
    fn of<'a>(loaded: &Loaded, stage: &StageColumns, asked: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Refusal> {
        let varying: Vec<&str> =
            stage.varying().filter(|(_, column)| column.values.len() <= MAX_AXIS).map(|(name, _)| name).collect();
        let table = loaded.report.tables.iter().find(|table| table.stage == stage.name);
        let mut taken: Vec<String> = Vec::new();
        let mut pick = |key: &str, usual: &str, needed: bool| -> Result<Option<String>, Refusal> {
            let name = match asked(key) {
                Some("" | "-") => None,
                Some(name) if varying.contains(&name) => Some(name.to_owned()),
                Some(name) => {
                    let cure = format!("choose one of {}", varying.join(", "));
                    return Err(Refusal::wrong(
                        format!("`{name}` cannot be the {key} of a grid of `{}`", stage.name),
                        cure,
                    ));
                }
                None if varying.contains(&usual) => Some(usual.to_owned()),
                None if needed => {
                    let own = table
                        .into_iter()
                        .flat_map(|table| table.rows.iter().chain(&table.columns).map(String::as_str))
                        .filter(|name| !is_seed(name));
                    let mut all = own.chain(varying.iter().copied().filter(|name| !is_seed(name)));
                    all.find(|name| {
                        varying.contains(name)
                            && !taken.iter().any(|taken| taken == name)
                            && !["text", "vision", "fraction"].contains(name)
                    })
                    .map(str::to_owned)
                }
                None => None,
            };
            taken.extend(name.clone());
            Ok(name)
        };
        let row = pick("row", "text", true)?;
        let column = pick("column", "vision", true)?;
        let by = pick("by", "fraction", false)?;
        let by = by.filter(|by| Some(by) != row.as_ref() && Some(by) != column.as_ref());
        let column = column.filter(|column| Some(column) != row.as_ref());
        Ok(Self { row, column, by })
    }

    fn rows(&self) -> Vec<&String> {
        self.by.iter().chain(&self.row).collect()
    }

    fn has(&self, name: &str) -> bool {
        [&self.row, &self.column, &self.by].into_iter().flatten().any(|axis| axis == name)
    }
}

/// What else varies, and which of its values is meant: seeds are averaged, of others the first is shown.
fn filters(stage: &StageColumns, axes: &Axes, given: &BTreeMap<String, String>) -> Vec<FilterLine> {
    let others =
        stage.varying().filter(|(name, column)| !axes.has(name) && !is_seed(name) && column.values.len() <= MAX_AXIS);
    let lines = others.map(|(name, column)| {
        let mut sorted: Vec<&Value> = column.values.iter().collect();
        sorted.sort_by(|a, b| super::trials::compare(a, b));
        let values: Vec<String> = sorted.into_iter().map(super::scope::text).collect();
        let wanted = given.get(name).filter(|value| *value == "*" || values.contains(value));
        // The first of the plan, not of the alphabet.
        let first = column.values.first().map(super::scope::text).unwrap_or_default();
        FilterLine { name: name.to_owned(), value: wanted.cloned().unwrap_or(first), values }
    });
    lines.collect()
}

/// Filters that name no parameter of the stage, or a value that no trial has.
fn ignored(stage: &StageColumns, given: &BTreeMap<String, String>) -> Vec<String> {
    let told = given.iter().filter_map(|(name, value)| match stage.parameters.get(name) {
        None => Some(format!("trials of `{}` have no parameter `{name}`", stage.name)),
        Some(column) if value != "*" && !column.values.iter().any(|known| super::scope::text(known) == *value) => {
            Some(format!("no trial of `{}` has `{name}` = `{value}`", stage.name))
        }
        Some(_) => None,
    });
    told.collect()
}

/// A report calls trials that could run waiting, too; here they are told apart.
fn tell_ready(table: &mut Value, axes: &Axes, results: &[ResultRow]) {
    let names: Vec<&String> = [&axes.row, &axes.column, &axes.by].into_iter().flatten().collect();
    let ready: HashSet<String> = results
        .iter()
        .filter(|row| row.state == TrialState::Ready.name())
        .map(|row| names.iter().map(|name| json!(row.parameters.get(*name)).to_string()).collect())
        .collect();
    let columns = table["columns"].as_array().cloned().unwrap_or_default();
    for row in table["rows"].as_array_mut().into_iter().flatten() {
        let of_row = row["parameters"].clone();
        for (cell, of_column) in row["cells"].as_array_mut().into_iter().flatten().zip(&columns) {
            let value =
                |name: &&String| of_row.get(*name).or_else(|| of_column.get(*name)).unwrap_or(&Value::Null).to_string();
            if cell["state"] == "waiting" && ready.contains(&names.iter().map(value).collect::<String>()) {
                (cell["state"], cell["reason"]) = ("ready".into(), "ready".into());
            }
        }
    }
}

async fn results(scope: &Scope, axes: &Axes, filters: &[FilterLine], metric: &str) -> Result<Vec<ResultRow>, Refusal> {
    let stage = scope.stage();
    let values = scope.values(metric).await?;
    let wanted: Vec<(&[u32], Vec<bool>)> = filters
        .iter()
        .filter(|filter| filter.value != "*")
        .filter_map(|filter| {
            let column = stage.parameters.get(&filter.name)?;
            Some((
                column.of.as_slice(),
                column.values.iter().map(|value| super::scope::text(value) == filter.value).collect(),
            ))
        })
        .collect();
    let names: Vec<&String> = [&axes.row, &axes.column, &axes.by].into_iter().flatten().collect();
    let blocked = match scope.states.contains(&TrialState::Waiting) {
        true => scope.reader.blocked(&[scope.loaded.row.sweep]).await?,
        false => HashSet::new(),
    };
    let fits = |place: usize| wanted.iter().all(|(of, meant)| meant.get(of[place] as usize).copied().unwrap_or(false));
    let row = |place: usize| ResultRow {
        stage: stage.name.clone(),
        id: stage.ids[place].clone(),
        state: if blocked.contains(&stage.ids[place]) { BLOCKED } else { scope.states[place].name() }.to_owned(),
        parameters: names
            .iter()
            .filter_map(|name| Some(((*name).clone(), stage.value(place, name)?.clone())))
            .collect(),
        values: values[place].map(|value| (metric.to_owned(), value)).into_iter().collect(),
    };
    Ok(scope.places.iter().copied().filter(|&place| fits(place)).map(row).collect())
}
