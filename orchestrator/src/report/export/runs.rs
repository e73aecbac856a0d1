//! Trials as runs: with names that people find, flat parameters, and times for values that have none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::store::{ExportAttempt, ExportPoint, ExportTrial, Reader, StoreError};

/// Most characters of a run's name before its identity.
const MAX_LABEL: usize = 100;
/// Digits of an identity that people see.
const SHORT: usize = 10;

/// A trial with all that is exported of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is, and its last attempt.
    pub trial: ExportTrial,
    /// Parameters by flat name: an object `a: {b: 1}` is `a.b`.
    pub parameters: BTreeMap<String, Value>,
    /// Final values.
    pub results: Vec<(String, f64)>,
    /// Its attempts, oldest first.
    pub attempts: Vec<ExportAttempt>,
    /// All that they reported, by attempt, step and metric.
    pub points: Vec<RunPoint>,
}

/// A value that an attempt reported.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPoint {
    /// Attempt.
    pub attempt: i64,
    /// Step.
    pub step: i64,
    /// Metric.
    pub metric: String,
    /// Value.
    pub value: f64,
    /// When, in milliseconds since 1970 UTC. The database does not tell; the steps of an attempt are spread evenly over its time.
    pub at: i64,
}

impl Run {
    /// Whether it is about data rather than about training: nothing to compare.
    pub fn is_preparation(trial: &ExportTrial) -> bool {
        matches!(trial.kind.as_str(), "fetch" | "prepare" | "embed")
    }

    /// Whether it has come to an end.
    pub fn has_ended(trial: &ExportTrial) -> bool {
        !matches!(trial.state.as_str(), "waiting" | "ready" | "running")
    }

    /// Its curves without repeats: at each step the value of the latest attempt that reported it.
    pub fn curves(&self) -> Vec<&RunPoint> {
        let mut last: BTreeMap<(&str, i64), &RunPoint> = BTreeMap::new();
        for point in &self.points {
            // They come by attempt: the later one stays.
            last.insert((&point.metric, point.step), point);
        }
        last.into_values().collect()
    }
}

/// Reads these trials whole. `now` is for attempts that still run, in milliseconds since 1970 UTC.
///
/// # Errors
/// [`StoreError`].
pub async fn read(reader: &Reader, trials: &[ExportTrial], now: i64) -> Result<Vec<Run>, StoreError> {
    let rows: Vec<i64> = trials.iter().map(|trial| trial.trial).collect();
    let mut results: HashMap<i64, Vec<(String, f64)>> = HashMap::new();
    for (trial, name, value) in reader.export_results(&rows).await? {
        results.entry(trial).or_default().push((name, value));
    }
    let mut attempts: HashMap<i64, Vec<ExportAttempt>> = HashMap::new();
    for attempt in reader.export_attempts(&rows).await? {
        attempts.entry(attempt.trial).or_default().push(attempt);
    }
    let mut points: HashMap<i64, Vec<ExportPoint>> = HashMap::new();
    for point in reader.export_points(&rows).await? {
        points.entry(point.trial).or_default().push(point);
    }
    let run = |trial: &ExportTrial| {
        let attempts = attempts.get(&trial.trial).cloned().unwrap_or_default();
        let points = timed(points.get(&trial.trial).map_or(&[][..], Vec::as_slice), &attempts, now);
        Ok(Run {
            parameters: parameters_of(trial)?,
            results: results.get(&trial.trial).cloned().unwrap_or_default(),
            points,
            attempts,
            trial: trial.clone(),
        })
    };
    trials.iter().map(run).collect()
}

/// Parameters of a trial by flat name.
///
/// # Errors
/// [`StoreError::Content`] when they are no object.
pub(super) fn parameters_of(trial: &ExportTrial) -> Result<BTreeMap<String, Value>, StoreError> {
    let parameters = serde_json::from_str(&trial.parameters)
        .map_err(|error| StoreError::Content(format!("parameters of {}: {error}", trial.id)))?;
    Ok(flat(&parameters))
}

/// Points by attempt, step and metric, each with its time: the steps of an attempt are spread evenly over its time.
fn timed(points: &[ExportPoint], attempts: &[ExportAttempt], now: i64) -> Vec<RunPoint> {
    let mut steps: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for point in points {
        steps.entry(point.attempt).or_default().insert(point.step);
    }
    let mut times: HashMap<(i64, i64), i64> = HashMap::new();
    for (attempt, steps) in &steps {
        let of = attempts.iter().find(|known| known.attempt == *attempt);
        let (started, ended) = of.map_or((now, now), |known| (known.started, known.ended.unwrap_or(now)));
        let span = (ended - started).max(0) as f64;
        for (place, step) in steps.iter().enumerate() {
            let share = (place + 1) as f64 / steps.len() as f64;
            times.insert((*attempt, *step), started + (span * share) as i64);
        }
    }
    let point = |point: &ExportPoint| RunPoint {
        attempt: point.attempt,
        step: point.step,
        metric: point.metric.clone(),
        value: point.value,
        at: times.get(&(point.attempt, point.step)).copied().unwrap_or(now),
    };
    let mut timed: Vec<RunPoint> = points.iter().map(point).collect();
    timed.sort_by(|a, b| (a.attempt, a.step, &a.metric).cmp(&(b.attempt, b.step, &b.metric)));
    timed
}

