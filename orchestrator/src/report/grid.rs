//! Cells by parameters: an entry of `report:`.

use std::{collections::HashMap, ops::Range};

use serde_json::{Map, Value};

use super::{
    axis::Axis,
    cell::{BLOCKED, Cell, is_share},
    number::{self, Precision},
    pairing,
    paper::Printed,
};
use crate::{
    store::ResultRow,
    sweep::{ReportSpec, Spread},
};

/// Most places for cells. Parameters with a value a trial, such as those of a random search, would make a table of mostly
/// nothing.
const MAX_PLACES: usize = 100_000;

/// Beside a cell that cannot be told from the one that it is compared with.
pub(super) const ALIKE: &str = "≈";

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
    pub(super) reference: Option<&'static Printed>,
    /// What stands beside a mean.
    pub(super) spread: Spread,
    /// What rows are compared with, as asked for: values of row parameters. Without any, it is the best of the column.
    pub(super) baseline: Map<String, Value>,
    /// It has the paper's layout: per cent with one decimal (numbers for programs stay in [0, 1]), and all rows of a column compare.
    pub(super) paper: bool,
    /// What else is to be said under it.
    pub(super) remarks: Vec<String>,
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
        let keys = pairing::keys(members.values().map(Vec::as_slice), &[&spec.rows, &spec.columns]);
        let cell = |row, column| {
            members.get(&(row, column)).map(|trials| Cell {
                pairs: pairing::values(trials, &spec.metric, &keys),
                ..Cell::new(trials, &spec.metric)
            })
        };
        let cells =
            (0..rows.keys.len()).map(|row| (0..columns.keys.len()).map(|column| cell(row, column)).collect()).collect();
        let reference = spec.reference.as_deref().and_then(Printed::named);
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
            spread: spec.spread,
            baseline: spec.baseline.clone(),
            paper: false,
            remarks: Vec::new(),
        };
        grid.refer(spec);
        grid.mark_best();
        grid.compare();
        grid
    }

    /// Finds the published values.
    fn refer(&mut self, spec: &ReportSpec) {
        let Some(reference) = self.reference.filter(|reference| reference.has(&self.metric)) else { return };
        for (row, cells) in self.cells.iter_mut().enumerate() {
            for (column, cell) in cells.iter_mut().enumerate() {
                let Some(cell) = cell else { continue };
                let (rows, columns) = (&self.rows, &self.columns);
                cell.reference = reference.value(&self.metric, spec.reader.as_deref(), |name| {
                    let on = |axis: &Axis| axis.names.iter().position(|known| known == name);
                    match (on(rows), on(columns)) {
                        (Some(level), _) => Some(&self.rows.keys[row][level]),
                        (None, Some(level)) => Some(&self.columns.keys[column][level]),
                        (None, None) => match spec.filter.get(name)? {
                            Value::Array(list) if list.len() == 1 => list.first(),
                            value => Some(value),
                        },
                    }
                });
            }
        }
    }

    /// Rows that are compared with each other: with several row parameters those with the same outermost value, for that is often a
    /// label, and labels are not equally hard.
    fn groups(&self) -> Vec<Range<usize>> {
        let nested = self.rows.names.len() > 1 && !self.paper;
        let starts: Vec<usize> =
            (0..self.cells.len()).filter(|row| *row == 0 || nested && self.rows.begins_group(*row)).collect();
        let end = |at: usize| starts.get(at + 1).copied().unwrap_or(self.cells.len());
        starts.iter().enumerate().map(|(at, start)| *start..end(at)).collect()
    }

    /// Marks the best cell of each column.
    pub(super) fn mark_best(&mut self) {
        let Some(maximize) = self.maximize else { return };
        for rows in self.groups() {
            for column in 0..self.columns.keys.len() {
                let group = &mut self.cells[rows.clone()];
                let scores: Vec<f64> = group.iter().filter_map(|row| row[column].as_ref()?.score()).collect();
                let best = scores.iter().copied().reduce(if maximize { f64::max } else { f64::min });
                if scores.len() < 2 {
                    continue;
                }
                for cell in group.iter_mut().filter_map(|row| row[column].as_mut()) {
                    cell.best = cell.score().is_some() && cell.score() == best;
                }
            }
        }
    }

    /// Compares each cell of a column with the best one there, or with the baseline, pair by pair.
    pub(super) fn compare(&mut self) {
        for rows in self.groups() {
            for column in 0..self.columns.keys.len() {
                let Some(against) = self.against(rows.clone(), column) else { continue };
                let Some(others) = self.cells[against][column].as_ref().map(|cell| cell.pairs.clone()) else {
                    continue;
                };
                let paired = |row: usize| {
                    let cell = self.cells[row][column].as_ref().filter(|_| row != against)?;
                    pairing::compare(&cell.pairs, &others)
                };
                let compared = pairing::family(rows.clone().map(paired).collect());
                for (row, compared) in rows.clone().zip(compared) {
                    if let Some(cell) = self.cells[row][column].as_mut() {
                        cell.compared = compared;
                    }
                }
            }
        }
    }

    /// The row of a group that the others are compared with in a column.
    fn against(&self, mut rows: Range<usize>, column: usize) -> Option<usize> {
        if self.baseline.is_empty() {
            return rows.find(|row| self.cells[*row][column].as_ref().is_some_and(|cell| cell.best && !cell.published));
        }
        let is = |row: &usize| {
            self.baseline.iter().all(|(name, value)| {
                let level = self.rows.names.iter().position(|known| known == name);
                level.is_some_and(|level| number::identity(&self.rows.keys[*row][level]) == number::identity(value))
            })
        };
        let found: Vec<usize> = rows.filter(is).collect();
        // Several rows are no baseline.
        if let [row] = found[..] { Some(row) } else { None }
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
        if self.paper {
            return Precision::Fixed(1);
        }
        let numbers = |cell: &Cell| {
            let summary = cell.summary.as_ref();
            [summary.map(|s| s.mean), summary.and_then(|s| s.sd), cell.reference]
        };
        Precision::of(self.all().flat_map(numbers).flatten(), 4)
    }

    /// What the table shows: the result, and ` by` the parameters of its columns.
    pub(super) fn subject(&self) -> (String, String) {
        if self.paper {
            return (format!("{} [%]", self.metric), String::new());
        }
        let names = &self.columns.names;
        let by = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
        (format!("{}.{}", self.stage, self.metric), by)
    }

    /// The heading of a column, outermost value first.
    pub(super) fn heading(&self, column: usize) -> Vec<String> {
        if self.columns.names.is_empty() { vec![self.metric.clone()] } else { self.columns.labels[column].clone() }
    }

    /// What a best cell is the best of.
    pub(super) fn best_of(&self) -> String {
        if self.groups().len() > 1 {
            return format!("the best of its column and {}", self.rows.names[0]);
        }
        "the best of its column".to_owned()
    }

    /// What bold type means, where there is any.
    pub(super) fn bold(&self) -> Option<String> {
        self.all().any(|cell| cell.best).then(|| format!("bold: {}", self.best_of()))
    }

    /// What signs mean that the table has. `beside`: where published values stand.
    pub(super) fn legend(&self, beside: &str) -> Vec<String> {
        let mut lines = self.signs();
        if self.all().any(|cell| cell.state() == "partial") {
            lines.push("(k/n): k of n trials have a result".to_owned());
        }
        if self.all().any(|cell| cell.averaged) {
            lines.push(
                "seeds of inputs vary as well as `seed`: results are averaged over `seed` first, and spread, intervals and tests are those of \
                 the averages"
                    .to_owned(),
            );
        }
        if self.all().any(|cell| cell.reason == Some(BLOCKED)) {
            lines.push(format!(
                "{BLOCKED}: waits for an input that ended without a result; `permafrost status` says which"
            ));
        }
        if self.turned {
            lines.push("there are too many columns: they are shown as rows".to_owned());
        }
        match (&self.asked, self.reference) {
            (Some(_), Some(reference)) if self.all().any(|cell| cell.reference.is_some() && !cell.published) => {
                lines.push(format!(
                    "{beside}: the published value ({}), and measured less published",
                    reference.short()
                ));
            }
            (Some(_), Some(_)) if self.refers() => {}
            (Some(name), Some(_)) => lines.push(format!("{name} has no values for these cells")),
            (Some(name), None) => lines.push(format!("this version does not know the reference {name}")),
            (None, _) => {}
        }
        lines.extend(self.remarks.iter().cloned());
        lines
    }

    /// What stands beside a mean, and what says how rows compare.
    fn signs(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.all().any(|cell| cell.summary.as_ref().is_some_and(|summary| summary.sd.is_some())) {
            let interval = if is_share(&self.metric) {
                "[low, high]: 95 % interval of the mean (Student's t on the logit scale)"
            } else {
                "[low, high]: 95 % interval of the mean (Student's t)"
            };
            let sd = "±: standard deviation";
            lines.push(match self.spread {
                Spread::Sd => sd.to_owned(),
                Spread::Ci95 => interval.to_owned(),
                Spread::Both => format!("{sd}; {interval}"),
            });
        }
        let compared = || self.all().filter_map(|cell| cell.compared.as_ref());
        let other = if self.baseline.is_empty() {
            self.best_of()
        } else {
            let named = self.baseline.iter().map(|(name, value)| format!("{name} {}", number::plain(value)));
            named.collect::<Vec<_>>().join(", ")
        };
        if compared().any(|compared| compared.alike() == Some(true)) {
            lines.push(format!("{ALIKE}: not distinguishable from {other} (paired t test, Holm, 5 %)"));
        }
        if let Some(refused) = compared().find_map(|compared| compared.paired.refused) {
            lines.push(format!("not all cells are tested against {other}: {}", refused.word()));
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
