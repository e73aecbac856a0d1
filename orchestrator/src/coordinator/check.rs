//! What is valid JSON and yet cannot be: the database could not hold it, or it would be nonsense there. It is refused before anything
//! happens, because a failed commit would end the coordinator for everybody.

use std::{
    collections::HashSet,
    path::{Component, Path},
};

use permafrost_worker::protocol::{
    Artifact, Checkpoint, Finish, Happening, MAX_INCIDENTS, MAX_SAMPLES, MAX_SPAN_MS, MemberFinish, MemberReport,
    Outcome, Point, Register, Report, Sample, Samples,
};

use super::message::ApiError;

type Checked = Result<(), ApiError>;

/// Bytes that a name or reason may have that a device tells.
const MAX_TEXT: usize = 1024;
/// The oldest time that is sampled: a year.
const MAX_AGE_MS: i64 = 366 * 86_400_000;

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

/// Checks what a device did.
pub(super) fn samples(body: &Samples) -> Checked {
    bounded("samples", body.samples.len(), MAX_SAMPLES)?;
    bounded("incidents", body.incidents.len(), MAX_INCIDENTS)?;
    let device = &body.device;
    number("memory_bytes", device.memory_bytes)?;
    measure("power_limit_w", device.power_limit_w)?;
    [&device.uuid, &device.model].into_iter().chain(&device.driver).try_for_each(|told| text(told))?;
    let not_later = |what: &str, at: i64| match at <= body.sent_at && body.sent_at.saturating_sub(at) < MAX_AGE_MS {
        true => Ok(()),
        false => Err(ApiError::BadReport(format!("{what} at {at}, sent at {}", body.sent_at))),
    };
    for sample in &body.samples {
        not_later("a sample", sample.at)?;
        self::sample(sample)?;
    }
    if !body.samples.is_sorted_by_key(|sample| sample.at) {
        return Err(ApiError::BadReport("the samples are not in order of time".to_owned()));
    }
    for incident in &body.incidents {
        not_later("an incident", incident.at)?;
        if let Happening::Lost(why) = &incident.what {
            text(why)?;
        }
    }
    Ok(())
}

fn sample(sample: &Sample) -> Checked {
    bounded("span_ms", sample.span_ms as usize, MAX_SPAN_MS as usize)?;
    for (what, value) in [("utilisation", sample.utilisation), ("host_utilisation", sample.host_utilisation)] {
        if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
            return Err(ApiError::BadReport(format!("`{what}` is not a share")));
        }
    }
    for (what, value) in [
        ("power_w", sample.power_w),
        ("energy_j", sample.energy_j),
        ("sm_clock_mhz", sample.sm_clock_mhz),
        ("memory_clock_mhz", sample.memory_clock_mhz),
    ] {
        measure(what, value)?;
    }
    if sample.temperature_c.is_some_and(|value| !value.is_finite()) {
        return Err(ApiError::BadReport("`temperature_c` is not a number".to_owned()));
    }
    for (what, value) in [
        ("memory_used_bytes", sample.memory_used_bytes),
        ("own_memory_bytes", sample.own_memory_bytes),
        ("ecc_corrected", sample.ecc_corrected),
        ("ecc_uncorrected", sample.ecc_uncorrected),
    ] {
        number(what, value.unwrap_or(0))?;
    }
    sample.throttle.as_deref().map_or(Ok(()), text)
}

fn bounded(what: &str, count: usize, most: usize) -> Checked {
    match count <= most {
        true => Ok(()),
        false => Err(ApiError::BadReport(format!("`{what}` is {count}, at most {most} are taken"))),
    }
}

/// What is measured is finite, and not less than nothing.
fn measure(what: &str, value: Option<f64>) -> Checked {
    match value {
        Some(value) if !(value.is_finite() && value >= 0.0) => Err(ApiError::BadReport(format!("`{what}` is {value}"))),
        _ => Ok(()),
    }
}

fn text(text: &str) -> Checked {
    bounded("bytes of a text", text.len(), MAX_TEXT)
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
