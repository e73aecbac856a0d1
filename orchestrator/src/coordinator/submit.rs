//! Requests of users, as events of the scheduler and rows of the database.

use std::collections::HashSet;

use permafrost_worker::{id::TrialId, task::Task};

use super::{
    api::{Control, Submit},
    message::ApiError,
};
use crate::{
    core::{Effect, Event, NewTrial},
    store::{Change, NewSweep, PlannedRow},
};

/// Splits a plan into what the scheduler needs and what the database keeps.
pub(super) fn prepare(body: Submit) -> Result<(NewSweep, Vec<NewTrial>), ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::BadPlan(error.to_string());
    let mut rows = Vec::with_capacity(body.trials.len());
    let mut trials = Vec::with_capacity(body.trials.len());
    let mut places = HashSet::with_capacity(body.trials.len());
    for submitted in body.trials {
        let task: &Task = &submitted.task;
        let id = task.id().map_err(|error| bad(&error))?;
        if !places.insert((id, submitted.stage.clone())) {
            let stage = &submitted.stage;
            return Err(ApiError::BadPlan(format!("trial {} is in stage `{stage}` twice", id.short())));
        }
        if !submitted.parameters.is_object() {
            return Err(ApiError::BadPlan(format!("the parameters of trial {} are no object", id.short())));
        }
        let (kind, array_key, inputs) = (task.kind(), task.array_key(), task.inputs());
        rows.push(PlannedRow {
            id,
            kind: kind.name(),
            task: serde_json::to_string(task).map_err(|error| bad(&error))?,
            array_key: array_key.clone(),
            inputs: inputs.clone(),
            stage: submitted.stage,
            parameters: submitted.parameters.to_string(),
        });
        trials.push(NewTrial { id, kind, array_key, inputs });
    }
    let sweep = NewSweep {
        name: body.name,
        source: body.source,
        digest: body.digest,
        report: body.report.to_string(),
        tags: body.tags,
        trials: rows,
    };
    Ok((sweep, trials))
}

/// A user's command as an event, with its name in the table `events`.
pub(super) fn control(body: Control) -> (Event, &'static str) {
    match body {
        Control::Ping => (Event::Tick, "ping"),
        Control::Drain => (Event::Drain, "drain"),
        Control::Retry(trials) => (Event::Retry(trials), "retry"),
        Control::Cancel(trials) => (Event::Cancel(trials), "cancel"),
    }
}

/// What a user's command is told by in the table `events`; `changed` are the trials that it was about.
pub(super) fn told(kind: &'static str, changed: &[TrialId]) -> Change {
    let (trial, detail) = match changed {
        [] => (None, "by a user".to_owned()),
        [trial] => (Some(*trial), "by a user".to_owned()),
        [first, ..] => (None, format!("by a user: {} trials, the first {}", changed.len(), first.short())),
    };
    Change::Event { kind, trial, detail }
}

/// Trials whose state changed.
pub(super) fn changed(effects: &[Effect]) -> Vec<TrialId> {
    let states = effects.iter().filter_map(|effect| match effect {
        Effect::State { trial, .. } => Some(*trial),
        _ => None,
    });
    states.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_with_its_trials() {
        let trials: Vec<TrialId> = (1..4).map(|i| format!("{i:064x}").parse().unwrap()).collect();
        let told = |changed: &[TrialId]| match told("retry", changed) {
            Change::Event { kind: "retry", trial, detail } => (trial, detail),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&[]), (None, "by a user".to_owned()));
        assert_eq!(told(&trials[..1]), (Some(trials[0]), "by a user".to_owned()));
        assert_eq!(told(&trials), (None, format!("by a user: 3 trials, the first {}", trials[0].short())));
    }
}
