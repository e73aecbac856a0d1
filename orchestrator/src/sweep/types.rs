//! What a sweep file becomes.

use std::path::PathBuf;

use permafrost_worker::{
    id::TrialId,
    task::{Kind, Task},
};
use serde::{Deserialize, Serialize};

/// Most trials of one sweep.
pub const MAX_TRIALS: u64 = 100_000;

/// All trials of a sweep.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `name:` of the file.
    pub name: String,
    /// The file as it was.
    pub source: String,
    /// BLAKE3 of trials, stages, parameters and report, in hexadecimal. Files that mean the same have the same digest.
    pub digest: String,
    /// `tags:` of the file.
    pub tags: Vec<String>,
    /// Stages in the order in which they can run: the implied ones (`fetch`, `prepare`, `embed`) first.
    pub stages: Vec<StagePlan>,
    /// Trials, each after those whose results it reads. A trial stands here once a stage that it is part of.
    pub trials: Vec<PlannedTrial>,
    /// Tables to print.
    pub report: Vec<ReportSpec>,
    /// Figures to draw.
    pub figures: Vec<FigureSpec>,
    /// Files of users that are not there; trials that need them would fail.
    pub missing: Vec<Missing>,
}

impl Plan {
    /// Bytes that all trials leave on disk when they are done, a trial that is part of several stages counted once.
    pub fn disk_bytes(&self) -> u64 {
        let mut seen = std::collections::HashSet::new();
        self.trials.iter().filter(|trial| seen.insert(trial.id)).map(|trial| trial.disk_bytes).sum()
    }
}

/// A stage of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// What its trials do.
    pub kind: Kind,
    /// Number of its trials.
    pub trials: usize,
    /// How the number comes about, such as `grid of 9, for each of 6 of pretrain`.
    pub note: String,
    /// The metric its trials are compared by.
    pub metric: Option<String>,
    /// Whether a larger value of that metric is better.
    pub maximize: bool,
}

/// A trial of a plan.
#[derive(Clone, Debug)]
pub struct PlannedTrial {
    /// Its identity.
    pub id: TrialId,
    /// The stage.
    pub stage: String,
    /// What it does.
    pub task: Task,
    /// Parameters of the whole lineage, as people write them; a JSON object.
    pub parameters: serde_json::Value,
    /// Bytes it leaves on disk when it is done; an estimate, see `docs/sweep-files.md`.
    pub disk_bytes: u64,
    /// Bytes of memory that it needs while it runs, alone; an estimate.
    pub memory_bytes: u64,
}

/// A table to print: an entry of `report:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportSpec {
    /// Heading.
    pub title: String,
    /// Parameters whose values make the rows, outermost first.
    pub rows: Vec<String>,
    /// Parameters whose values make the columns, outermost first.
    pub columns: Vec<String>,
    /// The stage whose results are shown.
    pub stage: String,
    /// Which of its results.
    pub metric: String,
    /// Only trials whose parameters have these values; a list of values stands for any of them.
    pub filter: serde_json::Map<String, serde_json::Value>,
    /// A sentence to print with the table.
    pub note: Option<String>,
    /// Published values to show beside the measured ones, such as `paper-table-1`.
    pub reference: Option<String>,
    /// What stands beside a mean.
    #[serde(default, skip_serializing_if = "is_default")]
    pub spread: Spread,
    /// Values of row parameters: the row that the others are compared with. Without any, it is the best of each column.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub baseline: serde_json::Map<String, serde_json::Value>,
    /// The reader of the stage's data set, where `reference` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
}

/// What stands beside a mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// The standard deviation
    #[default]
    Sd,
    /// The 95 % interval of the mean
    Ci95,
    /// Standard deviation and interval
    Both,
}

/// What is not written into the plan's digest: a file that does not use it keeps the digest it had.
fn is_default(spread: &Spread) -> bool {
    *spread == Spread::default()
}

/// What a figure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// Trainable parameters against a score (paper, Fig. 2).
    Params,
    /// t-SNE of image embeddings before and after the Adaptor (paper, Fig. 3).
    Tsne,
    /// Metrics over epochs.
    Curves,
    /// A score against the share of the labels.
    Fractions,
}

impl FigureKind {
    /// The name used in sweep files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Tsne => "tsne",
            Self::Curves => "curves",
            Self::Fractions => "fractions",
        }
    }

    /// Kinds of stages that it can be about.
    pub const fn stages(self) -> &'static [Kind] {
        match self {
            Self::Params | Self::Fractions => &[Kind::Classify],
            Self::Tsne => &[Kind::Project],
            Self::Curves => &[Kind::Pretrain, Kind::Classify, Kind::Noop],
        }
    }
}

/// Colours of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// Dark on white, for paper.
    #[default]
    Light,
    /// Light on near-black.
    Dark,
}

/// A figure to draw: an entry of `figures:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FigureSpec {
    /// What it shows.
    pub kind: FigureKind,
    /// Name of its files, without extension.
    pub name: String,
    /// The stage it is about.
    pub stage: String,
    /// What is shown; none: what the kind usually shows.
    pub metric: Option<String>,
    /// Only trials whose parameters have these values; a list of values stands for any of them.
    pub filter: serde_json::Map<String, serde_json::Value>,
    /// Heading.
    pub title: Option<String>,
    /// Width in millimetres.
    pub width_mm: f64,
    /// Its colours.
    pub theme: Theme,
}

/// Something that a user has to provide and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What it is, such as `weights of bert`.
    pub what: String,
    /// Where it was looked for.
    pub path: PathBuf,
    /// How to get it.
    pub cure: String,
}
