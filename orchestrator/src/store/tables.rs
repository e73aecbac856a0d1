//! One statement, or a few, for each kind of change, however many rows it has.
//!
//! Rows without floating-point numbers travel as one JSON parameter that SQLite takes apart (`json_each`): one prepared
//! statement serves any number of rows. Numbers are bound instead, many rows a statement: text would not keep every bit.
//!
//! The `+` before a state keeps SQLite from its index: it would look for the parameter's rows beside every trial of that state
//! instead of looking up the trials of the parameter.

use std::collections::{HashMap, HashSet, VecDeque};

use jiff::Timestamp;
use permafrost_worker::{
    execute::side_by_side,
    id::TrialId,
    protocol::{Attempt, Checkpoint, DeviceInfo},
    task::Task,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use super::{
    change::{Change, EndedAttempt, NewWorker, Progress, Recorded, Refused, ResultRows, StateChange},
    devices::{self, Devices},
    metrics::Reported,
    submit,
    trials::read_restored,
    usage::Ledger,
    writer::Failed,
};
use crate::core::Restored;

/// Rows of results a statement. SQLite allows 32,766 parameters.
const RESULT_ROWS: usize = 1_000;
/// Events that are kept.
const MAX_EVENTS: i64 = 100_000;
/// Events are trimmed when so many were added.
const TRIM_AFTER: i64 = 1_000;
/// Checkpoints of a trial that are kept.
const KEPT_CHECKPOINTS: i64 = 2;

/// A worker that has registered.
struct Known {
    row: i64,
    device: DeviceInfo,
}

/// Now, in milliseconds since 1970 UTC.
pub(super) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// What the writer remembers of the tables, so that it need not ask.
pub(super) struct Tables {
    pub(super) rows: HashMap<TrialId, i64>,
    pub(super) metrics: HashMap<String, i64>,
    workers: HashMap<Uuid, Known>,
    pub(super) devices: Devices,
    pub(super) ledger: Ledger,
    pub(super) events: i64,
}

impl Tables {
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<(Self, Vec<Restored>), Failed> {
        let (rows, restored) = read_restored(connection).await?;
        let metrics: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, metric FROM metric_names").fetch_all(&mut *connection).await?;
        devices::trim(connection, None).await?;
        let tables = Self {
            rows,
            metrics: metrics.into_iter().collect(),
            workers: HashMap::new(),
            devices: Devices::default(),
            ledger: Ledger::default(),
            events: TRIM_AFTER,
        };
        Ok((tables, restored))
    }

    /// Makes all of `changes`, in this order.
    pub(super) async fn write(
        &mut self,
        db: &mut SqliteConnection,
        changes: Vec<Change>,
        recorded: &mut Recorded,
    ) -> Result<(), Failed> {
        let mut changes = VecDeque::from(changes);
        loop {
            let reported = Reported::take(&mut changes);
            if !reported.is_empty() {
                self.points(db, reported, &mut recorded.refused).await?;
                continue;
            }
            match changes.pop_front() {
                Some(change) => self.write_one(db, change, recorded).await?,
                None => return Ok(()),
            }
        }
    }

    async fn write_one(
        &mut self,
        db: &mut SqliteConnection,
        change: Change,
        recorded: &mut Recorded,
    ) -> Result<(), Failed> {
        let refused = &mut recorded.refused;
        match change {
            Change::Submit(sweep) => recorded.new_trials += submit::write(self, db, sweep).await?,
            Change::Worker(worker) => self.worker(db, worker).await?,
            Change::WorkerSeen(worker) => self.worker_seen(db, worker).await?,
            Change::WorkerEnded(worker) => self.worker_ended(db, worker).await?,
            Change::Grant { worker, leases } => self.grant(db, worker, &leases, refused).await?,
            Change::Points { trial, attempt, points } => {
                self.points(db, vec![Reported { trial, attempt, points }], refused).await?;
            }
            Change::Progress(progress) => self.progress(db, &progress).await?,
            Change::Checkpoint { trial, attempt, checkpoint } => {
                self.checkpoint(db, trial, attempt, &checkpoint, refused).await?;
            }
            Change::Results(results) => self.results(db, results, refused).await?,
            Change::Ended(ended) => self.ended(db, &ended, refused).await?,
            Change::States(states) => self.states(db, &states, refused).await?,
            Change::Samples(news) => self.samples(db, news).await?,
            Change::Event { kind, trial, detail } => {
                self.event(db, kind, trial.and_then(|id| self.rows.get(&id).copied()), None, &detail).await?;
            }
        }
        Ok(())
    }

    pub(super) fn row(&self, id: TrialId) -> Result<i64, Failed> {
        self.rows.get(&id).copied().ok_or_else(|| Failed::Content(format!("trial {id} is not in the table `trials`")))
    }

    async fn worker(&mut self, db: &mut SqliteConnection, worker: NewWorker) -> Result<(), Failed> {
        let row: i64 = sqlx::query_scalar(
            "INSERT INTO workers (uuid, host, pid, program, device, model, threads, memory_bytes, registered, last_seen)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
             ON CONFLICT (uuid) DO UPDATE SET last_seen = excluded.last_seen, ended = NULL RETURNING worker",
        )
        .bind(worker.worker.to_string())
        .bind(&worker.host)
        .bind(worker.pid)
        .bind(worker.program)
        .bind(&worker.device.name)
        .bind(&worker.device.model)
        .bind(worker.device.threads as i64)
        .bind(worker.device.memory_bytes as i64)
        .bind(now_ms())
        .fetch_one(&mut *db)
        .await?;
        self.devices.introduced(worker.worker, row, worker.host, worker.device.name.clone());
        self.workers.insert(worker.worker, Known { row, device: worker.device });
        Ok(())
    }

    async fn worker_seen(&mut self, db: &mut SqliteConnection, worker: Uuid) -> Result<(), Failed> {
        if let Some(known) = self.workers.get(&worker) {
            sqlx::query("UPDATE workers SET last_seen = ? WHERE worker = ?")
                .bind(now_ms())
                .bind(known.row)
                .execute(db)
                .await?;
        }
        Ok(())
    }

    async fn worker_ended(&mut self, db: &mut SqliteConnection, worker: Option<Uuid>) -> Result<(), Failed> {
        let query = match worker {
            None => sqlx::query("UPDATE workers SET ended = last_seen WHERE ended IS NULL"),
            Some(worker) => sqlx::query("UPDATE workers SET ended = ?1 WHERE uuid = ?2 AND ended IS NULL")
                .bind(now_ms())
                .bind(worker.to_string()),
        };
        query.execute(&mut *db).await?;
        self.worker_left(db, worker).await
    }

    async fn grant(
        &mut self,
        db: &mut SqliteConnection,
        worker: Uuid,
        leases: &[(TrialId, Attempt)],
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        let Some(known) = self.workers.get(&worker) else {
            return Err(Failed::Content(format!("worker {worker} has not registered")));
        };
        let leases = self.pairs(leases.iter().copied())?;
        let now = now_ms();
        let granted: Vec<i64> = sqlx::query_scalar(
            "UPDATE trials SET state = 'running', attempts = attempts + 1, not_before = NULL, ended = NULL
             FROM json_each(?1) AS j
             WHERE trials.trial = j.value ->> 0 AND trials.attempts = (j.value ->> 1) - 1 AND +trials.state = 'ready'
             RETURNING trials.trial",
        )
        .bind(pairs_json(&leases))
        .fetch_all(&mut *db)
        .await?;
        let granted = note_refused(&leases, &granted, "grant", refused);
        let Some(first) = granted.first() else { return Ok(()) };
        let task: String =
            sqlx::query_scalar("SELECT task FROM trials WHERE trial = ?").bind(first.row).fetch_one(&mut *db).await?;
        let task: Task = serde_json::from_str(&task)
            .map_err(|error| Failed::Content(format!("the task of trial {} cannot be read: {error}", first.row)))?;
        let beside = side_by_side(&task, &known.device, granted.len());
        sqlx::query(
            "INSERT INTO attempts (trial, attempt, worker, array, members, state, started, begun, beside)
             SELECT value ->> 0, value ->> 1, ?2, ?3, ?4, 'running', ?5, CASE WHEN key < ?6 THEN ?5 END, ?6 FROM json_each(?1)",
        )
        .bind(pairs_json(&granted))
        .bind(known.row)
        .bind(Uuid::new_v4().to_string())
        .bind(granted.len() as i64)
        .bind(now)
        .bind(beside as i64)
        .execute(db)
        .await?;
        self.ledger.granted(worker, granted.iter().map(|lease| (lease.row, lease.attempt)), beside, now);
        Ok(())
    }

    async fn progress(&mut self, db: &mut SqliteConnection, progress: &[Progress]) -> Result<(), Failed> {
        let rows = progress
            .iter()
            .map(|p| Ok(json!([self.row(p.trial)?, p.attempt, p.done, p.total, p.resumed_step])))
            .collect::<Result<Vec<_>, Failed>>()?;
        // Progress of an attempt that is over is no news, and no refusal either.
        sqlx::query(
            "UPDATE attempts SET done_units = j.value ->> 2, total_units = j.value ->> 3,
                 resumed_step = coalesce(j.value ->> 4, resumed_step) FROM json_each(?1) AS j
             WHERE attempts.trial = j.value ->> 0 AND attempts.attempt = j.value ->> 1 AND +attempts.state = 'running'",
        )
        .bind(Value::Array(rows).to_string())
        .execute(db)
        .await?;
        Ok(())
    }

    async fn checkpoint(
        &mut self,
        db: &mut SqliteConnection,
        trial: TrialId,
        attempt: Attempt,
        checkpoint: &Checkpoint,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        let lease = self.pairs([(trial, attempt)])?;
        if running(db, &lease, "checkpoint", refused).await?.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO checkpoints (trial, step, attempt, path, bytes, blake3, created) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (trial, step) DO UPDATE SET attempt = excluded.attempt, path = excluded.path, bytes = excluded.bytes,
                 blake3 = excluded.blake3, created = excluded.created",
        )
        .bind(lease[0].row)
        .bind(checkpoint.step as i64)
        .bind(attempt)
        .bind(checkpoint.file.path.to_string_lossy().into_owned())
        .bind(checkpoint.file.bytes as i64)
        .bind(&checkpoint.file.blake3)
        .bind(now_ms())
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "DELETE FROM checkpoints WHERE trial = ?1 AND step NOT IN
                 (SELECT step FROM checkpoints WHERE trial = ?1 ORDER BY step DESC LIMIT ?2)",
        )
        .bind(lease[0].row)
        .bind(KEPT_CHECKPOINTS)
        .execute(db)
        .await?;
        Ok(())
    }

    async fn results(
        &mut self,
        db: &mut SqliteConnection,
        results: Vec<ResultRows>,
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        let leases = self.pairs(results.iter().map(|result| (result.trial, result.attempt)))?;
        let accepted = running(db, &leases, "results", refused).await?;
        let rows = json!(
            leases.iter().filter(|lease| accepted.contains(&lease.row)).map(|lease| lease.row).collect::<Vec<_>>()
        );
        // A trial that is made again replaces what it had; its checkpoints have done their duty.
        for sql in [
            "DELETE FROM results WHERE trial IN (SELECT value FROM json_each(?))",
            "DELETE FROM artifacts WHERE trial IN (SELECT value FROM json_each(?))",
            "DELETE FROM checkpoints WHERE trial IN (SELECT value FROM json_each(?))",
        ] {
            sqlx::query(sql).bind(rows.to_string()).execute(&mut *db).await?;
        }
        let mut values = Vec::new();
        let mut files = Vec::new();
        for (result, lease) in results.iter().zip(&leases) {
            if accepted.contains(&lease.row) {
                values.extend(result.summary.iter().map(|(name, value)| (lease.row, name, *value)));
                files.extend(
                    result.artifacts.iter().map(|a| {
                        json!([lease.row, a.name, lease.attempt, a.path.to_string_lossy(), a.bytes, a.blake3])
                    }),
                );
            }
        }
        for chunk in values.chunks(RESULT_ROWS) {
            let sql = format!("INSERT INTO results (trial, name, value) VALUES {}", rows_sql("(?,?,?)", chunk.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            for &(row, name, value) in chunk {
                query = query.bind(row).bind(name).bind(value);
            }
            query.execute(&mut *db).await?;
        }
        sqlx::query(
            "INSERT INTO artifacts (trial, name, attempt, path, bytes, blake3)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?)",
        )
        .bind(Value::Array(files).to_string())
        .execute(db)
        .await?;
        Ok(())
    }

    async fn ended(
        &mut self,
        db: &mut SqliteConnection,
        ended: &[EndedAttempt],
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        let leases = self.pairs(ended.iter().map(|end| (end.trial, end.attempt)))?;
        let now = now_ms();
        let rows: Vec<Value> = ended
            .iter()
            .zip(&leases)
            .map(|(end, lease)| json!([lease.row, end.attempt, end.state.name(), end.class, end.message, end.cure]))
            .collect();
        let done: Vec<i64> = sqlx::query_scalar(
            "UPDATE attempts SET state = j.value ->> 2, class = j.value ->> 3, message = j.value ->> 4, cure = j.value ->> 5,
                 ended = ?2, done_units = CASE j.value ->> 2 WHEN 'done' THEN total_units ELSE done_units END
             FROM json_each(?1) AS j
             WHERE attempts.trial = j.value ->> 0 AND attempts.attempt = j.value ->> 1 AND +attempts.state = 'running'
             RETURNING attempts.trial",
        )
        .bind(Value::Array(rows).to_string())
        .bind(now)
        .fetch_all(&mut *db)
        .await?;
        note_refused(&leases, &done, "end of attempt", refused);
        let (usage, begun) = self.ledger.ended(leases.iter().map(|lease| (lease.row, lease.attempt)), now);
        devices::write_usage(db, &usage).await?;
        if !begun.is_empty() {
            sqlx::query(
                "UPDATE attempts SET begun = ?2 FROM json_each(?1) AS j
                 WHERE attempts.trial = j.value ->> 0 AND attempts.attempt = j.value ->> 1",
            )
            .bind(json!(begun).to_string())
            .bind(now)
            .execute(&mut *db)
            .await?;
        }
        for (end, lease) in ended.iter().zip(&leases) {
            if let Some(message) = &end.message {
                let kind = format!("attempt-{}", end.state.name());
                self.event(db, &kind, Some(lease.row), Some(end.attempt), message).await?;
            }
        }
        Ok(())
    }

    async fn states(
        &mut self,
        db: &mut SqliteConnection,
        states: &[StateChange],
        refused: &mut Vec<Refused>,
    ) -> Result<(), Failed> {
        let now = now_ms();
        // The same trial may change twice in one call, and its order counts: each run of distinct trials is one update.
        let mut rest = states;
        while !rest.is_empty() {
            let mut seen = HashSet::new();
            let run = rest.iter().take_while(|change| seen.insert(change.trial)).count();
            let (batch, after) = rest.split_at(run);
            rest = after;
            let pairs = self.pairs(batch.iter().map(|change| (change.trial, 0)))?;
            let rows: Vec<Value> = batch
                .iter()
                .zip(&pairs)
                .map(|(change, lease)| {
                    let not_before = change.not_before_in_ms.map(|wait| now + wait as i64);
                    json!([lease.row, change.from.name(), change.to.name(), not_before])
                })
                .collect();
            let done: Vec<i64> = sqlx::query_scalar(
                "UPDATE trials SET state = j.value ->> 2, not_before = j.value ->> 3,
                     ended = CASE WHEN j.value ->> 2 IN ('waiting', 'ready', 'running') THEN NULL ELSE ?2 END
                 FROM json_each(?1) AS j
                 WHERE trials.trial = j.value ->> 0 AND +trials.state = j.value ->> 1 RETURNING trials.trial",
            )
            .bind(Value::Array(rows).to_string())
            .bind(now)
            .fetch_all(&mut *db)
            .await?;
            note_refused(&pairs, &done, "state", refused);
        }
        Ok(())
    }

    pub(super) async fn event(
        &mut self,
        db: &mut SqliteConnection,
        kind: &str,
        trial: Option<i64>,
        attempt: Option<Attempt>,
        detail: &str,
    ) -> Result<(), Failed> {
        self.events += 1;
        sqlx::query("INSERT INTO events (at, kind, trial, attempt, detail) VALUES (?, ?, ?, ?, ?)")
            .bind(now_ms())
            .bind(kind)
            .bind(trial)
            .bind(attempt)
            .bind(detail)
            .execute(db)
            .await?;
        Ok(())
    }

    pub(super) async fn record_refused(
        &mut self,
        db: &mut SqliteConnection,
        refused: &[Refused],
    ) -> Result<(), Failed> {
        for refusal in refused {
            let row = self.rows.get(&refusal.trial).copied();
            self.event(db, "refused", row, Some(refusal.attempt), refusal.what).await?;
        }
        Ok(())
    }

    pub(super) async fn trim_events(&mut self, db: &mut SqliteConnection) -> Result<(), Failed> {
        if self.events >= TRIM_AFTER {
            self.events = 0;
            sqlx::query("DELETE FROM events WHERE event <= (SELECT max(event) FROM events) - ?")
                .bind(MAX_EVENTS)
                .execute(db)
                .await?;
        }
        Ok(())
    }

    pub(super) fn pairs(&self, leases: impl IntoIterator<Item = (TrialId, Attempt)>) -> Result<Vec<Pair>, Failed> {
        leases.into_iter().map(|(trial, attempt)| Ok(Pair { trial, row: self.row(trial)?, attempt })).collect()
    }
}

/// A trial's attempt, with the trial's row.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    trial: TrialId,
    pub(super) row: i64,
    attempt: Attempt,
}

