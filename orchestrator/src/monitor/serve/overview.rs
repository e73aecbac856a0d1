//! The overview of a sweep, and the list of all.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{Answer, Refusal},
    scope::{Wanted, list, number, sweep_of},
    site::{Loaded, Site, find_sweep},
};
use crate::{
    monitor::{
        coordinator::{self, CoordinatorView},
        estimate::{TimeLeft, time_left},
    },
    store::{
        DeviceState, FailureGroup, LogRow, Reader, StageColumns, StageCounts, StoreError, SweepProgress, SweepRow,
        WorkerRow,
    },
};

/// Running trials that are shown.
const MAX_RUNNING: usize = 24;
/// Points of a small curve.
const SPARK_POINTS: usize = 40;
/// Most steps that small curves read.
const SPARK_STEPS: i64 = 20_000;
/// Different reasons of failures.
const MAX_FAILURES: i64 = 20;
/// Best trials.
const MAX_BEST: usize = 5;
/// Events.
const MAX_EVENTS: i64 = 30;
/// Sweeps a page.
const MAX_SWEEPS: usize = 20;
/// A device that was not sampled for so long is not there, in milliseconds.
const DEVICE_GONE_MS: i64 = 120_000;
/// Workers that are shown.
const MAX_WORKERS: usize = 64;

/// A sweep in a list.
#[derive(Serialize)]
pub(super) struct SweepLine {
    #[serde(flatten)]
    head: SweepHead,
    counts: BTreeMap<String, i64>,
}

/// What a sweep is called.
#[derive(Serialize)]
pub(super) struct SweepHead {
    sweep: i64,
    name: String,
    revision: i64,
    submitted: i64,
    tags: Vec<String>,
    digest: String,
}

impl SweepHead {
    fn of(row: &SweepRow) -> Self {
        let tags = serde_json::from_str(&row.tags).unwrap_or_default();
        let SweepRow { sweep, name, revision, digest, submitted, .. } = row.clone();
        Self { sweep, name, revision, submitted, tags, digest }
    }
}

/// A page of sweeps.
#[derive(Default, Serialize)]
pub(super) struct Sweeps {
    total: usize,
    offset: usize,
    sweeps: Vec<SweepLine>,
    /// The one that a page is about; none: there is no such sweep.
    shown: Option<SweepHead>,
}

