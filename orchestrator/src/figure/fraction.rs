//! A score against the share of the labels.

use serde_json::{Value, json};

use super::{
    data::Data,
    error::{FigureError, data},
    groups::{self, Estimate},
    lines::{Chart, Interval, Line, LinePanel, name_of, styles},
    shown::{Rank, Room},
};
use crate::{report::is_share, store::ResultRow};

/// Settings that are shown, a line each: no more than there are pairs of colour and mark.
pub(super) const ROOM: Room = Room { limit: 35, best: 10, all: 10, rank: Rank::AtLargest };
/// Panels, at most.
const PANELS: usize = 12;

/// The figure of these trials of a stage.
pub(super) fn chart(trials: &[&ResultRow], metric: &str, title: Option<String>) -> Result<(Chart, Data), FigureError> {
    let varying: Vec<String> = groups::varying(trials).into_iter().filter(|name| name != "fraction").collect();
    let (panel_names, line_names): (Vec<String>, Vec<String>) = varying.into_iter().partition(|name| name == "label");
    let share = |trial: &ResultRow| trial.parameters.get("fraction").and_then(Value::as_f64);
    let mut table = Data::new(["panel", "line", "fraction", metric, "ci95_low", "ci95_high", "n"]);
    let (style, legend, all_lines, all_words) = {
        // A line without a point is none.
        let with: Vec<&ResultRow> = trials.iter().copied().filter(|trial| trial.values.contains_key(metric)).collect();
        let keys: Vec<Vec<Value>> = groups::keys(&with, &line_names).into_iter().map(|(key, _)| key).collect();
        let words = groups::words(&line_names, &keys);
        let (style, legend) = styles(&line_names, &words);
        (style, legend, keys, words)
    };
    let (scale, unit) = if is_share(metric) { (100.0, " [%]") } else { (1.0, "") };
    let mut panels = Vec::new();
    for (panel_key, members) in groups::keys(trials, &panel_names) {
        let title = groups::words(&panel_names, &[panel_key]).concat().join(", ");
        let mut lines = Vec::new();
        for (line_key, members) in groups::keys(&members, &line_names) {
            let Some(line) = all_lines.iter().position(|key| *key == line_key) else { continue };
            let name = name_of(&line_names, &all_words[line]);
            let mut shares: Vec<f64> = members.iter().filter_map(|trial| share(trial)).collect();
            shares.sort_by(f64::total_cmp);
            shares.dedup();
            let mut points = Vec::new();
            for at in shares {
                let here: Vec<&ResultRow> = members.iter().copied().filter(|trial| share(trial) == Some(at)).collect();
                let Some(estimate) = Estimate::over(&here, metric) else { continue };
                let place = [json!(title), json!(name), json!(at)];
                table.rows.push(place.into_iter().chain(estimate.values()).collect());
                points.push((at * 100.0, estimate.scaled(scale)));
            }
            let (colour, mark) = style[line];
            if !points.is_empty() {
                lines.push(Line { name, colour: Some(colour), mark, points });
            }
        }
        panels.push(LinePanel { title, y_name: groups::metric_name(metric) + unit, lines });
    }
    if panels.len() > PANELS {
        let what = format!("{} panels are too many, at most {PANELS} are drawn", panels.len());
        return Err(data(what, "choose some: `--filter label=NAME`"));
    }
    if table.rows.is_empty() {
        return Err(data(
            format!("no trial of the stage has a result `{metric}` yet"),
            "`permafrost status` says how far the sweep is",
        ));
    }
    let chart = Chart {
        title,
        description: format!("{metric} against the share of the labels, mean and 95 % interval over seeds"),
        x_name: "Share of the labels [%]".to_owned(),
        log_x: true,
        shared_y: true,
        interval: Interval::Bar,
        panels,
        legend,
        notes: Vec::new(),
    };
    Ok((chart, table))
}
