//! Trials that agree in rows and columns.

use super::{
    repeats::{self, Outcome},
    stats::{self, Interval, Paired},
};
use crate::store::ResultRow;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    /// Its trials.
    pub(super) trials: usize,
    /// Those of them with a result.
    pub(super) results: usize,
    /// Results were averaged over the stage's own seed, for seeds of inputs vary as well.
    pub(super) averaged: bool,
    /// What those with a result say.
    pub(super) summary: Option<Summary>,
    /// Why others have none, in a word.
    pub(super) reason: Option<&'static str>,
    /// The best of its column, or of its group there.
    pub(super) best: bool,
    /// A published value.
    pub(super) reference: Option<f64>,
    /// The published value is all there is: it is a row of the paper.
    pub(super) published: bool,
    /// Results by what pairs them with those of other cells; see [`super::pairing`].
    pub(super) pairs: Vec<Outcome>,
    /// Compared with the best of the column, or with the baseline.
    pub(super) compared: Option<Compared>,
}

/// A cell compared with another one of its column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compared {
    /// The tests.
    pub(super) paired: Paired,
    /// Of the t test, by Holm's correction over the column.
    pub(super) p_t: Option<f64>,
    /// Of the signed-rank test, likewise.
    pub(super) p_wilcoxon: Option<f64>,
}

impl Compared {
    /// Whether it cannot be told from the other; none where no test says.
    pub(super) fn alike(&self) -> Option<bool> {
        self.p_t.map(|p| p >= stats::LEVEL)
    }
}

/// Numbers of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Results that are independent of each other.
    pub(crate) n: usize,
    /// Their mean.
    pub(crate) mean: f64,
    /// Sample standard deviation; none for one result.
    pub(crate) sd: Option<f64>,
    /// Half width of the 95 % interval of the mean by Student's t, as in the view `cells`.
    pub(crate) ci95: Option<f64>,
    /// The 95 % interval of the mean, which of a share does not leave [0, 1].
    pub(crate) interval: Option<Interval>,
    /// Least.
    pub(crate) min: f64,
    /// Greatest.
    pub(crate) max: f64,
}

/// What a table says of a trial that waits for an input that ended without a result; the database calls it waiting.
pub const BLOCKED: &str = "blocked";

/// Whether a result is a share, which lies in [0, 1].
pub(crate) fn is_share(metric: &str) -> bool {
    let base = metric.strip_prefix("val_").or_else(|| metric.strip_prefix("test_")).unwrap_or(metric);
    matches!(base, "auroc" | "accuracy")
        || base.starts_with("recall_")
        || base.starts_with("dice")
        || base.starts_with("knn_accuracy")
}

/// The result of a trial that is done.
pub(super) fn value(trial: &ResultRow, metric: &str) -> Option<f64> {
    match trial.state.as_str() {
        "done" => trial.values.get(metric).copied().filter(|value| value.is_finite()),
        _ => None,
    }
}

impl Cell {
    /// From trials and the result to show.
    pub(super) fn new(trials: &[&ResultRow], metric: &str) -> Self {
        let units = repeats::units(trials);
        let found = units.iter().zip(trials).filter_map(|(unit, trial)| Some((unit.as_deref(), value(trial, metric)?)));
        let found: Vec<(Option<&str>, f64)> = found.collect();
        let results = found.len();
        let values = repeats::independent(found);
        let reasons = trials.iter().filter(|trial| value(trial, metric).is_none()).map(|trial| reason(&trial.state));
        let reason = reasons.max_by_key(|(weight, _)| *weight).map(|(_, word)| word);
        let summary = Summary::of(&values, is_share(metric));
        Self { trials: trials.len(), results, averaged: values.len() < results, summary, reason, ..Self::default() }
    }

    /// A value of a published table.
    pub(super) fn of_paper(value: f64) -> Self {
        Self { reference: Some(value), published: true, ..Self::default() }
    }

    /// Nothing, and why.
    pub(super) fn without(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// `done`, `partial`, `published`, or why there is no result.
    pub(super) fn state(&self) -> &'static str {
        match (&self.summary, self.reason) {
            _ if self.published => "published",
            (Some(_), None) => "done",
            (Some(_), Some(_)) => "partial",
            (None, reason) => reason.unwrap_or("waiting"),
        }
    }

    /// The mean.
    pub(super) fn mean(&self) -> Option<f64> {
        self.summary.as_ref().map(|summary| summary.mean)
    }

    /// What it is compared by: the mean, or in a row of the paper the value there.
    pub(super) fn score(&self) -> Option<f64> {
        if self.published { self.reference } else { self.mean() }
    }

    /// Measured less published.
    pub(super) fn difference(&self) -> Option<f64> {
        Some(self.mean()? - self.reference?)
    }
}

/// Why a trial has no result; where trials differ, the one with the greatest weight is told.
fn reason(state: &str) -> (u8, &'static str) {
    match state {
        "failed" => (8, "failed"),
        "diverged" => (7, "diverged"),
        BLOCKED => (6, BLOCKED),
        "cancelled" => (5, "cancelled"),
        "pruned" => (4, "pruned"),
        "done" => (3, "no value"),
        "running" => (2, "running"),
        _ => (1, "waiting"),
    }
}

impl Summary {
    /// Of values; `share` says that they lie in [0, 1].
    pub(crate) fn of(values: &[f64], share: bool) -> Option<Self> {
        let first = *values.first()?;
        let n = values.len();
        let finite = |number: &f64| number.is_finite();
        let (mean, sd) = stats::moments(values)?;
        let sd = sd.filter(finite);
        let ci95 = sd.map(|sd| sd / (n as f64).sqrt() * stats::quantile_975(n - 1)).filter(finite);
        let interval = sd.and_then(|sd| stats::of_mean(n, mean, sd, share));
        let (min, max) = values.iter().fold((first, first), |(min, max), value| (min.min(*value), max.max(*value)));
        Some(Self { n, mean, sd, ci95, interval, min, max }).filter(|s| s.mean.is_finite())
    }
}
