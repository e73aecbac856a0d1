//! Several sweeps of one home folder, and whether anybody leads them.

use std::time::Duration;

use permafrost::{
    core::{AttemptState, TrialState},
    store::{Change, DATABASE, EndedAttempt, NewSweep, NewWorker, PlannedRow, ResultRows, StateChange, Store},
};
use permafrost_worker::{
    id::TrialId,
    protocol::DeviceInfo,
    task::{Noop, NoopEnd, Task},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::World;

/// A coordinator whose process is this one, or one that has gone.
fn announce(world: &World, pid: u32) {
    let endpoint =
        json!({"instance": Uuid::from_u128(7), "pid": pid, "address": "127.0.0.1:1", "program": "x", "started": 0});
    std::fs::write(world.home.path().join("coordinator.json"), endpoint.to_string()).unwrap();
    std::fs::write(world.home.path().join("token"), "t").unwrap();
}

/// A process that has ended.
fn dead() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

/// Launches a second sweep, `later`: three trials that differ in `index` and a seed; the first is done, one could run, one waits.
async fn launch_later(world: &World) -> Vec<TrialId> {
    let store = Store::open(&world.home.path().join(DATABASE)).await.unwrap();
    let task = |index| Task::Noop(Noop { index, steps: 1, step_ms: 0, after: vec![], end: NoopEnd::Done });
    let planned = |at: u64, index: u64, seed: u64| PlannedRow {
        id: task(1_000 + at).id().unwrap(),
        kind: "noop",
        task: serde_json::to_string(&task(1_000 + at)).unwrap(),
        array_key: "later".to_owned(),
        inputs: vec![],
        stage: "only".to_owned(),
        parameters: json!({"index": index, "other.seed": seed}).to_string(),
    };
    let trials = vec![planned(0, 1, 0), planned(1, 1, 1), planned(2, 2, 0)];
    let ids: Vec<TrialId> = trials.iter().map(|trial| trial.id).collect();
    let report = json!({"stages": [{"name": "only", "kind": "noop", "trials": 3, "note": "", "metric": "value", "maximize": true}]});
    let sweep = NewSweep {
        name: "later".to_owned(),
        source: "name: later".to_owned(),
        digest: "later".to_owned(),
        report: report.to_string(),
        tags: vec![],
        trials,
    };
    let state = |place: usize, from, to| {
        Change::States(vec![StateChange { trial: ids[place], from, to, not_before_in_ms: None }])
    };
    let summary = [("value".to_owned(), 2.0)].into();
    let ended =
        EndedAttempt { trial: ids[0], attempt: 1, state: AttemptState::Done, class: None, message: None, cure: None };
    let device = DeviceInfo { name: "cpu".to_owned(), model: "A processor".to_owned(), threads: 1, memory_bytes: 1 };
    let worker = Uuid::from_u128(2);
    let changes = vec![
        Change::Worker(NewWorker { worker, host: "b".to_owned(), pid: 2, program: "x".to_owned(), device }),
        Change::Submit(sweep),
        state(0, TrialState::Waiting, TrialState::Ready),
        state(2, TrialState::Waiting, TrialState::Ready),
        Change::Grant { worker, leases: vec![(ids[0], 1)] },
        Change::Results(vec![ResultRows { trial: ids[0], attempt: 1, summary, artifacts: vec![] }]),
        Change::Ended(vec![ended]),
        state(0, TrialState::Running, TrialState::Done),
    ];
    let recorded = store.apply(changes).await.unwrap();
    assert!(recorded.refused.is_empty(), "{:?}", recorded.refused);
    store.close().await.unwrap();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_whose_coordinator_died_is_stopped() {
    let world = World::new().await;
    let overview = world.json("/api/overview").await;
    assert_eq!((&overview["state"], &overview["coordinator"]), (&"stopped".into(), &Value::Null));
    announce(&world, std::process::id());
    let overview = world.json("/api/overview").await;
    assert_eq!((&overview["state"], &overview["coordinator"]["pid"]), (&"running".into(), &std::process::id().into()));
    assert_eq!(overview["workers_here"], 1);
    assert!(overview["left"]["ms"].as_i64().is_some(), "{}", overview["left"]);
    let runs = format!("/api/trial/{}", world.made[world.made.len() - 1].id.short());
    let trial = world.json(&runs).await;
    assert_eq!((&trial["state"], &trial["led"]), (&"running".into(), &true.into()));
    let lists = [
        "/api/trials?stage=classify&state=running".to_owned(),
        format!("/api/compare?trials={}", world.made[world.made.len() - 1].id.short()),
        "/api/devices".to_owned(),
    ];
    for list in &lists {
        let answer = world.json(list).await;
        assert!(answer["led"] == true && answer["now"].is_i64(), "{list}");
    }
    announce(&world, dead());
    assert_eq!(world.json(&runs).await["led"], false);
    for list in &lists {
        assert_eq!(world.json(list).await["led"], false, "{list}");
    }
    // Nothing ran longer than a worker was heard from.
    let devices = world.json("/api/devices?range=3600000").await;
    assert!(devices["ran_until"].as_i64() < devices["now"].as_i64(), "{} {}", devices["ran_until"], devices["now"]);
    let overview = world.json("/api/overview").await;
    assert_eq!((&overview["state"], &overview["workers_here"]), (&"stopped".into(), &0.into()));
    assert_eq!(overview["left"]["ms"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hear_of_a_coordinator_that_goes() {
    let world = World::new().await;
    announce(&world, std::process::id());
    let mut stream = world.get("/api/live").await;
    crate::live::hear(&mut stream, "event: news").await;
    // One look that finds it there, then it is gone.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    announce(&world, dead());
    crate::live::hear(&mut stream, "\"coordinator\":true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_is_named_by_name_revision_or_number() {
    let world = World::new().await;
    let ids = launch_later(&world).await;
    let name = |query: &str| {
        let path = format!("/api/overview{query}");
        let world = &world;
        async move { world.json(&path).await["sweep"]["name"].as_str().unwrap().to_owned() }
    };
    for query in ["", "?sweep=later", "?sweep=later@1", "?sweep=later%401", "?sweep=2"] {
        assert_eq!(name(query).await, "later", "{query}");
    }
    assert_eq!(name("?sweep=1").await, crate::support::NASTY);
    let (status, message, _) = world.refusal("/api/overview?sweep=later@2").await;
    assert_eq!((status, message.as_str()), (StatusCode::NOT_FOUND, "there is no sweep `later@2`"));
    // A trial tells its sweep, though another was launched later.
    let old = world.made[40].id.short();
    let about = |query: String| {
        let world = &world;
        async move { world.json(&format!("/api/sweeps?{query}")).await["shown"]["sweep"].as_i64() }
    };
    assert_eq!(about(String::new()).await, Some(2));
    assert_eq!(about(format!("trials={old}")).await, Some(1));
    assert_eq!(about(format!("trials={}", ids[0].short())).await, Some(2));
    assert_eq!(about("sweep=nothing".to_owned()).await, None);
    let compared = world.json(&format!("/api/compare?trials={old},{}", world.made[41].id.short())).await;
    assert_eq!(compared["trials"][0]["stage"], "classify");
    assert_eq!(compared["trials"][0]["goals"]["auroc"], 1);
    let curves = world.json(&format!("/api/curves?trials={old}")).await;
    assert_eq!((&curves["stage"], &curves["axis"]), (&"classify".into(), &"epoch".into()));
    assert_eq!(curves["curves"][0]["points"][0][0], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_sweep_ends_with_its_last_attempt() {
    let world = World::new().await;
    launch_later(&world).await;
    announce(&world, std::process::id());
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let later = world.json("/api/devices?sweep=later").await;
    let behind = |timeline: &Value| timeline["now"].as_i64().unwrap() - timeline["to"].as_i64().unwrap();
    assert!(behind(&later) >= 1_000, "{}", behind(&later));
    // The first one has trials that run.
    assert_eq!(behind(&world.json("/api/devices?sweep=1").await), 0);
    announce(&world, dead());
    assert!(behind(&world.json("/api/devices?sweep=1").await) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grid_averages_over_seeds_and_tells_ready_from_waiting() {
    let world = World::new().await;
    launch_later(&world).await;
    let grid = world.json("/api/grid?sweep=later&f.bogus=1&f.index=77").await;
    assert_eq!((&grid["row"], &grid["column"]), (&"index".into(), &Value::Null));
    assert_eq!((&grid["seeds"], &grid["filters"]), (&true.into(), &json!([])));
    let told = grid["ignored"].to_string();
    assert!(told.contains("no parameter `bogus`") && told.contains("`index` = `77`"), "{told}");
    let state = |index: u64| {
        let rows = grid["table"]["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["parameters"]["index"] == index).unwrap();
        row["cells"][0]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state(1), state(2)), ("partial".to_owned(), "ready".to_owned()));
    // Nothing was reported yet, and it will come.
    let curves = world.json("/api/curves?sweep=later").await;
    assert_eq!((&curves["metrics"], &curves["more"], &curves["axis"]), (&json!([]), &true.into(), &"step".into()));
}
