//! The thread that samples a device, and what it leaves for the task that sends.

use std::{
    collections::VecDeque,
    ffi::OsString,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nvml_wrapper::{Nvml, error::NvmlError};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{card::CardSource, nvml, processor::Processor, xid};
use crate::protocol::{Happening, Incident, MAX_INCIDENTS, MAX_SAMPLES, Sample, SampledDevice};

/// Two samples that were asked for are at least this far apart, or an interval where that is shorter.
const LEAST_SPAN: Duration = Duration::from_millis(200);
/// A sample that comes so much later than it should stands for nothing: the machine slept, or the process was stopped.
const GAP: Duration = Duration::from_secs(5);
/// A card that was lost is looked for again after so many intervals.
const RETRY: u32 = 30;

/// What is sampled.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The processor.
    Processor {
        /// Threads that the worker computes with.
        threads: usize,
        /// Its description.
        info: SampledDevice,
    },
    /// A CUDA card.
    Card {
        /// Its number, as CUDA counts.
        ordinal: usize,
        /// Its UUID, where CUDA says it.
        uuid: Option<String>,
        /// NVML; none: the library on the loader's path, or what [`super::LIBRARY`] names.
        library: Option<OsString>,
    },
}

/// What was sampled and not sent yet.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The device.
    pub device: SampledDevice,
    /// In order of time.
    pub samples: Vec<Sample>,
    /// In order of time.
    pub incidents: Vec<Incident>,
}

/// Samples a device until it is dropped.
pub struct Sampler {
    shared: Arc<Shared>,
}

struct Shared {
    interval: Duration,
    state: Mutex<State>,
    /// There is reason to sample, or to end.
    wake: Condvar,
    /// There is something to send.
    news: Notify,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// A sample is wanted before its time.
    wanted: bool,
    members: u32,
    device: Option<SampledDevice>,
    samples: VecDeque<Sample>,
    incidents: VecDeque<Incident>,
}

impl Sampler {
    /// Starts to sample, each `interval`.
    ///
    /// A card without a driver is one line in the log; then nothing comes.
    pub fn start(subject: Subject, interval: Duration) -> Self {
        let shared = Arc::new(Shared {
            interval,
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
            news: Notify::new(),
        });
        let thread = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("monitor".to_owned()).spawn(move || thread.watch(subject));
        // Trials run without it.
        if let Err(error) = spawned {
            warn!(%error, "the device is not monitored: no thread could be started");
        }
        Self { shared }
    }

    /// Says how many trials run now.
    pub fn set_members(&self, members: usize) {
        self.shared.lock().members = members as u32;
    }

    /// Whether trials run.
    pub fn is_busy(&self) -> bool {
        self.shared.lock().members > 0
    }

    /// Asks for a sample now, because something has ended.
    pub fn want(&self) {
        self.shared.lock().wanted = true;
        self.shared.wake.notify_one();
    }

    /// Waits until there is something to send.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Takes what is there; none: nothing.
    pub fn take(&self) -> Option<Batch> {
        let mut state = self.shared.lock();
        let device = state.device.clone()?;
        let batch = Batch {
            device,
            samples: state.samples.drain(..).collect(),
            incidents: state.incidents.drain(..).collect(),
        };
        (!batch.samples.is_empty() || !batch.incidents.is_empty()).then_some(batch)
    }

    /// Puts back what could not be sent; beyond the bounds the oldest is forgotten.
    pub fn put_back(&self, batch: Batch) {
        let mut state = self.shared.lock();
        for sample in batch.samples.into_iter().rev() {
            state.samples.push_front(sample);
        }
        for incident in batch.incidents.into_iter().rev() {
            state.incidents.push_front(incident);
        }
        state.trim();
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // Not joined: a driver that hangs must not hold up the end.
        self.shared.lock().stopped = true;
        self.shared.wake.notify_one();
    }
}

impl State {
    fn trim(&mut self) {
        let excess = self.samples.len().saturating_sub(MAX_SAMPLES);
        self.samples.drain(..excess);
        let excess = self.incidents.len().saturating_sub(MAX_INCIDENTS);
        self.incidents.drain(..excess);
    }
}

