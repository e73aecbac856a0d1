//! The whole screen: a line about the sweep, a line about its progress, a view, a line of keys.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{
    dialogs, list, overview,
    rows::{shortened, width},
    trial,
};
use crate::monitor::top::{
    format,
    snapshot::Nothing,
    state::{State, View},
};

/// Smaller than this, nothing fits.
const LEAST: (u16, u16) = (50, 12);

/// Columns that the bar of progress has at least.
const BAR: usize = 16;

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("{} x {} is too small: {} x {} needed", area.width, area.height, LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [head, progress, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(area);
    header(frame, head, state);
    match &state.snapshot.nothing {
        Some(nothing) if state.snapshot.sweep.is_none() => empty(frame, body, state, nothing),
        _ => {
            bar(frame, progress, state);
            match state.view() {
                View::Overview => overview::draw(frame, body, state),
                View::List { stage, cursor } => list::draw(frame, body, state, stage.as_deref(), cursor.at),
                View::Trial { id, scroll, chart } => trial::draw(frame, body, state, *id, *scroll, *chart),
            }
        }
    }
    footer(frame, foot, state);
    if let Some(dialog) = &state.dialog {
        dialogs::draw(frame, body, state, dialog);
    }
}

/// Words on the left and on the right; the left ones give way.
pub(super) fn two_sided(
    frame: &mut Frame<'_>,
    area: Rect,
    left: Vec<(String, Style)>,
    right: (String, Style),
    state: &State,
) {
    let columns = usize::from(area.width);
    let end = shortened(&right.0, columns, state.theme);
    let mut room = columns.saturating_sub(width(&end) + usize::from(!end.is_empty()));
    let mut spans = Vec::new();
    for (text, style) in left {
        let text = shortened(&text, room, state.theme);
        room -= width(&text).min(room);
        spans.push(Span::styled(text, style));
    }
    spans.push(Span::raw(" ".repeat(room + usize::from(!end.is_empty()))));
    spans.push(Span::styled(end, right.1));
    frame.render_widget(Line::from(spans), area);
}

fn header(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let (known, theme) = (&state.snapshot, state.theme);
    let mut left = vec![("permafrost".to_owned(), theme.dim())];
    if let Some(sweep) = &known.sweep {
        left.push((format!("  {}", sweep.name), theme.heading()));
        if sweep.revision > 1 {
            left.push((format!(" revision {}", sweep.revision), Style::new()));
        }
        left.push(("  ".to_owned(), Style::new()));
        left.push((known.state().to_owned(), theme.state(known.state())));
    }
    let right = match &known.coordinator {
        Some(coordinator) => {
            let devices = format::counted(known.devices.len() as i64, "device");
            (format!("{devices}, coordinator {}", coordinator.pid), Style::new())
        }
        None if known.at == 0 => (String::new(), Style::new()),
        None => ("no coordinator runs".to_owned(), theme.warning()),
    };
    if let Some(sweep) = &known.sweep {
        let launched = format!("  launched {}", format::day_and_time(sweep.submitted, &state.zone));
        let taken: usize = left.iter().map(|(text, _)| width(text)).sum();
        if taken + width(&launched) + width(&right.0) < usize::from(area.width) {
            left.push((launched, theme.dim()));
        }
    }
    two_sided(frame, area, left, right, state);
}

fn bar(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let (known, theme) = (&state.snapshot, state.theme);
    let all = known.all();
    let always = [format!("{}/{}", all.done, all.total), format::percent(all.share)];
    let mut counts = vec![(all.without_result, "without result"), (all.blocked, "blocked"), (all.running, "running")];
    counts.retain(|(count, _)| *count > 0);
    let left = known.time_left();
    let columns = usize::from(area.width);
    // Where there is no room for all, counts that a pane below has, too, give way to the bar.
    let text = loop {
        let counted = counts.iter().map(|(count, what)| format!("{count} {what}"));
        let parts = always.iter().cloned().chain(counted).chain([left.clone()]);
        let text = format!(" {}", parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "));
        if width(&text) + BAR <= columns || counts.pop().is_none() {
            break text;
        }
    };
    let columns = columns.saturating_sub(width(&text));
    let (done, rest) = theme.bar(all.share, columns);
    let line = vec![Span::styled(done, theme.good()), Span::styled(rest, theme.dim()), Span::raw(text)];
    frame.render_widget(Line::from(line), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let theme = state.theme;
    if state.typing {
        let cursor = if theme.unicode { "▏" } else { "_" };
        let left = vec![(format!("/{}{cursor}", state.filter), theme.heading())];
        return two_sided(frame, area, left, ("Enter keep  Esc clear".to_owned(), theme.dim()), state);
    }
    if state.working {
        return two_sided(frame, area, vec![("working ...".to_owned(), theme.warning())], Default::default(), state);
    }
    if let Some((message, _)) = &state.message {
        let left = vec![(format::one_line(message), theme.warning())];
        return two_sided(frame, area, left, Default::default(), state);
    }
    let keys: &[(&str, &str)] = match state.view() {
        View::Overview => &[
            ("q", "quit"),
            ("?", "help"),
            ("Enter", "open"),
            ("Tab", "pane"),
            ("r", "retry"),
            ("c", "cancel"),
            ("D", "drain"),
            ("s", "sweep"),
            ("/", "filter"),
        ],
        View::List { .. } => &[
            ("q", "quit"),
            ("?", "help"),
            ("Esc", "back"),
            ("Enter", "open"),
            ("r", "retry"),
            ("c", "cancel"),
            ("/", "filter"),
        ],
        View::Trial { .. } => &[
            ("q", "quit"),
            ("?", "help"),
            ("Esc", "back"),
            ("m", "next curve"),
            ("r", "retry"),
            ("c", "cancel"),
            ("j k", "scroll"),
        ],
    };
    let right = if state.filter.is_empty() { String::new() } else { format!("filter: {}", state.filter) };
    let mut left = Vec::new();
    let mut room = usize::from(area.width).saturating_sub(width(&right));
    for (key, what) in keys {
        // Whole or not at all; the help has all.
        let taken = width(key) + width(what) + 3;
        if taken > room + 2 {
            break;
        }
        room = room.saturating_sub(taken);
        left.push(((*key).to_owned(), theme.heading()));
        left.push((format!(" {what}  "), theme.dim()));
    }
    two_sided(frame, area, left, (right, theme.warning()), state);
}

fn empty(frame: &mut Frame<'_>, area: Rect, state: &State, nothing: &Nothing) {
    let lines = match nothing {
        Nothing::NoDatabase => vec![
            format!("There is no database in {} yet.", state.home),
            "Launch a sweep (permafrost launch FILE), or name the home folder of one with --home.".to_owned(),
            "This screen shows it as soon as it is there.".to_owned(),
        ],
        Nothing::NoSweep => vec!["No sweep was launched yet: permafrost launch FILE.".to_owned()],
        Nothing::NoSuchSweep(name) => {
            vec![format!("There is no sweep `{name}` yet."), "s chooses among those that there are.".to_owned()]
        }
        Nothing::Unreadable(why) => vec!["The database cannot be read:".to_owned(), format::one_line(why)],
    };
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    let area = Rect {
        x: area.x + 2,
        y: area.y + area.height / 4,
        width: area.width - 4,
        height: area.height - area.height / 4,
    };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), area);
}
