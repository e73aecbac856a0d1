//! What attempts took of their devices, as samples tell it. Pure: no clock, no database.
//!
//! A sample stands for a stretch of time. Each moment of it is shared alike by the attempts that its worker worked on then; what they
//! computed and the energy that it took go with the time. Moments in which nothing ran are nobody's. Members of an array of which only
//! some are worked on at a time take their turn in the order of the array.

use std::collections::{HashMap, VecDeque};

use permafrost_worker::protocol::{Attempt, Sample};
use uuid::Uuid;

/// Attempts that have ended and wait for the sample of their last moments, a worker; beyond, the oldest do without.
const MAX_ENDED: usize = 4096;
/// Attempts that run are written this often, in milliseconds.
const WRITE_EVERY_MS: i64 = 5_000;

/// A trial's row and the number of its attempt.
pub(super) type Key = (i64, Attempt);

/// What one attempt took so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Used {
    /// Samples that were taken while it ran.
    pub(super) samples: i64,
    pub(super) device_s: f64,
    pub(super) busy_s: f64,
    pub(super) energy_j: Option<f64>,
    pub(super) memory_peak_bytes: Option<i64>,
}

/// A row of `attempt_usage`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UsageRow {
    pub(super) key: Key,
    pub(super) device: i64,
    pub(super) used: Used,
}

/// Who runs what, and what it took.
#[derive(Default)]
pub(super) struct Ledger {
    workers: HashMap<Uuid, Account>,
    holders: HashMap<Key, Uuid>,
}

#[derive(Default)]
struct Account {
    /// The device that is sampled; none: no sample came yet.
    device: Option<i64>,
    /// When it was sampled last.
    sampled: i64,
    /// Members of its array whose turn has not come, in order.
    waiting: VecDeque<Key>,
    /// Those whose turn it is.
    running: HashMap<Key, Entry>,
    ended: VecDeque<(Key, Entry)>,
    written: i64,
}

#[derive(Clone, Default)]
struct Entry {
    started: i64,
    ended: Option<i64>,
    used: Used,
    changed: bool,
}

impl Ledger {
    /// A worker has an array: these attempts, in this order, of which it works on so many at a time.
    pub(super) fn granted(&mut self, worker: Uuid, keys: impl Iterator<Item = Key>, beside: usize, now: i64) {
        let account = self.workers.entry(worker).or_default();
        for (place, key) in keys.enumerate() {
            self.holders.insert(key, worker);
            account.waiting.push_back(key);
            if place < beside {
                account.next(now);
            }
        }
    }

    /// Attempts have ended; returns what is to be written, and those whose turn has come.
    pub(super) fn ended(&mut self, keys: impl Iterator<Item = Key>, now: i64) -> (Vec<UsageRow>, Vec<Key>) {
        let (mut rows, mut begun) = (Vec::new(), Vec::new());
        for key in keys {
            let account = self.holders.remove(&key).and_then(|worker| self.workers.get_mut(&worker));
            let Some(account) = account else { continue };
            let Some(mut entry) = account.running.remove(&key) else {
                account.waiting.retain(|waiting| *waiting != key);
                continue;
            };
            begun.extend(account.next(now));
            // Nobody samples there: nothing will come.
            let Some(device) = account.device else { continue };
            entry.ended = Some(now);
            rows.extend(entry.row(key, device));
            account.ended.push_back((key, entry));
            if account.ended.len() > MAX_ENDED {
                account.ended.pop_front();
            }
        }
        (rows, begun)
    }

    /// A worker's device was sampled.
    pub(super) fn sampled(&mut self, worker: Uuid, device: i64, sample: &Sample) {
        let account = self.workers.entry(worker).or_default();
        account.device = Some(device);
        account.sampled(sample);
    }

    /// What is to be written of a worker's attempts now.
    pub(super) fn due(&mut self, worker: Uuid, now: i64) -> Vec<UsageRow> {
        self.workers.get_mut(&worker).map(|account| account.due(now)).unwrap_or_default()
    }

