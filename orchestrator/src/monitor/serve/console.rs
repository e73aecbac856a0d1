//! The SQL console: a user's own query, with limits, and the schema beside it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    error::{Answer, Refusal},
    manual::{self, Example},
    scope::{Wanted, sweep_of},
    site::{Site, find_sweep},
};
use crate::store::{LimitedResult, QueryLimits, SqlValue};

/// What the console shows.
const SHOWN: QueryLimits = QueryLimits { time: Duration::from_secs(5), rows: 1_000, bytes: 4 << 20 };
/// What is downloaded.
const DOWNLOADED: QueryLimits = QueryLimits { time: Duration::from_secs(30), rows: 200_000, bytes: 48 << 20 };
/// How long a query waits for others.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a query gave.
#[derive(Serialize)]
pub(super) struct Asked {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    truncated: bool,
    took_ms: f64,
    most_rows: usize,
}

/// `GET /api/sql`: `q` is the query.
pub(super) async fn query(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Asked> {
    let start = Instant::now();
    let result = run(&site, asked.get("q").cloned().unwrap_or_default(), SHOWN).await?;
    let LimitedResult { columns, rows, truncated } = result;
    let rows = rows.into_iter().map(|row| row.into_iter().map(exact).collect()).collect();
    Ok(Json(Asked { columns, rows, truncated, took_ms: start.elapsed().as_secs_f64() * 1e3, most_rows: SHOWN.rows }))
}

/// A value as JSON. JavaScript's numbers hold integers up to 2^53: a larger one is `{"integer": "..."}`. JSON has no infinite numbers:
/// they are `{"real": "inf"}` and `{"real": "-inf"}`.
fn exact(value: SqlValue) -> Value {
    match value {
        SqlValue::Integer(number) if number.unsigned_abs() > 1 << 53 => json!({"integer": number.to_string()}),
        SqlValue::Integer(number) => number.into(),
        SqlValue::Real(number) if !number.is_finite() => json!({"real": number.to_string()}),
        SqlValue::Real(number) => number.into(),
        SqlValue::Text(text) => text.into(),
        SqlValue::Null => Value::Null,
    }
}

/// `GET /api/sql.csv`: the same as a file.
pub(super) async fn csv(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Result<Response, Refusal> {
    let result = run(&site, asked.get("q").cloned().unwrap_or_default(), DOWNLOADED).await?;
    if result.truncated {
        return Err(too_large());
    }
    // A large file takes a second to write: requests of others must not wait for it.
    let written = tokio::task::spawn_blocking(move || write_csv(&result)).await;
    let failed =
        |error: tokio::task::JoinError| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "try again");
    let bytes = written.map_err(failed)??;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"query.csv\""),
    ];
    Ok((headers, bytes).into_response())
}

fn too_large() -> Refusal {
    let message = format!("the answer has more than {} rows or {} MiB", DOWNLOADED.rows, DOWNLOADED.bytes >> 20);
    Refusal::wrong(message, "ask for less, or use `permafrost sql QUERY --format csv`, which has no limit")
}

/// An answer as CSV. With quotes and commas it may be larger than the values that it has.
fn write_csv(result: &LimitedResult) -> Result<Vec<u8>, Refusal> {
    let text = |value: &SqlValue| match value {
        SqlValue::Null => String::new(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => number.to_string(),
        SqlValue::Text(text) => text.clone(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Refusal::wrong(error.to_string(), "try again");
    writer.write_record(&result.columns).map_err(failed)?;
    for row in &result.rows {
        writer.write_record(row.iter().map(text)).map_err(failed)?;
        if writer.get_ref().len() > DOWNLOADED.bytes {
            return Err(too_large());
        }
    }
    writer.into_inner().map_err(|error| Refusal::wrong(error.to_string(), "try again"))
}

async fn run(site: &Arc<Site>, sql: String, limits: QueryLimits) -> Result<LimitedResult, Refusal> {
    if sql.trim().is_empty() {
        return Err(Refusal::wrong("there is no query", "write one, or choose an example"));
    }
    let reader = site.reader().await?;
    let waiting = tokio::time::timeout(PATIENCE, Arc::clone(&site.queries).acquire_owned()).await;
    let Ok(Ok(permit)) = waiting else {
        let message = "other queries run";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message, "try again in some seconds"));
    };
    // A browser that leaves does not end a query: its place is taken until it has ended.
    let task = tokio::spawn(async move {
        let result = reader.query_within(&sql, limits).await;
        drop(permit);
        result
    });
    match task.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "try again")),
    }
}

/// Tables, views and examples.
#[derive(Serialize)]
pub(super) struct Schema {
    tables: Vec<TableLine>,
    examples: Vec<Example>,
}

#[derive(Serialize)]
struct TableLine {
    name: String,
    /// `table` or `view`.
    kind: String,
    what: String,
    columns: Vec<ColumnLine>,
}

#[derive(Serialize)]
struct ColumnLine {
    name: String,
    kind: String,
    what: String,
}

/// `GET /api/schema`; its examples are about the sweep of the request.
pub(super) async fn schema(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Schema> {
    let reader = site.reader().await?;
    let sweeps = reader.sweeps().await?;
    let sweep = find_sweep(&sweeps, sweep_of(&asked)).map(|row| (row.name.as_str(), row.revision));
    let mut tables: Vec<TableLine> = Vec::new();
    let empty = BTreeMap::new();
    for (kind, table, column, type_name) in reader.schema_columns().await? {
        let entry = manual::ENTRIES.get(&table);
        if tables.last().is_none_or(|last| last.name != table) {
            let what = entry.map(|entry| entry.what.clone()).unwrap_or_default();
            tables.push(TableLine { name: table, kind, what, columns: Vec::new() });
        }
        let meanings = entry.map_or(&empty, |entry| &entry.columns);
        let what = meanings.get(&column).cloned().unwrap_or_default();
        if let Some(last) = tables.last_mut() {
            last.columns.push(ColumnLine { name: column, kind: type_name, what });
        }
    }
    Ok(Json(Schema { tables, examples: manual::EXAMPLES.iter().map(|example| example.about(sweep)).collect() }))
}
