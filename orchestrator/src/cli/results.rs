//! `permafrost results`.

use std::collections::{BTreeSet, HashMap, HashSet};

use permafrost_worker::task::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    args::{Global, Output, Results},
    error::CliError,
    output, ui,
    which::sweep_at,
};
use crate::{
    report::{BLOCKED, Format, Table, lineage::Lineage, paper, render},
    store::{DATABASE, MadeRow, PlacedRow, Reader, ResultRow, SweepRow},
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

    /// Whether more of a result is better, of that stage or of any.
    pub(super) fn goal_of(&self, stage: Option<&str>, metric: &str) -> Option<bool> {
        let of = |known: &&StagePlan| {
            stage.is_none_or(|stage| known.name == stage) && known.metric.as_deref() == Some(metric)
        };
        self.stages.iter().find(of).map(|stage| stage.maximize)
    }

    /// Stages, in the order in which they can run.
    pub(super) fn stages(&self) -> &[StagePlan] {
        &self.stages
    }

    /// What the sweep is about: stage and metric of its first table, and whether larger is better.
    pub(super) fn subject(&self) -> Option<(&str, &str, bool)> {
        let table = self.tables.first()?;
        Some((&table.stage, &table.metric, self.stage(&table.stage).is_some_and(|stage| stage.maximize)))
    }

    /// Whether a larger value is better: only of what a stage's trials are compared by is that known.
    fn goal(&self, spec: &ReportSpec) -> Option<bool> {
        let stage = self.stage(&spec.stage)?;
        (stage.metric.as_deref() == Some(spec.metric.as_str())).then_some(stage.maximize)
    }

    /// The tables of the `report:` key; of the last stage's trials when there is none.
    pub(super) fn tables(&self, results: &[ResultRow]) -> Vec<Table> {
        if self.tables.is_empty() {
            return self.stages.last().map(|stage| Table::of_trials(&stage.name, results)).into_iter().collect();
        }
        self.tables.iter().map(|spec| Table::of_report(spec, results, self.goal(spec))).collect()
    }

    /// A comparison by a parameter for each table that has it.
    fn comparisons(
        &self,
        sweep: &SweepRow,
        results: &[ResultRow],
        parameter: &str,
        against: Option<&str>,
    ) -> Result<Vec<Table>, CliError> {
        let has = |spec: &&ReportSpec| spec.rows.iter().chain(&spec.columns).any(|name| name == parameter);
        let specs: Vec<&ReportSpec> = self.tables.iter().filter(has).collect();
        if specs.is_empty() {
            let names: BTreeSet<&str> =
                self.tables.iter().flat_map(|spec| spec.rows.iter().chain(&spec.columns)).map(String::as_str).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let what = format!("no table of sweep `{}` has `{parameter}` in its rows or columns", sweep.name);
            let cure =
                if names.is_empty() { "give the sweep a `report:`".to_owned() } else { format!("there are {names}") };
            return Err(CliError::NotFound { what, cure });
        }
        // As it is typed, a number or a text.
        let against = against.map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
        if let Some(value) = &against {
            let occurs = |trial: &ResultRow| trial.parameters.get(parameter).is_some_and(|own| same(own, value));
            if !results.iter().any(occurs) {
                let known: BTreeSet<String> =
                    results.iter().filter_map(|trial| trial.parameters.get(parameter)).map(plain).collect();
                let what = format!("no trial of sweep `{}` has {parameter} {}", sweep.name, plain(value));
                let cure = format!("there are {}", known.into_iter().collect::<Vec<_>>().join(", "));
                return Err(CliError::NotFound { what, cure });
            }
        }
        let compared =
            specs.iter().map(|spec| Table::of_comparison(spec, results, self.goal(spec), parameter, against.as_ref()));
        let compared: Vec<Table> = compared.flatten().collect();
        if compared.is_empty() {
            let (what, cure) = match against.is_some() || specs.iter().any(|spec| self.goal(spec).is_some()) {
                true => ("too many cells to compare", "give the table fewer: a `filter:`, or other rows and columns"),
                false => ("nothing says whether more is better of what these tables show", "add --against VALUE"),
            };
            return Err(CliError::Usage { what: what.to_owned(), cure: cure.to_owned() });
        }
        Ok(compared)
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

/// Prints the tables of a sweep, or one of the paper.
pub(super) async fn run(global: &Global, args: &Results) -> Result<(), CliError> {
    let reader = Reader::open(&global.home.join(DATABASE)).await?;
    let format = Output::chosen(args.format, global.json, args.output.as_deref());
    if let Some(number) = args.table {
        return paper(&reader, usize::from(number), args, format).await;
    }
    if let [_, other, ..] = &args.sweeps[..] {
        let what = format!("the tables of one sweep are printed, and `{other}` is a second one");
        return Err(CliError::Usage { what, cure: "name one; `permafrost history` shows several".to_owned() });
    }
    let sweep = sweep_at(&reader, args.sweeps.first().map(String::as_str), args.revision).await?;
    let mut report = StoredReport::of_row(&sweep)?;
    if let Some(spread) = args.spread {
        report.tables.iter_mut().for_each(|spec| spec.spread = spread);
    }
    let results = reader.results(sweep.sweep).await?;
    let tables = if let Some(parameter) = &args.compare {
        report.comparisons(&sweep, &results, parameter, args.against.as_deref())?
    } else if args.trials || args.stage.is_some() {
        let usage = reader.sweep_usage(sweep.sweep).await?;
        let tables = report.trial_tables(&sweep, args.stage.as_deref(), &results)?;
        tables.into_iter().map(|table| table.with_usage(&usage)).collect()
    } else {
        report.tables(&told(&reader, sweep.sweep, results).await?)
    };
    output::write(&tables, format, args.output.as_deref(), || as_json(&sweep, &tables))
}

/// Results for cells: trials that wait in vain are told apart from those that only wait.
pub(super) async fn told(reader: &Reader, sweep: i64, mut results: Vec<ResultRow>) -> Result<Vec<ResultRow>, CliError> {
    mark_blocked(&reader.blocked(&[sweep]).await?, &mut results);
    Ok(results)
}

fn mark_blocked(blocked: &HashSet<String>, results: &mut [ResultRow]) {
    for row in results.iter_mut().filter(|row| blocked.contains(&row.id)) {
        BLOCKED.clone_into(&mut row.state);
    }
}

/// Prints a table of the paper, filled from these sweeps, or from all.
async fn paper(reader: &Reader, number: usize, args: &Results, format: Output) -> Result<(), CliError> {
    let mut sweeps = Vec::new();
    for name in &args.sweeps {
        sweeps.push(sweep_at(reader, Some(name), None).await?.sweep);
    }
    if args.sweeps.is_empty() {
        sweeps = reader.sweeps().await?.into_iter().map(|sweep| sweep.sweep).collect();
    }
    let lineage: Lineage = reader.tasks().await?.into_iter().collect();
    let heads = heads(reader, &sweeps).await?;
    let table = paper::table(number, &lineage, heads, args.spread.unwrap_or_default());
    let table = table.ok_or_else(|| CliError::NotFound {
        what: format!("the paper has no table {number}"),
        cure: "it has 1, 2 and 3".to_owned(),
    })?;
    let tables = [table];
    let json = || json!({"paper_table": number, "sweeps": args.sweeps, "tables": [tables[0].to_json()]});
    output::write(&tables, format, args.output.as_deref(), json)
}

/// Classification heads of these sweeps, each once, as the latest sweep calls it.
async fn heads(reader: &Reader, sweeps: &[i64]) -> Result<Vec<ResultRow>, CliError> {
    let made = reader.made(sweeps).await?;
    let mut values = reader.values(sweeps).await?;
    let mut places: HashMap<String, PlacedRow> = HashMap::new();
    for place in reader.placed(sweeps).await? {
        places.insert(place.id.clone(), place);
    }
    let of_kind = made.into_iter().filter(|trial| trial.kind == Kind::Classify.name());
    let row = |trial: MadeRow| {
        let PlacedRow { stage, parameters, .. } = places.remove(&trial.id)?;
        let values = values.remove(&trial.id).unwrap_or_default();
        Some(ResultRow { stage, state: trial.state, parameters, values, id: trial.id })
    };
    let mut heads: Vec<ResultRow> = of_kind.filter_map(row).collect();
    mark_blocked(&reader.blocked(sweeps).await?, &mut heads);
    Ok(heads)
}

/// Tables in one document. JSON says which sweep they are of.
pub(super) fn document(sweep: &SweepRow, tables: &[Table], format: Format) -> Result<String, CliError> {
    if format == Format::Json {
        return Ok(format!("{:#}", as_json(sweep, tables)));
    }
    Ok(render(tables, format, ui::style()))
}

fn as_json(sweep: &SweepRow, tables: &[Table]) -> Value {
    let tables: Vec<_> = tables.iter().map(Table::to_json).collect();
    json!({"sweep": sweep.name, "revision": sweep.revision, "tables": tables})
}

/// A value as a user types it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether two values are the same; 1 and 1.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
