//! Trials that agree in rows and columns.

use super::student;
use crate::store::ResultRow;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// Its trials.
    pub(super) trials: usize,
    /// What those with a result say.
    pub(super) summary: Option<Summary>,
    /// Why others have none, in a word.
    pub(super) reason: Option<&'static str>,
    /// The best of its column, or of its group there.
    pub(super) best: bool,
    /// A published value.
    pub(super) reference: Option<f64>,
}

/// Numbers of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Results.
    pub(super) n: usize,
    /// Their mean.
    pub(super) mean: f64,
    /// Sample standard deviation; none for one result.
    pub(super) sd: Option<f64>,
    /// Half width of the 95 % interval of the mean.
    pub(super) ci95: Option<f64>,
    /// Least.
    pub(super) min: f64,
    /// Greatest.
    pub(super) max: f64,
}

impl Cell {
    /// From trials and the result to show.
    pub(super) fn new(trials: &[&ResultRow], metric: &str) -> Self {
        let value = |trial: &ResultRow| match trial.state.as_str() {
            "done" => trial.values.get(metric).copied().filter(|value| value.is_finite()),
            _ => None,
        };
        let values: Vec<f64> = trials.iter().filter_map(|trial| value(trial)).collect();
        let reasons = trials.iter().filter(|trial| value(trial).is_none()).map(|trial| reason(&trial.state));
        let reason = reasons.max_by_key(|(weight, _)| *weight).map(|(_, word)| word);
        Self { trials: trials.len(), summary: Summary::of(&values), reason, best: false, reference: None }
    }

    /// `done`, `partial`, or why there is no result.
    pub(super) fn state(&self) -> &'static str {
        match (&self.summary, self.reason) {
            (Some(_), None) => "done",
            (Some(_), Some(_)) => "partial",
            (None, reason) => reason.unwrap_or("waiting"),
        }
    }

    /// The mean.
    pub(super) fn mean(&self) -> Option<f64> {
        self.summary.as_ref().map(|summary| summary.mean)
    }

    /// Measured less published.
    pub(super) fn difference(&self) -> Option<f64> {
        Some(self.mean()? - self.reference?)
    }
}

/// Why a trial has no result; where trials differ, the one with the greatest weight is told.
fn reason(state: &str) -> (u8, &'static str) {
    match state {
        "failed" => (7, "failed"),
        "diverged" => (6, "diverged"),
        "cancelled" => (5, "cancelled"),
        "pruned" => (4, "pruned"),
        "done" => (3, "no value"),
        "running" => (2, "running"),
        _ => (1, "waiting"),
    }
}

impl Summary {
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let first = *values.first()?;
        let n = values.len();
        // Around the first value: equal values have exactly that mean and no spread.
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        let ci95 = sd.map(|sd| sd / (n as f64).sqrt() * student::quantile_975(n - 1));
        let (min, max) = values.iter().fold((first, first), |(min, max), value| (min.min(*value), max.max(*value)));
        let finite = |number: &f64| number.is_finite();
        Some(Self { n, mean, sd: sd.filter(finite), ci95: ci95.filter(finite), min, max })
            .filter(|s| s.mean.is_finite())
    }
}
