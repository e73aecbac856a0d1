//! What is valid JSON and yet cannot be: the database could not hold it, or it would be nonsense there. It is refused before anything
//! happens, because a failed commit would end the coordinator for everybody.

use std::{
    collections::HashSet,
    path::{Component, Path},
};

use permafrost_worker::protocol::{
    Artifact, Checkpoint, Finish, MemberFinish, MemberReport, Outcome, Point, Register, Report,
};

use super::message::ApiError;

type Checked = Result<(), ApiError>;

/// Checks what a worker says of itself.
pub(super) fn register(body: &Register) -> Checked {
    number("memory_bytes", body.device.memory_bytes)?;
    number("threads", body.device.threads as u64)
}

/// Checks a report.
pub(super) fn report(body: &Report) -> Checked {
    once("trial", body.members.iter().map(|member| member.trial))?;
    let member = |member: &MemberReport| {
        number("done", member.done)?;
        number("total", member.total)?;
        number("resumed_step", member.resumed_step.unwrap_or(0))?;
        points(&member.points)?;
        member.checkpoint.iter().try_for_each(checkpoint)
    };
    body.members.iter().try_for_each(member)
}

/// Checks what ends.
pub(super) fn finish(body: &Finish) -> Checked {
    once("trial", body.members.iter().map(|member| member.trial))?;
    let member = |member: &MemberFinish| {
        points(&member.points)?;
        match &member.outcome {
            Outcome::Done { artifacts, .. } => {
                once("artifact", artifacts.iter().map(|artifact| &artifact.name))?;
                artifacts.iter().try_for_each(artifact)
            }
            Outcome::Preempted { checkpoint: state } => state.iter().try_for_each(checkpoint),
            Outcome::Diverged { .. } | Outcome::Failed(_) => Ok(()),
        }
    };
    body.members.iter().try_for_each(member)
}

fn points(points: &[Point]) -> Checked {
    points.iter().try_for_each(|point| number("step", point.step))
}

fn checkpoint(checkpoint: &Checkpoint) -> Checked {
    number("step", checkpoint.step)?;
    artifact(&checkpoint.file)
}

fn artifact(file: &Artifact) -> Checked {
    number("bytes", file.bytes)?;
    let path: &Path = &file.path;
    // Whoever opens it later joins it to the home folder.
    let below = path.components().all(|part| matches!(part, Component::Normal(_)));
    if path.as_os_str().is_empty() || !below {
        return Err(ApiError::BadReport(format!("path `{}` is not below the home folder", path.display())));
    }
    Ok(())
}

/// SQLite's integers have a sign.
fn number(what: &str, value: u64) -> Checked {
    match i64::try_from(value) {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(ApiError::BadReport(format!("`{what}` is {value}, the database holds no more than {}", i64::MAX)))
        }
    }
}

fn once<T: Eq + std::hash::Hash + std::fmt::Debug>(what: &str, items: impl Iterator<Item = T>) -> Checked {
    let mut seen = HashSet::new();
    for item in items {
        let name = format!("{item:?}");
        if !seen.insert(item) {
            return Err(ApiError::BadReport(format!("{what} {name} is there twice")));
        }
    }
    Ok(())
}
