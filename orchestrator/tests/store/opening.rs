//! What cannot be opened says why, with a cure, and stays as it was.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use permafrost::store::{DATABASE, Reader, Store, StoreError};
use sqlx::Connection;

use crate::support::{event, number, skipped};

async fn writing(path: &Path) -> StoreError {
    Store::open(path).await.err().expect("it was opened for writing")
}

async fn reading(path: &Path) -> StoreError {
    Reader::open(path).await.expect_err("it was opened for reading")
}

async fn raw(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A database that was closed well.
async fn made(folder: &Path) -> PathBuf {
    let path = folder.join(DATABASE);
    let store = Store::open(&path).await.unwrap();
    store.apply(vec![event("something".to_owned())]).await.unwrap();
    store.close().await.unwrap();
    path
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[tokio::test]
async fn what_is_no_file_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    let directory = folder.path().join("directory");
    fs::create_dir(&directory).unwrap();
    for path in [file.join(DATABASE), folder.path().join("missing").join(DATABASE), directory] {
        let error = writing(&path).await;
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()) && error.cure().is_some(), "{error}");
    }
    assert!(matches!(reading(&file.join(DATABASE)).await, StoreError::Missing(_)));
    assert!(matches!(reading(&folder.path().join(DATABASE)).await, StoreError::Missing(_)));
    assert!(!folder.path().join(DATABASE).exists(), "a reader has made a file");
}

#[tokio::test]
async fn what_is_no_database_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter");
    fs::write(&letter, "Dear Sir or Madam, ".repeat(500)).unwrap();
    let foreign = folder.path().join("foreign");
    raw(&foreign, "CREATE TABLE recipes (name TEXT)").await;
    for path in [letter, foreign] {
        let before = fs::read(&path).unwrap();
        for error in [writing(&path).await, reading(&path).await] {
            assert!(matches!(error, StoreError::NotADatabase(_)), "{error:?}");
            assert!(error.cure().is_some_and(|cure| cure.contains("away")), "{error}");
        }
        assert!(fs::read(&path).unwrap() == before, "{} was changed", path.display());
    }
    assert_eq!(names(folder.path()).len(), 2, "{:?}", names(folder.path()));
    // A file without content is a database that nobody has written to yet.
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    Store::open(&empty).await.unwrap().close().await.unwrap();
    Reader::open(&empty).await.unwrap();
}

#[tokio::test]
async fn other_versions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(folder.path()).await;
    raw(&path, "UPDATE _sqlx_migrations SET version = version + 900").await;
    let before = fs::read(&path).unwrap();
    for error in [writing(&path).await, reading(&path).await] {
        assert!(matches!(error, StoreError::Newer { found: 901.., known: 1..900, .. }), "{error:?}");
        assert!(error.cure().is_some_and(|cure| cure.contains("newer")), "{error}");
    }
    assert!(fs::read(&path).unwrap() == before, "a newer database was changed");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    raw(
        &path,
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
                installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
                checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    )
    .await;
    let error = reading(&path).await;
    assert!(matches!(error, StoreError::Older { found: 0, known: 1.., .. }), "{error:?}");
    assert!(error.cure().is_some_and(|cure| cure.contains("launch")), "{error}");
    // As the cure says.
    Store::open(&path).await.unwrap().close().await.unwrap();
    Reader::open(&path).await.unwrap();

    raw(&path, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await;
    let error = writing(&path).await;
    assert!(matches!(error, StoreError::Schema { .. }), "{error:?}");
}

/// Runs `test` as somebody who is not root, for whom permissions count.
fn as_nobody<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(|| {
        // SAFETY: the bare system call changes this thread and those it starts, not the whole process.
        if unsafe { libc::geteuid() } == 0 && unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) } != 0 {
            skipped("root cannot become another user here");
            return;
        }
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    });
    thread.join().unwrap();
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn without_permission_nothing_is_written_and_readers_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(folder.path()).await;
    let before = fs::read(&path).unwrap();
    permit(&path, 0o444);
    let (inner, place) = (path.clone(), folder.path().to_owned());
    // A folder that is read-only: somebody else's, or an archive.
    permit(&place, 0o555);
    as_nobody(move || async move {
        for path in [inner.clone(), inner.with_file_name("new.sqlite")] {
            let error = writing(&path).await;
            assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
            assert!(error.cure().is_some_and(|cure| cure.contains("permissions")), "{error}");
        }
        assert_eq!(number(&inner, "SELECT count(*) FROM events").await, 1);
    });
    // A file that is read-only in a folder that is not.
    permit(&place, 0o777);
    let inner = path.clone();
    as_nobody(move || async move {
        let error = writing(&inner).await;
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
        assert_eq!(number(&inner, "SELECT count(*) FROM events").await, 1);
    });
    permit(&place, 0o755);
    assert!(fs::read(&path).unwrap() == before);
}

/// Another user looks at a sweep that runs.
#[tokio::test]
async fn others_may_watch_a_live_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    let store = Store::open(&path).await.unwrap();
    store.apply(vec![event("something".to_owned())]).await.unwrap();
    permit(folder.path(), 0o755);
    for entry in fs::read_dir(folder.path()).unwrap() {
        permit(&entry.unwrap().path(), 0o644);
    }
    let inner = path.clone();
    as_nobody(move || async move { assert_eq!(number(&inner, "SELECT count(*) FROM events").await, 1) });
    store.apply(vec![event("more".to_owned())]).await.unwrap();
    let inner = path.clone();
    as_nobody(move || async move { assert_eq!(number(&inner, "SELECT count(*) FROM events").await, 2) });
    store.close().await.unwrap();
}
