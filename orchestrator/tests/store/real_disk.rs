//! The same with what the system does: a small file system, made in a namespace of its own, and a limit on the size of
//! files, which writes meet like a quota. The test program runs itself again inside; where that is not allowed, it says so.

use std::{
    path::Path,
    process::{Command, Output},
};

use permafrost::store::{DATABASE, Reader, Store, StoreError};

use crate::support::{assert_whole, event, number, skipped};

/// The folder, for the inner tests.
const INSIDE: &str = "PERMAFROST_TEST_DISK";
const COUNT: &str = "SELECT count(*) FROM events WHERE kind = 'test'";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs one inner test through `wrapper`, a shell command that ends by running its arguments.
fn run_inside(command: &mut Command, folder: &Path, wrapper: &str, test: &str) -> Output {
    let script = format!("{wrapper}; exec \"$@\"");
    command.args(["sh", "-c", &script, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]).env(INSIDE, folder).output().unwrap()
}

fn assert_passed(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}

/// Commits until one fails; returns how many did not, and the error.
async fn write_until_it_fails(store: &Store) -> (i64, StoreError) {
    for count in 0..10_000 {
        if let Err(error) = store.apply(vec![event("x".repeat(5_000))]).await {
            return (count, error);
        }
    }
    panic!("nothing ever fails");
}

#[test]
fn on_a_small_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=2m none '{}'", folder.path().display());
    let probe = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        skipped("this machine lets nobody mount a small file system");
        return;
    }
    let mut command = Command::new("unshare");
    command.arg("-rm");
    let output = run_inside(&mut command, folder.path(), &mount, "real_disk::inside_a_small_file_system");
    assert_passed(&output);
}

#[test]
#[ignore = "runs inside a small file system only"]
fn inside_a_small_file_system() {
    let Some(folder) = std::env::var_os(INSIDE) else { return };
    let (folder, path) = (Path::new(&folder), Path::new(&folder).join(DATABASE));
    block_on(async {
        let ballast = folder.join("ballast");
        std::fs::write(&ballast, vec![1; 4 << 20]).unwrap_err();
        let error = Store::open(&path).await.err().unwrap();
        assert!(matches!(error, StoreError::Full(_) | StoreError::Disk { .. }), "{error:?}");
        assert!(error.cure().is_some(), "{error}");
        std::fs::write(&ballast, vec![1; 500_000]).unwrap();

        let store = Store::open(&path).await.unwrap();
        let (confirmed, error) = write_until_it_fails(&store).await;
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert!(error.cure().unwrap().contains("free space"));
        assert!(confirmed > 5);
        assert_eq!(number(&path, COUNT).await, confirmed, "readers see what was confirmed");
        assert!(store.close().await.is_err());
        std::fs::remove_file(&ballast).unwrap();

        assert_whole(&path).await;
        let store = Store::open(&path).await.unwrap();
        store.apply(vec![event("again".to_owned())]).await.unwrap();
        assert_eq!(number(&path, COUNT).await, confirmed + 1);
        store.close().await.unwrap();
        assert_whole(&path).await;

        read_only(folder, &path, confirmed + 1).await;
    });
}

/// A file system that is read-only, also for root: writing is refused with a cure, and reading works.
async fn read_only(folder: &Path, path: &Path, events: i64) {
    // Connections that were dropped close in threads of their own, and a file that is open for writing makes it busy.
    // This waits in a way that lets tasks of this runtime go on, which may be what closes them.
    let mut remounted = false;
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(folder).output().unwrap().status.success();
        if remounted {
            break;
        }
    }
    assert!(remounted, "it stays busy");
    let error = Store::open(path).await.err().unwrap();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
    assert!(error.cure().is_some());
    let error = Store::open(&folder.join("new.sqlite")).await.err().unwrap();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error:?}");
    Reader::open(path).await.unwrap();
    assert_eq!(number(path, COUNT).await, events);
}

/// A quota is no full disk for SQLite: it says that it cannot write, and does not say why.
#[test]
fn with_a_limit_on_the_size_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    // Without the signal a write beyond the limit is an error of the write.
    let limit = "trap '' XFSZ; ulimit -f 800";
    let test = "real_disk::inside_a_limit_on_the_size_of_files";
    assert_passed(&run_inside(&mut Command::new("env"), folder.path(), limit, test));
    let confirmed: i64 = std::fs::read_to_string(folder.path().join("confirmed")).unwrap().parse().unwrap();
    block_on(async {
        assert_whole(&path).await;
        assert_eq!(number(&path, COUNT).await, confirmed);
        let store = Store::open(&path).await.unwrap();
        store.apply(vec![event("again".to_owned())]).await.unwrap();
        assert_eq!(number(&path, COUNT).await, confirmed + 1);
        store.close().await.unwrap();
    });
}

#[test]
#[ignore = "runs inside a limit on the size of files only"]
fn inside_a_limit_on_the_size_of_files() {
    let Some(folder) = std::env::var_os(INSIDE) else { return };
    let path = Path::new(&folder).join(DATABASE);
    block_on(async {
        let store = Store::open(&path).await.unwrap();
        let (confirmed, error) = write_until_it_fails(&store).await;
        assert!(matches!(error, StoreError::Disk { .. } | StoreError::Full(_)), "{error:?}");
        assert!(error.cure().is_some(), "{error}");
        assert!(confirmed > 5);
        assert_eq!(number(&path, COUNT).await, confirmed);
        std::fs::write(Path::new(&folder).join("confirmed"), confirmed.to_string()).unwrap();
    });
}
