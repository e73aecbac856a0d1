//! A panel: axes with ticks and names, and room for what is drawn in it.

use super::{
    scale::{Scale, Ticks},
    style::{AXIS_PT, GRID_PT, LABEL_PT, Palette, TICK_PT, TITLE_PT},
    svg::{Anchor, Canvas, Font, Stroke},
    text,
};

/// Length of a tick, and of a small one, in points.
const TICK: f64 = 2.6;
const SMALL_TICK: f64 = 1.5;
/// Between a tick and its number.
const GAP: f64 = 1.8;

/// What stands at an axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) ticks: Ticks,
    /// Its name, with the unit; empty: none.
    pub(super) name: String,
    /// Whether numbers are written.
    pub(super) numbers: bool,
}

/// A panel, in points.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Panel {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// Room that an axis on the left needs beside the panel.
    pub(super) fn room_left(ticks: &Ticks, name: &str) -> f64 {
        let widest = ticks.major.iter().map(|(_, label)| text::width(label, TICK_PT)).fold(0.0, f64::max);
        widest + TICK + GAP + if name.is_empty() { 0.0 } else { LABEL_PT + 5.0 }
    }

    /// Room that an axis below needs.
    pub(super) fn room_below(numbers: bool, name: &str) -> f64 {
        let numbers = if numbers { TICK_PT + GAP } else { 0.0 };
        TICK + numbers + if name.is_empty() { 1.0 } else { LABEL_PT + 4.0 }
    }

    /// Room that a heading needs above.
    pub(super) fn room_above(title: &str) -> f64 {
        if title.is_empty() { 4.0 } else { TITLE_PT + 6.0 }
    }

    /// Draws axes and heading.
    pub(super) fn draw(&self, canvas: &mut Canvas, palette: &Palette, x: &Axis, y: &Axis, title: &str) {
        let grid: Vec<_> = y.ticks.major.iter().map(|(value, _)| y.scale.at(*value)).collect();
        let lines: Vec<_> = grid.iter().map(|&at| ((self.left, at), (self.right, at))).collect();
        canvas.segments(&lines, Stroke::solid(palette.grid, GRID_PT));

        let axis = Stroke::solid(palette.ink, AXIS_PT);
        canvas.line(&[(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)], axis);
        let mut marks: Vec<_> = grid.iter().map(|&at| ((self.left, at), (self.left - TICK, at))).collect();
        let down = |at: f64, length: f64| ((at, self.bottom), (at, self.bottom + length));
        marks.extend(x.ticks.major.iter().map(|(value, _)| down(x.scale.at(*value), TICK)));
        marks.extend(x.ticks.minor.iter().map(|value| down(x.scale.at(*value), SMALL_TICK)));
        canvas.segments(&marks, axis);

        let font = |anchor| Font { size: TICK_PT, colour: palette.ink, anchor };
        if y.numbers {
            for ((_, label), &at) in y.ticks.major.iter().zip(&grid) {
                canvas.text_centred((self.left - TICK - GAP, at), label, font(Anchor::End));
            }
        }
        let below = self.bottom + TICK + GAP + text::CAPITALS * TICK_PT;
        if x.numbers {
            for (value, label) in &x.ticks.major {
                canvas.text((x.scale.at(*value), below), label, font(Anchor::Middle));
            }
        }
        let name = Font { size: LABEL_PT, colour: palette.ink, anchor: Anchor::Middle };
        if !x.name.is_empty() {
            let at = below + LABEL_PT + 2.4;
            canvas.text(((self.left + self.right) / 2.0, at), &x.name, name);
        }
        if !y.name.is_empty() {
            let at = self.left - Self::room_left(&y.ticks, &y.name) + text::CAPITALS * LABEL_PT + 0.8;
            let room = self.height() + 16.0;
            let fitted = text::fitted(&y.name, LABEL_PT, room);
            canvas.turned((at, (self.top + self.bottom) / 2.0), &fitted, name, -90.0);
        }
        self.heading(canvas, palette, title);
    }

    /// Draws a heading above the panel.
    pub(super) fn heading(&self, canvas: &mut Canvas, palette: &Palette, title: &str) {
        if !title.is_empty() {
            let font = Font { size: TITLE_PT, colour: palette.ink, anchor: Anchor::Start };
            let fitted = text::fitted(title, TITLE_PT, self.width() + 4.0);
            canvas.text((self.left, self.top - 5.0), &fitted, font);
        }
    }
}
