//! What users and clusters do to the real program: wrong input, failing trials, second coordinators, old workers.

use std::{net::TcpListener, time::Duration};

use crate::support::{self, FAST, World, busy, kill, launch, noop, wait};
use permafrost::store::{DATABASE, SqlValue};
use permafrost_worker::{
    PROGRAM_VERSION,
    agent::{AgentError, Client, Endpoint},
    protocol::{DeviceInfo, PROTOCOL_VERSION, Register},
};

#[test]
fn a_sweep_runs_and_prints_its_table() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2, 3]}, steps: {value: 4}"));
    let (stdout, _) = world.expect(0, &launch("x.yaml"));
    assert!(stdout.contains("0.167") && stdout.contains("next:"), "{stdout}");
    assert_eq!(world.number("SELECT count(*) FROM metrics"), 12);
    let (json, _) = world.expect(0, &["results", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sweep"], "x");
    // A longer sweep shares what is there.
    world.write("y.yaml", &noop("index: {values: [1, 2, 3, 4]}, steps: {value: 4}").replace("name: x", "name: y"));
    world.expect(0, &launch("y.yaml"));
    assert_eq!(world.number("SELECT sum(reused) FROM sweep_trials"), 3);
    assert_eq!(world.number("SELECT count(*) FROM attempts"), 4);
}

#[test]
fn failures_are_told_and_can_be_retried() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {value: 1}, end: {values: [done, input, panic, diverged]}"));
    let (_, stderr) = world.expect(3, &launch("x.yaml"));
    assert!(stderr.contains("3 of 4 trials have no result") && stderr.contains("asked to panic"), "{stderr}");
    let count = |state: &str| world.number(&format!("SELECT count(*) FROM trials WHERE state = '{state}'"));
    assert_eq!((count("done"), count("failed"), count("diverged")), (1, 2, 1));
    // A panic is a bug: tried once more, not for ever. Wrong input and divergence are not tried again.
    assert_eq!(world.number("SELECT count(*) FROM attempts"), 1 + 1 + 2 + 1);
    world.wait_until_quiet();
    // The same command tries wrong input again, which may have been mended, but neither a bug nor a divergence.
    world.expect(3, &launch("x.yaml"));
    assert_eq!(world.number("SELECT count(*) FROM attempts"), 6);
    world.wait_until_quiet();
    let (stdout, _) = world.expect(0, &["retry", "--failed"]);
    assert!(stdout.contains("3 trials"), "{stdout}");
    world.expect(3, &launch("x.yaml"));
    assert_eq!(world.number("SELECT count(*) FROM attempts"), 6 + 4);
}

#[test]
fn what_is_cancelled_stops_and_runs_when_it_is_launched_again() {
    let world = World::new();
    let child = busy(&world);
    let (stdout, _) = world.expect(0, &["cancel", "--sweep", "x"]);
    assert!(stdout.contains("2 trials"), "{stdout}");
    assert_eq!(wait(child).status.code(), Some(3));
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE state = 'cancelled'"), 2);
}

#[test]
fn a_second_launch_joins_the_first() {
    let world = World::new();
    let child = busy(&world);
    let pid = world.processes().0;
    world.write("y.yaml", &noop("index: {value: 7}").replace("name: x", "name: y"));
    let second = world.start(&launch("y.yaml"));
    while world.number("SELECT count(*) FROM sweeps") < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(world.processes().0, pid);
    world.expect(0, &["cancel", "--sweep", "x"]);
    assert_eq!(wait(child).status.code(), Some(3));
    assert_eq!(wait(second).status.code(), Some(0));
}

#[test]
fn two_coordinators_cannot_share_a_home() {
    let world = World::new();
    let child = busy(&world);
    let (_, stderr) = world.expect(5, &["coordinator"]);
    assert!(stderr.contains("another coordinator (process") && stderr.contains("--home"), "{stderr}");
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE state = 'running'"), 2, "the first one was disturbed");
    support::end(child);
}

#[test]
fn what_a_killed_coordinator_leaves_behind_is_no_obstacle() {
    let world = World::new();
    let child = busy(&world);
    let pid = world.processes().0.expect("a coordinator runs");
    support::end(child);
    kill(pid);
    assert!(Endpoint::path(&world.home()).exists() && world.home().join("coordinator.lock").exists());
    let (stdout, _) = world.expect(0, &["cancel", "--sweep", "x"]);
    assert!(stdout.contains("2 trials"), "{stdout}");
    world.write("y.yaml", &noop("index: {value: 7}").replace("name: x", "name: y"));
    world.expect(0, &launch("y.yaml"));
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE state = 'lost'"), 2);
}

#[test]
fn an_occupied_port_is_an_error_with_a_cure() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (_, stderr) = world.expect(5, &["coordinator", "--port", &port]);
    assert!(stderr.contains(&port) && stderr.contains("leave out --port"), "{stderr}");
}

