//! Trainable parameters against a score: which points there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    data::Data,
    error::{FigureError, data},
    groups::{self, Estimate},
    lines::name_of,
    paper::{Collection, FRACTIONS, Method, citation, methods},
    scatter::{Point, Scatter, ScatterPanel, Whose, better},
    shown::{Rank, Room},
};
use crate::{report::is_share, store::ResultRow};

/// Measured points that are named, the best of each panel: beside the paper's values, and where they are alone.
const NAMED: usize = 3;
const NAMED_ALONE: usize = 8;
/// Settings that are shown, a point in each panel.
pub(super) const ROOM: Room = Room { limit: 100, best: NAMED_ALONE, all: 100, rank: Rank::AtEach };

/// Panels, at most: one for each share of the labels.
pub(super) const PANELS: usize = 12;

/// The figure of these trials of a stage, beside published values. `trainable` are the parameters of the Adaptor of each trial.
pub(super) fn scatter(
    trials: &[&ResultRow],
    metric: &str,
    trainable: &BTreeMap<String, u64>,
    reference: Option<Collection>,
    more_is_better: bool,
    title: Option<String>,
) -> Result<(Scatter, Data), FigureError> {
    let varying = groups::varying(trials);
    if let Some(other) = varying.iter().find(|name| *name == "label") {
        return Err(data(
            format!("the trials have several values of `{other}`, which have no score in common"),
            "choose one: `--filter label=NAME`, or `filter: {label: NAME}` in a sweep file",
        ));
    }
    let names: Vec<String> = varying.into_iter().filter(|name| name != "fraction").collect();
    let fraction = |trial: &ResultRow| trial.parameters.get("fraction").and_then(Value::as_f64).unwrap_or(1.0);
    let mut fractions: Vec<f64> = trials.iter().map(|trial| fraction(trial)).collect();
    if reference.is_some() && fractions.is_empty() {
        fractions.extend(FRACTIONS);
    }
    fractions.sort_by(f64::total_cmp);
    fractions.dedup();
    let published = reference.map(methods).unwrap_or_default();
    let share = is_share(metric);
    let mut table = Data::new([
        "fraction",
        "source",
        "name",
        "trainable_parameters_m",
        if share { "score_percent" } else { "score" },
        "ci95_low",
        "ci95_high",
        "n",
    ]);
    let mut panels = Vec::new();
    let most = if reference.is_some() { NAMED } else { NAMED_ALONE };
    for &at in &fractions {
        let mut points = measured(trials, at, &names, metric, trainable, &fraction);
        name_best(&mut points, most, more_is_better);
        points.extend(published.iter().filter_map(|method| reference_point(method, at)));
        // Large points lie below small ones.
        points.sort_by(|a, b| b.trainable_m.total_cmp(&a.trainable_m).then(b.score.mean.total_cmp(&a.score.mean)));
        for point in &points {
            let source = match point.whose {
                Whose::Ours => "measured".to_owned(),
                Whose::Published | Whose::Paper => citation(),
            };
            let [mean, low, high, n] = point.score.values();
            // How many seeds a published value is of is not known.
            let n = if point.whose == Whose::Ours { n } else { Value::Null };
            let place = [json!(at), json!(source), json!(point.name), json!(point.trainable_m)];
            table.rows.push(place.into_iter().chain([mean, low, high, n]).collect());
        }
        panels.push(ScatterPanel { title: format!("{} of the labels", groups::percent(at)), points });
    }
    if table.rows.is_empty() {
        return Err(data(
            "no trial of the stage that has a result is on an Adaptor".to_owned(),
            "`permafrost status` says how far the sweep is; `permafrost figure params --reference rsna` draws the paper's values alone",
        ));
    }
    let collection = reference.map_or(String::new(), |collection| format!(" on {}", collection.name()));
    let score = groups::metric_name(reference.map_or(metric, |collection| collection.metric()));
    let scatter = Scatter {
        title,
        description: format!("{score}{collection} against the number of trainable parameters, by share of the labels"),
        y_name: format!("{score}{collection}{}", if share { " [%]" } else { "" }),
        panels,
        more_is_better,
        notes: Vec::new(),
    };
    Ok((scatter, table))
}

fn measured(
    trials: &[&ResultRow],
    share: f64,
    names: &[String],
    metric: &str,
    trainable: &BTreeMap<String, u64>,
    fraction: &dyn Fn(&ResultRow) -> f64,
) -> Vec<Point> {
    let here: Vec<&ResultRow> = trials.iter().copied().filter(|trial| fraction(trial) == share).collect();
    let found = groups::keys(&here, names);
    let words = groups::words(names, &found.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    found
        .into_iter()
        .zip(words)
        .filter_map(|((_, members), words)| {
            let parameters = *members.iter().find_map(|trial| trainable.get(&trial.id))?;
            let score = Estimate::over(&members, metric)?.scaled(if is_share(metric) { 100.0 } else { 1.0 });
            let name = if words.is_empty() { "Adaptor".to_owned() } else { name_of(names, &words) };
            Some(Point { whose: Whose::Ours, name, named: false, trainable_m: parameters as f64 / 1e6, score })
        })
        .collect()
}

/// Names the best of measured points, at most so many.
fn name_best(points: &mut [Point], most: usize, more_is_better: bool) {
    points.sort_by(|a, b| better(a, b, more_is_better));
    points.iter_mut().take(most).for_each(|point| point.named = true);
}

fn reference_point(method: &Method, share: f64) -> Option<Point> {
    let column = FRACTIONS.iter().position(|known| *known == share)?;
    let mean = method.scores[column]?;
    Some(Point {
        whose: if method.own { Whose::Paper } else { Whose::Published },
        name: method.name.clone(),
        named: true,
        trainable_m: method.trainable_m,
        score: Estimate { n: 1, mean, interval: None },
    })
}
