//! What is said of devices that are idle or starved, and of what may be the cause.

use permafrost::{
    monitor::advice::{Advice, DeviceView, Finding, advice, advise},
    store::{DeviceIncident, DeviceState, Watched, Work},
};
use permafrost_worker::protocol::{Happening, Sample};

use crate::support::{WORKER, World, now, sample};

const NOW: i64 = 1_700_000_000_000;
const BUSY: Work = Work { waiting: 3, ready: 0, delayed: 0, running: 9 };

fn state(name: &str) -> DeviceState {
    DeviceState {
        device: 1,
        host: "node".to_owned(),
        name: name.to_owned(),
        uuid: String::new(),
        model: "Test".to_owned(),
        memory_bytes: 80_000_000_000,
        power_limit_w: Some(700.0),
        driver: None,
        observed_s: 0.0,
        busy_s: 0.0,
        energy_j: None,
        xid_errors: 0,
        last_xid: None,
        at: NOW,
        utilisation: None,
        memory_used_bytes: None,
        own_memory_bytes: None,
        power_w: None,
        temperature_c: Some(91.0),
        sm_clock_mhz: None,
        memory_clock_mhz: None,
        throttle: None,
        ecc_corrected: None,
        ecc_uncorrected: None,
        processes: None,
        host_utilisation: None,
        members: 0,
    }
}

/// A device that did the same for a minute.
fn view(name: &str, kind: &str, sample: &Watched) -> DeviceView {
    let at = |second: i64| Watched { at: NOW - second * 1_000, ..sample.clone() };
    DeviceView {
        state: state(name),
        samples: (0..60).rev().map(at).collect(),
        running: [(kind.to_owned(), sample.members)].into(),
        threads: 8,
        incidents: vec![],
    }
}

fn busy(utilisation: f64) -> Watched {
    Watched {
        utilisation: Some(utilisation),
        memory_used_bytes: Some(8_000_000_000),
        processes: Some(1),
        host_utilisation: Some(0.3),
        members: 20,
        ..Watched::default()
    }
}

fn findings(view: &DeviceView, work: Work) -> Vec<(Finding, String)> {
    advise(view, work, NOW).into_iter().map(|advice| (advice.finding, advice.text)).collect()
}

