//! The events of an attempt, and what of them a file has already.

use std::collections::HashMap;

use prost::Message;

use super::{
    proto::{
        Dim, Event, HParam, HParamKind, HParams, HParamsData, PluginData, SessionEnd, SessionLog, SessionStart,
        SessionStatus, Shape, Status, Summary, SummaryMetadata, Tensor, Value, What,
    },
    record,
};
use crate::report::export::{Run, RunPoint};

const START_TAG: &str = "_hparams_/session_start_info";
const END_TAG: &str = "_hparams_/session_end_info";
const PLUGIN: &str = "hparams";
/// `DT_FLOAT`.
const FLOAT: i32 = 1;

/// What a file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its bytes that are whole records.
    pub(super) bytes: usize,
    /// The last step of each curve.
    last: HashMap<String, i64>,
    /// That the trial has ended.
    pub(super) ended: bool,
}

impl Known {
    /// Of a file's content.
    pub(super) fn of(content: &[u8]) -> Self {
        let (records, bytes) = record::whole(content);
        let mut known = Self { bytes, ..Self::default() };
        for event in records.into_iter().filter_map(|record| Event::decode(record).ok()) {
            if let Some(What::Summary(summary)) = event.what {
                for value in summary.value {
                    if value.tag == END_TAG {
                        known.ended = true;
                    } else if value.simple_value.is_some() {
                        known.last.insert(value.tag, event.step);
                    }
                }
            }
        }
        known
    }
}

/// Attempts that have a file: those that reported something, and the last one of a trial that has ended.
pub(super) fn with_file(run: &Run) -> Vec<i64> {
    let last = run.attempts.last().map(|last| last.attempt);
    let reported = |attempt: i64| run.points.iter().any(|point| point.attempt == attempt);
    let has_file = |attempt: &i64| reported(*attempt) || (Some(*attempt) == last && Run::has_ended(&run.trial));
    run.attempts.iter().map(|known| known.attempt).filter(has_file).collect()
}

/// What has to be added to the file of an attempt that has `known`; `known` is then what it has. How many values that are, comes
/// with it. `first`: no attempt before it has a file.
pub(super) fn new_records(run: &Run, attempt: i64, first: bool, known: &mut Known) -> (Vec<u8>, usize) {
    let points: Vec<&RunPoint> = run.points.iter().filter(|point| point.attempt == attempt).collect();
    let last_attempt = run.attempts.last().is_none_or(|last| last.attempt == attempt);
    let started = run.attempts.iter().find(|known| known.attempt == attempt).map_or(0, |known| known.started);
    let mut out = Vec::new();
    let mut put = |at_ms: i64, step: i64, what: What| {
        let event = Event { wall_time: at_ms as f64 / 1000.0, step, what: Some(what) };
        record::append(&mut out, &event.encode_to_vec());
    };
    if known.bytes == 0 {
        put(started, 0, What::FileVersion("brain.Event:2".to_owned()));
        if let Some(point) = points.first() {
            // What an attempt before this one told of these steps was lost with it.
            put(started, point.step, What::SessionLog(SessionLog { status: SessionStatus::Start.into() }));
        }
        if first {
            put(started, 0, What::Summary(hparams(START_TAG, HParamsData::Start(session_start(run, started)))));
        }
    }
    let mut values = 0;
    for point in &points {
        if known.last.get(&point.metric).is_none_or(|last| *last < point.step) {
            put(point.at, point.step, What::Summary(scalar(&point.metric, point.value)));
            known.last.insert(point.metric.clone(), point.step);
            values += 1;
        }
    }
    if last_attempt && Run::has_ended(&run.trial) && !known.ended {
        let ended = run.trial.ended.unwrap_or(started);
        let step = points.last().map_or(0, |point| point.step);
        for (name, value) in &run.results {
            let tag = format!("result/{name}");
            put(ended, step, What::Summary(scalar(&tag, *value)));
            known.last.insert(tag, step);
            values += 1;
        }
        let status = if run.trial.state == "done" { Status::Success } else { Status::Failure };
        let end = SessionEnd { status: status.into(), end_time_secs: ended as f64 / 1000.0 };
        put(ended, step, What::Summary(hparams(END_TAG, HParamsData::End(end))));
        known.ended = true;
    }
    known.bytes += out.len();
    (out, values)
}

fn scalar(tag: &str, value: f64) -> Summary {
    let value = Value { tag: tag.to_owned(), simple_value: Some(value as f32), tensor: None, metadata: None };
    Summary { value: vec![value] }
}

