//! Sampling a card, through a libnvidia-ml that this test builds.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::{
    ffi::{CString, c_char, c_int, c_longlong},
    io::Write,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use permafrost_worker::{
    monitor::{Sampler, Subject},
    protocol::{Happening, Incident, Sample, SampledDevice},
};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/monitor/nvml.c");
const INTERVAL: Duration = Duration::from_millis(20);
const SECOND_CARD: &str = "GPU-5a2f0b1c-aaaa-bbbb-cccc-dddddddddddd";

/// The library, and the functions by which a test sets what its cards say.
struct Fake {
    path: std::path::PathBuf,
    library: libloading::Library,
    _folder: tempfile::TempDir,
}

impl Fake {
    /// Compiles it; none where there is no C compiler, which is said.
    fn build() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libnvidia-ml.so");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-O1", "-o"])
            .arg(&path)
            .arg(SOURCE)
            .output();
        let Ok(output) = output else {
            writeln!(std::io::stderr().lock(), "skipped: no C compiler `cc` for a libnvidia-ml").unwrap();
            return None;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        // SAFETY: the library is ours, and does nothing when it is loaded.
        let library = unsafe { libloading::Library::new(&path) }.unwrap();
        Some(Self { path, library, _folder: folder })
    }

    fn set(&self, name: &str, value: i64) {
        let name = CString::new(name).unwrap();
        // SAFETY: the function has this signature, and the text lives until it returns.
        let code = unsafe {
            let set: libloading::Symbol<'_, unsafe extern "C" fn(*const c_char, c_longlong) -> c_int> =
                self.library.get(b"fake_set").unwrap();
            set(name.as_ptr(), value)
        };
        assert_eq!(code, 0, "{name:?} is not a value");
    }

    fn get(&self, name: &str) -> i64 {
        let name = CString::new(name).unwrap();
        // SAFETY: as above.
        unsafe {
            let get: libloading::Symbol<'_, unsafe extern "C" fn(*const c_char) -> c_longlong> =
                self.library.get(b"fake_get").unwrap();
            get(name.as_ptr())
        }
    }

    fn sampler(&self, uuid: Option<&str>) -> Sampler {
        let library = Some(self.path.clone().into_os_string());
        Sampler::start(Subject::Card { ordinal: 0, uuid: uuid.map(str::to_owned), library }, INTERVAL)
    }
}

/// What a sampler brought.
#[derive(Default)]
struct Seen {
    device: SampledDevice,
    samples: Vec<Sample>,
    incidents: Vec<Incident>,
}

impl Seen {
    /// Goes on until `enough`.
    fn until(&mut self, sampler: &Sampler, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !enough(self) {
            assert!(Instant::now() < deadline, "nothing came: {:?} {:?}", self.samples.last(), self.incidents);
            std::thread::sleep(Duration::from_millis(5));
            if let Some(batch) = sampler.take() {
                self.device = batch.device;
                self.samples.extend(batch.samples);
                self.incidents.extend(batch.incidents);
            }
        }
    }

    /// The next two samples, of which the second was begun after this call.
    fn next(&mut self, sampler: &Sampler) -> Sample {
        let count = self.samples.len() + 2;
        self.until(sampler, |seen| seen.samples.len() >= count);
        self.samples.last().unwrap().clone()
    }
}

/// What the program logs meanwhile.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn with(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().filter(|line| line.contains(what)).count()
    }
}

/// The log of this process: a sampler logs from a thread of its own.
fn log() -> Lines {
    static LOG: OnceLock<Lines> = OnceLock::new();
    let start = || {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
        lines
    };
    LOG.get_or_init(start).clone()
}

/// One test after another: the library has one state.
#[test]
fn a_card_is_sampled() {
    let log = log();
    let Some(fake) = Fake::build() else { return };
    values_arrive(&fake);
    what_is_not_told_is_none(&fake);
    energy_is_counted_or_computed(&fake);
    critical_errors_arrive(&fake);
    a_lost_card_is_said_once_and_found_again(&fake, &log);
    without_a_driver_there_is_one_line(&fake, &log);
}

fn values_arrive(fake: &Fake) {
    fake.set("process_1", i64::from(std::process::id()));
    fake.set("process_2", 1);
    fake.set("throttle", 0x4 | 0x40 | 0x1);
    let sampler = fake.sampler(Some(SECOND_CARD.trim_start_matches("GPU-")));
    sampler.set_members(7);
    let mut seen = Seen::default();
    let sample = seen.next(&sampler);
    // By its UUID, whatever its number.
    assert_eq!(fake.get("asked"), 1);
    let expected = SampledDevice {
        uuid: SECOND_CARD.to_owned(),
        model: "Test Card".to_owned(),
        memory_bytes: 80_000_000_000,
        power_limit_w: Some(700.0),
        driver: Some("580.00.01".to_owned()),
    };
    assert_eq!(seen.device, expected);
    let expected = Sample {
        at: sample.at,
        span_ms: sample.span_ms,
        utilisation: Some(0.5),
        memory_used_bytes: Some(4_000_000_000),
        own_memory_bytes: Some(1_000_000_000),
        power_w: Some(250.0),
        energy_j: Some(0.0),
        temperature_c: Some(60.0),
        sm_clock_mhz: Some(1980.0),
        memory_clock_mhz: Some(2619.0),
        throttle: Some("sw-power-cap,hw-thermal".to_owned()),
        ecc_corrected: Some(3),
        ecc_uncorrected: Some(0),
        processes: Some(2),
        host_utilisation: sample.host_utilisation,
        members: 7,
    };
    assert_eq!(sample, expected);
    assert!(sample.span_ms >= 19 && seen.samples[0].span_ms == 0);
    drop(sampler);
    let sampler = fake.sampler(None);
    Seen::default().next(&sampler);
    assert_eq!(fake.get("asked"), 0);
}

