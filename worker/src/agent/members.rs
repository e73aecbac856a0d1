//! What the threads of an array leave for the reporting task, and what it leaves for them.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use crate::{
    execute::Reporter,
    files,
    id::TrialId,
    protocol::{
        Artifact, Checkpoint, Lease, MAX_POINTS_A_REPORT, MemberFinish, MemberReport, Outcome, Point, Report, Stop,
    },
};

/// A thread that reports faster than the coordinator records waits once so many points are pending.
const MAX_PENDING_POINTS: usize = 4 * MAX_POINTS_A_REPORT;
/// Bytes an attempt's own log may have.
const MAX_LOG_BYTES: u64 = 4 << 20;
/// Checkpoint files that are kept.
const KEPT_CHECKPOINTS: usize = 2;

/// The members of one array.
pub(super) struct Members {
    home: std::path::PathBuf,
    index: HashMap<TrialId, usize>,
    state: Mutex<Vec<Member>>,
    /// A point was taken: a thread that waited may go on.
    drained: Condvar,
    /// Something the reporting task should look at before its next heartbeat.
    news: Notify,
}

/// A log and its size; none: it cannot be written.
type Log = Option<(File, u64)>;

struct Member {
    lease: Lease,
    done: u64,
    total: u64,
    points: Vec<Point>,
    /// A checkpoint, and how many of the pending points it covers.
    checkpoint: Option<(Checkpoint, usize)>,
    /// Checkpoint files that the coordinator knows of, oldest first.
    known: Vec<Artifact>,
    /// Step of the checkpoint it went on from, until that is told.
    resumed: Option<u64>,
    stop: Option<Stop>,
    outcome: Option<Outcome>,
    /// The outcome was handed over; nothing of this member is reported any more.
    finished: bool,
    /// The attempt's own log: made with its first line, because most short trials have nothing to say.
    log: Option<Log>,
}

