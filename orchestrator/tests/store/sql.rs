//! `permafrost sql` only reads, whatever it is told, and never stands in the writer's way.

use std::{collections::BTreeMap, fs, path::Path};

use permafrost::store::{Reader, SqlValue, StoreError};

use crate::support::{World, event, id, noop, number, sweep};

/// Statements that would write, or worse. Those of the second list do nothing and may say so or not.
const FORBIDDEN: [&str; 26] = [
    "INSERT INTO events (at, kind) VALUES (1, 'x')",
    "UPDATE trials SET state = 'failed'",
    "DELETE FROM trials",
    "REPLACE INTO metric_names (name) VALUES ('x')",
    "DROP TABLE events",
    "DROP VIEW leaderboard",
    "ALTER TABLE trials ADD COLUMN x",
    "CREATE TABLE x (y)",
    "CREATE VIRTUAL TABLE x USING fts5 (y)",
    "CREATE INDEX x ON trials (kind)",
    "WITH x AS (SELECT 1) DELETE FROM trials",
    "ATTACH 'attached.sqlite' AS x",
    "ATTACH ':memory:' AS x",
    "VACUUM",
    "VACUUM INTO 'copy.sqlite'",
    "REINDEX",
    "ANALYZE",
    "PRAGMA user_version = 5",
    "SELECT load_extension('x')",
    "SELECT 1; DELETE FROM trials",
    "BEGIN IMMEDIATE; DELETE FROM trials; COMMIT",
    "SELECT 1; SELECT 2",
    "",
    "-- nothing",
    "PRAGMA query_only = 0; DELETE FROM trials",
    "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'x'",
];
const HARMLESS: [&str; 13] = [
    "PRAGMA writable_schema = 1",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA journal_mode = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA query_only = 0",
    "PRAGMA synchronous = OFF",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA optimize",
    "PRAGMA temp_store_directory = '/'",
    "BEGIN EXCLUSIVE",
    "SAVEPOINT x",
    "COMMIT",
];

/// Every file of the folder, with its content. The index of the log is shared memory, not data.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    files.filter(|(name, _)| !name.ends_with("-shm")).map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

async fn world() -> World {
    let world = World::new().await;
    let task = noop(1, &[]);
    world.apply(sweep("one", "a", &[("stage", "{}", task.clone())])).await;
    world.finish(id(&task), &[("auroc", 0.5)]).await;
    world
}

#[tokio::test]
async fn nothing_that_writes_gets_through() {
    let world = world().await;
    let reader = Reader::open(&world.path()).await.unwrap();
    let before = content(world.folder.path());
    let here =
        |sql: &str| sql.replace("attached.sqlite", world.folder.path().join("attached.sqlite").to_str().unwrap());
    for sql in FORBIDDEN {
        let sql = here(sql).replace("copy.sqlite", world.folder.path().join("copy.sqlite").to_str().unwrap());
        let error = reader.query(&sql).await.expect_err(&sql);
        assert!(matches!(error, StoreError::Statement(_)), "{sql}: {error:?}");
        assert!(error.cure().is_some_and(|cure| cure.contains("only reads")));
        assert!(content(world.folder.path()) == before, "{sql} changed a file");
    }
    for sql in HARMLESS {
        reader.query(sql).await.ok();
        assert!(content(world.folder.path()) == before, "{sql} changed a file");
        // The writer's own settings are as they were, and it is not locked out.
        world.store.apply(vec![]).await.unwrap_or_else(|error| panic!("after {sql}: {error}"));
    }
    world.apply(event("the writer still writes".to_owned())).await;
    assert_eq!(world.ask("PRAGMA journal_mode").await, [[SqlValue::Text("wal".to_owned())]]);
    assert_eq!(world.number("SELECT count(*) FROM trials WHERE state = 'done'").await, 1);
}

/// The same when no coordinator is there: then the log is folded in, and no other connection keeps the file in its mode.
#[tokio::test]
async fn nothing_that_writes_gets_through_afterwards() {
    let world = world().await;
    let (path, folder) = (world.path(), world.folder);
    world.store.close().await.unwrap();
    let before = content(folder.path());
    for sql in FORBIDDEN.iter().chain(&HARMLESS) {
        let reader = Reader::open(&path).await.unwrap();
        let sql = sql.replace("attached.sqlite", folder.path().join("attached.sqlite").to_str().unwrap());
        let sql = sql.replace("copy.sqlite", folder.path().join("copy.sqlite").to_str().unwrap());
        reader.query(&sql).await.ok();
        drop(reader);
        // An empty log may stay behind.
        let mut after = content(folder.path());
        after.retain(|name, bytes| !(name.ends_with("-wal") && bytes.is_empty()));
        assert!(after == before, "{sql} changed a file: {:?}", after.keys());
    }
}

#[tokio::test]
async fn values_come_as_they_are() {
    let world = world().await;
    let rows = world.ask("SELECT NULL, 9223372036854775807, 0.1, 'text', x'00ff', 1 = 1").await;
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let expected = [
        SqlValue::Null,
        SqlValue::Integer(i64::MAX),
        SqlValue::Real(0.1),
        text("text"),
        text("00ff"),
        SqlValue::Integer(1),
    ];
    assert_eq!(rows, [expected]);
    let reader = Reader::open(&world.path()).await.unwrap();
    let none = reader.query("SELECT id, kind FROM trials WHERE 0").await.unwrap();
    assert_eq!((none.columns, none.rows.len()), (vec!["id".to_owned(), "kind".to_owned()], 0));
    let error = reader.query("SELECT nonsense FROM trials").await.unwrap_err();
    assert!(error.to_string().contains("no such column: nonsense"), "{error}");
}

/// Readers that hold on to what they read, and a writer that commits meanwhile: nobody is told to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_writer_and_its_readers_never_lock_each_other() {
    let world = world().await;
    let path = world.path();
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (path, done) = (path.clone(), done.clone());
            tokio::spawn(async move {
                let (mut queries, mut last) = (0, 0);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let now = number(&path, "SELECT count(*) FROM events a JOIN events b USING (event)").await;
                    assert!(now >= last, "a reader saw {now} events after {last}");
                    (queries, last) = (queries + 1, now);
                }
                queries
            })
        })
        .collect();
    for round in 0..150 {
        let many = (0..20).map(|i| event(format!("{round} {i}"))).collect();
        world.store.apply(many).await.unwrap();
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_eq!(world.number("SELECT count(*) FROM events WHERE kind = 'test'").await, 3_000);
    world.store.close().await.unwrap();
}
