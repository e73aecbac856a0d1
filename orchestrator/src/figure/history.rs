//! Metrics over epochs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    data::Data,
    error::{FigureError, data},
    groups::{self, Estimate},
    lines::{Chart, Interval, Line, LinePanel, name_of, styles},
};
use crate::store::{CurvePoint, ResultRow};

/// Lines in colour; of more, the best.
const COLOURED: usize = 7;
/// Panels, at most.
const PANELS: usize = 8;
/// Points of a line, at most: a page has no more pixels.
const POINTS: usize = 500;

/// What lines are ranked by when there are too many to colour: the metric, and whether larger is better.
pub(super) type Ranking = Option<(String, bool)>;

/// The figure of these trials' curves.
pub(super) fn chart(
    trials: &[&ResultRow],
    curves: &[CurvePoint],
    metrics: &[String],
    ranking: &Ranking,
    title: Option<String>,
) -> Result<(Chart, Data), FigureError> {
    if metrics.len() > PANELS {
        let what = format!("{} metrics are too many, at most {PANELS} are drawn", metrics.len());
        return Err(data(what, "choose one: `--metric NAME`"));
    }
    let mut values: BTreeMap<(&str, &str), Vec<(i64, f64)>> = BTreeMap::new();
    for point in curves {
        values.entry((&point.id, &point.metric)).or_default().push((point.step, point.value));
    }
    let names = groups::varying(trials);
    let groups_of = groups::keys(trials, &names);
    let words: Vec<Vec<String>> = groups_of
        .iter()
        .map(|(key, _)| names.iter().zip(key).map(|(name, value)| groups::shown(name, value)).collect())
        .collect();
    let coloured = best(&groups_of, ranking);
    let chosen: Vec<Vec<String>> = coloured.iter().map(|&at| words[at].clone()).collect();
    let (style, mut legend) = styles(&names, &chosen);
    let others = groups_of.len() - coloured.len();
    if others > 0
        && let Some((_, entries)) = legend.last_mut()
    {
        entries.push(((None, None), format!("{others} others")));
    }
    let mut table = Data::new(["metric", "line", "epoch", "mean", "ci95_low", "ci95_high", "n"]);
    let mut panels = Vec::new();
    for metric in metrics {
        let mut lines = Vec::new();
        for (at, (_, members)) in groups_of.iter().enumerate() {
            let mut steps: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for trial in members {
                for (step, value) in values.get(&(trial.id.as_str(), metric.as_str())).into_iter().flatten() {
                    steps.entry(*step).or_default().push(*value);
                }
            }
            let name = name_of(&words[at]);
            let every = steps.len().div_ceil(POINTS).max(1);
            let last = steps.len().saturating_sub(1);
            let mut points = Vec::new();
            for (i, (step, values)) in steps.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last) {
                let Some(estimate) = Estimate::of(values, metric) else { continue };
                debug_assert!(i <= last);
                let place = [json!(metric), json!(name), json!(step + 1)];
                table.rows.push(place.into_iter().chain(estimate.values()).collect());
                points.push(((step + 1) as f64, estimate));
            }
            if !points.is_empty() {
                let found = coloured.iter().position(|&known| known == at).map(|place| style[place]);
                let (colour, mark) = (found.map(|style| style.0), found.map_or(0, |style| style.1));
                lines.push(Line { name, colour, mark, points });
            }
        }
        panels.push(LinePanel { title: String::new(), y_name: groups::metric_name(metric), lines });
    }
    if table.rows.is_empty() {
        return Err(data(
            "no trial of the stage has reported a metric yet".to_owned(),
            "`permafrost status` says how far the sweep is",
        ));
    }
    let chart = Chart {
        title,
        description: format!("{} by epoch, mean and 95 % interval over seeds", metrics.join(", ")),
        x_name: "Epoch".to_owned(),
        log_x: false,
        shared_y: false,
        interval: Interval::Band,
        panels,
        legend,
    };
    Ok((chart, table))
}

/// Places of the groups that are coloured: all, or the best by their mean result.
fn best(groups_of: &[(Vec<Value>, Vec<&ResultRow>)], ranking: &Ranking) -> Vec<usize> {
    if groups_of.len() <= COLOURED {
        return (0..groups_of.len()).collect();
    }
    let score = |members: &[&ResultRow]| {
        let (metric, maximize) = ranking.as_ref()?;
        let values: Vec<f64> = members.iter().filter_map(|trial| trial.values.get(metric).copied()).collect();
        let mean = Estimate::of(&values, metric)?.mean;
        Some(if *maximize { -mean } else { mean })
    };
    let mut order: Vec<(f64, usize)> =
        groups_of.iter().enumerate().map(|(at, (_, members))| (score(members).unwrap_or(f64::INFINITY), at)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut best: Vec<usize> = order.into_iter().take(COLOURED).map(|(_, at)| at).collect();
    best.sort_unstable();
    best
}
