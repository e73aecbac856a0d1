//! One trial: what it is, its curves, its attempts, what it left, what went wrong, what it logged.

use std::collections::BTreeSet;

use permafrost_worker::id::TrialId;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{
    plot::plot,
    rows::{Cell, Column, plain, rows, shortened, styled, title, width},
};
use crate::{
    monitor::top::{format, state::State, theme::Theme},
    store::{CurvePoint, TrialDetail},
};

/// Columns that a chart should have.
const CHART: u16 = 44;
/// Columns of what stands beside a curve.
const LABEL: usize = 9;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, id: TrialId, scroll: usize, chart: usize) {
    let theme = state.theme;
    let name = format!("Trial {}", id.short());
    let view = state.snapshot.trial.as_ref().filter(|view| view.id == id);
    let detail = match view.map(|view| &view.detail) {
        None => {
            title(frame, area, &name, "reading", true, theme);
            return;
        }
        Some(Err(why)) => {
            let inner = title(frame, area, &name, "", true, theme);
            frame.render_widget(Paragraph::new(why.as_str()), inner);
            return;
        }
        Some(Ok(detail)) => detail,
    };
    let Some(view) = view else { return };
    let stage = detail.places.last().map_or(detail.kind.as_str(), |place| place.stage.as_str());
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    heading(frame, head, state, &name, stage, detail);
    let trouble = trouble(detail, theme);
    let trouble_lines = wrapped_lines(&trouble, body.width).min(usize::from(body.height) / 4) as u16;
    let attempts = (2 + detail.attempts.len()).min(usize::from(body.height) / 5).max(2) as u16;
    let rest = body.height.saturating_sub(trouble_lines + attempts);
    let log = (1 + view.log.len().max(1)).min(usize::from(rest) * 2 / 5) as u16;
    let [trouble_area, upper, attempts, log] = Layout::vertical([
        Constraint::Length(trouble_lines),
        Constraint::Min(4),
        Constraint::Length(attempts),
        Constraint::Length(log),
    ])
    .areas(body);
    frame.render_widget(Paragraph::new(trouble).wrap(Wrap { trim: true }), trouble_area);
    let left = (area.width * 2 / 5).clamp(24, 60);
    let [facts, _, charts] =
        Layout::horizontal([Constraint::Length(left), Constraint::Length(1), Constraint::Min(1)]).areas(upper);
    self::facts(frame, facts, detail, scroll, theme);
    self::charts(frame, charts, &view.curves, chart, theme);
    self::attempts(frame, attempts, state, detail);
    self::log(frame, log, &view.log, theme);
}

fn heading(frame: &mut Frame<'_>, area: Rect, state: &State, name: &str, stage: &str, detail: &TrialDetail) {
    let theme = state.theme;
    let mut left = vec![
        (name.to_owned(), theme.heading()),
        (format!("  {stage}  "), Style::new()),
        (detail.state.clone(), theme.state(&detail.state)),
    ];
    if let Some(last) = detail.attempts.last() {
        let took = format::duration(last.ended.unwrap_or(state.snapshot.at) - last.started);
        left.push((format!("  attempt {}, {took}", last.attempt), Style::new()));
        if detail.state == "running" && last.total_units > 0 {
            let share = last.done_units as f64 / last.total_units as f64;
            left.push((format!(", {}", format::percent(share.clamp(0.0, 1.0))), Style::new()));
        }
    }
    let right = detail.places.last().map(|place| place.sweep.clone()).unwrap_or_default();
    super::frame::two_sided(frame, area, left, (right, theme.dim()), state);
}

/// Why it does not run, or went wrong, with the cure.
fn trouble(detail: &TrialDetail, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(why) = &detail.why_waiting {
        lines.push(Line::from(Span::styled(format!("it {why}"), theme.warning())));
    }
    if detail.state != "done"
        && let Some(last) = detail.attempts.last()
    {
        if let Some(message) = &last.message {
            let class = last.class.as_ref().map(|class| format!(" ({class})")).unwrap_or_default();
            let text = format!("attempt {} {}{class}: {}", last.attempt, last.state, format::one_line(message));
            lines.push(Line::from(Span::styled(text, theme.bad())));
        }
        if let Some(cure) = &last.cure {
            lines.push(Line::from(format!("cure: {}", format::one_line(cure))));
        }
    }
    lines
}

/// Lines that these take when they are broken.
fn wrapped_lines(lines: &[Line<'_>], columns: u16) -> usize {
    // Words do not fill lines: one more where a line is broken.
    let of = |line: &Line<'_>| match line.width() / usize::from(columns.max(1)) {
        0 => 1,
        whole => whole + 1,
    };
    lines.iter().map(of).sum()
}

