//! Learning curves, few enough points of them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{Answer, Refusal},
    scope::{Asked, Scope, Wanted, list, number, sweep_of},
    site::Site,
    trials::sort_by_values,
};
use permafrost_worker::task::Kind;

use crate::{core::TrialState, store::Curve, sweep::FigureKind};

/// Curves at once.
const MAX_CURVES: usize = 200;
/// Points of each.
const MAX_POINTS: usize = 1_000;
/// Most steps that are read; of longer curves, every second one, or third, and so on.
const MAX_STEPS: i64 = 500_000;

/// Curves of a metric.
#[derive(Serialize)]
pub(super) struct Curves {
    stage: String,
    /// What steps are: `epoch`, counted from 1, or `step`.
    axis: &'static str,
    metric: Option<String>,
    metrics: Vec<String>,
    /// Trials report metrics, and some have not ended: there will be more.
    more: bool,
    /// The result by which trials are compared.
    result: Option<String>,
    maximize: Option<bool>,
    /// Trials that are meant.
    total: usize,
    /// Every so many steps are read; 1: all.
    stride: i64,
    curves: Vec<CurveLine>,
}

#[derive(Serialize)]
struct CurveLine {
    id: String,
    state: &'static str,
    parameters: BTreeMap<String, Value>,
    value: Option<f64>,
    points: Curve,
}

/// `GET /api/curves`: `which` is `best`, `worst`, `running`, `first` or `last`, and `n` how many; or `trials` names some.
pub(super) async fn curves(State(site): State<Arc<Site>>, Wanted(mut asked): Wanted) -> Answer<Curves> {
    let named = list(&asked, "trials");
    if !named.is_empty() && sweep_of(&asked).is_none() {
        let sweep = site.about(&site.reader().await?, &asked, &named).await?;
        asked.extend(sweep.map(|sweep| ("sweep".to_owned(), sweep)));
    }
    if let (Some(first), None) = (named.first(), asked.get("stage").filter(|stage| !stage.is_empty())) {
        // Trials that somebody names say which stage is meant.
        if let Some(stage) = stage_of(&site, &asked, first).await? {
            asked.insert("stage".to_owned(), stage);
        }
    }
    if named.is_empty() && asked.get("stage").is_none_or(String::is_empty) {
        let stage = usual_stage(&site, &asked).await?;
        asked.extend(stage.map(|stage| ("stage".to_owned(), stage)));
    }
    let scope = Scope::of(&site, &asked).await?;
    let stage = scope.stage();
    let kind = scope.loaded.stage_plan(&stage.name).map(|plan| plan.kind);
    let axis = Axis::of(kind.map_or("", Kind::name));
    let ended = |state: &TrialState| *state == TrialState::Done || state.ended_without_result();
    let more = kind.is_some_and(reports) && !scope.states.iter().all(ended);
    let names = scope.reader.stage_names(scope.loaded.row.sweep, &stage.name).await?.metrics;
    let metric = match asked.get("metric").filter(|name| !name.is_empty()) {
        Some(name) => Some(name.clone()),
        None => default_metric(&names),
    };
    let points = number(&asked, "points")?.unwrap_or(300).clamp(2, MAX_POINTS);
    let count: usize = number(&asked, "n")?.unwrap_or(30).min(MAX_CURVES);
    let result = scope.loaded.metric(&stage.name).map(|(name, maximize)| (name.to_owned(), maximize));
    let values = match &result {
        Some((name, _)) => scope.values(name).await?,
        None => vec![None; stage.trials.len()],
    };
    let (total, places) = if named.is_empty() {
        (
            scope.places.len(),
            chosen(&scope, &asked, &values, result.as_ref().and_then(|(_, maximize)| *maximize), count)?,
        )
    } else {
        let found = stage.ids.iter().enumerate().filter(|(_, id)| named.iter().any(|name| id.starts_with(name)));
        let places: Vec<usize> = found.map(|(place, _)| place).take(MAX_CURVES).collect();
        (places.len(), places)
    };
    let rows: Vec<i64> = places.iter().map(|&place| stage.trials[place]).collect();
    let (mut found, mut stride) = (BTreeMap::new(), 1);
    if let Some(metric) = &metric {
        stride = scope.reader.curve_steps(&rows, metric).await? / MAX_STEPS + 1;
        found = scope.reader.thinned_curves(&rows, metric, stride).await?;
    }
    let line = |&place: &usize| CurveLine {
        id: stage.ids[place].clone(),
        state: scope.states[place].name(),
        parameters: super::overview::varying(stage, place),
        value: values[place],
        points: found.get(&stage.trials[place]).map(|curve| axis.of_curve(thin(curve, points))).unwrap_or_default(),
    };
    let curves = places.iter().map(line).filter(|curve| !curve.points.is_empty() || !named.is_empty()).collect();
    let maximize = result.as_ref().and_then(|(_, maximize)| *maximize);
    Ok(Json(Curves {
        stage: stage.name.clone(),
        axis: axis.name(),
        metric,
        metrics: names,
        more,
        result: result.map(|(name, _)| name),
        maximize,
        total,
        stride,
        curves,
    }))
}

/// What the steps of a curve are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    /// Epochs; the first is called 1, as in figures, and stored as 0.
    Epoch,
    /// Steps, as they were reported.
    Step,
}