impl Members {
    pub(super) fn new(home: &Path, leases: &[Lease]) -> Self {
        let members = leases.iter().map(|lease| Member {
            lease: lease.clone(),
            done: 0,
            total: 0,
            points: Vec::new(),
            checkpoint: None,
            known: lease.checkpoints.iter().rev().map(|checkpoint| checkpoint.file.clone()).collect(),
            resumed: None,
            stop: None,
            outcome: None,
            finished: false,
            log: None,
        });
        Self {
            home: home.to_owned(),
            index: leases.iter().enumerate().map(|(i, lease)| (lease.trial, i)).collect(),
            state: Mutex::new(members.collect()),
            drained: Condvar::new(),
            news: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Member>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for news, until `deadline` at most.
    pub(super) async fn changed(&self, deadline: Instant) {
        // A time-out is as good as news: the caller looks at everything anyway.
        tokio::time::timeout_at(deadline.into(), self.news.notified()).await.ok();
    }

    /// Whether so many points are pending that they should be sent before the next heartbeat.
    pub(super) fn wants_flush(&self) -> bool {
        self.lock().iter().any(|member| member.points.len() >= MAX_POINTS_A_REPORT)
    }

    /// One report a member that still runs: a heartbeat, with up to [`MAX_POINTS_A_REPORT`] points in all.
    pub(super) fn take_reports(&self) -> Vec<MemberReport> {
        let mut room = MAX_POINTS_A_REPORT;
        let mut members = self.lock();
        let reports: Vec<_> = members
            .iter_mut()
            .filter(|member| !member.finished)
            .map(|member| {
                let report = member.report(room);
                room -= report.points.len();
                report
            })
            .collect();
        drop(members);
        self.drained.notify_all();
        reports
    }

    /// A report of a member that has ended, as long as it has more to say than fits beside its outcome.
    pub(super) fn take_backlog(&self) -> Option<MemberReport> {
        let mut members = self.lock();
        let member = members.iter_mut().find(|member| {
            let listened_to = !matches!(member.stop, Some(Stop::Lost | Stop::Cancelled));
            listened_to
                && member.outcome.is_some()
                && (member.checkpoint.is_some()
                    || member.resumed.is_some()
                    || member.points.len() > MAX_POINTS_A_REPORT)
        })?;
        Some(member.report(MAX_POINTS_A_REPORT))
    }

    /// Outcomes that were not handed over yet, each with its last points; at most [`MAX_POINTS_A_REPORT`] points in all.
    pub(super) fn take_finished(&self) -> Vec<MemberFinish> {
        let mut finished = Vec::new();
        let mut room = MAX_POINTS_A_REPORT;
        for member in self.lock().iter_mut() {
            // The coordinator knows already that a lost or cancelled lease is over.
            let listened_to = !matches!(member.stop, Some(Stop::Lost | Stop::Cancelled));
            if listened_to && member.points.len() > room {
                continue;
            }
            let Some(outcome) = member.outcome.take() else { continue };
            member.finished = true;
            member.checkpoint = None;
            let points = std::mem::take(&mut member.points);
            if listened_to {
                room -= points.len();
                finished.push(MemberFinish {
                    trial: member.lease.trial,
                    attempt: member.lease.attempt,
                    outcome,
                    points,
                });
            }
        }
        finished
    }

    pub(super) fn all_finished(&self) -> bool {
        self.lock().iter().all(|member| member.finished)
    }

    /// Members whose outcome was not handed over yet.
    pub(super) fn running(&self) -> usize {
        self.lock().iter().filter(|member| !member.finished).count()
    }

    /// Remembers the checkpoints that the coordinator now knows, and removes those it has forgotten.
    pub(super) fn acknowledge(&self, report: &Report) {
        let mut members = self.lock();
        for reported in &report.members {
            let Some(checkpoint) = &reported.checkpoint else { continue };
            let known = &mut members[self.index[&reported.trial]].known;
            known.retain(|file| file.path != checkpoint.file.path);
            known.push(checkpoint.file.clone());
            while known.len() > KEPT_CHECKPOINTS {
                remove(&self.home, &known.remove(0));
            }
        }
    }

    /// An outcome was accepted. With a final one, the trial's checkpoints are of no more use.
    pub(super) fn accepted(&self, finish: &MemberFinish) {
        if matches!(finish.outcome, Outcome::Done { .. } | Outcome::Diverged { .. }) {
            let mut members = self.lock();
            for file in members[self.index[&finish.trial]].known.drain(..) {
                remove(&self.home, &file);
            }
        }
    }

    pub(super) fn stop_member(&self, trial: TrialId, why: Stop) {
        if let Some(&index) = self.index.get(&trial) {
            let mut members = self.lock();
            let stop = &mut members[index].stop;
            // A drain may turn into a loss, never the other way.
            if !matches!(stop, Some(Stop::Lost | Stop::Cancelled)) {
                *stop = Some(why);
            }
        }
        self.drained.notify_all();
    }

    /// Makes every thread stop: the coordinator is gone.
    pub(super) fn stop_all(&self) {
        for trial in self.index.keys() {
            self.stop_member(*trial, Stop::Lost);
        }
    }
}

impl Member {
    /// A report with at most `room` of the pending points. The checkpoint waits for the points that it covers.
    fn report(&mut self, room: usize) -> MemberReport {
        let take = self.points.len().min(room);
        let points: Vec<_> = self.points.drain(..take).collect();
        let checkpoint = match &mut self.checkpoint {
            Some((_, covers)) if *covers > take => {
                *covers -= take;
                None
            }
            held => held.take().map(|(checkpoint, _)| checkpoint),
        };
        MemberReport {
            trial: self.lease.trial,
            attempt: self.lease.attempt,
            done: self.done,
            total: self.total,
            points,
            checkpoint,
            resumed_step: self.resumed.take(),
        }
    }
}

impl Reporter for Members {
    fn progress(&self, member: usize, done: u64, total: u64) {
        let mut members = self.lock();
        (members[member].done, members[member].total) = (done, total);
    }

    fn metric(&self, member: usize, name: &str, step: u64, value: f64) {
        let mut members = self.lock();
        while members[member].points.len() >= MAX_PENDING_POINTS && members[member].stop.is_none() {
            members = self.drained.wait(members).unwrap_or_else(PoisonError::into_inner);
        }
        let points = &mut members[member].points;
        points.push(Point { name: name.to_owned(), step, value });
        if points.len() == MAX_POINTS_A_REPORT {
            self.news.notify_one();
        }
    }

    fn resumed(&self, member: usize, step: u64) {
        self.lock()[member].resumed = Some(step);
    }

    fn checkpoint(&self, member: usize, checkpoint: Checkpoint) {
        let mut members = self.lock();
        let covers = members[member].points.len();
        // One that nobody heard of is superseded.
        if let Some((old, _)) = members[member].checkpoint.replace((checkpoint, covers)) {
            remove(&self.home, &old.file);
        }
    }

    fn log(&self, member: usize, message: &str) {
        let mut members = self.lock();
        let Member { log, lease, .. } = &mut members[member];
        if let Some((file, bytes)) = log.get_or_insert_with(|| open_log(&self.home, lease)) {
            let line = serde_json::json!({"at": jiff::Timestamp::now().to_string(), "message": message});
            let line = format!("{line}\n");
            *bytes += line.len() as u64;
            // A log that cannot be written must not end a trial.
            if *bytes < MAX_LOG_BYTES {
                file.write_all(line.as_bytes()).ok();
            }
        }
    }

    fn stop(&self, member: usize) -> Option<Stop> {
        self.lock()[member].stop
    }

    fn finish(&self, member: usize, outcome: Outcome) {
        let mut members = self.lock();
        if let Outcome::Preempted { checkpoint: Some(checkpoint) } = &outcome {
            members[member].known.push(checkpoint.file.clone());
        }
        members[member].outcome = Some(outcome);
        drop(members);
        self.news.notify_one();
    }
}

fn open_log(home: &Path, lease: &Lease) -> Log {
    let path = files::attempt_log(home, lease.trial, lease.attempt);
    std::fs::create_dir_all(path.parent()?).ok()?;
    let file = File::options().create(true).append(true).open(path).ok()?;
    let bytes = file.metadata().ok()?.len();
    Some((file, bytes))
}

/// Removes a checkpoint that is of no more use. One that stays only takes room.
fn remove(home: &Path, file: &Artifact) {
    std::fs::remove_file(home.join(&file.path)).ok();
}