    /// A worker has left, or all have; returns what is to be written.
    pub(super) fn left(&mut self, worker: Option<Uuid>) -> Vec<UsageRow> {
        let gone: Vec<(Uuid, Account)> = match worker {
            None => self.workers.drain().collect(),
            Some(worker) => self.workers.remove_entry(&worker).into_iter().collect(),
        };
        let mut rows = Vec::new();
        for (worker, account) in gone {
            self.holders.retain(|_, holder| *holder != worker);
            let Some(device) = account.device else { continue };
            let entries = account.running.into_iter().chain(account.ended);
            rows.extend(entries.filter_map(|(key, mut entry)| entry.row(key, device)));
        }
        rows
    }
}

impl Account {
    /// The next that waits has its turn.
    fn next(&mut self, now: i64) -> Option<Key> {
        let key = self.waiting.pop_front()?;
        self.running.insert(key, Entry { started: now, ..Entry::default() });
        Some(key)
    }

    fn sampled(&mut self, sample: &Sample) {
        let to = sample.at;
        let from = to - sample.span_ms as i64;
        self.sampled = self.sampled.max(to);
        let entries = || self.running.values().chain(self.ended.iter().map(|(_, entry)| entry));
        let shares = Shares::of(entries().filter_map(|entry| entry.within(from, to)));
        let span_s = sample.span_ms as f64 / 1e3;
        let own = sample.own_memory_bytes.map(|bytes| bytes as i64);
        for entry in self.running.values_mut().chain(self.ended.iter_mut().map(|(_, entry)| entry)) {
            if entry.runs_at(to) {
                entry.used.samples += 1;
                entry.used.memory_peak_bytes = entry.used.memory_peak_bytes.max(own);
                entry.changed = true;
            }
            let Some((begin, end)) = entry.within(from, to) else { continue };
            let device_s = (shares.until(end) - shares.until(begin)) / 1e3;
            entry.used.device_s += device_s;
            entry.used.busy_s += device_s * sample.utilisation.unwrap_or(0.0);
            if let Some(energy_j) = sample.energy_j {
                *entry.used.energy_j.get_or_insert(0.0) += energy_j * device_s / span_s;
            }
            entry.changed = true;
        }
    }

    fn due(&mut self, now: i64) -> Vec<UsageRow> {
        let Some(device) = self.device else { return Vec::new() };
        let mut rows = Vec::new();
        for (key, entry) in &mut self.ended {
            rows.extend(entry.row(*key, device));
        }
        // Those whose last moments are sampled are done with.
        self.ended.retain(|(_, entry)| entry.ended.is_none_or(|ended| ended > self.sampled));
        if now - self.written >= WRITE_EVERY_MS {
            self.written = now;
            rows.extend(self.running.iter_mut().filter_map(|(key, entry)| entry.row(*key, device)));
        }
        rows
    }
}

impl Entry {
    /// The part of a stretch of time in which it ran; none: there is none.
    fn within(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        let (begin, end) = (self.started.max(from), self.ended.unwrap_or(i64::MAX).min(to));
        (begin < end).then_some((begin, end))
    }

    fn runs_at(&self, at: i64) -> bool {
        self.started <= at && self.ended.is_none_or(|ended| at <= ended)
    }

    /// What is to be written; none: it was.
    fn row(&mut self, key: Key, device: i64) -> Option<UsageRow> {
        std::mem::take(&mut self.changed).then(|| UsageRow { key, device, used: self.used.clone() })
    }
}

/// How much of the time up to a moment each of those that ran then has, when it is shared alike.
struct Shares {
    /// Moments at which somebody began or ended, each with the share up to it, in milliseconds.
    points: Vec<(i64, f64)>,
}

