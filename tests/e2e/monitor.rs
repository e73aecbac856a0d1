//! What a sweep took of its device is recorded and shown.

use std::{io::Read, time::Duration};

use serde_json::Value;

use crate::support::{FAST, World, busy, end, launch, noop, wait};

/// Sampled often enough for short tests.
const OFTEN: [&str; 2] = ["--sample-ms", "50"];

fn json(world: &World, arguments: &[&str]) -> Value {
    let (stdout, _) = world.expect(0, &[arguments, &["--json"]].concat());
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn a_sweep_on_the_processor_tells_what_its_trials_took() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {values: [1, 2]}, steps: {value: 30}, step_ms: {value: 30}"));
    world.expect(0, &[&launch("x.yaml")[..], &OFTEN].concat());
    world.wait_until_quiet();
    assert_eq!(world.number("SELECT count(*) FROM attempt_usage"), 2);
    assert_eq!(world.number("SELECT count(*) FROM workers WHERE ended IS NULL"), 0);
    assert_eq!(
        world.number("SELECT count(*) FROM attempts a JOIN attempts b ON b.begun = a.ended AND b.beside = 1"),
        1
    );
    assert_eq!(world.number("SELECT count(*) FROM devices WHERE name = 'cpu' AND observed_s > 0.5"), 1);
    assert!(world.number("SELECT count(*) FROM device_samples WHERE members = 2 AND own_memory_bytes > 1000000") > 3);
    assert!(world.number("SELECT sum(samples) FROM device_minutes") > 5);
    let trials = json(&world, &["results", "--trials"]);
    let columns = &trials["tables"][0]["columns"];
    let column = columns.as_array().unwrap().iter().position(|name| name == "device_hours").unwrap();
    let rows = trials["tables"][0]["rows"].as_array().unwrap();
    // One after the other, for 0.9 s at least: each has its own.
    let each: Vec<f64> = rows.iter().map(|row| row[column].as_f64().unwrap() * 3600.0).collect();
    assert!(each.iter().all(|seconds| *seconds > 0.6), "{each:?}");
    let seconds: f64 = each.iter().sum();
    let ran = world.number("SELECT max(ended) - min(started) FROM attempts") as f64 / 1e3;
    assert!(seconds > 0.6 * ran && seconds < 1.1 * ran, "{seconds} s of {ran} s");
    let (text, _) = world.expect(0, &["status"]);
    assert!(text.contains("device time: ") && !text.contains("starved"), "{text}");
    let total = json(&world, &["status"])["usage"]["device_hours"].as_f64().unwrap() * 3600.0;
    assert!((total - seconds).abs() < 1e-6, "{total} {seconds}");
    let id = rows[0][0].as_str().unwrap();
    let trial = json(&world, &["explain", id]);
    assert!(trial["usage"]["samples"].as_i64() > Some(3), "{trial}");
    assert!(trial["attempts"][0]["memory_peak_bytes"].as_i64() > Some(1_000_000), "{trial}");
    assert_eq!(trial["usage"]["energy_j"], Value::Null);
    let (text, _) = world.expect(0, &["explain", id]);
    assert!(text.contains("device use") && text.contains("peak memory") && !text.contains("too short"), "{text}");
}

#[test]
fn what_is_not_sampled_is_said_to_be_so() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {value: 1}"));
    world.expect(0, &[&launch("x.yaml")[..], &["--sample-ms", "0"]].concat());
    assert_eq!(world.number("SELECT count(*) FROM devices"), 0);
    let trials = json(&world, &["results", "--trials"]);
    let row = &trials["tables"][0]["rows"][0];
    let (text, _) = world.expect(0, &["explain", row[0].as_str().unwrap()]);
    assert!(text.contains("not sampled"), "{text}");
    assert!(!trials.to_string().contains("device_hours"), "{trials}");
    world.expect(2, &[&launch("x.yaml")[..], &["--sample-ms", "7"]].concat());
}

#[test]
fn status_and_metrics_tell_of_devices_while_a_sweep_runs() {
    let world = World::new();
    let child = busy(&world);
    while world.number("SELECT count(*) FROM device_samples") < 2 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = json(&world, &["status"]);
    assert_eq!(status["devices"][0]["name"], "cpu", "{status}");
    assert!(status["devices"][0]["memory_bytes"].as_i64() > Some(1 << 28), "{status}");
    assert!(status["advice"].is_array(), "{status}");
    let (text, _) = world.expect(0, &["status"]);
    assert!(text.contains("utilisation"), "{text}");
    // As Prometheus asks, with the token of the file.
    let endpoint = permafrost_worker::agent::Endpoint::read(&world.home()).unwrap();
    let mut stream = std::net::TcpStream::connect(&endpoint.address).unwrap();
    let request = format!("GET /metrics HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", endpoint.token);
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    for series in [
        "permafrost_trials{state=\"running\"} 2.0",
        "permafrost_device_memory_used_bytes{",
        "permafrost_running_trial_metric{",
    ] {
        assert!(answer.contains(series), "{series} is not in {answer}");
    }
    world.expect(0, &["drain"]);
    assert_eq!(wait(child).status.code(), Some(130));
}

#[test]
fn a_card_library_that_is_none_is_told_by_doctor() {
    let world = World::new();
    let output = world.command().arg("doctor").env("PERMAFROST_NVML", "/nowhere/libnvidia-ml.so").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("/nowhere/libnvidia-ml.so cannot be used") && text.contains("unset it"), "{text}");
}

/// A worker that is stopped with SIGKILL leaves what is known of its attempts.
#[test]
fn a_killed_worker_leaves_what_is_known() {
    let world = World::new();
    world.write("x.yaml", &noop("index: {value: 1}, steps: {value: 600}, step_ms: {value: 100}"));
    let child = world.start(&[&["launch", "x.yaml"][..], &FAST, &OFTEN].concat());
    while world.number("SELECT count(*) FROM device_samples WHERE members > 0") < 10 {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.processes().1.into_iter().for_each(crate::support::kill);
    while world.number("SELECT count(*) FROM attempts WHERE state = 'lost'") < 1 {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        world.number("SELECT count(*) FROM attempt_usage WHERE attempt = 1 AND samples > 5 AND device_s > 0.3"),
        1
    );
    end(child);
}
