//! Samples become rows: the last hour, minutes, totals, and what attempts took.

use permafrost::store::{DATABASE, SqlValue, Store};
use permafrost_worker::{
    datasets::Split,
    protocol::{Happening, Sample},
    task::{Project, Target, Task},
};
use uuid::Uuid;

use crate::support::{World, noop, now, sample};

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found}, not {expected}");
}

#[tokio::test]
async fn samples_are_kept_for_an_hour_and_minutes_for_ever() {
    let world = World::new().await;
    let minute = now() - now().rem_euclid(60_000) - 120_000;
    let old = minute - 7_200_000;
    // Two hours ago; the trimming is due once so many have come.
    world.samples((1..=30).map(|second| sample(old + second * 1_000)).collect()).await;
    world
        .samples((1..=30).map(|second| Sample { utilisation: Some(0.9), ..sample(minute + second * 1_000) }).collect())
        .await;
    world
        .samples((31..=59).map(|second| Sample { utilisation: None, ..sample(minute + second * 1_000) }).collect())
        .await;
    close(world.numbers("SELECT count(*) FROM device_samples").await[0], 59.0);
    let minutes = world
        .numbers(&format!(
            "SELECT samples, seconds, utilisation, memory_used_bytes, power_w, energy_j, temperature_c, sm_clock_mhz, throttled, busy_members
             FROM device_minutes WHERE minute = {minute}"
        ))
        .await;
    let expected = [59.0, 59.0, 0.9, 4e9, 300.0, 59.0 * 300.0, 60.0, 1980.0, 0.0, 4.0];
    minutes.iter().zip(expected).for_each(|(found, expected)| close(*found, expected));
    close(world.numbers("SELECT count(*) FROM device_minutes").await[0], 2.0);
    let totals = world.numbers("SELECT observed_s, busy_s, energy_j FROM devices").await;
    let expected = [89.0, 30.0 * 0.5 + 30.0 * 0.9, 89.0 * 300.0];
    totals.iter().zip(expected).for_each(|(found, expected)| close(*found, expected));
    // What is old when a coordinator starts goes, too.
    world.samples(vec![sample(old)]).await;
    let World { folder, store } = world;
    store.close().await.unwrap();
    let store = Store::open(&folder.path().join(DATABASE)).await.unwrap();
    let world = World { folder, store };
    close(world.numbers("SELECT count(*) FROM device_samples").await[0], 59.0);
}

#[tokio::test]
async fn means_of_a_minute_are_weighted_by_time() {
    let world = World::new().await;
    let minute = now() - now().rem_euclid(60_000) - 60_000;
    let hot = Some("hw-thermal".to_owned());
    world
        .samples(vec![
            // The first of all stands for nothing.
            Sample { span_ms: 0, energy_j: None, utilisation: Some(1.0), power_w: Some(1e6), ..sample(minute + 1_000) },
            Sample { utilisation: Some(0.2), power_w: Some(100.0), ..sample(minute + 2_000) },
            Sample {
                span_ms: 3_000,
                utilisation: Some(0.6),
                power_w: None,
                throttle: hot,
                members: 0,
                ..sample(minute + 5_000)
            },
        ])
        .await;
    let found =
        world.numbers("SELECT seconds, utilisation, power_w, throttled, busy_members FROM device_minutes").await;
    let expected = [4.0, (0.2 + 3.0 * 0.6) / 4.0, 100.0, 0.75, 1.0];
    found.iter().zip(expected).for_each(|(found, expected)| close(*found, expected));
}

#[tokio::test]
async fn two_workers_of_a_device_do_not_make_two_of_its_seconds() {
    let world = World::new().await;
    let other = Uuid::from_u128(8);
    world.introduce(other, "cuda:0").await;
    let begin = now() - 30_000;
    for second in 0..10 {
        world.samples(vec![sample(begin + second * 1_000)]).await;
        world.news(other, vec![sample(begin + second * 1_000 + 500)], vec![]).await;
    }
    let found = world.numbers("SELECT count(*), sum(observed_s), sum(energy_j) FROM devices").await;
    // The first sample's whole second, and then what each adds.
    let seconds = 1.0 + 0.5 * 19.0;
    found.iter().zip([1.0, seconds, 300.0 * seconds]).for_each(|(found, expected)| close(*found, expected));
}

#[tokio::test]
async fn what_is_not_told_is_null() {
    let world = World::new().await;
    world.samples(vec![Sample { at: now(), ..Sample::default() }]).await;
    let row = &world.ask("SELECT * FROM device_samples").await[0];
    // Device, time and members.
    assert_eq!(row.iter().filter(|value| **value != SqlValue::Null).count(), 3, "{row:?}");
    let row = &world.ask("SELECT * FROM device_minutes").await[0];
    // Device, minute, samples, seconds, throttled, members.
    assert_eq!(row.iter().filter(|value| **value != SqlValue::Null).count(), 6, "{row:?}");
}

