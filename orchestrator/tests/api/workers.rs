//! Several workers on one coordinator: every trial is done once, whoever comes and goes.

use std::{collections::BTreeMap, time::Duration};

use permafrost::{coordinator::Timing, store::SqlValue};
use permafrost_worker::{
    agent,
    device::Device,
    id::TrialId,
    protocol::Verdict,
    task::{Noop, NoopEnd, Task},
};

use crate::support::{Coordinator, finish, id, noop, plan};

const TIMING: Timing = Timing {
    lease_ttl: Duration::from_secs(20),
    heartbeat: Duration::from_millis(30),
    checkpoint: Duration::from_secs(300),
    linger: Duration::from_secs(300),
};

/// Layers of trials; each reads two of the layer before.
fn layers() -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut before: Vec<TrialId> = Vec::new();
    for layer in 0..4 {
        let of = |i: usize| {
            let after: Vec<TrialId> = [i, i * 7 + 1].iter().filter_map(|at| before.get(at % 60).copied()).collect();
            noop((layer * 1_000 + i) as u64, &after)
        };
        let new: Vec<Task> = (0..60).map(of).collect();
        before = new.iter().map(id).collect();
        tasks.extend(new);
    }
    tasks
}

fn start(coordinator: &Coordinator, workers: usize) -> Vec<tokio::task::JoinHandle<Result<(), agent::AgentError>>> {
    let options = || agent::Options {
        home: coordinator.home(),
        device: Device::Cpu { threads: 2 },
        wheel_dir: None,
        sample: Duration::from_millis(50),
    };
    (0..workers).map(|_| tokio::spawn(agent::run(options()))).collect()
}

