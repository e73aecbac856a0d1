//! What goes wrong: when the server starts, and when it answers.

use std::{io, net::SocketAddr, path::PathBuf};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::store::StoreError;

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said. Not a `source`, which would be printed again.
        reason: io::Error,
    },
    /// The token cannot be read or written.
    #[error("cannot use the token file {}: {reason}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Others can read the token.
    #[error("other users can read the token file {}", .0.display())]
    TokenIsPublic(PathBuf),
    /// The server ended.
    #[error("the server ended: {0}")]
    Ended(io::Error),
}

impl ServeError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Listen { reason, .. } => match reason.kind() {
                io::ErrorKind::AddrInUse => {
                    Some("take another --port (0: any free one), or end the program that has it".to_owned())
                }
                io::ErrorKind::PermissionDenied => Some("take a --port of 1024 or more".to_owned()),
                io::ErrorKind::AddrNotAvailable => Some("--host must be an address of this machine".to_owned()),
                _ => None,
            },
            Self::Token { .. } => Some("check the permissions of the home folder, or name another --home".to_owned()),
            Self::TokenIsPublic(path) => {
                Some(format!("remove it, and the next start makes a fresh one: rm {}", path.display()))
            }
            Self::Ended(_) => None,
        }
    }
}

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) cure: Option<String>,
}

/// What handlers return.
pub(super) type Answer<T> = Result<Json<T>, Refusal>;

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { status, message: message.into(), cure: Some(cure.into()) }
    }

    pub(super) fn not_found(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message, cure)
    }

    pub(super) fn wrong(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, cure)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NoSuchTrial(_) | StoreError::Ambiguous { .. } => StatusCode::NOT_FOUND,
            StoreError::Statement(_) | StoreError::TooLong(_) => StatusCode::BAD_REQUEST,
            StoreError::Missing(_) | StoreError::Older { .. } | StoreError::Newer { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, message: error.to_string(), cure: error.cure() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": {"message": self.message, "cure": self.cure}}))).into_response()
    }
}
