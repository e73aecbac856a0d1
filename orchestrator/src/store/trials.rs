//! Trials, whole: what a restart needs of all of them, and what people want to know of one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use permafrost_worker::{
    id::TrialId,
    protocol::FailureClass,
    task::{Kind, Task},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, SqliteConnection};

use super::{
    error::StoreError,
    reader::{Reader, parse_id},
    tables::now_ms,
    watch::TrialUsage,
    writer::Failed,
};
use crate::core::{NewTrial, Restored, TrialState};

/// Events of a trial that are shown.
const SHOWN_EVENTS: i64 = 20;

/// Trials that a restart reads at once. They come as one JSON text: sqlx takes longer over a row than SQLite.
const CHUNK: i64 = 2_000;

/// trial, id, kind, array_key, state, attempts, not_before.
#[derive(Deserialize)]
struct TrialRow<'a>(
    i64,
    TrialId,
    #[serde(borrow)] Cow<'a, str>,
    String,
    #[serde(borrow)] Cow<'a, str>,
    u32,
    Option<i64>,
);

/// Reads all trials, in the order in which they were submitted.
pub(super) async fn read_restored(db: &mut SqliteConnection) -> Result<(HashMap<TrialId, i64>, Vec<Restored>), Failed> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM trials").fetch_one(&mut *db).await?;
    let mut index = HashMap::with_capacity(count as usize);
    let mut place = HashMap::with_capacity(count as usize);
    let mut restored = Vec::with_capacity(count as usize);
    let mut edges: Vec<(i64, i64)> = Vec::new();
    let (now, mut last) = (now_ms(), i64::MIN);
    loop {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(trial, id, kind, array_key, state, attempts, not_before))
             FROM (SELECT * FROM trials WHERE trial > ? ORDER BY trial LIMIT ?)",
        )
        .bind(last)
        .bind(CHUNK)
        .fetch_one(&mut *db)
        .await?;
        let mut rows: Vec<TrialRow<'_>> = parse("trials", &text)?;
        // SQLite does not promise an order within a group.
        rows.sort_unstable_by_key(|row| row.0);
        let Some(&TrialRow(end, ..)) = rows.last() else { break };
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(trial, input)) FROM trial_inputs WHERE trial > ? AND trial <= ?",
        )
        .bind(last)
        .bind(end)
        .fetch_one(&mut *db)
        .await?;
        edges.append(&mut parse("trial_inputs", &text)?);
        for row in rows {
            index.insert(row.1, row.0);
            place.insert(row.0, restored.len());
            restored.push(restore(row, now)?);
        }
        last = end;
    }
    for (trial, input) in edges {
        let (Some(&trial), Some(&input)) = (place.get(&trial), place.get(&input)) else {
            return Err(Failed::Content("an input of a trial is missing".to_owned()));
        };
        let id = restored[input].trial.id;
        restored[trial].trial.inputs.push(id);
    }
    Ok((index, restored))
}

fn parse<'a, T: Deserialize<'a>>(table: &str, text: &'a str) -> Result<Vec<T>, Failed> {
    serde_json::from_str(text).map_err(|error| Failed::Content(format!("table {table}: {error}")))
}

fn restore(row: TrialRow<'_>, now: i64) -> Result<Restored, Failed> {
    let TrialRow(_, id, kind, array_key, state, attempts, not_before) = row;
    let content = |what: &str| Failed::Content(format!("trial {id}: {what}"));
    let known = Kind::ALL.into_iter().find(|known| known.name() == kind);
    Ok(Restored {
        trial: NewTrial {
            id,
            kind: known.ok_or_else(|| content("its kind is unknown"))?,
            array_key,
            inputs: Vec::new(),
        },
        state: TrialState::parse(&state).ok_or_else(|| content("its state is unknown"))?,
        attempts,
        not_before_in_ms: not_before.map(|at| (at - now).max(0) as u64).filter(|&wait| wait > 0),
    })
}

/// All there is to know of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct TrialDetail {
    /// Identity.
    pub id: TrialId,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
    /// Why it does not run, when it could be expected to.
    pub why_waiting: Option<String>,
    /// What it does.
    pub task: Task,
    /// Where it stands: sweep, revision, stage, parameters.
    pub places: Vec<PlaceRow>,
    /// What it reads.
    pub inputs: Vec<InputRow>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptRow>,
    /// What they took of their devices, together; none: no device was sampled.
    pub usage: Option<TrialUsage>,
    /// Final values.
    pub results: BTreeMap<String, f64>,
    /// Files.
    pub artifacts: Vec<ArtifactRow>,
    /// Its last events, newest first.
    pub events: Vec<EventRow>,
}

/// Where a trial stands in a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceRow {
    /// Sweep.
    pub sweep: String,
    /// Its revision.
    pub revision: i64,
    /// Stage.
    pub stage: String,
    /// Parameters as people write them.
    pub parameters: Value,
}

/// An input of a trial.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct InputRow {
    /// Identity.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
}

/// An attempt: who ran it, with what, and how it ended.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct AttemptRow {
    /// Its number.
    pub attempt: u32,
    /// State.
    pub state: String,
    /// Work on it began, in milliseconds since 1970 UTC.
    pub started: i64,
    /// Ended.
    pub ended: Option<i64>,
    /// Units done ...
    pub done_units: i64,
    /// ... of so many.
    pub total_units: i64,
    /// Members of its array.
    pub members: i64,
    /// Step of the checkpoint it went on from.
    pub resumed_step: Option<i64>,
    /// Host of its worker.
    pub host: String,
    /// Device of its worker.
    pub device: String,
    /// Model of that device.
    pub model: String,
    /// Program version of its worker.
    pub program: String,
    /// Samples of the device while it ran; none: the device was not sampled. With 0 it was too short for one.
    pub samples: Option<i64>,
    /// Mean share of the time in which the device computed, 0 to 1.
    pub utilisation: Option<f64>,
    /// Seconds of the device: members of an array share them alike.
    pub device_s: Option<f64>,
    /// Joules.
    pub energy_j: Option<f64>,
    /// Most memory that the worker used meanwhile, in bytes.
    pub memory_peak_bytes: Option<i64>,
    /// Failed: the class.
    pub class: Option<String>,
    /// What happened.
    pub message: Option<String>,
    /// What to do about it.
    pub cure: Option<String>,
}

