//! Reports that are valid JSON and yet cannot be: the database could not hold them. A worker that lies harms nobody else.

use permafrost_worker::protocol::{Artifact, Checkpoint, Finish, Outcome, Point, Report};

use crate::support::{Coordinator, SLOW, finish, introduction, noop, plan, report};

fn file(name: &str, path: &str, bytes: u64) -> Artifact {
    Artifact { name: name.to_owned(), path: path.into(), bytes, blake3: "00".repeat(32) }
}

fn with_artifacts(mut body: Finish, artifacts: Vec<Artifact>) -> Finish {
    body.members[0].outcome = Outcome::Done { summary: [].into(), artifacts };
    body
}

/// Bodies of `/v1/finish` that no honest worker sends.
fn lies(honest: &Finish) -> Vec<Finish> {
    let artifacts = |artifacts| with_artifacts(honest.clone(), artifacts);
    let mut points = honest.clone();
    points.members[0].points = vec![Point { name: "value".to_owned(), step: u64::MAX, value: 1.0 }];
    let mut checkpoint = honest.clone();
    let state = Checkpoint { step: u64::MAX, file: file("state", "artifacts/state", 1) };
    checkpoint.members[0].outcome = Outcome::Preempted { checkpoint: Some(state) };
    vec![
        artifacts(vec![file("weights", "artifacts/a", 1), file("weights", "artifacts/b", 1)]),
        artifacts(vec![file("weights", "artifacts/a", u64::MAX)]),
        artifacts(vec![file("weights", "/etc/passwd", 1)]),
        artifacts(vec![file("weights", "artifacts/../../elsewhere", 1)]),
        artifacts(vec![file("weights", "", 1)]),
        points,
        checkpoint,
    ]
}

fn lying_reports(honest: &Report) -> Vec<Report> {
    let change = |change: fn(&mut permafrost_worker::protocol::MemberReport)| {
        let mut report = honest.clone();
        change(&mut report.members[0]);
        report
    };
    vec![
        change(|member| member.done = u64::MAX),
        change(|member| member.total = 1 << 63),
        change(|member| member.points = vec![Point { name: "value".to_owned(), step: 1 << 63, value: 1.0 }]),
        change(|member| {
            member.checkpoint = Some(Checkpoint { step: 1, file: file("state", "../state", 1) });
        }),
    ]
}

#[tokio::test]
async fn what_the_database_cannot_hold_is_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let worker = coordinator.register().await;
    let lease = coordinator.lease(worker).await.remove(0);
    let honest = finish(worker, lease.trial, lease.attempt, 0.5);
    for body in lies(&honest) {
        let (status, refusal) = coordinator.refused("/v1/finish", &body).await;
        assert_eq!(status, 422, "{refusal:?}");
        coordinator.assert_serves().await;
    }
    for body in lying_reports(&report(worker, lease.trial, lease.attempt)) {
        let (status, refusal) = coordinator.refused("/v1/report", &body).await;
        assert_eq!(status, 422, "{refusal:?}");
        coordinator.assert_serves().await;
    }
    let mut huge = introduction(uuid::Uuid::new_v4());
    huge.device.memory_bytes = u64::MAX;
    assert_eq!(coordinator.refused("/v1/workers", &huge).await.0, 422);

    // The largest that fits is taken.
    let mut most = report(worker, lease.trial, lease.attempt);
    (most.members[0].done, most.members[0].total) = (i64::MAX as u64, i64::MAX as u64);
    most.members[0].points = vec![Point { name: "value".to_owned(), step: i64::MAX as u64, value: -0.1 }];
    coordinator.client.report(&most).await.unwrap();
    assert_eq!(coordinator.number("SELECT step FROM metrics").await, i64::MAX);
    let honest = with_artifacts(honest, vec![file("weights", "artifacts/a", 1), file("log", "artifacts/b", 0)]);
    coordinator.client.finish(&honest).await.unwrap();
    assert_eq!(coordinator.number("SELECT count(*) FROM artifacts").await, 2);
    coordinator.end().await;
}
