//! The views say what the rows say, by numbers computed here.

use permafrost::{
    core::{AttemptState, TrialState},
    store::{Change, SqlValue, StateChange},
};

use crate::support::{World, id, noop, real, sweep, text};

fn close(found: &SqlValue, expected: f64, tolerance: f64) {
    let found = real(found);
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-300), "{found}, not {expected}");
}

/// Mean and sample standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// Quantiles of Student's t for 95 % intervals, by degrees of freedom; from printed tables.
const STUDENT: [(usize, f64); 7] =
    [(1, 12.7062), (2, 4.30265), (4, 2.77645), (9, 2.26216), (11, 2.20099), (19, 2.09302), (39, 2.02269)];

#[tokio::test]
async fn cells_average_over_seeds() {
    let world = World::new().await;
    let mut rows = Vec::new();
    let mut expected = Vec::new();
    for (cell, (freedom, quantile)) in STUDENT.into_iter().enumerate() {
        // Large, with a small spread: a formula of one pass would lose it.
        let value = |seed: usize| 1e6 + cell as f64 + ((seed * 7 + cell) % 13) as f64 * 1e-4;
        let values: Vec<f64> = (0..=freedom).map(value).collect();
        for (seed, _) in values.iter().enumerate() {
            let parameters = format!(r#"{{"cell":{cell},"seed":{seed}}}"#);
            rows.push((parameters, noop((cell * 100 + seed) as u64, &[])));
        }
        expected.push((quantile, values));
    }
    rows.push((r#"{"cell":99,"seed":0}"#.to_owned(), noop(9_999, &[])));
    let planned: Vec<_> = rows.iter().map(|(parameters, task)| ("a", parameters.as_str(), task.clone())).collect();
    world.apply(sweep("many", "a", &planned)).await;
    let values: Vec<f64> = expected.iter().flat_map(|(_, values)| values.clone()).chain([0.75]).collect();
    for ((_, task), value) in rows.iter().zip(values) {
        world.finish(id(task), &[("auroc", value)]).await;
    }
    let order = "ORDER BY parameters ->> '$.cell'";
    let found = world.ask(&format!("SELECT parameters, n, mean, sd, ci95, min, max FROM cells {order}")).await;
    assert_eq!(found.len(), STUDENT.len() + 1);
    for (row, (cell, (quantile, values))) in found.iter().zip(expected.iter().enumerate()) {
        let (mean, sd) = moments(values);
        assert_eq!(text(&row[0]), format!(r#"{{"cell":{cell}}}"#));
        assert_eq!(row[1], SqlValue::Integer(values.len() as i64));
        close(&row[2], mean, 1e-14);
        close(&row[3], sd, 1e-6);
        // Exact up to ten seeds, an expansion beyond.
        close(&row[4], quantile * sd / (values.len() as f64).sqrt(), if values.len() > 10 { 2e-3 } else { 1e-5 });
        close(&row[5], values.iter().copied().fold(f64::INFINITY, f64::min), 0.0);
        close(&row[6], values.iter().copied().fold(f64::NEG_INFINITY, f64::max), 0.0);
    }
    let single = &found[STUDENT.len()][1..];
    let value = SqlValue::Real(0.75);
    let expected = [SqlValue::Integer(1), value.clone(), SqlValue::Null, SqlValue::Null, value.clone(), value];
    assert_eq!(single, expected);
}

#[tokio::test]
async fn equal_values_have_no_spread() {
    let world = World::new().await;
    let rows: Vec<_> = (0..3)
        .map(|seed| ("a", ["{\"seed\":0}", "{\"seed\":1}", "{\"seed\":2}"][seed], noop(seed as u64, &[])))
        .collect();
    world.apply(sweep("equal", "a", &rows)).await;
    for (_, _, task) in &rows {
        world.finish(id(task), &[("auroc", 0.5)]).await;
    }
    let found = world.ask("SELECT parameters, n, mean, sd, ci95 FROM cells").await;
    assert_eq!(found.len(), 1);
    assert_eq!(text(&found[0][0]), "{}");
    let numbers: Vec<f64> = found[0][2..].iter().map(real).collect();
    assert_eq!(numbers, [0.5, 0.0, 0.0]);
}

#[tokio::test]
async fn the_leaderboard_has_results_of_what_is_done() {
    let world = World::new().await;
    let tasks: Vec<_> = (0..4).map(|i| noop(i, &[])).collect();
    let rows: Vec<_> = tasks.iter().map(|task| ("head", r#"{"lr":1}"#, task.clone())).collect();
    world.apply(sweep("one", "a", &rows)).await;
    world.apply(sweep("two", "a", &rows[..1])).await;
    world.finish(id(&tasks[0]), &[("auroc", 0.9), ("accuracy", 0.8)]).await;
    world.finish(id(&tasks[1]), &[("auroc", 0.7)]).await;
    // One has diverged, one is made again: its old result must not show.
    world.begin(id(&tasks[2])).await;
    world.end(id(&tasks[2]), 1, AttemptState::Diverged, TrialState::Diverged).await;
    world.finish(id(&tasks[3]), &[("auroc", 0.1)]).await;
    world.state(id(&tasks[3]), TrialState::Done, TrialState::Ready).await;

    let found = world
        .ask("SELECT sweep, revision, stage, trial_id, trial, parameters, metric, value, device, model, program, duration_ms >= 0
              FROM leaderboard ORDER BY sweep, value DESC")
        .await;
    let row = |sweep: &str, task, metric: &str, value| {
        let id = id(task).hex();
        let texts = [sweep, "", "head", &id, &id[..10], r#"{"lr":1}"#, metric, "", "cpu", "a processor", "1.2.3"];
        let mut row: Vec<_> = texts.iter().map(|text| SqlValue::Text((*text).to_owned())).collect();
        (row[1], row[7]) = (SqlValue::Integer(1), SqlValue::Real(value));
        row.push(SqlValue::Integer(1));
        row
    };
    let expected = [
        row("one", &tasks[0], "auroc", 0.9),
        row("one", &tasks[0], "accuracy", 0.8),
        row("one", &tasks[1], "auroc", 0.7),
        row("two", &tasks[0], "auroc", 0.9),
        row("two", &tasks[0], "accuracy", 0.8),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn history_has_each_step_once() {
    let world = World::new().await;
    let task = noop(1, &[]);
    let trial = id(&task);
    world.apply(sweep("one", "a", &[("a", "{}", task)])).await;
    world.begin(trial).await;
    world.points(trial, 1, &[(0, 0.5), (1, 0.4), (2, 0.3), (3, 0.2)]).await;
    world.end(trial, 1, AttemptState::Lost, TrialState::Ready).await;
    // Goes on from the checkpoint after step 1, and reports a step twice.
    world.grant(trial, 2).await;
    world.points(trial, 2, &[(2, 0.31), (2, 0.32)]).await;
    world.points(trial, 2, &[(2, 0.33)]).await;
    world.end(trial, 2, AttemptState::Preempted, TrialState::Ready).await;
    world.grant(trial, 3).await;
    world.points(trial, 3, &[(4, 0.1)]).await;

    let found = world.ask("SELECT trial_id, metric, step, value, attempt FROM history ORDER BY step").await;
    let row = |step, value, attempt| {
        let (id, name) = (SqlValue::Text(trial.hex()), SqlValue::Text("loss".to_owned()));
        vec![id, name, SqlValue::Integer(step), SqlValue::Real(value), SqlValue::Integer(attempt)]
    };
    let expected = [row(0, 0.5, 1), row(1, 0.4, 1), row(2, 0.33, 2), row(3, 0.2, 1), row(4, 0.1, 3)];
    assert_eq!(found, expected);
    assert_eq!(world.number("SELECT count(*) FROM metrics").await, 6, "what attempts reported is kept");
}

/// Values keep every bit on their way.
#[tokio::test]
async fn numbers_keep_every_bit() {
    let world = World::new().await;
    let task = noop(1, &[]);
    let trial = id(&task);
    world.apply(sweep("one", "a", &[("a", "{}", task)])).await;
    world.begin(trial).await;
    let values = [0.1, -0.0, 1.0 / 3.0, f64::MIN_POSITIVE, f64::from_bits(1), f64::MAX, 1e15 + 0.3, 5.0];
    let points: Vec<_> = (0..).zip(values).collect();
    world.points(trial, 1, &points).await;
    let found = world.ask("SELECT value FROM history ORDER BY step").await;
    for (row, (step, value)) in found.iter().zip(points) {
        // SQLite keeps whole numbers as integers, so the sign of zero is not kept.
        let same = real(&row[0]).to_bits() == value.to_bits() || value == 0.0 && real(&row[0]) == 0.0;
        assert!(same, "step {step}: {row:?}, not {value:e}");
    }
}

#[tokio::test]
async fn provenance_names_attempt_worker_and_inputs() {
    let world = World::new().await;
    let (first, second) = (noop(1, &[]), noop(2, &[]));
    let reader = noop(3, &[id(&first), id(&second)]);
    let rows: Vec<_> = [&first, &second, &reader].map(|task| ("a", "{}", task.clone())).into();
    world.apply(sweep("one", "a", &rows)).await;
    world.finish(id(&first), &[]).await;
    world.finish(id(&second), &[]).await;
    let trial = id(&reader);
    world.begin(trial).await;
    world.end(trial, 1, AttemptState::Lost, TrialState::Ready).await;
    assert_eq!(world.number("SELECT count(*) FROM provenance").await, 2, "what is not done has none");
    world.grant(trial, 2).await;
    world.end(trial, 2, AttemptState::Done, TrialState::Done).await;
    let found = world
        .ask(&format!(
            "SELECT trial, kind, task, seed, inputs, attempt, host, device, model, program, started_utc LIKE '20__-__-__ __:__:__'
             FROM provenance WHERE trial_id = '{trial}'"
        ))
        .await;
    let row = &found[0];
    assert_eq!(text(&row[0]), &trial.hex()[..10]);
    assert_eq!(text(&row[1]), "noop");
    assert_eq!(text(&row[2]), serde_json::to_string(&reader).unwrap());
    assert_eq!(row[3], SqlValue::Null, "a no-op has no seed");
    let mut inputs: Vec<String> = serde_json::from_str(text(&row[4])).unwrap();
    let mut expected = vec![id(&first).hex(), id(&second).hex()];
    inputs.sort();
    expected.sort();
    assert_eq!(inputs, expected);
    assert_eq!(row[5], SqlValue::Integer(2));
    let who: Vec<&str> = row[6..10].iter().map(text).collect();
    assert_eq!(who, ["a-host", "cpu", "a processor", "1.2.3"]);
    assert_eq!(row[10], SqlValue::Integer(1));
}

#[tokio::test]
async fn why_waiting_gives_the_reason() {
    let world = World::new().await;
    let inputs: Vec<_> = (0..3).map(|i| noop(i, &[])).collect();
    let ids: Vec<_> = inputs.iter().map(id).collect();
    let reader = noop(10, &ids);
    let later = noop(11, &[]);
    let rows: Vec<_> = inputs.iter().chain([&reader, &later]).map(|task| ("a", "{}", task.clone())).collect();
    world.apply(sweep("one", "a", &rows)).await;
    let why = async |task| {
        let sql = format!("SELECT why FROM why_waiting WHERE trial_id = '{}'", id(task));
        world.ask(&sql).await.first().map(|row| text(&row[0]).to_owned())
    };
    assert_eq!(why(&reader).await.as_deref(), Some("waits for 3 of 3 inputs"));
    world.finish(ids[0], &[]).await;
    assert_eq!(why(&reader).await.as_deref(), Some("waits for 2 of 3 inputs"));
    world.state(ids[1], TrialState::Waiting, TrialState::Ready).await;
    assert_eq!(why(&inputs[1]).await.as_deref(), Some("waits for a free worker"));
    world.grant(ids[1], 1).await;
    assert_eq!(why(&inputs[1]).await, None, "what runs does not wait");
    world.end(ids[1], 1, AttemptState::Failed, TrialState::Failed).await;
    let expected = format!("cannot run without the result of noop {} (failed)", ids[1].short());
    assert_eq!(why(&reader).await, Some(expected));
    let wait = StateChange {
        trial: id(&later),
        from: TrialState::Waiting,
        to: TrialState::Ready,
        not_before_in_ms: Some(60_000),
    };
    world.apply(Change::States(vec![wait])).await;
    let text = why(&later).await.unwrap();
    assert!(text.starts_with("waits until 20") && text.ends_with("UTC before its next attempt"), "{text}");
    assert_eq!(why(&inputs[0]).await, None, "what is done does not wait");
}