/// `GET /api/sweeps`: `sweep` names the one that a page is about, or `trials` tell it. Before the first launch there are none, which is
/// no error.
pub(super) async fn sweeps(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Sweeps> {
    let reader = match site.reader().await {
        Err(StoreError::Missing(_)) => return Ok(Json(Sweeps::default())),
        reader => reader?,
    };
    let rows = reader.sweeps().await?;
    let about = site.about(&reader, &asked, &list(&asked, "trials")).await?;
    let shown = find_sweep(&rows, about.as_deref()).map(SweepHead::of);
    let offset: usize = number(&asked, "offset")?.unwrap_or(0);
    let listed: Vec<&SweepRow> = rows.iter().skip(offset).take(MAX_SWEEPS).collect();
    let mut counts = reader.sweep_counts(&listed.iter().map(|row| row.sweep).collect::<Vec<_>>()).await?;
    let line =
        |row: &&SweepRow| SweepLine { head: SweepHead::of(row), counts: counts.remove(&row.sweep).unwrap_or_default() };
    Ok(Json(Sweeps { total: rows.len(), offset, sweeps: listed.iter().map(line).collect(), shown }))
}

/// A stage and how far it is.
#[derive(Serialize)]
struct StageLine {
    #[serde(flatten)]
    counts: StageCounts,
    kind: Option<String>,
    note: Option<String>,
    /// Mean time of a device for one trial.
    mean_ms: Option<f64>,
    /// If all workers that are there did nothing else.
    left: TimeLeft,
}

/// A trial that runs.
#[derive(Serialize)]
struct RunningLine {
    id: String,
    stage: String,
    attempt: u32,
    done: Option<f64>,
    begun: Option<i64>,
    device: String,
    host: String,
    parameters: BTreeMap<String, Value>,
    metric: Option<String>,
    /// The last values of the metric.
    curve: Vec<(i64, f64)>,
}

/// A failure with examples.
#[derive(Serialize)]
struct FailureLine {
    #[serde(flatten)]
    group: FailureGroup,
    examples: Vec<String>,
}

/// A good trial.
#[derive(Serialize)]
struct BestLine {
    id: String,
    value: f64,
    parameters: BTreeMap<String, Value>,
}

/// The best trials of the stage that the sweep is about.
#[derive(Serialize)]
struct Best {
    stage: String,
    metric: String,
    maximize: bool,
    trials: Vec<BestLine>,
}

/// How far a sweep is.
#[derive(Serialize)]
pub(super) struct Overview {
    sweep: SweepHead,
    /// In milliseconds since 1970 UTC, where somebody leads.
    now: Option<i64>,
    /// `done`, `ended`, `stopped`, `waiting` or `running`.
    state: &'static str,
    /// The coordinator of the home folder, if one runs.
    coordinator: Option<CoordinatorView>,
    finished: bool,
    total: i64,
    done: i64,
    stages: Vec<StageLine>,
    left: TimeLeft,
    running: Vec<RunningLine>,
    running_total: usize,
    failures: Vec<FailureLine>,
    best: Option<Best>,
    events: Vec<LogRow>,
    devices: Vec<DeviceState>,
    workers: Vec<WorkerRow>,
    workers_here: usize,
}

/// `GET /api/overview`.
pub(super) async fn overview(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Overview> {
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, sweep_of(&asked)).await?;
    let sweep = loaded.row.sweep;
    let (progress, durations, times, failures, mut workers) = tokio::try_join!(
        reader.progress(sweep),
        site.durations(),
        reader.stage_times(sweep),
        reader.failure_groups(sweep, MAX_FAILURES),
        reader.workers(),
    )?;
    let (best, events, devices) =
        tokio::join!(best(&reader, &loaded), reader.events(MAX_EVENTS), reader.device_states(DEVICE_GONE_MS));
    let means: BTreeMap<String, f64> = times.into_iter().map(|time| (time.stage, time.mean_ms)).collect();
    let now = jiff::Timestamp::now().as_millisecond();
    let coordinator = coordinator::coordinator(&site.home);
    // Without one nobody works, whatever the database says of those that it was told of.
    workers.retain(|worker| coordinator.is_some() && worker.is_here(now));
    let workers_here = workers.len();
    workers.truncate(MAX_WORKERS);
    let left = |part: &SweepProgress| time_left(part, &durations, workers_here, now);
    let stages = progress.by_stage().into_iter().map(|counts| {
        let plan = loaded.stage_plan(&counts.stage);
        StageLine {
            kind: plan.map(|plan| plan.kind.name().to_owned()),
            note: plan.map(|plan| plan.note.clone()).filter(|note| !note.is_empty()),
            mean_ms: means.get(&counts.stage).copied(),
            left: left(&progress.of_stage(&counts.stage)),
            counts,
        }
    });
    let stages: Vec<StageLine> = stages.collect();
    let counts: Vec<StageCounts> = stages.iter().map(|stage| stage.counts.clone()).collect();
    let state = coordinator::state(&counts, coordinator.is_some());
    let failures = failures.into_iter().map(|group| {
        let whole = group.ids.split(' ').filter(|id| id.len() == 64);
        FailureLine { examples: whole.map(|id| id[..10].to_owned()).collect(), group }
    });
    Ok(Json(Overview {
        sweep: SweepHead::of(&loaded.row),
        now: coordinator.is_some().then_some(now),
        state,
        coordinator,
        finished: matches!(state, "done" | "ended"),
        total: progress.total(),
        done: progress.count(&["done"]),
        left: left(&progress),
        stages,
        running: running(&reader, &loaded, &progress).await?,
        running_total: progress.running.len(),
        failures: failures.collect(),
        best: best?,
        events: events?,
        devices: devices?,
        workers,
        workers_here,
    }))
}

async fn running(reader: &Reader, loaded: &Loaded, progress: &SweepProgress) -> Result<Vec<RunningLine>, Refusal> {
    let mut lines = Vec::new();
    let mut by_stage: BTreeMap<&str, Vec<(usize, i64)>> = BTreeMap::new();
    for row in progress.running.iter().take(MAX_RUNNING) {
        let stage = loaded.plan.stage(&row.stage);
        let place = stage.and_then(|stage| Some((stage, stage.ids.iter().position(|id| *id == row.id)?)));
        if let Some((stage, place)) = place {
            by_stage.entry(&stage.name).or_default().push((lines.len(), stage.trials[place]));
        }
        lines.push(RunningLine {
            id: row.id.clone(),
            stage: row.stage.clone(),
            attempt: row.attempt,
            done: row.share(),
            begun: row.begun,
            device: row.device.clone(),
            host: row.host.clone(),
            parameters: place.map(|(stage, place)| varying(stage, place)).unwrap_or_default(),
            metric: None,
            curve: Vec::new(),
        });
    }
    for (stage, trials) in by_stage {
        let names = reader.stage_names(loaded.row.sweep, stage).await?.metrics;
        let Some(metric) = loss(&names) else { continue };
        let rows: Vec<i64> = trials.iter().map(|(_, row)| *row).collect();
        let stride = reader.curve_steps(&rows, metric).await? / SPARK_STEPS + 1;
        let curves = reader.thinned_curves(&rows, metric, stride).await?;
        for (at, row) in trials {
            lines[at].metric = Some(metric.to_owned());
            lines[at].curve =
                curves.get(&row).map(|curve| super::curves::thin(curve, SPARK_POINTS)).unwrap_or_default();
        }
    }
    Ok(lines)
}

/// The metric of a small curve: that of training, or another loss, or whatever there is.
fn loss(names: &[String]) -> Option<&String> {
    let named = |wanted: fn(&str) -> bool| names.iter().find(|name| wanted(name));
    named(|name| name == "train_loss").or_else(|| named(|name| name.contains("loss"))).or_else(|| names.first())
}

/// Parameters by which trials of a stage differ.
pub(super) fn varying(stage: &StageColumns, place: usize) -> BTreeMap<String, Value> {
    stage.varying().filter_map(|(name, column)| Some((name.to_owned(), column.value(place)?.clone()))).collect()
}

async fn best(reader: &Reader, loaded: &Loaded) -> Result<Option<Best>, Refusal> {
    let Some(stage) = loaded.subject() else { return Ok(None) };
    let Some((metric, maximize)) = loaded.metric(&stage.name) else { return Ok(None) };
    let maximize = maximize.unwrap_or(true);
    let values = reader.stage_values(loaded.row.sweep, stage, metric).await?;
    let mut found: Vec<(f64, usize)> =
        values.iter().enumerate().filter_map(|(place, value)| Some(((*value)?, place))).collect();
    found.sort_by(|a, b| if maximize { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
    let line = |&(value, place): &(f64, usize)| BestLine {
        id: stage.ids[place].clone(),
        value,
        parameters: varying(stage, place),
    };
    let trials = found.iter().take(MAX_BEST).map(line).collect();
    Ok(Some(Best { stage: stage.name.clone(), metric: metric.to_owned(), maximize, trials }))
}
