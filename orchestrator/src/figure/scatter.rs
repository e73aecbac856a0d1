//! Draws trainable parameters against a score, a panel a share of the labels (paper, Fig. 2).

use plotters::{
    element::{Circle, Rectangle},
    style::{Color, RGBColor, ShapeStyle, text_anchor::HPos},
};

use super::{
    axis::Axis,
    error::FigureError,
    groups::Estimate,
    labels::{self, Rect, Wanted},
    panel::{Panel, Plane, place},
    style::{MARK_PT, Palette, TICK_PT},
    svg::{Area, Drawn, MARGIN, PT_PER_MM, Place, Svg, legend, line, stroke, units, write},
    text,
};

/// Between panels, in points.
const BETWEEN: f64 = 9.0;
/// A panel is at least so wide where there are several side by side.
const LEAST_PANEL: f64 = 138.0;
/// Radius of the point of a million parameters; areas grow with the parameters.
const RADIUS: f64 = 0.5;
const LEAST_RADIUS: f64 = 1.5;

/// Whose point it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The paper's baselines.
    Published,
    /// The paper's own method.
    Paper,
    /// Measured here.
    Ours,
}

/// A point.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) whose: Whose,
    pub(super) name: String,
    /// Whether its name is written.
    pub(super) named: bool,
    /// In millions.
    pub(super) trainable_m: f64,
    pub(super) score: Estimate,
}

/// A panel.
#[derive(Clone, Debug)]
pub(super) struct ScatterPanel {
    pub(super) title: String,
    pub(super) points: Vec<Point>,
}

/// A figure of points.
#[derive(Clone, Debug)]
pub(super) struct Scatter {
    pub(super) title: Option<String>,
    pub(super) description: String,
    pub(super) y_name: String,
    /// What stands in the legend for each kind of point that there is.
    pub(super) legend: Vec<(Whose, String)>,
    pub(super) panels: Vec<ScatterPanel>,
}

fn radius(trainable_m: f64) -> f64 {
    (RADIUS * trainable_m.max(0.0).sqrt()).max(LEAST_RADIUS)
}

impl Scatter {
    pub(super) fn draw(&self, width_mm: f64, palette: &Palette) -> Result<Svg, FigureError> {
        let width = width_mm * PT_PER_MM;
        let columns = ((width / LEAST_PANEL) as usize).clamp(1, self.panels.len().max(1));
        Svg::drawn(width_mm, palette, self.title.as_deref(), &self.description, |area, mut top| {
            let rows = self.panels.len().div_ceil(columns);
            for (at, row) in self.panels.chunks(columns).enumerate() {
                top = self.row(area, palette, row, (columns, width, at + 1 == rows), top)?;
            }
            legend(area, palette, "", &self.legend, (top, width, 7.0), |whose, (x, y)| {
                point(area, palette, (x + 4.0, y), 2.4, *whose)
            })
        })
    }

    fn row(
        &self,
        area: &Area<'_>,
        palette: &Palette,
        row: &[ScatterPanel],
        (columns, width, last): (usize, f64, bool),
        top: f64,
    ) -> Drawn<f64> {
        let top = top + Panel::room_above("x");
        let share = (width - 2.0 * MARGIN) / columns as f64;
        // In one column, three of them are to fit on a page.
        let height = if columns == 1 { 0.6 * share } else { 0.92 * share }.clamp(110.0, 165.0);
        let y = self.y_axis(height);
        let x = self.x_axis().named(if last { "Trainable parameters [millions]" } else { "" }, true);
        let room = Panel::room_left(&y);
        let each = (width - 2.0 * MARGIN - room - BETWEEN * columns as f64) / columns as f64;
        for (column, points) in row.iter().enumerate() {
            let left = MARGIN + room + column as f64 * (each + BETWEEN);
            let panel = Panel { left, top, right: left + each, bottom: top + height };
            // All panels have one vertical axis; the first one in a row shows it.
            let y = if column == 0 { y.clone() } else { y.clone().named("", false) };
            let plane = panel.draw(area, palette, x.clone(), y, &points.title)?;
            draw_points(area, palette, &points.points, &panel, &plane)?;
        }
        Ok(top + height + Panel::room_below(&x) + 4.0)
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.panels.iter().flat_map(|panel| &panel.points)
    }

