//! Parts of the overview.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::rows::{Cell, Column, plain, rows, rows_in, shortened, styled, title, window};
use crate::{
    monitor::top::{
        format,
        snapshot::DeviceView,
        state::{Pane, State},
        theme::Theme,
    },
    store::StageCounts,
};

/// Columns of a stage's bar, at least and at most.
const BAR: (usize, usize) = (4, 40);
/// From this width on, a device fits in one line.
const DEVICE_LINE: u16 = 90;

fn cursor(state: &State, pane: Pane) -> Option<usize> {
    (state.focus == pane).then(|| state.cursor(pane))
}

/// A pane with nothing in it, in words.
fn nothing(frame: &mut Frame<'_>, area: Rect, text: &str, theme: Theme) {
    let text = format!(" {text}");
    frame.render_widget(
        Line::from(Span::styled(shortened(&text, usize::from(area.width), theme), theme.dim())),
        Rect { height: area.height.min(1), ..area },
    );
}

/// Stages with their progress.
pub(super) fn stages(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let theme = state.theme;
    let stages = &state.snapshot.stages;
    let area = title(frame, area, "Stages", "", state.focus == Pane::Stages, theme);
    let name = stages.iter().map(|stage| stage.stage.chars().count()).max().unwrap_or(5).clamp(5, 16);
    let counts = stages.iter().map(|stage| format!("{}/{}", stage.done, stage.total).len()).max().unwrap_or(4).max(4);
    // Words before the bar: it says what the counts say, too.
    let rest = usize::from(area.width).saturating_sub(1 + name + counts + 3);
    let words = stages
        .iter()
        .map(|stage| text_width(&stage_words(stage, rest.saturating_sub(BAR.0), theme)))
        .max()
        .unwrap_or(0);
    let bar = rest.saturating_sub(words).clamp(BAR.0, BAR.1);
    let columns = [Column::left("stage", name), Column::left("", bar), Column::right("done", counts), Column::fill("")];
    let room = rest.saturating_sub(bar);
    let selected = cursor(state, Pane::Stages);
    // Where not all fit, those that run are seen before one is selected.
    let shown = match selected {
        Some(_) => 0..stages.len(),
        None => window(stages.len(), rows_in(area), most_active(stages)),
    };
    rows(frame, area, &columns, shown.len(), selected, theme, |at| {
        let stage = &stages[shown.start + at];
        let (done, rest) = theme.bar(stage.share, bar);
        vec![
            plain(stage.stage.clone()),
            vec![(done, theme.good()), (rest, theme.dim())],
            plain(format!("{}/{}", stage.done, stage.total)),
            stage_words(stage, room, theme),
        ]
    });
}

/// Place of the stage that is looked for: the last that runs, else one that could.
fn most_active(stages: &[StageCounts]) -> usize {
    let last = |has: fn(&StageCounts) -> bool| stages.iter().rposition(has);
    let first = |has: fn(&StageCounts) -> bool| stages.iter().position(has);
    last(|stage| stage.running > 0)
        .or_else(|| first(|stage| stage.ready > 0))
        .or_else(|| first(|stage| stage.waiting > 0 || stage.without_result > 0))
        .unwrap_or(0)
}

/// Columns that a cell takes.
fn text_width(cell: &Cell) -> usize {
    cell.iter().map(|(text, _)| text.chars().count()).sum()
}

/// What its trials do that are not done, the most important first: as many words as fit.
fn stage_words(stage: &StageCounts, room: usize, theme: Theme) -> Cell {
    let words = [
        (stage.running, "running", theme.accent()),
        (stage.without_result, "without result", theme.bad()),
        (stage.blocked, "blocked", theme.warning()),
        (stage.ready, "ready", Style::new()),
        (stage.waiting - stage.blocked, "waiting", theme.dim()),
        (stage.reused, "reused", theme.dim()),
    ];
    let mut cell = Cell::new();
    let mut taken = 0;
    for (count, word, style) in words {
        if count > 0 {
            let text = format!("{}{count} {word}", if cell.is_empty() { "" } else { "  " });
            taken += text.len();
            if taken > room {
                break;
            }
            cell.push((text, style));
        }
    }
    cell
}

/// Lines that a device takes in a pane of this width.
pub(super) fn device_lines(device: &DeviceView, width: u16) -> usize {
    1 + usize::from(width < DEVICE_LINE && device.sample.is_some()) + usize::from(trouble(device).is_some())
}

