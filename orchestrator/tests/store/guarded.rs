//! Only the current attempt writes; what comes late is an event and changes nothing.

use permafrost::{
    core::{AttemptState, TrialState},
    store::{Change, DATABASE, Refused, Store},
};
use sqlx::Connection;

use crate::support::{World, checkpoint, ended, event, id, new_worker, noop, number, points_of, results, state, sweep};

/// Everything that a late attempt could have changed.
const CONTENT: &str = "SELECT json_array(
    (SELECT json_group_array(json_array(trial, state, attempts, ended)) FROM trials),
    (SELECT json_group_array(json_array(trial, attempt, state, ended, done_units, message)) FROM attempts),
    (SELECT json_group_array(json_array(trial, metric, step, attempt, value)) FROM metrics),
    (SELECT json_group_array(json_array(trial, name, value)) FROM results),
    (SELECT json_group_array(json_array(trial, name, attempt, path)) FROM artifacts),
    (SELECT json_group_array(json_array(trial, step, attempt, path)) FROM checkpoints))";

const REFUSED: &str = "SELECT count(*) FROM events WHERE kind = 'refused'";

#[tokio::test]
async fn what_an_old_attempt_brings_is_refused() {
    let world = World::new().await;
    let task = noop(1, &[]);
    let trial = id(&task);
    world.apply(sweep("one", "a", &[("stage", "{}", task)])).await;
    world.begin(trial).await;
    world.points(trial, 1, &[(0, 0.5)]).await;
    world.apply(checkpoint(trial, 1, 3)).await;
    world.end(trial, 1, AttemptState::Lost, TrialState::Ready).await;
    world.grant(trial, 2).await;
    world.points(trial, 2, &[(0, 0.25)]).await;

    let before = world.ask(CONTENT).await;
    // 1 was lost, 3 does not exist yet.
    for (attempt, others) in [(1, 0), (3, 4)] {
        let late = [
            ("metrics", points_of(trial, attempt, &[(0, 9.0), (1, 9.0)])),
            ("checkpoint", checkpoint(trial, attempt, 9)),
            ("results", results(trial, attempt, &[("auroc", 9.0)])),
            ("end of attempt", ended(trial, attempt, AttemptState::Done)),
        ];
        for (done, (what, change)) in late.into_iter().enumerate() {
            let recorded = world.apply(change).await;
            assert_eq!(recorded.refused, [Refused { what, trial, attempt }]);
            assert_eq!(world.ask(CONTENT).await, before, "{what} of attempt {attempt} changed something");
            assert_eq!(world.number(REFUSED).await, others + done as i64 + 1);
        }
    }
    let progress = permafrost::store::Progress { trial, attempt: 1, done: 9, total: 9, resumed_step: Some(3) };
    assert_eq!(world.apply(Change::Progress(vec![progress])).await.refused, [], "late progress is no news");
    assert_eq!(world.ask(CONTENT).await, before);

    // The current one goes on as if nothing had been.
    world.apply(results(trial, 2, &[("auroc", 0.5)])).await;
    world.end(trial, 2, AttemptState::Done, TrialState::Done).await;
    assert_eq!(world.number("SELECT count(*) FROM results WHERE value = 0.5").await, 1);
}

#[tokio::test]
async fn after_its_end_an_attempt_writes_nothing_more() {
    let world = World::new().await;
    let task = noop(1, &[]);
    let trial = id(&task);
    world.apply(sweep("one", "a", &[("stage", "{}", task)])).await;
    world.finish(trial, &[("auroc", 0.5)]).await;
    let before = world.ask(CONTENT).await;
    let late = vec![
        points_of(trial, 1, &[(5, 1.0)]),
        results(trial, 1, &[("auroc", 1.0)]),
        ended(trial, 1, AttemptState::Failed),
        state(trial, TrialState::Running, TrialState::Failed),
        Change::Grant { worker: world.worker, leases: vec![(trial, 2)] },
    ];
    let recorded = world.store.apply(late).await.unwrap();
    let what: Vec<&str> = recorded.refused.iter().map(|refused| refused.what).collect();
    assert_eq!(what, ["metrics", "results", "end of attempt", "state", "grant"]);
    assert_eq!(world.ask(CONTENT).await, before);
}

