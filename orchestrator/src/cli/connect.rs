//! Finding the coordinator of a home folder, or starting one.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use permafrost_worker::{
    PROGRAM_VERSION,
    agent::{Client, Endpoint},
};
use tokio::process::{Child, Command};

use super::{
    args,
    error::{CliError, exit},
    unwritable::unwritable,
};
use crate::{
    coordinator::{
        CoordinatorError, HomeError,
        api::{Control, Controlled},
    },
    monitor::process::is_alive,
};

/// How long a coordinator may take to answer a ping.
const PING: Duration = Duration::from_secs(5);
/// How long a coordinator may take to start; reading a large database takes its time.
const START: Duration = Duration::from_secs(120);
/// How often it is looked for meanwhile.
const POLL: Duration = Duration::from_millis(10);
/// Most of a dead coordinator's own words that are shown, in bytes.
const MAX_WORDS: usize = 4096;

/// A coordinator that answers.
pub(super) struct Coordinator {
    pub(super) client: Client,
    /// The process, if this one started it.
    child: Option<Child>,
    home: PathBuf,
}

/// What has become of a coordinator.
pub(super) enum Life {
    /// It is there.
    Runs,
    /// It left of its own will: all is done, or somebody drained it.
    Left,
    /// It was killed.
    Died(String),
}

impl Coordinator {
    /// Whether somebody else had started it.
    pub(super) fn joined(&self) -> bool {
        self.child.is_none()
    }

    /// What has become of it.
    ///
    /// # Errors
    /// [`CliError::CoordinatorEnded`] when it ended with an error of its own.
    pub(super) fn life(&mut self) -> Result<Life, CliError> {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            return match (status.success(), status.signal()) {
                (true, _) => Ok(Life::Left),
                (false, Some(_)) => Ok(Life::Died(status.to_string())),
                (false, None) => Err(ended(&self.home, status)),
            };
        }
        let ours = self.client.endpoint();
        match Endpoint::read(&self.home) {
            Ok(now) if now.instance == ours.instance && is_alive(ours.pid) => Ok(Life::Runs),
            Ok(now) if now.instance == ours.instance => Ok(Life::Died("its process is gone".to_owned())),
            _ if self.child.is_some() => Ok(Life::Runs),
            _ => Ok(Life::Left),
        }
    }

    /// Has it drain.
    pub(super) async fn drain(&self) -> Result<(), CliError> {
        let _: Controlled = self.client.post_once("/v1/control", &Control::Drain).await?;
        Ok(())
    }
}

/// The coordinator that runs, if one does.
///
/// # Errors
/// [`CliError::OtherVersion`].
pub(super) async fn running(home: &Path) -> Result<Option<Client>, CliError> {
    let Ok(endpoint) = Endpoint::read(home) else { return Ok(None) };
    let client = Client::new(endpoint);
    let ping = client.post_once::<_, Controlled>("/v1/control", &Control::Ping);
    match tokio::time::timeout(PING, ping).await {
        Ok(Ok(_)) if client.endpoint().program != PROGRAM_VERSION => {
            Err(CliError::OtherVersion { found: client.endpoint().program.clone(), home: home.to_owned() })
        }
        Ok(Ok(_)) => Ok(Some(client)),
        // Another program may have the port by now, or it is just leaving.
        _ => Ok(None),
    }
}

/// Joins the coordinator of the home folder, or starts one.
///
/// # Errors
/// [`CliError::CoordinatorEnded`] when it does not start.
pub(super) async fn join_or_start(home: &Path, start: &args::Coordinator) -> Result<Coordinator, CliError> {
    let deadline = Instant::now() + START;
    loop {
        if let Some(client) = running(home).await? {
            return Ok(Coordinator { client, child: None, home: home.to_owned() });
        }
        let mut child = spawn(home, start)?;
        let status = loop {
            if let Ok(Some(status)) = child.try_wait() {
                break status;
            }
            let ours = Endpoint::read(home).is_ok_and(|endpoint| Some(endpoint.pid) == child.id());
            if ours && let Some(client) = running(home).await? {
                return Ok(Coordinator { client, child: Some(child), home: home.to_owned() });
            }
            if Instant::now() >= deadline {
                return Err(CliError::NotFound {
                    what: "the coordinator does not answer".to_owned(),
                    cure: format!("look into {}", home.join("logs").display()),
                });
            }
            tokio::time::sleep(POLL).await;
        };
        // Somebody else was faster, or the last one is still leaving.
        let busy = status.code() == Some(i32::from(exit::COORDINATOR)) && start.port == 0;
        if !busy || Instant::now() >= deadline {
            return Err(ended(home, status));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn words_path(home: &Path) -> PathBuf {
    home.join("logs").join("coordinator.stderr")
}

fn spawn(home: &Path, start: &args::Coordinator) -> Result<Child, CliError> {
    let failed = |action, path: PathBuf| {
        move |source| CliError::from(CoordinatorError::from(HomeError::Io { action, path, source }))
    };
    let logs = home.join("logs");
    fs::create_dir_all(&logs).map_err(unwritable(home, "--home"))?;
    let words = words_path(home);
    let stderr = File::create(&words).map_err(unwritable(&words, "--home"))?;
    let program = std::env::current_exe().map_err(failed("find", "the running program".into()))?;
    let mut command = Command::new(&program);
    command.arg("--home").arg(home).args(["--json", "coordinator", "--port", &start.port.to_string()]);
    command.arg("--device").arg(start.machine.devices.join(","));
    if let Some(threads) = start.machine.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if let Some(dir) = &start.machine.wheel_dir {
        command.arg("--wheel-dir").arg(folder(dir)?);
    }
    command.args(["--sample-ms", &start.sampling.sample_ms.to_string()]);
    // A process group of its own: Ctrl-C and a closed terminal are for `launch`.
    command
        .args(start.intervals.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(failed("start", program))
}

/// A user's folder, absolute, because another process will use it.
///
/// # Errors
/// [`CliError::Io`] when it is not there.
pub(super) fn folder(path: &Path) -> Result<PathBuf, CliError> {
    path.canonicalize().map_err(|source| CliError::Io { action: "open", path: path.to_owned(), source })
}

/// Whether there is no room for another file: then a coordinator cannot even say what is wrong.
fn is_full(home: &Path) -> bool {
    rustix::fs::statvfs(home).is_ok_and(|stat| stat.f_bavail * stat.f_frsize < MAX_WORDS as u64)
}

/// What a coordinator that has ended said.
fn ended(home: &Path, status: ExitStatus) -> CliError {
    #[derive(serde::Deserialize)]
    struct Words {
        error: Error,
    }
    #[derive(serde::Deserialize)]
    struct Error {
        message: String,
        cure: Option<String>,
    }
    let words = fs::read_to_string(words_path(home)).unwrap_or_default();
    let said = words.lines().rev().find_map(|line| serde_json::from_str::<Words>(line).ok());
    let (message, cure) = match said {
        Some(Words { error }) => (error.message, error.cure),
        None if is_full(home) => (
            format!("the disk that holds {} is full", home.display()),
            Some("free space there, or name a --home on another disk".to_owned()),
        ),
        None => {
            let start = words.floor_char_boundary(words.len().saturating_sub(MAX_WORDS));
            let logs = home.join("logs");
            (words[start..].trim().to_owned(), Some(format!("look into {}", logs.display())))
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    CliError::CoordinatorEnded { status: status.to_string(), code, message, cure }
}
