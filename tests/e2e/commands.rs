//! Every verb, as people and programs use it.

use serde_json::Value;

use crate::support::{World, busy, launch, noop, wait};

/// A world in which a small sweep has run.
fn done() -> World {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2, 3]}, steps: {value: 4}"));
    world.expect(0, &launch("x.yaml"));
    world.wait_until_quiet();
    world
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let (stdout, _) = world.expect(0, &[arguments, &["--json"]].concat());
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}"))
}

fn error(world: &World, code: i32, arguments: &[&str]) -> Value {
    let (stdout, stderr) = world.expect(code, &[arguments, &["--json"]].concat());
    assert_eq!(stdout, "", "{arguments:?}");
    let error: Value = serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stderr}"));
    assert_eq!(error["error"]["code"], code, "{arguments:?}");
    error["error"].clone()
}

/// Identity of some trial.
fn some_trial(world: &World) -> String {
    json(world, &["sql", "SELECT id FROM trials ORDER BY trial LIMIT 1"])[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn plan_knows_what_is_there_and_writes_nothing() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2, 3]}, steps: {value: 4}"));
    let plan = json(&world, &["plan", "x.yaml", "--trials"]);
    assert_eq!((&plan["to_run"], &plan["reused"]), (&3.into(), &0.into()));
    assert_eq!(plan["trials"].as_array().unwrap().len(), 3);
    assert!(!world.home().exists());
    world.expect(0, &launch("x.yaml"));
    world.write("y.yaml", &noop("index: {values: [3, 4]}, steps: {value: 4}"));
    let plan = json(&world, &["plan", "y.yaml", "--trials"]);
    assert_eq!((&plan["to_run"], &plan["reused"]), (&1.into(), &1.into()));
    let states: Vec<&Value> = plan["trials"].as_array().unwrap().iter().map(|trial| &trial["state"]).collect();
    assert_eq!(states, [&Value::from("done"), &Value::Null]);
}

#[test]
fn results_come_in_every_form() {
    let world = done();
    for (format, sign) in [
        ("table", "0.143"),
        ("csv", "index,"),
        ("markdown", "| index |"),
        ("latex", "\\begin{tabular}"),
        ("json", "\"tables\""),
    ] {
        let (stdout, _) = world.expect(0, &["results", "--format", format]);
        assert!(stdout.contains(sign), "{format}: {stdout}");
    }
    let trials = json(&world, &["results", "x", "--trials"]);
    assert_eq!(trials["tables"][0]["rows"].as_array().unwrap().len(), 3, "{trials}");
    world.expect(0, &["results", "--stage", "noop", "--format", "csv", "--output", "out.csv"]);
    let written = std::fs::read_to_string(world.folder.path().join("out.csv")).unwrap();
    assert_eq!(written.lines().count(), 4, "{written}");
    assert_eq!(error(&world, 1, &["results", "xx"])["cure"], "did you mean `x`?");
    assert!(error(&world, 1, &["results", "--stage", "embed"])["cure"].as_str().unwrap().contains("noop"));
    let no_folder = error(&world, 1, &["results", "--output", "no/such/folder/x.csv"]);
    assert!(no_folder["message"].as_str().unwrap().ends_with("there is no folder no/such/folder"), "{no_folder}");
}

#[test]
fn what_cannot_be_written_is_told_in_one_way() {
    let told = |world: &World, arguments: &[&str], option: &str| {
        let told = error(world, 1, arguments);
        let message = told["message"].as_str().unwrap();
        assert!(message.contains("cannot write") && message.contains("is a file, and no folder"), "{told}");
        assert_eq!(told["cure"], format!("choose another path with {option}"), "{told}");
        let (_, stderr) = world.expect(1, arguments);
        assert!(!stderr.contains("os error") && stderr.matches("cannot write").count() == 1, "{stderr}");
    };
    let world = done();
    world.write("file", "");
    told(&world, &["results", "--output", "file/x.csv"], "--output");
    told(&world, &["export", "parquet", "--output", "file/x"], "--output");
    told(&world, &["export", "tensorboard", "--output", "file/x"], "--output");
    let world = World::new();
    world.write("home", "");
    world.write("x.yaml", &noop("index: {value: 1}, steps: {value: 4}"));
    told(&world, &launch("x.yaml"), "--home");
    told(&world, &["figure", "params", "--reference", "rsna", "--output", "home/x.svg"], "--output");
}