fn pairs_json(pairs: &[Pair]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|pair| (pair.row, pair.attempt)).collect();
    json!(pairs).to_string()
}

/// Rows of those trials whose attempt runs. The others are noted as refused.
pub(super) async fn running(
    db: &mut SqliteConnection,
    leases: &[Pair],
    what: &'static str,
    refused: &mut Vec<Refused>,
) -> Result<HashSet<i64>, Failed> {
    let rows: Vec<i64> = sqlx::query_scalar(
        "SELECT a.trial FROM json_each(?) AS j CROSS JOIN attempts a ON a.trial = j.value ->> 0 AND a.attempt = j.value ->> 1
         WHERE +a.state = 'running'",
    )
    .bind(pairs_json(leases))
    .fetch_all(db)
    .await?;
    note_refused(leases, &rows, what, refused);
    Ok(rows.into_iter().collect())
}

/// Notes those of `wanted` that are not in `done`, and returns the others.
fn note_refused(wanted: &[Pair], done: &[i64], what: &'static str, refused: &mut Vec<Refused>) -> Vec<Pair> {
    if wanted.len() == done.len() {
        return wanted.to_vec();
    }
    let done: HashSet<i64> = done.iter().copied().collect();
    let (accepted, others): (Vec<Pair>, Vec<Pair>) = wanted.iter().partition(|pair| done.contains(&pair.row));
    refused.extend(others.into_iter().map(|pair| Refused { what, trial: pair.trial, attempt: pair.attempt }));
    accepted
}

pub(super) fn rows_sql(row: &str, rows: usize) -> String {
    vec![row; rows].join(",")
}
