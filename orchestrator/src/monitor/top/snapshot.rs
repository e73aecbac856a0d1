//! All that is known at one moment, as `top` shows it and `top --json` prints it.

use std::collections::BTreeMap;

use permafrost_worker::id::TrialId;
use serde::Serialize;

use crate::{
    monitor::{
        coordinator::{self, CoordinatorView},
        estimate::TimeLeft,
    },
    store::{CurvePoint, DeviceState, LogRow, RunningTrial, StageCounts, SweepName, TrialDetail, TrialLine},
};

/// What `top` shows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// When it was taken, in milliseconds since 1970 UTC.
    pub at: i64,
    /// The coordinator of the home folder, if one runs.
    pub coordinator: Option<CoordinatorView>,
    /// Why there is no sweep to show.
    pub nothing: Option<Nothing>,
    /// The sweep that is shown.
    pub sweep: Option<SweepView>,
    /// Sweeps to choose from, newest first.
    #[serde(skip)]
    pub sweeps: Vec<SweepName>,
    /// Stages in the order of the plan.
    pub stages: Vec<StageCounts>,
    /// The time left.
    pub left: TimeLeft,
    /// Trials that run, oldest first; the first thousand.
    pub running: Vec<RunningView>,
    /// Trials that ended without a result, the last one first; the last few.
    pub failures: Vec<TrialLine>,
    /// Devices that are there.
    pub devices: Vec<DeviceView>,
    /// What happened, newest first; the last few.
    pub events: Vec<LogRow>,
    /// Trials of the list that is open.
    #[serde(skip)]
    pub list: Option<Vec<TrialLine>>,
    /// The trial that is open.
    #[serde(skip)]
    pub trial: Option<TrialView>,
}

/// Why there is no sweep to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nothing {
    /// There is no database yet.
    NoDatabase,
    /// The database has no sweep.
    NoSweep,
    /// It has none of this name.
    NoSuchSweep(String),
    /// The database cannot be read.
    Unreadable(String),
}

/// The sweep that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SweepView {
    /// Its row.
    pub sweep: i64,
    /// Name.
    pub name: String,
    /// Revision.
    pub revision: i64,
    /// When it was launched, in milliseconds since 1970 UTC.
    pub submitted: i64,
    /// The result that each stage is about.
    #[serde(skip)]
    pub metrics: BTreeMap<String, String>,
}

/// A trial that runs.
#[derive(Clone, Debug, Serialize)]
pub struct RunningView {
    /// Where, since when, how far.
    #[serde(flatten)]
    pub row: RunningTrial,
    /// Parameters.
    pub parameters: serde_json::Value,
    /// The curve that is shown.
    pub metric: Option<String>,
    /// Its last values.
    pub curve: Vec<f64>,
}

/// A device, as it was sampled last; nothing but its name where nobody samples it.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceView {
    /// Host.
    pub host: String,
    /// `cpu`, `cuda:0`, ...
    pub name: String,
    /// Model of processor or card.
    pub model: String,
    /// Trials that run on it.
    pub running: i64,
    /// Its last sample.
    pub sample: Option<DeviceState>,
    /// Utilisation over the last minutes, oldest first.
    pub history: Vec<f64>,
    /// What is wrong with it, in a line.
    pub advice: Option<String>,
}

/// A trial with all that is shown of it.
#[derive(Clone, Debug)]
pub struct TrialView {
    /// Which.
    pub id: TrialId,
    /// The database's row of it, or why that cannot be had.
    pub detail: Result<Box<TrialDetail>, String>,
    /// Curves of all metrics, in order of metric and step.
    pub curves: Vec<CurvePoint>,
    /// The last lines of its last attempt's log, oldest first.
    pub log: Vec<String>,
}

impl Snapshot {
    /// Trials of all stages.
    pub fn all(&self) -> StageCounts {
        StageCounts::of_all(&self.stages)
    }

    /// What the sweep does, in a word.
    pub fn state(&self) -> &'static str {
        coordinator::state(&self.stages, self.coordinator.is_some())
    }

    /// The time left in words; `-` where it is not known.
    pub fn time_left(&self) -> String {
        match self.left {
            _ if matches!(self.state(), "done" | "ended") => String::new(),
            left => left.words().unwrap_or_else(|| "time left: -".to_owned()),
        }
    }
}
