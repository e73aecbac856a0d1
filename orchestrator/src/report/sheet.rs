//! What all formats for people share: texts by row and column, and how they are meant.

use super::{
    cell::Cell,
    grid::{ALIKE, Grid},
    list::List,
    number::Precision,
};
use crate::sweep::Spread;

/// A cell's texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    /// The mean, or why there is none.
    pub(super) value: String,
    /// What it varies by, such as `±0.010`, `[0.76, 0.79]`, or both.
    pub(super) spread: Option<String>,
    /// Says how it compares.
    pub(super) mark: Option<&'static str>,
    /// Such as `(2/3)`.
    pub(super) partial: Option<String>,
    /// The published value.
    pub(super) reference: Option<String>,
    /// Measured less published.
    pub(super) difference: Option<String>,
    /// `value` is a word.
    pub(super) word: bool,
    /// The best of its column.
    pub(super) best: bool,
}

impl Shown {
    pub(super) fn new(cell: Option<&Cell>, grid: &Grid, precision: Precision) -> Self {
        let Some(cell) = cell else {
            return Self { value: super::number::NOTHING.to_owned(), word: true, ..Self::default() };
        };
        let scale = if grid.paper { 100.0 } else { 1.0 };
        let show = |number: f64| precision.show(scale * number);
        let summary = cell.summary.as_ref();
        let partial = summary.filter(|_| cell.results < cell.trials);
        let sd = summary.and_then(|summary| summary.sd).map(|sd| format!("±{}", show(sd)));
        let interval = summary.and_then(|summary| summary.interval);
        let interval = interval.map(|interval| format!("[{}, {}]", show(interval.low), show(interval.high)));
        let spread = match grid.spread {
            Spread::Sd => sd,
            Spread::Ci95 => interval,
            Spread::Both => sd.zip(interval).map(|(sd, interval)| format!("{sd} {interval}")),
        };
        let reference = cell.reference.filter(|_| !cell.published).map(show);
        Self {
            value: cell.score().map_or_else(|| cell.state().to_owned(), show),
            spread,
            mark: (cell.compared.as_ref().and_then(|compared| compared.alike()) == Some(true)).then_some(ALIKE),
            partial: partial.map(|_| format!("({}/{})", cell.results, cell.trials)),
            reference,
            difference: cell.difference().map(|difference| precision.signed(scale * difference)),
            word: cell.score().is_none(),
            best: cell.best,
        }
    }

    /// Value, spread, comparison and what it lacks.
    pub(super) fn text(&self) -> String {
        let parts = [Some(self.value.as_str()), self.spread.as_deref(), self.mark, self.partial.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Whether the published value stands beside it, and not in its place.
    pub(super) fn refers(&self) -> bool {
        self.reference.is_some()
    }
}

/// All cells of a grid as texts.
pub(super) fn shown(grid: &Grid) -> Vec<Vec<Shown>> {
    let precision = grid.precision();
    grid.cells.iter().map(|row| row.iter().map(|cell| Shown::new(cell.as_ref(), grid, precision)).collect()).collect()
}

/// All values of a list as texts, by row.
pub(super) fn texts(list: &List) -> Vec<Vec<String>> {
    let columns: Vec<Vec<String>> = (0..list.columns.len()).map(|column| list.texts(column)).collect();
    (0..list.rows.len()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}
