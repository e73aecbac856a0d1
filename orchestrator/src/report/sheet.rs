//! What all formats for people share: texts by row and column, and how they are meant.

use super::{cell::Cell, grid::Grid, list::List, number::Precision};

/// A cell's texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    /// The mean, or why there is none.
    pub(super) value: String,
    /// Half width of the interval, such as `±0.010`.
    pub(super) interval: Option<String>,
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
    pub(super) fn new(cell: Option<&Cell>, precision: Precision) -> Self {
        let Some(cell) = cell else {
            return Self { value: super::number::NOTHING.to_owned(), word: true, ..Self::default() };
        };
        let summary = cell.summary.as_ref();
        let partial = summary.filter(|summary| summary.n < cell.trials);
        Self {
            value: summary.map_or_else(|| cell.state().to_owned(), |summary| precision.show(summary.mean)),
            interval: summary.and_then(|summary| summary.ci95).map(|ci95| format!("±{}", precision.show(ci95))),
            partial: partial.map(|summary| format!("({}/{})", summary.n, cell.trials)),
            reference: cell.reference.map(|reference| precision.show(reference)),
            difference: cell.difference().map(|difference| precision.signed(difference)),
            word: summary.is_none(),
            best: cell.best,
        }
    }

    /// Value, interval and what it lacks.
    pub(super) fn text(&self) -> String {
        let parts = [Some(&self.value), self.interval.as_ref(), self.partial.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// All cells of a grid as texts.
pub(super) fn shown(grid: &Grid) -> Vec<Vec<Shown>> {
    let precision = grid.precision();
    grid.cells.iter().map(|row| row.iter().map(|cell| Shown::new(cell.as_ref(), precision)).collect()).collect()
}

/// All values of a list as texts, by row.
pub(super) fn texts(list: &List) -> Vec<Vec<String>> {
    let columns: Vec<Vec<String>> = (0..list.columns.len()).map(|column| list.texts(column)).collect();
    (0..list.rows.len()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}
