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
        Attempt, Finish, FinishReply, LEASE_POLL_MS, Lease, LeaseReply, LeaseRequest, PROTOCOL_VERSION, Register,
        Registered, Report, ReportReply, Samples, SamplesReply, Stop, Verdict,
    },
    task::Kind,
};
use tokio::sync::mpsc;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    api::{Control, Controlled, Submit, Submitted},
    check,
    effects::{by_our_clock, changes, end_of},
    message::{ApiError, Message, Reply},
    server::CoordinatorError,
    settings::Timing,
    submit,
};
use crate::{
    core::{Core, CoreError, Effect, Event, Limits, TrialState},
    launcher::Exit,
    store::{Change, Commit, DATABASE, NewWorker, Progress, Reader, Store, StoreError},
};

/// A coordinator that was just started waits so long for its first plan.
const FIRST_PLAN: Duration = Duration::from_secs(20);
/// It looks around at least this often.
const MAX_SLEEP: Duration = Duration::from_secs(1);
/// Why attempts are lost, when no other reason is known.
const NO_HEARTBEAT: &str = "its worker was not heard from for too long";

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
    /// Workers that are there, and the process id each has on its host.
    workers: BTreeMap<Uuid, (String, u32)>,
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
        let started = Instant::now();
        let database = home.join(DATABASE);
        let mut store = Store::open(&database).await?;
        let trials = store.restore();
        let count = trials.len();
        let limits = Limits { lease_ttl_ms: timing.lease_ttl.as_millis() as u64, ..Limits::default() };
        let (core, effects) = Core::restore(limits, 0, trials)?;
        let mut first = vec![Change::WorkerEnded(None)];
        first.extend(changes(&effects, &[], "its coordinator ended before it"));
        store.apply(first).await?;
        let reader = Reader::open(&database).await?;
        info!(trials = count, ms = started.elapsed().as_millis() as u64, "restored");
        Ok(Self {
            had_plan: !core.is_quiet(),
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
        })
    }

    /// Serves until there is a reason to leave. `devices`: local devices that were given a worker.
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
                None => self.tick(),
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
        let left = self.workers.keys().map(|worker| Change::WorkerEnded(Some(*worker))).collect();
        let recorded = self.store.apply(left).await.map(drop);
        match recorded.and(self.store.close().await) {
            Err(error) if !matches!(farewell, Farewell::StoreFailed(_)) => Farewell::StoreFailed(error),
            _ => farewell,
        }
    }

    fn handle(&mut self, event: Event) -> Result<Vec<Effect>, CoreError> {
        self.core.handle(self.origin.elapsed().as_millis() as u64, event)
    }

    fn next_wake(&self) -> Instant {
        let core = self.core.next_deadline_ms().map(|at| self.origin + Duration::from_millis(at));
        let parked = self.parked.values().map(|parked| parked.until).min();
        let leave = self.quiet_since.map(|since| since + self.patience());
        let latest = Instant::now() + MAX_SLEEP;
        [core, parked, leave].into_iter().flatten().fold(latest, Instant::min)
    }

    fn patience(&self) -> Duration {
        if self.had_plan { self.timing.linger } else { FIRST_PLAN.max(self.timing.linger) }
    }

    fn farewell(&mut self, devices: usize) -> Option<Farewell> {
        if self.core.is_draining() && self.core.running() == 0 {
            return Some(Farewell::Drained);
        }
        if !self.core.is_quiet() {
            self.quiet_since = None;
            let nobody = devices > 0 && self.given_up.len() == devices && self.workers.is_empty();
            return nobody.then(|| Farewell::NoWorkers(self.given_up.join("; ")));
        }
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        (since.elapsed() >= self.patience()).then_some(Farewell::Quiet)
    }

    /// Handles one message. Refusals go to whoever asked; an error here is the core's own.
    fn on_message(&mut self, message: Message) -> Result<(), CoreError> {
        match message {
            Message::Register(body, reply) => return self.register(body, reply),
            Message::Lease(body, reply) => self.park(body, reply),
            Message::Report(body, reply) => return self.report(body, reply),
            Message::Finish(body, reply) => return self.finish(body, reply),
            Message::Samples(body, reply) => self.samples(body, reply),
            Message::Submit(body, reply) => self.submit(body, reply),
            Message::Control(body, reply) => self.control(body, reply),
            Message::WorkerExit(exit) => return self.worker_exit(exit),
            Message::CommitFailed(error) => error!(%error, "a commit failed"),
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), CoreError> {
        let effects = self.handle(Event::Tick)?;
        self.record(changes(&effects, &[], NO_HEARTBEAT));
        Ok(())
    }

    /// Writes changes that nobody waits for.
    fn record(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            let commit = self.store.enqueue(changes);
            let outbox = self.outbox.clone();
            tokio::spawn(watch(commit, outbox));
        }
    }

    /// Writes changes, and answers once they are on disk.
    fn answer<T: Send + 'static>(&mut self, changes: Vec<Change>, reply: Reply<T>, answer: T) {
        let commit = self.store.enqueue(changes);
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let answer = watch(commit, outbox).await.map(|_| answer).map_err(ApiError::from);
            reply.send(answer).ok();
        });
    }

    fn register(&mut self, body: Register, reply: Reply<Registered>) -> Result<(), CoreError> {
        if body.protocol != PROTOCOL_VERSION || body.program != PROGRAM_VERSION {
            warn!(program = body.program, host = body.host, "a worker of another version was refused");
            let refusal = ApiError::OtherVersion { program: body.program, protocol: body.protocol };
            reply.send(Err(refusal)).ok();
            return Ok(());
        }
        if let Err(error) = check::register(&body) {
            reply.send(Err(error)).ok();
            return Ok(());
        }
        let effects = self.handle(Event::Register { worker: body.worker })?;
        let mut all = changes(&effects, &[], NO_HEARTBEAT);
        info!(worker = %body.worker, host = body.host, device = body.device.name, "a worker registered");
        self.workers.insert(body.worker, (body.host.clone(), body.pid));
        let Register { worker, host, pid, program, device, .. } = body;
        all.push(Change::Worker(NewWorker { worker, host, pid, program, device }));
        let registered = Registered {
            lease_ttl_ms: self.timing.lease_ttl.as_millis() as u64,
            heartbeat_ms: self.timing.heartbeat.as_millis() as u64,
            checkpoint_ms: self.timing.checkpoint.as_millis() as u64,
            home: self.home.clone(),
        };
        self.answer(all, reply, registered);
        Ok(())
    }

    fn known(&self, worker: Uuid) -> Result<(), ApiError> {
        if self.workers.contains_key(&worker) { Ok(()) } else { Err(ApiError::UnknownWorker(worker)) }
    }

    fn park(&mut self, body: LeaseRequest, reply: Reply<LeaseReply>) {
        if let Err(error) = self.known(body.worker) {
            reply.send(Err(error)).ok();
            return;
        }
        let until = Instant::now() + Duration::from_millis(LEASE_POLL_MS);
        self.parked.insert(body.worker, Parked { capacity: body.capacity, reply, until });
    }

    /// Offers what is ready to those that wait.
    fn serve_parked(&mut self) -> Result<(), CoreError> {
        // A worker that hung up must not be granted anything.
        self.parked.retain(|_, parked| !parked.reply.is_closed());
        let waiting: Vec<Uuid> = self.parked.keys().copied().collect();
        for worker in waiting {
            let parked = &self.parked[&worker];
            let late = Instant::now() >= parked.until;
            if !late && !self.core.has_ready() && !self.core.is_draining() {
                continue;
            }
            let capacity = parked.capacity.clone();
            let effects = self.handle(Event::Lease { worker, capacity })?;
            let all = changes(&effects, &[], NO_HEARTBEAT);
            let answer = effects.iter().find_map(|effect| match effect {
                Effect::Grant { leases, .. } => Some(Some(leases.clone())),
                Effect::Leave { .. } => Some(None),
                _ => None,
            });
            match answer {
                None if !late => self.record(all),
                answer => {
                    let Some(parked) = self.parked.remove(&worker) else { continue };
                    match answer {
                        Some(Some(leases)) => self.grant(all, leases, parked.reply),
                        Some(None) => self.answer(all, parked.reply, LeaseReply::Leave),
                        None => self.answer(all, parked.reply, LeaseReply::Idle),
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands out an array once the grant is on disk; what its inputs left is on disk by then, too.
    fn grant(&mut self, changes: Vec<Change>, leases: Vec<(TrialId, Attempt)>, reply: Reply<LeaseReply>) {
        let commit = self.store.enqueue(changes);
        let (outbox, reader) = (self.outbox.clone(), self.reader.clone());
        tokio::spawn(async move {
            let array = async {
                watch(commit, outbox.clone()).await?;
                let trials: Vec<_> = leases.iter().map(|&(trial, _)| trial).collect();
                let payloads = reader.payloads(&trials).await;
                if let Err(error) = &payloads {
                    outbox.send(Message::CommitFailed(error.clone())).await.ok();
                }
                let array = payloads?.into_iter().zip(leases).map(|(payload, (trial, attempt))| Lease {
                    trial,
                    attempt,
                    task: payload.task,
                    inputs: payload.inputs,
                    checkpoints: payload.checkpoints,
                });
                Ok(LeaseReply::Array(array.collect()))
            };
            reply.send(array.await).ok();
        });
    }

    fn report(&mut self, body: Report, reply: Reply<ReportReply>) -> Result<(), CoreError> {
        if let Err(error) = self.known(body.worker).and_then(|()| check::report(&body)) {
            reply.send(Err(error)).ok();
            return Ok(());
        }
        let members = body.members.iter().map(|member| (member.trial, member.attempt)).collect();
        let effects = self.handle(Event::Heartbeat { worker: body.worker, members })?;
        let mut all = changes(&effects, &[], NO_HEARTBEAT);
        let stop: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Stop { trial, why, .. } => Some((*trial, *why)),
                _ => None,
            })
            .collect();
        all.push(Change::WorkerSeen(body.worker));
        let mut progress = Vec::new();
        for member in body.members {
            let (trial, attempt) = (member.trial, member.attempt);
            let lost = stop.iter().any(|(stopped, why)| *stopped == trial && *why != Stop::Drain);
            if lost {
                continue;
            }
            progress.push(Progress {
                trial,
                attempt,
                done: member.done,
                total: member.total,
                resumed_step: member.resumed_step,
            });
            if !member.points.is_empty() {
                all.push(Change::Points { trial, attempt, points: member.points });
            }
            if let Some(checkpoint) = member.checkpoint {
                all.push(Change::Checkpoint { trial, attempt, checkpoint });
            }
        }
        all.push(Change::Progress(progress));
        self.answer(all, reply, ReportReply { stop });
        Ok(())
    }

    fn finish(&mut self, body: Finish, reply: Reply<FinishReply>) -> Result<(), CoreError> {
        if let Err(error) = self.known(body.worker).and_then(|()| check::finish(&body)) {
            reply.send(Err(error)).ok();
            return Ok(());
        }
        let mut effects = Vec::new();
        for member in &body.members {
            let (trial, attempt, end) = (member.trial, member.attempt, end_of(&member.outcome));
            effects.extend(self.handle(Event::Finish { worker: body.worker, trial, attempt, end })?);
        }
        let verdicts = effects.iter().filter_map(|effect| match effect {
            Effect::Accepted { .. } => Some(Verdict::Accepted),
            Effect::Refused { trial, attempt, why } => {
                warn!(?trial, attempt, why = why.text(), "a result was refused");
                Some(Verdict::Refused)
            }
            _ => None,
        });
        let members = verdicts.collect();
        let mut all = changes(&effects, &body.members, NO_HEARTBEAT);
        all.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Refused { trial, why, .. } => {
                Some(Change::Event { kind: "finish-refused", trial: Some(*trial), detail: why.text().to_owned() })
            }
            Effect::State { trial, from: TrialState::Done, .. } => {
                let detail = "a file that it left is damaged".to_owned();
                Some(Change::Event { kind: "made-again", trial: Some(*trial), detail })
            }
            _ => None,
        }));
        self.answer(all, reply, FinishReply { members });
        Ok(())
    }

    fn samples(&mut self, body: Samples, reply: Reply<SamplesReply>) {
        if let Err(error) = self.known(body.worker).and_then(|()| check::samples(&body)) {
            reply.send(Err(error)).ok();
            return;
        }
        let recorded = body.samples.len();
        let all = vec![Change::WorkerSeen(body.worker), Change::Samples(by_our_clock(body))];
        self.answer(all, reply, SamplesReply { recorded });
    }

    fn submit(&mut self, mut body: Submit, reply: Reply<Submitted>) {
        let retry = std::mem::take(&mut body.retry);
        let prepared = submit::prepare(body).and_then(|(sweep, trials)| {
            let mut effects = self.handle(Event::Submit(trials))?;
            // Only now: a plan that is refused ends no drain.
            if self.core.is_draining() {
                effects.extend(self.handle(Event::Undrain)?);
            }
            if !retry.is_empty() {
                effects.extend(self.handle(Event::Retry(retry))?);
            }
            Ok((sweep, effects))
        });
        let (sweep, effects) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                reply.send(Err(error)).ok();
                return;
            }
        };
        self.had_plan = true;
        let total = sweep.trials.len();
        let mut all = vec![Change::Submit(sweep)];
        all.extend(changes(&effects, &[], NO_HEARTBEAT));
        let commit = self.store.enqueue(all);
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let submitted = watch(commit, outbox).await.map(|recorded| {
                let new = recorded.new_trials;
                Submitted { known: total - new, new }
            });
            reply.send(submitted.map_err(ApiError::from)).ok();
        });
    }

    fn control(&mut self, body: Control, reply: Reply<Controlled>) {
        let mut all = Vec::new();
        let mut changed = Vec::new();
        if !matches!(body, Control::Ping) {
            let (event, kind) = submit::control(body);
            info!(kind, "a user's command");
            match self.handle(event) {
                Ok(effects) => {
                    all = changes(&effects, &[], NO_HEARTBEAT);
                    changed = submit::changed(&effects);
                    all.push(submit::told(kind, &changed));
                }
                Err(error) => {
                    reply.send(Err(error.into())).ok();
                    return;
                }
            }
        }
        self.answer(all, reply, Controlled { changed });
    }

    fn worker_exit(&mut self, exit: Exit) -> Result<(), CoreError> {
        match exit {
            Exit::Process { pid, status } => {
                let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let found = self.workers.iter().find(|(_, (host, known))| *known == pid && *host == here);
                let Some((&worker, _)) = found else { return Ok(()) };
                self.workers.remove(&worker);
                self.parked.remove(&worker);
                let effects = self.handle(Event::WorkerGone { worker })?;
                let mut all = changes(&effects, &[], &format!("its worker ended: {status}"));
                all.push(Change::WorkerEnded(Some(worker)));
                self.record(all);
            }
            Exit::GivenUp { device, reason } => {
                error!(device, reason, "a device was given up");
                let detail = format!("{device}: {reason}");
                self.record(vec![Change::Event { kind: "device-given-up", trial: None, detail: detail.clone() }]);
                self.given_up.push(detail);
            }
        }
        Ok(())
    }
}

/// Waits for a commit. One that fails ends the coordinator: its memory is ahead of the disk.
async fn watch(commit: Commit, outbox: mpsc::Sender<Message>) -> Result<crate::store::Recorded, StoreError> {
    let recorded = commit.await;
    match &recorded {
        Ok(recorded) if !recorded.refused.is_empty() => {
            error!(refused = ?recorded.refused, "the database refused what the scheduler had decided");
        }
        Ok(_) => {}
        Err(error) => {
            outbox.send(Message::CommitFailed(error.clone())).await.ok();
        }
    }
    recorded
}
