//! Two sweeps, or two revisions of one.

use std::collections::{BTreeMap, BTreeSet};

use permafrost_worker::id::TrialId;
use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;

use super::{
    super::{error::CliError, results::StoredReport, ui},
    print, section, shown,
};
use crate::{
    report::{
        Table, labelled,
        lineage::{self, Lineage, differences},
        repeats::{self, Outcome},
        stats::moments,
        versions::compared,
    },
    store::{MadeRow, PlacedRow, Reader, SweepRow},
};

/// Lines around a change of the file.
const CONTEXT: usize = 3;

/// What differs between two sweeps, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct SweepDiff {
    a: Side,
    b: Side,
    stages: Vec<StageDiff>,
    parameters: Vec<Parameter>,
    /// Collections and encoders, by what the sweeps call them.
    inputs: Vec<Input>,
    results: Vec<Row>,
    /// The files, as a unified diff; empty where they are equal.
    file: String,
}

#[derive(Debug, Serialize)]
struct Side {
    sweep: String,
    revision: i64,
    tags: Value,
    submitted: i64,
    trials: usize,
    done: usize,
    programs: BTreeSet<String>,
    devices: BTreeSet<String>,
    data: BTreeSet<String>,
}

/// Trials of a stage.
#[derive(Debug, Serialize)]
struct StageDiff {
    stage: String,
    shared: usize,
    only_a: usize,
    only_b: usize,
}

/// A parameter whose values are not the same.
#[derive(Debug, Serialize)]
struct Parameter {
    stage: String,
    name: String,
    a: Vec<Value>,
    b: Vec<Value>,
}

/// Something of an input that is not the same.
#[derive(Debug, Serialize)]
struct Input {
    what: String,
    setting: String,
    a: Option<Value>,
    b: Option<Value>,
}

/// A cell that both have.
#[derive(Debug, Serialize)]
struct Row {
    stage: String,
    metric: String,
    parameters: BTreeMap<String, Value>,
    n_a: usize,
    n_b: usize,
    mean_a: f64,
    mean_b: f64,
    sd_a: Option<f64>,
    sd_b: Option<f64>,
    /// All its trials are the same in both.
    shared: bool,
    /// `mean_b` less `mean_a`.
    difference: f64,
    /// Trials of equal seeds.
    pairs: usize,
    /// B less A, mean over the pairs, with its interval.
    paired_difference: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    p_t: Option<f64>,
    p_t_holm: Option<f64>,
    verdict: &'static str,
}

