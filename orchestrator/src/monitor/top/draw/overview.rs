//! The overview: stages and devices, what runs, what went wrong, what happened.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
};

use super::panes;
use crate::monitor::top::state::State;

/// From this width on, what runs and what happened stand side by side.
const WIDE: u16 = 140;
/// Most lines of failures in an overview that has other things to show.
const FAILURES: usize = 6;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let known = &state.snapshot;
    let failures = known.failures.len();
    let devices: usize = known.devices.iter().map(|device| panes::device_lines(device, area.width / 2)).sum();
    let wanted = 2 + known.stages.len().max(devices).max(1);
    let upper = wanted.clamp(3, usize::from(area.height) / 3) as u16;
    let [above, below] = Layout::vertical([Constraint::Length(upper), Constraint::Min(1)]).areas(area);
    let [stages, _, devices] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(1), Constraint::Fill(1)]).areas(above);
    panes::stages(frame, stages, state);
    panes::devices(frame, devices, state);
    let shown = if failures == 0 { 0 } else { (1 + failures.min(FAILURES)).min(usize::from(below.height) / 3) as u16 };
    if area.width >= WIDE {
        let [left, _, right] =
            Layout::horizontal([Constraint::Fill(3), Constraint::Length(1), Constraint::Fill(2)]).areas(below);
        let shown = if failures == 0 { 0 } else { (2 + failures).min(usize::from(left.height) / 2) as u16 };
        let [running, failed] = Layout::vertical([Constraint::Min(1), Constraint::Length(shown)]).areas(left);
        panes::running(frame, running, state);
        panes::failures(frame, failed, state);
        panes::events(frame, right, state);
    } else {
        // What runs needs its lines, and no more: the rest shows what happened.
        let rest = below.height - shown;
        let needed = 3 + known.running.len().max(1) as u16;
        let running = needed.clamp(3, (rest * 2 / 3).max(3));
        let [running, failed, events] =
            Layout::vertical([Constraint::Length(running), Constraint::Length(shown), Constraint::Min(1)]).areas(below);
        panes::running(frame, running, state);
        panes::failures(frame, failed, state);
        panes::events(frame, events, state);
    }
}
