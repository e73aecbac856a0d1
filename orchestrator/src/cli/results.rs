//! `permafrost results`.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    args::{Global, Results},
    error::CliError,
    status::sweep_named,
    ui,
};
use crate::{
    report::{Format, Table, render},
    store::{DATABASE, Reader, ResultRow, SweepRow},
    sweep::{Plan, ReportSpec, StagePlan},
};

/// What the column `sweeps.report` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredReport {
    /// The `report:` key, as resolved.
    pub(super) tables: Vec<ReportSpec>,
    /// Stages, in the order in which they can run.
    pub(super) stages: Vec<StagePlan>,
}

impl StoredReport {
    /// Of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        Self { tables: plan.report.clone(), stages: plan.stages.clone() }
    }

    fn of_row(sweep: &SweepRow) -> Result<Self, CliError> {
        serde_json::from_str(&sweep.report).map_err(|error| {
            let what =
                format!("the report of sweep `{}` in the database is not one of this version: {error}", sweep.name);
            CliError::NotFound { what, cure: "launch its file again with this version".to_owned() }
        })
    }
}

/// What a sweep is about: stage and metric of its first table, and whether larger is better.
pub(super) fn subject(sweep: &SweepRow) -> Result<Option<(String, String, bool)>, CliError> {
    let report = StoredReport::of_row(sweep)?;
    let Some(table) = report.tables.first() else { return Ok(None) };
    let maximize = report.stages.iter().find(|stage| stage.name == table.stage).is_some_and(|stage| stage.maximize);
    Ok(Some((table.stage.clone(), table.metric.clone(), maximize)))
}

/// Prints the tables of a sweep.
pub(super) async fn run(global: &Global, args: &Results) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let sweep = sweep_named(&reader, args.sweep.as_deref()).await?;
    let tables = if args.trials || args.stage.is_some() {
        trial_tables(&reader, &sweep, args.stage.as_deref()).await?
    } else {
        tables(&reader, &sweep).await?
    };
    let format = if global.json { Format::Json } else { args.format };
    let text = document(&sweep, &tables, format)?;
    match &args.output {
        None => ui::out(text.trim_end()),
        Some(path) => {
            let text = format!("{}\n", text.trim_end());
            fs::write(path, text).map_err(|source| CliError::Io { action: "write", path: path.clone(), source })
        }
    }
}

/// Tables in one document. JSON says which sweep they are of.
pub(super) fn document(sweep: &SweepRow, tables: &[Table], format: Format) -> Result<String, CliError> {
    if format == Format::Json {
        let tables: Vec<_> = tables.iter().map(Table::to_json).collect();
        let value = json!({"sweep": sweep.name, "revision": sweep.revision, "tables": tables});
        return Ok(format!("{value:#}"));
    }
    Ok(render(tables, format, ui::style()))
}

/// The tables of the `report:` key; of the last stage's trials when there is none.
pub(super) async fn tables(reader: &Reader, sweep: &SweepRow) -> Result<Vec<Table>, CliError> {
    let report = StoredReport::of_row(sweep)?;
    let results = reader.results(sweep.sweep).await?;
    if report.tables.is_empty() {
        let last = report.stages.last().map(|stage| Table::of_trials(&stage.name, &of_stage(&results, &stage.name)));
        return Ok(last.into_iter().collect());
    }
    let goal = |spec: &ReportSpec| {
        let stage = report.stages.iter().find(|stage| stage.name == spec.stage)?;
        (stage.metric.as_deref() == Some(spec.metric.as_str())).then_some(stage.maximize)
    };
    Ok(report.tables.iter().map(|spec| Table::of_report(spec, &results, goal(spec))).collect())
}

async fn trial_tables(reader: &Reader, sweep: &SweepRow, stage: Option<&str>) -> Result<Vec<Table>, CliError> {
    let report = StoredReport::of_row(sweep)?;
    let names: Vec<&str> = report.stages.iter().map(|stage| stage.name.as_str()).collect();
    if let Some(stage) = stage
        && !names.contains(&stage)
    {
        let what = format!("sweep `{}` has no stage `{stage}`", sweep.name);
        return Err(CliError::NotFound { what, cure: format!("there are {}", names.join(", ")) });
    }
    let results = reader.results(sweep.sweep).await?;
    let wanted = names.into_iter().filter(|name| stage.is_none_or(|stage| stage == *name));
    Ok(wanted.map(|name| Table::of_trials(name, &of_stage(&results, name))).collect())
}

fn of_stage(results: &[ResultRow], stage: &str) -> Vec<ResultRow> {
    results.iter().filter(|row| row.stage == stage).cloned().collect()
}