/// Results, use of devices, parameters, inputs, files.
fn facts(frame: &mut Frame<'_>, area: Rect, detail: &TrialDetail, scroll: usize, theme: Theme) {
    let mut groups: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    let results = detail.results.iter().map(|(name, value)| (name.clone(), format::number(*value)));
    groups.push(("Results", results.collect()));
    if let Some(usage) = &detail.usage {
        let devices: BTreeSet<&str> = detail.attempts.iter().map(|attempt| attempt.device.as_str()).collect();
        let mut rows = vec![("device".to_owned(), devices.into_iter().collect::<Vec<_>>().join(", "))];
        let utilisation = usage.utilisation.map_or_else(|| "too short".to_owned(), format::percent);
        rows.push(("utilisation".to_owned(), utilisation));
        rows.push(("device-hours".to_owned(), format::number(usage.device_hours)));
        rows.extend(usage.energy_j.map(|joules| ("energy (J)".to_owned(), format::number(joules))));
        rows.extend(usage.memory_peak_bytes.map(|peak| ("peak memory".to_owned(), format::bytes(peak))));
        groups.push(("Use of devices", rows));
    }
    let parameters = detail.places.last().and_then(|place| place.parameters.as_object());
    let parameters = parameters.into_iter().flatten().map(|(name, value)| (name.clone(), format::plain(value)));
    groups.push(("Parameters", parameters.collect()));
    let inputs = detail
        .inputs
        .iter()
        .map(|input| (format!("{} {}", input.kind, input.id.get(..10).unwrap_or_default()), input.state.clone()));
    groups.push(("Reads", inputs.collect()));
    let files = detail.artifacts.iter().map(|file| (file.name.clone(), format::bytes(file.bytes)));
    groups.push(("Files", files.collect()));
    groups.retain(|(_, rows)| !rows.is_empty());
    let columns = usize::from(area.width);
    let mut lines: Vec<(Option<&str>, String, String)> = Vec::new();
    for (name, rows) in groups {
        lines.push((Some(name), String::new(), String::new()));
        lines.extend(rows.into_iter().map(|(name, value)| (None, name, value)));
    }
    let height = usize::from(area.height);
    let first = scroll.min(lines.len().saturating_sub(height));
    let more = lines.len().saturating_sub(first + height);
    for (at, (group, name, value)) in lines.into_iter().skip(first).take(height).enumerate() {
        let place = Rect { y: area.y + at as u16, height: 1, ..area };
        if let Some(group) = group {
            title(frame, place, group, "", false, theme);
            continue;
        }
        if more > 0 && at + 1 == height {
            let text = format!(" {} more: j scrolls", more + 1);
            frame.render_widget(Line::from(Span::styled(text, theme.dim())), place);
            continue;
        }
        let name = shortened(&format!(" {name}"), columns.saturating_sub(width(&value).min(columns / 2) + 1), theme);
        let value = shortened(&value, columns.saturating_sub(width(&name) + 1), theme);
        let gap = " ".repeat(columns.saturating_sub(width(&name) + width(&value)));
        let line = vec![Span::styled(name, theme.dim()), Span::raw(gap), Span::raw(value)];
        frame.render_widget(Line::from(line), place);
    }
}

/// Curves side by side, as many as fit, from this one on.
fn charts(frame: &mut Frame<'_>, area: Rect, points: &[CurvePoint], first: usize, theme: Theme) {
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for point in points {
        match curves.last_mut() {
            Some((name, values)) if *name == point.metric => values.push((point.step as f64, point.value)),
            _ => curves.push((&point.metric, vec![(point.step as f64, point.value)])),
        }
    }
    // A learning rate is what was asked for: it comes last.
    curves.sort_by_key(|(name, _)| (*name == "learning_rate", !name.contains("loss")));
    if curves.is_empty() {
        let inner = title(frame, area, "Curves", "", false, theme);
        frame.render_widget(
            Line::from(Span::styled(" none", theme.dim())),
            Rect { height: inner.height.min(1), ..inner },
        );
        return;
    }
    let side_by_side = usize::from((area.width / CHART).max(1)).min(curves.len());
    // Where there is height for it, two lines of charts.
    let stacked = if area.height >= 20 { 2 } else { 1 }.min(curves.len().div_ceil(side_by_side));
    let shown = (side_by_side * stacked).min(curves.len());
    let lines = Layout::vertical(vec![Constraint::Fill(1); stacked]).split(area);
    for at in 0..shown {
        let places =
            Layout::horizontal(vec![Constraint::Fill(1); side_by_side]).spacing(1).split(lines[at / side_by_side]);
        let (name, values) = &curves[(first + at) % curves.len()];
        let hidden = curves.len() - shown;
        let note = if at == 0 && hidden > 0 { format!("m: {hidden} more") } else { String::new() };
        chart(frame, places[at % side_by_side], name, values, &note, theme);
    }
}

