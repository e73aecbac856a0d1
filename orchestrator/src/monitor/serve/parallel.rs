//! Parallel coordinates: parameters and a result of many trials, by columns.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::Answer,
    scope::{Scope, Wanted, list},
    site::Site,
};
use crate::{report::repeats::is_seed, store::NO_VALUE};

/// Lines at once; of more trials every second one is shown, or third, and so on.
const MAX_LINES: usize = 10_000;
/// Axes at once.
const MAX_AXES: usize = 10;

/// Lines by columns.
#[derive(Serialize)]
pub(super) struct Parallel {
    stage: String,
    value: Option<String>,
    maximize: Option<bool>,
    choices: Vec<String>,
    /// Axes that can be shown at once.
    most: usize,
    /// Trials with a result, and those shown.
    total: usize,
    axes: Vec<Axis>,
    /// First ten digits of identities.
    ids: Vec<String>,
    values: Vec<f64>,
}

#[derive(Serialize)]
struct Axis {
    name: String,
    numeric: bool,
    /// In order.
    values: Vec<Value>,
    /// Which of them each trial has; -1: none.
    of: Vec<i64>,
}

/// `GET /api/parallel`: `value` is a result, `axes` names parameters.
pub(super) async fn parallel(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Parallel> {
    let scope = Scope::of(&site, &asked).await?;
    let stage = scope.stage();
    let metric = scope.loaded.metric(&stage.name);
    let value = asked.get("value").filter(|name| !name.is_empty()).cloned();
    let value = value.or_else(|| metric.map(|(name, _)| name.to_owned()));
    let maximize = metric.filter(|(name, _)| Some(*name) == value.as_deref()).and_then(|(_, maximize)| maximize);
    let found = match &value {
        Some(name) => scope.values(name).await?,
        None => vec![None; stage.trials.len()],
    };
    let places: Vec<usize> = scope.places.iter().copied().filter(|&place| found[place].is_some()).collect();
    let stride = places.len() / MAX_LINES + usize::from(!places.len().is_multiple_of(MAX_LINES));
    let shown: Vec<usize> = places.iter().copied().step_by(stride.max(1)).collect();
    let choices: Vec<String> = stage.varying().map(|(name, _)| name.to_owned()).collect();
    let mut wanted = list(&asked, "axes");
    wanted.retain(|name| choices.contains(name));
    if wanted.is_empty() {
        wanted = choices.iter().filter(|name| !is_seed(name)).cloned().collect();
    }
    wanted.truncate(MAX_AXES);
    let axes = wanted.into_iter().filter_map(|name| {
        let column = stage.parameters.get(&name)?;
        let mut order: Vec<usize> = (0..column.values.len()).collect();
        order.sort_by(|&a, &b| super::trials::compare(&column.values[a], &column.values[b]));
        let mut rank = vec![0_i64; order.len()];
        order.iter().enumerate().for_each(|(at, &value)| rank[value] = at as i64);
        let of = shown.iter().map(|&place| match column.of[place] {
            NO_VALUE => -1,
            value => rank[value as usize],
        });
        Some(Axis {
            numeric: column.values.iter().all(Value::is_number),
            of: of.collect(),
            values: order.iter().map(|&value| column.values[value].clone()).collect(),
            name,
        })
    });
    Ok(Json(Parallel {
        stage: stage.name.clone(),
        maximize,
        value,
        most: MAX_AXES,
        total: places.len(),
        axes: axes.collect(),
        ids: shown.iter().map(|&place| stage.ids[place][..10].to_owned()).collect(),
        values: shown.iter().filter_map(|&place| found[place]).collect(),
        choices,
    }))
}
