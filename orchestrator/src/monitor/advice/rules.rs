//! The rules. Pure: no clock, no database. `docs/monitoring.md` tells them to users.

use super::{Advice, DeviceView, Finding, WINDOW_MS};
use crate::store::{Watched, Work};

/// Less than this share of the time, and a device that runs trials is starved: a card ...
const STARVED_CARD: f64 = 0.3;
/// ... and a processor.
const STARVED_PROCESSOR: f64 = 0.4;
/// Nothing is said of less time than this, in milliseconds, or fewer samples.
const LEAST_MS: i64 = 15_000;
const LEAST_SAMPLES: usize = 3;
/// A device that ran nothing for so long is idle, in milliseconds.
const IDLE_MS: i64 = 20_000;
/// A device whose last sample is older is watched no longer, in milliseconds.
const STALE_MS: i64 = 20_000;
/// More than this share of its host's processors busy, and the processors are what is short.
const HOST_BUSY: f64 = 0.85;
/// More than this share of its memory used, and it is full.
const FULL: f64 = 0.95;
/// Fewer members than this on a card with this share of its memory free: the array is small for it.
const SMALL_ARRAY: f64 = 8.0;
const ROOM: f64 = 0.5;
/// Heat counts from this share of the time on, the power limit from that one.
const HOT: f64 = 0.2;
const CAPPED: f64 = 0.5;
/// Reasons of the board's own protection.
const HEAT: [&str; 4] = ["sw-thermal", "hw-thermal", "hw-power-brake", "hw-slowdown"];

/// What is wrong with a device, or worth knowing, at the time `now` in milliseconds since 1970 UTC.
pub fn advise(view: &DeviceView, work: Work, now: i64) -> Vec<Advice> {
    let mut found = Vec::new();
    let last = view.incidents.iter().rev().find(|incident| incident.kind != "xid");
    if let Some(lost) = last.filter(|incident| incident.kind == "device-lost") {
        let cure = "look at `nvidia-smi` and the kernel's log; a reset of the card or a restart of the machine helps most often";
        found.push((Finding::Lost, lost.detail.clone(), Some(cure.to_owned())));
    }
    if let Some(error) = view.incidents.iter().rev().find(|incident| incident.kind == "xid") {
        let cure = "the kernel's log (`dmesg`) has more; trials that ran meanwhile may have failed".to_owned();
        found.push((Finding::CriticalError, error.detail.clone(), Some(cure)));
    }
    let window: Vec<&Watched> = view.samples.iter().filter(|sample| now - sample.at <= WINDOW_MS).collect();
    let (first, latest) =
        (window.first().map_or(now, |sample| sample.at), window.last().map_or(now, |sample| sample.at));
    // Who samples rarely is not gone yet.
    let apart = (latest - first) / window.len().max(1) as i64;
    let gone = now - latest > STALE_MS.max(3 * apart);
    if window.len() >= LEAST_SAMPLES && latest - first >= LEAST_MS && !gone {
        found.extend(health(view, &window));
        let busy: Vec<&Watched> = window.iter().copied().filter(|sample| sample.members > 0).collect();
        if window.iter().filter(|sample| latest - sample.at <= IDLE_MS).all(|sample| sample.members == 0) {
            found.extend(idle(work));
        } else if 2 * busy.len() >= window.len() {
            found.extend(load(view, &busy, latest - first));
        }
    }
    let advice = |(finding, text, cure)| Advice {
        device: view.state.device,
        host: view.state.host.clone(),
        name: view.state.name.clone(),
        finding,
        warning: Finding::is_warning(finding),
        text,
        cure,
    };
    found.into_iter().map(advice).collect()
}

type Found = (Finding, String, Option<String>);

/// Why a device has nothing to do.
fn idle(work: Work) -> Option<Found> {
    let Work { waiting, ready, delayed, running } = work;
    let found = |finding, text: String, cure: &str| Some((finding, text, (!cure.is_empty()).then(|| cure.to_owned())));
    match () {
        () if ready > 0 => found(
            Finding::IdleReady,
            format!("idle although {} could run: the sweep drains, or this worker cannot take them", trials(ready)),
            "`permafrost status` and `permafrost logs` say what the coordinator does",
        ),
        () if delayed > 0 && running == 0 => found(
            Finding::IdleWaiting,
            format!("idle while {} before the next attempt", waiting_trials(delayed)),
            "`permafrost status` says why they failed",
        ),
        () if waiting > 0 && running > 0 => found(
            Finding::IdleWaiting,
            format!("idle while {} for inputs that run on other devices ({running} running)", waiting_trials(waiting)),
            "it will be used when those are there; a sweep with several encoders or data sets has more to run at a time",
        ),
        () if waiting > 0 => found(
            Finding::IdleWaiting,
            format!("idle while {} for inputs that ended without a result", waiting_trials(waiting)),
            "`permafrost status` says what failed; `permafrost retry --failed` runs it again",
        ),
        () => found(Finding::Idle, "idle: there is nothing to run".to_owned(), ""),
    }
}

