//! Reads snapshots. Whatever goes wrong is part of the snapshot: the database may come later, or come again.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use permafrost_worker::{files, id::TrialId};
use serde_json::Value;

use super::snapshot::{DeviceView, Nothing, RunningView, Snapshot, SweepView, TrialView};
use crate::{
    monitor::{
        advice::{Advice, advice},
        coordinator::coordinator,
        estimate::{Durations, time_left},
    },
    store::{DATABASE, DeviceState, Listed, Reader, StoreError, SweepName, WITHOUT_RESULT, WorkerRow},
};

/// Sweeps to choose from.
const MAX_SWEEPS: i64 = 200;
/// Trials that run.
const MAX_RUNNING: usize = 1000;
/// Curves that are read at once.
const MAX_CURVES: usize = 100;
/// Trials without a result that are listed.
const MAX_FAILURES: i64 = 200;
/// Events that are listed.
const MAX_EVENTS: i64 = 200;
/// Trials of a list.
pub(super) const MAX_LIST: i64 = 2000;
/// Points of a sparkline.
const SPARK_POINTS: i64 = 120;
/// Samples of a device that are shown.
const HISTORY: usize = 240;
/// A device that was not sampled for so long has left, in milliseconds.
const DEVICE_GONE_MS: i64 = 15_000;
/// How often advice on devices is asked for: it looks at all samples of some minutes.
const ADVICE: Duration = Duration::from_secs(5);
/// The end of a log that is read, in bytes.
const LOG_BYTES: u64 = 16 * 1024;

/// What is looked at, and so must be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A sweep by its row, as a user chose it.
    pub chosen: Option<i64>,
    /// The first of the running trials whose curves are seen, and how many are.
    pub curves: (usize, usize),
    /// Trials of this stage, or of all, with this filter.
    pub list: Option<(Option<String>, String)>,
    /// One trial.
    pub trial: Option<TrialId>,
}

/// Reads snapshots of a home folder.
pub struct Source {
    home: PathBuf,
    name: Option<String>,
    reader: Option<(Reader, u64)>,
    durations: Durations,
    advice: Option<(Instant, Vec<Advice>)>,
    history: HashMap<i64, VecDeque<(i64, f64)>>,
    metrics: (i64, BTreeMap<String, String>),
}

impl Source {
    /// Of this home folder: the sweep of that name, or the one launched last.
    pub fn new(home: &Path, name: Option<&str>) -> Self {
        Self {
            home: home.to_owned(),
            name: name.map(str::to_owned),
            reader: None,
            durations: Durations::default(),
            advice: None,
            history: HashMap::new(),
            metrics: (0, BTreeMap::new()),
        }
    }

    /// What there is now.
    pub async fn snapshot(&mut self, wanted: &Wanted) -> Snapshot {
        let at = jiff::Timestamp::now().as_millisecond();
        let mut snapshot = Snapshot { at, coordinator: coordinator(&self.home), ..Snapshot::default() };
        match self.fill(&mut snapshot, wanted).await {
            Ok(()) => {}
            Err(StoreError::Missing(_)) => snapshot.nothing = Some(Nothing::NoDatabase),
            Err(error) => {
                self.reader = None;
                snapshot.nothing = Some(Nothing::Unreadable(match error.cure() {
                    Some(cure) => format!("{error} ({cure})"),
                    None => error.to_string(),
                }));
            }
        }
        snapshot
    }

    /// The reader; a database that was put in the place of another is opened anew.
    async fn reader(&mut self) -> Result<Reader, StoreError> {
        let path = self.home.join(DATABASE);
        let inode = std::fs::metadata(&path).map(|data| data.ino()).map_err(|_| StoreError::Missing(path.clone()))?;
        if let Some((reader, known)) = &self.reader
            && *known == inode
        {
            return Ok(reader.clone());
        }
        let reader = Reader::open(&path).await?;
        self.reader = Some((reader.clone(), inode));
        self.durations = Durations::default();
        self.history.clear();
        self.metrics = (0, BTreeMap::new());
        Ok(reader)
    }

