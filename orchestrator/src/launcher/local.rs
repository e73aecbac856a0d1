//! Worker processes on this machine.

use std::{
    fs::File,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{process::Command, sync::mpsc};
use tracing::{info, warn};

/// A worker that lived less long than this has failed to start, in effect.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// So many short lives in a row, and the device is given up.
const MAX_SHORT_LIVES: u32 = 5;
/// Pause before a worker is started again; doubles with each short life.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How workers are started.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// This program.
    pub program: PathBuf,
    /// The home folder.
    pub home: PathBuf,
    /// The device, such as `cpu` or `cuda:1`.
    pub device: String,
    /// Threads for the CPU; none: all cores.
    pub threads: Option<usize>,
    /// Wheels a user put there by hand.
    pub wheel_dir: Option<PathBuf>,
    /// How often it samples its device; zero: never.
    pub sample: Duration,
}

/// A worker process has ended.
#[derive(Debug)]
pub enum Exit {
    /// By itself or by a signal; it may be started again.
    Process {
        /// Process id it had.
        pid: u32,
        /// How.
        status: ExitStatus,
    },
    /// It cannot be kept running.
    GivenUp {
        /// The device.
        device: String,
        /// Why.
        reason: String,
    },
}

/// Keeps one worker process a device running until it is told to stop.
pub struct LocalLauncher {
    stop: tokio::sync::watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl LocalLauncher {
    /// Starts a worker for each command. Exits are told through `exits`.
    pub fn start(commands: Vec<WorkerCommand>, exits: &mpsc::Sender<Exit>) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let tasks = commands
            .into_iter()
            .map(|command| tokio::spawn(keep_running(command, exits.clone(), stopped.clone())))
            .collect();
        Self { stop, tasks }
    }

    /// Starts no worker again, and waits until those that run have left, `patience` at most; then they are killed.
    pub async fn stop(self, patience: Duration) {
        self.stop.send(true).ok();
        let deadline = Instant::now() + patience;
        for mut task in self.tasks {
            if tokio::time::timeout_at(deadline.into(), &mut task).await.is_err() {
                // Dropping the child kills it.
                task.abort();
            }
        }
    }
}

async fn keep_running(
    command: WorkerCommand,
    exits: mpsc::Sender<Exit>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut short_lives = 0;
    while !*stopped.borrow() {
        let started = Instant::now();
        let reason = match run_once(&command, &exits).await {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        short_lives = if started.elapsed() < SHORT_LIFE { short_lives + 1 } else { 1 };
        warn!(device = command.device, reason, "a worker ended");
        if short_lives >= MAX_SHORT_LIVES {
            let reason = format!("its worker ended {short_lives} times right after the start ({reason})");
            exits.send(Exit::GivenUp { device: command.device, reason }).await.ok();
            return;
        }
        let pause = FIRST_PAUSE * 2_u32.pow(short_lives - 1);
        tokio::time::timeout(pause, stopped.changed()).await.ok();
    }
}

/// Starts one worker process and waits for its end.
async fn run_once(command: &WorkerCommand, exits: &mpsc::Sender<Exit>) -> io::Result<ExitStatus> {
    let logs = command.home.join("logs");
    std::fs::create_dir_all(&logs)?;
    // Holds the end of one process at most: what it prints when tracing is not up yet, or when it panics.
    let stderr = File::create(logs.join(format!("worker-{}.stderr", command.device.replace(':', "-"))))?;
    let mut process = Command::new(&command.program);
    process
        .arg("--home")
        .arg(&command.home)
        .arg("worker")
        .arg("--device")
        .arg(&command.device)
        .arg("--sample-ms")
        .arg(command.sample.as_millis().to_string())
        .arg("--exit-with-parent");
    if let Some(threads) = command.threads {
        process.arg("--threads").arg(threads.to_string());
    }
    if let Some(folder) = &command.wheel_dir {
        process.arg("--wheel-dir").arg(folder);
    }
    // A group of its own: Ctrl-C in the user's terminal is for `launch`, which drains. The pipe on standard input tells the
    // worker that this process is gone, however it went.
    let mut child = process
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().unwrap_or_default();
    info!(pid, device = command.device, "started a worker");
    let stdin = child.stdin.take();
    let status = child.wait().await?;
    drop(stdin);
    exits.send(Exit::Process { pid, status }).await.ok();
    Ok(status)
}