fn hparams(tag: &str, data: HParamsData) -> Summary {
    let content = HParams { version: 0, data: Some(data) }.encode_to_vec();
    let plugin_data = PluginData { plugin_name: PLUGIN.to_owned(), content };
    let value = Value {
        tag: tag.to_owned(),
        simple_value: None,
        // The plugin wants one, and reads nothing from it.
        tensor: Some(Tensor { dtype: FLOAT, shape: Some(Shape { dim: vec![Dim { size: 0 }] }) }),
        metadata: Some(SummaryMetadata { plugin_data: Some(plugin_data) }),
    };
    Summary { value: vec![value] }
}

fn session_start(run: &Run, started: i64) -> SessionStart {
    let mut hparams: HashMap<String, HParam> = HashMap::new();
    let mut set = |name: &str, kind| hparams.insert(name.to_owned(), HParam { kind: Some(kind) });
    set("stage", HParamKind::Text(run.trial.stage.clone()));
    for (name, value) in &run.parameters {
        let kind = match value {
            serde_json::Value::Number(number) => HParamKind::Number(number.as_f64().unwrap_or_default()),
            serde_json::Value::Bool(flag) => HParamKind::Bool(*flag),
            serde_json::Value::String(text) => HParamKind::Text(text.clone()),
            other => HParamKind::Text(other.to_string()),
        };
        set(name, kind);
    }
    SessionStart { hparams, start_time_secs: started as f64 / 1000.0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{report::export::runs::tests::trial, store::ExportAttempt};

    fn point(attempt: i64, step: i64) -> RunPoint {
        RunPoint { attempt, step, metric: "loss".to_owned(), value: 1.0 / step as f64, at: 1000 * attempt + step }
    }

    fn run(state: &str, attempts: i64, points: Vec<RunPoint>) -> Run {
        let mut trial = trial(1, "{}");
        trial.state = state.to_owned();
        let attempt = |attempt| ExportAttempt { trial: 1, attempt, started: 1000 * attempt, ended: None };
        Run {
            trial,
            parameters: BTreeMap::from([("seed".to_owned(), 3.into()), ("vision".to_owned(), "a".into())]),
            results: vec![("auroc".to_owned(), 0.75)],
            attempts: (1..=attempts).map(attempt).collect(),
            points,
        }
    }

    /// Steps by tag, and where sessions begin.
    fn told(bytes: &[u8]) -> Vec<String> {
        let (records, length) = record::whole(bytes);
        assert_eq!(length, bytes.len());
        let told = |record: &[u8]| {
            let event = Event::decode(record).unwrap();
            match event.what.unwrap() {
                What::FileVersion(version) => version,
                What::SessionLog(_) => format!("start {}", event.step),
                What::Summary(summary) => format!("{} {}", summary.value[0].tag, event.step),
            }
        };
        records.into_iter().map(told).collect()
    }

    #[test]
    fn only_what_is_new_is_added() {
        let mut known = Known::default();
        let (mut file, values) = new_records(&run("running", 1, vec![point(1, 1), point(1, 2)]), 1, true, &mut known);
        assert_eq!(values, 2);
        let begin = ["brain.Event:2", "start 1", "_hparams_/session_start_info 0", "loss 1", "loss 2"];
        assert_eq!(told(&file), begin);
        assert_eq!(Known::of(&file), known, "the file alone tells what it has");
        let more = run("done", 1, vec![point(1, 1), point(1, 2), point(1, 3)]);
        let (records, values) = new_records(&more, 1, true, &mut known);
        assert_eq!(
            (told(&records).join(", "), values),
            ("loss 3, result/auroc 3, _hparams_/session_end_info 3".to_owned(), 2)
        );
        file.extend(records);
        assert_eq!(Known::of(&file), known);
        assert_eq!(new_records(&more, 1, true, &mut known), (vec![], 0));
        // Half a record is none.
        assert!(Known::of(&file[..file.len() - 1]).bytes < file.len() - 1);
    }

    #[test]
    fn an_attempt_that_goes_on_takes_back_what_was_lost() {
        let resumed = run("done", 3, vec![point(1, 1), point(1, 2), point(3, 2), point(3, 3)]);
        assert_eq!(with_file(&resumed), [1, 3], "the second was lost before it told anything");
        let (file, _) = new_records(&resumed, 3, false, &mut Known::default());
        let wanted = ["brain.Event:2", "start 2", "loss 2", "loss 3", "result/auroc 3", "_hparams_/session_end_info 3"];
        assert_eq!(told(&file), wanted);
        // One that failed at once says so, and takes nothing back.
        let failed = run("failed", 2, vec![point(1, 1)]);
        let (file, _) = new_records(&failed, 2, false, &mut Known::default());
        assert!(
            with_file(&failed) == [1, 2] && !told(&file).iter().any(|line| line.starts_with("start")),
            "{:?}",
            told(&file)
        );
    }
}
