//! Which result of one cell answers to which of another, and how they compare.

use std::collections::{BTreeSet, HashMap};

use super::{
    cell::{self, Compared},
    number,
    repeats::{self, Outcome},
    stats::{self, Paired, Refusal},
};
use crate::store::ResultRow;

/// Parameters that pair the trials of cells: those that differ within some cell, mostly the seed. `apart` are those that tell cells from
/// each other. A parameter that a row fixes, such as the width of its encoder, differs between cells alone and pairs nothing.
pub(super) fn keys<'a>(cells: impl Iterator<Item = &'a [&'a ResultRow]>, apart: &[&[String]]) -> Vec<String> {
    let mut varying = BTreeSet::new();
    for trials in cells {
        let Some((first, others)) = trials.split_first() else { continue };
        for trial in others {
            for name in trial.parameters.keys().chain(first.parameters.keys()) {
                if trial.parameters.get(name) != first.parameters.get(name) {
                    varying.insert(name);
                }
            }
        }
    }
    varying.into_iter().filter(|name| !apart.iter().any(|names| names.contains(name))).cloned().collect()
}

/// Results of a cell by the values of these parameters.
pub(super) fn values(trials: &[&ResultRow], metric: &str, keys: &[String]) -> Vec<Outcome> {
    let key = |trial: &ResultRow, keep: &dyn Fn(&str) -> bool| {
        let names = keys.iter().filter(|name| keep(name));
        let values = names.map(|name| trial.parameters.get(name).map(number::identity).unwrap_or_default());
        values.collect::<Vec<_>>().join("\u{1f}")
    };
    let outcome = |(trial, unit): (&&ResultRow, Option<String>)| {
        let unit = unit.map(|_| key(trial, &|name| !repeats::own(name)));
        Some(Outcome { pair: key(trial, &|_| true), unit, value: cell::value(trial, metric)? })
    };
    trials.iter().zip(repeats::units(trials)).filter_map(outcome).collect()
}

/// Results compared with others, over the pairs that both have; none where there is no pair. Differences of pairs that have a unit in common
/// are averaged first.
pub(super) fn compare(these: &[Outcome], others: &[Outcome]) -> Option<Paired> {
    let mut known: HashMap<&str, f64> = HashMap::new();
    for other in others {
        if known.insert(&other.pair, other.value).is_some() {
            return Some(unpaired());
        }
    }
    let mut seen = BTreeSet::new();
    let mut differences = Vec::new();
    for this in these {
        if !seen.insert(&this.pair) {
            return Some(unpaired());
        }
        differences.extend(known.get(this.pair.as_str()).map(|other| (this.unit.as_deref(), this.value - other)));
    }
    stats::paired(&repeats::independent(differences)).filter(|paired| paired.difference.is_finite())
}

fn unpaired() -> Paired {
    Paired { n: 0, difference: 0.0, interval: None, p_t: None, p_wilcoxon: None, refused: Some(Refusal::NotPaired) }
}

/// A family of comparisons, with Holm's correction over it.
pub(super) fn family(compared: Vec<Option<Paired>>) -> Vec<Option<Compared>> {
    let corrected = |p: fn(&Paired) -> Option<f64>| {
        let tested: Vec<f64> = compared.iter().flatten().filter_map(p).collect();
        let mut corrected = stats::holm(&tested).into_iter();
        let one = |paired: &Option<Paired>| paired.as_ref().and_then(p).and_then(|_| corrected.next());
        compared.iter().map(one).collect::<Vec<_>>()
    };
    let (t, wilcoxon) = (corrected(|paired| paired.p_t), corrected(|paired| paired.p_wilcoxon));
    let both = t.into_iter().zip(wilcoxon);
    let one = |(paired, (p_t, p_wilcoxon)): (Option<Paired>, _)| Some(Compared { paired: paired?, p_t, p_wilcoxon });
    compared.into_iter().zip(both).map(one).collect()
}
