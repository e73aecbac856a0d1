//! The worker's loop: ask for a lease, run it, report. One array at a time, one device a process.

mod client;
mod members;
mod samples;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};
use uuid::Uuid;

pub use self::client::{AgentError, Client, Endpoint};
use self::{members::Members, samples::Monitor};
use crate::{
    PROGRAM_VERSION,
    device::Device,
    execute::{Job, execute},
    protocol::{Finish, Lease, LeaseReply, LeaseRequest, PROTOCOL_VERSION, Register, Registered, Report, Verdict},
};

/// What a worker process is started with.
pub struct Options {
    /// The home folder, with `coordinator.json` and `token`.
    pub home: PathBuf,
    /// The device to drive.
    pub device: Device,
    /// Wheels a user put there by hand.
    pub wheel_dir: Option<PathBuf>,
    /// How often the device is sampled; zero: never.
    pub sample: Duration,
}

/// Runs until the coordinator says to leave.
///
/// # Errors
/// [`AgentError`] when the coordinator refuses this worker or stays out of reach; work since the last checkpoint is then
/// done again by another worker.
pub async fn run(options: Options) -> Result<(), AgentError> {
    let endpoint = Endpoint::read(&options.home)?;
    let client = Client::new(endpoint);
    let worker = Uuid::new_v4();
    let registered = client.register(&introduction(worker, &options.device)).await?;
    info!(%worker, device = options.device.info().name, "registered");
    let monitor = Monitor::start(&options.device, options.sample, &client, worker);
    let agent = Agent { client, worker, registered, options, monitor };
    let capacity = agent.options.device.capacity();
    loop {
        let request = LeaseRequest { worker, capacity: capacity.clone() };
        match agent.lease(&request).await? {
            LeaseReply::Array(leases) => agent.run_array(leases).await?,
            LeaseReply::Idle => {}
            LeaseReply::Leave => {
                info!("leaving");
                return Ok(());
            }
        }
    }
}

fn introduction(worker: Uuid, device: &Device) -> Register {
    Register {
        protocol: PROTOCOL_VERSION,
        program: PROGRAM_VERSION.to_owned(),
        worker,
        host: host_name(),
        pid: std::process::id(),
        device: device.info(),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

struct Agent {
    client: Client,
    worker: Uuid,
    registered: Registered,
    options: Options,
    monitor: Monitor,
}

impl Agent {
    /// Asks for work. A coordinator that has left, or is about to, has none: that is no failure.
    async fn lease(&self, request: &LeaseRequest) -> Result<LeaseReply, AgentError> {
        match self.client.lease(request, || !self.coordinator_has_left()).await {
            Err(AgentError::Refused { status: 503, .. }) => Ok(LeaseReply::Leave),
            Err(AgentError::Unreachable { .. }) if self.coordinator_has_left() => Ok(LeaseReply::Leave),
            other => other,
        }
    }

    /// Whether the coordinator of this worker has left in good order: it takes back its address.
    fn coordinator_has_left(&self) -> bool {
        let ours = self.client.endpoint().instance;
        Endpoint::read(&self.options.home).map_or(true, |endpoint| endpoint.instance != ours)
    }

    /// Runs one array to the end of its last member.
    async fn run_array(&self, leases: Vec<Lease>) -> Result<(), AgentError> {
        info!(members = leases.len(), kind = leases[0].task.kind().name(), "leased");
        let home: &Path = &self.registered.home;
        let members = Arc::new(Members::new(home, &leases));
        self.monitor.runs(leases.len());
        let job = Job {
            leases,
            home: home.to_owned(),
            wheel_dir: self.options.wheel_dir.clone(),
            checkpoint_ms: self.registered.checkpoint_ms,
        };
        let device = self.options.device.clone();
        let shared = Arc::clone(&members);
        let running = tokio::task::spawn_blocking(move || execute(&device, &job, &*shared));
        let result = self.report_until_finished(&members).await;
        if result.is_err() {
            // Nobody will take these results: let the threads go.
            members.stop_all();
        }
        if let Err(panic) = running.await {
            warn!(%panic, "the executor panicked");
        }
        self.monitor.runs(0);
        result
    }

    /// Sends heartbeats and outcomes until every member's outcome is answered.
    async fn report_until_finished(&self, members: &Members) -> Result<(), AgentError> {
        let heartbeat = Duration::from_millis(self.registered.heartbeat_ms);
        let mut next = Instant::now() + heartbeat;
        loop {
            // Who pends more than a report holds may be waiting for room, and will not tell again.
            if !members.wants_flush() {
                members.changed(next).await;
            }
            self.hand_in(members).await?;
            self.monitor.runs(members.running());
            if members.all_finished() {
                return Ok(());
            }
            if Instant::now() >= next || members.wants_flush() {
                let reports = members.take_reports();
                if !reports.is_empty() {
                    self.report(members, reports).await?;
                }
                next = Instant::now() + heartbeat;
            }
        }
    }

    /// Hands in the outcomes that are there, in requests of bounded size.
    async fn hand_in(&self, members: &Members) -> Result<(), AgentError> {
        loop {
            // What does not fit beside the outcome must be there before it.
            while let Some(report) = members.take_backlog() {
                self.report(members, vec![report]).await?;
            }
            let finish = Finish { worker: self.worker, members: members.take_finished() };
            if finish.members.is_empty() {
                return Ok(());
            }
            let reply = self.client.finish(&finish).await?;
            for (finish, verdict) in finish.members.iter().zip(reply.members) {
                match verdict {
                    Verdict::Accepted => members.accepted(finish),
                    Verdict::Refused => {
                        warn!(trial = ?finish.trial, attempt = finish.attempt, "the lease was lost: result not accepted");
                    }
                }
            }
        }
    }

    async fn report(&self, members: &Members, reports: Vec<crate::protocol::MemberReport>) -> Result<(), AgentError> {
        let report = Report { worker: self.worker, members: reports };
        let reply = self.client.report(&report).await?;
        members.acknowledge(&report);
        for (trial, why) in reply.stop {
            members.stop_member(trial, why);
        }
        Ok(())
    }
}
