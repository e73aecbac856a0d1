mod server;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use server::{COMMIT, REPOSITORY, Server};

use super::*;
use crate::{
    error::Error,
    execute::{Job, Reporter},
    protocol::{Artifact, Checkpoint, FailureClass, Lease, Outcome, Stop},
    task::{Fetch, Task},
};

#[derive(Default)]
struct Recorder {
    log: Mutex<Vec<String>>,
    progress: Mutex<Vec<(u64, u64)>>,
    stop_at: Option<Instant>,
}

impl Reporter for Recorder {
    fn progress(&self, _: usize, done: u64, total: u64) {
        self.progress.lock().unwrap().push((done, total));
    }
    fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}
    fn checkpoint(&self, _: usize, _: Checkpoint) {}
    fn log(&self, _: usize, message: &str) {
        self.log.lock().unwrap().push(message.to_owned());
    }
    fn stop(&self, _: usize) -> Option<Stop> {
        self.stop_at.filter(|at| Instant::now() >= *at).map(|_| Stop::Drain)
    }
    fn finish(&self, _: usize, _: Outcome) {}
}

fn weights() -> Vec<u8> {
    (0..5000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// What a BERT's repository may hold.
fn published() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights()),
        ("vocab.txt", b"[PAD]\n".to_vec()),
        ("README.md", b"a model".to_vec()),
    ]
}

struct Bench {
    folder: tempfile::TempDir,
    job: Job,
    snapshot: Snapshot,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = crate::encoders::Family::Bert.files();
        let files = files.iter().map(|names| names.iter().map(ToString::to_string).collect()).collect();
        let snapshot = Snapshot { repository: REPOSITORY.to_owned(), revision: COMMIT.to_owned(), files };
        let task = Task::Fetch(Fetch::Hub(snapshot.clone()));
        let trial = task.id().unwrap();
        let lease = Lease { trial, attempt: 1, task, inputs: BTreeMap::new(), checkpoints: vec![] };
        let home = folder.path().join("home");
        let job = Job { leases: vec![lease], home, wheel_dir: None, checkpoint_ms: 1000 };
        Self { folder, job, snapshot }
    }

    fn hub(&self, endpoint: &str, more: &[(&str, &str)]) -> Hub {
        let hf_home = self.folder.path().join("hf").to_str().unwrap().to_owned();
        let mut variables: BTreeMap<&str, String> = [("HF_HOME", hf_home), ("HF_ENDPOINT", endpoint.to_owned())].into();
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Hub::new(|name| variables.get(name).map(Into::into)).unwrap()
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("hf/hub/models--someone--tiny-bert")
    }

    fn snapshot_folder(&self) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT)
    }

    /// Puts files into the cache as Hugging Face tools lay them out.
    fn put(&self, files: &[(&str, Vec<u8>)]) {
        for (i, (name, bytes)) in files.iter().enumerate() {
            let (blobs, folder) = (self.repository().join("blobs"), self.snapshot_folder());
            fs::create_dir_all(&blobs).unwrap();
            fs::create_dir_all(&folder).unwrap();
            fs::write(blobs.join(format!("{i:040}")), bytes).unwrap();
            std::os::unix::fs::symlink(format!("../../blobs/{i:040}"), folder.join(name)).unwrap();
        }
    }

    fn fetch(&self, hub: &Hub, recorder: &Recorder) -> Result<Option<(Manifest, Artifact)>> {
        hub.fetch(&self.job, 0, &self.snapshot, recorder)
    }

    /// The manifest of a fetch that must end well; what it names is as it was published.
    fn fetched(&self, hub: &Hub) -> Manifest {
        let (manifest, artifact) = self.fetch(hub, &Recorder::default()).unwrap().unwrap();
        assert_eq!(Manifest::open(&self.job.home, &[artifact]).unwrap(), manifest);
        for (name, bytes) in published().iter().filter(|(name, _)| *name != "README.md") {
            let file = manifest.file(name).unwrap();
            assert_eq!(file.path, self.snapshot_folder().join(name));
            assert_eq!((file.bytes, &fs::read(&file.path).unwrap()), (bytes.len() as u64, bytes), "{name}");
        }
        assert_eq!(manifest.files.len(), 3);
        manifest
    }

    fn error(&self, hub: &Hub) -> Error {
        let error = self.fetch(hub, &Recorder::default()).unwrap_err();
        assert!(error.cure().is_some_and(|cure| !cure.is_empty()), "{error}");
        error
    }
}

