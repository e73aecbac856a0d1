//! What handlers share: the database, as soon as it is there, and plans of sweeps, which never change.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::Deserialize;
use tokio::sync::{self, RwLock, Semaphore};

use super::{
    access::Access,
    error::Refusal,
    live::Live,
    scope::{Asked, sweep_of},
};
use crate::{
    monitor::estimate::Durations,
    store::{DATABASE, PlanColumns, Reader, StageColumns, StoreError, SweepRow},
    sweep::{FigureSpec, ReportSpec, StagePlan},
};

/// Plans kept in memory.
const MAX_PLANS: usize = 8;
/// Requests that are worked on at once; others wait.
const MAX_AT_WORK: usize = 32;
/// Queries of users at once.
const MAX_QUERIES: usize = 2;

/// Trials of a request by which its sweep is found.
const MAX_NAMED: usize = 20;

/// The sweep that is meant by `NAME@REVISION`, by its number, or by `NAME`, of which the latest revision is taken; of the rows of all,
/// the latest first. Without a name, the one launched last.
pub(super) fn find_sweep<'a>(sweeps: &'a [SweepRow], named: Option<&str>) -> Option<&'a SweepRow> {
    let Some(named) = named else { return sweeps.first() };
    let whole = named.rsplit_once('@').and_then(|(name, revision)| Some((name, revision.parse::<i64>().ok()?)));
    let of_revision = sweeps.iter().find(|row| whole == Some((row.name.as_str(), row.revision)));
    let number = named.parse::<i64>().ok();
    let numbered = || sweeps.iter().find(|row| Some(row.sweep) == number);
    of_revision.or_else(numbered).or_else(|| sweeps.iter().find(|row| row.name == named))
}

/// What handlers share.
pub(super) struct Site {
    pub(super) home: PathBuf,
    pub(super) access: Access,
    pub(super) live: Live,
    pub(super) at_work: Semaphore,
    pub(super) queries: Arc<Semaphore>,
    opened: RwLock<Option<Opened>>,
    plans: Mutex<Vec<(u64, Arc<Loaded>)>>,
}

#[derive(Clone)]
struct Opened {
    reader: Reader,
    /// Device and number of the file, and when it was made: numbers are used again.
    file: (u64, u64, Option<SystemTime>),
    generation: u64,
    durations: Arc<sync::Mutex<Durations>>,
}

/// A sweep as it was launched.
pub(super) struct Loaded {
    pub(super) row: SweepRow,
    pub(super) report: Report,
    pub(super) plan: PlanColumns,
}

/// What the column `sweeps.report` holds.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub(super) tables: Vec<ReportSpec>,
    pub(super) stages: Vec<StagePlan>,
    pub(super) figures: Vec<FigureSpec>,
}

impl Loaded {
    /// A stage as it was planned.
    pub(super) fn stage_plan(&self, name: &str) -> Option<&StagePlan> {
        self.report.stages.iter().find(|stage| stage.name == name)
    }

    /// Names of stages, in the order of the plan.
    pub(super) fn stage_names(&self) -> Vec<&str> {
        let planned = self.report.stages.iter().map(|stage| stage.name.as_str());
        let planned: Vec<&str> = planned.filter(|name| self.plan.stage(name).is_some()).collect();
        if planned.is_empty() { self.plan.stages.iter().map(|stage| stage.name.as_str()).collect() } else { planned }
    }

    /// The stage that the sweep is about: that of its first table, or the last.
    pub(super) fn subject(&self) -> Option<&StageColumns> {
        let table = self.report.tables.first().and_then(|table| self.plan.stage(&table.stage));
        table.or_else(|| self.plan.stage(self.stage_names().last()?))
    }

    /// The metric by which trials of a stage are compared, and whether more of it is better.
    pub(super) fn metric(&self, stage: &str) -> Option<(&str, Option<bool>)> {
        let plan = self.stage_plan(stage);
        if let Some((metric, plan)) = plan.and_then(|plan| Some((plan.metric.as_deref()?, plan))) {
            return Some((metric, Some(plan.maximize)));
        }
        let table = self.report.tables.iter().find(|table| table.stage == stage)?;
        Some((&table.metric, None))
    }
}

