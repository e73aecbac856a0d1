//! A coordinator in this process, and clients that say whatever they like.

use std::{path::PathBuf, time::Duration};

use permafrost::{
    coordinator::{
        self, CoordinatorError, Settings, Timing,
        api::{Control, Controlled, Submit, Submitted, SubmittedTrial},
    },
    store::{DATABASE, Reader, SqlValue},
};
use permafrost_worker::{
    PROGRAM_VERSION,
    agent::{AgentError, Client, Endpoint},
    id::TrialId,
    protocol::{
        Attempt, DeviceInfo, Finish, Lease, LeaseReply, LeaseRequest, MemberFinish, MemberReport, Outcome,
        PROTOCOL_VERSION, Refusal, Register, Report,
    },
    task::{Kind, Noop, NoopEnd, Task},
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// All that requests could change.
const CONTENT: &str = "SELECT json_array(
    (SELECT json_group_array(json_array(name, revision, digest)) FROM sweeps),
    (SELECT json_group_array(json_array(id, state, attempts, not_before)) FROM trials),
    (SELECT json_group_array(json_array(sweep, trial, stage)) FROM sweep_trials),
    (SELECT json_group_array(json_array(uuid, ended)) FROM workers),
    (SELECT json_group_array(json_array(trial, attempt, state, done_units)) FROM attempts),
    (SELECT json_group_array(json_array(trial, metric, step, attempt, value)) FROM metrics),
    (SELECT json_group_array(json_array(trial, name, value)) FROM results),
    (SELECT json_group_array(json_array(trial, name, path)) FROM artifacts),
    (SELECT json_group_array(json_array(trial, step, attempt)) FROM checkpoints))";

pub struct Coordinator {
    pub folder: tempfile::TempDir,
    pub client: Client,
    http: reqwest::Client,
    thread: std::thread::JoinHandle<Result<(), CoordinatorError>>,
}

/// Leases that outlast every test here.
pub const SLOW: Timing = Timing {
    lease_ttl: Duration::from_secs(300),
    heartbeat: Duration::from_millis(50),
    checkpoint: Duration::from_secs(300),
    linger: Duration::from_secs(300),
};

impl Coordinator {
    pub async fn start(timing: Timing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home: PathBuf = folder.path().join("home");
        let settings = Settings {
            home: home.clone(),
            port: 0,
            devices: vec![],
            threads: None,
            wheel_dir: None,
            sample: Duration::ZERO,
            timing,
        };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(coordinator::run(settings))
        });
        let endpoint = loop {
            assert!(!thread.is_finished(), "the coordinator has ended");
            match Endpoint::read(&home) {
                Ok(endpoint) => break endpoint,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { folder, client: Client::new(endpoint), http, thread }
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.client.endpoint().address))
    }

    /// Posts any text as JSON.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self.request(reqwest::Method::POST, path).bearer_auth(&self.client.endpoint().token);
        answer(request.header("content-type", "application/json").body(body)).await
    }

    /// Posts what must be refused, and must change nothing.
    pub async fn refused(&self, path: &str, body: &impl Serialize) -> (u16, Refusal) {
        let before = self.content().await;
        let (status, text) = self.post(path, serde_json::to_string(body).unwrap()).await;
        assert_eq!(self.content().await, before, "{path} changed something");
        (status, refusal(status, &text))
    }

    pub async fn ask(&self, sql: &str) -> Vec<Vec<SqlValue>> {
        Reader::open(&self.home().join(DATABASE)).await.unwrap().query(sql).await.unwrap().rows
    }

    pub async fn number(&self, sql: &str) -> i64 {
        match self.ask(sql).await[0][0] {
            SqlValue::Integer(number) => number,
            ref other => panic!("{sql} gives {other:?}"),
        }
    }

    pub async fn content(&self) -> Vec<Vec<SqlValue>> {
        self.ask(CONTENT).await
    }

    pub async fn control(&self, control: Control) -> Controlled {
        self.client.post_once("/v1/control", &control).await.unwrap()
    }

    pub async fn submit(&self, plan: &Submit) -> Submitted {
        self.client.post_once("/v1/submit", plan).await.unwrap()
    }

    pub async fn register(&self) -> Uuid {
        let worker = Uuid::new_v4();
        self.client.register(&introduction(worker)).await.unwrap();
        worker
    }

    /// Leases; there must be something.
    pub async fn lease(&self, worker: Uuid) -> Vec<Lease> {
        let capacity = [(Kind::Noop, 1)].into();
        match self.client.lease(&LeaseRequest { worker, capacity }, || true).await.unwrap() {
            LeaseReply::Array(leases) => leases,
            other => panic!("{other:?}"),
        }
    }

    /// The coordinator still does its work.
    pub async fn assert_serves(&self) {
        self.control(Control::Ping).await;
        assert!(!self.thread.is_finished(), "the coordinator has ended");
    }

    /// Ends it; it must have had no reason to end by itself.
    pub async fn end(self) {
        self.control(Control::Drain).await;
        let joined = tokio::task::spawn_blocking(|| self.thread.join().unwrap());
        tokio::time::timeout(Duration::from_secs(20), joined).await.expect("it drains").unwrap().unwrap();
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The body of an answer that must be a refusal.
pub fn refusal(status: u16, text: &str) -> Refusal {
    assert!((400..500).contains(&status), "{status} {text}");
    let refusal: Refusal = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {status} {text:?}"));
    assert!(!refusal.message.is_empty(), "{status} without a reason");
    refusal
}

/// Status and refusal of a request that a client made.
pub fn status(error: AgentError) -> u16 {
    match error {
        AgentError::Refused { status, refusal, .. } => {
            assert!(!refusal.message.is_empty());
            status
        }
        other => panic!("{other}"),
    }
}

pub fn introduction(worker: Uuid) -> Register {
    let device = DeviceInfo { name: "cpu".to_owned(), model: "none".to_owned(), threads: 1, memory_bytes: 1 };
    let (program, host) = (PROGRAM_VERSION.to_owned(), "nowhere".to_owned());
    Register { protocol: PROTOCOL_VERSION, program, worker, host, pid: 1, device }
}

pub fn noop(index: u64, after: &[TrialId]) -> Task {
    Task::Noop(Noop { index, steps: 2, step_ms: 1, after: after.to_vec(), end: NoopEnd::Done })
}

pub fn id(task: &Task) -> TrialId {
    task.id().unwrap()
}

pub fn plan(name: &str, tasks: Vec<Task>) -> Submit {
    let trial = |task: Task| SubmittedTrial { stage: "stage".to_owned(), parameters: json!({}), task };
    Submit {
        name: name.to_owned(),
        source: String::new(),
        digest: name.to_owned(),
        report: json!({}),
        tags: vec![],
        trials: tasks.into_iter().map(trial).collect(),
        retry: vec![],
    }
}

pub fn report(worker: Uuid, trial: TrialId, attempt: Attempt) -> Report {
    let member =
        MemberReport { trial, attempt, done: 1, total: 2, points: vec![], checkpoint: None, resumed_step: None };
    Report { worker, members: vec![member] }
}

pub fn finish(worker: Uuid, trial: TrialId, attempt: Attempt, value: f64) -> Finish {
    let outcome = Outcome::Done { summary: [("value".to_owned(), value)].into(), artifacts: vec![] };
    Finish { worker, members: vec![MemberFinish { trial, attempt, outcome, points: vec![] }] }
}
