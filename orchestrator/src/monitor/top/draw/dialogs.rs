//! Help, the choice of a sweep, and questions.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use super::rows::{Column, plain, rows, styled};
use crate::monitor::top::{
    format,
    state::{Dialog, State},
};

const HELP: &[(&str, &str)] = &[
    ("arrows, j k", "move; PgUp PgDn, g G: further"),
    ("Tab, Shift-Tab", "next pane, the one before"),
    ("Enter", "open a stage or a trial"),
    ("Esc", "back; in the overview: clear the filter"),
    ("r", "run the selected trial again"),
    ("R", "run all again that ended without a result"),
    ("c", "cancel the selected trial"),
    ("C", "cancel what is left of the sweep"),
    ("D", "drain: checkpoints, then everything ends"),
    ("s", "choose a sweep"),
    ("/", "filter: words such as vision=edges 0.01 failed"),
    ("m", "in a trial: the next curve"),
    ("Ctrl-L, Ctrl-Z", "draw again, to the shell"),
    ("q, Ctrl-C", "quit; the sweep goes on"),
];

/// Draws it over the view.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, dialog: &Dialog) {
    let theme = state.theme;
    match dialog {
        Dialog::Help { scroll } => {
            let inner = window(frame, area, state, "Keys", 66, HELP.len() as u16);
            let scroll = (*scroll).min(HELP.len().saturating_sub(usize::from(inner.height)));
            let line = |(keys, what): &(&'static str, &'static str)| {
                Line::from(vec![Span::styled(format!("{keys:<16}"), theme.heading()), Span::raw(*what)])
            };
            let lines: Vec<Line<'_>> = HELP.iter().skip(scroll).map(line).collect();
            frame.render_widget(Paragraph::new(lines), inner);
        }
        Dialog::Sweeps { cursor } => {
            let sweeps = &state.snapshot.sweeps;
            let inner = window(frame, area, state, "Sweeps", 66, sweeps.len().max(1) as u16);
            let columns = [Column::fill(""), Column::left("", 12), Column::left("", 16)];
            rows(frame, inner, &columns, sweeps.len(), Some(cursor.at), theme, |at| {
                let sweep = &sweeps[at];
                vec![
                    styled(sweep.name.clone(), theme.heading()),
                    plain(format!("revision {}", sweep.revision)),
                    styled(format::day_and_time(sweep.submitted, &state.zone), theme.dim()),
                ]
            });
        }
        Dialog::Confirm { text, .. } => {
            let inner = window(frame, area, state, "Sure?", 66, 4);
            let lines = vec![
                Line::from(text.as_str()),
                Line::default(),
                Line::from(vec![
                    Span::styled("y", theme.heading()),
                    Span::raw(" yes   "),
                    Span::styled("n", theme.heading()),
                    Span::raw(" no"),
                ]),
            ];
            frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inner);
        }
    }
}

/// An empty window in the middle; returns its inside.
fn window(frame: &mut Frame<'_>, area: Rect, state: &State, title: &str, width: u16, height: u16) -> Rect {
    let width = (width + 4).min(area.width);
    let height = (height + 2).min(area.height);
    let outer = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, outer);
    let block = Block::bordered()
        .border_set(state.theme.border())
        .title(format!(" {title} "))
        .title_style(state.theme.heading());
    let inner = block.inner(outer);
    frame.render_widget(block, outer);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}
