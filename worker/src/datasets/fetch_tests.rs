use std::{
    os::unix::fs::PermissionsExt,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    protocol::{Checkpoint, FailureClass, Lease, Stop},
    task::{Fetch, Task, Wheel},
};

/// Collects what it is told; says stop from `stop_at` on.
#[derive(Default)]
struct Recorder {
    log: Mutex<Vec<String>>,
    outcomes: Mutex<Vec<Outcome>>,
    stop_at: Option<Instant>,
}

impl Reporter for Recorder {
    fn progress(&self, _: usize, _: u64, _: u64) {}
    fn metric(&self, _: usize, _: &str, _: u64, _: f64) {}
    fn checkpoint(&self, _: usize, _: Checkpoint) {}
    fn log(&self, _: usize, message: &str) {
        self.log.lock().unwrap().push(message.to_owned());
    }
    fn stop(&self, _: usize) -> Option<Stop> {
        self.stop_at.filter(|at| Instant::now() >= *at).map(|_| Stop::Drain)
    }
    fn finish(&self, _: usize, outcome: Outcome) {
        self.outcomes.lock().unwrap().push(outcome);
    }
}

const WHEEL: &[u8] = b"as good as a wheel";
const FILE: &str = "torchxrayvision-1.0-py3-none-any.whl";

struct Bench {
    folder: tempfile::TempDir,
    job: Job,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let task = Task::Fetch(Fetch::Wheel(Wheel {
            package: "torchxrayvision".to_owned(),
            version: "1.0".to_owned(),
            file: FILE.to_owned(),
            sha256: Sha256::digest(WHEEL).iter().map(|byte| format!("{byte:02x}")).collect(),
        }));
        let trial = task.id().unwrap();
        let lease = Lease { trial, attempt: 1, task, inputs: BTreeMap::new(), checkpoints: vec![] };
        let home = folder.path().join("home");
        let job = Job { leases: vec![lease], home, wheel_dir: None, checkpoint_ms: 1000 };
        Self { folder, job }
    }

    /// A program in the place of Python. It runs in `sh`, with the download folder as `$D`.
    fn python(&self, body: &str) -> OsString {
        let path = self.folder.path().join("python");
        let script = format!("#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = -d ] && D=\"$2\"; shift; done\n{body}\n");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.into_os_string()
    }

    fn wheel(&self) -> PathBuf {
        self.job.home.join("downloads").join(FILE)
    }

    fn scratch_is_gone(&self) -> bool {
        fs::read_dir(self.job.home.join("downloads")).unwrap().flatten().all(|entry| entry.path() == self.wheel())
    }
}

