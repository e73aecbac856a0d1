//! The worker's side of the protocol: requests with patience, typed refusals.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tracing::debug;
use uuid::Uuid;

use crate::protocol::{
    Finish, FinishReply, LEASE_POLL_MS, LeaseReply, LeaseRequest, Refusal, Register, Registered, Report, ReportReply,
    Samples, SamplesReply,
};

/// How long an unreachable coordinator is asked again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// Where a coordinator listens: the content of `coordinator.json` in its home folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Fresh a process.
    pub instance: Uuid,
    /// Process id.
    pub pid: u32,
    /// `host:port`.
    pub address: String,
    /// Program version.
    pub program: String,
    /// When it started, in milliseconds since 1970 UTC.
    pub started: i64,
    /// The token from the file beside it; never written to `coordinator.json`.
    #[serde(skip)]
    pub token: String,
}

/// Why a worker gives up.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No coordinator has written its address.
    #[error("no coordinator runs in {}: cannot read {}: {source}", home.display(), path.display())]
    NoEndpoint {
        /// The home folder.
        home: PathBuf,
        /// The file that is missing.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `coordinator.json` is not what it should be.
    #[error("{} is not valid: {source}", path.display())]
    BadEndpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The coordinator is out of reach.
    #[error("the coordinator at {address} does not answer: {source}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the network said.
        source: reqwest::Error,
    },
    /// The coordinator said no.
    #[error("the coordinator refused {path} ({status}): {}", refusal.message)]
    Refused {
        /// The request.
        path: String,
        /// HTTP status.
        status: u16,
        /// Why.
        refusal: Refusal,
    },
}

impl AgentError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::NoEndpoint { .. } => {
                Some("start one with `permafrost launch FILE`, or name its home with --home".to_owned())
            }
            Self::Refused { refusal, .. } => refusal.cure.clone(),
            _ => None,
        }
    }
}

impl Endpoint {
    /// Path of the file in a home folder.
    pub fn path(home: &Path) -> PathBuf {
        home.join("coordinator.json")
    }

    /// Path of the token, readable by its owner only.
    pub fn token_path(home: &Path) -> PathBuf {
        home.join("token")
    }

    /// Reads address and token of the coordinator of a home folder.
    ///
    /// # Errors
    /// When there is none, or its files cannot be read.
    pub fn read(home: &Path) -> Result<Self, AgentError> {
        let read = |path: PathBuf| {
            std::fs::read_to_string(&path).map_err(|source| AgentError::NoEndpoint {
                home: home.to_owned(),
                path,
                source,
            })
        };
        let path = Self::path(home);
        let mut endpoint: Self =
            serde_json::from_str(&read(path.clone())?).map_err(|source| AgentError::BadEndpoint { path, source })?;
        endpoint.token = read(Self::token_path(home))?.trim().to_owned();
        Ok(endpoint)
    }
}

/// Talks to one coordinator.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
}

impl Client {
    /// A client of the coordinator at `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        // A proxy of the user's environment has no business between a worker and its coordinator.
        let http = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
        Self { http, endpoint }
    }

    /// Where it talks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// See [`crate::protocol`].
    ///
    /// # Errors
    /// [`AgentError::Refused`] for another protocol or program version.
    pub async fn register(&self, register: &Register) -> Result<Registered, AgentError> {
        self.post("/v1/workers", register).await
    }

    /// Asks for work; waits up to [`LEASE_POLL_MS`] for some. `hopeful`: whether a coordinator that does not answer may yet.
    ///
    /// # Errors
    /// When the coordinator refuses or stays out of reach.
    pub async fn lease(&self, request: &LeaseRequest, hopeful: impl Fn() -> bool) -> Result<LeaseReply, AgentError> {
        self.post_while("/v1/lease", request, hopeful).await
    }

    /// Heartbeat and news.
    ///
    /// # Errors
    /// When the coordinator refuses or stays out of reach.
    pub async fn report(&self, report: &Report) -> Result<ReportReply, AgentError> {
        self.post("/v1/report", report).await
    }

    /// Hands in outcomes. When an answer is lost and the request repeated, the second answer says refused: nothing is recorded twice.
    ///
    /// # Errors
    /// When the coordinator refuses or stays out of reach.
    pub async fn finish(&self, finish: &Finish) -> Result<FinishReply, AgentError> {
        self.post("/v1/finish", finish).await
    }

    /// Hands in what the device did. Asks once: there will be more to send.
    ///
    /// # Errors
    /// When the coordinator refuses or does not answer.
    pub async fn samples(&self, samples: &Samples) -> Result<SamplesReply, AgentError> {
        self.post_once("/v1/samples", samples).await
    }

    /// Posts `body` and reads the answer; asks again for a while when nobody answers.
    ///
    /// # Errors
    /// [`AgentError::Unreachable`] after [`PATIENCE`], [`AgentError::Refused`] for any answer that is not 200.
    pub async fn post<B: Serialize, R: DeserializeOwned>(&self, path: &str, body: &B) -> Result<R, AgentError> {
        self.post_while(path, body, || true).await
    }

    /// As [`Client::post`], but asks again only as long as `hopeful` says so.
    async fn post_while<B: Serialize, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        hopeful: impl Fn() -> bool,
    ) -> Result<R, AgentError> {
        let started = Instant::now();
        loop {
            match self.post_once(path, body).await {
                Err(AgentError::Unreachable { source, .. }) if started.elapsed() < PATIENCE && hopeful() => {
                    debug!(%source, path, "no answer, asking again");
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Posts `body` once.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn post_once<B: Serialize, R: DeserializeOwned>(&self, path: &str, body: &B) -> Result<R, AgentError> {
        let unreachable = |source| AgentError::Unreachable { address: self.endpoint.address.clone(), source };
        let response = self
            .http
            .post(format!("http://{}{path}", self.endpoint.address))
            .bearer_auth(&self.endpoint.token)
            .timeout(Duration::from_millis(LEASE_POLL_MS + 30_000))
            .json(body)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(unreachable);
        }
        let text = response.text().await.unwrap_or_default();
        let refusal = serde_json::from_str(&text).unwrap_or(Refusal { message: text, cure: None });
        Err(AgentError::Refused { path: path.to_owned(), status: status.as_u16(), refusal })
    }
}
