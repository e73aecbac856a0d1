//! Models on the Hugging Face hub, in the cache that all Hugging Face tools share.
//!
//! The environment says where that is and how the hub is reached, with the names that `huggingface_hub` documents:
//! `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`.

mod download;
mod failure;
mod manifest;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError},
};
use serde::Deserialize;

pub use self::manifest::{File, MANIFEST, Manifest};
use crate::{
    error::{Error, Result},
    task::Snapshot,
};

/// Longest wait for an answer that is no file.
const PATIENCE: Duration = Duration::from_secs(30);

/// The commit that `revision` (a branch, a tag, a commit) of `repository` is now: in the cache's own books when
/// `HF_HUB_OFFLINE` is set, else asked of the hub.
///
/// # Errors
/// [`Error::Input`] when there is no such repository or revision or it may not be read, [`Error::Transient`] when the hub
/// cannot be reached.
pub fn resolve(repository: &str, revision: &str) -> Result<String> {
    Hub::from_env()?.resolve(repository, revision)
}

/// Whether Hugging Face's tools were told to touch no network.
pub fn offline() -> bool {
    says_offline(|name| std::env::var_os(name))
}

fn says_offline(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().any(|name| {
        let value = variable(name).and_then(|value| value.into_string().ok()).unwrap_or_default();
        ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
    })
}

/// The files of `snapshot`, if all that it needs are in the cache.
pub fn cached(snapshot: &Snapshot) -> Option<Vec<PathBuf>> {
    let look = Hub::from_env().ok()?.look(snapshot).ok()?;
    look.missing.is_empty().then(|| look.files.into_iter().map(|(_, path)| path).collect())
}

/// The hub, and its cache on this machine.
#[derive(Debug)]
pub struct Hub {
    cache: PathBuf,
    endpoint: String,
    token: Option<String>,
    offline: bool,
}

/// What the cache has of a snapshot.
struct Look {
    /// By name.
    files: Vec<(String, PathBuf)>,
    /// What is needed and not here.
    missing: Vec<String>,
    /// False when the hub might have a file that is preferred to one of these.
    certain: bool,
}

