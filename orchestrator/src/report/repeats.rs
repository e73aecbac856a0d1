//! Seeds of several stages: which results are repetitions of their own.
//!
//! Three Adaptors with two heads each are three repetitions and not six: heads of one Adaptor have its luck in common. Where seeds of inputs
//! and of the stage itself are crossed, results are first averaged over the stage's own seed.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::stats::moments;
use crate::store::ResultRow;

/// The seed of a trial itself; `pretrain.seed` is one of its inputs.
const OWN: &str = "seed";

/// A result, with what pairs it with one of another cell, and what it has in common with others that are no repetitions of their own; none:
/// it is one by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Equal in those that are a pair.
    pub(crate) pair: String,
    /// Equal in those that are averaged.
    pub(crate) unit: Option<String>,
    /// The result.
    pub(crate) value: f64,
}

/// Whether a parameter is a seed: trials that differ in seeds alone are repetitions.
pub(crate) fn is_seed(name: &str) -> bool {
    own(name) || of_input(name)
}

/// Whether a parameter is the seed of an input.
pub(crate) fn of_input(name: &str) -> bool {
    name.ends_with(".seed")
}

/// Whether a parameter is what is averaged over first.
pub(crate) fn own(name: &str) -> bool {
    name == OWN
}

/// What each trial has in common with those that it is averaged with.
pub(crate) fn units(trials: &[&ResultRow]) -> Vec<Option<String>> {
    let Some((first, others)) = trials.split_first() else { return Vec::new() };
    let differs = |other: &&ResultRow| {
        let names = other.parameters.keys().chain(first.parameters.keys()).filter(|name| of_input(name));
        names.into_iter().any(|name| other.parameters.get(name) != first.parameters.get(name))
    };
    if !others.iter().any(differs) {
        return vec![None; trials.len()];
    }
    let unit = |trial: &&ResultRow| {
        let kept: BTreeMap<&String, &Value> = trial.parameters.iter().filter(|(name, _)| !own(name)).collect();
        Some(json!(kept).to_string())
    };
    trials.iter().map(unit).collect()
}

/// Leaves out units where there is one only: nothing of the inputs varies, and each result counts.
pub(crate) fn settle<'a>(results: impl IntoIterator<Item = &'a mut Outcome>) {
    let mut results: Vec<&mut Outcome> = results.into_iter().collect();
    let one = results.windows(2).all(|pair| pair[0].unit == pair[1].unit);
    results.iter_mut().filter(|_| one).for_each(|outcome| outcome.unit = None);
}

/// The results that are independent of each other: averages of those that have a unit in common, in the order in which units appear.
pub(crate) fn independent<'a>(results: impl IntoIterator<Item = (Option<&'a str>, f64)>) -> Vec<f64> {
    let mut units: Vec<Vec<f64>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (unit, value) in results {
        let at = unit.map_or(units.len(), |unit| *known.entry(unit).or_insert(units.len()));
        match units.get_mut(at) {
            Some(values) => values.push(value),
            None => units.push(vec![value]),
        }
    }
    units.iter().filter_map(|values| Some(moments(values)?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(adaptor: i64, seed: i64) -> ResultRow {
        ResultRow {
            stage: "classify".to_owned(),
            id: format!("{adaptor}{seed}"),
            state: "done".to_owned(),
            parameters: [("pretrain.seed", adaptor), ("seed", seed)]
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .into(),
            values: BTreeMap::from([("auroc".to_owned(), 0.1 * adaptor as f64 + 0.01 * seed as f64)]),
        }
    }

    fn values(trials: &[ResultRow]) -> Vec<f64> {
        let rows: Vec<&ResultRow> = trials.iter().collect();
        let units = units(&rows);
        independent(units.iter().zip(&rows).map(|(unit, row)| (unit.as_deref(), row.values["auroc"])))
    }

    #[test]
    fn heads_of_one_adaptor_are_one_repetition() {
        let crossed: Vec<ResultRow> = (0..3).flat_map(|a| [0, 2].map(|seed| trial(a, seed))).collect();
        let averaged = values(&crossed);
        assert_eq!(averaged.len(), 3);
        assert!(averaged.iter().zip([0.01, 0.11, 0.21]).all(|(mean, is)| (mean - is).abs() < 1e-12), "{averaged:?}");
        // An Adaptor with several heads: it does not vary, and each head counts.
        assert_eq!(values(&crossed[..2]).len(), 2);
        // Seeds that go together are not crossed.
        let together: Vec<ResultRow> = (0..3).map(|seed| trial(seed, seed)).collect();
        assert_eq!(values(&together), [0.0, 0.11, 0.22]);
        assert!(values(&[]).is_empty());
        // Of three Adaptors the heads of one are there: that is one repetition, and stays one.
        let mut begun = crossed.clone();
        begun[2..].iter_mut().for_each(|trial| trial.values.clear());
        let rows: Vec<&ResultRow> = begun.iter().collect();
        let units = units(&rows);
        let there =
            units.iter().zip(&rows).filter_map(|(unit, row)| Some((unit.as_deref(), *row.values.get("auroc")?)));
        assert_eq!(independent(there), [0.01]);
    }

    #[test]
    fn one_unit_alone_is_none() {
        let outcome = |unit: &str| Outcome { pair: String::new(), unit: Some(unit.to_owned()), value: 1.0 };
        let mut alike = [outcome("a"), outcome("a")];
        settle(&mut alike);
        assert!(alike.iter().all(|outcome| outcome.unit.is_none()));
        let mut others = [outcome("a"), outcome("a"), outcome("b")];
        settle(&mut others);
        assert!(others.iter().all(|outcome| outcome.unit.is_some()));
    }
}
