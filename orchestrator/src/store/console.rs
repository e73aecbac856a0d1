//! A user's own SQL for a server: what runs too long or gives too much is cut off.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, Column, Connection, Executor, Row, SqlSafeStr, SqliteConnection, Statement, sqlite::SqliteRow,
};

use super::{
    error::{self, StoreError},
    open,
    query::{SqlValue, forbid_attaching, is_one_statement, value},
    reader::Reader,
};

/// Steps of SQLite's machine between two looks at the clock: some tenths of a millisecond.
const STEPS: i32 = 10_000;
/// Most bytes of one value.
const MAX_VALUE_BYTES: i32 = 8 << 20;
/// SQLite's code for what was interrupted.
const INTERRUPTED: i32 = 9;

/// What a query may take.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// Time.
    pub time: Duration,
    /// Rows; more are not read.
    pub rows: usize,
    /// Bytes of all texts; more are not read.
    pub bytes: usize,
}

/// What a query gives, as far as it may.
#[derive(Clone, Debug, Serialize)]
pub struct LimitedResult {
    /// Names.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<SqlValue>>,
    /// There is more than was read.
    pub truncated: bool,
}

impl Reader {
    /// Runs one statement that reads.
    ///
    /// # Errors
    /// [`StoreError::Statement`] with SQLite's words when it is wrong, or would write; [`StoreError::TooLong`].
    pub async fn query_within(&self, sql: &str, limits: QueryLimits) -> Result<LimitedResult, StoreError> {
        let wrong = |error: sqlx::Error| {
            let text = error::text(&error);
            match self.failed(error) {
                damage @ (StoreError::Damaged { .. } | StoreError::Disk { .. } | StoreError::NotADatabase(_)) => damage,
                StoreError::Sqlite { source, .. } if error::code(&source) == Some(INTERRUPTED) => {
                    StoreError::TooLong(limits.time.as_secs_f64())
                }
                _ => StoreError::Statement(text),
            }
        };
        let mut connection =
            SqliteConnection::connect_with(&open::reading(&self.path)).await.map_err(|e| self.failed(e))?;
        forbid_attaching(&mut connection).await.map_err(|error| self.failed(error))?;
        if !is_one_statement(&mut connection, sql).await.map_err(|error| self.failed(error))? {
            return Err(StoreError::Statement("not one statement".to_owned()));
        }
        bound(&mut connection, limits.time).await.map_err(|error| self.failed(error))?;
        let prepared = (&mut connection).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await.map_err(wrong)?;
        let mut columns: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let (mut rows, mut bytes, mut truncated) = (Vec::new(), 0, false);
        {
            let mut found = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch(&mut connection);
            while let Some(row) = found.try_next().await.map_err(wrong)? {
                if rows.is_empty() {
                    columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
                }
                let row = values(&row, columns.len());
                bytes += row.iter().map(size).sum::<usize>();
                if rows.len() == limits.rows || bytes > limits.bytes {
                    truncated = true;
                    break;
                }
                rows.push(row);
            }
        }
        connection.close().await.ok();
        Ok(LimitedResult { columns, rows, truncated })
    }
}

/// Interrupts what runs longer, and refuses values that are larger than memory should hold.
async fn bound(connection: &mut SqliteConnection, time: Duration) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + time;
    let mut handle = connection.lock_handle().await?;
    let raw = handle.as_raw_handle().as_ptr();
    // SAFETY: the handle is locked and open, and the call only sets a number in it.
    unsafe {
        libsqlite3_sys::sqlite3_limit(raw, libsqlite3_sys::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES);
    }
    handle.set_progress_handler(STEPS, move || Instant::now() < deadline);
    Ok(())
}

fn values(row: &SqliteRow, columns: usize) -> Vec<SqlValue> {
    (0..columns).map(|index| value(row, index)).collect()
}

fn size(value: &SqlValue) -> usize {
    match value {
        SqlValue::Text(text) => text.len(),
        _ => 8,
    }
}
