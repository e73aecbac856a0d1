//! A tracking server: where it is, who asks, and what its answers mean.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use ureq::Agent;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a request is made that a server is too busy for, or that is lost on the way.
const TRIES: u32 = 5;
/// The pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Most bytes of an answer.
const MAX_ANSWER: u64 = 64 << 20;
/// Most characters of an answer that is not MLflow's that are told.
const MAX_TOLD: usize = 200;

/// Who asks.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// A bearer token.
    Token(String),
    /// User and password.
    Basic(String, String),
}

/// Why a server does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum MlflowError {
    /// The address is not one of a server.
    #[error("`{0}` is not the address of an MLflow server")]
    Address(String),
    /// Nobody answers.
    #[error("no MLflow server answers at {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// It does not know who asks.
    #[error("the MLflow server at {address} refuses: {status}")]
    Denied {
        /// Where.
        address: String,
        /// 401 or 403.
        status: u16,
    },
    /// It refuses a request.
    #[error("the MLflow server refuses {path}: {message} ({status}, {code})")]
    Refused {
        /// What was asked.
        path: String,
        /// HTTP status.
        status: u16,
        /// MLflow's code.
        code: String,
        /// Its words.
        message: String,
    },
    /// What answers is no MLflow server.
    #[error("what answers at {address} is not an MLflow server: {path} gave {status}: {text}")]
    Strange {
        /// Where.
        address: String,
        /// What was asked.
        path: String,
        /// HTTP status.
        status: u16,
        /// The beginning of the answer.
        text: String,
    },
    /// The experiment of that name lies in the trash.
    #[error("the experiment `{0}` was deleted on the server")]
    Deleted(String),
    /// A thread of the upload ended by a bug.
    #[error("a part of the upload ended unexpectedly")]
    Thread,
}

impl MlflowError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Address(_) => Some(
                "name it as http://HOST:PORT with --to or MLFLOW_TRACKING_URI; a folder or an SQLite file needs `mlflow server \
                 --backend-store-uri IT` before it"
                    .to_owned(),
            ),
            Self::Unreachable { address, .. } => {
                Some(format!("start one (`mlflow server --port 5000`), or check that {address} is right and can be reached"))
            }
            Self::Denied { .. } => Some(
                "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD".to_owned(),
            ),
            Self::Strange { .. } => Some("check the address; a server behind a prefix needs the prefix, too".to_owned()),
            Self::Deleted(_) => Some("restore it there, or name another with --experiment".to_owned()),
            Self::Refused { .. } => Some("the same command goes on where it stopped".to_owned()),
            Self::Thread => None,
        }
    }
}

/// A tracking server.
pub struct Server {
    address: String,
    authorization: Option<String>,
    agent: Agent,
}

/// MLflow's own words.
#[derive(Deserialize)]
struct Said {
    error_code: String,
    #[serde(default)]
    message: String,
}

impl Server {
    /// At an address such as `http://127.0.0.1:5000`.
    ///
    /// # Errors
    /// [`MlflowError::Address`].
    pub fn new(address: &str, credentials: &Credentials) -> Result<Self, MlflowError> {
        let address = address.trim_end_matches('/');
        let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let wrong = || MlflowError::Address(address.to_owned());
        let host = host.filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let mut config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        // A proxy of the environment is not for this machine.
        if ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local)) {
            config = config.proxy(None);
        }
        let authorization = match credentials {
            Credentials::None => None,
            Credentials::Token(token) => Some(format!("Bearer {token}")),
            Credentials::Basic(user, password) => {
                Some(format!("Basic {}", base64(format!("{user}:{password}").as_bytes())))
            }
        };
        Ok(Self { address: address.to_owned(), authorization, agent: config.build().new_agent() })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks for `path` below `api/2.0/mlflow/`.
    ///
    /// # Errors
    /// [`MlflowError`].
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, MlflowError> {
        self.call(path, None)
    }

    /// Sends a body to `path` below `api/2.0/mlflow/`. It is sent again when the answer is lost, so it must do no harm twice.
    ///
    /// # Errors
    /// [`MlflowError`].
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, MlflowError> {
        self.call(path, Some(body))
    }

    fn call<T: DeserializeOwned>(&self, path: &str, body: Option<&Value>) -> Result<T, MlflowError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let (status, text) = match self.once(path, body) {
                Ok((status, _)) if attempt < TRIES && (status == 429 || status >= 500) => {
                    std::thread::sleep(pause);
                    pause *= 2;
                    continue;
                }
                Ok(answer) => answer,
                // Nobody is there: waiting for it is the user's business.
                Err(error @ (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed)) => {
                    return Err(self.unreachable(&error));
                }
                Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    return Err(self.unreachable(&ureq::Error::Io(error)));
                }
                Err(error) if attempt >= TRIES => return Err(self.unreachable(&error)),
                Err(_) => {
                    std::thread::sleep(pause);
                    pause *= 2;
                    continue;
                }
            };
            return self.understood(path, status, &text);
        }
        Err(MlflowError::Thread)
    }

    fn once(&self, path: &str, body: Option<&Value>) -> Result<(u16, String), ureq::Error> {
        let url = format!("{}/api/2.0/mlflow/{path}", self.address);
        let mut response = match body {
            None => {
                let mut request = self.agent.get(&url);
                if let Some(authorization) = &self.authorization {
                    request = request.header("Authorization", authorization);
                }
                request.call()?
            }
            Some(body) => {
                let mut request = self.agent.post(&url).header("Content-Type", "application/json");
                if let Some(authorization) = &self.authorization {
                    request = request.header("Authorization", authorization);
                }
                request.send(body.to_string())?
            }
        };
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string()?;
        Ok((status, text))
    }

    fn unreachable(&self, error: &ureq::Error) -> MlflowError {
        MlflowError::Unreachable { address: self.address.clone(), reason: error.to_string() }
    }

    fn understood<T: DeserializeOwned>(&self, path: &str, status: u16, text: &str) -> Result<T, MlflowError> {
        // The part after `?` is long and not about what went wrong.
        let path = path.split('?').next().unwrap_or(path).to_owned();
        if status == 401 || status == 403 {
            return Err(MlflowError::Denied { address: self.address.clone(), status });
        }
        if let Ok(said) = serde_json::from_str::<Said>(text) {
            return Err(MlflowError::Refused { path, status, code: said.error_code, message: said.message });
        }
        match serde_json::from_str(text) {
            Ok(answer) if status == 200 => Ok(answer),
            _ => {
                let text = text.chars().take(MAX_TOLD).collect();
                Err(MlflowError::Strange { address: self.address.clone(), path, status, text })
            }
        }
    }
}

/// Base64 of RFC 4648 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let place = (word >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[place as usize]) } else { '=' });
        }
    }
    text
}

/// As a part of an address after `?`.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, wanted) in cases {
            assert_eq!(base64(plain.as_bytes()), wanted);
        }
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn what_is_no_server_is_told() {
        for wrong in ["sqlite:///mlflow.db", "mlruns", "http://", ""] {
            let Err(error) = Server::new(wrong, &Credentials::None) else { panic!("{wrong}") };
            assert!(error.cure().is_some_and(|cure| cure.contains("http://HOST:PORT")), "{error}");
        }
        let server = Server::new("http://127.0.0.1:9/", &Credentials::None).unwrap();
        let error = server.get::<Value>("experiments/search").unwrap_err();
        assert!(matches!(error, MlflowError::Unreachable { .. }), "{error}");
    }
}
