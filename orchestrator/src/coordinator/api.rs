//! What the command line says to a running coordinator, beside the worker protocol.

use permafrost_worker::id::TrialId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /v1/submit`: run this plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submit {
    /// The sweep's name.
    pub name: String,
    /// The sweep file as it was.
    pub source: String,
    /// BLAKE3 of the resolved plan.
    pub digest: String,
    /// The resolved `report:` key.
    pub report: Value,
    /// Tags.
    pub tags: Vec<String>,
    /// Trials, inputs before those that read them.
    pub trials: Vec<SubmittedTrial>,
    /// Trials that ended without a result before and run again. Not a command of its own: with nothing else to do, the coordinator
    /// might have left before that came.
    #[serde(default)]
    pub retry: Vec<TrialId>,
}

/// One trial of a [`Submit`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubmittedTrial {
    /// Name of its stage.
    pub stage: String,
    /// Parameters as people write them.
    pub parameters: Value,
    /// What it does. Its identity, inputs and array key follow from it.
    pub task: permafrost_worker::task::Task,
}

/// Answer to [`Submit`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submitted {
    /// Trials that were known already.
    pub known: usize,
    /// Trials that are new.
    pub new: usize,
}

/// `POST /v1/control`: a user's command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Are you there?
    Ping,
    /// Give no more leases, let running trials write checkpoints, then exit.
    Drain,
    /// Run these again, with those of their inputs that have no result.
    Retry(Vec<TrialId>),
    /// Do not run these, or stop running them.
    Cancel(Vec<TrialId>),
}

/// Answer to [`Control`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Controlled {
    /// Trials whose state changed.
    pub changed: Vec<TrialId>,
}
