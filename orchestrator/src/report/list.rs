//! Rows as they come: trials, and answers to queries.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{cell::is_share, number, units};
use crate::store::{QueryResult, ResultRow, SqlValue};

/// Digits of an identity that people see; as in the views of the database.
pub(super) const SHORT: usize = 10;

/// A table without cells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct List {
    pub(super) columns: Vec<Column>,
    /// Values by row and column, never infinite or NaN.
    pub(super) rows: Vec<Vec<Value>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    /// It holds a parameter: its values are written like headings.
    pub(super) parameter: bool,
    /// How its numbers are written for people.
    pub(super) written: Written,
}

/// How the numbers of a column are written for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// With so many significant digits.
    Digits(usize),
    /// All alike.
    Alike(number::Precision),
    /// As p values.
    P,
    /// Shares in per cent.
    Share,
    /// Hours of a device, in a unit that suits.
    Hours,
    /// Joules likewise.
    Joules,
    /// Bytes likewise.
    Bytes,
}

impl Column {
    /// Of a parameter, or of a value with six digits.
    pub(super) fn new(name: &str, parameter: bool) -> Self {
        Self { name: name.to_owned(), parameter, written: Written::Digits(6) }
    }
}

impl List {
    pub(super) fn of_trials(stage: &str, results: &[ResultRow]) -> Self {
        let trials: Vec<&ResultRow> = results.iter().filter(|trial| trial.stage == stage).collect();
        let parameters = differing(&trials);
        let values: BTreeSet<&String> = trials.iter().flat_map(|trial| trial.values.keys()).collect();
        let fixed = ["trial", "state"].map(|name| Column::new(name, false));
        let mut columns: Vec<Column> = fixed.into_iter().collect();
        columns.extend(parameters.iter().map(|name| Column::new(name, true)));
        columns.extend(values.iter().map(|name| Column::new(name, false)));
        // The database holds all results as reals; counts are whole.
        let counts: BTreeSet<&String> = values.iter().copied().filter(|name| is_count(&trials, name)).collect();
        let value = |name: &String, value: f64| {
            if counts.contains(name) { Value::from(value as i64) } else { Value::from(value) }
        };
        let row = |trial: &&ResultRow| {
            let mut row: Vec<Value> =
                vec![trial.id.chars().take(SHORT).collect::<String>().into(), trial.state.clone().into()];
            row.extend(parameters.iter().map(|name| trial.parameters.get(*name).cloned().unwrap_or_default()));
            row.extend(values.iter().map(|name| trial.values.get(*name).map_or(Value::Null, |own| value(name, *own))));
            row
        };
        Self { rows: trials.iter().map(row).collect(), columns }
    }

    pub(super) fn of_query(result: &QueryResult) -> Self {
        let column = |name: &String| Column::new(name, false);
        let value = |value: &SqlValue| match value {
            SqlValue::Null => Value::Null,
            SqlValue::Integer(number) => (*number).into(),
            SqlValue::Real(number) => (*number).into(),
            SqlValue::Text(text) => text.clone().into(),
        };
        let rows = result.rows.iter().map(|row| row.iter().map(value).collect()).collect();
        Self { columns: result.columns.iter().map(column).collect(), rows }
    }

    /// The heading of a column for people: units stand with the values where those suit each value.
    pub(super) fn heading(&self, column: usize) -> &str {
        let Column { name, written, .. } = &self.columns[column];
        match written {
            Written::Hours => "device_time",
            Written::Joules => name.strip_suffix("_j").unwrap_or(name),
            Written::Bytes => name.strip_suffix("_bytes").unwrap_or(name),
            _ => name,
        }
    }

    /// Whether a column holds numbers.
    pub(super) fn is_number(&self, column: usize) -> bool {
        let mut values = self.rows.iter().map(|row| &row[column]).filter(|value| !value.is_null()).peekable();
        values.peek().is_some() && values.all(Value::is_number)
    }

    /// A column's values for people.
    pub(super) fn texts(&self, column: usize) -> Vec<String> {
        let values: Vec<&Value> = self.rows.iter().map(|row| &row[column]).collect();
        if self.columns[column].parameter {
            return number::labels(&self.columns[column].name, &values);
        }
        let written = |show: &dyn Fn(f64) -> String| {
            let text = |value: &&Value| match value {
                Value::Null => number::NOTHING.to_owned(),
                other => other.as_f64().map_or_else(|| number::plain(other), show),
            };
            values.iter().map(text).collect::<Vec<_>>()
        };
        let digits = match self.columns[column].written {
            Written::Digits(digits) => digits,
            Written::Alike(precision) => return written(&|number| precision.show(number)),
            Written::P => return written(&number::p),
            Written::Share => return written(&|share| format!("{:.0} %", 100.0 * share)),
            Written::Hours => return written(&units::hours),
            Written::Joules => return written(&units::joules),
            Written::Bytes => return written(&units::bytes),
        };
        let reals = values.iter().filter(|value| value.is_f64()).filter_map(|value| value.as_f64());
        let precision = number::Precision::of(reals.clone(), digits).without_zeros(reals.clone());
        // Numbers of very different size in one column, such as all results of a trial, are rounded each for itself.
        let sizes = reals.map(f64::abs).filter(|size| *size > 0.0);
        let alike = sizes.clone().fold(0.0, f64::max) < 1e3 * sizes.fold(f64::INFINITY, f64::min);
        let text = |value: &&Value| match value {
            Value::Null => number::NOTHING.to_owned(),
            Value::Number(number) if number.is_f64() && alike => precision.show(number.as_f64().unwrap_or_default()),
            Value::Number(number) if number.is_f64() => number::shortest(number.as_f64().unwrap_or_default(), digits),
            other => number::plain(other),
        };
        values.iter().map(text).collect()
    }
}

/// Whether a result is a number of something: whole in all trials, and neither a share nor a loss, which are so by chance.
fn is_count(trials: &[&ResultRow], name: &str) -> bool {
    let whole = |value: &f64| value.fract() == 0.0 && value.abs() < 9e15;
    !is_share(name) && !name.contains("loss") && trials.iter().filter_map(|trial| trial.values.get(name)).all(whole)
}

/// Parameters that not all trials have equal.
fn differing<'a>(trials: &[&'a ResultRow]) -> Vec<&'a String> {
    let mut seen: BTreeMap<&String, (BTreeSet<String>, usize)> = BTreeMap::new();
    for (name, value) in trials.iter().flat_map(|trial| &trial.parameters) {
        let (values, count) = seen.entry(name).or_default();
        values.insert(number::identity(value));
        *count += 1;
    }
    let differs = |(name, (values, count)): (&'a String, (BTreeSet<String>, usize))| {
        (values.len() > 1 || count < trials.len()).then_some(name)
    };
    seen.into_iter().filter_map(differs).collect()
}
