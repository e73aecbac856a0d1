//! Fetching a snapshot into the cache.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use hf_hub::{
    Repo,
    api::{
        Progress,
        sync::{Api, ApiError, Metadata},
    },
};

use super::{File, Hub, Look, MANIFEST, Manifest, is_optional, names};
use crate::{
    error::{Error, Result},
    execute::{Job, Reporter},
    files,
    protocol::Artifact,
    task::Snapshot,
};

/// How often a download is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A connection that brings nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(120);

/// How long a download may take to notice that it is to stop.
const STOPPING: Duration = Duration::from_secs(2);

/// What one member asked for.
struct Asked<'a> {
    member: usize,
    snapshot: &'a Snapshot,
    reporter: &'a dyn Reporter,
}

impl Hub {
    /// Fetches what the cache lacks of `snapshot`, and leaves a [`Manifest`] in the member's folder; none when told to stop. A
    /// snapshot that is in the cache needs no network.
    ///
    /// # Errors
    /// [`Error::Input`] when the hub refuses, lacks a file, or cannot be asked as `HF_HUB_OFFLINE` is set;
    /// [`Error::Transient`] when it cannot be reached; [`Error::Io`].
    pub(crate) fn fetch(
        &self,
        job: &Job,
        member: usize,
        snapshot: &Snapshot,
        reporter: &dyn Reporter,
    ) -> Result<Option<(Manifest, Artifact)>> {
        let asked = Asked { member, snapshot, reporter };
        let Some(found) = self.find(&asked)? else { return Ok(None) };
        let mut listed = Vec::with_capacity(found.len());
        for (name, path) in found {
            check_blob(&path, &snapshot.repository)?;
            let described = files::describe(&job.home, &path)?;
            listed.push(File { name, path, bytes: described.bytes, blake3: described.blake3 });
        }
        let (repository, revision) = (snapshot.repository.clone(), snapshot.revision.clone());
        let manifest = Manifest { repository, revision, files: listed };
        let json = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::input(error.to_string()))?;
        let path = job.folder(member).join(MANIFEST);
        files::write_atomic(&path, |out| out.write_all(&json))?;
        Ok(Some((manifest, files::describe(&job.home, &path)?)))
    }

    /// All files of the snapshot, by name; none when told to stop.
    fn find(&self, asked: &Asked<'_>) -> Result<Option<Vec<(String, PathBuf)>>> {
        let Snapshot { repository, revision, .. } = asked.snapshot;
        let Look { files, missing, certain } = self.look(asked.snapshot)?;
        let complete = missing.is_empty();
        let log = |why: &str| {
            let cache = self.cache.display();
            asked.reporter.log(asked.member, &format!("{repository} at {revision} is taken from {cache}{why}"));
        };
        if complete && certain {
            log("");
            return Ok(Some(files));
        }
        if self.offline {
            if complete {
                log(" as it is there: HF_HUB_OFFLINE is set");
                return Ok(Some(files));
            }
            return Err(Error::Input {
                what: format!(
                    "HF_HUB_OFFLINE is set, and {} lacks {} of {repository} at {revision}",
                    self.cache.display(),
                    missing.join(", ")
                ),
                cure: Some(format!(
                    "run `hf download {repository} --revision {revision}` on a machine with network and copy its cache \
                     there; or unset HF_HUB_OFFLINE"
                )),
            });
        }
        let info = match self.info(repository, revision) {
            Ok(info) => info,
            Err(error @ Error::Transient { .. }) if complete => {
                log(&format!(" as it is there: {error}"));
                return Ok(Some(files));
            }
            Err(error) => return Err(error),
        };
        let there: HashSet<&str> = info.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
        let mut found = Vec::new();
        for name in self.choose(asked.snapshot, &there)? {
            let path = self.path(asked.snapshot, name);
            if !path.is_file() && self.download(asked, name, &path)?.is_none() {
                return Ok(None);
            }
            found.push((name.to_owned(), path));
        }
        Ok(Some(found))
    }

    /// Of each entry the first file that is `there`. What is not there is noted in the cache, so that nobody need ask again.
    fn choose<'a>(&self, snapshot: &'a Snapshot, there: &HashSet<&str>) -> Result<Vec<&'a str>> {
        let (mut chosen, mut missing) = (Vec::new(), Vec::new());
        for entry in &snapshot.files {
            let name = names(entry).find(|name| there.contains(name));
            for absent in names(entry).take_while(|other| Some(*other) != name) {
                let mark = self.absent(snapshot, absent);
                // Best effort: without the mark the hub is asked again.
                mark.parent().map(fs::create_dir_all).and_then(Result::ok).and_then(|()| fs::write(&mark, b"").ok());
            }
            match name {
                Some(name) => chosen.push(name),
                None if is_optional(entry) => {}
                None => missing.push(names(entry).collect::<Vec<_>>().join(" nor ")),
            }
        }
        if missing.is_empty() {
            return Ok(chosen);
        }
        Err(Error::Input {
            what: format!(
                "{} at {} has neither {}",
                snapshot.repository,
                snapshot.revision,
                missing.join("; neither ")
            ),
            cure: Some("name a repository, or a commit of it, with these files".to_owned()),
        })
    }

    /// Downloads one file to where `path` points; none when told to stop. What an interrupted download left is gone on with.
    fn download(&self, asked: &Asked<'_>, name: &str, path: &Path) -> Result<Option<()>> {
        let Snapshot { repository, revision, .. } = asked.snapshot;
        let failed = |error: ApiError| self.failed(repository, revision, error);
        // A link to a blob that is gone would be in the way.
        if path.is_symlink() {
            fs::remove_file(path).map_err(Error::io("remove", path))?;
        }
        asked.reporter.log(asked.member, &format!("downloads {name} of {repository}"));
        let watch = Watch::default();
        let (sender, receiver) = mpsc::channel();
        let api = self.api().map_err(failed)?;
        let (repo, blobs) = (super::repo(repository, revision), self.folder(repository).join("blobs"));
        let (wanted, theirs) = (name.to_owned(), watch.clone());
        let work = move || {
            // Nobody listens any more when it was given up.
            sender.send(bring(&api, repo, &wanted, &blobs, theirs)).ok();
        };
        thread::Builder::new().name("hub".to_owned()).spawn(work).map_err(|error| Error::Resources {
            what: format!("no thread to download {name}: {error}"),
            cure: Some("use fewer with `--threads`".to_owned()),
        })?;
        let Some(result) = self.wait(asked, &watch, &receiver)? else { return Ok(None) };
        let metadata = result.map_err(failed)?;
        if metadata.commit_hash() != revision {
            return Err(self.strange(repository, &format!("commit {} for {revision}", metadata.commit_hash())));
        }
        let (found, size) = (fs::metadata(path).map_err(Error::io("read", path))?.len(), metadata.size() as u64);
        if found == size {
            return Ok(Some(()));
        }
        let blob = fs::canonicalize(path).map_err(Error::io("read", path))?;
        for damaged in [path, &blob] {
            fs::remove_file(damaged).map_err(Error::io("remove", damaged))?;
        }
        Err(Error::Transient {
            what: format!("{name} of {repository} came with {found} bytes, not {size}"),
            cure: Some("`permafrost retry` downloads it again".to_owned()),
        })
    }

    /// Waits for the download's end; none when told to stop.
    fn wait<T>(&self, asked: &Asked<'_>, watch: &Watch, receiver: &mpsc::Receiver<T>) -> Result<Option<T>> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            match receiver.recv_timeout(POLL) {
                Ok(result) => return Ok(Some(result)),
                Err(RecvTimeoutError::Timeout) => {}
                // It panicked.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.strange(&asked.snapshot.repository, "the download ended early"));
                }
            }
            let bytes = watch.bytes.load(Ordering::Relaxed);
            if bytes != last {
                (last, moved) = (bytes, Instant::now());
            }
            asked.reporter.progress(asked.member, bytes, watch.size.load(Ordering::Relaxed));
            if asked.reporter.stop(asked.member).is_some() {
                watch.stop.store(true, Ordering::Relaxed);
                // It ends at its next bytes. If none come, it is left behind, and ends with the connection or the process.
                receiver.recv_timeout(STOPPING).ok();
                return Ok(None);
            }
            if moved.elapsed() > STALLED {
                watch.stop.store(true, Ordering::Relaxed);
                let Snapshot { repository, revision, .. } = asked.snapshot;
                return Err(Error::Transient {
                    what: format!("{} has sent nothing for {} s", self.endpoint, STALLED.as_secs()),
                    cure: Some(self.without_network(repository, revision)),
                });
            }
        }
    }
}

