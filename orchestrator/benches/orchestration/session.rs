//! A coordinator in a home folder of its own, with or without a worker.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use permafrost::{
    coordinator::{
        self, Settings, Timing,
        api::{Control, Controlled},
    },
    store::DATABASE,
};
use permafrost_worker::{
    agent::{self, Client, Endpoint},
    device::Device,
    id::TrialId,
    task::{Noop, NoopEnd, Task},
};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{Result, WORKER};

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(1);

/// A folder that is removed when it is dropped, on the disk of cargo's target folder.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// What the worker process does: the same as `permafrost worker` on the CPU.
///
/// # Errors
/// When the coordinator goes away.
pub fn work(home: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let device = Device::open("cpu", None)?;
    // As often as in the program, unless it is said what sampling costs.
    let sample_ms = std::env::var("BENCH_SAMPLE_MS").ok().map_or(Ok(1000), |text| text.parse())?;
    let sample = Duration::from_millis(sample_ms);
    Ok(runtime.block_on(agent::run(agent::Options { home, device, wheel_dir: None, sample }))?)
}

/// The worker process; it ends with this value.
pub struct Worker(Child);

impl Worker {
    /// Starts one for the coordinator of `home`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(home: &Path) -> Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self(Command::new(program).arg(WORKER).arg(home).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running coordinator, with a runtime of its own, as it has in the program.
pub struct Session {
    /// Talks to it.
    pub client: Client,
    coordinator: JoinHandle<Result<()>>,
}

impl Session {
    /// Starts a coordinator and waits until it has said where it listens.
    ///
    /// # Errors
    /// When it ends instead.
    pub async fn start(home: &Path) -> Result<Self> {
        let timing = Timing { linger: Duration::from_millis(100), ..Timing::default() };
        let home = home.to_owned();
        let settings = Settings {
            home: home.clone(),
            port: 0,
            devices: vec![],
            threads: None,
            wheel_dir: None,
            sample: Duration::ZERO,
            timing,
        };
        let coordinator = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            Ok(runtime.block_on(coordinator::run(settings))?)
        });
        loop {
            if let Ok(endpoint) = Endpoint::read(&home) {
                return Ok(Self { client: Client::new(endpoint), coordinator });
            }
            if coordinator.is_finished() {
                ended(coordinator).await?;
                return Err("the coordinator left at once".into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Has it leave, whatever there is still to do. What runs is cancelled: nobody is there to stop it.
    ///
    /// # Errors
    /// Its own.
    pub async fn drain(self, running: &[TrialId]) -> Result<()> {
        let _: Controlled = self.client.post("/v1/control", &Control::Cancel(running.to_vec())).await?;
        let _: Controlled = self.client.post("/v1/control", &Control::Drain).await?;
        self.end().await
    }

    /// Waits until it has left.
    ///
    /// # Errors
    /// Its own.
    pub async fn end(self) -> Result<()> {
        ended(self.coordinator).await
    }
}

async fn ended(coordinator: JoinHandle<Result<()>>) -> Result<()> {
    tokio::task::spawn_blocking(|| coordinator.join()).await?.map_err(|_| "the coordinator panicked")?
}

/// A connection that only reads.
pub struct Look(SqliteConnection);

impl Look {
    /// Opens the database of `home`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(home: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(home.join(DATABASE)).read_only(true);
        Ok(Self(options.busy_timeout(Duration::from_secs(10)).disable_statement_logging().connect().await?))
    }

    /// One number.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn number(&mut self, sql: &str) -> Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await?)
    }

    /// Checks that a query gives this number.
    ///
    /// # Errors
    /// When it gives another.
    pub async fn expect(&mut self, sql: &str, expected: usize) -> Result<()> {
        let found = self.number(sql).await?;
        if found == expected as i64 { Ok(()) } else { Err(format!("{sql}: {found}, expected {expected}").into()) }
    }

    /// Checks that the database is sound, has a write-ahead log, and refused nothing.
    ///
    /// # Errors
    /// When it is not.
    pub async fn expect_sound(&mut self) -> Result<()> {
        self.expect("SELECT count(*) FROM events WHERE kind IN ('refused', 'finish-refused')", 0).await?;
        for (sql, expected) in [("PRAGMA integrity_check", "ok"), ("PRAGMA journal_mode", "wal")] {
            let found: String = sqlx::query_scalar(sql).fetch_one(&mut self.0).await?;
            if found != expected {
                return Err(format!("{sql}: {found}").into());
            }
        }
        Ok(())
    }
}

/// The `index`th trial that does nothing.
pub fn noop(index: usize, steps: u64) -> Task {
    Task::Noop(Noop { index: index as u64, steps, step_ms: 0, after: vec![], end: NoopEnd::Done })
}
