//! `/v1/samples` and `/metrics`: what is taken, what is refused, and that neither has to do with leases.

use std::time::Duration;

use permafrost::coordinator::Timing;
use permafrost_worker::{
    agent::AgentError,
    protocol::{Happening, Incident, MAX_INCIDENTS, MAX_SAMPLES, MAX_SPAN_MS, Sample, SampledDevice, Samples},
};
use reqwest::Method;
use uuid::Uuid;

use crate::support::{Coordinator, SLOW, answer, noop, plan, refusal, status};

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn samples(worker: Uuid) -> Samples {
    let sent_at = now();
    let sample = |ago: i64| Sample {
        at: sent_at - ago,
        span_ms: 1_000,
        utilisation: Some(0.25),
        memory_used_bytes: Some(1 << 30),
        members: 1,
        ..Sample::default()
    };
    let incidents = vec![Incident { at: sent_at, what: Happening::Xid(13) }];
    Samples { worker, sent_at, device: SampledDevice::default(), samples: vec![sample(1_000), sample(0)], incidents }
}

/// Bodies that no honest worker sends.
fn lies(honest: &Samples) -> Vec<Samples> {
    let mut lies = Vec::new();
    let mut change = |change: &dyn Fn(&mut Samples)| {
        let mut body = honest.clone();
        change(&mut body);
        lies.push(body);
    };
    change(&|body| body.samples = vec![body.samples[0].clone(); MAX_SAMPLES + 1]);
    change(&|body| body.incidents = vec![body.incidents[0].clone(); MAX_INCIDENTS + 1]);
    change(&|body| body.incidents[0].what = Happening::Lost("x".repeat(5_000)));
    change(&|body| body.incidents[0].at = i64::MAX);
    change(&|body| body.samples.reverse());
    change(&|body| body.samples[1].at = body.sent_at + 1);
    change(&|body| body.samples[0].at = i64::MIN);
    change(&|body| body.samples[0].span_ms = MAX_SPAN_MS + 1);
    change(&|body| body.samples[0].utilisation = Some(1.5));
    change(&|body| body.samples[0].host_utilisation = Some(-0.1));
    change(&|body| body.samples[0].power_w = Some(-1.0));
    change(&|body| body.samples[0].memory_used_bytes = Some(u64::MAX));
    change(&|body| body.samples[0].ecc_corrected = Some(1 << 63));
    change(&|body| body.samples[0].throttle = Some("x".repeat(5_000)));
    change(&|body| body.device.memory_bytes = u64::MAX);
    change(&|body| body.device.power_limit_w = Some(-1.0));
    change(&|body| body.device.uuid = "x".repeat(5_000));
    lies
}

#[tokio::test]
async fn what_a_device_cannot_have_done_is_refused() {
    let coordinator = Coordinator::start(SLOW).await;
    let worker = coordinator.register().await;
    let honest = samples(worker);
    for body in lies(&honest) {
        let (status, refusal) = coordinator.refused("/v1/samples", &body).await;
        assert_eq!(status, 422, "{refusal:?}");
    }
    assert_eq!(coordinator.number("SELECT count(*) FROM device_samples").await, 0);
    let stranger = coordinator.client.samples(&samples(Uuid::new_v4())).await.unwrap_err();
    assert_eq!(status(stranger), 409);
    assert_eq!(coordinator.client.samples(&honest).await.unwrap().recorded, 2);
    assert_eq!(coordinator.number("SELECT count(*) FROM device_samples").await, 2);
    assert_eq!(coordinator.number("SELECT count(*) FROM events WHERE kind = 'xid'").await, 1);
    // The same again is no other.
    coordinator.client.samples(&honest).await.unwrap();
    assert_eq!(coordinator.number("SELECT count(*) FROM device_samples").await, 2);
    coordinator.end().await;
}

#[tokio::test]
async fn a_wrong_clock_is_put_right() {
    let coordinator = Coordinator::start(SLOW).await;
    let worker = coordinator.register().await;
    for apart in [-86_400_000, 3_600_000] {
        let mut body = samples(worker);
        body.sent_at += apart;
        body.samples.iter_mut().for_each(|sample| sample.at += apart);
        body.incidents.clear();
        coordinator.client.samples(&body).await.unwrap();
        let off = coordinator.number("SELECT max(at) FROM device_samples").await - now();
        assert!(off.abs() < 10_000, "{off}");
    }
    coordinator.end().await;
}

#[tokio::test]
async fn samples_renew_no_lease() {
    let timing = Timing { lease_ttl: Duration::from_millis(400), ..SLOW };
    let coordinator = Coordinator::start(timing).await;
    coordinator.submit(&plan("one", vec![noop(1, &[])])).await;
    let worker = coordinator.register().await;
    coordinator.lease(worker).await;
    for _ in 0..200 {
        coordinator.client.samples(&samples(worker)).await.unwrap();
        if coordinator.number("SELECT count(*) FROM attempts WHERE state = 'lost'").await == 1 {
            return coordinator.end().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lease was not lost");
}

#[tokio::test]
async fn metrics_need_the_token() {
    let coordinator = Coordinator::start(SLOW).await;
    let worker = coordinator.register().await;
    coordinator.client.samples(&samples(worker)).await.unwrap();
    for request in [
        coordinator.request(Method::GET, "/metrics"),
        coordinator.request(Method::GET, "/metrics").bearer_auth("wrong"),
    ] {
        let (status, text) = answer(request).await;
        assert_eq!(status, 401, "{text}");
        refusal(status, &text);
    }
    let token = coordinator.client.endpoint().token.clone();
    let response = coordinator.request(Method::GET, "/metrics").bearer_auth(&token).send().await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = response.text().await.unwrap();
    assert!(text.contains("permafrost_device_utilisation_ratio{host=\"nowhere\",device=\"cpu\"} 0.25"), "{text}");
    let (status, text) = answer(coordinator.request(Method::GET, "/v1/lease").bearer_auth(&token)).await;
    assert_eq!(status, 405, "{text}");
    coordinator.end().await;
}

/// Two hundred workers that sample each second do not hold up one that works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_can_sample() {
    const WORKERS: usize = 200;
    const ROUNDS: usize = 3;
    let coordinator = Coordinator::start(SLOW).await;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(coordinator.register().await);
    }
    let began = std::time::Instant::now();
    for _ in 0..ROUNDS {
        let mut sent = tokio::task::JoinSet::new();
        for &worker in &workers {
            let client = coordinator.client.clone();
            sent.spawn(async move { client.samples(&samples(worker)).await });
        }
        while let Some(answer) = sent.join_next().await {
            let answer: Result<_, AgentError> = answer.unwrap();
            assert_eq!(answer.unwrap().recorded, 2);
        }
    }
    let rate = (WORKERS * ROUNDS) as f64 / began.elapsed().as_secs_f64();
    std::io::Write::write_fmt(&mut std::io::stderr().lock(), format_args!("{rate:.0} requests of samples a second\n"))
        .unwrap();
    assert!(rate > WORKERS as f64, "{rate} a second");
    coordinator.end().await;
}