/// One side, with what the database has of it.
struct Loaded {
    row: SweepRow,
    source: String,
    report: StoredReport,
    made: Vec<MadeRow>,
    placed: Vec<PlacedRow>,
    values: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Loaded {
    async fn new(reader: &Reader, row: SweepRow) -> Result<Self, CliError> {
        let sweep = [row.sweep];
        Ok(Self {
            source: reader.source(row.sweep).await?,
            report: StoredReport::of_row(&row)?,
            made: reader.made(&sweep).await?,
            placed: reader.placed(&sweep).await?,
            values: reader.values(&sweep).await?,
            row,
        })
    }

    fn side(&self, lineage: &Lineage) -> Side {
        let done = || self.made.iter().filter(|trial| trial.state == "done");
        let prepared = self.placed.iter().filter_map(|place| lineage.data(place.id.parse::<TrialId>().ok()?));
        Side {
            sweep: self.row.name.clone(),
            revision: self.row.revision,
            tags: serde_json::from_str(&self.row.tags).unwrap_or_default(),
            submitted: self.row.submitted,
            trials: self.placed.len(),
            done: done().count(),
            programs: done().filter_map(|trial| trial.program.clone()).collect(),
            devices: done().filter_map(|trial| trial.model.clone()).collect(),
            data: prepared.collect(),
        }
    }

    fn stage(&self, stage: &str) -> impl Iterator<Item = &PlacedRow> + Clone {
        self.placed.iter().filter(move |place| place.stage == stage)
    }

    /// Stages in order.
    fn stages(&self) -> Vec<&str> {
        self.report.stages().iter().map(|stage| stage.name.as_str()).collect()
    }

    /// Values of each parameter of a stage.
    fn parameters(&self, stage: &str) -> BTreeMap<String, Vec<Value>> {
        let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for place in self.stage(stage) {
            for (name, value) in &place.parameters {
                let known = values.entry(name.clone()).or_default();
                if !known.contains(value) {
                    known.push(value.clone());
                }
            }
        }
        values
    }

    /// The same, seeds left out.
    fn settings(&self, stage: &str) -> BTreeMap<String, Vec<Value>> {
        lineage::without_seeds(&self.parameters(stage))
    }

    /// Results of a stage's cells, by the parameters that are not in `left_out`: of each value its seed and trial.
    fn cells(&self, stage: &str, metric: &str, left_out: &BTreeSet<String>) -> BTreeMap<String, Cell> {
        let mut cells: BTreeMap<String, Cell> = BTreeMap::new();
        for place in self.stage(stage) {
            let Some(value) = self.values.get(&place.id).and_then(|values| values.get(metric)) else { continue };
            let mut parameters = lineage::without_seeds(&place.parameters);
            parameters.retain(|name, _| !left_out.contains(name));
            let cell = cells.entry(json!(parameters).to_string()).or_default();
            cell.parameters = parameters;
            cell.trials.insert(place.id.clone());
            cell.results.push(lineage::outcome(&place.parameters, *value));
        }
        cells
    }
}

#[derive(Default)]
struct Cell {
    parameters: BTreeMap<String, Value>,
    trials: BTreeSet<String>,
    results: Vec<Outcome>,
}

impl Cell {
    /// Number, mean and standard deviation of what is independent.
    fn moments(&self) -> (usize, f64, Option<f64>) {
        let values = repeats::independent(self.results.iter().map(|found| (found.unit.as_deref(), found.value)));
        // A cell has at least one result: it was made for one.
        let (mean, sd) = moments(&values).unwrap_or((f64::NAN, None));
        (values.len(), mean, sd)
    }
}

/// Compares.
pub(super) async fn compare(
    reader: &Reader,
    a: Box<SweepRow>,
    b: Box<SweepRow>,
    metric: Option<&str>,
) -> Result<SweepDiff, CliError> {
    let (a, b) = (Loaded::new(reader, *a).await?, Loaded::new(reader, *b).await?);
    let lineage: Lineage = reader.tasks().await?.into_iter().collect();
    let mut stages = a.stages();
    stages.extend(b.stages().into_iter().filter(|stage| !a.stages().contains(stage)));
    let mut results = Vec::new();
    let mut known = BTreeSet::new();
    for stage in stages.iter().filter(|stage| b.stages().contains(stage) && a.stages().contains(stage)) {
        for side in [&a, &b] {
            let values = side.stage(stage).filter_map(|place| side.values.get(&place.id));
            known.extend(values.flatten().map(|(name, _)| name.clone()));
        }
        results.extend(rows(&a, &b, stage, metric));
    }
    if let Some(metric) = metric.filter(|metric| !known.contains(*metric)) {
        let what = format!("no stage that both sweeps have has a result `{metric}`");
        let cure = match known.is_empty() {
            true => "wait: `permafrost status` says how far they are".to_owned(),
            false => format!("there are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        return Err(CliError::NotFound { what, cure });
    }
    let names = [&a, &b].map(|side| format!("{}@{}", side.row.name, side.row.revision));
    let file = TextDiff::from_lines(&a.source, &b.source);
    let file = file.unified_diff().context_radius(CONTEXT).header(&names[0], &names[1]).to_string();
    Ok(SweepDiff {
        stages: stages.iter().map(|stage| of_stage(&a, &b, stage)).collect(),
        parameters: stages.iter().flat_map(|stage| parameters(&a, &b, stage)).collect(),
        inputs: inputs(&a, &b, &lineage),
        results,
        file: if a.source == b.source { String::new() } else { file },
        a: a.side(&lineage),
        b: b.side(&lineage),
    })
}

fn of_stage(a: &Loaded, b: &Loaded, stage: &str) -> StageDiff {
    let ids = |side: &'_ Loaded| -> BTreeSet<String> { side.stage(stage).map(|place| place.id.clone()).collect() };
    let (a, b) = (ids(a), ids(b));
    StageDiff {
        stage: stage.to_owned(),
        shared: a.intersection(&b).count(),
        only_a: a.difference(&b).count(),
        only_b: b.difference(&a).count(),
    }
}

fn parameters(a: &Loaded, b: &Loaded, stage: &str) -> Vec<Parameter> {
    let (a, b) = (a.parameters(stage), b.parameters(stage));
    if a.is_empty() || b.is_empty() {
        return Vec::new();
    }
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let of = |values: &BTreeMap<String, Vec<Value>>, name: &String| values.get(name).cloned().unwrap_or_default();
    let sorted = |mut values: Vec<Value>| {
        values.sort_by_key(Value::to_string);
        values
    };
    let differ = names.into_iter().filter(|name| sorted(of(&a, name)) != sorted(of(&b, name)));
    differ
        .map(|name| Parameter { stage: stage.to_owned(), name: name.clone(), a: of(&a, name), b: of(&b, name) })
        .collect()
}

/// Collections and encoders under the same name that are not the same thing.
fn inputs(a: &Loaded, b: &Loaded, lineage: &Lineage) -> Vec<Input> {
    // Collections of a reader that one side has several of are known by their names.
    let several: BTreeSet<String> = [a, b].into_iter().flat_map(|side| readers_of_several(side, lineage)).collect();
    let (a, b) = (called(a, lineage, &several), called(b, lineage, &several));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        match (a.get(name), b.get(name)) {
            (Some(one), Some(other)) => {
                let differ = differences(one, other);
                found.extend(differ.into_iter().map(|(setting, a, b)| Input { what: name.clone(), setting, a, b }));
            }
            (one, other) => {
                let there = |side: Option<&BTreeMap<String, Value>>| side.map(|_| json!("there"));
                let (a, b) = (there(one), there(other));
                found.push(Input { what: name.clone(), setting: String::new(), a, b });
            }
        }
    }
    found
}

/// The reader of a trial that is a collection.
fn reader_of(id: TrialId, lineage: &Lineage) -> Option<String> {
    Some(lineage.data(id)?.split(' ').next().unwrap_or_default().to_owned())
}

/// Readers of which a sweep has several collections.
fn readers_of_several(side: &Loaded, lineage: &Lineage) -> Vec<String> {
    let mut collections: BTreeMap<String, BTreeSet<TrialId>> = BTreeMap::new();
    for id in side.placed.iter().filter_map(|place| place.id.parse().ok()) {
        if let Some(reader) = reader_of(id, lineage) {
            collections.entry(reader).or_default().insert(id);
        }
    }
    collections.into_iter().filter(|(_, ids)| ids.len() > 1).map(|(reader, _)| reader).collect()
}

/// What collections and encoders of a sweep are, by a name for people.
fn called(side: &Loaded, lineage: &Lineage, several: &BTreeSet<String>) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for place in &side.placed {
        let Ok(id) = place.id.parse::<TrialId>() else { continue };
        if let Some(reader) = reader_of(id, lineage) {
            let own = place.parameters.get("dataset").and_then(Value::as_str).filter(|_| several.contains(&reader));
            found.entry(format!("data {}", own.unwrap_or(&reader))).or_insert_with(|| lineage.described(id));
        } else if lineage.embed(id).is_some() {
            let name = ["vision", "text", "encoder"]
                .into_iter()
                .find_map(|name| Some(format!("{name} {}", place.parameters.get(name)?.as_str()?)));
            let mut described = lineage.described(id);
            described.retain(|path, _| !path.starts_with("dataset."));
            found.entry(name.unwrap_or_else(|| format!("encoder {}", id.short()))).or_insert(described);
        }
    }
    found
}

/// Cells of a stage that both have. A parameter that has one value in each, and not the same, is what was changed: cells are found without it.
fn rows(a: &Loaded, b: &Loaded, stage: &str, metric: Option<&str>) -> Vec<Row> {
    let plan = a.report.stages().iter().find(|plan| plan.name == stage);
    let own = plan.and_then(|plan| plan.metric.as_deref());
    let Some(metric) = metric.or(own) else { return Vec::new() };
    let maximize = a.report.goal_of(Some(stage), metric);
    let (of_a, of_b) = (a.settings(stage), b.settings(stage));
    let names: BTreeSet<&String> = of_a.keys().chain(of_b.keys()).collect();
    let one = |values: Option<&Vec<Value>>| values.is_none_or(|values| values.len() == 1);
    let changed = |name: &&String| {
        let (a, b) = (of_a.get(*name), of_b.get(*name));
        a != b && one(a) && one(b)
    };
    let left_out: BTreeSet<String> = names.into_iter().filter(changed).cloned().collect();
    let (of_a, mut of_b) = (a.cells(stage, metric, &left_out), b.cells(stage, metric, &left_out));
    let both = of_a.into_iter().filter_map(|(key, cell)| Some((cell, of_b.remove(&key)?)));
    let both = both.map(|(mut a, mut b)| {
        repeats::settle(a.results.iter_mut().chain(&mut b.results));
        (a, b)
    });
    let both: Vec<(Cell, Cell)> = both.collect();
    let families: Vec<_> = both.iter().map(|(a, b)| (a.results.clone(), b.results.clone())).collect();
    let row = |((a, b), comparison): ((Cell, Cell), Option<crate::report::versions::Comparison>)| {
        let ((n_a, mean_a, sd_a), (n_b, mean_b, sd_b)) = (a.moments(), b.moments());
        let tested = comparison.as_ref().filter(|comparison| comparison.pairs > 0);
        Row {
            stage: stage.to_owned(),
            metric: metric.to_owned(),
            n_a,
            n_b,
            mean_a,
            mean_b,
            sd_a,
            sd_b,
            shared: a.trials == b.trials,
            pairs: tested.map_or(0, |comparison| comparison.pairs),
            difference: mean_b - mean_a,
            paired_difference: tested.map(|comparison| comparison.difference),
            low: tested.and_then(|comparison| comparison.interval).map(|interval| interval.low),
            high: tested.and_then(|comparison| comparison.interval).map(|interval| interval.high),
            p_t: tested.and_then(|comparison| comparison.p_t),
            p_t_holm: tested.and_then(|comparison| comparison.p_t_holm),
            verdict: comparison.as_ref().map_or("no pairs", |comparison| comparison.verdict(maximize)),
            parameters: a.parameters,
        }
    };
    both.into_iter().zip(compared(&families)).map(row).collect()
}

impl SweepDiff {
    /// For people.
    pub(super) fn print(&self) -> Result<(), CliError> {
        let (a, b) = (&self.a, &self.b);
        let joined = |texts: &BTreeSet<String>| texts.iter().cloned().collect::<Vec<_>>().join(", ");
        let facts: [(&str, [String; 2]); 7] = [
            ("revision", [a, b].map(|side| side.revision.to_string())),
            ("launched", [a, b].map(|side| ui::time(side.submitted))),
            ("trials", [a, b].map(|side| format!("{}, {} done", side.trials, side.done))),
            ("program", [a, b].map(|side| joined(&side.programs))),
            ("devices", [a, b].map(|side| joined(&side.devices))),
            ("data", [a, b].map(|side| joined(&side.data))),
            (
                "tags",
                [a, b].map(|side| {
                    side.tags
                        .as_array()
                        .map(|tags| tags.iter().map(|tag| shown(Some(tag))).collect::<Vec<_>>().join(", "))
                        .unwrap_or_default()
                }),
            ),
        ];
        let rows = facts.into_iter().map(|(name, [a, b])| vec![name.to_owned(), a, b]).collect();
        ui::out(ui::grid(&["sweep", &a.sweep, &b.sweep], rows, &[]))?;
        let rows = self.stages.iter();
        let rows = rows.map(|s| vec![json!(s.stage), json!(s.shared), json!(s.only_a), json!(s.only_b)]);
        section("Trials", &["stage", "shared", "only A", "only B"], 0, rows.collect())?;
        let list = |values: &[Value]| values.iter().map(|value| shown(Some(value))).collect::<Vec<_>>().join(", ");
        let rows = self.parameters.iter();
        let rows = rows.map(|p| vec![json!(p.stage), json!(p.name), json!(list(&p.a)), json!(list(&p.b))]);
        section("Parameters that differ", &["stage", "parameter", "A", "B"], 0, rows.collect())?;
        let rows = self.inputs.iter().map(|input| {
            let [a, b] = [&input.a, &input.b].map(|value| json!(shown(value.as_ref())));
            vec![json!(input.what), json!(input.setting), a, b]
        });
        section("Data and encoders that differ", &["input", "setting", "A", "B"], 0, rows.collect())?;
        self.print_results()?;
        if self.file.is_empty() {
            return ui::out("\nthe files are equal");
        }
        ui::out(format_args!("\n{}", self.file.trim_end()))
    }

