//! A restart in the middle of large sweeps, after a kill.

use std::{fs, fs::File, path::Path, time::Instant};

use permafrost::{
    coordinator::api::{Control, Controlled},
    core::{AttemptState, TrialState},
    store::{Change, DATABASE, EndedAttempt, NewSweep, NewWorker, PlannedRow, ResultRows, StateChange, Store},
};
use permafrost_worker::{PROGRAM_VERSION, id::TrialId, protocol::DeviceInfo, task::Task};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    Result, graph,
    session::{Look, Session, folder},
};

/// Trials of a sweep.
const SWEEP: usize = 10_000;
/// Members of an array.
const ARRAY: usize = 32;

/// A database as a kill leaves it: with a write-ahead log, and trials that seem to run.
pub struct Snapshot {
    folder: TempDir,
    /// Trials.
    pub trials: usize,
    /// Inputs of all trials together.
    pub inputs: usize,
    running: usize,
    done: usize,
}

impl Snapshot {
    /// Builds one through [`Store`].
    ///
    /// # Errors
    /// The store's.
    pub async fn build(trials: usize) -> Result<Self> {
        let home = folder()?;
        let plan = graph::plan(trials)?;
        let store = Store::open(&home.path().join(DATABASE)).await?;
        let worker = Uuid::new_v4();
        let device = DeviceInfo { name: "cpu".to_owned(), model: String::new(), threads: 1, memory_bytes: 0 };
        let program = PROGRAM_VERSION.to_owned();
        store.apply(vec![Change::Worker(NewWorker { worker, host: String::new(), pid: 1, program, device })]).await?;
        for (number, part) in plan.chunks(SWEEP).enumerate() {
            let tasks = part.iter().map(|(task, _)| task);
            store.apply(vec![Change::Submit(sweep(number, tasks)?)]).await?;
        }
        let mut states = Vec::with_capacity(plan.len());
        for (task, state) in &plan {
            states.push((task.id()?, *state));
        }
        for part in states.chunks(SWEEP) {
            store.apply(vec![begun(part)]).await?;
        }
        let ran = |state| !matches!(state, TrialState::Waiting | TrialState::Ready | TrialState::Cancelled);
        let (running, ended): (Vec<_>, Vec<_>) =
            states.iter().filter(|(_, state)| ran(*state)).partition(|(_, state)| *state == TrialState::Running);
        for part in ended.chunks(SWEEP) {
            let grants = part.chunks(ARRAY).map(|array| grant(worker, array));
            store.apply(grants.chain(finished(part)).collect()).await?;
        }
        for array in running.chunks(ARRAY) {
            store.apply(vec![grant(worker, array)]).await?;
        }
        // Copied while it is open: what a kill would leave.
        let snapshot = folder()?;
        copy(home.path(), snapshot.path())?;
        store.close().await?;
        Ok(Self {
            folder: snapshot,
            trials: states.len(),
            inputs: plan.iter().map(|(task, _)| task.inputs().len()).sum(),
            running: running.len(),
            done: states.iter().filter(|(_, state)| *state == TrialState::Done).count(),
        })
    }

    /// Seconds from the start of a coordinator to its first answer.
    ///
    /// # Errors
    /// Also when it did not take up what the snapshot has.
    pub async fn restart(&self, cold: bool) -> Result<f64> {
        let home = folder()?;
        for path in copy(self.folder.path(), home.path())? {
            let file = File::open(path)?;
            file.sync_all()?;
            if cold {
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
            }
        }
        let start = Instant::now();
        let session = Session::start(home.path()).await?;
        let _: Controlled = session.client.post("/v1/control", &Control::Ping).await?;
        let seconds = start.elapsed().as_secs_f64();

        session.drain(&[]).await?;
        let mut look = Look::open(home.path()).await?;
        look.expect("SELECT count(*) FROM trials", self.trials).await?;
        look.expect("SELECT count(*) FROM trials WHERE state = 'done'", self.done).await?;
        look.expect("SELECT count(*) FROM trials WHERE state = 'running'", 0).await?;
        look.expect("SELECT count(*) FROM attempts WHERE state = 'lost'", self.running).await?;
        look.expect("SELECT count(*) FROM trial_inputs", self.inputs).await?;
        look.expect_sound().await?;
        Ok(seconds)
    }
}

/// Copies the database and its log.
fn copy(from: &Path, to: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut copies = Vec::new();
    for name in [DATABASE.to_owned(), format!("{DATABASE}-wal")] {
        let copy = to.join(&name);
        fs::copy(from.join(&name), &copy)?;
        copies.push(copy);
    }
    Ok(copies)
}

fn sweep<'a>(number: usize, tasks: impl Iterator<Item = &'a Task>) -> Result<NewSweep> {
    let mut trials = Vec::new();
    for task in tasks {
        trials.push(PlannedRow {
            id: task.id()?,
            kind: task.kind().name(),
            task: serde_json::to_string(task)?,
            array_key: task.array_key(),
            inputs: task.inputs(),
            stage: task.kind().name().to_owned(),
            parameters: r#"{"vision":"dinov2-b","text":"cxr-bert","fraction":0.1,"seed":3,"learning_rate":0.0001}"#
                .to_owned(),
        });
    }
    let name = format!("benchmark-{number}");
    Ok(NewSweep { digest: name.clone(), name, source: String::new(), report: "[]".to_owned(), tags: vec![], trials })
}

type Planned = (TrialId, TrialState);

fn change(trial: TrialId, from: TrialState, to: TrialState) -> StateChange {
    StateChange { trial, from, to, not_before_in_ms: None }
}

/// What is more than waiting was ready once, or a user cancelled it.
fn begun(trials: &[Planned]) -> Change {
    let changes = trials.iter().filter_map(|&(trial, state)| match state {
        TrialState::Waiting => None,
        TrialState::Cancelled => Some(change(trial, TrialState::Waiting, state)),
        _ => Some(change(trial, TrialState::Waiting, TrialState::Ready)),
    });
    Change::States(changes.collect())
}

fn grant(worker: Uuid, array: &[&Planned]) -> Change {
    Change::Grant { worker, leases: array.iter().map(|(trial, _)| (*trial, 1)).collect() }
}

fn finished(trials: &[&Planned]) -> [Change; 3] {
    let done = trials.iter().filter(|(_, state)| *state == TrialState::Done);
    let results = done.map(|&&(trial, _)| ResultRows {
        trial,
        attempt: 1,
        summary: [("auroc".to_owned(), 0.8), ("accuracy".to_owned(), 0.7)].into(),
        artifacts: vec![],
    });
    let ended = trials.iter().map(|&&(trial, state)| EndedAttempt {
        trial,
        attempt: 1,
        state: match state {
            TrialState::Done => AttemptState::Done,
            TrialState::Diverged => AttemptState::Diverged,
            _ => AttemptState::Failed,
        },
        class: (state == TrialState::Failed).then_some("input"),
        message: (state != TrialState::Done).then(|| "as the benchmark has it".to_owned()),
        cure: None,
    });
    let states = trials.iter().map(|&&(trial, state)| change(trial, TrialState::Running, state));
    [Change::Results(results.collect()), Change::Ended(ended.collect()), Change::States(states.collect())]
}