#[test]
fn what_was_typed_wrong_is_told_to_programs() {
    let world = World::new();
    let told = error(&world, 2, &["diff", "a"]);
    assert_eq!(told["message"], "the following required arguments were not provided: <B>");
    assert_eq!(error(&world, 2, &["figure", "nosuch"])["cure"], "possible values: params, tsne, curves, fractions");
    assert!(
        error(&world, 2, &["history", "--since", "1h", "--until", "2h"])["cure"]
            .as_str()
            .unwrap()
            .contains("--since 2h")
    );
    error(&world, 2, &["history", "--data", "1"]);
}

#[test]
fn a_worker_needs_a_coordinator() {
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    let told = error(&world, 5, &["worker"]);
    assert!(told["message"].as_str().unwrap().starts_with("no coordinator runs in "), "{told}");
    assert_eq!(std::fs::read_dir(world.home()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn sql_answers_and_cannot_write() {
    let world = done();
    let database = std::fs::read(world.home().join(permafrost::store::DATABASE)).unwrap();
    assert_eq!(json(&world, &["sql", "SELECT count(*) AS n FROM trials"])[0]["n"], 3);
    let (csv, _) = world.expect(0, &["sql", "SELECT 1 AS a, 'b,c' AS d", "--format", "csv"]);
    assert_eq!(csv, "a,d\n1,\"b,c\"\n");
    for statement in ["DELETE FROM trials", "DROP VIEW cells", "UPDATE trials SET state = 'ready'", "SELECT"] {
        assert!(error(&world, 1, &["sql", statement])["cure"].as_str().unwrap().contains("only reads"), "{statement}");
    }
    assert_eq!(std::fs::read(world.home().join(permafrost::store::DATABASE)).unwrap(), database);
}

#[test]
fn when_nothing_runs_the_file_alone_is_the_database() {
    let world = done();
    let copy = World::new();
    std::fs::create_dir(copy.home()).unwrap();
    let [from, to] = [&world, &copy].map(|world| world.home().join(permafrost::store::DATABASE));
    std::fs::copy(from, to).unwrap();
    assert_eq!(copy.number("SELECT count(*) FROM results"), 3);
}

#[test]
fn a_trial_is_named_by_its_first_digits() {
    let world = done();
    let id = some_trial(&world);
    let trial = json(&world, &["explain", &id[..10]]);
    assert_eq!((&trial["id"], &trial["state"]), (&id.as_str().into(), &"done".into()));
    assert_eq!(trial["attempts"].as_array().unwrap().len(), 1);
    let (text, _) = world.expect(0, &["explain", &id]);
    assert!(text.contains("is done") && text.contains("value"), "{text}");
    assert!(error(&world, 1, &["explain", "zzz"])["message"].as_str().unwrap().contains("no trial begins with `zzz`"));
    error(&world, 1, &["explain", ""]);
    // A sweep is named instead: what is meant is told.
    for (arguments, cure) in [
        (&["explain", "x"][..], "permafrost status x"),
        (&["logs", "x"], "permafrost results x --trials"),
        (&["cancel", "x"], "permafrost cancel --sweep x"),
        (&["retry", "x@1"], "permafrost retry --failed --sweep x"),
    ] {
        let told = error(&world, 1, arguments);
        assert!(told["message"].as_str().unwrap().contains("is a sweep"), "{told}");
        assert!(told["cure"].as_str().unwrap().contains(cure), "{told}");
    }
}

#[test]
fn logs_are_readable() {
    let world = done();
    let (text, _) = world.expect(0, &["logs"]);
    assert!(text.contains("coordinating"), "{text}");
    let (raw, _) = world.expect(0, &["logs", "--json"]);
    assert!(raw.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{raw}");
    let id = some_trial(&world);
    let (_, stderr) = world.expect(1, &["logs", &id, "--attempt", "7"]);
    assert!(stderr.contains("has no attempt 7"), "{stderr}");
}

#[test]
fn what_is_not_there_yet_is_said() {
    let world = World::new();
    for arguments in [vec!["status"], vec!["results"], vec!["sql", "SELECT 1"], vec!["retry", "--failed"]] {
        let error = error(&world, 1, &arguments);
        assert!(error["message"].as_str().unwrap().contains("there is no database"), "{error}");
        assert!(error["cure"].as_str().unwrap().contains("launch"), "{error}");
    }
    error(&world, 1, &["drain"]);
    let error = error(&world, 5, &["worker"]);
    assert!(error["message"].as_str().unwrap().contains("no coordinator runs"), "{error}");
    assert!(!world.home().join(permafrost::store::DATABASE).exists());
}

#[test]
fn wrong_files_and_wrong_usage_have_their_own_code() {
    let world = World::new();
    world.write("bad.yaml", "name: x\nstagse: {}\n");
    for verb in ["plan", "launch", "doctor"] {
        let (_, stderr) = world.expect(2, &[verb, "bad.yaml"]);
        assert!(stderr.contains("stagse") && stderr.contains("stages"), "{stderr}");
    }
    let told = error(&world, 2, &["plan", "bad.yaml"]);
    let unknown = told["problems"].as_array().unwrap().iter().find(|problem| problem["code"] == "sweep::unknown_key");
    let unknown = unknown.unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&unknown["line"], &unknown["column"]), (&2.into(), &1.into()), "{told}");
    world.expect(2, &["plan", "none.yaml"]);
    world.expect(2, &["lunch"]);
    error(&world, 2, &["lunch"]);
    world.expect(2, &["launch", "x.yaml", "--threads", "0"]);
    assert!(!world.home().exists());
}

#[test]
fn a_device_that_is_not_there_is_an_error_with_a_cure() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {value: 1}"));
    let (_, stderr) = world.expect(5, &[&launch("x.yaml")[..], &["--device", "gpu"]].concat());
    assert!(stderr.contains("unknown device `gpu`") && stderr.contains("cuda:N"), "{stderr}");
    let (_, stderr) = world.expect(1, &[&launch("x.yaml")[..], &["--wheel-dir", "nowhere"]].concat());
    assert!(stderr.contains("cannot open nowhere"), "{stderr}");
    assert!(!world.home().exists());
}

#[test]
fn detached_it_runs_on_and_can_be_drained() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2]}, steps: {value: 600}, step_ms: {value: 100}"));
    let (stdout, _) = world.expect(0, &[&launch("x.yaml")[..], &["--detach"]].concat());
    assert!(stdout.contains("status"), "{stdout}");
    while world.number("SELECT count(*) FROM attempts WHERE state = 'running'") < 2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let status = json(&world, &["status"]);
    assert_eq!(status["running"].as_array().unwrap().len(), 2, "{status}");
    assert!(status["coordinator"]["pid"].is_number(), "{status}");
    world.expect(0, &["drain"]);
    world.wait_until_quiet();
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE state = 'pre-empted'"), 2);
}