fn chart(frame: &mut Frame<'_>, area: Rect, name: &str, points: &[(f64, f64)], note: &str, theme: Theme) {
    let now = points.last().map(|point| format::number(point.1)).unwrap_or_default();
    let inner = title(frame, area, &format!("{name} {now}"), note, false, theme);
    if inner.height < 2 || usize::from(inner.width) <= LABEL + 2 {
        return;
    }
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let x_range = range(&mut points.iter().map(|point| point.0));
    let y_range = range(&mut points.iter().map(|point| point.1));
    let lines = usize::from(inner.height) - 1;
    let columns = usize::from(inner.width) - LABEL;
    for (at, text) in plot(points, x_range, y_range, columns, lines, theme.unicode).into_iter().enumerate() {
        let label = match at {
            0 => format::number(y_range.1),
            _ if at + 1 == lines && y_range.1 > y_range.0 => format::number(y_range.0),
            _ => String::new(),
        };
        let edge = if theme.unicode { "│" } else { "|" };
        let line = vec![
            Span::styled(format!("{:>1$}", shortened(&label, LABEL - 2, theme), LABEL - 2), theme.dim()),
            Span::styled(format!(" {edge}"), theme.dim()),
            Span::styled(text, theme.accent()),
        ];
        frame.render_widget(Line::from(line), Rect { y: inner.y + at as u16, height: 1, ..inner });
    }
    let (from, to) = (format::number(x_range.0), format::number(x_range.1));
    let gap = columns.saturating_sub(width(&from) + width(&to));
    let text = if x_range.1 > x_range.0 { format!("{from}{}{to}", " ".repeat(gap)) } else { from };
    let line = format!("{}{text}", " ".repeat(LABEL));
    let place = Rect { y: inner.y + lines as u16, height: 1, ..inner };
    frame.render_widget(Line::from(Span::styled(line, theme.dim())), place);
}

fn attempts(frame: &mut Frame<'_>, area: Rect, state: &State, detail: &TrialDetail) {
    let theme = state.theme;
    let count = detail.attempts.len();
    let area = title(frame, area, &format!("Attempts ({count})"), "", false, theme);
    if count == 0 {
        let text = Line::from(Span::styled(" it has not run yet", theme.dim()));
        frame.render_widget(text, Rect { height: area.height.min(1), ..area });
        return;
    }
    let columns = [
        Column::right("", 3),
        Column::left("state", 10),
        Column::left("started", 16),
        Column::right("took", 10),
        Column::right("array", 5),
        Column::left("from", 10),
        Column::fill("on"),
    ];
    rows(frame, area, &columns, count, None, theme, |at| -> Vec<Cell> {
        // The last one first.
        let attempt = &detail.attempts[count - 1 - at];
        vec![
            plain(attempt.attempt.to_string()),
            styled(attempt.state.clone(), theme.state(&attempt.state)),
            plain(format::day_and_time(attempt.started, &state.zone)),
            plain(format::duration(attempt.ended.unwrap_or(state.snapshot.at) - attempt.started)),
            plain(attempt.members.to_string()),
            plain(attempt.resumed_step.map_or("the start".to_owned(), |step| format!("step {step}"))),
            plain(format!("{} {} ({})", attempt.device, attempt.host, attempt.model)),
        ]
    });
}

fn log(frame: &mut Frame<'_>, area: Rect, lines: &[String], theme: Theme) {
    let area = title(frame, area, "Log", "", false, theme);
    if lines.is_empty() {
        let text = Line::from(Span::styled(" nothing was logged on this machine", theme.dim()));
        return frame.render_widget(text, Rect { height: area.height.min(1), ..area });
    }
    let first = lines.len().saturating_sub(usize::from(area.height));
    for (at, line) in lines[first..].iter().enumerate() {
        let text = shortened(&format!(" {}", format::one_line(line)), usize::from(area.width), theme);
        frame.render_widget(Line::from(text), Rect { y: area.y + at as u16, height: 1, ..area });
    }
}
