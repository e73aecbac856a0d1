//! Results handed to other tools, read back by those tools' own code. Where a tool is not installed, its test is skipped, and
//! says so. `PERMAFROST_TEST_PYTHON` names the Python that has them; without it `python3` is asked.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{self, World, kill, launch, synthetic, training_sweep};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(600);

/// A Python that has these packages; else the test is skipped, visibly.
fn python(packages: &[&str]) -> Option<String> {
    let python = std::env::var("PERMAFROST_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let code = format!("import {}", packages.join(", "));
    let found = Command::new(&python).args(["-c", &code]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr().lock(), "skipped {test}: {python} lacks one of {}", packages.join(", ")).unwrap();
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python").join(name)
}

/// Runs a Python script to its end; it must succeed.
fn run_python(python: &str, folder: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(python).args(arguments).current_dir(folder).env("PYTHONWARNINGS", "ignore").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    stdout
}

/// A sweep with trials that are done, one that failed, and some that were interrupted and repeated steps.
fn interrupted() -> World {
    let world = World::new();
    world.write("x.yaml", &support::noop("index: {values: [1, 2]}, steps: {value: 60}, step_ms: {value: 30}"));
    let child = world.start(&[&launch("x.yaml")[..], &["--checkpoint-ms", "300"]].concat());
    while world.number("SELECT count(*) FROM metrics") < 40 {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.processes().1.into_iter().for_each(kill);
    support::wait(child);
    assert!(world.number("SELECT max(attempts) FROM trials") > 1, "nothing was interrupted");
    let more = "index: {values: [1, 2, 3]}, steps: {value: 60}, step_ms: {value: 30}, end: {values: [done, input]}";
    world.write("x.yaml", &support::noop(more));
    world.expect(3, &launch("x.yaml"));
    world
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let (stdout, _) = world.expect(0, &[arguments, &["--json"]].concat());
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn tensorboard_reads_what_was_written() {
    let world = interrupted();
    let export = ["export", "tensorboard", "--output", "runs"];
    let first = json(&world, &export);
    let runs = first["runs"].as_i64().unwrap();
    assert!(runs >= 6 && first["changed"] == runs && first["values"].as_i64().unwrap() > 200, "{first}");
    // Run again, nothing is written.
    let second = json(&world, &export);
    assert_eq!((&second["runs"], &second["changed"], &second["values"]), (&first["runs"], &0.into(), &0.into()));
    // What was cut off comes again, and only that.
    let file = walk(&world.folder.path().join("runs"));
    let content = std::fs::read(&file).unwrap();
    std::fs::write(&file, &content[..content.len() / 2]).unwrap();
    let third = json(&world, &export);
    assert_eq!(third["changed"], 1, "{third}");
    assert_eq!(std::fs::read(&file).unwrap(), content, "the file is not what it was");
    let Some(python) = python(&["tensorboard"]) else { return };
    let check = |world: &World| {
        let database = world.home().join(permafrost::store::DATABASE);
        let arguments =
            [script("check_tensorboard.py").display().to_string(), "runs".to_owned(), database.display().to_string()];
        run_python(&python, world.folder.path(), &arguments.each_ref().map(String::as_str))
    };
    let told = check(&world);
    assert!(told.contains(&format!("{runs} runs")), "{told}");
    // A trial that runs again has a run that begins anew.
    world.wait_until_quiet();
    world.expect(0, &["retry", "--failed"]);
    world.expect(3, &launch("x.yaml"));
    let again = json(&world, &export);
    assert!(again["changed"].as_i64().unwrap() > 0, "{again}");
    check(&world);
}

/// An event file that has more than a few records.
fn walk(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).expect("there are files")
}

#[test]
fn tensorboard_can_follow_a_sweep() {
    let world = World::new();
    world.write("x.yaml", &support::noop("index: {values: [1, 2]}, steps: {value: 60}, step_ms: {value: 50}"));
    let child = world.start(&launch("x.yaml"));
    while world.number("SELECT count(*) FROM metrics") == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let followed = json(&world, &["export", "tensorboard", "--follow", "--output", "runs"]);
    // All of it, without a repeat: 60 values and one result of each.
    let results = world.number("SELECT count(*) FROM results");
    assert_eq!(followed["values"], 120 + results, "{followed}");
    assert_eq!(followed["unfinished"], 0);
    support::wait(child);
}

/// A tracking server on loopback that ends with the test.
struct Mlflow {
    child: Child,
    address: String,
}

impl Mlflow {
    fn start(python: &str, folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = ["--host", "127.0.0.1", "--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"];
        let child = Command::new(python)
            .args(["-m", "mlflow", "server", "--artifacts-destination", "./mlartifacts", "--port", &port.to_string()])
            .args(arguments)
            .current_dir(folder)
            .stdout(std::fs::File::create(folder.join("mlflow.log")).unwrap())
            .stderr(Stdio::null())
            // One process group, so that all of it can be ended.
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Self { child, address: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + START;
        let health = ureq::Agent::config_builder().proxy(None).build().new_agent();
        while health.get(format!("{}/health", server.address)).call().is_err() {
            assert!(Instant::now() < deadline, "the server does not start");
            std::thread::sleep(Duration::from_millis(200));
        }
        server
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        self.child.wait().ok();
    }
}

#[test]
fn mlflow_has_each_trial_once() {
    let Some(python) = python(&["mlflow"]) else { return };
    let world = interrupted();
    let server = Mlflow::start(&python, world.folder.path());
    let export = ["export", "mlflow", "--to", server.address.as_str()];
    let first = json(&world, &export);
    let runs = first["created"].as_i64().unwrap();
    assert!(runs >= 6 && first["present"] == 0 && first["replaced"] == 0, "{first}");
    let second = json(&world, &export);
    assert_eq!((&second["created"], &second["replaced"], &second["present"]), (&0.into(), &0.into(), &runs.into()));
    let check = |world: &World| {
        let database = world.home().join(permafrost::store::DATABASE);
        let arguments = [
            script("check_mlflow.py").display().to_string(),
            server.address.clone(),
            "x".to_owned(),
            database.display().to_string(),
        ];
        run_python(&python, world.folder.path(), &arguments.each_ref().map(String::as_str))
    };
    let told = check(&world);
    assert!(told.contains(&format!("{runs} runs")), "{told}");
    // What ran again takes the place of what was there.
    world.wait_until_quiet();
    world.expect(0, &["retry", "--failed"]);
    world.expect(3, &launch("x.yaml"));
    let again = json(&world, &export);
    assert!(again["replaced"].as_i64().unwrap() > 0 && again["created"] == 0, "{again}");
    check(&world);
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_cure() {
    let world = World::new();
    world.write("x.yaml", &support::noop("index: {value: 1}"));
    world.expect(0, &launch("x.yaml"));
    let (_, stderr) = world.expect(1, &["export", "mlflow", "--to", "http://127.0.0.1:9"]);
    assert!(stderr.contains("no MLflow server answers") && stderr.contains("mlflow server --port"), "{stderr}");
    let (_, stderr) = world.expect(1, &["export", "mlflow", "--to", "sqlite:///mlflow.db"]);
    assert!(
        stderr.contains("not the address of an MLflow server") && stderr.contains("MLFLOW_TRACKING_URI"),
        "{stderr}"
    );
    let (_, stderr) = world.expect(1, &["export", "parquet", "nosuch"]);
    assert!(stderr.contains("no sweep `nosuch`"), "{stderr}");
    // A server that is something else.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            assert!(stream.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0));
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").ok();
        }
    });
    let (_, stderr) = world.expect(1, &["export", "mlflow", "--to", &address]);
    assert!(stderr.contains("is not an MLflow server") && stderr.contains("hello"), "{stderr}");
}

#[test]
fn the_python_manual_is_right() {
    let Some(python) = python(&["pandas", "pyarrow", "torch", "safetensors"]) else { return };
    let world = World::new();
    let (reports, bert) = synthetic::wheels(world.folder.path());
    world.write("sweep.yaml", &training_sweep(&reports, &bert));
    let wheels = world.folder.path().display().to_string();
    world.expect(0, &[&launch("sweep.yaml")[..], &["--wheel-dir", &wheels]].concat());
    world.expect(0, &["export", "parquet", "--output", "export"]);
    std::os::unix::fs::symlink(world.home(), world.folder.path().join(".permafrost")).unwrap();
    let manual = include_str!("../../docs/python.md").replace("quickstart", "synthetic");
    let mut code = String::new();
    for block in manual.split("```python\n").skip(1) {
        code += block.split("```").next().unwrap();
        code += "\n";
    }
    assert!(code.contains("load_state_dict") && code.contains("read_parquet"), "blocks were not found");
    // Not only what the manual says, but that all rows came along.
    code += "
assert len(cells) > 0 and len(scores) > 0
curves = pandas.read_parquet('export/curves.parquet')
history = pandas.read_sql('SELECT trial_id, metric, step, value FROM history', db)
key = ['trial_id', 'metric', 'step']
same = curves.merge(history, on=key, suffixes=('', '_known'), validate='one_to_one')
assert len(same) == len(curves) == len(history) > 0 and (same.value == same.value_known).all()
known = pandas.read_sql('SELECT count(*) AS n FROM leaderboard', db).n[0]
assert results.value.notna().sum() == known, (len(results), known)
assert results.fraction.dtype == 'float64' and results.seed.dropna().eq(results.seed.dropna().astype(int)).all()
assert str(results.started.dtype).startswith('datetime64') and 'UTC' in str(results.started.dtype)
print('rows agree')
";
    let path = world.write("manual.py", &code);
    let told = run_python(&python, world.folder.path(), &[path.to_str().unwrap()]);
    assert!(told.contains("greatest difference to the program's scores") && told.contains("rows agree"), "{told}");
}
