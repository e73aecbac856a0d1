//! The one task that owns the scheduler core.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use permafrost_worker::{
    PROGRAM_VERSION,
    id::TrialId,
    protocol::{
        Finish, FinishReply, LEASE_POLL_MS, LeaseReply, LeaseRequest, Outcome, PROTOCOL_VERSION, Register, Registered,
        Report, ReportReply, Verdict,
    },
    task::Kind,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    api::{Control, Controlled, Submit, Submitted},
    effects::{Plan, changes, end_of, leases_of},
    message::{ApiError, Message, Reply},
    server::CoordinatorError,
    settings::Timing,
};
use crate::{
    core::{Core, CoreError, Effect, Event, Limits},
    launcher::Exit,
    store::{Change, Commit, Reader, Store, StoreError},
};

/// A coordinator that was just started waits so long for its first plan.
const FIRST_PLAN: Duration = Duration::from_secs(20);

/// Why the actor stopped.
#[derive(Debug)]
pub(super) enum Farewell {
    /// Nothing is left to do.
    Quiet,
    /// A user asked for it, and nothing runs any more.
    Drained,
    /// The database cannot be written.
    StoreFailed(StoreError),
    /// The core contradicts itself.
    CoreFailed(CoreError),
    /// No worker is left that could run what is left.
    NoWorkers(String),
}

/// A lease request that waits for work.
struct Parked {
    capacity: BTreeMap<Kind, usize>,
    reply: Reply<LeaseReply>,
    until: Instant,
}

pub(super) struct Actor {
    core: Core,
    store: Store,
    reader: Reader,
    home: PathBuf,
    timing: Timing,
    /// The core's clock starts here.
    origin: Instant,
    outbox: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    /// Workers that are there, by the process id they had on this machine.
    workers: BTreeMap<Uuid, u32>,
    parked: BTreeMap<Uuid, Parked>,
    given_up: Vec<String>,
    /// Since when there is nothing to do.
    quiet_since: Option<Instant>,
    had_plan: bool,
}

impl Actor {
    /// Opens the database and takes up what an earlier coordinator left.
    pub(super) async fn restore(
        home: &Path,
        timing: Timing,
        outbox: mpsc::Sender<Message>,
        inbox: mpsc::Receiver<Message>,
    ) -> Result<Self, CoordinatorError> {
        let database = home.join("results.sqlite");
        let store = Store::open(&database).await?;
        let started = Instant::now();
        let trials = store.restore().await?;
        let count = trials.len();
        let limits = Limits { lease_ttl_ms: millis(timing.lease_ttl), ..Limits::default() };
        let (core, effects) = Core::restore(limits, 0, trials)?;
        let reader = Reader::open(&database).await?;
        let had_plan = !core.is_quiet();
        let actor = Self {
            core,
            store,
            reader,
            home: home.to_owned(),
            timing,
            origin: Instant::now(),
            outbox,
            inbox,
            workers: BTreeMap::new(),
            parked: BTreeMap::new(),
            given_up: Vec::new(),
            quiet_since: None,
            had_plan,
        };
        let mut all = vec![Change::all_workers_ended()];
        all.extend(changes(&effects, &Plan::Restart));
        actor.store.apply(all).await?;
        info!(trials = count, ms = millis(started.elapsed()), "restored");
        Ok(actor)
    }

    /// Serves until there is a reason to leave.
    pub(super) async fn run(mut self, devices: usize) -> Farewell {
        let farewell = loop {
            let wake = self.next_wake();
            let message = tokio::select! {
                message = self.inbox.recv() => message,
                () = tokio::time::sleep_until(wake.into()) => None,
            };
            let result = match message {
                Some(Message::CommitFailed(error)) => break Farewell::StoreFailed(error),
                Some(message) => self.on_message(message),
                None => self.handle(Event::Tick).map(|effects| self.record(&effects, &Plan::Plain)),
            };
            if let Err(error) = result.and_then(|()| self.serve_parked()) {
                break Farewell::CoreFailed(error);
            }
            if let Some(farewell) = self.farewell(devices) {
                break farewell;
            }
        };
        for (_, parked) in std::mem::take(&mut self.parked) {
            parked.reply.send(Ok(LeaseReply::Leave)).ok();
        }
        match self.store.close().await {
            Err(error) if !matches!(farewell, Farewell::StoreFailed(_)) => Farewell::StoreFailed(error),
            _ => farewell,
        }
    }
}
