//! How long a sweep still takes, from how long trials like those that are left took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::store::{Reader, RunningTrial, StoreError, SweepProgress};

/// How often durations of trials are asked for: all attempts are read for that.
const DURATIONS: Duration = Duration::from_secs(10);
/// Less than this is told as a few seconds, in milliseconds.
const FEW_MS: i64 = 10_000;
/// A share done below which it says nothing of the rest.
const TELLING: f64 = 0.02;

/// The time that is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TimeLeft {
    /// Milliseconds; none: nothing is known, or nothing works on it.
    pub ms: Option<i64>,
    /// There is work beside that of which nothing is known yet.
    pub at_least: bool,
}

impl TimeLeft {
    /// In words, such as `about 3 min left`; none: it is not known.
    pub fn words(self) -> Option<String> {
        self.ms.map(|ms| match (about(ms), self.at_least) {
            (rounded, true) => format!("at least {rounded} left"),
            (rounded, false) if ms < FEW_MS => format!("{rounded} left"),
            (rounded, false) => format!("about {rounded} left"),
        })
    }
}

/// A duration that is only an estimate: rounded.
fn about(ms: i64) -> String {
    let seconds = (ms.max(0) as f64 / 1000.0).round() as i64;
    match seconds {
        _ if ms < FEW_MS => "a few s".to_owned(),
        0..90 => format!("{} s", (seconds + 2) / 5 * 5),
        90..5400 => format!("{} min", (seconds + 30) / 60),
        5400..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// What trials took, by array key; asked for anew now and then.
#[derive(Debug, Default)]
pub struct Durations(Option<(Instant, BTreeMap<String, f64>)>);

impl Durations {
    /// Mean time of a device for a trial, in milliseconds, by array key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&mut self, reader: &Reader) -> Result<&BTreeMap<String, f64>, StoreError> {
        let known = match self.0.take() {
            Some((at, known)) if at.elapsed() < DURATIONS => (at, known),
            _ => (Instant::now(), reader.mean_duration_ms().await?),
        };
        Ok(&self.0.insert(known).1)
    }
}

/// The time left on so many devices, at `now` in milliseconds. Trials that are blocked do not run, and do not count.
///
/// `mean_ms` has the time of a device that trials of an array key took, measured on those that are done. Of a key that has none,
/// what runs tells: time so far over the share done. What is left of all trials is shared by all devices, which is right as
/// long as there are more trials than devices; it is never less than what the slowest of those that run needs.
pub fn time_left(progress: &SweepProgress, mean_ms: &BTreeMap<String, f64>, devices: usize, now: i64) -> TimeLeft {
    let SweepProgress { work, running } = progress;
    if devices == 0 {
        return TimeLeft::default();
    }
    // How long the whole of what runs will have taken, and how much of that is left.
    let projected = |row: &RunningTrial| {
        let elapsed = (now - row.begun?).max(0) as f64;
        let share = row.share().filter(|share| *share >= TELLING)?;
        Some((elapsed / share, elapsed * (1.0 - share) / share))
    };
    // By key, of those that run: what one takes of its device.
    let mut of_running: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in running {
        if let Some((whole, _)) = projected(row) {
            let (sum, count) = of_running.entry(&row.array_key).or_default();
            *sum += whole / row.beside.max(1) as f64;
            *count += 1.0;
        }
    }
    let of_one = |key: &str| {
        let measured = mean_ms.get(key).copied();
        measured.or_else(|| of_running.get(key).map(|(sum, count)| sum / count))
    };
    let (mut total, mut known, mut unknown, mut slowest) = (0.0, false, false, 0.0_f64);
    for row in work.iter().filter(|row| matches!(row.state.as_str(), "waiting" | "ready") && !row.blocked) {
        match of_one(&row.array_key) {
            Some(one) => (total, known) = (total + one * row.trials as f64, true),
            None => unknown = true,
        }
    }
    for row in running {
        let beside = row.beside.max(1) as f64;
        let rest = match (projected(row), row.begun) {
            (Some((_, rest)), _) => Some(rest),
            (None, Some(begun)) => of_one(&row.array_key).map(|one| (one * beside - (now - begun) as f64).max(0.0)),
            (None, None) => of_one(&row.array_key).map(|one| one * beside),
        };
        match rest {
            Some(rest) => {
                known = true;
                total += rest / beside;
                slowest = slowest.max(rest);
            }
            None => unknown = true,
        }
    }
    let ms = (total / devices as f64).max(slowest);
    TimeLeft { ms: known.then_some(ms as i64), at_least: known && unknown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::WorkRow;

    fn work(state: &str, key: &str, trials: i64) -> WorkRow {
        let (stage, state, array_key) = ("s".to_owned(), state.to_owned(), key.to_owned());
        WorkRow { stage, state, array_key, blocked: false, trials, reused: 0 }
    }

    fn running(key: &str, done: i64, beside: i64) -> RunningTrial {
        RunningTrial {
            trial: 1,
            stage: "s".to_owned(),
            id: "0".repeat(64),
            parameters: "{}".to_owned(),
            attempt: 1,
            done_units: done,
            total_units: 100,
            begun: Some(0),
            beside,
            array_key: key.to_owned(),
            device: "cpu".to_owned(),
            host: "here".to_owned(),
        }
    }

    fn time_left(
        work: &[WorkRow],
        running: &[RunningTrial],
        mean_ms: &BTreeMap<String, f64>,
        devices: usize,
        now: i64,
    ) -> TimeLeft {
        super::time_left(&SweepProgress { work: work.to_vec(), running: running.to_vec() }, mean_ms, devices, now)
    }

    fn left(ms: i64) -> TimeLeft {
        TimeLeft { ms: Some(ms), at_least: false }
    }

    #[test]
    fn trials_left_are_shared_by_devices() {
        let mean = BTreeMap::from([("a".to_owned(), 1000.0)]);
        let todo = [work("ready", "a", 6), work("waiting", "a", 2), work("done", "a", 50)];
        assert_eq!(time_left(&todo, &[], &mean, 1, 0), left(8000));
        assert_eq!(time_left(&todo, &[], &mean, 4, 0), left(2000));
        assert_eq!(time_left(&todo, &[], &mean, 0, 0), TimeLeft::default(), "nothing works on it");
        let blocked = WorkRow { blocked: true, ..work("waiting", "a", 2) };
        assert_eq!(time_left(&[work("ready", "a", 1), blocked], &[], &mean, 1, 0), left(1000));
    }

    #[test]
    fn what_runs_counts_by_what_is_left_of_it() {
        let mean = BTreeMap::from([("a".to_owned(), 1000.0)]);
        // A quarter in 500 ms: 1500 ms more, whatever others took.
        assert_eq!(time_left(&[], &[running("a", 25, 1)], &mean, 4, 500), left(1500));
        // Two members of an array share their time; the array ends in 1500 ms.
        let array = [running("a", 25, 2), running("a", 25, 2)];
        assert_eq!(time_left(&[work("ready", "a", 3)], &array, &mean, 1, 500), left(1500 + 3000));
        // Too early to tell from itself: others of its kind do.
        assert_eq!(time_left(&[], &[running("a", 0, 1)], &mean, 1, 200), left(800));
    }

    #[test]
    fn members_that_wait_for_their_turn_take_as_long_as_others() {
        let waits = || RunningTrial { begun: None, ..running("a", 0, 1) };
        // A quarter in 500 ms, and two more after it.
        let array = [running("a", 25, 1), waits(), waits()];
        assert_eq!(time_left(&[], &array, &BTreeMap::new(), 1, 500), left(1500 + 2 * 2000));
        let mean = BTreeMap::from([("a".to_owned(), 1000.0)]);
        assert_eq!(time_left(&[], &array, &mean, 1, 500), left(1500 + 2 * 1000));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let none = BTreeMap::new();
        assert_eq!(time_left(&[work("ready", "a", 6)], &[], &none, 1, 0), TimeLeft::default());
        // The first of a kind tells of the others.
        assert_eq!(time_left(&[work("ready", "a", 2)], &[running("a", 50, 1)], &none, 1, 100), left(100 + 400));
        let todo = [work("ready", "a", 2), work("waiting", "b", 9)];
        let mean = BTreeMap::from([("a".to_owned(), 1000.0)]);
        assert_eq!(time_left(&todo, &[], &mean, 1, 0), TimeLeft { ms: Some(2000), at_least: true });
    }

    #[test]
    fn words_are_rounded() {
        assert_eq!([4_000, 62_000, 125_000, 7_380_000].map(about), ["a few s", "60 s", "2 min", "2 h 3 min"]);
        assert_eq!([4_000, 125_000].map(|ms| left(ms).words().unwrap()), ["a few s left", "about 2 min left"]);
        assert_eq!(TimeLeft { ms: Some(20_000), at_least: true }.words().unwrap(), "at least 20 s left");
        assert_eq!(TimeLeft::default().words(), None);
    }
}