impl Axis {
    /// Of trials of this kind.
    pub(super) fn of(kind: &str) -> Self {
        if [Kind::Pretrain, Kind::Classify].iter().any(|known| known.name() == kind) { Self::Epoch } else { Self::Step }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Step => "step",
        }
    }

    /// A curve along this axis.
    pub(super) fn of_curve(self, curve: Curve) -> Curve {
        let first = i64::from(self == Self::Epoch);
        curve.into_iter().map(|(step, value)| (step + first, value)).collect()
    }
}

/// Whether trials of a kind report metrics over time.
fn reports(kind: Kind) -> bool {
    FigureKind::Curves.stages().contains(&kind)
}

/// The stage that is shown first: the last one that runs and reports metrics, else the one that the sweep is about, else the last that
/// reports any.
async fn usual_stage(site: &Site, asked: &Asked) -> Result<Option<String>, Refusal> {
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, sweep_of(asked)).await?;
    let able = |name: &str| loaded.stage_plan(name).is_some_and(|plan| reports(plan.kind));
    let running = reader.running_stages(loaded.row.sweep).await?;
    let names = loaded.stage_names();
    let last = |wanted: &dyn Fn(&str) -> bool| names.iter().rev().find(|name| able(name) && wanted(name)).copied();
    let subject = loaded.subject().map(|stage| stage.name.as_str()).filter(|name| able(name));
    let stage = last(&|name| running.iter().any(|known| known == name)).or(subject).or_else(|| last(&|_| true));
    Ok(stage.map(str::to_owned))
}

/// The stage in which that trial stands.
async fn stage_of(site: &Site, asked: &Asked, prefix: &str) -> Result<Option<String>, Refusal> {
    let reader = site.reader().await?;
    let loaded = site.sweep(&reader, sweep_of(asked)).await?;
    let stage = loaded.plan.stages.iter().find(|stage| stage.ids.iter().any(|id| id.starts_with(prefix)));
    Ok(stage.map(|stage| stage.name.clone()))
}

/// What is shown first: how well a model does on what it was not trained on.
fn default_metric(names: &[String]) -> Option<String> {
    let validation = names.iter().find(|name| name.starts_with("val_"));
    validation.or_else(|| names.iter().find(|name| name.contains("loss"))).or_else(|| names.first()).cloned()
}

/// Those that are meant, best first or as asked.
fn chosen(
    scope: &Scope,
    asked: &Asked,
    values: &[Option<f64>],
    maximize: Option<bool>,
    count: usize,
) -> Result<Vec<usize>, Refusal> {
    // Only what ran has a curve.
    let ran = |&place: &usize| !matches!(scope.states[place], TrialState::Waiting | TrialState::Ready);
    let mut places: Vec<usize> = scope.places.iter().copied().filter(ran).collect();
    let which = asked.get("which").map_or("", String::as_str);
    match which {
        "running" => places.retain(|&place| scope.states[place] == TrialState::Running),
        "first" => {}
        "last" => places.reverse(),
        "best" | "worst" | "" => {
            sort_by_values(&mut places, values, maximize.unwrap_or(true) != (which == "worst"));
            // By default what runs is looked at first.
            if which.is_empty() {
                places.sort_by_key(|&place| scope.states[place] != TrialState::Running);
            }
        }
        other => {
            let cure = "which is best, worst, running, first or last";
            return Err(Refusal::wrong(format!("`which` cannot be `{other}`"), cure));
        }
    }
    places.truncate(count);
    Ok(places)
}

/// At most about so many points that look the same: least and greatest value of each stretch, with first and last.
pub(super) fn thin(curve: &[(i64, f64)], points: usize) -> Curve {
    if curve.len() <= points || points < 4 {
        return curve.iter().map(|&(step, value)| (step, shorter(value))).collect();
    }
    let stretches = (points - 2) / 2;
    let inner = &curve[1..curve.len() - 1];
    let mut thinned = vec![curve[0]];
    for stretch in 0..stretches {
        let part = &inner[inner.len() * stretch / stretches..inner.len() * (stretch + 1) / stretches];
        let least = part.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let greatest = part.iter().enumerate().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        if let (Some((first, _)), Some((second, _))) = (least, greatest) {
            thinned.push(part[first.min(second)]);
            if first != second {
                thinned.push(part[first.max(second)]);
            }
        }
    }
    thinned.push(curve[curve.len() - 1]);
    thinned.into_iter().map(|(step, value)| (step, shorter(value))).collect()
}

/// Seven digits are more than a picture shows.
fn shorter(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_curve_keeps_its_ends_and_its_spikes() {
        let mut curve: Curve = (0..10_000).map(|step| (step, f64::from(step as i32).sin() * 0.1)).collect();
        curve[1234].1 = 9.0;
        curve[8765].1 = -9.0;
        let thinned = thin(&curve, 300);
        assert!(thinned.len() <= 300 && thinned.len() > 200, "{}", thinned.len());
        assert!(thinned.is_sorted_by_key(|point| point.0));
        assert_eq!((thinned[0].0, thinned[thinned.len() - 1].0), (0, 9_999));
        assert!(thinned.contains(&(1234, 9.0)) && thinned.contains(&(8765, -9.0)));
    }

    #[test]
    fn a_short_curve_stays() {
        assert_eq!(thin(&[(0, 1.0), (1, 0.123_456_789)], 300), [(0, 1.0), (1, 0.123_456_8)]);
        assert_eq!(thin(&[], 300), []);
    }
}
