//! Files that were damaged by a disk, a copy or a tool: an error with a cure, never a panic, and never a wrong end.

use std::{fs, path::Path};

use permafrost::store::{DATABASE, Reader, Store, StoreError};

use crate::support::{World, event, id, noop, sweep};

/// Every error that damage may show as.
fn is_known(error: &StoreError) -> bool {
    let known = matches!(
        error,
        StoreError::Damaged { .. }
            | StoreError::NotADatabase(_)
            | StoreError::Content(_)
            | StoreError::Schema { .. }
            | StoreError::Disk { .. }
            // A query that worked before finds no such table.
            | StoreError::Statement(_)
    );
    known && (error.cure().is_some() || matches!(error, StoreError::Content(_) | StoreError::Schema { .. }))
}

/// Opens and uses the file; whether anything was found to be wrong.
async fn use_it(path: &Path) -> bool {
    let mut errors = Vec::new();
    match Reader::open(path).await {
        Ok(reader) => errors.extend(reader.query("SELECT count(task), count(detail) FROM trials, events").await.err()),
        Err(error) => errors.push(error),
    }
    match Store::open(path).await {
        Ok(store) => {
            errors.extend(store.apply(vec![event("more".to_owned())]).await.err());
            errors.extend(store.close().await.err());
        }
        Err(error) => errors.push(error),
    }
    assert!(errors.iter().all(is_known), "{errors:#?}");
    !errors.is_empty()
}

#[tokio::test]
async fn damage_is_an_error_with_a_cure() {
    let world = World::new().await;
    let rows: Vec<_> = (0..400).map(|i| ("stage", "{}", noop(i, &[]))).collect();
    world.apply(sweep("many", "a", &rows)).await;
    world.finish(id(&rows[0].2), &[("value", 1.0)]).await;
    let (path, folder) = (world.path(), world.folder);
    world.store.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    let mut seen = 0;

    // Whole pages of noise, as a failing disk gives them.
    let pages = whole.len() / 4096;
    for page in (1..pages).step_by(7) {
        let mut bad = whole.clone();
        bad[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(&path, bad).unwrap();
        seen += usize::from(use_it(&path).await);
        clear_log(folder.path());
    }
    assert!(seen > 3, "damage was found only {seen} times");

    // Cut short, as a copy that was interrupted.
    for length in [50, 99, 100, 2_000, 4_096, 5_000, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(use_it(&path).await, "{length} bytes of {} are as good as all", whole.len());
        clear_log(folder.path());
    }
    fs::write(&path, &whole).unwrap();
    assert!(!use_it(&path).await);
}

/// What an attempt to use the damaged file left belongs to no other.
fn clear_log(folder: &Path) {
    for name in ["-wal", "-shm"] {
        fs::remove_file(folder.join(format!("{DATABASE}{name}"))).ok();
    }
}