async fn wait_until_done(coordinator: &Coordinator, trials: i64) {
    for _ in 0..3_000 {
        if coordinator.number("SELECT count(*) FROM trials WHERE state IN ('done', 'failed', 'diverged')").await
            == trials
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let states = coordinator.ask("SELECT state, count(*) FROM trials GROUP BY state").await;
    panic!("not done: {states:?}");
}

fn integer(value: &SqlValue) -> i64 {
    match value {
        SqlValue::Integer(number) => *number,
        other => panic!("{other:?} is no integer"),
    }
}

/// Attempts of one trial follow each other, the last one alone brought the result, and nothing ran before its inputs were done.
async fn assert_in_order(coordinator: &Coordinator) {
    let rows = coordinator
        .ask("SELECT trial, attempt, started, ended, a.state = 'done' FROM attempts a ORDER BY trial, attempt")
        .await;
    let mut last: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let [trial, attempt, started, ended, done] = [0, 1, 2, 3, 4].map(|column| integer(&row[column]));
        let (before, free) = last.get(&trial).copied().unwrap_or((0, 0));
        assert_eq!(attempt, before + 1);
        assert!(free <= started && started <= ended, "attempt {attempt} of trial {trial} overlaps the one before");
        // After an attempt that is done nothing may begin.
        last.insert(trial, (attempt, if done == 1 { i64::MAX } else { ended }));
    }
    for nothing in [
        "SELECT count(*) FROM trials t JOIN attempts a USING (trial) WHERE (a.attempt = t.attempts) <> (a.state = 'done')",
        "SELECT count(*) FROM trial_inputs e JOIN attempts a USING (trial) JOIN trials i ON i.trial = e.input
         WHERE a.started < i.ended",
        "SELECT count(*) FROM trials t WHERE (SELECT count(*) FROM results r WHERE r.trial = t.trial) <> 1",
        "SELECT count(*) FROM (SELECT trial FROM history WHERE metric = 'value' GROUP BY trial HAVING count(*) <> 2)",
        "SELECT count(*) FROM events WHERE kind = 'refused'",
    ] {
        assert_eq!(coordinator.number(nothing).await, 0, "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trial_is_done_exactly_once() {
    let coordinator = Coordinator::start(TIMING).await;
    let workers = start(&coordinator, 4);
    let tasks = layers();
    coordinator.submit(&plan("layers", tasks.clone())).await;
    // The same again, while it runs, changes nothing.
    assert_eq!(coordinator.submit(&plan("again", tasks.clone())).await.new, 0);
    wait_until_done(&coordinator, tasks.len() as i64).await;
    assert_eq!(coordinator.number("SELECT count(*) FROM attempts WHERE state = 'done'").await, tasks.len() as i64);
    assert_eq!(coordinator.number("SELECT count(*) FROM attempts").await, tasks.len() as i64);
    assert_in_order(&coordinator).await;
    let busy = coordinator.number("SELECT count(DISTINCT worker) FROM attempts").await;
    assert!(busy > 1, "one worker did everything");
    // A worker runs one array at a time.
    let overlapping = "SELECT count(*) FROM attempts a JOIN attempts b USING (worker)
                       WHERE a.array < b.array AND a.started < b.ended - 1 AND b.started < a.ended - 1";
    assert_eq!(coordinator.number(overlapping).await, 0);
    coordinator.end().await;
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
}

/// Workers that take work and are never heard from again; some come back too late with a result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_workers_lose_their_trials_to_others() {
    let coordinator = Coordinator::start(Timing { lease_ttl: Duration::from_secs(3), ..TIMING }).await;
    let tasks: Vec<Task> = (0..40).map(|i| noop(i, &[])).collect();
    coordinator.submit(&plan("shared", tasks.clone())).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        let worker = coordinator.register().await;
        silent.push((worker, coordinator.lease(worker).await.remove(0)));
    }
    let workers = start(&coordinator, 3);
    wait_until_done(&coordinator, tasks.len() as i64).await;
    for (worker, lease) in &silent {
        let late = coordinator.client.finish(&finish(*worker, lease.trial, lease.attempt, 9.0)).await.unwrap();
        assert_eq!(late.members, [Verdict::Refused]);
    }
    assert_eq!(coordinator.number("SELECT count(*) FROM attempts WHERE state = 'lost'").await, 6);
    assert_eq!(coordinator.number("SELECT count(*) FROM attempts WHERE state = 'done'").await, tasks.len() as i64);
    assert_eq!(coordinator.number("SELECT count(*) FROM results WHERE value > 2").await, 0);
    assert_in_order(&coordinator).await;
    coordinator.end().await;
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
}

/// Members that fail, panic or diverge leave the array; the others of it are done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_members_leave_their_neighbours() {
    let coordinator = Coordinator::start(TIMING).await;
    let ends = [NoopEnd::Done, NoopEnd::Input, NoopEnd::Panic, NoopEnd::Diverged];
    let task = |index: u64| {
        Task::Noop(Noop { index, steps: 2, step_ms: 1, after: vec![], end: ends[index as usize % ends.len()] })
    };
    let tasks: Vec<Task> = (0..40).map(task).collect();
    coordinator.submit(&plan("mixed", tasks)).await;
    let workers = start(&coordinator, 2);
    wait_until_done(&coordinator, 40).await;
    let states = coordinator.ask("SELECT state, count(*) FROM trials GROUP BY state ORDER BY state").await;
    let row = |state: &str, count| [SqlValue::Text(state.to_owned()), SqlValue::Integer(count)];
    assert_eq!(states, [row("diverged", 10), row("done", 10), row("failed", 20)]);
    // A panic gets one more try, alone; the rest gets none.
    let tries = "SELECT count(*) FROM trials WHERE attempts <> CASE task ->> '$.end' WHEN 'panic' THEN 2 ELSE 1 END";
    assert_eq!(coordinator.number(tries).await, 0);
    let diverged =
        "SELECT count(*) FROM attempts WHERE state = 'diverged' AND message = 'value was not finite at step 2'";
    assert_eq!(coordinator.number(diverged).await, 10);
    assert_eq!(coordinator.number("SELECT count(*) FROM results").await, 10);
    coordinator.end().await;
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
}