fn what_is_not_told_is_none(fake: &Fake) {
    let names = [
        "utilisation",
        "memory_used",
        "power_mw",
        "limit_mw",
        "energy_mj",
        "temperature",
        "sm_clock",
        "memory_clock",
        "throttle",
        "ecc_corrected",
        "ecc_uncorrected",
    ];
    let before = names.map(|name| (name, fake.get(name)));
    names.iter().for_each(|name| fake.set(name, -1));
    fake.set("process_1", 0);
    fake.set("process_2", 0);
    let sampler = fake.sampler(None);
    let mut seen = Seen::default();
    let sample = seen.next(&sampler);
    let told = Sample {
        at: sample.at,
        span_ms: sample.span_ms,
        processes: Some(0),
        host_utilisation: sample.host_utilisation,
        ..Sample::default()
    };
    assert_eq!(sample, told);
    assert_eq!((seen.device.memory_bytes, seen.device.power_limit_w), (0, None));
    before.iter().for_each(|(name, value)| fake.set(name, *value));
}

fn energy_is_counted_or_computed(fake: &Fake) {
    let sampler = fake.sampler(None);
    let mut seen = Seen::default();
    seen.next(&sampler);
    fake.set("energy_mj", 12_000);
    let count = seen.samples.len();
    seen.until(&sampler, |seen| seen.samples.len() >= count + 3);
    let counted: f64 = seen.samples.iter().filter_map(|sample| sample.energy_j).sum();
    assert_eq!(counted, 12.0);
    drop(sampler);
    fake.set("energy_mj", -1);
    let sampler = fake.sampler(None);
    let mut seen = Seen::default();
    let sample = seen.next(&sampler);
    let (joules, span_s) = (sample.energy_j.unwrap(), sample.span_ms as f64 / 1e3);
    // The span is told in whole milliseconds.
    assert!((joules - 250.0 * span_s).abs() <= 0.25 + 1e-9, "{sample:?}");
    assert_eq!(seen.samples[0].energy_j, None);
    fake.set("energy_mj", 0);
}

fn critical_errors_arrive(fake: &Fake) {
    let sampler = fake.sampler(None);
    let mut seen = Seen::default();
    seen.next(&sampler);
    assert_eq!(seen.incidents, []);
    fake.set("xid", 79);
    seen.until(&sampler, |seen| !seen.incidents.is_empty());
    assert_eq!(seen.incidents[0].what, Happening::Xid(79));
    seen.next(&sampler);
    assert_eq!(seen.incidents.len(), 1, "told once");
    drop(sampler);
    // A driver that tells no errors tells the rest all the same.
    fake.set("events", 0);
    let sampler = fake.sampler(None);
    assert_eq!(Seen::default().next(&sampler).utilisation, Some(0.5));
    fake.set("events", 1);
}

fn a_lost_card_is_said_once_and_found_again(fake: &Fake, log: &Lines) {
    let sampler = fake.sampler(None);
    let mut seen = Seen::default();
    seen.next(&sampler);
    let inits = fake.get("inits");
    for time in 1..=2 {
        fake.set("lost", 1);
        seen.until(&sampler, |seen| seen.incidents.len() == 2 * time - 1);
        assert!(matches!(seen.incidents.last().unwrap().what, Happening::Lost(_)), "{:?}", seen.incidents);
        // It is looked for several times, and nothing more is said.
        std::thread::sleep(INTERVAL * 80);
        assert_eq!(log.with("does not reach the card any more"), time);
        fake.set("lost", 0);
        seen.until(&sampler, |seen| seen.incidents.len() == 2 * time);
        assert_eq!(seen.incidents.last().unwrap().what, Happening::Back);
        let count = seen.samples.len();
        seen.until(&sampler, |seen| seen.samples.len() >= count + 3);
        // Nobody knows what it did meanwhile: the first sample stands for no time.
        assert_eq!(seen.samples.iter().filter(|sample| sample.span_ms == 0).count(), 1 + time);
    }
    assert!(fake.get("inits") >= inits + 4, "the driver was not asked again");
}

fn without_a_driver_there_is_one_line(fake: &Fake, log: &Lines) {
    fake.set("driver", 0);
    let sampler = fake.sampler(None);
    let missing = Subject::Card { ordinal: 0, uuid: None, library: Some(Path::new("/nowhere/libnvidia-ml.so").into()) };
    let other = Sampler::start(missing, INTERVAL);
    std::thread::sleep(INTERVAL * 50);
    assert!(sampler.take().is_none() && other.take().is_none());
    assert_eq!(log.with("is not monitored"), 2, "one line each");
    fake.set("driver", 1);
}