    fn print_results(&self) -> Result<(), CliError> {
        let stages: BTreeSet<(&str, &str)> =
            self.results.iter().map(|row| (row.stage.as_str(), row.metric.as_str())).collect();
        for (stage, metric) in stages {
            let rows: Vec<&Row> =
                self.results.iter().filter(|row| row.stage == stage && row.metric == metric).collect();
            let varying: Vec<&String> = rows[0]
                .parameters
                .keys()
                .filter(|name| rows.iter().any(|row| row.parameters.get(*name) != rows[0].parameters.get(*name)))
                .collect();
            let numbers = ["n", "A", "B", "B - A", "pairs", "paired B - A", "low", "high", "p", "verdict"];
            let names: Vec<String> =
                varying.iter().map(|name| name.as_str()).chain(numbers).map(str::to_owned).collect();
            let line = |row: &&Row| {
                let own = varying.iter().map(|name| row.parameters.get(*name).cloned().unwrap_or_default());
                let n = if row.n_a == row.n_b { row.n_a.to_string() } else { format!("{}, {}", row.n_a, row.n_b) };
                own.chain([
                    json!(n),
                    json!(row.mean_a),
                    json!(row.mean_b),
                    json!(row.difference),
                    json!(row.pairs),
                    json!(row.paired_difference),
                    json!(row.low),
                    json!(row.high),
                    json!(row.p_t_holm),
                    json!(if row.shared { "same trials" } else { row.verdict }),
                ])
                .collect()
            };
            let constant: Vec<String> = rows[0]
                .parameters
                .iter()
                .filter(|(name, _)| !varying.contains(name))
                .map(|(name, value)| format!("{name} {}", labelled(name, value)))
                .collect();
            let constant = match &constant[..] {
                [] => String::new(),
                all => format!("\nin all of them: {}", all.join(", ")),
            };
            // What has one value on each side is no reason not to compare.
            let changed: Vec<String> = self
                .parameters
                .iter()
                .filter(|p| p.stage == stage && p.a.len() < 2 && p.b.len() < 2)
                .filter(|p| !repeats::own(&p.name) && !repeats::of_input(&p.name))
                .map(|p| format!("{} {} and {}", p.name, shown(p.a.first()), shown(p.b.first())))
                .collect();
            let changed = match &changed[..] {
                [] => String::new(),
                all => format!("\nA and B differ in: {}", all.join(", ")),
            };
            let title = format!("{stage}.{metric} of the cells that both have{constant}{changed}");
            let note = "A, B: means over all seeds of each; paired B - A: mean over the pairs of equal seeds, with its 95 % interval and the p of \
                        its t test (Holm), from 3 pairs on";
            let table =
                Table::of_rows(&title, Some(note.to_owned()), &names, varying.len(), rows.iter().map(line).collect());
            let means = rows.iter().flat_map(|row| [row.mean_a, row.mean_b]);
            print(table.alike(&["A", "B", "B - A", "paired B - A", "low", "high"], means))?;
        }
        Ok(())
    }
}
