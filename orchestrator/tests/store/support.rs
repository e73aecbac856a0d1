//! A database in a folder of its own, and short words for what tests write into it.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use permafrost::{
    core::{AttemptState, TrialState},
    store::{
        Change, DATABASE, EndedAttempt, NewSweep, NewWorker, PlannedRow, Reader, Recorded, ResultRows, SqlValue,
        StateChange, Store,
    },
};
use permafrost_worker::{
    id::TrialId,
    protocol::{Artifact, Attempt, Checkpoint, DeviceInfo, Point},
    task::{Noop, NoopEnd, Task},
};
use uuid::Uuid;

/// A database with one worker.
pub struct World {
    pub folder: tempfile::TempDir,
    pub store: Store,
    pub worker: Uuid,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join(DATABASE)).await.unwrap();
        let worker = Uuid::from_u128(7);
        store.apply(vec![new_worker(worker)]).await.unwrap();
        Self { folder, store, worker }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    pub async fn apply(&self, change: Change) -> Recorded {
        self.store.apply(vec![change]).await.unwrap()
    }

    pub async fn state(&self, trial: TrialId, from: TrialState, to: TrialState) {
        let recorded = self.apply(state(trial, from, to)).await;
        assert_eq!(recorded.refused, []);
    }

    /// The trial comes under a lease.
    pub async fn grant(&self, trial: TrialId, attempt: Attempt) {
        let recorded = self.apply(Change::Grant { worker: self.worker, leases: vec![(trial, attempt)] }).await;
        assert_eq!(recorded.refused, []);
    }

    /// A waiting trial becomes ready and comes under its first lease.
    pub async fn begin(&self, trial: TrialId) {
        self.state(trial, TrialState::Waiting, TrialState::Ready).await;
        self.grant(trial, 1).await;
    }

    /// The attempt ends, and the trial comes into a state.
    pub async fn end(&self, trial: TrialId, attempt: Attempt, how: AttemptState, to: TrialState) {
        let changes = vec![ended(trial, attempt, how), state(trial, TrialState::Running, to)];
        assert_eq!(self.store.apply(changes).await.unwrap().refused, []);
    }

    /// A waiting trial is done with these results.
    pub async fn finish(&self, trial: TrialId, values: &[(&str, f64)]) {
        self.begin(trial).await;
        assert_eq!(self.apply(results(trial, 1, values)).await.refused, []);
        self.end(trial, 1, AttemptState::Done, TrialState::Done).await;
    }

    pub async fn points(&self, trial: TrialId, attempt: Attempt, points: &[(u64, f64)]) {
        let recorded = self.apply(points_of(trial, attempt, points)).await;
        assert_eq!(recorded.refused, []);
    }

    pub async fn ask(&self, sql: &str) -> Vec<Vec<SqlValue>> {
        ask(&self.path(), sql).await
    }

    pub async fn number(&self, sql: &str) -> i64 {
        number(&self.path(), sql).await
    }
}

pub async fn ask(path: &Path, sql: &str) -> Vec<Vec<SqlValue>> {
    Reader::open(path).await.unwrap().query(sql).await.unwrap().rows
}

pub async fn number(path: &Path, sql: &str) -> i64 {
    match ask(path, sql).await[0][0] {
        SqlValue::Integer(number) => number,
        ref other => panic!("{sql} gives {other:?}"),
    }
}

/// SQLite's own opinion of the file.
pub async fn assert_whole(path: &Path) {
    let opinion = ask(path, "PRAGMA integrity_check").await;
    assert_eq!(opinion, [[SqlValue::Text("ok".to_owned())]]);
    assert_eq!(ask(path, "PRAGMA foreign_key_check").await, Vec::<Vec<SqlValue>>::new());
}

pub fn text(value: &SqlValue) -> &str {
    match value {
        SqlValue::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

pub fn real(value: &SqlValue) -> f64 {
    match value {
        SqlValue::Real(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

pub fn new_worker(worker: Uuid) -> Change {
    let device =
        DeviceInfo { name: "cpu".to_owned(), model: "a processor".to_owned(), threads: 2, memory_bytes: 1 << 33 };
    let (host, program) = ("a-host".to_owned(), "1.2.3".to_owned());
    Change::Worker(NewWorker { worker, host, pid: 5, program, device })
}

pub fn noop(index: u64, after: &[TrialId]) -> Task {
    Task::Noop(Noop { index, steps: 1, step_ms: 0, after: after.to_vec(), end: NoopEnd::Done })
}

pub fn id(task: &Task) -> TrialId {
    task.id().unwrap()
}

/// A sweep of `trials`: stage, JSON of the parameters, task.
pub fn sweep(name: &str, digest: &str, trials: &[(&str, &str, Task)]) -> Change {
    let row = |(stage, parameters, task): &(&str, &str, Task)| PlannedRow {
        id: id(task),
        kind: task.kind().name(),
        task: serde_json::to_string(task).unwrap(),
        array_key: task.array_key(),
        inputs: task.inputs(),
        stage: (*stage).to_owned(),
        parameters: (*parameters).to_owned(),
    };
    Change::Submit(NewSweep {
        name: name.to_owned(),
        source: format!("name: {name}"),
        digest: digest.to_owned(),
        report: "{}".to_owned(),
        tags: vec![],
        trials: trials.iter().map(row).collect(),
    })
}

pub fn state(trial: TrialId, from: TrialState, to: TrialState) -> Change {
    Change::States(vec![StateChange { trial, from, to, not_before_in_ms: None }])
}

pub fn ended(trial: TrialId, attempt: Attempt, state: AttemptState) -> Change {
    Change::Ended(vec![EndedAttempt { trial, attempt, state, class: None, message: None, cure: None }])
}

pub fn results(trial: TrialId, attempt: Attempt, values: &[(&str, f64)]) -> Change {
    let summary: BTreeMap<String, f64> = values.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    Change::Results(vec![ResultRows { trial, attempt, summary, artifacts: vec![artifact("weights", attempt)] }])
}

pub fn points_of(trial: TrialId, attempt: Attempt, points: &[(u64, f64)]) -> Change {
    let point = |&(step, value): &(u64, f64)| Point { name: "loss".to_owned(), step, value };
    Change::Points { trial, attempt, points: points.iter().map(point).collect() }
}

pub fn checkpoint(trial: TrialId, attempt: Attempt, step: u64) -> Change {
    let file = artifact(&format!("checkpoint-{step}"), attempt);
    Change::Checkpoint { trial, attempt, checkpoint: Checkpoint { step, file } }
}

pub fn artifact(name: &str, attempt: Attempt) -> Artifact {
    let path = format!("artifacts/attempt-{attempt}/{name}").into();
    Artifact { name: name.to_owned(), path, bytes: 10, blake3: "00".repeat(32) }
}

pub fn event(detail: String) -> Change {
    Change::Event { kind: "test", trial: None, detail }
}

/// Says that a test is skipped, and why; not with `eprintln!`, which the test runner hides.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr().lock(), "skipped {test}: {why}").unwrap();
}