#[test]
fn a_snapshot_comes_once_and_then_needs_no_network() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let recorder = Recorder::default();
    let hub = bench.hub(&server.endpoint, &[("HF_TOKEN", "secret")]);
    assert_eq!(hub.look(&bench.snapshot).unwrap().missing.len(), 3);
    let (manifest, _) = bench.fetch(&hub, &recorder).unwrap().unwrap();
    assert_eq!((manifest.repository.as_str(), manifest.revision.as_str()), (REPOSITORY, COMMIT));
    assert!(recorder.log.lock().unwrap().iter().any(|line| line.starts_with("downloads model.safetensors")));
    let requests = server.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|request| request.contains("authorization: bearer secret")), "{requests:?}");
    // The second time, nothing is asked, although this snapshot has no tokenizer.json: that is known by now.
    bench.fetched(&hub);
    assert_eq!(server.count(), requests.len());
    bench.fetched(&bench.hub("http://127.0.0.1:9", &[]));
    assert!(bench.repository().join(".no_exist").join(COMMIT).join("tokenizer.json").exists());
    // The large file has the name of its SHA-256.
    let blob = fs::canonicalize(bench.snapshot_folder().join("model.safetensors")).unwrap();
    assert_eq!(blob.file_name().unwrap().len(), 64);
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let hub = bench.hub(&server.endpoint, &[]);
    server.set(|behaviour| behaviour.cut = Some(7000));
    let error = bench.error(&hub);
    assert_eq!(error.class(), FailureClass::Transient, "{error}");
    assert!(!bench.snapshot_folder().join("model.safetensors").exists());
    server.set(|behaviour| behaviour.cut = None);
    bench.fetched(&hub);
    let requests = server.requests.lock().unwrap();
    assert!(requests.iter().any(|request| request.contains("range: bytes=7000-")), "{requests:?}");
}

#[test]
fn leftovers_that_cannot_be_gone_on_with_are_no_obstacle() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let hub = bench.hub(&server.endpoint, &[]);
    bench.fetched(&hub);
    // A download that was whole and not yet renamed, and a link without its file.
    let link = bench.snapshot_folder().join("model.safetensors");
    let blob = fs::canonicalize(&link).unwrap();
    fs::rename(&blob, blob.with_extension("part")).unwrap();
    assert!(hub.look(&bench.snapshot).unwrap().missing.len() == 1);
    bench.fetched(&hub);
}

#[test]
fn a_stop_ends_a_download_which_goes_on_later() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let hub = bench.hub(&server.endpoint, &[]);
    server.set(|behaviour| behaviour.slow = true);
    let start = Instant::now();
    let recorder = Recorder { stop_at: Some(start + Duration::from_secs(1)), ..Recorder::default() };
    assert!(bench.fetch(&hub, &recorder).unwrap().is_none());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let last = *recorder.progress.lock().unwrap().last().unwrap();
    assert!(last.0 > 0 && last.0 < 20_000 && last.1 == 20_000, "{last:?}");
    server.set(|behaviour| behaviour.slow = false);
    bench.fetched(&hub);
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let hub = bench.hub(&server.endpoint, &[]);
    let expected = [
        (401, FailureClass::Input, "without a token (401)", "HF_TOKEN"),
        (403, FailureClass::Input, "(403)", "settings/tokens"),
        (404, FailureClass::Input, "(404)", "check `repository` and `revision`"),
        (503, FailureClass::Transient, "answers 503", "HF_HUB_OFFLINE=1"),
    ];
    for (status, class, what, cure) in expected {
        server.set(|behaviour| behaviour.status = Some(status));
        for error in [bench.error(&hub), hub.resolve(REPOSITORY, "main").unwrap_err()] {
            assert_eq!(error.class(), class, "{error}");
            assert!(error.to_string().contains(what), "{error}");
            assert!(error.cure().unwrap().contains(cure), "{:?}", error.cure());
        }
    }
    let error = bench.error(&bench.hub("http://127.0.0.1:9", &[]));
    assert_eq!(error.class(), FailureClass::Transient);
    assert!(error.to_string().contains("cannot reach"), "{error}");

    server.set(|behaviour| {
        behaviour.status = None;
        behaviour.files.remove("vocab.txt");
    });
    let error = bench.error(&hub);
    assert_eq!(error.class(), FailureClass::Input);
    assert!(error.to_string().contains("has neither tokenizer.json nor vocab.txt"), "{error}");

    server.set(|behaviour| behaviour.sha256 = Some("0".repeat(64)));
    server.set(|behaviour| _ = behaviour.files.insert("vocab.txt".to_owned(), b"[PAD]\n".to_vec()));
    let error = bench.error(&hub);
    assert!(error.to_string().contains("its sha256 is not its name"), "{error}");
}