    async fn fill(&mut self, snapshot: &mut Snapshot, wanted: &Wanted) -> Result<(), StoreError> {
        let reader = self.reader().await?;
        snapshot.sweeps = reader.sweep_names(MAX_SWEEPS).await?;
        // Devices may still be sampled by workers that nobody leads.
        let mut workers = if snapshot.coordinator.is_some() { reader.workers().await? } else { Vec::new() };
        workers.retain(|worker| worker.is_here(snapshot.at));
        snapshot.devices = self.devices(&reader, &workers).await?;
        let Some(sweep) = self.choose(&snapshot.sweeps, wanted.chosen) else {
            snapshot.events = reader.events(MAX_EVENTS).await?;
            snapshot.nothing = Some(match &self.name {
                Some(name) => Nothing::NoSuchSweep(name.clone()),
                None => Nothing::NoSweep,
            });
            return Ok(());
        };
        snapshot.events = reader.events_of(sweep.sweep, MAX_EVENTS).await?;
        if self.metrics.0 != sweep.sweep {
            let report = reader.sweep_report(sweep.sweep).await?.unwrap_or_default();
            self.metrics = (sweep.sweep, stage_metrics(&report));
        }
        let SweepName { sweep: row, name, revision, submitted } = sweep;
        snapshot.sweep = Some(SweepView { sweep: row, name, revision, submitted, metrics: self.metrics.1.clone() });
        let progress = reader.progress(row).await?;
        snapshot.stages = progress.by_stage();
        if !progress.is_finished() {
            snapshot.left = time_left(&progress, self.durations.get(&reader).await?, workers.len(), snapshot.at);
        }
        if progress.count(&WITHOUT_RESULT) > 0 {
            let listed = Listed { states: &WITHOUT_RESULT, latest_first: true, ..Listed::default() };
            snapshot.failures = reader.trial_lines(row, &listed, MAX_FAILURES).await?;
        }
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        snapshot.running = progress
            .running
            .into_iter()
            .take(MAX_RUNNING)
            .map(|row| RunningView { parameters: parsed(&row.parameters), row, metric: None, curve: Vec::new() })
            .collect();
        curves(&reader, &mut snapshot.running, wanted.curves).await?;
        if let Some((stage, filter)) = &wanted.list {
            let stage = stage.as_deref();
            let metric = stage.and_then(|stage| self.metrics.1.get(stage)).map(String::as_str);
            let listed = Listed { stage, filter, metric, ..Listed::default() };
            snapshot.list = Some(reader.trial_lines(row, &listed, MAX_LIST).await?);
        }
        if let Some(id) = wanted.trial {
            snapshot.trial = Some(self.trial(&reader, id).await?);
        }
        Ok(())
    }

    fn choose(&self, sweeps: &[SweepName], chosen: Option<i64>) -> Option<SweepName> {
        let wanted = |sweep: &&SweepName| match chosen {
            Some(row) => sweep.sweep == row,
            None => self.name.as_ref().is_none_or(|name| *name == sweep.name),
        };
        sweeps.iter().find(wanted).cloned()
    }

    /// Devices of workers that are there, and whatever else is sampled.
    async fn devices(&mut self, reader: &Reader, workers: &[WorkerRow]) -> Result<Vec<DeviceView>, StoreError> {
        let sampled = reader.device_states(DEVICE_GONE_MS).await?;
        self.remember(reader, &sampled).await?;
        let mut views: Vec<DeviceView> = workers.iter().map(|worker| self.of_worker(worker, &sampled)).collect();
        for row in sampled {
            if !views.iter().any(|view| view.host == row.host && view.name == row.name) {
                views.push(DeviceView {
                    host: row.host.clone(),
                    name: row.name.clone(),
                    model: row.model.clone(),
                    running: row.members,
                    history: self.history_of(row.device),
                    sample: Some(row),
                    advice: None,
                });
            }
        }
        if self.advice.as_ref().is_none_or(|(at, _)| at.elapsed() >= ADVICE) {
            self.advice = Some((Instant::now(), advice(reader).await?));
        }
        for found in self.advice.iter().flat_map(|(_, all)| all).filter(|found| found.warning) {
            let of = views.iter_mut().find(|view| view.host == found.host && view.name == found.name);
            if let Some(view) = of.filter(|view| view.advice.is_none()) {
                view.advice = Some(found.text.clone());
            }
        }
        views.sort_by(|a, b| (&a.host, a.name.len(), &a.name).cmp(&(&b.host, b.name.len(), &b.name)));
        Ok(views)
    }

    fn of_worker(&self, worker: &WorkerRow, sampled: &[DeviceState]) -> DeviceView {
        let sample = sampled.iter().find(|row| row.host == worker.host && row.name == worker.device).cloned();
        DeviceView {
            host: worker.host.clone(),
            name: worker.device.clone(),
            model: worker.model.clone(),
            running: worker.running,
            history: sample.as_ref().map(|row| self.history_of(row.device)).unwrap_or_default(),
            sample,
            advice: None,
        }
    }

    fn history_of(&self, device: i64) -> Vec<f64> {
        self.history.get(&device).map(|samples| samples.iter().map(|sample| sample.1).collect()).unwrap_or_default()
    }

