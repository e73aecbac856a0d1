//! Values of one parameter compared with each other, pair by pair, as a list.

use serde_json::{Map, Value, json};

use super::{
    cell::Cell,
    grid::Grid,
    list::{Column, List, Written},
    number::{self, Precision},
};
use crate::{store::ResultRow, sweep::ReportSpec};

/// Columns after the parameters.
const NUMBERS: [&str; 14] = [
    "n",
    "mean",
    "against",
    "pairs",
    "difference",
    "low",
    "high",
    "p_t",
    "p_t_holm",
    "p_wilcoxon",
    "p_wilcoxon_holm",
    "verdict",
    "reference",
    "state",
];

/// The cells of a report, each value of `parameter` against the best one, or against the value `against`, where all else is equal. None where the
/// report does not tell its trials apart by that parameter, where nothing says which is the best, and where a table would be too large.
pub(super) fn compare(
    spec: &ReportSpec,
    results: &[ResultRow],
    maximize: Option<bool>,
    parameter: &str,
    against: Option<&Value>,
) -> Option<List> {
    let apart = spec.rows.iter().chain(&spec.columns);
    let columns: Vec<String> = apart.clone().filter(|name| *name != parameter).cloned().collect();
    if !apart.clone().any(|name| name == parameter) {
        return None;
    }
    let mut baseline = Map::new();
    if let Some(value) = against.or_else(|| spec.baseline.get(parameter)) {
        baseline.insert(parameter.to_owned(), value.clone());
    } else {
        maximize?;
    }
    let spec = ReportSpec { rows: vec![parameter.to_owned()], columns, baseline, ..spec.clone() };
    let grid = Grid::new(&spec, results, maximize);
    if grid.turned {
        return None;
    }
    let names = grid.columns.names.iter().chain(&grid.rows.names);
    let names = names.map(|name| Column::new(name, true));
    // Means and their differences with the same decimals, so that one can be checked against the other.
    let precision = Precision::of(grid.all().filter_map(Cell::mean), 5);
    let written = |name: &str| match name {
        "mean" | "difference" | "low" | "high" | "reference" => Written::Alike(precision),
        name if name.starts_with("p_") => Written::P,
        _ => Written::Digits(4),
    };
    let numbers = NUMBERS.map(|name| Column { written: written(name), ..Column::new(name, false) });
    let rows = (0..grid.columns.keys.len()).flat_map(|column| {
        let grid = &grid;
        (0..grid.rows.keys.len()).filter_map(move |row| line(grid, row, column))
    });
    let mut list = List { rows: rows.collect(), columns: names.chain(numbers).collect() };
    if !grid.refers() {
        let at = list.columns.iter().position(|column| column.name == "reference")?;
        list.columns.remove(at);
        list.rows.iter_mut().for_each(|row| drop(row.remove(at)));
    }
    Some(list)
}

fn line(grid: &Grid, row: usize, column: usize) -> Option<Vec<Value>> {
    let cell = grid.cells[row][column].as_ref()?;
    let baseline = grid.baseline.values().next();
    let is = |at: usize| match baseline {
        Some(value) => number::identity(&grid.rows.keys[at][0]) == number::identity(value),
        None => grid.cells[at][column].as_ref().is_some_and(|cell| cell.best),
    };
    let against = (0..grid.rows.keys.len()).find(|at| is(*at)).map(|at| grid.rows.keys[at][0].clone());
    let own = against.as_ref() == Some(&grid.rows.keys[row][0]);
    let compared = cell.compared.as_ref();
    let paired = compared.map(|compared| &compared.paired).filter(|paired| paired.n > 0);
    let interval = paired.and_then(|paired| paired.interval);
    let mut line = grid.columns.keys[column].clone();
    line.push(grid.rows.keys[row][0].clone());
    line.extend([
        json!(cell.summary.as_ref().map_or(0, |summary| summary.n)),
        json!(cell.mean()),
        if own { Value::Null } else { json!(against) },
        json!(paired.map(|paired| paired.n)),
        json!(paired.map(|paired| paired.difference)),
        json!(interval.map(|interval| interval.low)),
        json!(interval.map(|interval| interval.high)),
        json!(paired.and_then(|paired| paired.p_t)),
        json!(compared.and_then(|compared| compared.p_t)),
        json!(paired.and_then(|paired| paired.p_wilcoxon)),
        json!(compared.and_then(|compared| compared.p_wilcoxon)),
        json!(verdict(grid, cell, own, baseline.is_some())),
        json!(cell.reference),
        json!(cell.state()),
    ]);
    Some(line)
}

/// What the t test says, corrected.
fn verdict(grid: &Grid, cell: &Cell, own: bool, baseline: bool) -> &'static str {
    if own {
        return if baseline { "baseline" } else { "best" };
    }
    let Some(compared) = &cell.compared else { return "no pairs" };
    match (compared.alike(), grid.maximize) {
        (None, _) => compared.paired.refused.map_or("no test", |refused| refused.word()),
        (Some(true), _) => "alike",
        (Some(false), None) => "differs",
        (Some(false), Some(maximize)) if (compared.paired.difference > 0.0) == maximize => "better",
        (Some(false), Some(_)) => "worse",
    }
}
