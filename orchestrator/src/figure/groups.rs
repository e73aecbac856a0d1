//! Trials that differ in their seed alone, and what several of them say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::lines::name_of;
use crate::{
    report::{
        Interval, Summary, is_share, labels,
        repeats::{self, is_seed},
    },
    store::ResultRow,
};

/// What a parameter has that has no value.
pub(super) const NONE: &str = "none";

/// A value of a parameter, for people.
pub(super) fn shown(name: &str, value: &Value) -> String {
    words(&[name.to_owned()], &[vec![value.clone()]]).into_iter().flatten().collect()
}

/// Values of these parameters, for people, as tables have them: numbers are rounded as long as they can be told apart.
pub(super) fn words(names: &[String], keys: &[Vec<Value>]) -> Vec<Vec<String>> {
    let mut words = vec![Vec::new(); keys.len()];
    for (at, name) in names.iter().enumerate() {
        let values: Vec<&Value> = keys.iter().map(|key| &key[at]).collect();
        for ((words, text), value) in words.iter_mut().zip(labels(name, &values)).zip(values) {
            words.push(if value.is_null() { NONE.to_owned() } else { text });
        }
    }
    words
}

/// A share in per cent.
pub(super) fn percent(share: f64) -> String {
    // 0.07 * 100 is not 7, to the last digit.
    format!("{} %", (share * 1e12).round() / 1e10)
}

/// A metric as an axis names it.
pub(super) fn metric_name(metric: &str) -> String {
    let words = metric.split('_').map(|word| match word {
        "auroc" => "AUROC",
        "val" => "validation",
        "train" => "training",
        "kl" => "KL divergence",
        "knn" => "k-NN",
        word => word,
    });
    let name = words.collect::<Vec<_>>().join(" ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Parameters, but for seeds, of which the trials have several values; in the order of the alphabet, encoders first.
pub(super) fn varying(trials: &[&ResultRow]) -> Vec<String> {
    let mut values: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for trial in trials {
        for (name, value) in trial.parameters.iter().filter(|(name, _)| !is_seed(name)) {
            let known = values.entry(name).or_default();
            // Neighbours in a plan mostly agree.
            if known.last() != Some(&value) && !known.contains(&value) {
                known.push(value);
            }
        }
    }
    let all = trials.len();
    let everywhere = |name: &str| trials.iter().filter(|trial| trial.parameters.contains_key(name)).count() == all;
    let mut names: Vec<String> = values
        .into_iter()
        .filter(|(name, values)| values.len() > 1 || !everywhere(name))
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort_by_key(|name| match name.as_str() {
        "vision" => 0,
        "text" => 1,
        _ => 2,
    });
    names
}

/// The values that trials have of these parameters, in the order in which they first appear.
pub(super) fn keys<'a>(trials: &[&'a ResultRow], names: &[String]) -> Vec<(Vec<Value>, Vec<&'a ResultRow>)> {
    let mut groups: Vec<(Vec<Value>, Vec<&ResultRow>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for trial in trials {
        let key = key(trial, names);
        let at = *known.entry(json!(key).to_string()).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, members)) => members.push(trial),
            None => groups.push((key, vec![trial])),
        }
    }
    groups
}

/// The values that a trial has of these parameters.
pub(super) fn key(trial: &ResultRow, names: &[String]) -> Vec<Value> {
    names.iter().map(|name| trial.parameters.get(name).cloned().unwrap_or(Value::Null)).collect()
}

/// Names of trials by the values of these parameters, and where that leaves some alike, by their seeds as well.
pub(super) fn names_apart(trials: &[&ResultRow], names: &[String]) -> Vec<String> {
    let named = |names: &[String]| -> Vec<String> {
        let keys: Vec<Vec<Value>> = trials.iter().map(|trial| key(trial, names)).collect();
        let words = words(names, &keys).into_iter();
        words.map(|words| if words.is_empty() { String::new() } else { name_of(names, &words) }).collect()
    };
    let all = named(names);
    if (1..all.len()).all(|at| !all[..at].contains(&all[at])) {
        return all;
    }
    let differs = |name: &str| trials.iter().any(|trial| trial.parameters.get(name) != trials[0].parameters.get(name));
    let seeds: BTreeSet<&String> = trials.iter().flat_map(|trial| trial.parameters.keys()).collect();
    let seeds = seeds.into_iter().filter(|name| is_seed(name) && differs(name)).cloned();
    named(&names.iter().cloned().chain(seeds).collect::<Vec<_>>())
}

/// Mean and 95 % interval of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) n: usize,
    pub(super) mean: f64,
    /// The interval of the mean, as tables have it; none for one value.
    pub(super) interval: Option<Interval>,
}

impl Estimate {
    /// Of values of this metric, which says whether they are shares: their interval does not leave [0, 1].
    pub(super) fn of(values: &[f64], metric: &str) -> Option<Self> {
        let Summary { n, mean, interval, .. } = Summary::of(values, is_share(metric))?;
        Some(Self { n, mean, interval })
    }

    /// Of this result of trials that differ in seeds: what is independent of it, as in tables.
    pub(super) fn over(members: &[&ResultRow], metric: &str) -> Option<Self> {
        let units = repeats::units(members);
        let found = units.iter().zip(members);
        let found = found.filter_map(|(unit, trial)| Some((unit.as_deref(), *trial.values.get(metric)?)));
        Self::of(&repeats::independent(found), metric)
    }

    pub(super) fn scaled(self, by: f64) -> Self {
        let interval = self.interval.map(|Interval { low, high }| Interval { low: low * by, high: high * by });
        Self { n: self.n, mean: self.mean * by, interval }
    }

    pub(super) fn low(&self) -> f64 {
        self.interval.map_or(self.mean, |interval| interval.low)
    }

    pub(super) fn high(&self) -> f64 {
        self.interval.map_or(self.mean, |interval| interval.high)
    }

    /// Mean, low and high bound, and number, for the data behind a figure.
    pub(super) fn values(&self) -> [Value; 4] {
        let bound = |of: fn(&Interval) -> f64| json!(self.interval.as_ref().map(of));
        [json!(self.mean), bound(|interval| interval.low), bound(|interval| interval.high), json!(self.n)]
    }
}