#[test]
fn a_cache_made_by_others_serves_offline() {
    let bench = Bench::new();
    let offline = bench.hub("http://127.0.0.1:9", &[("HF_HUB_OFFLINE", "1")]);
    let error = bench.error(&offline);
    assert_eq!(error.class(), FailureClass::Input);
    assert!(error.to_string().contains("lacks config.json or bert_config.json, model.safetensors or"), "{error}");
    assert!(error.cure().unwrap().contains("hf download someone/tiny-bert --revision"), "{:?}", error.cure());

    bench.put(&published());
    bench.fetched(&offline);
    // Without the variable the hub is asked for the files that may be missing here, and is not there.
    bench.fetched(&bench.hub("http://127.0.0.1:9", &[]));
    // A snapshot that is complete by itself: nothing is asked.
    let server = Server::new(&[]);
    let more = [("tokenizer.json", b"{}".to_vec()), ("tokenizer_config.json", b"{}".to_vec())];
    let folder = bench.snapshot_folder();
    for (name, bytes) in more {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let (manifest, _) = bench.fetch(&bench.hub(&server.endpoint, &[]), &Recorder::default()).unwrap().unwrap();
    assert_eq!(
        manifest.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    );
    assert_eq!(server.count(), 0);
}

#[test]
fn files_that_changed_after_they_were_fetched_are_refused() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let (manifest, artifact) = bench.fetch(&bench.hub(&server.endpoint, &[]), &Recorder::default()).unwrap().unwrap();
    let config = &manifest.file("config.json").unwrap().path;
    let refused = |what: &str| {
        let error = Manifest::open(&bench.job.home, std::slice::from_ref(&artifact)).unwrap_err();
        assert!(error.to_string().contains(&format!("config.json {what} since it was fetched")), "{error}");
        assert!(error.cure().unwrap().contains(&bench.job.leases[0].trial.short()), "{:?}", error.cure());
    };
    fs::write(config, b"[]").unwrap();
    refused("has changed");
    fs::remove_file(config).unwrap();
    refused("has gone");
}

#[test]
fn branches_are_resolved_by_the_hub_or_by_the_cache() {
    let server = Server::new(&published());
    let bench = Bench::new();
    let online = bench.hub(&server.endpoint, &[]);
    assert_eq!(online.resolve(REPOSITORY, "main").unwrap(), COMMIT);
    assert_eq!(online.resolve(REPOSITORY, "other").unwrap_err().class(), FailureClass::Input);
    let count = server.count();
    assert_eq!(online.resolve(REPOSITORY, COMMIT).unwrap(), COMMIT);
    assert_eq!(server.count(), count, "a commit needs no question");
    let offline = bench.hub("http://127.0.0.1:9", &[("HF_HUB_OFFLINE", "yes")]);
    let error = offline.resolve(REPOSITORY, "main").unwrap_err();
    assert!(error.to_string().contains("does not know `main`"), "{error}");
    fs::create_dir_all(bench.repository().join("refs")).unwrap();
    fs::write(bench.repository().join("refs/main"), COMMIT).unwrap();
    assert_eq!(offline.resolve(REPOSITORY, "main").unwrap(), COMMIT);
}

#[test]
fn names_cannot_leave_the_cache() {
    let bench = Bench::new();
    let hub = bench.hub("http://127.0.0.1:9", &[]);
    for (repository, revision) in [("../x", "main"), ("a/b/c", "main"), ("a/..", "main"), ("", "main"), ("a/b", "../x")]
    {
        let error = hub.resolve(repository, revision).unwrap_err();
        assert_eq!(error.class(), FailureClass::Input, "{repository} {revision}: {error}");
    }
    for name in ["../x", "/etc/passwd"] {
        let snapshot = Snapshot { files: vec![vec![name.to_owned()]], ..bench.snapshot.clone() };
        assert!(hub.look(&snapshot).is_err_and(|error| error.to_string().contains("is no file of")));
    }
    let branch = Snapshot { revision: "main".to_owned(), ..bench.snapshot.clone() };
    assert!(hub.look(&branch).is_err_and(|error| error.to_string().contains("no commit")));
}

#[test]
fn the_environment_is_that_of_hugging_face_tools() {
    let hub = |variables: &[(&str, &str)]| {
        Hub::new(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()))
    };
    let cache = |variables: &[(&str, &str)]| hub(variables).unwrap().cache;
    assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
    assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
    assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "/f")]), Path::new("/f/hub"));
    assert_eq!(cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
    assert!(hub(&[("HOME", "")]).unwrap_err().cure().unwrap().contains("HF_HOME"));
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    assert_eq!(hub(&[("HF_HOME", home)]).unwrap().token, None);
    fs::write(folder.path().join("token"), " of a file\n").unwrap();
    assert_eq!(hub(&[("HF_HOME", home)]).unwrap().token.as_deref(), Some("of a file"));
    assert_eq!(hub(&[("HF_HOME", home), ("HF_TOKEN", "t")]).unwrap().token.as_deref(), Some("t"));
    let offline = |value| hub(&[("HF_HOME", home), ("HF_HUB_OFFLINE", value)]).unwrap().offline;
    assert!(offline("1") && offline("True") && !offline("0") && !offline(""));
    assert_eq!(hub(&[("HF_HOME", home), ("HF_ENDPOINT", "http://m/")]).unwrap().endpoint, "http://m");
}
