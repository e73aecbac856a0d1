//! Rows or columns of a grid: the combinations of values that occur.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::Value;

use super::number;
use crate::store::ResultRow;

/// Rows or columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// The parameters, outermost first.
    pub(super) names: Vec<String>,
    /// A value of each parameter.
    pub(super) keys: Vec<Vec<Value>>,
    /// The same for people.
    pub(super) labels: Vec<Vec<String>>,
}

impl Axis {
    /// The combinations that occur, and which of them each trial has. Parameters with numbers are in the order of the numbers,
    /// others in the order in which their values first appear.
    pub(super) fn new(names: &[String], trials: &[&ResultRow]) -> (Self, Vec<usize>) {
        let mut levels: Vec<Level> = names.iter().map(|name| Level::new(name, trials)).collect();
        let ranks: Vec<Vec<usize>> =
            (0..trials.len()).map(|trial| levels.iter().map(|level| level.rank[level.of[trial]]).collect()).collect();
        let mut distinct = ranks.clone();
        distinct.sort();
        distinct.dedup();
        let place: HashMap<&Vec<usize>, usize> = distinct.iter().enumerate().map(|(at, key)| (key, at)).collect();
        let places = ranks.iter().map(|rank| place[rank]).collect();
        levels.iter_mut().for_each(Level::sort);
        let pick =
            |key: &Vec<usize>| key.iter().zip(&levels).map(|(rank, level)| level.values[*rank].clone()).collect();
        let name =
            |key: &Vec<usize>| key.iter().zip(&levels).map(|(rank, level)| level.labels[*rank].clone()).collect();
        let keys = distinct.iter().map(pick).collect();
        let labels = distinct.iter().map(name).collect();
        (Self { names: names.to_vec(), keys, labels }, places)
    }

    /// Whether the outermost value of an entry is another than that of the one before.
    pub(super) fn begins_group(&self, at: usize) -> bool {
        at == 0 || self.keys[at].first() != self.keys[at - 1].first()
    }

    /// Whether some entries share their outermost value.
    pub(super) fn is_nested(&self) -> bool {
        self.names.len() > 1 && (1..self.keys.len()).any(|at| !self.begins_group(at))
    }

    /// Levels of an entry, counted from the outermost, that are the same as in the one before.
    pub(super) fn repeated(&self, at: usize) -> usize {
        if at == 0 {
            return 0;
        }
        self.keys[at].iter().zip(&self.keys[at - 1]).take_while(|(this, before)| this == before).count()
    }
}

/// The values of one parameter.
struct Level {
    values: Vec<Value>,
    labels: Vec<String>,
    /// The value of each trial.
    of: Vec<usize>,
    /// The place of each value in the order of the table.
    rank: Vec<usize>,
}

impl Level {
    fn new(name: &str, trials: &[&ResultRow]) -> Self {
        let mut values: Vec<Value> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut of = Vec::with_capacity(trials.len());
        for trial in trials {
            let value = trial.parameters.get(name).unwrap_or(&Value::Null);
            of.push(*known.entry(number::identity(value)).or_insert_with(|| {
                values.push(value.clone());
                values.len() - 1
            }));
        }
        let labels = number::labels(name, &values.iter().collect::<Vec<_>>());
        let mut order: Vec<usize> = (0..values.len()).collect();
        if values.iter().all(|value| value.is_number() || value.is_null()) {
            order.sort_by(|a, b| compare(&values[*a], &values[*b]));
        }
        let mut rank = vec![0; values.len()];
        order.iter().enumerate().for_each(|(at, value)| rank[*value] = at);
        Self { values, labels, of, rank }
    }

    /// Puts the values in the order of the table.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by_key(|value| self.rank[*value]);
        self.values = order.iter().map(|value| self.values[*value].clone()).collect();
        self.labels = order.iter().map(|value| self.labels[*value].clone()).collect();
    }
}

/// Numbers by size, nothing last.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}