/// A file of a trial.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct ArtifactRow {
    /// What it is.
    pub name: String,
    /// Path below the home folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: i64,
    /// BLAKE3.
    pub blake3: String,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct EventRow {
    /// When, in milliseconds since 1970 UTC.
    pub at: i64,
    /// What kind.
    pub kind: String,
    /// The attempt it is about.
    pub attempt: Option<u32>,
    /// For people.
    pub detail: Option<String>,
}

/// Classes of failures for lack of something that may be there by now: a file, a network, room. What failed by a bug would do so again.
pub const LACKS: [FailureClass; 3] = [FailureClass::Transient, FailureClass::Resources, FailureClass::Input];

impl Reader {
    /// States of those of these trials that are known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn states(&self, trials: &[TrialId]) -> Result<HashMap<TrialId, String>, StoreError> {
        let ids = serde_json::json!(trials).to_string();
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, state FROM trials WHERE id IN (SELECT value FROM json_each(?))")
                .bind(ids)
                .fetch_all(&self.pool)
                .await
                .map_err(|error| self.failed(error))?;
        rows.into_iter().map(|(id, state)| Ok((parse_id(&id)?, state))).collect()
    }

    /// Those of these trials whose failure is one of [`LACKS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failed_for_lack(&self, trials: &[TrialId]) -> Result<Vec<TrialId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT t.id FROM trials t JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts
             WHERE t.state = 'failed' AND a.class IN (SELECT value FROM json_each(?))
               AND t.id IN (SELECT value FROM json_each(?)) ORDER BY t.trial",
        )
        .bind(serde_json::json!(LACKS.map(FailureClass::name)).to_string())
        .bind(serde_json::json!(trials).to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        ids.iter().map(|id| parse_id(id)).collect()
    }

    /// All there is to know of a trial.
    ///
    /// # Errors
    /// [`StoreError::NoSuchTrial`].
    pub async fn trial(&self, id: TrialId) -> Result<TrialDetail, StoreError> {
        let failed = |error| self.failed(error);
        let found: Option<(i64, String, String, String)> =
            sqlx::query_as("SELECT trial, kind, state, task FROM trials WHERE id = ?")
                .bind(id.hex())
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        let (row, kind, state, task) = found.ok_or_else(|| StoreError::NoSuchTrial(id.short()))?;
        let task =
            serde_json::from_str(&task).map_err(|error| StoreError::Content(format!("task of {id}: {error}")))?;
        let why_waiting = sqlx::query_scalar("SELECT why FROM why_waiting WHERE trial_id = ?")
            .bind(id.hex())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let inputs = sqlx::query_as(
            "SELECT i.id, i.kind, i.state FROM trial_inputs e JOIN trials i ON i.trial = e.input WHERE e.trial = ? ORDER BY i.trial",
        )
        .bind(row)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let attempts = sqlx::query_as(
            "SELECT a.attempt, a.state, coalesce(a.begun, a.started) AS started, a.ended, a.done_units, a.total_units, a.members, a.resumed_step, w.host, w.device, w.model,
                    w.program, a.class, a.message, a.cure, u.samples,
                    CASE WHEN u.samples > 0 AND u.device_s > 0 THEN u.busy_s / u.device_s END AS utilisation, u.device_s, u.energy_j,
                    u.memory_peak_bytes
             FROM attempts a JOIN workers w USING (worker) LEFT JOIN attempt_usage u USING (trial, attempt)
             WHERE a.trial = ? ORDER BY a.attempt",
        )
        .bind(row)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let results: Vec<(String, f64)> =
            sqlx::query_as("SELECT name, value FROM results WHERE trial = ? ORDER BY name")
                .bind(row)
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        let artifacts = sqlx::query_as("SELECT name, path, bytes, blake3 FROM artifacts WHERE trial = ? ORDER BY name")
            .bind(row)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let events =
            sqlx::query_as("SELECT at, kind, attempt, detail FROM events WHERE trial = ? ORDER BY event DESC LIMIT ?")
                .bind(row)
                .bind(SHOWN_EVENTS)
                .fetch_all(&self.pool)
                .await
                .map_err(failed)?;
        let (places, usage) = (self.places(row).await?, self.usage(row).await?);
        let results = results.into_iter().collect();
        Ok(TrialDetail {
            id,
            kind,
            state,
            why_waiting,
            task,
            places,
            inputs,
            attempts,
            usage,
            results,
            artifacts,
            events,
        })
    }

    async fn places(&self, row: i64) -> Result<Vec<PlaceRow>, StoreError> {
        let rows: Vec<(String, i64, String, String)> = sqlx::query_as(
            "SELECT s.name, s.revision, st.stage, st.parameters FROM sweep_trials st JOIN sweeps s USING (sweep)
             WHERE st.trial = ? ORDER BY s.sweep",
        )
        .bind(row)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        let places = rows.into_iter().map(|(sweep, revision, stage, parameters)| PlaceRow {
            sweep,
            revision,
            stage,
            parameters: serde_json::from_str(&parameters).unwrap_or(Value::Null),
        });
        Ok(places.collect())
    }
}
