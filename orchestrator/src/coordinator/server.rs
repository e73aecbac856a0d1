//! A coordinator's life: claim the home, restore, serve, leave.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::TcpListener, sync::mpsc};
use tracing::{info, warn};

use super::{
    actor::{Actor, Farewell},
    home::{Home, HomeError},
    http::{self, Api},
    message::Message,
    settings::Settings,
};
use crate::{
    core::CoreError,
    launcher::{LocalLauncher, WorkerCommand},
    store::{DATABASE, Reader, StoreError},
};

/// Requests that wait for the actor. Beyond that many, senders wait.
const INBOX: usize = 1024;
/// How long workers may take to leave.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// Why a coordinator cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The home folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The scheduler refuses what the database holds.
    #[error("the database does not hold a valid state: {0}")]
    Core(#[from] CoreError),
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing can run the trials that are left.
    #[error("no worker is left: {0}")]
    NoWorkers(String),
}

impl CoordinatorError {
    /// What to do about it.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Home(error) => error.cure(),
            Self::Store(error) => error.cure(),
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("leave out --port to take any free one, or end the program that has it".to_owned())
            }
            Self::NoWorkers(_) => {
                Some("`permafrost doctor` checks this machine; logs are in the home folder's `logs`".to_owned())
            }
            Self::Core(_) | Self::Listen { .. } => None,
        }
    }
}

/// Runs a coordinator until nothing is left to do, or a user drains it.
///
/// # Errors
/// [`CoordinatorError`]. Whatever was committed stays; the next coordinator goes on from there.
pub async fn run(settings: Settings) -> Result<(), CoordinatorError> {
    let mut home = Home::claim(&settings.home)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let listener = TcpListener::bind(address).await.map_err(|source| CoordinatorError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| CoordinatorError::Listen { address, source })?;

    let (sender, inbox) = mpsc::channel(INBOX);
    let actor = Actor::restore(home.root(), settings.timing, sender.clone(), inbox).await?;
    let endpoint = home.announce(address.to_string())?;
    info!(%address, home = %home.root().display(), "coordinating");

    let reader = Reader::open(&home.root().join(DATABASE)).await?;
    let api = Api { actor: sender.clone(), token: endpoint.token, reader };
    let server = tokio::spawn(async move { axum::serve(listener, http::router(api)).await });
    let launcher = LocalLauncher::start(worker_commands(&settings, &home)?, &forward_exits(sender));

    let farewell = actor.run(settings.devices.len()).await;
    info!(?farewell, "leaving");
    launcher.stop(WORKER_PATIENCE).await;
    server.abort();
    match farewell {
        Farewell::Quiet | Farewell::Drained => Ok(()),
        Farewell::StoreFailed(error) => Err(error.into()),
        Farewell::CoreFailed(error) => Err(error.into()),
        Farewell::NoWorkers(reason) => Err(CoordinatorError::NoWorkers(reason)),
    }
}

fn worker_commands(settings: &Settings, home: &Home) -> Result<Vec<WorkerCommand>, CoordinatorError> {
    let program = std::env::current_exe().map_err(|source| HomeError::Io {
        action: "find",
        path: "the running program".into(),
        source,
    })?;
    let commands = settings.devices.iter().map(|device| WorkerCommand {
        program: program.clone(),
        home: home.root().to_owned(),
        device: device.clone(),
        threads: settings.threads,
        wheel_dir: settings.wheel_dir.clone(),
        sample: settings.sample,
    });
    Ok(commands.collect())
}

/// Hands the exits of worker processes to the actor.
fn forward_exits(actor: mpsc::Sender<Message>) -> mpsc::Sender<crate::launcher::Exit> {
    let (sender, mut exits) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(exit) = exits.recv().await {
            if actor.send(Message::WorkerExit(exit)).await.is_err() {
                warn!("a worker ended after the coordinator");
            }
        }
    });
    sender
}
