//! Opening the file: for the one writer, and for readers.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::error::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The newest schema this program knows.
fn known_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Opens the file for writing, creates it where needed, and brings its schema up to date.
pub(super) async fn for_writing(path: &Path) -> Result<SqliteConnection, StoreError> {
    let failed = |error| StoreError::from_sqlx(path, error);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(256)
        // 64 MB of pages: a restart with many trials reads most of them.
        .pragma("cache_size", "-65536")
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    refuse_newer(&mut connection, path).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => failed(source),
        other => StoreError::Schema { path: path.to_owned(), reason: other.to_string() },
    })?;
    Ok(connection)
}

/// Options of a connection that cannot write, whatever it is told: SQLite itself refuses.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(10))
        .pragma("query_only", "1")
        .pragma("trusted_schema", "0")
        .disable_statement_logging()
}

/// Checks that a reader understands the file.
pub(super) async fn check_version(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let known = known_version();
    let found = refuse_newer(connection, path).await?;
    if found < known {
        return Err(StoreError::Older { path: path.to_owned(), found, known });
    }
    Ok(())
}

async fn refuse_newer(connection: &mut SqliteConnection, path: &Path) -> Result<i64, StoreError> {
    let failed = |error| StoreError::from_sqlx(path, error);
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if tables == 0 {
        let others: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        return if others == 0 { Ok(0) } else { Err(StoreError::NotADatabase(path.to_owned())) };
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let (found, known) = (found.unwrap_or(0), known_version());
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// Closes a connection; the last one of a file folds the write-ahead log into it.
pub(super) async fn close(connection: SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection.close().await.map_err(|error| StoreError::from_sqlx(path, error))
}