/// What is to be said of a device, whatever it runs.
fn health(view: &DeviceView, window: &[&Watched]) -> Vec<Found> {
    let mut found = Vec::new();
    let Some(last) = window.last() else { return found };
    if let Some(errors) = last.ecc_uncorrected.filter(|errors| *errors > 0) {
        found.push((
            Finding::MemoryErrors,
            format!("{errors} memory errors that could not be corrected, since the driver was loaded"),
            Some("reset the card (`nvidia-smi --gpu-reset`), and have it checked if they come again".to_owned()),
        ));
    }
    if memory(view, last).is_some_and(|share| share > FULL) {
        found.push((
            Finding::MemoryFull,
            format!("memory is full: {} of {} GB used", gb(last.memory_used_bytes), gb(Some(view.state.memory_bytes))),
            Some("end other programs there; arrays are as large as the free memory allows".to_owned()),
        ));
    }
    let share = |reasons: &[&str]| {
        let held = window.iter().filter(|sample| throttled(sample, reasons)).count();
        held as f64 / window.len() as f64
    };
    let hot = share(&HEAT);
    if hot >= HOT {
        let temperature = view.state.temperature_c.map(|degrees| format!(", {degrees:.0} °C")).unwrap_or_default();
        found.push((
            Finding::Throttled,
            format!(
                "clocks were held down by heat or the board's protection for {} of the time{temperature}",
                percent(hot)
            ),
            Some("check cooling and power supply of the machine".to_owned()),
        ));
    }
    let capped = share(&["sw-power-cap"]);
    if capped >= CAPPED {
        let limit = view.state.power_limit_w.map(|watts| format!(" of {watts:.0} W")).unwrap_or_default();
        found.push((
            Finding::PowerCap,
            format!(
                "clocks were held down by the power limit{limit} for {} of the time: usual at full load",
                percent(capped)
            ),
            None,
        ));
    }
    if is_card(view) && 2 * window.iter().filter(|sample| sample.processes > Some(1)).count() >= window.len() {
        let processes = last.processes.unwrap_or(0);
        found.push((
            Finding::Shared,
            format!("{processes} processes compute on it: they share its time and memory"),
            Some("`nvidia-smi` lists them".to_owned()),
        ));
    }
    found
}

/// What is to be said of a device that runs trials.
fn load(view: &DeviceView, busy: &[&Watched], seen_ms: i64) -> Option<Found> {
    let card = is_card(view);
    let utilisation = mean(busy.iter().filter_map(|sample| sample.utilisation))?;
    if utilisation >= if card { STARVED_CARD } else { STARVED_PROCESSOR } {
        return None;
    }
    let only =
        |kinds: &[&str]| !view.running.is_empty() && view.running.keys().all(|kind| kinds.contains(&kind.as_str()));
    let now = view.running.keys().cloned().collect::<Vec<_>>().join(" and ");
    let kinds = if now.is_empty() { "trials".to_owned() } else { format!("{now} trials") };
    if only(&["fetch", "noop"]) || card && only(&["fetch", "prepare", "noop"]) {
        return Some((Finding::HostWork, format!("runs {kinds}, which do not compute on it"), None));
    }
    let members = mean(busy.iter().map(|sample| sample.members as f64)).unwrap_or(0.0);
    let host = mean(busy.iter().filter_map(|sample| sample.host_utilisation)).unwrap_or(0.0);
    let room = busy.last().and_then(|sample| memory(view, sample)).map(|used| 1.0 - used);
    let hot = busy.iter().filter(|sample| throttled(sample, &HEAT)).count() as f64 / busy.len() as f64;
    let host_busy = host > HOST_BUSY;
    let (cause, cure) = match () {
        () if card && hot >= HOT => ("its clocks are held down".to_owned(), "check cooling and power supply"),
        () if card && room.is_some_and(|room| room < 1.0 - FULL) => {
            ("its memory is full, so that arrays are small".to_owned(), "end other programs there")
        }
        () if card && host_busy => (
            format!("data come late, the host's processors are {} busy", percent(host)),
            "fewer workers on this host, or more cores; embeddings that are cached need no decoding",
        ),
        () if host_busy => (
            format!("other processes have the processor, which is {} busy", percent(host)),
            "end them, or give the worker fewer threads: --threads",
        ),
        () if card && members < SMALL_ARRAY && room.is_none_or(|room| room > ROOM) => (
            format!("too small an array, {members:.0} at once"),
            "trials of equal shape train together: seeds, learning rates and weight decays of one stage",
        ),
        () if !card && members < view.threads as f64 => (
            format!("{members:.0} at once on {} threads", view.threads),
            "trials of equal shape run side by side: seeds, learning rates; or give the worker fewer threads",
        ),
        () => (
            "it waits for data: the disk, decoding, or the network".to_owned(),
            "a faster disk for the home folder and the data",
        ),
    };
    let text = format!(
        "starved: computed {} of the last {} s in which it ran trials{}; likely cause: {cause}",
        percent(utilisation),
        seen_ms / 1000,
        if now.is_empty() { String::new() } else { format!(", {kinds} now") }
    );
    Some((Finding::Starved, text, Some(cure.to_owned())))
}

fn is_card(view: &DeviceView) -> bool {
    view.state.name.starts_with("cuda")
}

fn throttled(sample: &Watched, reasons: &[&str]) -> bool {
    sample.throttle.as_deref().is_some_and(|held| held.split(',').any(|reason| reasons.contains(&reason)))
}

/// Share of the memory that is used.
fn memory(view: &DeviceView, sample: &Watched) -> Option<f64> {
    let used = sample.memory_used_bytes? as f64;
    (view.state.memory_bytes > 0).then(|| used / view.state.memory_bytes as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

fn trials(count: i64) -> String {
    if count == 1 { "1 trial".to_owned() } else { format!("{count} trials") }
}

fn waiting_trials(count: i64) -> String {
    format!("{} {}", trials(count), if count == 1 { "waits" } else { "wait" })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn gb(bytes: Option<i64>) -> String {
    format!("{:.1}", bytes.unwrap_or(0) as f64 / 1e9)
}
