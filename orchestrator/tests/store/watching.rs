//! What `top`, the page and figures ask: trials by words, events of one sweep, and curves.

use permafrost::store::{Change, Listed, Reader};

use crate::support::{World, id, noop, sweep};

fn event(kind: &'static str, trial: Option<permafrost_worker::id::TrialId>) -> Change {
    Change::Event { kind, trial, detail: "a detail".to_owned() }
}

#[tokio::test]
async fn a_sweep_has_its_own_events_and_those_of_no_trial() {
    let world = World::new().await;
    let (mine, shared, other) = (noop(1, &[]), noop(2, &[]), noop(3, &[]));
    let first = sweep("first", "a", &[("a", r#"{"index":1}"#, mine.clone()), ("a", r#"{"index":2}"#, shared.clone())]);
    let second =
        sweep("second", "b", &[("a", r#"{"index":2}"#, shared.clone()), ("a", r#"{"index":3}"#, other.clone())]);
    world.apply(first).await;
    world.apply(second).await;
    for (kind, trial) in
        [("mine", Some(id(&mine))), ("shared", Some(id(&shared))), ("other", Some(id(&other))), ("drain", None)]
    {
        world.apply(event(kind, trial)).await;
    }
    let reader = Reader::open(&world.path()).await.unwrap();
    let kinds = async |sweep: i64, at_most: i64| -> Vec<String> {
        let events = reader.events_of(sweep, at_most).await.unwrap().into_iter().map(|event| event.kind);
        events.filter(|kind| kind != "sweep-launched").collect()
    };
    assert_eq!(kinds(1, 100).await, ["drain", "shared", "mine"]);
    assert_eq!(kinds(2, 100).await, ["drain", "other", "shared"]);
    assert_eq!(kinds(2, 2).await, ["drain", "other"], "the newest");
}

#[tokio::test]
async fn trials_are_found_by_words() {
    let world = World::new().await;
    let place = |vision: &str, fraction: f64| format!(r#"{{"vision":"{vision}","fraction":{fraction}}}"#);
    let rows: Vec<(String, _)> = [("edges", 0.01), ("edges", 0.1), ("edges-2", 0.01), ("layout", 0.01)]
        .into_iter()
        .enumerate()
        .map(|(at, (vision, fraction))| (place(vision, fraction), noop(at as u64, &[])))
        .collect();
    let planned: Vec<_> = rows.iter().map(|(text, task)| ("classify", text.as_str(), task.clone())).collect();
    world.apply(sweep("x", "a", &planned)).await;
    let reader = Reader::open(&world.path()).await.unwrap();
    let found = async |filter: &str, at_most: i64| -> Vec<usize> {
        let listed = Listed { filter, ..Listed::default() };
        let lines = reader.trial_lines(1, &listed, at_most).await.unwrap();
        lines.iter().map(|line| rows.iter().position(|(_, task)| id(task).hex() == line.id).unwrap()).collect()
    };
    assert_eq!(found("", 100).await, [0, 1, 2, 3]);
    assert_eq!(found("", 2).await, [0, 1]);
    assert_eq!(found("vision=edges 0.01", 100).await, [0]);
    assert_eq!(found("EDGES fraction=1e-2", 100).await, [0, 2]);
    assert_eq!(found("0.01", 2).await, [0, 2], "so many that fit, not that are looked at");
    assert_eq!(found(&id(&rows[3].1).hex()[..6], 100).await, [3]);
    assert_eq!(found("classify waiting layout", 100).await, [3]);
    assert!(found("vision=nosuch", 100).await.is_empty());
}

#[tokio::test]
async fn curves_are_exact_and_of_the_latest_attempt() {
    let world = World::new().await;
    let task = noop(1, &[]);
    world.apply(sweep("x", "a", &[("a", "{}", task.clone())])).await;
    // Numbers of all sizes, most with seventeen digits.
    let mut bits = 1_u64;
    let mut values: Vec<f64> = (0..20_000)
        .map(|_| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(bits ^ (bits >> 29))
        })
        .filter(|value| value.is_finite())
        .collect();
    values.extend([0.1, 1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, -5e-324, 0.0, 1e15, 123_456_789.123_456_79]);
    let points: Vec<(u64, f64)> = (0..).zip(values.iter().copied()).collect();
    world.begin(id(&task)).await;
    world.points(id(&task), 1, &points).await;
    let reader = Reader::open(&world.path()).await.unwrap();
    let curves = reader.curves(&[id(&task)], None).await.unwrap();
    assert_eq!(curves.len(), values.len());
    for (step, (point, value)) in curves.iter().zip(&values).enumerate() {
        assert_eq!((point.step, point.value.to_bits()), (step as i64, value.to_bits()), "{value:e}");
    }
    assert!(reader.curves(&[id(&task)], Some("accuracy")).await.unwrap().is_empty());
}