/// The one finding.
fn only(view: &DeviceView, work: Work) -> (Finding, String) {
    let mut found = findings(view, work);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_busy_device_is_left_in_peace() {
    assert_eq!(findings(&view("cuda:0", "pretrain", &busy(0.9)), BUSY), []);
    assert_eq!(findings(&view("cpu", "pretrain", &busy(0.5)), BUSY), []);
}

#[test]
fn an_idle_device_has_a_reason() {
    let idle = view("cuda:0", "pretrain", &Watched { members: 0, ..busy(0.0) });
    let of = |waiting, ready, delayed, running| only(&idle, Work { waiting, ready, delayed, running });
    assert_eq!(of(0, 0, 0, 0).0, Finding::Idle);
    let (finding, text) = of(12, 0, 0, 2);
    assert!(
        finding == Finding::IdleWaiting && text.contains("12 trials wait for inputs that run on other devices"),
        "{text}"
    );
    let (finding, text) = of(1, 0, 0, 0);
    assert!(finding == Finding::IdleWaiting && text.contains("1 trial waits for inputs that ended without"), "{text}");
    let (finding, text) = of(0, 0, 2, 0);
    assert!(finding == Finding::IdleWaiting && text.contains("2 trials wait before the next attempt"), "{text}");
    assert_eq!(of(5, 3, 0, 1).0, Finding::IdleReady);
}

#[test]
fn a_pause_is_not_idleness() {
    let mut pause = view("cuda:0", "pretrain", &busy(0.9));
    pause.samples.iter_mut().rev().take(10).for_each(|sample| sample.members = 0);
    assert_eq!(findings(&pause, BUSY), []);
    pause.samples.drain(..50);
    assert_eq!(findings(&pause, BUSY), [], "ten seconds say nothing");
    let mut gone = view("cuda:0", "pretrain", &busy(0.1));
    assert_eq!(findings(&gone, BUSY).len(), 1);
    gone.samples.iter_mut().for_each(|sample| sample.at -= 30_000);
    assert_eq!(findings(&gone, BUSY), [], "nobody watches it any more");
}

#[test]
fn a_starved_card_has_a_likely_cause() {
    let cause = |sample: &Watched| {
        let (finding, text) = only(&view("cuda:0", "pretrain", sample), BUSY);
        assert_eq!(finding, Finding::Starved);
        assert!(text.contains("computed 10 % of the last 59 s in which it ran trials, pretrain trials now"), "{text}");
        text.split_once("likely cause: ").unwrap().1.to_owned()
    };
    let low = busy(0.1);
    assert!(cause(&Watched { host_utilisation: Some(0.97), ..low.clone() }).contains("processors are 97 % busy"));
    assert!(cause(&Watched { members: 2, ..low.clone() }).contains("too small an array, 2 at once"));
    assert!(cause(&low).contains("waits for data"));
    // It runs what does not compute on it.
    let (finding, text) = only(&view("cuda:0", "prepare", &low), BUSY);
    assert!(finding == Finding::HostWork && text.contains("prepare"), "{text}");
}

#[test]
fn a_starved_processor_has_a_likely_cause() {
    let cause = |kind: &str, sample: &Watched| only(&view("cpu", kind, sample), BUSY);
    let low = busy(0.1);
    assert!(cause("classify", &Watched { host_utilisation: Some(0.99), ..low.clone() }).1.contains("other processes"));
    assert!(cause("classify", &Watched { members: 1, ..low.clone() }).1.contains("1 at once on 8 threads"));
    assert!(cause("prepare", &low).1.contains("waits for data"));
    assert_eq!(cause("fetch", &low).0, Finding::HostWork);
}

#[test]
fn heat_power_memory_and_other_programs_are_told() {
    let with = |sample: Watched| findings(&view("cuda:0", "pretrain", &sample), BUSY);
    let hot = with(Watched { throttle: Some("hw-thermal,sw-power-cap".to_owned()), ..busy(0.8) });
    assert_eq!(hot.iter().map(|found| found.0).collect::<Vec<_>>(), [Finding::Throttled, Finding::PowerCap]);
    assert!(hot[0].1.contains("91 °C") && hot[1].1.contains("of 700 W"), "{hot:?}");
    let hot = with(Watched { throttle: Some("sw-thermal".to_owned()), ..busy(0.1) });
    assert!(hot.iter().any(|found| found.1.contains("likely cause: its clocks are held down")), "{hot:?}");
    assert_eq!(with(Watched { throttle: Some("applications-clocks".to_owned()), ..busy(0.8) }), []);
    let full = with(Watched { memory_used_bytes: Some(79_000_000_000), ..busy(0.8) });
    assert!(full[0].0 == Finding::MemoryFull && full[0].1.contains("79.0 of 80.0 GB"), "{full:?}");
    assert_eq!(with(Watched { processes: Some(2), ..busy(0.8) })[0].0, Finding::Shared);
    assert_eq!(with(Watched { ecc_uncorrected: Some(1), ..busy(0.8) })[0].0, Finding::MemoryErrors);
}

#[test]
fn incidents_are_told_until_they_are_over() {
    let mut device = view("cuda:0", "pretrain", &busy(0.9));
    let incident = |kind: &str| DeviceIncident {
        host: "node".to_owned(),
        name: "cuda:0".to_owned(),
        at: NOW,
        kind: kind.to_owned(),
        detail: format!("{kind} happened"),
    };
    device.incidents = vec![incident("xid"), incident("device-lost")];
    let found = findings(&device, BUSY);
    assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), [Finding::Lost, Finding::CriticalError]);
    device.incidents.push(incident("device-back"));
    assert_eq!(findings(&device, BUSY)[0].0, Finding::CriticalError);
}

#[tokio::test]
async fn advice_comes_out_of_the_database() {
    let world = World::new().await;
    let trials = world.sweep(3).await;
    world.begin(&trials[..1]).await;
    let at = now();
    let starved =
        (0..40).map(|second| Sample { utilisation: Some(0.04), members: 1, ..sample(at - (40 - second) * 1_000) });
    world.news(WORKER, starved.collect(), vec![Happening::Xid(48)]).await;
    let found: Vec<Advice> = advice(&world.reader().await).await.unwrap();
    let names: Vec<&str> = found.iter().map(|advice| advice.finding.name()).collect();
    // The kind of its trials is noop, which computes nowhere.
    assert_eq!(names, ["critical-error", "host-work"]);
    assert_eq!((found[0].name.as_str(), found[0].host.as_str(), found[0].warning), ("cuda:0", "node-1", true));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json[1]["finding"], "host-work");
}
