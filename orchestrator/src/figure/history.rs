//! Metrics over epochs.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::{
    data::Data,
    error::{FigureError, data},
    groups::{self, Estimate},
    lines::{Chart, Interval, Line, LinePanel, name_of, styles},
    shown::{Rank, Room},
};
use crate::{
    report::repeats,
    store::{Curve, ResultRow},
};

/// Lines in colour; of more, the best.
const COLOURED: usize = 7;
/// Settings that are shown, a line each.
pub(super) const ROOM: Room = Room { limit: 30, best: COLOURED, all: 30, rank: Rank::Mean };
/// Panels, at most.
const PANELS: usize = 8;
/// Trials of several values of this are of different tasks.
const LABEL: &str = "label";
/// Points of a line, at most: a page has no more pixels.
const POINTS: usize = 500;

/// What curves are drawn along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// A point after the first epoch, which is stored as 0, is at 1.
    Epochs,
    /// As reported.
    Steps,
}

impl Axis {
    const fn name(self) -> &'static str {
        match self {
            Self::Epochs => "Epochs trained",
            Self::Steps => "Step",
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::Epochs => "epochs_trained",
            Self::Steps => "step",
        }
    }

    const fn of(self, step: i64) -> i64 {
        match self {
            Self::Epochs => step + 1,
            Self::Steps => step,
        }
    }
}

/// Curves of a metric, by identity of the trial.
pub(super) type Curves = HashMap<String, Curve>;
/// What lines are ranked by when there are too many to colour: the metric, and whether larger is better.
pub(super) type Ranking = Option<(String, bool)>;