#[test]
fn a_worker_of_another_version_is_refused() {
    let world = World::new();
    let child = busy(&world);
    let device = DeviceInfo { name: "cpu".to_owned(), model: "test".to_owned(), threads: 1, memory_bytes: 0 };
    let register = Register {
        protocol: PROTOCOL_VERSION,
        program: "0.0.1".to_owned(),
        worker: uuid::Uuid::new_v4(),
        host: "elsewhere".to_owned(),
        pid: 1,
        device,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let endpoint = Endpoint::read(&world.home()).unwrap();
    let answer = runtime.block_on(Client::new(endpoint.clone()).register(&register));
    let Err(AgentError::Refused { status: 409, refusal, .. }) = answer else { panic!("{answer:?}") };
    assert!(refusal.message.contains("0.0.1") && refusal.message.contains(PROGRAM_VERSION));
    assert!(refusal.cure.is_some());
    // The same without the token, or with a wrong one.
    let stranger = Endpoint { token: "wrong".to_owned(), ..endpoint };
    let answer = runtime.block_on(Client::new(stranger).register(&register));
    assert!(matches!(answer, Err(AgentError::Refused { status: 401, .. })), "{answer:?}");
    assert_eq!(world.number("SELECT count(*) FROM workers"), 1);
    support::end(child);
}

#[test]
fn a_home_that_cannot_be_used_is_an_error_with_a_cure() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {value: 1}"));
    std::fs::write(world.home(), "a file").unwrap();
    let (_, stderr) = world.expect(1, &launch("x.yaml"));
    assert!(stderr.contains("--home"), "{stderr}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {value: 1}"));
    world.expect(0, &launch("x.yaml"));
    world.wait_until_quiet();
    execute(
        &world,
        &[
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)",
        ],
    );
    let database = world.home().join(DATABASE);
    let before = std::fs::read(&database).unwrap();
    world.write("y.yaml", &noop("index: {value: 2}"));
    for arguments in [launch("y.yaml"), vec!["status"]] {
        let (_, stderr) = world.expect(1, &arguments);
        assert!(stderr.contains("9999") && stderr.contains("newer"), "{stderr}");
    }
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn a_database_of_the_version_before_is_brought_up_to_date() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2]}"));
    world.expect(0, &launch("x.yaml"));
    world.wait_until_quiet();
    execute(
        &world,
        &[
            "ALTER TABLE attempts DROP COLUMN begun",
            "ALTER TABLE attempts DROP COLUMN beside",
            "DELETE FROM _sqlx_migrations WHERE version = 3",
        ],
    );
    let (_, stderr) = world.expect(1, &["status"]);
    assert!(stderr.contains("schema version 2") && stderr.contains("launch any sweep"), "{stderr}");
    // What the cure says, does.
    world.expect(0, &launch("x.yaml"));
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE begun = started AND beside = members"), 2);
    assert_eq!(world.number("SELECT count(*) FROM leaderboard"), 2);
}

/// Changes a database as its program never would.
fn execute(world: &World, statements: &[&'static str]) {
    let database = world.home().join(DATABASE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::Connection;
        let mut db = sqlx::SqliteConnection::connect(database.to_str().unwrap()).await.unwrap();
        for statement in statements {
            sqlx::query(*statement).execute(&mut db).await.unwrap();
        }
        db.close().await.unwrap();
    });
}

#[test]
fn a_wheel_that_cannot_be_had_fails_with_the_manual_way() {
    let world = World::new();
    let (reports, bert) = support::synthetic::wheels(world.folder.path());
    world.write("x.yaml", &support::training_sweep(&reports, &bert));
    let wheel = world.folder.path().join(&reports.file);
    let whole = std::fs::read(&wheel).unwrap();
    std::fs::write(&wheel, "damaged").unwrap();
    let arguments = [&["launch", "x.yaml", "--wheel-dir", "."][..], &FAST].concat();
    let (_, stderr) = world.expect(3, &arguments);
    assert!(stderr.contains(&reports.file) && stderr.contains("help:"), "{stderr}");
    let (stdout, _) = world.expect(0, &["status", "synthetic"]);
    assert!(stdout.contains("failed"), "{stdout}");
    let head = "SELECT trial FROM why_waiting WHERE kind = 'classify' AND why LIKE 'cannot run without the result of fetch %' LIMIT 1";
    let Some(SqlValue::Text(head)) = world.ask(head).map(|result| result.rows[0][0].clone()) else { panic!() };
    let (stdout, _) = world.expect(0, &["explain", &head]);
    assert!(stdout.contains("cannot run without the result of fetch") && stdout.contains("retry"), "{stdout}");
    world.wait_until_quiet();
    // Mended, the same command goes on.
    std::fs::write(&wheel, whole).unwrap();
    world.expect(0, &arguments);
}

#[test]
fn what_is_missing_is_listed_before_anything_runs() {
    let world = World::new();
    let table1 = concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps/table1.yaml");
    let (_, stderr) = world.expect(4, &["launch", table1]);
    for what in ["MIMIC-CXR", "PhysioNet", "hub:dmis-lab/biobert-v1.1@551ca18e", "rsna-pneumonia-detection-challenge"] {
        assert!(stderr.contains(what), "{what}: {stderr}");
    }
    assert!(!world.home().exists(), "a home folder was made");
    world.expect(0, &["plan", table1]);
}

#[test]
fn a_killed_worker_is_replaced() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2]}, steps: {value: 30}, step_ms: {value: 50}"));
    let child = world.start(&launch("x.yaml"));
    while world.number("SELECT count(*) FROM attempts WHERE state = 'running'") < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.processes().1.into_iter().for_each(kill);
    assert_eq!(wait(child).status.code(), Some(0));
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE state = 'lost' AND message LIKE '%signal: 9%'"), 2);
    assert_eq!(world.number("SELECT count(*) FROM workers"), 2);
}
