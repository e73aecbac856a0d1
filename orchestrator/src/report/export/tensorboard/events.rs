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
            put(ended, step, What::Summary(scalar(&format!("result/{name}"), *value)));
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