#[test]
fn pip_brings_a_wheel_and_the_licence_is_told() {
    let bench = Bench::new();
    let python = bench.python(&format!("printf '%s' '{}' > \"$D/{FILE}\"", String::from_utf8_lossy(WHEEL)));
    let recorder = Recorder::default();
    run_with(&python, &bench.job, &recorder).unwrap();
    assert_eq!(fs::read(bench.wheel()).unwrap(), WHEEL);
    assert!(bench.scratch_is_gone());
    assert!(recorder.log.lock().unwrap()[0].contains("CC BY-NC-ND 4.0"));
    let outcomes = recorder.outcomes.lock().unwrap();
    let [Outcome::Done { summary, artifacts }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(summary["bytes"], WHEEL.len() as f64);
    assert_eq!(files::verified(&bench.job.home, &artifacts[0]).unwrap(), bench.wheel());
}

#[test]
fn a_wheel_that_is_here_needs_no_python() {
    let mut bench = Bench::new();
    let by_hand = bench.folder.path().join("wheels");
    fs::create_dir(&by_hand).unwrap();
    fs::write(by_hand.join(FILE), WHEEL).unwrap();
    bench.job.wheel_dir = Some(by_hand.clone());
    run_with(OsStr::new("/nonexistent"), &bench.job, &Recorder::default()).unwrap();
    assert_eq!(fs::read(bench.wheel()).unwrap(), WHEEL);
    // Now from the home folder.
    fs::remove_dir_all(by_hand).unwrap();
    run_with(OsStr::new("/nonexistent"), &bench.job, &Recorder::default()).unwrap();
}

#[test]
fn damaged_wheels_are_refused_wherever_they_come_from() {
    let mut bench = Bench::new();
    let refused = |bench: &Bench, python: &OsStr| {
        let error = run_with(python, &bench.job, &Recorder::default()).unwrap_err();
        assert_eq!(error.class(), FailureClass::Input);
        assert!(error.to_string().contains("expected") && error.to_string().contains("sha256"), "{error}");
        error.cure().unwrap()
    };
    let python = bench.python(&format!("echo cut > \"$D/{FILE}\""));
    assert!(refused(&bench, &python).contains("--wheel-dir"));
    assert!(!bench.wheel().exists() && bench.scratch_is_gone());

    let by_hand = bench.folder.path().join("wheels");
    fs::create_dir(&by_hand).unwrap();
    fs::write(by_hand.join(FILE), &WHEEL[1..]).unwrap();
    bench.job.wheel_dir = Some(by_hand);
    refused(&bench, OsStr::new("/nonexistent"));
    assert!(!bench.wheel().exists());

    fs::write(bench.wheel(), b"").unwrap();
    assert!(refused(&bench, OsStr::new("/nonexistent")).contains("delete it"));
}

#[test]
fn missing_programs_and_networks_are_told_apart() {
    let bench = Bench::new();
    let fails = |python: &OsStr| run_with(python, &bench.job, &Recorder::default()).unwrap_err();

    let error = fails(OsStr::new("/nonexistent/python3"));
    assert_eq!(error.class(), FailureClass::Input);
    assert!(error.cure().unwrap().contains("install python3") && error.cure().unwrap().contains("--wheel-dir"));

    let error = fails(&bench.python("echo 'python3: No module named pip' >&2; exit 1"));
    assert_eq!(error.class(), FailureClass::Input);
    assert!(error.to_string().contains("has no pip"), "{error}");

    let error = fails(&bench.python(
        "echo 'WARNING: Retrying after connection broken by NewConnectionError' >&2\n\
         echo 'ERROR: No matching distribution found for torchxrayvision==1.0' >&2; exit 1",
    ));
    assert_eq!(error.class(), FailureClass::Transient);
    assert!(error.to_string().contains("no network") && error.to_string().contains("No matching"), "{error}");
    let cure = error.cure().unwrap();
    assert!(cure.contains(FILE) && cure.contains("--wheel-dir DIR"), "{cure}");
    assert!(bench.scratch_is_gone());

    let error = fails(&bench.python("echo 'OSError: [Errno 28] No space left on device' >&2; exit 2"));
    assert_eq!(error.class(), FailureClass::Resources);

    let error = fails(&bench.python("exit 0"));
    assert!(error.to_string().contains("but not as"), "{error}");
}

#[test]
fn a_stop_kills_the_child() {
    let bench = Bench::new();
    let mark = bench.folder.path().join("survived");
    let python = bench.python(&format!("exec 2>/dev/null; sleep 2; : > '{}'", mark.display()));
    let recorder = Recorder { stop_at: Some(Instant::now() + Duration::from_millis(200)), ..Recorder::default() };
    let start = Instant::now();
    run_with(&python, &bench.job, &recorder).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(matches!(recorder.outcomes.lock().unwrap()[..], [Outcome::Preempted { checkpoint: None }]));
    assert!(bench.scratch_is_gone());
    std::thread::sleep(Duration::from_millis(2500));
    assert!(!mark.exists(), "the child went on");
}

#[test]
fn a_file_name_cannot_leave_the_folder() {
    let mut bench = Bench::new();
    let Task::Fetch(Fetch::Wheel(task)) = &mut bench.job.leases[0].task else { panic!() };
    task.file = "../x.whl".to_owned();
    let error = run_with(OsStr::new("/nonexistent"), &bench.job, &Recorder::default()).unwrap_err();
    assert!(error.to_string().contains("not the name of a wheel"), "{error}");
}
