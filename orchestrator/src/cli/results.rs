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
    sweep::{FigureSpec, Plan, ReportSpec, StagePlan},
};

/// What the column `sweeps.report` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredReport {
    /// The `report:` key, as resolved.
    tables: Vec<ReportSpec>,
    /// Stages, in the order in which they can run.
    stages: Vec<StagePlan>,
    /// The `figures:` key, as resolved; sweeps of earlier versions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) figures: Vec<FigureSpec>,
}

impl StoredReport {
    /// Of a plan.
    pub(super) fn of(plan: &Plan) -> Self {
        Self { tables: plan.report.clone(), stages: plan.stages.clone(), figures: plan.figures.clone() }
    }

    /// Of a launched sweep.
    ///
    /// # Errors
    /// [`CliError::NotFound`] when another version has written it.
    pub(super) fn of_row(sweep: &SweepRow) -> Result<Self, CliError> {
        serde_json::from_str(&sweep.report).map_err(|error| {
            let what =
                format!("the report of sweep `{}` in the database is not one of this version: {error}", sweep.name);
            CliError::NotFound { what, cure: "launch its file again with this version".to_owned() }
        })
    }

    fn stage(&self, name: &str) -> Option<&StagePlan> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// What the sweep is about: stage and metric of its first table, and whether larger is better.
    pub(super) fn subject(&self) -> Option<(&str, &str, bool)> {
        let table = self.tables.first()?;
        Some((&table.stage, &table.metric, self.stage(&table.stage).is_some_and(|stage| stage.maximize)))
    }

    /// The tables of the `report:` key; of the last stage's trials when there is none.
    pub(super) fn tables(&self, results: &[ResultRow]) -> Vec<Table> {
        if self.tables.is_empty() {
            return self.stages.last().map(|stage| Table::of_trials(&stage.name, results)).into_iter().collect();
        }
        let goal = |spec: &ReportSpec| {
            let stage = self.stage(&spec.stage)?;
            (stage.metric.as_deref() == Some(spec.metric.as_str())).then_some(stage.maximize)
        };
        self.tables.iter().map(|spec| Table::of_report(spec, results, goal(spec))).collect()
    }

    /// A table of trials for each stage, or for that one.
    fn trial_tables(
        &self,
        sweep: &SweepRow,
        stage: Option<&str>,
        results: &[ResultRow],
    ) -> Result<Vec<Table>, CliError> {
        let names: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
        if let Some(stage) = stage
            && !names.contains(&stage)
        {
            let what = format!("sweep `{}` has no stage `{stage}`", sweep.name);
            return Err(CliError::NotFound { what, cure: format!("there are {}", names.join(", ")) });
        }
        let wanted = names.into_iter().filter(|name| stage.is_none_or(|stage| stage == *name));
        Ok(wanted.map(|name| Table::of_trials(name, results)).collect())
    }
}

/// Prints the tables of a sweep.
pub(super) async fn run(global: &Global, args: &Results) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let sweep = sweep_named(&reader, args.sweep.as_deref()).await?;
    let report = StoredReport::of_row(&sweep)?;
    let results = reader.results(sweep.sweep).await?;
    let tables = if args.trials || args.stage.is_some() {
        report.trial_tables(&sweep, args.stage.as_deref(), &results)?
    } else {
        report.tables(&results)
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
