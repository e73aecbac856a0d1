//! Several trials beside each other.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::Answer,
    scope::{Wanted, list},
    site::Site,
};
use crate::{
    monitor::coordinator::coordinator,
    store::{AttemptUsage, TrialFacts},
};

/// Trials at once.
const MAX_TRIALS: usize = 20;

/// Several trials.
#[derive(Serialize)]
pub(super) struct Compared {
    trials: Vec<ComparedTrial>,
    /// Names that no trial has, or several.
    unknown: Vec<String>,
    /// Trials that were asked for, and how many are shown at most.
    total: usize,
    most: usize,
    /// A coordinator leads the home folder: what is called running runs.
    led: bool,
    /// In milliseconds since 1970 UTC, where somebody leads.
    now: Option<i64>,
}

#[derive(Serialize)]
struct ComparedTrial {
    id: String,
    stage: Option<String>,
    parameters: BTreeMap<String, Value>,
    /// What each result is compared by: 1 where more is better, -1 where less is; others are left out.
    goals: BTreeMap<String, i8>,
    usage: Vec<AttemptUsage>,
    #[serde(flatten)]
    facts: TrialFacts,
}

/// `GET /api/compare`: `trials` names them.
pub(super) async fn compare(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Compared> {
    let reader = site.reader().await?;
    let (mut rows, mut unknown) = (Vec::new(), Vec::new());
    let names = list(&asked, "trials");
    let total = names.len();
    let about = site.about(&reader, &asked, &names).await?;
    for name in names.into_iter().take(MAX_TRIALS) {
        match reader.find_trial(&name).await {
            Ok(id) => rows.extend(reader.trial_rows(&[&id.hex()]).await?),
            Err(_) => unknown.push(name),
        }
    }
    let numbers: Vec<i64> = rows.iter().map(|(row, _)| *row).collect();
    let (facts, mut usage) = tokio::try_join!(reader.facts(&numbers), reader.attempt_usage(&numbers))?;
    let loaded = if rows.is_empty() { None } else { Some(site.sweep(&reader, about.as_deref()).await?) };
    let mut trials = Vec::new();
    for ((row, id), facts) in rows.into_iter().zip(facts) {
        let found =
            loaded.iter().flat_map(|loaded| &loaded.plan.stages).find_map(|stage| Some((stage, stage.place(row)?)));
        let parameters = match found {
            Some((stage, place)) => {
                stage.parameters_of(place).into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
            }
            // It is of another sweep.
            None => reader.parameters_of(row).await?,
        };
        let stage = found.map(|(stage, _)| stage.name.clone());
        let metric = loaded.as_ref().zip(stage.as_ref()).and_then(|(loaded, stage)| loaded.metric(stage));
        let goals = metric.and_then(|(name, maximize)| Some((name.to_owned(), if maximize? { 1 } else { -1 })));
        let (own, others) = usage.into_iter().partition(|usage| usage.id == id);
        usage = others;
        trials.push(ComparedTrial { id, stage, parameters, goals: goals.into_iter().collect(), usage: own, facts });
    }
    let led = coordinator(&site.home).is_some();
    let now = led.then(|| jiff::Timestamp::now().as_millisecond());
    Ok(Json(Compared { trials, unknown, total, most: MAX_TRIALS, led, now }))
}
