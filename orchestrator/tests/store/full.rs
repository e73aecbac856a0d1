//! A disk that is full, or fails, at any moment. SQLite writes through a layer of this test that refuses when it is told
//! to, with the codes of the real one: that works on every machine. `real_disk` tests with a real one where it can.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicPtr, Ordering},
    },
};

use libsqlite3_sys as sqlite;
use permafrost::store::{DATABASE, Store, StoreError};

use crate::support::{ask, assert_whole, event, text};

/// Only files below such a folder are limited.
const MARK: &str = "limited-disk";
/// Bytes that may still be written.
static ROOM: AtomicI64 = AtomicI64::new(i64::MAX);
/// Calls of fsync that still succeed.
static SYNCS: AtomicI64 = AtomicI64::new(i64::MAX);
static BASE: AtomicPtr<sqlite::sqlite3_vfs> = AtomicPtr::new(std::ptr::null_mut());
/// How the layer below writes and syncs; the same for all kinds of its files.
static BELOW: OnceLock<sqlite::sqlite3_io_methods> = OnceLock::new();

unsafe extern "C" fn write(
    file: *mut sqlite::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    offset: sqlite::sqlite3_int64,
) -> c_int {
    if ROOM.fetch_sub(i64::from(bytes), Ordering::SeqCst) < i64::from(bytes) {
        ROOM.store(0, Ordering::SeqCst);
        return sqlite::SQLITE_FULL;
    }
    // SAFETY: SQLite's own call, passed on.
    unsafe { BELOW.get().unwrap().xWrite.unwrap()(file, data, bytes, offset) }
}

unsafe extern "C" fn sync(file: *mut sqlite::sqlite3_file, flags: c_int) -> c_int {
    if SYNCS.fetch_sub(1, Ordering::SeqCst) <= 0 {
        SYNCS.store(0, Ordering::SeqCst);
        return sqlite::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: SQLite's own call, passed on.
    unsafe { BELOW.get().unwrap().xSync.unwrap()(file, flags) }
}

unsafe extern "C" fn open(
    _: *mut sqlite::sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let base = BASE.load(Ordering::SeqCst);
    // SAFETY: SQLite's own call, passed on to the layer below; a file that was opened has methods.
    unsafe {
        let code = (*base).xOpen.unwrap()(base, name, file, flags, out);
        let limited = !name.is_null() && CStr::from_ptr(name).to_string_lossy().contains(MARK);
        if code == sqlite::SQLITE_OK && limited {
            let below = *(*file).pMethods;
            BELOW.get_or_init(|| below);
            // Kinds of files differ in the rest. A few hundred bytes for each that is opened are left behind.
            let mine = sqlite::sqlite3_io_methods { xWrite: Some(write), xSync: Some(sync), ..below };
            (*file).pMethods = Box::leak(Box::new(mine));
        }
        code
    }
}

/// Puts the layer between SQLite and the disk, for this whole process.
fn install() {
    // SAFETY: the new layer is a copy of the default one with another name and `xOpen`, and lives for ever.
    unsafe {
        let base = sqlite::sqlite3_vfs_find(std::ptr::null());
        BASE.store(base, Ordering::SeqCst);
        let mut mine = *base;
        mine.zName = c"limited".as_ptr();
        mine.xOpen = Some(open);
        mine.pNext = std::ptr::null_mut();
        assert_eq!(sqlite::sqlite3_vfs_register(Box::leak(Box::new(mine)), 1), sqlite::SQLITE_OK);
    }
}

/// Writes until it fails; returns what was confirmed, and what was not.
async fn write_until(store: &Store, what: &str, fails: impl Fn(&StoreError)) -> (Vec<String>, String) {
    let mut confirmed = Vec::new();
    for i in 0.. {
        // Sizes differ, so that the disk fills at different moments of a commit.
        let detail = format!("{what} {i} {}", "x".repeat((i * 977) % 9_000));
        match store.apply(vec![event(detail.clone())]).await {
            Ok(_) => confirmed.push(detail),
            Err(error) => {
                fails(&error);
                return (confirmed, detail);
            }
        }
        assert!(i < 10_000, "nothing ever fails");
    }
    unreachable!()
}

async fn details(path: &std::path::Path) -> Vec<String> {
    let rows = ask(path, "SELECT detail FROM events WHERE kind = 'test' ORDER BY event").await;
    rows.iter().map(|row| text(&row[0]).to_owned()).collect()
}

/// Whether all that was confirmed is there, and nothing else. Nobody was told of the last one, so that may be there or not.
fn same(found: &[String], confirmed: &[String], unsure: &String) -> bool {
    found == confirmed || found.split_last().is_some_and(|(last, before)| last == unsure && before == confirmed)
}

/// One test, as there is one layer in the process.
#[tokio::test]
async fn a_disk_that_fails_loses_nothing_that_was_confirmed() {
    install();
    let folder = tempfile::Builder::new().prefix(MARK).tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    let full = |error: &StoreError| {
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert!(error.cure().unwrap().contains("free space"), "{error}");
    };
    let failing = |error: &StoreError| {
        assert!(matches!(error, StoreError::Disk { .. }), "{error:?}");
        assert!(error.cure().unwrap().contains("quota"), "{error}");
    };
    let mut confirmed = Vec::new();
    for round in 0..12 {
        // Rounds that are even fill the disk, others have a disk that fails when it must be sure.
        let store = Store::open(&path).await.unwrap();
        let (room, syncs) = [(round * 7_001, i64::MAX), (i64::MAX, round / 2)][round as usize % 2];
        ROOM.store(room, Ordering::SeqCst);
        SYNCS.store(syncs, Ordering::SeqCst);
        let (new, unsure) = if round % 2 == 0 {
            write_until(&store, &format!("round {round}"), full).await
        } else {
            write_until(&store, &format!("round {round}"), failing).await
        };
        confirmed.extend(new);
        // The store takes nothing more, and says so at once; readers still see what was confirmed.
        assert!(matches!(store.apply(vec![event("late".to_owned())]).await, Err(StoreError::Closed)));
        let seen = details(&path).await;
        assert!(same(&seen, &confirmed, &unsure), "round {round}: {seen:#?}");
        assert!(store.close().await.is_err());

        ROOM.store(i64::MAX, Ordering::SeqCst);
        SYNCS.store(i64::MAX, Ordering::SeqCst);
        assert_whole(&path).await;
        let store = Store::open(&path).await.unwrap();
        let found = details(&path).await;
        assert!(same(&found, &confirmed, &unsure), "round {round}: {found:#?}");
        confirmed = found;
        let detail = format!("space again after round {round}");
        store.apply(vec![event(detail.clone())]).await.unwrap();
        confirmed.push(detail);
        store.close().await.unwrap();
    }
    assert!(confirmed.len() > 20);
}