    fn x_axis(&self) -> Axis {
        let (low, high) = self.points().fold((f64::INFINITY, 0.0_f64), |(low, high), point| {
            (low.min(point.trainable_m), high.max(point.trainable_m))
        });
        // One size alone would stand on an axis without numbers.
        let (low, high) = if high < 4.0 * low { (low / 2.0, high * 2.0) } else { (low, high) };
        Axis::log(low, high, 6).inset(0.02)
    }

    fn y_axis(&self, height: f64) -> Axis {
        let (low, high) = self.points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.score.low()), high.max(point.score.high()))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        Axis::linear(low, high, (height / 22.0) as usize).named(&self.y_name, true)
    }
}

fn colour(palette: &Palette, whose: Whose) -> RGBColor {
    match whose {
        Whose::Published => palette.pale,
        Whose::Paper => palette.series(1),
        Whose::Ours => palette.series(0),
    }
}

fn point(area: &Area<'_>, palette: &Palette, (x, y): Place, radius: f64, whose: Whose) -> Drawn<()> {
    let colour = colour(palette, whose);
    let circle = |style: ShapeStyle| Circle::new((units(x), units(y)), units(radius), style);
    // The published ones are rings, so that what lies on them can be seen.
    if whose == Whose::Ours {
        area.draw(&circle(colour.mix(0.75).filled()))?;
    }
    area.draw(&circle(stroke(colour, 0.9)))
}

fn draw_points(area: &Area<'_>, palette: &Palette, points: &[Point], panel: &Panel, plane: &Plane<'_>) -> Drawn<()> {
    let place_of = |point: &Point| place(plane, (point.trainable_m, point.score.mean));
    let wanted: Vec<Wanted> = points
        .iter()
        .map(|shown| Wanted {
            at: place_of(shown),
            radius: radius(shown.trainable_m),
            width: if shown.named { text::width(&shown.name, TICK_PT) } else { 0.0 },
            height: TICK_PT + 0.6,
        })
        .collect();
    let mut bars = Vec::new();
    for shown in points.iter().filter(|shown| shown.score.interval.is_some()) {
        let ends = [shown.score.low(), shown.score.high()].map(|bound| place(plane, (shown.trainable_m, bound)));
        line(area, &ends, stroke(colour(palette, shown.whose), 0.7), None)?;
        let [(at, low), (_, high)] = ends;
        bars.push(Rect(at - 0.35, high, at + 0.35, low));
    }
    let bounds = Rect(panel.left + 2.0, panel.top - 2.0, panel.right + 5.0, panel.bottom - 1.0);
    let labels = labels::place(&wanted, bounds, &bars);
    // So that a label can be read on lines; below all points.
    for Rect(left, top, right, bottom) in labels.iter().flatten() {
        let corners = [(units(left - 0.8), units(*top)), (units(right + 0.8), units(*bottom))];
        area.draw(&Rectangle::new(corners, palette.background.mix(0.8).filled()))?;
    }
    for (shown, wanted) in points.iter().zip(&wanted) {
        let least = if shown.whose == Whose::Ours { MARK_PT } else { 0.0 };
        point(area, palette, wanted.at, wanted.radius.max(least), shown.whose)?;
    }
    for ((shown, wanted), rect) in points.iter().zip(&wanted).zip(labels) {
        let Some(Rect(left, top, right, bottom)) = rect else { continue };
        // From the point to the nearest place of a label that stands apart.
        let (near_x, near_y) = (wanted.at.0.clamp(left, right), wanted.at.1.clamp(top, bottom));
        let (dx, dy) = (near_x - wanted.at.0, near_y - wanted.at.1);
        let distance = (dx * dx + dy * dy).sqrt();
        if distance > wanted.radius + 4.0 {
            let from = (wanted.at.0 + dx / distance * wanted.radius, wanted.at.1 + dy / distance * wanted.radius);
            line(area, &[from, (near_x, near_y)], stroke(palette.pale, 0.4), None)?;
        }
        let ink = if shown.whose == Whose::Published { palette.muted } else { colour(palette, shown.whose) };
        write(area, (left, (top + bottom) / 2.0), &shown.name, TICK_PT, ink, HPos::Left)?;
    }
    Ok(())
}
