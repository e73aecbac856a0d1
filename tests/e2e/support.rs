//! Runs the real program in a home folder of its own.

pub mod browser;
pub mod killing;
pub mod synthetic;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use permafrost::store::{DATABASE, QueryResult, Reader, SqlValue};

/// Nothing here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Intervals that tests have the patience for.
pub const FAST: [&str; 4] = ["--heartbeat-ms", "100", "--linger-ms", "100"];

/// A sweep of trials that do nothing.
pub fn noop(parameters: &str) -> String {
    format!(
        "name: x\nstages:\n  noop: {{parameters: {{{parameters}}}}}\nreport: [{{rows: [index], value: noop.value}}]\n"
    )
}

/// Arguments of a launch.
pub fn launch(file: &str) -> Vec<&str> {
    [&["launch", file][..], &FAST].concat()
}

/// A coordinator with something to do for a while.
pub fn busy(world: &World) -> Child {
    world.write("busy.yaml", &noop("index: {values: [1, 2]}, steps: {value: 600}, step_ms: {value: 100}"));
    let child = world.start(&launch("busy.yaml"));
    while world.number("SELECT count(*) FROM attempts WHERE state = 'running'") < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// A home folder, and a folder with sweeps and wheels.
pub struct World {
    pub folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl World {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), runtime }
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file beside the home folder.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program in this home, with nothing of the user's environment that would change what it does.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_permafrost"));
        for name in ["PERMAFROST_HOME", "PERMAFROST_LOG", "NO_COLOR", "CARGO"] {
            command.env_remove(name);
        }
        // No test asks the hub, or finds what somebody has downloaded from it.
        command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", self.folder.path().join("hub"));
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).arg("--home").arg(self.home());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let child = self.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait(child)
    }

    /// Runs the program; it must end with this code. Returns stdout and stderr.
    pub fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        (stdout, stderr)
    }

    /// Starts the program and lets it run.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Asks the database; nothing when there is none yet.
    pub fn ask(&self, sql: &str) -> Option<QueryResult> {
        let database = self.home().join(DATABASE);
        self.runtime.block_on(async { Reader::open(&database).await.ok()?.query(sql).await.ok() })
    }

    /// One number out of the database; 0 when there is none yet.
    pub fn number(&self, sql: &str) -> i64 {
        match self.ask(sql).and_then(|result| result.rows.into_iter().next()?.into_iter().next()) {
            Some(SqlValue::Integer(number)) => number,
            _ => 0,
        }
    }

    /// Process ids of the coordinator and of the workers that are there.
    pub fn processes(&self) -> (Option<u32>, Vec<u32>) {
        let coordinator = permafrost_worker::agent::Endpoint::read(&self.home()).ok().map(|endpoint| endpoint.pid);
        let workers = self.ask("SELECT pid FROM workers WHERE ended IS NULL");
        let workers = workers.into_iter().flat_map(|result| result.rows).filter_map(|row| match row[0] {
            SqlValue::Integer(pid) => Some(pid as u32),
            _ => None,
        });
        let workers = workers.filter(|&pid| is_ours(pid)).collect();
        (coordinator.filter(|&pid| is_ours(pid)), workers)
    }

    /// Everything that must not depend on what happened on the way, by trial: results to the last bit, metric
    /// histories, and the BLAKE3 of every file.
    pub fn outcome(&self) -> BTreeMap<String, Vec<String>> {
        let mut outcome: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for sql in [
            "SELECT t.id, r.name, r.value FROM results r JOIN trials t USING (trial) ORDER BY 1, 2",
            "SELECT t.id, a.name, a.blake3 FROM artifacts a JOIN trials t USING (trial) ORDER BY 1, 2",
            "SELECT trial_id, metric || ' ' || step, value FROM history ORDER BY 1, metric, step",
        ] {
            for row in self.ask(sql).expect("the database answers").rows {
                let texts: Vec<String> = row.iter().map(exact).collect();
                outcome.entry(texts[0].clone()).or_default().push(texts[1..].join(" "));
            }
        }
        outcome
    }

    /// Waits until the coordinator has left.
    pub fn wait_until_quiet(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.processes().0.is_some() {
            assert!(Instant::now() < deadline, "the coordinator does not leave");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (coordinator, workers) = self.processes();
        coordinator.into_iter().chain(workers).for_each(kill);
    }
}

fn exact(value: &SqlValue) -> String {
    match value {
        SqlValue::Real(number) => format!("{:016x}", number.to_bits()),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Text(text) => text.clone(),
        SqlValue::Null => "null".to_owned(),
    }
}

/// Whether the process is there and is this program; the number may have gone to another.
fn is_ours(pid: u32) -> bool {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    exe.is_ok_and(|path| path == Path::new(env!("CARGO_BIN_EXE_permafrost"))) && !state.contains(") Z ")
}

/// SIGKILL.
pub fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}

/// Sends a signal; a process that has gone meanwhile is fine.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a process id");
    rustix::process::kill_process(pid, signal).ok();
}

/// SIGKILL, and waits until it is gone.
pub fn end(child: Child) {
    kill(child.id());
    wait(child);
}

/// Waits for a process, but not for ever.
pub fn wait(child: Child) -> Output {
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill(pid);
            panic!("the program hangs");
        }
    }
}

/// SplitMix64 with a seed that is printed when a test fails, and can be set by `PERMAFROST_SEED`.
pub struct Chance(pub u64);

impl Chance {
    pub fn new() -> Self {
        let given =
            std::env::var("PERMAFROST_SEED").ok().map(|text| text.parse().expect("PERMAFROST_SEED is a number"));
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        eprintln!("PERMAFROST_SEED={seed}");
        Self(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// A sweep over the synthetic wheels: real parsing, real encoding, real training, in seconds.
pub fn training_sweep(reports: &synthetic::Wheel, bert: &synthetic::Wheel) -> String {
    let wheel = |wheel: &synthetic::Wheel| {
        let synthetic::Wheel { package, version, file, sha256 } = wheel;
        format!("{{package: {package}, version: \"{version}\", file: {file}, sha256: \"{sha256}\"}}")
    };
    let (reports, bert) = (wheel(reports), wheel(bert));
    let (count, images, width) = (synthetic::REPORTS, 2 * synthetic::REPORTS, synthetic::BERT_WIDTH);
    format!(
        "name: synthetic
datasets:
  small: {{reader: open-i, wheel: {reports}, reports: {count}, images: {images}, train: 0.5, valid: 0.25}}
encoders:
  vision:
    words: {{model: visual-words, width: 32}}
    edges: {{model: visual-words, descriptors: [EdgeHistogram], width: 32}}
  text:
    tiny: {{model: bert-wheel, wheel: {bert}, folder: tiny_bert/model, width: {width}, pooling: mean, max_tokens: 32}}
stages:
  pretrain:
    parameters:
      vision: {{values: [words, edges]}}
      text: {{value: tiny}}
      epochs: {{value: 3}}
      batch_size: {{value: 16}}
      learning_rate: {{value: 1.0e-4}}
  classify:
    from: pretrain
    parameters:
      label: {{values: [normal, cardiomegaly]}}
      fraction: {{values: [0.2, 1.0]}}
      seed: {{values: [0, 1]}}
      epochs: {{value: 6}}
      batch_size: {{value: 16}}
      learning_rate: {{value: 1.0e-3}}
report:
  - {{rows: [label, vision], columns: [fraction], value: classify.auroc, note: synthetic data}}
"
    )
}
