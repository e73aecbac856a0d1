//! A user's own SQL. That it only reads is SQLite's doing: the connection is read-only, and so is everything it could attach.

use serde::Serialize;
use sqlx::{
    AssertSqlSafe, Column, Connection, Executor, Row, SqlSafeStr, SqliteConnection, Statement, TypeInfo, ValueRef,
    sqlite::SqliteRow,
};

use super::{
    error::{self, StoreError},
    open,
    reader::Reader,
};

/// A value as SQLite has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT, or a BLOB in hexadecimal.
    Text(String),
}

/// What a query gives.
#[derive(Clone, Debug, Serialize)]
pub struct QueryResult {
    /// Names.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<SqlValue>>,
}

impl Reader {
    /// Runs one statement that reads.
    ///
    /// # Errors
    /// [`StoreError::Statement`] with SQLite's words when it is wrong, or would write.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, StoreError> {
        let wrong = |error: sqlx::Error| {
            let text = error::text(&error);
            match self.failed(error) {
                damage @ (StoreError::Damaged { .. } | StoreError::Disk { .. } | StoreError::NotADatabase(_)) => damage,
                _ => StoreError::Statement(text),
            }
        };
        let mut connection =
            SqliteConnection::connect_with(&open::reading(&self.path)).await.map_err(|e| self.failed(e))?;
        forbid_attaching(&mut connection).await.map_err(|error| self.failed(error))?;
        if !is_one_statement(&mut connection, sql).await.map_err(|error| self.failed(error))? {
            return Err(StoreError::Statement("not one statement".to_owned()));
        }
        // Not `describe`: that fails for functions such as json_each.
        let prepared = (&mut connection).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await.map_err(wrong)?;
        let mut columns: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.map_err(wrong)?;
        if let Some(first) = rows.first() {
            columns = first.columns().iter().map(|column| column.name().to_owned()).collect();
        }
        let rows = rows.iter().map(|row| (0..columns.len()).map(|i| value(row, i)).collect()).collect();
        Ok(QueryResult { columns, rows })
    }
}

/// ATTACH would make a file, and VACUUM INTO would too: SQLite is told that no database may be attached.
pub(super) async fn forbid_attaching(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    let raw = handle.as_raw_handle().as_ptr();
    // SAFETY: the handle is locked and open, and the call only sets a number in it.
    unsafe {
        libsqlite3_sys::sqlite3_limit(raw, libsqlite3_sys::SQLITE_LIMIT_ATTACHED, 0);
    }
    Ok(())
}

/// Whether the text holds one statement; comments and semicolons may stand around it. Where SQLite cannot read it, that is for
/// the caller to find out.
pub(super) async fn is_one_statement(connection: &mut SqliteConnection, sql: &str) -> Result<bool, sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    let raw = handle.as_raw_handle().as_ptr();
    let (mut statements, mut rest) = (0, sql.as_bytes());
    while !rest.is_empty() {
        let mut statement = std::ptr::null_mut();
        let mut tail = std::ptr::null();
        let length = i32::try_from(rest.len()).unwrap_or(i32::MAX);
        // SAFETY: the handle is locked and open; the length bounds what is read; `tail` then points into `rest` or to its end.
        let read = unsafe {
            let code = libsqlite3_sys::sqlite3_prepare_v2(
                raw,
                rest.as_ptr().cast(),
                length,
                &raw mut statement,
                &raw mut tail,
            );
            if code != libsqlite3_sys::SQLITE_OK {
                return Ok(true);
            }
            libsqlite3_sys::sqlite3_finalize(statement);
            tail.cast::<u8>().offset_from(rest.as_ptr())
        };
        statements += u32::from(!statement.is_null());
        rest = rest.get(read.max(1) as usize..).unwrap_or_default();
    }
    Ok(statements == 1)
}

pub(super) fn value(row: &SqliteRow, index: usize) -> SqlValue {
    let Ok(raw) = row.try_get_raw(index) else { return SqlValue::Null };
    if raw.is_null() {
        return SqlValue::Null;
    }
    match raw.type_info().name() {
        "INTEGER" | "BOOLEAN" => row.try_get_unchecked(index).map_or(SqlValue::Null, SqlValue::Integer),
        "REAL" => row.try_get_unchecked(index).map_or(SqlValue::Null, SqlValue::Real),
        "BLOB" => row
            .try_get_unchecked::<Vec<u8>, _>(index)
            .map_or(SqlValue::Null, |bytes| SqlValue::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())),
        _ => row.try_get_unchecked(index).map_or(SqlValue::Null, SqlValue::Text),
    }
}
