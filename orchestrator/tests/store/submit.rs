//! Revisions of sweeps, and trials that several of them share.

use permafrost::store::SqlValue;

use crate::support::{World, id, noop, sweep};

#[tokio::test]
async fn an_equal_digest_is_no_new_revision() {
    let world = World::new().await;
    let rows = [("a", r#"{"x":1}"#, noop(1, &[])), ("a", r#"{"x":2}"#, noop(2, &[]))];
    assert_eq!(world.apply(sweep("one", "first", &rows)).await.new_trials, 2);
    assert_eq!(world.apply(sweep("one", "first", &rows)).await.new_trials, 0);
    let revisions = "SELECT name, revision, digest FROM sweeps ORDER BY sweep";
    let row = |name: &str, revision, digest: &str| {
        vec![SqlValue::Text(name.to_owned()), SqlValue::Integer(revision), SqlValue::Text(digest.to_owned())]
    };
    assert_eq!(world.ask(revisions).await, [row("one", 1, "first")]);
    assert_eq!(world.number("SELECT count(*) FROM sweep_trials").await, 2);

    // Another content, another name, and the first content again, which is by then no longer the latest.
    world.apply(sweep("one", "second", &rows[..1])).await;
    world.apply(sweep("two", "first", &rows)).await;
    world.apply(sweep("one", "first", &rows)).await;
    let expected = [row("one", 1, "first"), row("one", 2, "second"), row("two", 1, "first"), row("one", 3, "first")];
    assert_eq!(world.ask(revisions).await, expected);
    assert_eq!(world.number("SELECT count(*) FROM trials").await, 2);
    assert_eq!(world.number("SELECT count(*) FROM sweep_trials").await, 2 + 1 + 2 + 2);
    let launched = "SELECT count(*) FROM events WHERE kind = 'sweep-launched'";
    assert_eq!(world.number(launched).await, 4);
}

#[tokio::test]
async fn a_shared_trial_is_one_row_and_reused_when_it_was_done() {
    let world = World::new().await;
    let (base, open) = (noop(1, &[]), noop(2, &[]));
    let reader = noop(3, &[id(&base)]);
    world.apply(sweep("first", "a", &[("pre", "{}", base.clone()), ("pre", "{}", open.clone())])).await;
    world.finish(id(&base), &[("value", 1.0)]).await;
    let rows = [("warm", "{}", base.clone()), ("warm", "{}", open.clone()), ("head", "{}", reader.clone())];
    let recorded = world.apply(sweep("second", "b", &rows)).await;
    assert_eq!(recorded.new_trials, 1);
    assert_eq!(world.number("SELECT count(*) FROM trials").await, 3);
    let reused = world
        .ask("SELECT t.id, st.reused, st.position FROM sweep_trials st JOIN trials t USING (trial) JOIN sweeps USING (sweep)
              WHERE name = 'second' ORDER BY position")
        .await;
    let row = |task, reused, position| {
        vec![SqlValue::Text(id(task).hex()), SqlValue::Integer(reused), SqlValue::Integer(position)]
    };
    assert_eq!(reused, [row(&base, 1, 0), row(&open, 0, 1), row(&reader, 0, 2)]);
    assert_eq!(world.number("SELECT sum(reused) FROM sweep_trials WHERE sweep = 1").await, 0);
    // Its result shows in both sweeps, from one row.
    assert_eq!(world.number("SELECT count(*) FROM leaderboard").await, 2);
    assert_eq!(world.number("SELECT count(*) FROM results").await, 1);
}

/// A plan is larger than one statement takes.
#[tokio::test]
async fn a_large_plan_keeps_its_order() {
    let world = World::new().await;
    let rows: Vec<_> = (0..4_500).map(|i| ("a", "{}", noop(i, &[]))).collect();
    assert_eq!(world.apply(sweep("large", "a", &rows)).await.new_trials, rows.len());
    let wrong = "SELECT count(*) FROM sweep_trials JOIN trials USING (trial) WHERE task ->> '$.index' <> position";
    assert_eq!(world.number(wrong).await, 0);
    assert_eq!(world.number("SELECT max(position) FROM sweep_trials").await, 4_499);
}