impl Site {
    pub(super) fn new(home: PathBuf, access: Access) -> Self {
        Self {
            home,
            access,
            live: Live::default(),
            at_work: Semaphore::new(MAX_AT_WORK),
            queries: Arc::new(Semaphore::new(MAX_QUERIES)),
            opened: RwLock::new(None),
            plans: Mutex::new(Vec::new()),
        }
    }

    /// The database; opened again when another file is in its place.
    pub(super) async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(self.open().await?.reader)
    }

    /// Counts how often a database was opened.
    pub(super) async fn generation(&self) -> Result<u64, StoreError> {
        Ok(self.open().await?.generation)
    }

    async fn open(&self) -> Result<Opened, StoreError> {
        let path = self.home.join(DATABASE);
        let found = std::fs::metadata(&path).map_err(|_| StoreError::Missing(path.clone()))?;
        let file = (found.dev(), found.ino(), found.created().ok());
        if let Some(opened) = self.opened.read().await.as_ref().filter(|opened| opened.file == file) {
            return Ok(opened.clone());
        }
        let mut place = self.opened.write().await;
        if let Some(opened) = place.as_ref().filter(|opened| opened.file == file) {
            return Ok(opened.clone());
        }
        let reader = Reader::open(&path).await?;
        let generation = place.as_ref().map_or(0, |opened| opened.generation) + 1;
        Ok(place.insert(Opened { reader, file, generation, durations: Arc::default() }).clone())
    }

    /// What trials took, by array key, in milliseconds.
    pub(super) async fn durations(&self) -> Result<BTreeMap<String, f64>, StoreError> {
        let opened = self.open().await?;
        let mut durations = opened.durations.lock().await;
        durations.get(&opened.reader).await.cloned()
    }

    /// Which sweep a request about these trials is about: the one that it names, or the latest that has most of them.
    pub(super) async fn about(
        &self,
        reader: &Reader,
        asked: &Asked,
        trials: &[String],
    ) -> Result<Option<String>, StoreError> {
        if let Some(named) = sweep_of(asked) {
            return Ok(Some(named.to_owned()));
        }
        let mut rows = Vec::new();
        for name in trials.iter().take(MAX_NAMED) {
            if let Ok(id) = reader.find_trial(name).await {
                rows.extend(reader.trial_rows(&[&id.hex()]).await?.into_iter().map(|(row, _)| row));
            }
        }
        Ok(reader.sweep_with(&rows).await?.map(|sweep| sweep.to_string()))
    }

    /// A sweep, by number or name; without either, the one launched last.
    pub(super) async fn sweep(&self, reader: &Reader, named: Option<&str>) -> Result<Arc<Loaded>, Refusal> {
        let sweeps = reader.sweeps().await?;
        let Some(row) = find_sweep(&sweeps, named).cloned() else {
            return Err(match named {
                Some(named) => Refusal::not_found(format!("there is no sweep `{named}`"), "choose one of the list"),
                None => Refusal::not_found("no sweep was launched yet", "`permafrost launch sweeps/quickstart.yaml`"),
            });
        };
        let generation = self.generation().await?;
        let known = |plans: &[(u64, Arc<Loaded>)]| {
            let found = plans.iter().find(|(of, loaded)| *of == generation && loaded.row.sweep == row.sweep);
            found.map(|(_, loaded)| Arc::clone(loaded))
        };
        if let Some(loaded) = known(&self.plans.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(loaded);
        }
        let plan = reader.plan_columns(row.sweep).await?;
        // What another version has written is shown without its tables.
        let report = serde_json::from_str(&row.report).unwrap_or_default();
        let loaded = Arc::new(Loaded { row, report, plan });
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|(of, known)| *of == generation && known.row.sweep != loaded.row.sweep);
        if plans.len() == MAX_PLANS {
            plans.remove(0);
        }
        plans.push((generation, Arc::clone(&loaded)));
        Ok(loaded)
    }
}