impl Shares {
    /// Of stretches of time.
    fn of(stretches: impl Iterator<Item = (i64, i64)>) -> Self {
        let mut changes: Vec<(i64, i64)> = stretches.flat_map(|(begin, end)| [(begin, 1), (end, -1)]).collect();
        changes.sort_unstable();
        let mut points: Vec<(i64, f64)> = Vec::new();
        let mut running = 0;
        for (at, change) in changes {
            let (last, share) = points.last().copied().unwrap_or((at, 0.0));
            if at > last || points.is_empty() {
                let passed = if running > 0 { (at - last) as f64 / running as f64 } else { 0.0 };
                points.push((at, share + passed));
            }
            running += change;
        }
        Self { points }
    }

    /// The share up to a moment at which somebody began or ended.
    fn until(&self, at: i64) -> f64 {
        self.points.binary_search_by_key(&at, |point| point.0).map_or(0.0, |index| self.points[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: Uuid = Uuid::nil();
    const DEVICE: i64 = 5;

    fn sample(at: i64, span_ms: u64) -> Sample {
        let energy_j = Some(100.0 * span_ms as f64 / 1e3);
        let (utilisation, own_memory_bytes) = (Some(0.5), Some(at as u64));
        Sample { at, span_ms, utilisation, energy_j, own_memory_bytes, ..Sample::default() }
    }

    /// What was written of each attempt last.
    fn last(rows: Vec<UsageRow>) -> HashMap<Key, Used> {
        rows.into_iter().map(|row| (row.key, row.used)).collect()
    }

    #[test]
    fn members_share_alike_and_nothing_is_lost_between_them() {
        let mut ledger = Ledger::default();
        ledger.sampled(WORKER, DEVICE, &sample(1_000, 0));
        ledger.granted(WORKER, [(1, 1), (2, 1)].into_iter(), 2, 1_200);
        ledger.sampled(WORKER, DEVICE, &sample(2_000, 1_000));
        ledger.granted(WORKER, [(3, 4)].into_iter(), 1, 2_000);
        // One leaves in the middle: the others have the rest.
        ledger.ended([(2, 1)].into_iter(), 2_300);
        ledger.sampled(WORKER, DEVICE, &sample(3_000, 1_000));
        let rows = last(ledger.due(WORKER, 10_000));
        let close = |used: &Used, device_s: f64| {
            assert!((used.device_s - device_s).abs() < 1e-9, "{used:?}");
            assert!((used.busy_s - device_s / 2.0).abs() < 1e-9, "{used:?}");
            assert!((used.energy_j.unwrap() - device_s * 100.0).abs() < 1e-9, "{used:?}");
        };
        close(&rows[&(1, 1)], 0.4 + 0.1 + 0.35);
        close(&rows[&(2, 1)], 0.4 + 0.1);
        close(&rows[&(3, 4)], 0.1 + 0.35);
        let sum: f64 = rows.values().map(|used| used.device_s).sum();
        assert!((sum - 1.8).abs() < 1e-9, "{sum}");
        assert_eq!((rows[&(1, 1)].samples, rows[&(2, 1)].samples), (2, 1));
        assert_eq!(rows[&(1, 1)].memory_peak_bytes, Some(3_000));
        assert_eq!(rows[&(2, 1)].memory_peak_bytes, Some(2_000));
    }

    #[test]
    fn members_that_take_their_turn_have_their_own_time() {
        let mut ledger = Ledger::default();
        ledger.granted(WORKER, [(1, 1), (2, 1), (3, 1), (4, 1)].into_iter(), 1, 0);
        ledger.sampled(WORKER, DEVICE, &sample(1_000, 1_000));
        // One that waits is cancelled, and one that runs ends: the next but one has its turn.
        assert_eq!(ledger.ended([(2, 1)].into_iter(), 1_100), (vec![], vec![]));
        assert_eq!(ledger.ended([(1, 1)].into_iter(), 1_500).1, [(3, 1)]);
        ledger.sampled(WORKER, DEVICE, &sample(2_000, 1_000));
        assert_eq!(ledger.ended([(3, 1)].into_iter(), 2_200).1, [(4, 1)]);
        ledger.sampled(WORKER, DEVICE, &sample(3_000, 1_000));
        let rows = last(ledger.due(WORKER, 10_000));
        let seconds: Vec<f64> = [1, 3, 4].map(|trial| rows[&(trial, 1)].device_s).to_vec();
        assert_eq!((seconds, rows.len()), (vec![1.5, 0.7, 0.8], 3));
    }

    #[test]
    fn a_gap_is_nobodys() {
        let mut ledger = Ledger::default();
        ledger.granted(WORKER, [(1, 1)].into_iter(), 1, 0);
        ledger.sampled(WORKER, DEVICE, &sample(1_000, 0));
        ledger.sampled(WORKER, DEVICE, &sample(60_000, 0));
        let used = &last(ledger.due(WORKER, 60_000))[&(1, 1)];
        assert_eq!((used.samples, used.device_s, used.energy_j), (2, 0.0, None));
    }

    #[test]
    fn an_attempt_between_two_samples_has_time_and_no_sample() {
        let mut ledger = Ledger::default();
        ledger.sampled(WORKER, DEVICE, &sample(1_000, 1_000));
        ledger.granted(WORKER, [(1, 1)].into_iter(), 1, 1_100);
        assert_eq!(ledger.ended([(1, 1)].into_iter(), 1_350), (vec![], vec![]));
        ledger.sampled(WORKER, DEVICE, &sample(2_000, 1_000));
        let used = &last(ledger.due(WORKER, 2_000))[&(1, 1)];
        assert_eq!((used.samples, used.memory_peak_bytes), (0, None));
        assert!((used.device_s - 0.25).abs() < 1e-9);
        // It was written, and is forgotten.
        ledger.sampled(WORKER, DEVICE, &sample(3_000, 1_000));
        assert!(ledger.due(WORKER, 99_000).is_empty());
    }

    #[test]
    fn what_runs_is_written_now_and_then_and_what_ends_at_once() {
        let mut ledger = Ledger::default();
        ledger.granted(WORKER, [(1, 1), (2, 1)].into_iter(), 2, 0);
        ledger.sampled(WORKER, DEVICE, &sample(1_000, 1_000));
        assert_eq!(ledger.due(WORKER, 10_000).len(), 2);
        ledger.sampled(WORKER, DEVICE, &sample(2_000, 1_000));
        assert_eq!(ledger.due(WORKER, 11_000), []);
        let rows = last(ledger.ended([(1, 1)].into_iter(), 2_100).0);
        assert!((rows[&(1, 1)].device_s - 1.0).abs() < 1e-9);
        let rows = last(ledger.left(Some(WORKER)));
        assert_eq!(rows.keys().collect::<Vec<_>>(), [&(2, 1)]);
        assert!(ledger.holders.is_empty() && ledger.workers.is_empty());
    }

    #[test]
    fn workers_that_sample_nothing_leave_nothing_behind() {
        let mut ledger = Ledger::default();
        for trial in 0..10_000 {
            ledger.granted(WORKER, [(trial, 1)].into_iter(), 1, 0);
            assert_eq!(ledger.ended([(trial, 1)].into_iter(), 9), (vec![], vec![]));
        }
        assert!(ledger.holders.is_empty() && ledger.workers[&WORKER].ended.is_empty());
        ledger.sampled(WORKER, DEVICE, &sample(0, 0));
        for trial in 0..10_000 {
            ledger.granted(WORKER, [(trial, 1)].into_iter(), 1, 10);
            ledger.ended([(trial, 1)].into_iter(), 19);
        }
        assert_eq!(ledger.workers[&WORKER].ended.len(), MAX_ENDED);
    }
}
