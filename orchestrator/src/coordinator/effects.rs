//! What the core decided, as changes of the database.

use std::collections::HashMap;

use jiff::Timestamp;
use permafrost_worker::{
    id::TrialId,
    protocol::{Attempt, MemberFinish, Outcome, Samples},
};

use crate::{
    core::{AttemptState, Effect, End},
    store::{Change, DeviceNews, EndedAttempt, ResultRows, StateChange},
};

/// Clocks that differ by less than this are taken as equal, in milliseconds: a request is under way for a while.
const EQUAL_CLOCKS_MS: i64 = 1_000;

/// Samples of a worker with times by the clock of this machine: attempts begin and end by that.
pub(super) fn by_our_clock(body: Samples) -> DeviceNews {
    let Samples { worker, sent_at, device, mut samples, mut incidents } = body;
    let apart = Timestamp::now().as_millisecond().saturating_sub(sent_at);
    if apart.abs() >= EQUAL_CLOCKS_MS {
        samples.iter_mut().for_each(|sample| sample.at = sample.at.saturating_add(apart));
        incidents.iter_mut().for_each(|incident| incident.at = incident.at.saturating_add(apart));
    }
    DeviceNews { worker, device, samples, incidents }
}

/// How the core sees an outcome.
pub(super) fn end_of(outcome: &Outcome) -> End {
    match outcome {
        Outcome::Done { .. } => End::Done,
        Outcome::Diverged { .. } => End::Diverged,
        Outcome::Preempted { .. } => End::Preempted,
        Outcome::Failed(failure) => match failure.damaged {
            Some(origin) => End::Damaged { input: origin.trial, made_by: origin.attempt },
            None => End::Failed(failure.class),
        },
    }
}

/// The changes that `effects` amount to, in an order that the database accepts: attempts end, states change, and only then
/// is something granted. `finishes` are the outcomes that led to them; `lost` says why attempts were lost.
pub(super) fn changes(effects: &[Effect], finishes: &[MemberFinish], lost: &str) -> Vec<Change> {
    let finishes: HashMap<(TrialId, Attempt), &MemberFinish> =
        finishes.iter().map(|finish| ((finish.trial, finish.attempt), finish)).collect();
    let mut changes = Vec::new();
    let (mut results, mut ended, mut states, mut grants) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::Accepted { trial, attempt } => {
                if let Some(finish) = finishes.get(&(*trial, *attempt)) {
                    brought(finish, &mut changes, &mut results);
                }
            }
            Effect::AttemptEnded { trial, attempt, state } => {
                let outcome = finishes.get(&(*trial, *attempt)).map(|finish| &finish.outcome);
                ended.push(ended_attempt(*trial, *attempt, *state, outcome, lost));
            }
            &Effect::State { trial, from, to, not_before_in_ms } => {
                states.push(StateChange { trial, from, to, not_before_in_ms });
            }
            Effect::Grant { worker, leases } => {
                grants.push(Change::Grant { worker: *worker, leases: leases.clone() });
            }
            Effect::Idle { .. } | Effect::Leave { .. } | Effect::Stop { .. } | Effect::Refused { .. } => {}
        }
    }
    if !results.is_empty() {
        changes.push(Change::Results(results));
    }
    if !ended.is_empty() {
        changes.push(Change::Ended(ended));
    }
    if !states.is_empty() {
        changes.push(Change::States(states));
    }
    changes.extend(grants);
    changes
}

/// What an accepted finish brings beside the end itself.
fn brought(finish: &MemberFinish, changes: &mut Vec<Change>, results: &mut Vec<ResultRows>) {
    let (trial, attempt) = (finish.trial, finish.attempt);
    if !finish.points.is_empty() {
        changes.push(Change::Points { trial, attempt, points: finish.points.clone() });
    }
    match &finish.outcome {
        Outcome::Done { summary, artifacts } => {
            results.push(ResultRows { trial, attempt, summary: summary.clone(), artifacts: artifacts.clone() });
        }
        Outcome::Preempted { checkpoint: Some(checkpoint) } => {
            changes.push(Change::Checkpoint { trial, attempt, checkpoint: checkpoint.clone() });
        }
        _ => {}
    }
}

fn ended_attempt(
    trial: TrialId,
    attempt: Attempt,
    state: AttemptState,
    outcome: Option<&Outcome>,
    lost: &str,
) -> EndedAttempt {
    let mut ended = EndedAttempt { trial, attempt, state, class: None, message: None, cure: None };
    match (state, outcome) {
        (AttemptState::Lost, _) => ended.message = Some(lost.to_owned()),
        (AttemptState::Cancelled, _) => ended.message = Some("a user cancelled it".to_owned()),
        (_, Some(Outcome::Failed(failure))) => {
            ended.class = Some(failure.class.name());
            ended.message = Some(failure.message.clone());
            ended.cure.clone_from(&failure.cure);
        }
        (_, Some(Outcome::Diverged { step, what })) => {
            ended.message = Some(format!("{what} was not finite at step {step}"));
            ended.cure = Some("a lower learning rate often helps".to_owned());
        }
        _ => {}
    }
    ended
}