/// What the hub says of a repository at one revision.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// As the environment says.
    ///
    /// # Errors
    /// [`Error::Input`] when it names no folder for the cache.
    pub fn from_env() -> Result<Self> {
        Self::new(|name| std::env::var_os(name))
    }

    /// As `variable` says, which has the values of environment variables.
    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let folder = |name: &str| set(name).map(PathBuf::from);
        let home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|path| path.join("huggingface")))
            .or_else(|| folder("HOME").map(|path| path.join(".cache/huggingface")));
        let at_home = |name: &str| home.as_ref().map(|path| path.join(name));
        let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")).or_else(|| at_home("hub"));
        let cache = cache.ok_or_else(|| Error::Input {
            what: "no folder for files of the hub: none of HF_HUB_CACHE, HF_HOME and HOME is set".to_owned(),
            cure: Some("set HF_HOME to a folder with room for some gigabytes".to_owned()),
        })?;
        let token_file = || folder("HF_TOKEN_PATH").or_else(|| at_home("token"));
        let token = text("HF_TOKEN").or_else(|| fs::read_to_string(token_file()?).ok());
        Ok(Self {
            cache: std::path::absolute(&cache).map_err(Error::io("find", &cache))?,
            endpoint: text("HF_ENDPOINT").map_or_else(
                || "https://huggingface.co".to_owned(),
                |endpoint| endpoint.trim_end_matches('/').to_owned(),
            ),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: says_offline(&variable),
        })
    }

    fn resolve(&self, repository: &str, revision: &str) -> Result<String> {
        check_names(repository, revision)?;
        if is_commit(revision) {
            return Ok(revision.to_owned());
        }
        if !self.offline {
            return Ok(self.info(repository, revision)?.sha);
        }
        let commit = fs::read_to_string(self.folder(repository).join("refs").join(revision)).unwrap_or_default();
        let commit = commit.trim();
        if is_commit(commit) {
            return Ok(commit.to_owned());
        }
        Err(Error::Input {
            what: format!(
                "HF_HUB_OFFLINE is set, and the cache {} does not know `{revision}` of {repository}",
                self.cache.display()
            ),
            cure: Some("give the commit as `revision`, or launch once without HF_HUB_OFFLINE".to_owned()),
        })
    }

    /// Asks the hub for commit and names of files.
    fn info(&self, repository: &str, revision: &str) -> Result<Info> {
        let failed = |error| self.failed(repository, revision, error);
        let request = self.api().map_err(failed)?.repo(repo(repository, revision)).info_request();
        let answer = request.config().timeout_global(Some(PATIENCE)).build().call();
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        let text = text.map_err(|error| failed(Box::new(error).into()))?;
        let info: Info = serde_json::from_str(&text).map_err(|error| self.strange(repository, &error.to_string()))?;
        if is_commit(&info.sha) { Ok(info) } else { Err(self.strange(repository, "the commit is none")) }
    }

    fn api(&self) -> Result<Api, ApiError> {
        ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_progress(false)
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("permafrost", crate::PROGRAM_VERSION)
            .build()
    }

    /// The folder of a repository in the cache.
    fn folder(&self, repository: &str) -> PathBuf {
        self.cache.join(Repo::model(repository.to_owned()).folder_name())
    }

    /// Where a file of a snapshot is, or is to be.
    fn path(&self, snapshot: &Snapshot, name: &str) -> PathBuf {
        self.folder(&snapshot.repository).join("snapshots").join(&snapshot.revision).join(name)
    }

    /// Where Hugging Face tools note that a snapshot has no file of this name.
    fn absent(&self, snapshot: &Snapshot, name: &str) -> PathBuf {
        self.folder(&snapshot.repository).join(".no_exist").join(&snapshot.revision).join(name)
    }

    fn look(&self, snapshot: &Snapshot) -> Result<Look> {
        check_snapshot(snapshot)?;
        let mut look = Look { files: Vec::new(), missing: Vec::new(), certain: true };
        for entry in &snapshot.files {
            let mut none_before = true;
            let found = names(entry).find_map(|name| {
                let path = self.path(snapshot, name);
                if path.is_file() {
                    return Some((name.to_owned(), path));
                }
                none_before &= self.absent(snapshot, name).exists();
                None
            });
            look.certain &= none_before;
            match found {
                Some(file) => look.files.push(file),
                None if is_optional(entry) => {}
                None => look.missing.push(names(entry).collect::<Vec<_>>().join(" or ")),
            }
        }
        Ok(look)
    }
}

fn repo(repository: &str, revision: &str) -> Repo {
    Repo::with_revision(repository.to_owned(), RepoType::Model, revision.to_owned())
}

/// Names of an entry of [`Snapshot::files`].
fn names(entry: &[String]) -> impl Iterator<Item = &str> {
    entry.iter().map(String::as_str).filter(|name| !name.is_empty())
}

fn is_optional(entry: &[String]) -> bool {
    entry.last().is_some_and(String::is_empty)
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Names become paths and addresses: nothing may lead out of them.
fn check_names(repository: &str, revision: &str) -> Result<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
    };
    let parts = repository.split('/').count();
    if parts > 2 || !repository.split('/').all(plain) {
        return Err(Error::Input {
            what: format!("`{repository}` is no repository of the hub"),
            cure: Some("write owner and name, such as `facebook/dinov2-small`".to_owned()),
        });
    }
    if !revision.split('/').all(plain) {
        return Err(Error::Input {
            what: format!("`{revision}` is no revision of {repository}"),
            cure: Some("write a branch such as `main`, or a commit of 40 hexadecimal digits".to_owned()),
        });
    }
    Ok(())
}

fn check_snapshot(snapshot: &Snapshot) -> Result<()> {
    check_names(&snapshot.repository, &snapshot.revision)?;
    if !is_commit(&snapshot.revision) {
        return Err(Error::input(format!("`{}` is no commit of {}", snapshot.revision, snapshot.repository)));
    }
    let inside = |name: &str| Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    match snapshot.files.iter().flat_map(|entry| names(entry)).find(|name| !inside(name)) {
        Some(name) => Err(Error::input(format!("`{name}` is no file of {}", snapshot.repository))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