#[test]
fn one_more_worker_helps_and_leaves_with_the_coordinator() {
    let world = World::new();
    let child = busy(&world);
    let worker = world.start(&["worker", "--threads", "1"]);
    while world.number("SELECT count(*) FROM workers WHERE ended IS NULL") < 2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    world.expect(0, &["drain"]);
    assert_eq!(wait(worker).status.code(), Some(0));
    assert_eq!(wait(child).status.code(), Some(130));
}

#[test]
fn doctor_tries_to_write() {
    let world = World::new();
    world.write("file", "");
    let home = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_permafrost"));
        let output =
            command.current_dir(world.folder.path()).args(arguments).args(["doctor", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
        checks.as_array().unwrap().iter().find(|check| check["check"] == "home").unwrap().clone()
    };
    // Where permissions allow everything, as they do for root, and the file system nothing.
    let homes = if cfg!(target_os = "linux") { &["file/home", "/proc/home"][..] } else { &["file/home"] };
    for place in homes {
        let check = home(&["--home", place]);
        assert_eq!((&check["state"], check["cure"].is_string()), (&"bad".into(), true), "{check}");
    }
    let (stdout, _) = world.expect(0, &["doctor"]);
    assert!(stdout.contains("will be made"), "{stdout}");
    let left: Vec<_> =
        std::fs::read_dir(world.folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"], "nothing is left behind");
}

#[test]
fn doctor_schema_and_completions() {
    let world = World::new();
    let checks = json(&done(), &["doctor"]);
    assert!(checks.as_array().unwrap().iter().all(|check| check["state"] != "bad"), "{checks}");
    let checks = json(&world, &["doctor"]);
    assert!(checks.as_array().unwrap().iter().all(|check| check["state"] != "bad"), "{checks}");
    let table1 = concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps/table1.yaml");
    let (stdout, _) = world.expect(1, &["doctor", table1]);
    assert!(stdout.contains("PhysioNet"), "{stdout}");
    let (schema, _) = world.expect(0, &["schema"]);
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps/schema.json");
    assert_eq!(schema, std::fs::read_to_string(kept).unwrap());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, _) = world.expect(0, &["completions", shell]);
        assert!(script.contains("launch"), "{shell}");
    }
}