/// What a user should know of a device, in a line.
fn trouble(device: &DeviceView) -> Option<String> {
    let throttle = device.sample.as_ref().and_then(|sample| sample.throttle.as_ref());
    let throttle = throttle.map(|reasons| format!("clocks held down: {reasons}"));
    let parts: Vec<String> = device.advice.clone().into_iter().chain(throttle).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Devices with bars of utilisation and memory.
pub(super) fn devices(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let theme = state.theme;
    let focused = state.focus == Pane::Devices;
    let devices = &state.snapshot.devices;
    let several = devices.iter().any(|device| device.host != devices[0].host);
    let note = match devices.first() {
        Some(device) if !several && devices.iter().all(|other| other.model == device.model) => device.model.clone(),
        _ => String::new(),
    };
    let area = title(frame, area, "Devices", &note, focused, theme);
    if devices.is_empty() {
        let text =
            if state.snapshot.coordinator.is_some() { "no worker has registered" } else { "no coordinator runs" };
        return nothing(frame, area, text, theme);
    }
    let mut lines = Vec::new();
    let mut first_line = Vec::with_capacity(devices.len());
    for device in devices {
        first_line.push(lines.len());
        lines.extend(device_text(device, area.width, several, theme));
    }
    let at = if focused { first_line.get(state.cursor(Pane::Devices)).copied().unwrap_or(0) } else { 0 };
    let shown = window(lines.len(), usize::from(area.height), at);
    if focused && let Some(line) = lines.get_mut(at) {
        line.spans[0] = Span::raw(theme.pointer());
    }
    let lines: Vec<Line<'_>> = lines.drain(shown).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn device_text(device: &DeviceView, width: u16, several: bool, theme: Theme) -> Vec<Line<'static>> {
    let columns = usize::from(width);
    let one_line = width >= DEVICE_LINE;
    let name = if several { format!("{}:{}", device.host, device.name) } else { device.name.clone() };
    let name = shortened(&name, if several { columns / 3 } else { 8 }, theme);
    let mut first = vec![Span::raw(" "), Span::styled(format!("{name:<8} "), theme.heading())];
    let trials = format::counted(device.running, "trial");
    let mut lines = Vec::new();
    match &device.sample {
        None => {
            first.push(Span::raw(format!("{trials}  ")));
            first.push(Span::styled("not sampled", theme.dim()));
            lines.push(Line::from(first));
        }
        Some(sample) => {
            let size = (columns / if one_line { 8 } else { 6 }).clamp(4, 24);
            let mut second = if one_line { Vec::new() } else { vec![Span::raw(" ".repeat(10))] };
            gauge(&mut first, "util", sample.utilisation, sample.utilisation.map(format::percent), size, 5, theme);
            let memory = sample.memory_used_bytes.map(|used| used as f64 / sample.memory_bytes.max(1) as f64);
            let used = sample.memory_used_bytes.map(|used| format::of_bytes(used, sample.memory_bytes));
            let target = if one_line { &mut first } else { &mut second };
            gauge(target, "mem ", memory, used, size, 12, theme);
            let mut facts = Vec::new();
            facts.extend(sample.power_w.map(|power| format!("{power:.0} W")));
            facts.extend(sample.temperature_c.map(|celsius| format!("{celsius:.0} C")));
            facts.push(trials);
            let target = if one_line { &mut first } else { &mut second };
            let taken: usize = target.iter().map(Span::width).sum();
            let mut text = String::new();
            for fact in facts {
                let longer = if text.is_empty() { fact } else { format!("{text}  {fact}") };
                if taken + longer.len() > columns {
                    break;
                }
                text = longer;
            }
            target.push(Span::raw(text));
            let taken: usize = first.iter().map(Span::width).sum();
            let history = columns.saturating_sub(taken + 1).min(60);
            let skip = device.history.len().saturating_sub(history);
            first.push(Span::styled(
                format!(" {}", theme.spark(&device.history[skip..], history, Some((0.0, 1.0)))),
                theme.accent(),
            ));
            lines.push(Line::from(first));
            if !one_line {
                lines.push(Line::from(second));
            }
        }
    }
    if let Some(trouble) = trouble(device) {
        let text = shortened(&format!("  {trouble}"), columns.saturating_sub(1), theme);
        lines.push(Line::from(vec![Span::raw(" "), Span::styled(text, theme.warning())]));
    }
    lines
}

fn gauge(
    spans: &mut Vec<Span<'static>>,
    name: &str,
    share: Option<f64>,
    text: Option<String>,
    width: usize,
    text_width: usize,
    theme: Theme,
) {
    let Some(share) = share else { return };
    let (done, rest) = theme.bar(share, width);
    spans.push(Span::styled(format!("{name} "), theme.dim()));
    spans.push(Span::styled(done, theme.good()));
    spans.push(Span::styled(rest, theme.dim()));
    spans.push(Span::raw(format!(" {:<text_width$}  ", text.unwrap_or_default())));
}

/// What runs, with its loss.
pub(super) fn running(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let theme = state.theme;
    let shown: Vec<_> = state.running().collect();
    let all = state.snapshot.all().running;
    let name = format!("Running ({all})");
    let area = title(frame, area, &name, "", state.focus == Pane::Running, theme);
    if shown.is_empty() {
        let text = match state.snapshot.state() {
            _ if !state.filter.is_empty() => "nothing that the filter shows",
            "done" => "nothing: every trial has a result",
            "ended" if cancelled(state) => "nothing: cancelled; launching the sweep again takes that back",
            "ended" => "nothing: what is left cannot run; `explain` and the failures say why",
            "stopped" => "nothing: no coordinator runs; launch the sweep again to go on",
            _ => "nothing: trials wait for a worker",
        };
        return nothing(frame, area, text, theme);
    }
    let wide = area.width >= 100;
    let spark = if wide { usize::from(area.width) / 5 } else { 16 };
    let stage = shown.iter().map(|view| view.row.stage.chars().count()).max().unwrap_or(5).clamp(5, 14);
    let mut columns = vec![
        Column::left("stage", stage),
        Column::left("trial", 10),
        Column::right("done", 5),
        Column::right("since", 7),
        Column::left("loss", spark),
        Column::right("now", 8),
        Column::left("device", 7),
    ];
    // Without room for them, parameters are what the trial's own view shows.
    if area.width >= 90 {
        columns.push(Column::fill("parameters"));
    }
    let with_parameters = columns.len() == 8;
    let differing = if with_parameters { differing(&shown) } else { Default::default() };
    rows(frame, area, &columns, shown.len(), cursor(state, Pane::Running), theme, |at| {
        let view = shown[at];
        let row = &view.row;
        let value = view.curve.last().map(|value| format::number(*value)).unwrap_or_default();
        let mut cells = vec![
            plain(row.stage.clone()),
            styled(row.id.get(..10).unwrap_or_default(), theme.heading()),
            plain(row.share().map_or("-".to_owned(), format::percent)),
            plain(row.begun.map_or("-".to_owned(), |begun| format::clock(state.snapshot.at - begun))),
            styled(theme.spark(&view.curve, spark, None), theme.accent()),
            plain(value),
            plain(row.device.clone()),
        ];
        if with_parameters {
            let parameters = view.parameters.as_object().into_iter().flatten();
            let told = parameters.filter(|(name, _)| differing.contains(name.as_str()));
            let told: Vec<String> = told.map(|(name, value)| format!("{name}={}", format::plain(value))).collect();
            cells.push(styled(told.join(" "), theme.dim()));
        }
        cells
    });
}

/// Whether all that has no result was cancelled by a user, or waits for that.
fn cancelled(state: &State) -> bool {
    let known = &state.snapshot;
    let all = known.all().without_result;
    known.failures.len() as i64 == all && known.failures.iter().all(|row| row.state == "cancelled")
}

/// Names of parameters in which trials differ; of one trial, all.
fn differing<'a>(shown: &[&'a crate::monitor::top::RunningView]) -> std::collections::BTreeSet<&'a str> {
    let mut names = std::collections::BTreeSet::new();
    let Some(first) = shown.first() else { return names };
    for view in shown {
        for (name, value) in view.parameters.as_object().into_iter().flatten() {
            if shown.len() == 1 || first.parameters.get(name) != Some(value) {
                names.insert(name.as_str());
            }
        }
    }
    names
}

