//! Opening the file: for the one writer, and for readers.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
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
    // Only now: what is no database of ours must stay as it is.
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await.map_err(failed)?;
    MIGRATIONS.run(&mut connection).await.map_err(|error| match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => failed(source),
        other => StoreError::Schema { path: path.to_owned(), reason: other.to_string() },
    })?;
    // SQLite opens a file that cannot be written for reading, and says so at the first write: here.
    sqlx::query("DELETE FROM events WHERE 0").execute(&mut connection).await.map_err(failed)?;
    Ok(connection)
}

/// Options of a connection that cannot write, whatever it is told: SQLite itself refuses.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(is_frozen(path))
        .busy_timeout(Duration::from_secs(10))
        .pragma("query_only", "1")
        .pragma("trusted_schema", "0")
        // 16 MB of pages: results of ten thousand trials are sorted in memory.
        .pragma("cache_size", "-16384")
        .disable_statement_logging()
}

/// Whether nobody could write the file while it is read. A reader needs a file beside it that says who reads; where that cannot
/// be made, as in an archive or in somebody else's folder, and no writer has left a log, it must do without.
fn is_frozen(path: &Path) -> bool {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        Path::new(&name).exists()
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    !beside("-wal") && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err()
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

/// Folds the write-ahead log into the file and closes the connection, so that the file alone is the whole database. A reader
/// that is in the middle of something may keep a rest in the log; the last connection of all folds that.
pub(super) async fn close(mut connection: SqliteConnection, path: &Path) -> Result<(), StoreError> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .await
        .map_err(|error| StoreError::from_sqlx(path, error))?;
    connection.close().await.map_err(|error| StoreError::from_sqlx(path, error))
}