/// A trial of a kind that runs side by side on all threads.
fn projection(seed: u64) -> Task {
    let input = noop(0).id().unwrap();
    Task::Project(Project {
        dataset: input,
        image: input,
        adaptor: input,
        image_width: 8,
        label: "x".to_owned(),
        target: Target::Binary,
        split: Split::Test,
        samples: 10,
        perplexity: 3.0,
        iterations: 5,
        seed,
    })
}

#[tokio::test]
async fn attempts_have_what_they_took() {
    let world = World::new().await;
    let trials = world.sweep_of((0..4).map(projection).collect()).await;
    world.begin(&trials[..2]).await;
    let began = world.numbers("SELECT max(started) FROM attempts").await[0] as i64;
    let at = began + 4_000;
    world.samples(vec![Sample { span_ms: 2_000, energy_j: Some(600.0), ..sample(at) }]).await;
    let usage = "SELECT utilisation, device_hours * 3600, energy_j, memory_peak_bytes, samples FROM trial_usage WHERE trial_id = ";
    for trial in &trials[..2] {
        let found = world.numbers(&format!("{usage} '{trial}'")).await;
        found.iter().zip([0.5, 1.0, 300.0, 3e9, 1.0]).for_each(|(found, expected)| close(*found, expected));
    }
    let detail = world.reader().await.trial(trials[0]).await.unwrap();
    assert_eq!(detail.attempts[0].samples, Some(1));
    close(detail.usage.unwrap().energy_j.unwrap(), 300.0);
    // A trial that began and ended between two samples.
    world.begin(&trials[2..3]).await;
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    world.end(trials[2]).await;
    let ended = world.numbers("SELECT max(ended) FROM attempts").await[0] as i64;
    world.samples(vec![Sample { span_ms: (ended + 500 - began) as u64, ..sample(ended + 500) }]).await;
    let detail = world.reader().await.trial(trials[2]).await.unwrap();
    assert_eq!(detail.attempts[0].samples, Some(0));
    let usage = detail.usage.unwrap();
    assert!(usage.utilisation.is_none() && usage.memory_peak_bytes.is_none() && usage.device_hours > 0.0, "{usage:?}");
    // One that nobody sampled.
    let detail = world.reader().await.trial(trials[3]).await.unwrap();
    assert!(detail.usage.is_none());
    let all = world.reader().await.sweep_usage(1).await.unwrap();
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn members_that_take_their_turn_have_their_own_time() {
    let world = World::new().await;
    let trials = world.sweep(3).await;
    world.begin(&trials).await;
    let first = now();
    world.samples(vec![sample(first)]).await;
    let state = "SELECT sum(begun = started), count(begun), max(beside), max(members) FROM attempts";
    assert_eq!(world.numbers(state).await, [1.0, 1.0, 1.0, 3.0]);
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    world.end(trials[0]).await;
    let turns = "SELECT b.begun - a.ended, b.begun - b.started >= 30, c.begun IS NULL
                 FROM attempts a, attempts b, attempts c WHERE (a.trial, b.trial, c.trial) = (1, 2, 3)";
    assert_eq!(world.numbers(turns).await, [0.0, 1.0, 1.0]);
    let progress = world.reader().await.progress(1).await.unwrap();
    assert_eq!(progress.running.iter().map(|row| row.begun.is_some()).collect::<Vec<_>>(), [true, false]);
    // What the first took is not the others'.
    world.end(trials[1]).await;
    world.end(trials[2]).await;
    let ended = world.numbers("SELECT max(ended) FROM attempts").await[0] as i64;
    world.samples(vec![Sample { span_ms: (ended + 100 - first) as u64, ..sample(ended + 100) }]).await;
    let times = "SELECT abs(sum(u.device_s) - sum(a.ended - a.begun) / 1000.0) < 1e-6, max(u.device_s) = min(u.device_s) FILTER (WHERE a.trial = 1)
                 FROM attempts a JOIN attempt_usage u USING (trial, attempt)";
    assert_eq!(world.numbers(times).await, [1.0, 1.0]);
}

#[tokio::test]
async fn incidents_are_events_with_their_meaning() {
    let world = World::new().await;
    let news = vec![Happening::Xid(79), Happening::Lost("gone".to_owned()), Happening::Back, Happening::Xid(4_000_000)];
    world.news(crate::support::WORKER, vec![sample(now())], news).await;
    let rows = world.ask("SELECT kind, detail, worker FROM events WHERE worker IS NOT NULL ORDER BY event").await;
    let text = |row: &[SqlValue], column: usize| match &row[column] {
        SqlValue::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let kinds: Vec<String> = rows.iter().map(|row| text(row, 0)).collect();
    assert_eq!(kinds, ["xid", "device-lost", "device-back", "xid"]);
    assert!(text(&rows[0], 1).contains("cuda:0 on node-1: critical error (XID) 79: the card has fallen off the bus"));
    assert!(text(&rows[3], 1).ends_with("4000000"), "{}", text(&rows[3], 1));
    let found = world.numbers("SELECT xid_errors, last_xid FROM devices").await;
    assert_eq!(found, [2.0, 4_000_000.0]);
}