/// Trials that ended without a result.
pub(super) fn failures(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if area.height == 0 {
        return;
    }
    let theme = state.theme;
    let shown: Vec<_> = state.failures().collect();
    let all = state.snapshot.all().without_result;
    let name = format!("Without result ({all})");
    let area = title(frame, area, &name, "", state.focus == Pane::Failures, theme);
    if shown.is_empty() {
        return nothing(frame, area, "nothing that the filter shows", theme);
    }
    let stage = shown.iter().map(|row| row.stage.chars().count()).max().unwrap_or(5).clamp(5, 14);
    let columns =
        [Column::left("stage", stage), Column::left("trial", 10), Column::left("state", 9), Column::fill("why")];
    rows(frame, area, &columns, shown.len(), cursor(state, Pane::Failures), theme, |at| {
        let row = shown[at];
        let why = match (&row.message, row.state.as_str()) {
            (Some(message), _) => format::one_line(message),
            (None, "cancelled") => "by a user".to_owned(),
            (None, _) => String::new(),
        };
        vec![
            plain(row.stage.clone()),
            styled(row.id.get(..10).unwrap_or_default(), theme.heading()),
            styled(row.state.clone(), theme.state(&row.state)),
            plain(why),
        ]
    });
}

/// What happened.
pub(super) fn events(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let theme = state.theme;
    let shown: Vec<_> = state.events().collect();
    let area = title(frame, area, "Events", "", state.focus == Pane::Events, theme);
    if shown.is_empty() {
        let text = if state.filter.is_empty() { "nothing yet" } else { "nothing that the filter shows" };
        return nothing(frame, area, text, theme);
    }
    let kind = shown.iter().map(|row| row.kind.chars().count()).max().unwrap_or(5).clamp(5, 18);
    let columns =
        [Column::left("time", 8), Column::left("event", kind), Column::left("trial", 10), Column::fill("detail")];
    rows(frame, area, &columns, shown.len(), cursor(state, Pane::Events), theme, |at| {
        let row = shown[at];
        let bad = ["failed", "lost", "diverged", "refused", "xid"].iter().any(|word| row.kind.contains(word));
        vec![
            styled(format::time_of_day(row.at, &state.zone), theme.dim()),
            styled(row.kind.clone(), if bad { theme.bad() } else { Style::new() }),
            plain(row.id.as_deref().and_then(|id| id.get(..10)).unwrap_or_default()),
            plain(format::one_line(row.detail.as_deref().unwrap_or_default())),
        ]
    });
}
