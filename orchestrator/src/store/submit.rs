//! A launched sweep becomes rows.

use std::collections::hash_map::Entry;

use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::{
    change::NewSweep,
    tables::{Tables, now_ms},
    writer::Failed,
};

/// Rows a statement: a bound on the size of its parameter.
const ROWS: usize = 2_000;

/// Writes the sweep, and those of its trials that are new; returns how many.
pub(super) async fn write(tables: &mut Tables, db: &mut SqliteConnection, sweep: NewSweep) -> Result<usize, Failed> {
    let new = trials(tables, db, &sweep).await?;
    let latest: Option<(i64, i64, String)> =
        sqlx::query_as("SELECT sweep, revision, digest FROM sweeps WHERE name = ? ORDER BY revision DESC LIMIT 1")
            .bind(&sweep.name)
            .fetch_optional(&mut *db)
            .await?;
    if latest.as_ref().is_some_and(|(_, _, digest)| *digest == sweep.digest) {
        return Ok(new);
    }
    let revision = latest.map_or(1, |(_, revision, _)| revision + 1);
    let row: i64 = sqlx::query_scalar(
        "INSERT INTO sweeps (name, revision, source, digest, report, tags, submitted) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING sweep",
    )
    .bind(&sweep.name)
    .bind(revision)
    .bind(&sweep.source)
    .bind(&sweep.digest)
    .bind(&sweep.report)
    .bind(json!(sweep.tags).to_string())
    .bind(now_ms())
    .fetch_one(&mut *db)
    .await?;
    for (chunk, trials) in sweep.trials.chunks(ROWS).enumerate() {
        let rows = trials
            .iter()
            .enumerate()
            .map(|(i, trial)| Ok(json!([tables.row(trial.id)?, trial.stage, chunk * ROWS + i, trial.parameters])))
            .collect::<Result<Vec<_>, Failed>>()?;
        sqlx::query(
            "INSERT INTO sweep_trials (sweep, trial, stage, position, parameters, reused)
             SELECT ?1, j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3,
                    (SELECT state = 'done' FROM trials WHERE trial = j.value ->> 0)
             FROM json_each(?2) AS j",
        )
        .bind(row)
        .bind(Value::Array(rows).to_string())
        .execute(&mut *db)
        .await?;
    }
    tables.event(db, "sweep-launched", None, None, &format!("{} revision {revision}", sweep.name)).await?;
    Ok(new)
}

async fn trials(tables: &mut Tables, db: &mut SqliteConnection, sweep: &NewSweep) -> Result<usize, Failed> {
    let before = tables.rows.len();
    let mut next: i64 =
        sqlx::query_scalar("SELECT coalesce(max(trial), 0) + 1 FROM trials").fetch_one(&mut *db).await?;
    let mut rows = Vec::new();
    let mut new = Vec::new();
    let mut known = Vec::new();
    for trial in &sweep.trials {
        match tables.rows.entry(trial.id) {
            Entry::Occupied(entry) => known.push(json!([*entry.get(), trial.task])),
            Entry::Vacant(entry) => {
                entry.insert(next);
                rows.push(json!([next, trial.id.hex(), trial.kind, trial.task, trial.array_key]));
                new.push((next, &trial.inputs));
                next += 1;
            }
        }
    }
    // Tasks of one identity differ in where things lie, and the last word on that is the right one.
    for known in known.chunks(ROWS) {
        sqlx::query(
            "UPDATE trials SET task = given.value ->> 1 FROM json_each(?) AS given
             WHERE trial = given.value ->> 0 AND task <> given.value ->> 1",
        )
        .bind(json!(known).to_string())
        .execute(&mut *db)
        .await?;
    }
    for rows in rows.chunks(ROWS) {
        sqlx::query(
            "INSERT INTO trials (trial, id, kind, task, array_key, state, created)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 'waiting', ?2 FROM json_each(?1)",
        )
        .bind(json!(rows).to_string())
        .bind(now_ms())
        .execute(&mut *db)
        .await?;
    }
    let mut edges = Vec::new();
    for (row, inputs) in new {
        for input in inputs {
            edges.push((row, tables.row(*input)?));
        }
    }
    for edges in edges.chunks(ROWS) {
        sqlx::query("INSERT INTO trial_inputs (trial, input) SELECT value ->> 0, value ->> 1 FROM json_each(?)")
            .bind(json!(edges).to_string())
            .execute(&mut *db)
            .await?;
    }
    Ok(tables.rows.len() - before)
}
