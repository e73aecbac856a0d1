//! A table, whatever it shows.

use serde_json::Value;

use super::{
    compare,
    grid::Grid,
    json,
    list::{Column, List, Written},
    number::Precision,
};
use crate::{
    store::{QueryResult, ResultRow},
    sweep::ReportSpec,
};

/// One table, ready to render.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Heading; empty for none.
    pub title: String,
    /// A sentence to print with it.
    pub note: Option<String>,
    pub(super) body: Body,
}

/// What a table shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// Cells by parameters.
    Grid(Box<Grid>),
    /// Rows as they came.
    List(List),
}

impl Table {
    /// A `report:` entry over the trials of its sweep. `maximize` says whether larger is better, for marking the best; with `None`
    /// nothing is marked.
    pub fn of_report(spec: &ReportSpec, results: &[ResultRow], maximize: Option<bool>) -> Self {
        let body = Body::Grid(Box::new(Grid::new(spec, results, maximize)));
        Self { title: spec.title.clone(), note: spec.note.clone(), body }
    }

    /// The trials of one stage, a row each: identity (its first ten digits), state, the parameters that differ between trials,
    /// then all results.
    pub fn of_trials(stage: &str, results: &[ResultRow]) -> Self {
        Self { title: format!("Trials of {stage}"), note: None, body: Body::List(List::of_trials(stage, results)) }
    }

    /// The cells of a `report:` entry, each value of `parameter` against the best one, or against `against`, where all else is equal: means, paired
    /// differences and tests. None where the entry has no such parameter in its rows and columns, nothing says which is the best, or cells would be
    /// too many.
    pub fn of_comparison(
        spec: &ReportSpec,
        results: &[ResultRow],
        maximize: Option<bool>,
        parameter: &str,
        against: Option<&Value>,
    ) -> Option<Self> {
        let list = compare::compare(spec, results, maximize, parameter, against)?;
        let title = format!("{}: {} by {parameter}, paired over the seeds", spec.title, spec.metric);
        let note = "difference: mean over the pairs, with its 95 % interval (Student's t); p: two-sided, of the paired t test and of Wilcoxon's \
                    signed-rank test (from 6 pairs on), corrected by Holm over the values of a cell; verdict: that of the t test, 5 %";
        Some(Self { title, note: Some(note.to_owned()), body: Body::List(list) })
    }

    /// Rows as they are: columns that hold parameters first, `parameters` of them.
    pub(crate) fn of_rows(
        title: &str,
        note: Option<String>,
        names: &[String],
        parameters: usize,
        rows: Vec<Vec<Value>>,
    ) -> Self {
        let written = |name: &str| if matches!(name, "p" | "p Holm") { Written::P } else { Written::Digits(4) };
        let column =
            |(at, name): (usize, &String)| Column { written: written(name), ..Column::new(name, at < parameters) };
        let columns = names.iter().enumerate().map(column).collect();
        Self { title: title.to_owned(), note, body: Body::List(List { columns, rows }) }
    }

    /// The same with as many decimals in all of these columns as `of` needs for about five digits: means and their differences can be
    /// checked against each other.
    #[must_use]
    pub(crate) fn alike(mut self, names: &[&str], of: impl Iterator<Item = f64> + Clone) -> Self {
        let written = Written::Alike(Precision::of(of, 5));
        if let Body::List(list) = &mut self.body {
            let columns = list.columns.iter_mut().filter(|column| names.contains(&column.name.as_str()));
            columns.for_each(|column| column.written = written);
        }
        self
    }

    /// What a query gave.
    pub fn of_query(result: &QueryResult) -> Self {
        Self { title: String::new(), note: None, body: Body::List(List::of_query(result)) }
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        match &self.body {
            Body::Grid(grid) => grid.rows.keys.is_empty(),
            Body::List(list) => list.rows.is_empty(),
        }
    }

    /// The table as JSON; `docs/results-json.md` describes it.
    pub fn to_json(&self) -> Value {
        json::table(self)
    }
}
