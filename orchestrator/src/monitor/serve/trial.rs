//! All there is to know of a trial.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path as FilePath,
    sync::Arc,
};

use axum::{
    Json,
    extract::{Path, State},
};
use permafrost_worker::files;
use serde::Serialize;
use serde_json::Value;

use super::{
    curves::Axis,
    error::{Answer, Refusal},
    scope::{Wanted, number},
    site::Site,
};
use crate::{
    monitor::coordinator::coordinator,
    store::{AttemptUsage, RelatedRow, TrialDetail},
};

/// Trials above that are shown.
const MAX_ANCESTORS: i64 = 200;
/// Trials that read it, of which so many are shown.
const MAX_READERS: i64 = 50;
/// The end of a log that is read, in bytes.
const LOG_BYTES: u64 = 128 << 10;
/// Lines of it that are shown.
const LOG_LINES: usize = 400;

/// A trial.
#[derive(Serialize)]
pub(super) struct TrialAnswer {
    #[serde(flatten)]
    detail: TrialDetail,
    /// A coordinator leads the home folder: what is called running runs.
    led: bool,
    /// In milliseconds since 1970 UTC, where somebody leads.
    now: Option<i64>,
    usage: Vec<AttemptUsage>,
    ancestors: Vec<RelatedLine>,
    readers: Vec<RelatedLine>,
    readers_total: i64,
    metrics: Vec<String>,
}

#[derive(Serialize)]
struct RelatedLine {
    depth: i64,
    id: String,
    kind: String,
    state: String,
    parameters: Value,
}

impl From<RelatedRow> for RelatedLine {
    fn from(row: RelatedRow) -> Self {
        let RelatedRow { depth, id, kind, state, parameters } = row;
        let parameters = parameters.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null);
        Self { depth, id, kind, state, parameters }
    }
}

/// `GET /api/trial/{id}`: the identity, or its first digits.
pub(super) async fn trial(State(site): State<Arc<Site>>, Path(prefix): Path<String>) -> Answer<TrialAnswer> {
    let reader = site.reader().await?;
    let id = reader.find_trial(&prefix).await?;
    let rows = reader.trial_rows(&[&id.hex()]).await?;
    let row = rows.first().map_or(0, |(row, _)| *row);
    let ours = [row];
    let (detail, usage, ancestors, readers, metrics) = tokio::try_join!(
        reader.trial(id),
        reader.attempt_usage(&ours),
        reader.ancestors(row, MAX_ANCESTORS),
        reader.readers_of(row, MAX_READERS),
        reader.metrics_of(&ours),
    )?;
    let led = coordinator(&site.home).is_some();
    Ok(Json(TrialAnswer {
        detail,
        led,
        now: led.then(|| jiff::Timestamp::now().as_millisecond()),
        usage,
        ancestors: ancestors.into_iter().map(RelatedLine::from).collect(),
        readers: readers.1.into_iter().map(RelatedLine::from).collect(),
        readers_total: readers.0,
        metrics,
    }))
}

/// All curves of a trial.
#[derive(Serialize)]
pub(super) struct TrialCurves {
    /// What steps are: `epoch`, counted from 1, or `step`.
    axis: &'static str,
    curves: Vec<MetricCurve>,
}

#[derive(Serialize)]
struct MetricCurve {
    metric: String,
    points: Vec<(i64, f64)>,
}

/// Metrics of a trial that are shown.
const MAX_METRICS: usize = 24;
/// Points of each.
const POINTS: usize = 400;
/// Most steps that are read of one.
const MAX_STEPS: i64 = 100_000;

/// `GET /api/trial/{id}/curves`.
pub(super) async fn curves(State(site): State<Arc<Site>>, Path(prefix): Path<String>) -> Answer<TrialCurves> {
    let reader = site.reader().await?;
    let id = reader.find_trial(&prefix).await?;
    let rows = reader.trial_rows(&[&id.hex()]).await?;
    let row = rows.first().map_or(0, |(row, _)| *row);
    let axis = Axis::of(&reader.trial(id).await?.kind);
    let mut curves = Vec::new();
    for metric in reader.metrics_of(&[row]).await?.into_iter().take(MAX_METRICS) {
        let stride = reader.curve_steps(&[row], &metric).await? / MAX_STEPS + 1;
        let found = reader.thinned_curves(&[row], &metric, stride).await?;
        let points = found.get(&row).map(|curve| axis.of_curve(super::curves::thin(curve, POINTS))).unwrap_or_default();
        curves.push(MetricCurve { metric, points });
    }
    Ok(Json(TrialCurves { axis: axis.name(), curves }))
}

