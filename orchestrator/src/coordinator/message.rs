//! What the actor is asked to do.

use axum::http::StatusCode;
use permafrost_worker::{
    PROGRAM_VERSION,
    protocol::{
        Finish, FinishReply, LeaseReply, LeaseRequest, PROTOCOL_VERSION, Register, Registered, Report, ReportReply,
        Samples, SamplesReply,
    },
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::api::{Control, Controlled, Submit, Submitted};
use crate::{core::CoreError, launcher::Exit, store::StoreError};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// Everything that reaches the actor, in one line.
pub(super) enum Message {
    Register(Register, Reply<Registered>),
    Lease(LeaseRequest, Reply<LeaseReply>),
    Report(Report, Reply<ReportReply>),
    Finish(Finish, Reply<FinishReply>),
    Samples(Samples, Reply<SamplesReply>),
    Submit(Submit, Reply<Submitted>),
    Control(Control, Reply<Controlled>),
    WorkerExit(Exit),
    /// A commit failed: the state in memory is ahead of the database, so this process must end.
    CommitFailed(StoreError),
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The worker is of another program version, or speaks another protocol.
    #[error(
        "worker version {program} (protocol {protocol}) does not match coordinator version {PROGRAM_VERSION} (protocol {PROTOCOL_VERSION})"
    )]
    OtherVersion {
        /// The worker's program version.
        program: String,
        /// The worker's protocol.
        protocol: u32,
    },
    /// The worker has not registered with this coordinator.
    #[error("worker {0} has not registered")]
    UnknownWorker(Uuid),
    /// The scheduler says no.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The database says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a worker says cannot be.
    #[error("the report is not valid: {0}")]
    BadReport(String),
    /// A plan that cannot be.
    #[error("the plan is not valid: {0}")]
    BadPlan(String),
}

impl ApiError {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::OtherVersion { .. } | Self::UnknownWorker(_) => StatusCode::CONFLICT,
            Self::Core(_) | Self::BadReport(_) | Self::BadPlan(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn cure(&self) -> Option<String> {
        match self {
            Self::OtherVersion { .. } => Some("run the same build of permafrost everywhere".to_owned()),
            Self::UnknownWorker(_) => {
                Some("start the worker again: its coordinator has left, and this is another".to_owned())
            }
            Self::Store(error) => error.cure(),
            _ => None,
        }
    }
}
