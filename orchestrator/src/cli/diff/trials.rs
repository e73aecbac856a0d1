//! Two trials.

use std::collections::BTreeMap;

use permafrost_worker::id::TrialId;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    super::{error::CliError, ui},
    section, shown,
};
use crate::{
    report::lineage::{Lineage, differences},
    store::{CurvePoint, Reader, TrialDetail},
};

/// What differs between two trials, and what came of it.
#[derive(Debug, Serialize)]
pub(super) struct TrialDiff {
    a: Side,
    b: Side,
    /// They are one trial.
    same: bool,
    /// What determines the results and is not equal.
    changed: Vec<Changed>,
    results: Vec<Pair>,
    curves: Vec<Curve>,
}

#[derive(Debug, Serialize)]
struct Side {
    trial: String,
    kind: String,
    state: String,
    sweeps: Vec<String>,
    parameters: Value,
    data: Vec<String>,
    attempts: usize,
    program: Option<String>,
    host: Option<String>,
    device: Option<String>,
    model: Option<String>,
    /// Of the last attempt.
    took_ms: Option<i64>,
    ended: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Changed {
    path: String,
    a: Option<Value>,
    b: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Pair {
    name: String,
    a: Option<f64>,
    b: Option<f64>,
    difference: Option<f64>,
}

/// Where a curve ended.
#[derive(Debug, Serialize)]
struct Curve {
    metric: String,
    a: Option<End>,
    b: Option<End>,
}

#[derive(Clone, Debug, Serialize)]
struct End {
    points: usize,
    step: i64,
    value: f64,
    min: f64,
    max: f64,
}

/// Compares.
pub(super) async fn compare(reader: &Reader, a: TrialId, b: TrialId) -> Result<TrialDiff, CliError> {
    let (first, second) = (reader.trial(a).await?, reader.trial(b).await?);
    if first.kind != second.kind {
        return Err(CliError::Usage {
            what: format!("{} is a {} trial and {} a {} trial", a.short(), first.kind, b.short(), second.kind),
            cure: "compare two of one kind".to_owned(),
        });
    }
    let lineage: Lineage = reader.tasks().await?.into_iter().collect();
    let changed = differences(&lineage.described(a), &lineage.described(b));
    let points = reader.curves(&[a, b], None).await?;
    Ok(TrialDiff {
        same: a == b,
        changed: changed.into_iter().map(|(path, a, b)| Changed { path, a, b }).collect(),
        results: results(&first.results, &second.results),
        curves: curves(&ends(&points, a), &ends(&points, b)),
        a: side(&first, &lineage),
        b: side(&second, &lineage),
    })
}

fn side(trial: &TrialDetail, lineage: &Lineage) -> Side {
    let last = trial.attempts.last();
    let place = trial.places.last();
    Side {
        trial: trial.id.hex(),
        kind: trial.kind.clone(),
        state: trial.state.clone(),
        sweeps: trial
            .places
            .iter()
            .map(|place| format!("{}@{} {}", place.sweep, place.revision, place.stage))
            .collect(),
        parameters: place.map_or(Value::Null, |place| place.parameters.clone()),
        data: lineage.all_data(trial.id),
        attempts: trial.attempts.len(),
        program: last.map(|attempt| attempt.program.clone()),
        host: last.map(|attempt| attempt.host.clone()),
        device: last.map(|attempt| attempt.device.clone()),
        model: last.map(|attempt| attempt.model.clone()),
        took_ms: last.and_then(|attempt| Some(attempt.ended? - attempt.started)),
        ended: last.and_then(|attempt| attempt.ended),
    }
}

fn results(a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) -> Vec<Pair> {
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let pair = |name: &String| {
        let (a, b) = (a.get(name).copied(), b.get(name).copied());
        Pair { name: name.clone(), a, b, difference: a.zip(b).map(|(a, b)| b - a) }
    };
    names.into_iter().map(pair).collect()
}

fn ends(points: &[CurvePoint], trial: TrialId) -> BTreeMap<String, End> {
    let mut ends: BTreeMap<String, End> = BTreeMap::new();
    let id = trial.hex();
    for point in points.iter().filter(|point| point.id == id) {
        let CurvePoint { step, value, .. } = *point;
        let end = ends.entry(point.metric.clone()).or_insert(End { points: 0, step, value, min: value, max: value });
        // Points come in the order of their steps.
        *end = End { points: end.points + 1, step, value, min: end.min.min(value), max: end.max.max(value) };
    }
    ends
}

fn curves(a: &BTreeMap<String, End>, b: &BTreeMap<String, End>) -> Vec<Curve> {
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let curve = |name: &String| Curve { metric: name.clone(), a: a.get(name).cloned(), b: b.get(name).cloned() };
    names.into_iter().map(curve).collect()
}

impl TrialDiff {
    /// For people.
    pub(super) fn print(&self) -> Result<(), CliError> {
        let (a, b) = (&self.a, &self.b);
        let some = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        let took = |side: &Side| side.took_ms.map_or_else(|| "–".to_owned(), ui::duration);
        let ended = |side: &Side| side.ended.map_or_else(|| "–".to_owned(), ui::time);
        let facts: [(&str, [String; 2]); 9] = [
            ("trial", [a, b].map(|side| side.trial[..10].to_owned())),
            ("state", [a, b].map(|side| side.state.clone())),
            ("in", [a, b].map(|side| side.sweeps.join(", "))),
            ("data", [a, b].map(|side| side.data.join(", "))),
            ("program", [a, b].map(|side| some(&side.program))),
            ("device", [a, b].map(|side| format!("{} ({})", some(&side.device), some(&side.model)))),
            ("attempts", [a, b].map(|side| side.attempts.to_string())),
            ("ended", [a, b].map(ended)),
            ("took", [a, b].map(took)),
        ];
        let rows = facts.into_iter().map(|(name, [a, b])| vec![name.to_owned(), a, b]).collect();
        ui::out(ui::grid(&[&format!("{} trials", a.kind), "A", "B"], rows, &[]))?;
        if self.same {
            return ui::out("\nthey are the same trial");
        }
        let changed = self.changed.iter();
        let changed = changed.map(|c| vec![json!(c.path), json!(shown(c.a.as_ref())), json!(shown(c.b.as_ref()))]);
        let rows: Vec<Vec<Value>> = changed.collect();
        if rows.is_empty() {
            ui::out("\nnothing that they were told to do differs: the program's version of that kind of work does")?;
        }
        section("What differs", &["setting", "A", "B"], 0, rows)?;
        let rows = self.results.iter();
        let rows = rows.map(|r| vec![json!(r.name), json!(r.a), json!(r.b), json!(r.difference)]);
        section("Results", &["result", "A", "B", "B - A"], 0, rows.collect())?;
        let end = |end: &Option<End>| [json!(end.as_ref().map(|e| e.step)), json!(end.as_ref().map(|e| e.value))];
        let rows = self
            .curves
            .iter()
            .map(|curve| std::iter::once(json!(curve.metric)).chain(end(&curve.a)).chain(end(&curve.b)).collect());
        section("Ends of the curves", &["metric", "A step", "A", "B step", "B"], 0, rows.collect())
    }
}
