//! A database in a folder of its own, with a worker on a card.

use std::path::PathBuf;

use permafrost::{
    core::{AttemptState, TrialState},
    store::{
        Change, DATABASE, DeviceNews, EndedAttempt, NewSweep, NewWorker, PlannedRow, Reader, SqlValue, StateChange,
        Store,
    },
};
use permafrost_worker::{
    id::TrialId,
    protocol::{Attempt, DeviceInfo, Happening, Incident, Point, Sample, SampledDevice},
    task::{Noop, NoopEnd, Task},
};
use uuid::Uuid;

pub const WORKER: Uuid = Uuid::from_u128(7);
pub const HOST: &str = "node-1";

pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

pub struct World {
    pub folder: tempfile::TempDir,
    pub store: Store,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join(DATABASE)).await.unwrap();
        let world = Self { folder, store };
        world.introduce(WORKER, "cuda:0").await;
        world
    }

    pub async fn introduce(&self, worker: Uuid, device: &str) {
        let device =
            DeviceInfo { name: device.to_owned(), model: "Test Card".to_owned(), threads: 4, memory_bytes: 80 };
        let (host, program) = (HOST.to_owned(), "test".to_owned());
        self.apply(vec![Change::Worker(NewWorker { worker, host, pid: 1, program, device })]).await;
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    pub async fn reader(&self) -> Reader {
        Reader::open(&self.path()).await.unwrap()
    }

    pub async fn apply(&self, changes: Vec<Change>) {
        assert_eq!(self.store.apply(changes).await.unwrap().refused, []);
    }

    /// A sweep of trials that do nothing.
    pub async fn sweep(&self, trials: u64) -> Vec<TrialId> {
        self.sweep_of((0..trials).map(noop).collect()).await
    }

    /// A sweep of these trials.
    pub async fn sweep_of(&self, tasks: Vec<Task>) -> Vec<TrialId> {
        let planned = |task: &Task| PlannedRow {
            id: task.id().unwrap(),
            kind: task.kind().name(),
            task: serde_json::to_string(task).unwrap(),
            array_key: "noop".to_owned(),
            inputs: vec![],
            stage: "a \"stage\"\\\n".to_owned(),
            parameters: "{}".to_owned(),
        };
        let sweep = NewSweep {
            name: "sweep".to_owned(),
            source: String::new(),
            digest: "1".to_owned(),
            report: "{}".to_owned(),
            tags: vec![],
            trials: tasks.iter().map(planned).collect(),
        };
        self.apply(vec![Change::Submit(sweep)]).await;
        tasks.iter().map(|task| task.id().unwrap()).collect()
    }

    pub async fn begin(&self, trials: &[TrialId]) {
        let states = trials.iter().map(|&trial| StateChange {
            trial,
            from: TrialState::Waiting,
            to: TrialState::Ready,
            not_before_in_ms: None,
        });
        let leases: Vec<(TrialId, Attempt)> = trials.iter().map(|&trial| (trial, 1)).collect();
        self.apply(vec![Change::States(states.collect()), Change::Grant { worker: WORKER, leases }]).await;
    }

    pub async fn end(&self, trial: TrialId) {
        let state = AttemptState::Done;
        let ended = EndedAttempt { trial, attempt: 1, state, class: None, message: None, cure: None };
        let done = StateChange { trial, from: TrialState::Running, to: TrialState::Done, not_before_in_ms: None };
        self.apply(vec![Change::Ended(vec![ended]), Change::States(vec![done])]).await;
    }

    pub async fn points(&self, trial: TrialId, points: &[(&str, u64, f64)]) {
        let points = points.iter().map(|&(name, step, value)| Point { name: name.to_owned(), step, value }).collect();
        self.apply(vec![Change::Points { trial, attempt: 1, points }]).await;
    }

    pub async fn samples(&self, samples: Vec<Sample>) {
        self.news(WORKER, samples, vec![]).await;
    }

    pub async fn news(&self, worker: Uuid, samples: Vec<Sample>, incidents: Vec<Happening>) {
        let incidents = incidents.into_iter().map(|what| Incident { at: now(), what }).collect();
        self.apply(vec![Change::Samples(DeviceNews { worker, device: card(), samples, incidents })]).await;
    }

    pub async fn ask(&self, sql: &str) -> Vec<Vec<SqlValue>> {
        self.reader().await.query(sql).await.unwrap().rows
    }

    /// One row of numbers; NULL is NaN.
    pub async fn numbers(&self, sql: &str) -> Vec<f64> {
        let rows = self.ask(sql).await;
        assert_eq!(rows.len(), 1, "{sql} gives {rows:?}");
        let number = |value: &SqlValue| match value {
            SqlValue::Integer(number) => *number as f64,
            SqlValue::Real(number) => *number,
            SqlValue::Null => f64::NAN,
            SqlValue::Text(text) => panic!("{text}"),
        };
        rows[0].iter().map(number).collect()
    }
}

pub fn noop(index: u64) -> Task {
    Task::Noop(Noop { index, steps: 2, step_ms: 1, after: vec![], end: NoopEnd::Done })
}

pub fn card() -> SampledDevice {
    SampledDevice {
        uuid: "GPU-1".to_owned(),
        model: "Test Card".to_owned(),
        memory_bytes: 80_000_000_000,
        power_limit_w: Some(700.0),
        driver: Some("580.1".to_owned()),
    }
}

/// A second of a busy card.
pub fn sample(at: i64) -> Sample {
    Sample {
        at,
        span_ms: 1_000,
        utilisation: Some(0.5),
        memory_used_bytes: Some(4_000_000_000),
        own_memory_bytes: Some(3_000_000_000),
        power_w: Some(300.0),
        energy_j: Some(300.0),
        temperature_c: Some(60.0),
        sm_clock_mhz: Some(1980.0),
        memory_clock_mhz: Some(2619.0),
        throttle: None,
        ecc_corrected: Some(3),
        ecc_uncorrected: Some(0),
        processes: Some(1),
        host_utilisation: Some(0.25),
        members: 4,
    }
}
