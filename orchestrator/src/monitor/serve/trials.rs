//! Tables of trials, and what there is to choose from.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{Answer, Refusal},
    scope::{Scope, Wanted, number, sweep_of, text},
    site::Site,
};
use crate::{
    monitor::coordinator::coordinator,
    store::{Column, TrialFacts},
};

/// Trials a page.
const MAX_ROWS: usize = 500;
/// Values of a parameter that are listed.
const MAX_VALUES: usize = 60;

/// A page of trials.
#[derive(Serialize)]
pub(super) struct Trials {
    stage: String,
    /// Trials of the stage.
    all: usize,
    /// Those that are meant.
    total: usize,
    offset: usize,
    parameters: Vec<String>,
    rows: Vec<TrialLine>,
    /// A coordinator leads the home folder: what is called running runs.
    led: bool,
    /// In milliseconds since 1970 UTC, where some run: browsers have clocks of their own. Else an answer stays what it is.
    now: Option<i64>,
}

#[derive(Serialize)]
struct TrialLine {
    id: String,
    parameters: BTreeMap<String, Value>,
    #[serde(flatten)]
    facts: TrialFacts,
}

/// `GET /api/trials`: `sort` is `plan`, `state`, `p.NAME` or `r.NAME`, `dir` `asc` or `desc`.
pub(super) async fn trials(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Trials> {
    let scope = Scope::of(&site, &asked).await?;
    let mut places = scope.places.clone();
    let sort = asked.get("sort").map_or("plan", String::as_str);
    let downwards = asked.get("dir").is_some_and(|dir| dir == "desc");
    sort_places(&scope, &mut places, sort, downwards).await?;
    let offset: usize = number(&asked, "offset")?.unwrap_or(0);
    let limit = number(&asked, "limit")?.unwrap_or(100).min(MAX_ROWS);
    let shown: Vec<usize> = places.iter().copied().skip(offset).take(limit).collect();
    let stage = scope.stage();
    let facts = scope.reader.facts(&shown.iter().map(|&place| stage.trials[place]).collect::<Vec<_>>()).await?;
    let led = coordinator(&site.home).is_some();
    let runs = led && facts.iter().any(|facts| facts.started.is_some() && facts.ended.is_none());
    let rows = shown.iter().zip(facts).map(|(&place, facts)| TrialLine {
        id: stage.ids[place].clone(),
        parameters: super::overview::varying(stage, place),
        facts,
    });
    Ok(Json(Trials {
        stage: stage.name.clone(),
        all: stage.trials.len(),
        total: places.len(),
        offset,
        parameters: stage.varying().map(|(name, _)| name.to_owned()).collect(),
        rows: rows.collect(),
        led,
        now: runs.then(|| jiff::Timestamp::now().as_millisecond()),
    }))
}

/// Sorts; what has no value comes last either way.
pub(super) async fn sort_places(
    scope: &Scope,
    places: &mut [usize],
    sort: &str,
    downwards: bool,
) -> Result<(), Refusal> {
    let turn = |order: Ordering| if downwards { order.reverse() } else { order };
    if let Some(name) = sort.strip_prefix("r.") {
        sort_by_values(places, &scope.values(name).await?, downwards);
    } else if let Some(name) = sort.strip_prefix("p.") {
        let unknown = || Refusal::wrong(format!("there is no parameter `{name}`"), "sort by a column of the table");
        let column = scope.stage().parameters.get(name).ok_or_else(unknown)?;
        let ranks = ranks(column);
        let rank = |place: usize| ranks.get(column.of[place] as usize);
        places.sort_by(|&a, &b| match (rank(a), rank(b)) {
            (Some(a), Some(b)) => turn(a.cmp(b)),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
    } else if sort == "state" {
        places.sort_by(|&a, &b| turn(scope.states[a].name().cmp(scope.states[b].name())));
    } else if sort == "plan" {
        if downwards {
            places.reverse();
        }
    } else {
        return Err(Refusal::wrong(format!("cannot sort by `{sort}`"), "sort by plan, state, p.NAME or r.NAME"));
    }
    Ok(())
}

/// Sorts by values; what has none comes last either way.
pub(super) fn sort_by_values(places: &mut [usize], values: &[Option<f64>], downwards: bool) {
    places.sort_by(|&a, &b| match (values[a], values[b]) {
        (Some(a), Some(b)) if downwards => b.total_cmp(&a),
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
}

/// The rank of each value: numbers by size, before texts.
fn ranks(column: &Column) -> Vec<usize> {
    let mut order: Vec<usize> = (0..column.values.len()).collect();
    order.sort_by(|&a, &b| compare(&column.values[a], &column.values[b]));
    let mut ranks = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(rank, at)| ranks[at] = rank);
    ranks
}

/// Numbers by size, before texts.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => text(a).cmp(&text(b)),
    }
}

/// What there is to choose from.
#[derive(Serialize)]
pub(super) struct Fields {
    sweep: i64,
    stage: String,
    stages: Vec<StageField>,
    parameters: Vec<ParameterField>,
    /// Those that are the same for all trials.
    constants: BTreeMap<String, Value>,
    results: Vec<String>,
    metrics: Vec<String>,
}

#[derive(Serialize)]
struct StageField {
    name: String,
    trials: usize,
    metric: Option<String>,
    maximize: Option<bool>,
}

#[derive(Serialize)]
struct ParameterField {
    name: String,
    numeric: bool,
    distinct: usize,
    /// In order; the first few.
    values: Vec<String>,
}

/// `GET /api/fields`.
pub(super) async fn fields(State(site): State<Arc<Site>>, Wanted(asked): Wanted) -> Answer<Fields> {
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, sweep_of(&asked)).await?;
    let wanted = asked.get("stage").filter(|name| !name.is_empty());
    let stage = wanted.and_then(|name| loaded.plan.stage(name)).or_else(|| loaded.subject());
    let stage = stage.ok_or_else(|| Refusal::not_found("the sweep has no trials", "choose another sweep"))?;
    let names = reader.stage_names(loaded.row.sweep, &stage.name).await?;
    let stages = loaded.stage_names().into_iter().map(|name| {
        let metric = loaded.metric(name);
        StageField {
            name: name.to_owned(),
            trials: loaded.plan.stage(name).map_or(0, |stage| stage.trials.len()),
            metric: metric.map(|(metric, _)| metric.to_owned()),
            maximize: metric.and_then(|(_, maximize)| maximize),
        }
    });
    let parameters = stage.varying().map(|(name, column)| {
        let mut values: Vec<&Value> = column.values.iter().collect();
        values.sort_by(|a, b| compare(a, b));
        ParameterField {
            name: name.to_owned(),
            numeric: values.iter().all(|value| value.is_number()),
            distinct: values.len(),
            values: values.into_iter().take(MAX_VALUES).map(text).collect(),
        }
    });
    let varying: Vec<&str> = stage.varying().map(|(name, _)| name).collect();
    let constants = stage.parameters.iter().filter(|(name, _)| !varying.contains(&name.as_str()));
    let constants = constants.filter_map(|(name, column)| Some((name.clone(), column.values.first()?.clone())));
    Ok(Json(Fields {
        sweep: loaded.row.sweep,
        stage: stage.name.clone(),
        stages: stages.collect(),
        parameters: parameters.collect(),
        constants: constants.collect(),
        results: names.results,
        metrics: names.metrics,
    }))
}
