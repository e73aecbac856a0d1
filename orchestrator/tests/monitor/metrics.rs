//! `/metrics`: what it tells, that Prometheus can read it, and that it stays small.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use permafrost::{monitor::metrics::metrics, store::Change};
use permafrost_worker::protocol::{Happening, Sample};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{WORKER, World, now, sample};

/// Names the Python of the tests.
const PYTHON: &str = "PERMAFROST_TEST_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitor/metrics.py");

/// A database in which every metric has a value.
pub async fn everything() -> World {
    let world = World::new().await;
    let trials = world.sweep(5).await;
    world.begin(&trials[..4]).await;
    world.points(trials[0], &[("train_loss", 0, 9.0), ("train_loss", 1, 0.25), ("val_loss", 0, 0.5)]).await;
    let progress = permafrost::store::Progress { trial: trials[0], attempt: 1, done: 1, total: 4, resumed_step: None };
    world.apply(vec![Change::Progress(vec![progress])]).await;
    world.end(trials[3]).await;
    let throttle = Some("sw-power-cap,hw-thermal".to_owned());
    let at = now();
    let samples = (0..30).map(|second| Sample { throttle: throttle.clone(), ..sample(at - (30 - second) * 1_000) });
    world.news(WORKER, samples.collect(), vec![Happening::Xid(79)]).await;
    world
}

/// The value of a series, as the text has it.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series) && line.as_bytes().get(series.len()) == Some(&b' '));
    line.unwrap_or_else(|| panic!("{series} is not in\n{text}"))[series.len() + 1..].parse().unwrap()
}

#[tokio::test]
async fn values_are_those_of_the_database() {
    let world = everything().await;
    let text = metrics(&world.reader().await).await.unwrap();
    for (series, expected) in [
        ("permafrost_trials{state=\"running\"}", 3.0),
        ("permafrost_trials{state=\"failed\"}", 0.0),
        ("permafrost_sweep_trials{sweep=\"sweep\",stage=\"a \\\"stage\\\"\\\\\\n\",state=\"running\"}", 3.0),
        ("permafrost_attempts_total{kind=\"noop\",state=\"done\"}", 1.0),
        ("permafrost_workers{host=\"node-1\",device=\"cuda:0\"}", 1.0),
        ("permafrost_worker_trials{host=\"node-1\",device=\"cuda:0\"}", 3.0),
        ("permafrost_device_utilisation_ratio{host=\"node-1\",device=\"cuda:0\"}", 0.5),
        ("permafrost_device_memory_size_bytes{host=\"node-1\",device=\"cuda:0\"}", 8e10),
        ("permafrost_device_memory_used_bytes{host=\"node-1\",device=\"cuda:0\"}", 4e9),
        ("permafrost_device_power_watts{host=\"node-1\",device=\"cuda:0\"}", 300.0),
        ("permafrost_device_sm_clock_hertz{host=\"node-1\",device=\"cuda:0\"}", 1.98e9),
        ("permafrost_device_energy_joules_total{host=\"node-1\",device=\"cuda:0\"}", 9_000.0),
        ("permafrost_device_observed_seconds_total{host=\"node-1\",device=\"cuda:0\"}", 30.0),
        ("permafrost_device_busy_seconds_total{host=\"node-1\",device=\"cuda:0\"}", 15.0),
        ("permafrost_device_throttled{host=\"node-1\",device=\"cuda:0\",reason=\"hw-thermal\"}", 1.0),
        ("permafrost_device_ecc_errors_total{host=\"node-1\",device=\"cuda:0\",type=\"corrected\"}", 3.0),
        ("permafrost_device_xid_errors_total{host=\"node-1\",device=\"cuda:0\"}", 1.0),
        ("permafrost_device_last_xid_number{host=\"node-1\",device=\"cuda:0\"}", 79.0),
        ("permafrost_device_finding{host=\"node-1\",device=\"cuda:0\",finding=\"throttled\",warning=\"true\"}", 1.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    // The end of the curve, not its beginning.
    let series: Vec<&str> = text.lines().filter(|line| line.starts_with("permafrost_running_trial_metric{")).collect();
    assert_eq!(series.len(), 2, "{series:?}");
    assert!(series.iter().any(|line| line.contains("train_loss") && line.ends_with(" 0.25")), "{series:?}");
    let progress: Vec<&str> =
        text.lines().filter(|line| line.starts_with("permafrost_running_trial_progress_ratio{")).collect();
    assert!(progress.len() == 1 && progress[0].ends_with(" 0.25"), "{progress:?}");
    assert!(text.ends_with("# EOF\n"));
    let names: BTreeSet<&str> = text.lines().filter_map(|line| line.split([' ', '{']).next()).collect();
    assert!(names.len() > 25, "{names:?}");
}

#[tokio::test]
async fn an_empty_database_has_metrics_too() {
    let world = World::new().await;
    let text = metrics(&world.reader().await).await.unwrap();
    assert_eq!(value(&text, "permafrost_trials{state=\"done\"}"), 0.0);
    assert!(!text.contains("device_utilisation_ratio{"), "{text}");
}

/// Prometheus' own parser agrees, and so does its linter's list of rules.
#[tokio::test]
async fn prometheus_can_read_it() {
    let python = std::env::var(PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import prometheus_client"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        writeln!(std::io::stderr().lock(), "skipped: {PYTHON} names no Python with prometheus_client").unwrap();
        return;
    }
    let world = everything().await;
    let text = metrics(&world.reader().await).await.unwrap();
    let mut child = Command::new(python).arg(SCRIPT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let found: serde_json::Map<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found.len() > 25, "{}", found.len());
    for (name, family) in &found {
        assert_eq!(family["problems"], Value::Array(vec![]), "{name}");
        assert!(name.starts_with("permafrost_"), "{name}");
    }
    // What a user's text holds arrives as it is.
    let stage = &found["permafrost_sweep_trials"]["samples"][0][1]["stage"];
    assert_eq!(stage, "a \"stage\"\\\n");
    assert_eq!(found["permafrost_device_energy_joules"]["samples"][0][2], 9_000.0);
}

#[tokio::test]
async fn a_large_database_has_few_series_and_is_scraped_fast() {
    let world = World::new().await;
    let trials = world.sweep(10_000).await;
    world.begin(&trials[..2_000]).await;
    for worker in 0..200 {
        let id = Uuid::from_u128(100 + worker);
        world.introduce(id, &format!("cuda:{worker}")).await;
        world.news(id, vec![sample(now())], vec![]).await;
    }
    for trial in &trials[..300] {
        world.points(*trial, &[("train_loss", 0, 1.0), ("val_loss", 0, 1.0), ("learning_rate", 0, 1.0)]).await;
    }
    let reader = world.reader().await;
    let began = Instant::now();
    let text = metrics(&reader).await.unwrap();
    let took = began.elapsed();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    writeln!(std::io::stderr().lock(), "{series} series of 10,000 trials and 200 devices in {took:?}").unwrap();
    assert!(series < 8_000, "{series}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