/// The end of a log.
#[derive(Serialize)]
pub(super) struct Log {
    attempt: u32,
    /// Lines before were left out.
    truncated: bool,
    lines: Vec<LogLine>,
    /// Why there are none.
    missing: Option<String>,
}

/// A line of a log.
#[derive(Serialize)]
struct LogLine {
    at: Option<String>,
    level: Option<String>,
    message: String,
    /// What else it says.
    fields: serde_json::Map<String, Value>,
}

/// `GET /api/trial/{id}/log`: of `attempt`, or of the last.
pub(super) async fn log(
    State(site): State<Arc<Site>>,
    Path(prefix): Path<String>,
    Wanted(asked): Wanted,
) -> Answer<Log> {
    let reader = site.reader().await?;
    let id = reader.find_trial(&prefix).await?;
    let attempts: Vec<u32> = reader.trial(id).await?.attempts.iter().map(|attempt| attempt.attempt).collect();
    let asked: Option<u32> = number(&asked, "attempt")?;
    if let Some(attempt) = asked.filter(|attempt| !attempts.contains(attempt)) {
        let missing = Some(match attempts.last() {
            Some(last) => format!("there is no attempt {attempt}, the last one is {last}"),
            None => format!("there is no attempt {attempt}, it has not run yet"),
        });
        return Ok(Json(Log { attempt, truncated: false, lines: vec![], missing }));
    }
    let Some(attempt) = asked.or(attempts.last().copied()) else {
        let missing = Some("it has not run yet".to_owned());
        return Ok(Json(Log { attempt: 0, truncated: false, lines: vec![], missing }));
    };
    let path = files::attempt_log(&site.home, id, attempt);
    let read = tokio::task::spawn_blocking(move || tail(&path)).await;
    let (lines, truncated, missing) = match read {
        Ok(Ok((lines, truncated))) => (lines, truncated, None),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            (vec![], false, Some("it was logged on another machine, or removed; or it logged nothing".to_owned()))
        }
        Ok(Err(error)) => {
            return Err(Refusal::not_found(format!("cannot read the log: {error}"), "check its permissions"));
        }
        Err(error) => return Err(Refusal::not_found(error.to_string(), "try again")),
    };
    Ok(Json(Log { attempt, truncated, lines, missing }))
}

/// The last lines of a file, and whether there are more.
fn tail(path: &FilePath) -> std::io::Result<(Vec<LogLine>, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LOG_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if from > 0 && !lines.is_empty() {
        // It begins in the middle of one.
        lines.remove(0);
    }
    let skipped = lines.len().saturating_sub(LOG_LINES);
    Ok((lines[skipped..].iter().map(|line| log_line(line)).collect(), from > 0 || skipped > 0))
}

fn log_line(line: &str) -> LogLine {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return LogLine { at: None, level: None, message: line.to_owned(), fields: serde_json::Map::new() };
    };
    let mut text = |name: &str| fields.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let at = text("at").or_else(|| text("timestamp"));
    let (level, message) = (text("level"), text("message").unwrap_or_default());
    fields.remove("target");
    LogLine { at, level, message, fields }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn of_a_long_log_the_end_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in 0..20_000 {
            writeln!(file, "{{\"at\":\"t\",\"message\":\"line {line}\",\"step\":{line}}}").unwrap();
        }
        let (lines, truncated) = tail(file.path()).unwrap();
        assert!(truncated);
        assert_eq!((lines.len(), lines[lines.len() - 1].message.as_str()), (LOG_LINES, "line 19999"));
        assert_eq!(lines[0].fields["step"], 19_600);
    }

    #[test]
    fn what_is_no_json_is_a_message() {
        assert_eq!(log_line("plain <b>").message, "plain <b>");
    }
}
