//! One trial, several attempts: only the current one counts, and only once.

use std::time::Duration;

use permafrost::coordinator::{Timing, api::Control};
use permafrost_worker::protocol::{Outcome, Stop, Verdict};

use crate::support::{Coordinator, SLOW, finish, id, noop, plan, report};

#[tokio::test]
async fn a_second_finish_is_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let task = noop(1, &[]);
    coordinator.submit(&plan("one", vec![task.clone(), noop(2, &[id(&task)])])).await;
    let worker = coordinator.register().await;
    let lease = coordinator.lease(worker).await.remove(0);
    let first = coordinator.client.finish(&finish(worker, lease.trial, lease.attempt, 0.5)).await.unwrap();
    assert_eq!(first.members, [Verdict::Accepted]);
    let before = coordinator.content().await;
    let again = coordinator.client.finish(&finish(worker, lease.trial, lease.attempt, 9.0)).await.unwrap();
    assert_eq!(again.members, [Verdict::Refused]);
    let late = coordinator.client.report(&report(worker, lease.trial, lease.attempt)).await.unwrap();
    assert_eq!(late.stop, [(lease.trial, Stop::Lost)]);
    assert_eq!(coordinator.content().await, before);
    assert_eq!(coordinator.number("SELECT count(*) FROM events WHERE kind = 'finish-refused'").await, 1);
    coordinator.end().await;
}

/// The first word of one request counts, not the last.
#[tokio::test]
async fn a_trial_that_ends_twice_in_one_request_is_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let worker = coordinator.register().await;
    let lease = coordinator.lease(worker).await.remove(0);
    let mut body = finish(worker, lease.trial, lease.attempt, 0.5);
    let mut second = body.members[0].clone();
    second.outcome = Outcome::Diverged { step: 3, what: "value".to_owned() };
    body.members.push(second);
    let (status, _) = coordinator.refused("/v1/finish", &body).await;
    assert_eq!(status, 422);
    body.members.pop();
    let reply = coordinator.client.finish(&body).await.unwrap();
    assert_eq!(reply.members, [Verdict::Accepted]);
    assert_eq!(coordinator.number("SELECT count(*) FROM results WHERE value = 0.5").await, 1);
    coordinator.end().await;
}

#[tokio::test]
async fn a_stale_attempt_changes_nothing() {
    let timing = Timing { lease_ttl: Duration::from_millis(1_000), ..SLOW };
    let coordinator = Coordinator::start(timing).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let (slow, quick) = (coordinator.register().await, coordinator.register().await);
    let old = coordinator.lease(slow).await.remove(0);
    assert_eq!(old.attempt, 1);
    // The slow one is not heard from for too long; the quick one waits until the trial is free again.
    let new = coordinator.lease(quick).await.remove(0);
    assert_eq!((new.trial, new.attempt), (old.trial, 2));
    coordinator.client.report(&report(quick, new.trial, 2)).await.unwrap();

    let rows = "SELECT count(*) FROM attempts WHERE attempt = 1 AND state = 'lost' AND ended >= started";
    assert_eq!(coordinator.number(rows).await, 1);
    let mut late = report(slow, old.trial, 1);
    let point = permafrost_worker::protocol::Point { name: "value".to_owned(), step: 0, value: 9.0 };
    late.members[0].points.push(point);
    assert_eq!(coordinator.client.report(&late).await.unwrap().stop, [(old.trial, Stop::Lost)]);
    let reply = coordinator.client.finish(&finish(slow, old.trial, 1, 9.0)).await.unwrap();
    assert_eq!(reply.members, [Verdict::Refused]);
    // An attempt that nobody was ever given.
    let reply = coordinator.client.finish(&finish(slow, old.trial, 7, 9.0)).await.unwrap();
    assert_eq!(reply.members, [Verdict::Refused]);
    assert_eq!(coordinator.number("SELECT count(*) FROM metrics").await, 0);
    assert_eq!(coordinator.number("SELECT count(*) FROM results").await, 0);
    assert_eq!(coordinator.number("SELECT count(*) FROM events WHERE kind = 'finish-refused'").await, 2);

    let third = match coordinator.number("SELECT attempts FROM trials").await {
        2 => new,
        // A slow machine: the quick one has lost it, too.
        _ => coordinator.lease(quick).await.remove(0),
    };
    let reply = coordinator.client.finish(&finish(quick, third.trial, third.attempt, 0.5)).await.unwrap();
    assert_eq!(reply.members, [Verdict::Accepted]);
    assert_eq!(coordinator.number("SELECT count(*) FROM results WHERE value = 0.5").await, 1);
    coordinator.end().await;
}

#[tokio::test]
async fn a_cancelled_trial_takes_no_result() {
    let coordinator = Coordinator::start(SLOW).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let worker = coordinator.register().await;
    let lease = coordinator.lease(worker).await.remove(0);
    assert_eq!(coordinator.control(Control::Cancel(vec![lease.trial])).await.changed, [lease.trial]);
    let before = coordinator.content().await;
    let reply = coordinator.client.report(&report(worker, lease.trial, 1)).await.unwrap();
    assert_eq!(reply.stop, [(lease.trial, Stop::Cancelled)]);
    let reply = coordinator.client.finish(&finish(worker, lease.trial, 1, 9.0)).await.unwrap();
    assert_eq!(reply.members, [Verdict::Refused]);
    assert_eq!(coordinator.content().await, before);
    assert_eq!(coordinator.control(Control::Retry(vec![lease.trial])).await.changed, [lease.trial]);
    let lease = coordinator.lease(worker).await.remove(0);
    assert_eq!(lease.attempt, 2);
    coordinator.client.finish(&finish(worker, lease.trial, 2, 0.5)).await.unwrap();
    coordinator.end().await;
}