/// Parameters by flat name.
fn flat(parameters: &Map<String, Value>) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, map: &Map<String, Value>, into: &mut BTreeMap<String, Value>) {
        for (name, value) in map {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Object(inner) => walk(&name, inner, into),
                _ => {
                    into.insert(name, value.clone());
                }
            }
        }
    }
    let mut names = BTreeMap::new();
    walk("", parameters, &mut names);
    names
}

/// Names for the trials of a sweep, in their order: the parameters that differ within their stage, then the first digits of the identity.
/// They hold letters, digits and `+,-.=_` alone.
pub fn labels(trials: &[ExportTrial]) -> Vec<String> {
    let parsed: Vec<BTreeMap<String, Value>> =
        trials.iter().map(|trial| flat(&serde_json::from_str(&trial.parameters).unwrap_or_default())).collect();
    let mut seen: BTreeMap<(&str, &str), (BTreeSet<String>, usize)> = BTreeMap::new();
    let mut members: BTreeMap<&str, usize> = BTreeMap::new();
    for (trial, parameters) in trials.iter().zip(&parsed) {
        *members.entry(&trial.stage).or_default() += 1;
        for (name, value) in parameters {
            let (values, count) = seen.entry((&trial.stage, name)).or_default();
            values.insert(value.to_string());
            *count += 1;
        }
    }
    let differs = |stage: &str, name: &str| {
        seen.get(&(stage, name)).is_some_and(|(values, count)| values.len() > 1 || *count < members[stage])
    };
    let label = |(trial, parameters): (&ExportTrial, &BTreeMap<String, Value>)| {
        let mut parts: Vec<String> = Vec::new();
        for (name, value) in parameters.iter().filter(|(name, _)| differs(&trial.stage, name)) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parts.push(format!("{name}={value}"));
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || "+,-.=_".contains(c) { c } else { '_' };
        let mut label: String = parts.join(",").chars().map(plain).take(MAX_LABEL).collect();
        if !label.is_empty() {
            label.push('-');
        }
        label + trial.id.get(..SHORT).unwrap_or(&trial.id)
    };
    trials.iter().zip(&parsed).map(label).collect()
}

#[cfg(test)]
pub(in crate::report::export) mod tests {
    use super::*;

    pub(in crate::report::export) fn trial(row: i64, parameters: &str) -> ExportTrial {
        ExportTrial {
            trial: row,
            stage: "classify".to_owned(),
            id: format!("{row:064x}").chars().rev().collect(),
            kind: "classify".to_owned(),
            state: "done".to_owned(),
            parameters: parameters.to_owned(),
            attempts: 1,
            started: Some(1000),
            ended: Some(2000),
            members: Some(1),
            message: None,
            cure: None,
            device: Some("cpu".to_owned()),
            model: Some("a processor".to_owned()),
            host: Some("here".to_owned()),
            program: Some("0.1.0".to_owned()),
        }
    }

    #[test]
    fn names_say_what_differs() {
        let names = labels(&[
            trial(1, r#"{"seed": 0, "epochs": 4, "vision": "a/b c"}"#),
            trial(2, r#"{"seed": 1, "epochs": 4, "vision": "é"}"#),
        ]);
        assert_eq!(names, ["seed=0,vision=a_b_c-1000000000", "seed=1,vision=_-2000000000"]);
        assert_eq!(labels(&[trial(1, "{}")]), ["1000000000"]);
        let long = format!(r#"{{"x": "{}"}}"#, "y".repeat(500));
        assert!(labels(&[trial(1, &long), trial(2, "{}")])[0].len() <= MAX_LABEL + 1 + SHORT);
    }

    #[test]
    fn steps_are_spread_over_their_attempt() {
        let point = |attempt, step, value| ExportPoint { trial: 1, metric: "loss".to_owned(), step, attempt, value };
        let attempts = [
            ExportAttempt { trial: 1, attempt: 1, started: 1000, ended: Some(1400) },
            ExportAttempt { trial: 1, attempt: 2, started: 2000, ended: None },
        ];
        let points = [point(1, 0, 5.0), point(1, 1, 4.0), point(2, 1, 4.5), point(2, 2, 3.0)];
        let timed = timed(&points, &attempts, 2600);
        let told: Vec<(i64, i64, i64)> = timed.iter().map(|point| (point.attempt, point.step, point.at)).collect();
        assert_eq!(told, [(1, 0, 1200), (1, 1, 1400), (2, 1, 2300), (2, 2, 2600)]);
        let run = Run {
            trial: trial(1, "{}"),
            parameters: BTreeMap::new(),
            results: vec![],
            attempts: vec![],
            points: timed,
        };
        let curve: Vec<(i64, f64)> = run.curves().iter().map(|point| (point.step, point.value)).collect();
        assert_eq!(curve, [(0, 5.0), (1, 4.5), (2, 3.0)], "the latest attempt counts");
    }

    #[test]
    fn nested_parameters_have_flat_names() {
        let Ok(Value::Object(map)) = serde_json::from_str(r#"{"a": {"b": {"c": 1}, "d": [1, 2]}, "e": null}"#) else {
            panic!()
        };
        let names: Vec<(String, String)> =
            flat(&map).into_iter().map(|(name, value)| (name, value.to_string())).collect();
        let wanted = [("a.b.c", "1"), ("a.d", "[1,2]"), ("e", "null")];
        assert_eq!(names, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
