//! Metrics: how many rows a second are on disk.

use std::time::Instant;

use permafrost::{
    coordinator::api::{Submit, Submitted, SubmittedTrial},
    core::TrialState,
    store::{Change, DATABASE, NewSweep, NewWorker, PlannedRow, StateChange, Store},
};
use permafrost_worker::{
    PROGRAM_VERSION,
    id::TrialId,
    protocol::{
        DeviceInfo, LeaseReply, LeaseRequest, MAX_POINTS_A_REPORT, MemberReport, PROTOCOL_VERSION, Point, Register,
        Report,
    },
    task::Kind,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Result,
    session::{Look, Session, folder, noop},
};

/// Requests that are under way at once: a worker makes the next while the last is written.
const IN_FLIGHT: usize = 2;

/// Who reports what. Every report is a full one.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Trials that share a report.
    pub members: usize,
    /// Metrics each has at a step.
    pub metrics: usize,
}

impl Shape {
    fn steps_a_report(self) -> usize {
        MAX_POINTS_A_REPORT / self.members / self.metrics
    }

    fn rows_a_report(self) -> usize {
        self.steps_a_report() * self.members * self.metrics
    }

    fn reports(self, rows: usize) -> usize {
        rows.div_ceil(self.rows_a_report())
    }

    /// The points of one trial in the `report`th report.
    fn points(self, report: usize) -> Vec<Point> {
        let first = report * self.steps_a_report();
        let steps = first..first + self.steps_a_report();
        let point = |step: usize, metric| Point {
            name: format!("metric_{metric}"),
            step: step as u64,
            value: 1.0 / (1.0 + step as f64),
        };
        steps.flat_map(|step| (0..self.metrics).map(move |metric| point(step, metric))).collect()
    }
}

/// Through [`Store`] alone: rows, and the seconds until the last commit.
///
/// # Errors
/// Also when the database does not hold what should be in it.
pub async fn store(shape: Shape, rows: usize) -> Result<(usize, f64)> {
    let home = folder()?;
    let store = Store::open(&home.path().join(DATABASE)).await?;
    let trials = running(&store, shape.members).await?;
    let reports: Vec<Vec<Change>> = (0..shape.reports(rows))
        .map(|report| {
            let points = |&trial| Change::Points { trial, attempt: 1, points: shape.points(report) };
            trials.iter().map(points).collect()
        })
        .collect();

    let start = Instant::now();
    for report in reports {
        // One transaction a report, synced before the next.
        store.apply(report).await?;
    }
    let seconds = start.elapsed().as_secs_f64();

    store.close().await?;
    let stored = shape.reports(rows) * shape.rows_a_report();
    check(&mut Look::open(home.path()).await?, stored).await?;
    Ok((stored, seconds))
}

/// Makes `members` trials that run as attempt 1.
async fn running(store: &Store, members: usize) -> Result<Vec<TrialId>> {
    let mut trials = Vec::new();
    for index in 0..members {
        let task = noop(index, 1);
        trials.push(PlannedRow {
            id: task.id()?,
            kind: task.kind().name(),
            task: serde_json::to_string(&task)?,
            array_key: task.array_key(),
            inputs: vec![],
            stage: "noop".to_owned(),
            parameters: "{}".to_owned(),
        });
    }
    let ids: Vec<TrialId> = trials.iter().map(|trial| trial.id).collect();
    let text = "benchmark".to_owned();
    let sweep = NewSweep {
        name: text.clone(),
        source: String::new(),
        digest: text,
        report: "[]".to_owned(),
        tags: vec![],
        trials,
    };
    let worker = Uuid::new_v4();
    let register = register(worker);
    let new = NewWorker {
        worker,
        host: register.host,
        pid: register.pid,
        program: register.program,
        device: register.device,
    };
    let ready =
        |&trial| StateChange { trial, from: TrialState::Waiting, to: TrialState::Ready, not_before_in_ms: None };
    let leases = ids.iter().map(|&trial| (trial, 1)).collect();
    store
        .apply(vec![
            Change::Submit(sweep),
            Change::States(ids.iter().map(ready).collect()),
            Change::Worker(new),
            Change::Grant { worker, leases },
        ])
        .await?;
    Ok(ids)
}

/// Through the HTTP API of a coordinator: rows, and the seconds until the last answer.
///
/// # Errors
/// Also when the database does not hold what should be in it.
pub async fn http(shape: Shape, rows: usize) -> Result<(usize, f64)> {
    let home = folder()?;
    let session = Session::start(home.path()).await?;
    let client = &session.client;
    let worker = Uuid::new_v4();
    let trials = (0..shape.members).map(|index| SubmittedTrial {
        stage: "noop".to_owned(),
        parameters: json!({}),
        task: noop(index, 1),
    });
    let text = "benchmark".to_owned();
    let plan = Submit {
        name: text.clone(),
        source: String::new(),
        digest: text,
        report: json!([]),
        tags: vec![],
        trials: trials.collect(),
        retry: vec![],
    };
    let _: Submitted = client.post("/v1/submit", &plan).await?;
    client.register(&register(worker)).await?;
    let request = LeaseRequest { worker, capacity: [(Kind::Noop, shape.members)].into() };
    let LeaseReply::Array(leases) = client.lease(&request, || true).await? else {
        return Err("nothing was leased".into());
    };
    let report = |number: usize| Report {
        worker,
        members: leases
            .iter()
            .map(|lease| MemberReport {
                trial: lease.trial,
                attempt: lease.attempt,
                done: number as u64,
                total: shape.reports(rows) as u64,
                points: shape.points(number),
                checkpoint: None,
                resumed_step: None,
            })
            .collect(),
    };
    let mut lanes = vec![Vec::new(); IN_FLIGHT];
    for number in 0..shape.reports(rows) {
        lanes[number % IN_FLIGHT].push(report(number));
    }

    let start = Instant::now();
    let lanes = lanes.into_iter().map(|reports| {
        let client = client.clone();
        tokio::spawn(async move {
            for report in reports {
                let reply = client.report(&report).await?;
                if !reply.stop.is_empty() {
                    return Err("the lease was lost".into());
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await??;
    }
    let seconds = start.elapsed().as_secs_f64();

    let running: Vec<_> = leases.iter().map(|lease| lease.trial).collect();
    session.drain(&running).await?;
    let stored = shape.reports(rows) * shape.rows_a_report();
    check(&mut Look::open(home.path()).await?, stored).await?;
    Ok((stored, seconds))
}

fn register(worker: Uuid) -> Register {
    Register {
        protocol: PROTOCOL_VERSION,
        program: PROGRAM_VERSION.to_owned(),
        worker,
        host: "benchmark".to_owned(),
        pid: std::process::id(),
        device: DeviceInfo { name: "cpu".to_owned(), model: "benchmark".to_owned(), threads: 1, memory_bytes: 0 },
    }
}

async fn check(look: &mut Look, rows: usize) -> Result<()> {
    look.expect("SELECT count(*) FROM metrics", rows).await?;
    // Every bit of every value arrived.
    look.expect("SELECT count(*) FROM metrics WHERE value <> 1.0 / (1.0 + step)", 0).await?;
    look.expect_sound().await
}
