//! Trials that ended without a result, told by what went wrong.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::store::FailureRow;

/// Different reasons that are told.
const MAX_REASONS: usize = 5;
/// Trials named with each.
const MAX_NAMED: usize = 3;

/// A sweep in which some trials have no result.
#[derive(Debug, thiserror::Error)]
pub struct Unfinished {
    without: i64,
    total: i64,
    reasons: Vec<Reason>,
    more: usize,
}

/// What went wrong with some trials.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Reason {
    /// State, such as `failed`.
    pub(super) state: String,
    /// Class of the failure.
    pub(super) class: Option<String>,
    /// What happened.
    pub(super) message: Option<String>,
    /// What to do about it.
    pub(super) cure: Option<String>,
    /// Stage and short identity of each trial.
    pub(super) trials: Vec<String>,
}

/// Failures with equal causes together, in the order of the plan.
pub(super) fn reasons(failures: &[FailureRow]) -> Vec<Reason> {
    let mut places: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    let mut reasons: Vec<Reason> = Vec::new();
    for row in failures {
        let place = *places.entry((&row.state, row.message.as_deref())).or_insert_with(|| {
            let FailureRow { state, class, message, cure, .. } = row.clone();
            reasons.push(Reason { state, class, message, cure, trials: Vec::new() });
            reasons.len() - 1
        });
        reasons[place].trials.push(format!("{} {}", row.stage, &row.id[..10]));
    }
    reasons
}

impl Unfinished {
    /// `without` of `total` trials have no result; `failures` are those that ended, the others wait for them.
    pub(super) fn new(without: i64, total: i64, failures: &[FailureRow]) -> Self {
        let mut reasons = reasons(failures);
        let more = reasons.len().saturating_sub(MAX_REASONS);
        reasons.truncate(MAX_REASONS);
        Self { without, total, reasons, more }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} trials have no result", self.without, self.total)?;
        let ended: usize = self.reasons.iter().map(|reason| reason.trials.len()).sum();
        let waiting = self.without - ended as i64;
        if self.more > 0 {
            write!(f, "; {MAX_REASONS} of {} different reasons:", MAX_REASONS + self.more)?;
        } else if waiting > 0 {
            write!(f, "; {waiting} of them wait for inputs that ended without one")?;
        }
        for reason in &self.reasons {
            write!(f, "\n{reason}")?;
            if let Some(cure) = &reason.cure {
                write!(f, "\n  hint: {cure}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.trials.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        write!(f, "{named}")?;
        if self.trials.len() > MAX_NAMED {
            write!(f, " and {} more", self.trials.len() - MAX_NAMED)?;
        }
        write!(f, ": {}", self.state)?;
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}
