//! A table, whatever it shows.

use serde_json::Value;

use super::{grid::Grid, json, list::List};
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
