//! Cells by parameters: an entry of `report:`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    axis::Axis,
    cell::Cell,
    number::{self, Precision},
    reference::Reference,
};
use crate::{store::ResultRow, sweep::ReportSpec};

/// Most places for cells. Parameters with a value a trial, such as those of a random search, would make a table of mostly
/// nothing.
const MAX_PLACES: usize = 100_000;

/// A table of cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) stage: String,
    pub(super) metric: String,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    /// By row and column; none where no trial has that combination.
    pub(super) cells: Vec<Vec<Option<Cell>>>,
    pub(super) maximize: Option<bool>,
    /// Its columns became rows, for there are too many.
    pub(super) turned: bool,
    /// The published table that was asked for.
    pub(super) asked: Option<String>,
    pub(super) reference: Option<&'static Reference>,
}

impl Grid {
    pub(super) fn new(spec: &ReportSpec, results: &[ResultRow], maximize: Option<bool>) -> Self {
        let trials: Vec<&ResultRow> = results
            .iter()
            .filter(|trial| trial.stage == spec.stage && spec.filter.iter().all(|(name, is)| matches(trial, name, is)))
            .collect();
        let (mut rows, mut row_of) = Axis::new(&spec.rows, &trials);
        let (mut columns, mut column_of) = Axis::new(&spec.columns, &trials);
        let turned = rows.keys.len() * columns.keys.len() > MAX_PLACES && columns.keys.len() > 1;
        if turned {
            (rows, row_of) = Axis::new(&[&spec.rows[..], &spec.columns[..]].concat(), &trials);
            (columns, column_of) = Axis::new(&[], &trials);
        }
        let mut members: HashMap<(usize, usize), Vec<&ResultRow>> = HashMap::new();
        for (trial, place) in trials.iter().zip(row_of.into_iter().zip(column_of)) {
            members.entry(place).or_default().push(trial);
        }
        let cell = |row, column| members.get(&(row, column)).map(|trials| Cell::new(trials, &spec.metric));
        let cells =
            (0..rows.keys.len()).map(|row| (0..columns.keys.len()).map(|column| cell(row, column)).collect()).collect();
        let reference = spec.reference.as_deref().and_then(Reference::named);
        let mut grid = Self {
            stage: spec.stage.clone(),
            metric: spec.metric.clone(),
            rows,
            columns,
            cells,
            maximize,
            turned,
            asked: spec.reference.clone(),
            reference,
        };
        grid.refer(&spec.filter);
        grid.mark_best();
        grid
    }

    /// Finds the published values.
    fn refer(&mut self, filter: &Map<String, Value>) {
        let Some(reference) = self.reference.filter(|reference| reference.metric == self.metric) else { return };
        for (row, cells) in self.cells.iter_mut().enumerate() {
            for (column, cell) in cells.iter_mut().enumerate() {
                let Some(cell) = cell else { continue };
                let (rows, columns) = (&self.rows, &self.columns);
                cell.reference = reference.value(|name| {
                    let on = |axis: &Axis| axis.names.iter().position(|known| known == name);
                    match (on(rows), on(columns)) {
                        (Some(level), _) => Some(&self.rows.keys[row][level]),
                        (None, Some(level)) => Some(&self.columns.keys[column][level]),
                        (None, None) => match filter.get(name)? {
                            Value::Array(list) if list.len() == 1 => list.first(),
                            value => Some(value),
                        },
                    }
                });
            }
        }
    }

    /// Marks the best cell of each column. With several row parameters only cells with the same outermost value are compared:
    /// that is often a label, and labels are not equally hard.
    fn mark_best(&mut self) {
        let Some(maximize) = self.maximize else { return };
        let nested = self.rows.names.len() > 1;
        let starts: Vec<usize> =
            (0..self.cells.len()).filter(|row| *row == 0 || nested && self.rows.begins_group(*row)).collect();
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(self.cells.len());
            for column in 0..self.columns.keys.len() {
                let group = &mut self.cells[*start..end];
                let means: Vec<f64> = group.iter().filter_map(|row| row[column].as_ref()?.mean()).collect();
                let best = means.iter().copied().reduce(if maximize { f64::max } else { f64::min });
                if means.len() < 2 {
                    continue;
                }
                for cell in group.iter_mut().filter_map(|row| row[column].as_mut()) {
                    cell.best = cell.mean().is_some() && cell.mean() == best;
                }
            }
        }
    }

    /// All cells.
    pub(super) fn all(&self) -> impl Iterator<Item = &Cell> + Clone {
        self.cells.iter().flatten().flatten()
    }

    /// Whether any cell has a published value.
    pub(super) fn refers(&self) -> bool {
        self.all().any(|cell| cell.reference.is_some())
    }

    /// How its numbers are written.
    pub(super) fn precision(&self) -> Precision {
        let numbers = |cell: &Cell| {
            let summary = cell.summary.clone();
            [summary.as_ref().map(|s| s.mean), summary.and_then(|s| s.ci95), cell.reference]
        };
        Precision::of(self.all().flat_map(numbers).flatten(), 4)
    }

    /// What the table shows: the result, and ` by` the parameters of its columns.
    pub(super) fn subject(&self) -> (String, String) {
        let names = &self.columns.names;
        let by = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
        (format!("{}.{}", self.stage, self.metric), by)
    }

    /// The heading of a column, outermost value first.
    pub(super) fn heading(&self, column: usize) -> Vec<String> {
        if self.columns.names.is_empty() { vec![self.metric.clone()] } else { self.columns.labels[column].clone() }
    }

    /// What signs mean that the table has. `brackets`: where published values stand.
    pub(super) fn legend(&self, note: bool, brackets: &str) -> Vec<String> {
        let mut lines = Vec::new();
        // Who writes a note says there what the numbers are.
        if !note && self.all().any(|cell| cell.summary.as_ref().is_some_and(|summary| summary.ci95.is_some())) {
            lines.push("±: half width of the 95 % interval of the mean (Student's t)".to_owned());
        }
        if self.all().any(|cell| cell.state() == "partial") {
            lines.push("(k/n): k of n trials have a result".to_owned());
        }
        if self.turned {
            lines.push("there are too many columns: they are shown as rows".to_owned());
        }
        match (&self.asked, self.reference) {
            (Some(_), Some(reference)) if self.refers() => {
                lines.push(format!(
                    "{brackets}: the published value ({}), and measured less published",
                    reference.short
                ));
            }
            (Some(name), Some(_)) => lines.push(format!("{name} has no values for these cells")),
            (Some(name), None) => lines.push(format!("this version does not know the reference {name}")),
            (None, _) => {}
        }
        lines
    }
}

/// Whether a trial's parameter has a value, or one of a list of values.
fn matches(trial: &ResultRow, name: &str, is: &Value) -> bool {
    let has = number::identity(trial.parameters.get(name).unwrap_or(&Value::Null));
    match is {
        Value::Array(list) => list.iter().any(|value| number::identity(value) == has),
        value => number::identity(value) == has,
    }
}