/// Downloads the file `name`: what the hub says of it.
fn bring(api: &Api, repo: Repo, name: &str, blobs: &Path, watch: Watch) -> Result<Metadata, ApiError> {
    let repo = api.repo(repo);
    let metadata = api.metadata(&repo.url(name))?;
    let part = blobs.join(metadata.etag()).with_extension("part");
    // All there, or of another file: the hub would refuse to send the rest.
    if fs::metadata(&part).is_ok_and(|part| part.len() >= metadata.size() as u64) {
        fs::remove_file(&part)?;
    }
    repo.download_with_progress(name, watch)?;
    Ok(metadata)
}

/// What a download and the one who waits for it share.
#[derive(Clone, Default)]
struct Watch {
    bytes: Arc<AtomicU64>,
    size: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Progress for Watch {
    fn init(&mut self, size: usize, _name: &str) {
        self.size.store(size as u64, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn update(&mut self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) {
            // The only way out of the library; no panic hook sees it, and files and locks are closed on the way.
            std::panic::resume_unwind(Box::new("stopped"));
        }
    }

    fn finish(&mut self) {}
}

/// Compares a file's SHA-256 with its name in the cache, where that is one (large files).
fn check_blob(path: &Path, repository: &str) -> Result<()> {
    let blob = fs::canonicalize(path).map_err(Error::io("read", path))?;
    let name = blob.file_name().unwrap_or_default().to_string_lossy();
    let is_sha256 = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sha256 || crate::datasets::fetch::sha256(&blob)? == name {
        return Ok(());
    }
    Err(Error::Input {
        what: format!("{} of {repository} is damaged: its sha256 is not its name", blob.display()),
        cure: Some("delete that file and `permafrost retry`: it is downloaded again".to_owned()),
    })
}