/// Why a card is watched no longer.
enum Ended {
    Stopped,
    Lost(NvmlError),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, subject: Subject) {
        let mut host = Processor::new();
        match subject {
            Subject::Processor { threads, info } => {
                self.lock().device = Some(info);
                let mut clock = Clock::new(self.interval);
                loop {
                    let span = clock.span();
                    self.push(span, host.sample(threads, span));
                    if !self.wait(&clock) {
                        return;
                    }
                }
            }
            Subject::Card { ordinal, uuid, library } => {
                let library = library.or_else(nvml::library);
                let mut lost = false;
                loop {
                    let ended = match nvml::open(library.as_deref()) {
                        Ok(nvml) => self.watch_card(&nvml, ordinal, uuid.as_deref(), &mut host, &mut lost),
                        Err(error) => Ended::Lost(error),
                    };
                    match ended {
                        Ended::Stopped => return,
                        Ended::Lost(error) if self.lock().device.is_none() => {
                            warn!(%error, "device cuda:{ordinal} is not monitored: NVML, the driver's library, cannot be used");
                            return;
                        }
                        Ended::Lost(error) if !lost => {
                            error!(%error, "device cuda:{ordinal}: the driver does not reach the card any more");
                            self.happened(Happening::Lost(error.to_string()));
                            lost = true;
                        }
                        // It was said.
                        Ended::Lost(_) => {}
                    }
                    if !self.sleep(self.interval * RETRY) {
                        return;
                    }
                }
            }
        }
    }

    /// Samples a card until it is lost.
    fn watch_card(
        &self,
        nvml: &Nvml,
        ordinal: usize,
        uuid: Option<&str>,
        host: &mut Processor,
        lost: &mut bool,
    ) -> Ended {
        let mut card = match CardSource::open(nvml, ordinal, uuid) {
            Ok(card) => card,
            Err(error) => return Ended::Lost(error),
        };
        let mut clock = Clock::new(self.interval);
        loop {
            let span = clock.span();
            let sample = card.sample(span).and_then(|sample| Ok((sample, card.errors()?)));
            let (sample, errors) = match sample {
                Ok(both) => both,
                Err(error) => return Ended::Lost(error),
            };
            if std::mem::take(lost) {
                info!("device cuda:{ordinal}: the driver reaches the card again");
                self.happened(Happening::Back);
            }
            for number in errors {
                error!(number, meaning = xid::meaning(number), "device cuda:{ordinal}: critical error (XID)");
                self.happened(Happening::Xid(number));
            }
            self.lock().device = Some(card.info.clone());
            self.push(span, Sample { host_utilisation: host.host_utilisation(), ..sample });
            if !self.wait(&clock) {
                return Ended::Stopped;
            }
        }
    }

    fn push(&self, span: Duration, sample: Sample) {
        let mut state = self.lock();
        let members = state.members;
        let at = Timestamp::now().as_millisecond();
        state.samples.push_back(Sample { at, span_ms: span.as_millis() as u64, members, ..sample });
        state.trim();
        drop(state);
        self.news.notify_one();
    }

    fn happened(&self, what: Happening) {
        let mut state = self.lock();
        state.incidents.push_back(Incident { at: Timestamp::now().as_millisecond(), what });
        state.trim();
        drop(state);
        self.news.notify_one();
    }

    /// Waits for the next sample's time, or until one is wanted; false: it is time to end.
    fn wait(&self, clock: &Clock) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return false;
            }
            let wait = clock.left(state.wanted);
            if wait.is_zero() {
                state.wanted = false;
                return true;
            }
            state = self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits so long; false: it is time to end.
    fn sleep(&self, duration: Duration) -> bool {
        let state = self.lock();
        let waited = self.wake.wait_timeout_while(state, duration, |state| !state.stopped);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }
}

/// When samples are taken.
struct Clock {
    interval: Duration,
    last: Option<Instant>,
}

impl Clock {
    const fn new(interval: Duration) -> Self {
        Self { interval, last: None }
    }

    /// The time since the last sample, which is now taken; none: this is the first, or the one after a gap.
    fn span(&mut self) -> Duration {
        let now = Instant::now();
        let span = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        if span > GAP.max(self.interval * 5 / 2) { Duration::ZERO } else { span }
    }

    /// The time until the next sample.
    fn left(&self, wanted: bool) -> Duration {
        let wait = if wanted { LEAST_SPAN.min(self.interval) } else { self.interval };
        self.last.map_or(Duration::ZERO, |last| wait.saturating_sub(last.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processor(interval: Duration) -> Sampler {
        let info = SampledDevice { model: "a processor".to_owned(), ..SampledDevice::default() };
        Sampler::start(Subject::Processor { threads: 1, info }, interval)
    }

    #[tokio::test]
    async fn samples_come_in_order_and_stand_for_the_time_between_them() {
        let sampler = processor(Duration::from_millis(20));
        sampler.set_members(3);
        let mut samples = Vec::new();
        while samples.len() < 5 {
            sampler.news().await;
            samples.extend(sampler.take().into_iter().flat_map(|batch| batch.samples));
        }
        assert_eq!(samples[0].span_ms, 0);
        assert_eq!(samples.last().unwrap().members, 3);
        for pair in samples.windows(2) {
            // Both clocks are read one after the other, and a busy machine may come between.
            let apart = pair[1].at - pair[0].at;
            assert!(pair[1].span_ms >= 19 && (apart - pair[1].span_ms as i64).abs() < 500, "{pair:?}");
        }
        assert!(sampler.take().is_none_or(|batch| batch.samples.len() < 5), "samples were taken twice");
    }

    #[tokio::test]
    async fn one_more_sample_can_be_had_before_its_time() {
        let sampler = processor(Duration::from_secs(3600));
        sampler.news().await;
        assert_eq!(sampler.take().unwrap().samples.len(), 1);
        sampler.want();
        tokio::time::timeout(Duration::from_secs(20), sampler.news()).await.unwrap();
        let samples = sampler.take().unwrap().samples;
        assert!(samples[0].span_ms >= 199, "{samples:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_kept_within_bounds() {
        let sampler = processor(Duration::from_secs(3600));
        sampler.news().await;
        let first = sampler.take().unwrap();
        let many = (0..MAX_SAMPLES as i64 + 9).map(|at| Sample { at, ..Sample::default() }).collect();
        sampler.put_back(Batch { samples: many, ..first });
        let kept = sampler.take().unwrap().samples;
        assert_eq!((kept.len(), kept[0].at), (MAX_SAMPLES, 9));
        assert!(sampler.take().is_none());
    }

    #[test]
    fn a_gap_is_no_time() {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds));
        let mut clock = Clock { interval: Duration::from_secs(1), last: ago(9) };
        assert_eq!(clock.span(), Duration::ZERO);
        let mut clock = Clock { interval: Duration::from_secs(10), last: ago(9) };
        assert!(clock.span() >= Duration::from_secs(9));
    }
}
