//! What the hub's refusals mean, and what to do about them.

use std::io::ErrorKind;

use hf_hub::api::sync::ApiError;

use super::Hub;
use crate::error::Error;

impl Hub {
    /// The error of a request about `repository` at `revision`.
    pub(super) fn failed(&self, repository: &str, revision: &str, error: ApiError) -> Error {
        let host = &self.endpoint;
        let transient =
            |what: String| Error::Transient { what, cure: Some(self.without_network(repository, revision)) };
        let error = match error {
            ApiError::TooManyRetries(inner) => *inner,
            other => other,
        };
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(status @ (401 | 403)) => {
                    let token = if self.token.is_some() { "with your token" } else { "without a token" };
                    Error::Input {
                        what: format!(
                            "{host} refuses {repository} {token} ({status}): it is gated, private, or not there"
                        ),
                        cure: Some(format!(
                            "check the name; accept its terms on {host}/{repository}, make a token that may read on \
                             {host}/settings/tokens, put it into HF_TOKEN (or run `hf auth login`) where the workers run, \
                             and launch again"
                        )),
                    }
                }
                ureq::Error::StatusCode(404) => Error::Input {
                    what: format!("{host} has no {repository} at {revision} (404)"),
                    cure: Some(format!("check `repository` and `revision` against {host}/{repository}")),
                },
                ureq::Error::StatusCode(status) => transient(format!("{host} answers {status} for {repository}")),
                other => transient(format!("cannot reach {host}: {other}")),
            },
            ApiError::LockAcquisition(lock) => Error::Transient {
                what: format!("another process downloads the same file of {repository}"),
                cure: Some(format!("wait for it, then launch again; it holds {}", lock.display())),
            },
            ApiError::IoError(source) if is_of_disk(source.kind()) => {
                Error::Io { action: "download to", path: self.folder(repository), source }
            }
            ApiError::IoError(source) => transient(format!("the download from {host} broke off: {source}")),
            other => self.strange(repository, &other.to_string()),
        }
    }

    /// An answer that cannot be from a hub.
    pub(super) fn strange(&self, repository: &str, what: &str) -> Error {
        Error::Transient {
            what: format!("{} answers strangely for {repository}: {what}", self.endpoint),
            cure: Some("check HF_ENDPOINT and the proxy, then launch again".to_owned()),
        }
    }

    /// How to bring a snapshot to a machine without network.
    pub(super) fn without_network(&self, repository: &str, revision: &str) -> String {
        format!(
            "check network and proxy (HTTPS_PROXY), then launch again; or run `hf download {repository} --revision \
             {revision}` on a machine with network, copy its cache to {}, and set HF_HUB_OFFLINE=1",
            self.cache.display()
        )
    }
}

/// Errors that the network does not have.
fn is_of_disk(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
    )
}