#[tokio::test]
async fn one_refusal_leaves_its_neighbours() {
    let world = World::new().await;
    let tasks: Vec<_> = (0..3).map(|i| noop(i, &[])).collect();
    let ids: Vec<_> = tasks.iter().map(id).collect();
    let rows: Vec<_> = tasks.into_iter().map(|task| ("stage", "{}", task)).collect();
    world.apply(sweep("three", "a", &rows)).await;
    for &trial in &ids {
        world.begin(trial).await;
    }
    world.end(ids[1], 1, AttemptState::Lost, TrialState::Ready).await;
    let Change::Results(mut all) = results(ids[0], 1, &[("auroc", 0.0)]) else { unreachable!() };
    for &trial in &ids[1..] {
        let Change::Results(more) = results(trial, 1, &[("auroc", 0.0)]) else { unreachable!() };
        all.extend(more);
    }
    let recorded = world.apply(Change::Results(all)).await;
    assert_eq!(recorded.refused, [Refused { what: "results", trial: ids[1], attempt: 1 }]);
    assert_eq!(world.number("SELECT count(*) FROM results").await, 2);
    assert_eq!(world.number("SELECT count(*) FROM artifacts").await, 2);
}

#[tokio::test]
async fn the_last_two_checkpoints_are_kept_until_the_trial_is_done() {
    let world = World::new().await;
    let task = noop(1, &[]);
    let trial = id(&task);
    world.apply(sweep("one", "a", &[("stage", "{}", task)])).await;
    world.begin(trial).await;
    let mut steps = Vec::new();
    for step in [10, 20, 30, 40] {
        world.apply(checkpoint(trial, 1, step)).await;
        steps.push(step as i64);
        let kept = world.ask("SELECT step FROM checkpoints ORDER BY step").await;
        let expected: Vec<_> = steps[steps.len().saturating_sub(2)..].to_vec();
        assert_eq!(kept.into_iter().flatten().collect::<Vec<_>>(), expected.into_iter().map(sql).collect::<Vec<_>>());
    }
    // An attempt that went on from step 30 writes step 40 again: the file is its own.
    world.end(trial, 1, AttemptState::Lost, TrialState::Ready).await;
    world.grant(trial, 2).await;
    world.apply(checkpoint(trial, 2, 40)).await;
    let kept = world.ask("SELECT step, attempt FROM checkpoints ORDER BY step").await;
    assert_eq!(kept, [[sql(30), sql(1)], [sql(40), sql(2)]]);
    world.apply(results(trial, 2, &[])).await;
    assert_eq!(world.number("SELECT count(*) FROM checkpoints").await, 0);
}

fn sql(number: i64) -> permafrost::store::SqlValue {
    permafrost::store::SqlValue::Integer(number)
}

#[tokio::test]
async fn events_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    Store::open(&path).await.unwrap().close().await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut raw = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let fill = "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 104000)
                INSERT INTO events (at, kind, detail) SELECT n, 'old', 'detail' FROM i";
    sqlx::query(fill).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();

    let store = Store::open(&path).await.unwrap();
    store.apply(vec![new_worker(uuid::Uuid::from_u128(1))]).await.unwrap();
    assert_eq!(number(&path, "SELECT count(*) FROM events").await, 100_000);
    for round in 0..3 {
        let many = (0..900).map(|i| event(format!("{round} {i}"))).collect();
        store.apply(many).await.unwrap();
        let count = number(&path, "SELECT count(*) FROM events").await;
        assert!((100_000..101_000).contains(&count), "{count} events");
    }
    // The newest are all there; the oldest went.
    assert_eq!(number(&path, "SELECT count(*) FROM events WHERE kind = 'test'").await, 2_700);
    assert!(number(&path, "SELECT min(at) FROM events").await > 4_000);
    store.close().await.unwrap();
}