    /// Adds the samples that are new.
    async fn remember(&mut self, reader: &Reader, devices: &[DeviceState]) -> Result<(), StoreError> {
        self.history.retain(|device, _| devices.iter().any(|row| row.device == *device));
        if devices.is_empty() {
            return Ok(());
        }
        let last = self.history.values().filter_map(|samples| samples.back()).map(|sample| sample.0).max();
        let first = jiff::Timestamp::now().as_millisecond() - 1000 * HISTORY as i64;
        // Workers' clocks differ a little: what overlaps is passed over below.
        let since = last.map_or(first, |last| (last - DEVICE_GONE_MS).max(first));
        for sample in reader.watched(since).await? {
            let Some(utilisation) = sample.utilisation else { continue };
            let samples = self.history.entry(sample.device).or_default();
            if samples.back().is_none_or(|last| last.0 < sample.at) {
                samples.push_back((sample.at, utilisation));
            }
            while samples.len() > HISTORY {
                samples.pop_front();
            }
        }
        Ok(())
    }

    async fn trial(&self, reader: &Reader, id: TrialId) -> Result<TrialView, StoreError> {
        let detail = match reader.trial(id).await {
            Ok(detail) => detail,
            Err(StoreError::NoSuchTrial(_)) => {
                let detail = Err("this trial is not in the database".to_owned());
                return Ok(TrialView { id, detail, curves: Vec::new(), log: Vec::new() });
            }
            Err(error) => return Err(error),
        };
        let curves = reader.curves(&[id], None).await?;
        let log = match detail.attempts.last() {
            Some(last) => {
                let path = files::attempt_log(&self.home, id, last.attempt);
                tokio::task::spawn_blocking(move || log_end(&path)).await.unwrap_or_default()
            }
            None => Vec::new(),
        };
        Ok(TrialView { id, detail: Ok(Box::new(detail)), curves, log })
    }
}

/// The result that each stage is about, out of a sweep's report.
fn stage_metrics(report: &str) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct Report {
        #[serde(default)]
        stages: Vec<Stage>,
        #[serde(default)]
        tables: Vec<Table>,
    }
    #[derive(serde::Deserialize)]
    struct Stage {
        name: String,
        metric: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Table {
        stage: String,
        metric: String,
    }
    // Written by another version, it may look different: then no result is shown in lists.
    let Ok(report) = serde_json::from_str::<Report>(report) else { return BTreeMap::new() };
    let tables = report.tables.into_iter().map(|table| (table.stage, table.metric));
    tables.chain(report.stages.into_iter().filter_map(|stage| Some((stage.name, stage.metric?)))).collect()
}

/// Adds the curves of those that are seen: a loss where there is one.
async fn curves(reader: &Reader, running: &mut [RunningView], seen: (usize, usize)) -> Result<(), StoreError> {
    let first = seen.0.min(running.len());
    let seen = &mut running[first..];
    let count = seen.len().min(MAX_CURVES);
    if count == 0 {
        return Ok(());
    }
    let mut names = reader.metric_names().await?;
    names.retain(|(_, name)| name != "learning_rate");
    names.sort_by_key(|(_, name)| match name.as_str() {
        "train_loss" => 0,
        name if name.contains("loss") => 1,
        _ => 2,
    });
    let names: Vec<i64> = names.into_iter().map(|(metric, _)| metric).collect();
    let trials: Vec<i64> = seen[..count].iter().map(|view| view.row.trial).collect();
    for tail in reader.tails(&trials, &names, SPARK_POINTS).await? {
        let mut points: Vec<(i64, f64)> = serde_json::from_str(&tail.points).unwrap_or_default();
        points.sort_unstable_by_key(|point| point.0);
        if let Some(view) = seen.iter_mut().find(|view| view.row.id == tail.id) {
            view.metric = Some(tail.metric);
            view.curve = points.into_iter().map(|point| point.1).collect();
        }
    }
    Ok(())
}

/// The last lines of a log, readable; none where it is not on this machine.
fn log_end(path: &Path) -> Vec<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(LOG_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The first line is half of one.
        Ok(if start == 0 { text } else { text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default() })
    };
    let text = read().unwrap_or_default();
    text.lines().map(readable).collect()
}

/// A JSON line as time, level where it is not plain information, and message.
fn readable(line: &str) -> String {
    let Ok(Value::Object(entry)) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("at").get(11..19).unwrap_or_default();
    let level = Some(text("level")).filter(|level| !matches!(*level, "" | "INFO"));
    let level = level.map(|level| format!("{level} ")).unwrap_or_default();
    format!("{time} {level}{}", text("message"))
}
