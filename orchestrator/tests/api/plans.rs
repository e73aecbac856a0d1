//! Plans and commands that cannot be: refused as a whole.

use permafrost::coordinator::api::Control;
use permafrost_worker::protocol::Stop;
use serde_json::json;

use crate::support::{Coordinator, SLOW, finish, id, noop, plan, report};

/// A plan cannot hold a circle: identities are made of those of the inputs. What comes nearest is an input that is not there.
#[tokio::test]
async fn a_plan_that_cannot_be_is_refused_whole() {
    let coordinator = Coordinator::start(SLOW).await;
    let known = noop(1, &[]);
    coordinator.submit(&plan("known", vec![known.clone()])).await;

    let absent = id(&noop(99, &[]));
    let unknown_input = plan("bad", vec![noop(2, &[]), noop(3, &[id(&known), absent])]);
    let twice = plan("bad", vec![noop(2, &[]), noop(2, &[])]);
    let mut no_object = plan("bad", vec![noop(2, &[])]);
    no_object.trials[0].parameters = json!([1]);
    for bad in [unknown_input, twice, no_object] {
        let (status, refusal) = coordinator.refused("/v1/submit", &bad).await;
        assert_eq!(status, 422, "{refusal:?}");
    }
    let (_, refusal) = coordinator.refused("/v1/submit", &plan("bad", vec![noop(3, &[absent])])).await;
    assert!(refusal.message.contains(&absent.short()), "{refusal:?}");

    // The same names are free, and an input may come after what reads it.
    let good = plan("bad", vec![noop(3, &[absent]), noop(99, &[])]);
    assert_eq!(coordinator.submit(&good).await.new, 2);
    assert_eq!(coordinator.number("SELECT revision FROM sweeps WHERE name = 'bad'").await, 1);
    // One trial in two stages is no mistake.
    let mut stages = plan("stages", vec![noop(4, &[]), noop(4, &[])]);
    stages.trials[1].stage = "other".to_owned();
    coordinator.submit(&stages).await;
    assert_eq!(
        coordinator.number("SELECT count(*) FROM sweep_trials JOIN sweeps USING (sweep) WHERE name = 'stages'").await,
        2
    );
    coordinator.assert_serves().await;
    coordinator.end().await;
}

#[tokio::test]
async fn commands_on_unknown_trials_are_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let known = noop(1, &[]);
    coordinator.submit(&plan("known", vec![known.clone()])).await;
    let trials = vec![id(&known), id(&noop(99, &[]))];
    for command in [Control::Cancel(trials.clone()), Control::Retry(trials)] {
        let (status, refusal) = coordinator.refused("/v1/control", &command).await;
        assert_eq!(status, 422, "{refusal:?}");
    }
    coordinator.assert_serves().await;
    coordinator.end().await;
}

/// A plan that is refused must not end a drain either.
#[tokio::test]
async fn a_bad_plan_ends_no_drain() {
    let coordinator = Coordinator::start(SLOW).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let worker = coordinator.register().await;
    let lease = coordinator.lease(worker).await.remove(0);
    coordinator.control(Control::Drain).await;
    let drains = [(lease.trial, Stop::Drain)];
    assert_eq!(coordinator.client.report(&report(worker, lease.trial, 1)).await.unwrap().stop, drains);
    coordinator.refused("/v1/submit", &plan("bad", vec![noop(3, &[id(&noop(99, &[]))])])).await;
    assert_eq!(coordinator.client.report(&report(worker, lease.trial, 1)).await.unwrap().stop, drains);
    // A good one does: that is what the user wants now.
    coordinator.submit(&plan("two", vec![noop(2, &[])])).await;
    assert_eq!(coordinator.client.report(&report(worker, lease.trial, 1)).await.unwrap().stop, []);
    coordinator.client.finish(&finish(worker, lease.trial, 1, 0.5)).await.unwrap();
    let second = coordinator.lease(worker).await.remove(0);
    coordinator.client.finish(&finish(worker, second.trial, 1, 0.5)).await.unwrap();
    coordinator.end().await;
}
