//! Trials that ended without a result, told by what went wrong.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::store::{FailureRow, LACKS};

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
    /// Whether launching again tries some of them again.
    launched_again: bool,
    /// Whether it does not try others.
    retried_by_hand: bool,
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

/// Whether launching a sweep runs a trial again that ended so: it was cancelled, or failed by one of [`LACKS`]. What diverged would do so
/// again.
pub(super) fn is_launched_again(state: &str, class: Option<&str>) -> bool {
    match state {
        "cancelled" => true,
        "failed" => LACKS.iter().any(|lack| class == Some(lack.name())),
        _ => false,
    }
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
        let again = |row: &FailureRow| is_launched_again(&row.state, row.class.as_deref());
        let launched_again = failures.iter().any(again);
        let retried_by_hand = !failures.iter().all(again);
        Self { without, total, reasons, more, launched_again, retried_by_hand }
    }

    /// What to do about it.
    pub(super) fn cure(&self) -> String {
        let again = match (self.launched_again, self.retried_by_hand) {
            (true, false) => "the same command tries them again",
            (true, true) => {
                "the same command tries those again that lacked something, after `permafrost retry --failed` the others too"
            }
            (false, _) => "`permafrost retry --failed` and the same command run them again",
        };
        format!("`permafrost explain TRIAL` says more; {again}")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: &str, class: Option<&str>) -> FailureRow {
        let id = "0123456789abcdef".to_owned();
        let class = class.map(str::to_owned);
        let parameters = "{}".to_owned();
        FailureRow { stage: "a".to_owned(), id, state: state.to_owned(), parameters, class, message: None, cure: None }
    }

    #[test]
    fn the_cure_is_what_launch_does() {
        let cure = |rows: &[FailureRow]| Unfinished::new(rows.len() as i64, 9, rows).cure();
        let full = row("failed", Some("resources"));
        assert!(cure(&[full.clone(), row("cancelled", None)]).ends_with("; the same command tries them again"));
        assert!(cure(&[row("failed", Some("bug"))]).contains("`permafrost retry --failed` and the same command"));
        assert!(cure(&[row("diverged", None)]).contains("`permafrost retry --failed` and the same command"));
        let both = cure(&[full, row("diverged", None)]);
        assert!(both.contains("lacked something") && both.contains("retry --failed"), "{both}");
    }
}