/// The figure of these trials' curves.
pub(super) fn chart(
    trials: &[&ResultRow],
    curves: &[(String, Curves)],
    ranking: &Ranking,
    axis: Axis,
    title: Option<String>,
) -> Result<(Chart, Data), FigureError> {
    if curves.len() > PANELS {
        let what = format!("{} metrics are too many, at most {PANELS} are drawn", curves.len());
        return Err(data(what, "choose one: `--metric NAME`"));
    }
    let all_names = groups::varying(trials);
    // Losses of different labels have no scale in common.
    let labels = groups::keys(trials, &[LABEL.to_owned()]);
    let apart = labels.len() > 1 && labels.len() * curves.len() <= PANELS;
    let names: Vec<String> = all_names.into_iter().filter(|name| !(apart && name == LABEL)).collect();
    let groups_of = groups::keys(trials, &names);
    let words = groups::words(&names, &groups_of.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    let (coloured, scored) = best(&groups_of, ranking);
    let chosen: Vec<Vec<String>> = coloured.iter().map(|&at| words[at].clone()).collect();
    let (style, mut legend) = styles(&names, &chosen);
    let others = groups_of.len() - coloured.len();
    let mut notes = Vec::new();
    if others > 0
        && let Some((_, entries)) = legend.last_mut()
    {
        entries.push(((None, None), if others == 1 { "1 other".to_owned() } else { format!("{others} others") }));
        notes.push(match (ranking, scored) {
            (Some((metric, _)), COLOURED) => format!("in colour: the best {COLOURED} by their mean {metric}"),
            (Some((metric, _)), 1..) => {
                format!("in colour: those with a result, by their mean {metric}, and the first others")
            }
            _ => format!("in colour: the first {COLOURED}"),
        });
    }
    let mut table = Data::new(["metric", "panel", "line", axis.column(), "mean", "ci95_low", "ci95_high", "n"]);
    let mut panels = Vec::new();
    let whole = [(vec![Value::Null], trials.to_vec())];
    for (metric, curves) in curves {
        for (label, of_panel) in if apart { labels.as_slice() } else { whole.as_slice() } {
            let title = if apart { groups::shown(LABEL, &label[0]) } else { String::new() };
            let own: HashSet<&str> = of_panel.iter().map(|trial| trial.id.as_str()).collect();
            let mut lines = Vec::new();
            for (at, (_, members)) in groups_of.iter().enumerate() {
                let members: Vec<&ResultRow> =
                    members.iter().copied().filter(|member| own.contains(member.id.as_str())).collect();
                let name = name_of(&names, &words[at]);
                let points = points(&members, metric, curves, axis);
                for (epoch, estimate) in &points {
                    let place = [json!(metric), json!(title), json!(name), json!(*epoch as i64)];
                    table.rows.push(place.into_iter().chain(estimate.values()).collect());
                }
                if !points.is_empty() {
                    let found = coloured.iter().position(|&known| known == at).map(|place| style[place]);
                    let (colour, mark) = (found.map(|style| style.0), found.map_or(0, |style| style.1));
                    lines.push(Line { name, colour, mark, points });
                }
            }
            let of = if labels.len() > 1 && !apart { format!(" of {} labels", labels.len()) } else { String::new() };
            panels.push(LinePanel { title, y_name: groups::metric_name(metric) + &of, lines });
        }
    }
    if table.rows.is_empty() {
        return Err(data(
            "no trial of the stage has reported a metric yet".to_owned(),
            "`permafrost status` says how far the sweep is",
        ));
    }
    let mut lines = panels.iter().flat_map(|panel| &panel.lines).filter(|line| line.colour.is_some());
    let thin =
        lines.any(Line::thins).then_some("thin: some of the trials have no value there, the mean is of the others");
    notes.extend(thin.map(str::to_owned));
    let chart = Chart {
        title,
        description: format!(
            "{} by {}, mean and 95 % interval over seeds",
            names_of(curves),
            axis.name().to_lowercase()
        ),
        x_name: axis.name().to_owned(),
        log_x: false,
        shared_y: false,
        interval: Interval::Band,
        panels,
        legend,
        notes,
    };
    Ok((chart, table))
}

fn names_of(curves: &[(String, Curves)]) -> String {
    curves.iter().map(|(metric, _)| metric.as_str()).collect::<Vec<_>>().join(", ")
}

/// Means over trials along the axis.
fn points(members: &[&ResultRow], metric: &str, curves: &Curves, axis: Axis) -> Vec<(f64, Estimate)> {
    let mut steps: BTreeMap<i64, Vec<(Option<&str>, f64)>> = BTreeMap::new();
    let units = repeats::units(members);
    for (trial, unit) in members.iter().zip(&units) {
        for (step, value) in curves.get(&trial.id).into_iter().flatten() {
            steps.entry(*step).or_default().push((unit.as_deref(), *value));
        }
    }
    let every = steps.len().div_ceil(POINTS).max(1);
    let last = steps.len().saturating_sub(1);
    let shown = steps.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    let point = |(_, (step, values)): (usize, (i64, Vec<_>))| {
        Some((axis.of(step) as f64, Estimate::of(&repeats::independent(values), metric)?))
    };
    shown.filter_map(point).collect()
}

/// Places of the groups that are coloured: all, or the best by their mean result; and how many of those have one.
fn best(groups_of: &[(Vec<Value>, Vec<&ResultRow>)], ranking: &Ranking) -> (Vec<usize>, usize) {
    if groups_of.len() <= COLOURED {
        return ((0..groups_of.len()).collect(), 0);
    }
    let score = |members: &[&ResultRow]| {
        let (metric, maximize) = ranking.as_ref()?;
        let mean = Estimate::over(members, metric)?.mean;
        Some(if *maximize { -mean } else { mean })
    };
    let mut order: Vec<(f64, usize)> =
        groups_of.iter().enumerate().map(|(at, (_, members))| (score(members).unwrap_or(f64::INFINITY), at)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.truncate(COLOURED);
    let scored = order.iter().filter(|(score, _)| *score < f64::INFINITY).count();
    let mut best: Vec<usize> = order.into_iter().map(|(_, at)| at).collect();
    best.sort_unstable();
    (best, scored)
}
