//! A panel: axes with ticks and names, and room for what is drawn in it.

use plotters::{
    chart::{ChartBuilder, ChartContext, LabelAreaPosition},
    coord::cartesian::Cartesian2d,
    prelude::SVGBackend,
    style::{Color, text_anchor::HPos},
};

use super::{
    axis::Axis,
    style::{AXIS_PT, GRID_PT, LABEL_PT, Palette, TICK_PT, TITLE_PT},
    svg::{Area, Drawn, Place, UNITS, line, stroke, units, write},
    text,
};

/// Length of a tick in points; plotters leaves as much between it and its number.
const TICK: f64 = 2.2;
/// Length of a small tick, which plotters has not.
const SMALL_TICK: f64 = 1.3;

/// What a panel is drawn with.
pub(super) type Plane<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

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
    pub(super) fn room_left(axis: &Axis) -> f64 {
        if axis.ticks.is_empty() {
            return 0.0;
        }
        let numbers = if axis.numbers { axis.widest() } else { 0.0 };
        numbers + 2.0 * TICK + if axis.name.is_empty() { 0.0 } else { LABEL_PT + 4.0 }
    }

    /// Room that an axis below needs.
    pub(super) fn room_below(axis: &Axis) -> f64 {
        if axis.ticks.is_empty() {
            return 0.0;
        }
        2.0 * TICK + TICK_PT + if axis.name.is_empty() { 0.0 } else { LABEL_PT + 3.0 }
    }

    /// Room that a heading needs above.
    pub(super) fn room_above(title: &str) -> f64 {
        if title.is_empty() { 4.0 } else { TITLE_PT + 6.0 }
    }

    /// Draws axes and heading, and gives what the rest is drawn with.
    pub(super) fn draw<'a>(
        &self,
        whole: &Area<'a>,
        palette: &Palette,
        x: Axis,
        y: Axis,
        title: &str,
    ) -> Drawn<Plane<'a>> {
        if !title.is_empty() {
            let fitted = text::fitted(title, TITLE_PT, self.width() + 4.0);
            write(whole, (self.left, self.top - 8.0), &fitted, TITLE_PT, palette.ink, HPos::Left)?;
        }
        let (left, below) = (Self::room_left(&y), Self::room_below(&x));
        let (width, height) = (self.width() + left, self.height() + below);
        let area = whole.clone().shrink((units(self.left - left), units(self.top)), (units(width), units(height)));
        let mut plane = ChartBuilder::on(&area)
            .set_label_area_size(LabelAreaPosition::Left, units(left))
            .set_label_area_size(LabelAreaPosition::Bottom, units(below))
            .build_cartesian_2d(x.clone(), y.clone())?;
        let mut mesh = plane.configure_mesh();
        mesh.disable_x_mesh()
            .bold_line_style(stroke(palette.grid, GRID_PT))
            .light_line_style(palette.grid.mix(0.0))
            .axis_style(stroke(palette.ink, AXIS_PT))
            .set_all_tick_mark_size(units(TICK))
            .label_style(text::style(TICK_PT, palette.ink, HPos::Left))
            .axis_desc_style(text::style(LABEL_PT, palette.ink, HPos::Left));
        if !x.name.is_empty() {
            mesh.x_desc(text::fitted(&x.name, LABEL_PT, self.width() + 16.0));
        }
        if !y.name.is_empty() {
            mesh.y_desc(text::fitted(&y.name, LABEL_PT, self.height() + 16.0));
        }
        mesh.draw()?;
        for value in &x.minor {
            let (at, _) = place(&plane, (*value, 0.0));
            line(whole, &[(at, self.bottom), (at, self.bottom + SMALL_TICK)], stroke(palette.ink, AXIS_PT), None)?;
        }
        Ok(plane)
    }
}

/// Where a value stands, in points of the whole drawing.
pub(super) fn place(plane: &Plane<'_>, value: (f64, f64)) -> Place {
    let (x, y) = plane.backend_coord(&value);
    (f64::from(x) / UNITS, f64::from(y) / UNITS)
}
