//! Draws trainable parameters against a score, a panel a share of the labels (paper, Fig. 2).

use super::{
    groups::Estimate,
    labels::{Rect, Wanted, place},
    panel::{Axis, Panel},
    scale::Scale,
    style::{LABEL_PT, MARK_PT, Palette, TICK_PT, TITLE_PT},
    svg::{Anchor, Canvas, Font, PT_PER_MM, Place, Stroke, Svg},
    text,
};

const MARGIN: f64 = 5.0;
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
    pub(super) fn draw(&self, width_mm: f64, palette: &Palette) -> Svg {
        let width = width_mm * PT_PER_MM;
        let columns = ((width / LEAST_PANEL) as usize).clamp(1, self.panels.len().max(1));
        let mut canvas = Canvas::default();
        let mut top = MARGIN;
        if let Some(title) = &self.title {
            let font = Font { size: TITLE_PT + 0.5, colour: palette.ink, anchor: Anchor::Start };
            canvas.text((MARGIN, top + TITLE_PT), &text::fitted(title, TITLE_PT + 0.5, width - 2.0 * MARGIN), font);
            top += TITLE_PT + 7.0;
        }
        let rows = self.panels.len().div_ceil(columns);
        for (at, row) in self.panels.chunks(columns).enumerate() {
            top = self.row(&mut canvas, palette, row, columns, width, top, at + 1 == rows);
        }
        top = self.legend(&mut canvas, palette, width, top);
        let title = self.title.clone().unwrap_or_else(|| self.description.clone());
        canvas.finish(width, top + MARGIN - 1.0, palette.background, &title, &self.description)
    }

    #[expect(clippy::too_many_arguments, reason = "a row has its place, and shares the rest with the others")]
    fn row(
        &self,
        canvas: &mut Canvas,
        palette: &Palette,
        row: &[ScatterPanel],
        columns: usize,
        width: f64,
        top: f64,
        last: bool,
    ) -> f64 {
        let above = top + Panel::room_above("x");
        let share = (width - 2.0 * MARGIN) / columns as f64;
        // In one column, three of them are to fit on a page.
        let height = if columns == 1 { 0.6 * share } else { 0.92 * share }.clamp(110.0, 165.0);
        let bottom = above + height;
        let y = self.y_scale(bottom, above);
        let y_ticks = y.ticks((height / 22.0) as usize);
        let room = Panel::room_left(&y_ticks, &self.y_name);
        // All panels have one vertical axis; the first one in a row shows it.
        let between = 9.0;
        let each = (width - 2.0 * MARGIN - room - between * columns as f64) / columns as f64;
        for (column, points) in row.iter().enumerate() {
            let left = MARGIN + room + column as f64 * (each + between);
            let panel = Panel { left, top: above, right: left + each, bottom };
            let first = column == 0;
            let x_scale = self.x_scale(&panel);
            let x_name = if last { "Trainable parameters [millions]".to_owned() } else { String::new() };
            let x = Axis { scale: x_scale, ticks: x_scale.ticks(6), name: x_name, numbers: true };
            let y_name = if first { self.y_name.clone() } else { String::new() };
            let y = Axis { scale: y, ticks: y_ticks.clone(), name: y_name, numbers: first };
            panel.draw(canvas, palette, &x, &y, &points.title);
            draw_points(canvas, palette, &points.points, &panel, &x.scale, &y.scale);
        }
        bottom + Panel::room_below(true, if last { "x" } else { "" }) + 6.0
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.panels.iter().flat_map(|panel| &panel.points)
    }

    fn x_scale(&self, panel: &Panel) -> Scale {
        let (low, high) = self.points().fold((f64::INFINITY, 0.0_f64), |(low, high), point| {
            (low.min(point.trainable_m), high.max(point.trainable_m))
        });
        // One size alone would stand on an axis without numbers.
        let (low, high) = if high < 4.0 * low { (low / 2.0, high * 2.0) } else { (low, high) };
        Scale::log(low, high, panel.left + 2.0, panel.right - 4.0)
    }

    fn y_scale(&self, from: f64, to: f64) -> Scale {
        let (low, high) = self.points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.score.low()), high.max(point.score.high()))
        });
        if low <= high { Scale::linear(low, high, from, to) } else { Scale::linear(0.0, 1.0, from, to) }
    }

    fn legend(&self, canvas: &mut Canvas, palette: &Palette, width: f64, mut top: f64) -> f64 {
        top += LABEL_PT + 2.0;
        let mut left = MARGIN + 2.0;
        for (whose, name) in &self.legend {
            let name = text::fitted(name, TICK_PT, width - 2.0 * MARGIN - 14.0);
            let needed = 12.0 + text::width(&name, TICK_PT);
            if left + needed > width - MARGIN && left > MARGIN + 2.0 {
                left = MARGIN + 2.0;
                top += LABEL_PT + 3.0;
            }
            let middle = top - 0.5 * text::CAPITALS * TICK_PT;
            point(canvas, palette, (left + 4.0, middle), 2.4, *whose);
            let font = Font { size: TICK_PT, colour: palette.ink, anchor: Anchor::Start };
            canvas.text((left + 10.0, top), &name, font);
            left += needed + 12.0;
        }
        top + 3.0
    }
}

fn colour(palette: &Palette, whose: Whose) -> &'static str {
    match whose {
        Whose::Published => palette.pale,
        Whose::Paper => palette.series(1),
        Whose::Ours => palette.series(0),
    }
}

fn point(canvas: &mut Canvas, palette: &Palette, at: Place, radius: f64, whose: Whose) {
    let colour = colour(palette, whose);
    let (fill, opacity) = match whose {
        // Rings, so that what lies on them can be seen.
        Whose::Published | Whose::Paper => (palette.background, 0.0),
        Whose::Ours => (colour, 0.75),
    };
    canvas.circle(at, radius, fill, opacity, Some(Stroke::solid(colour, 0.9)));
}

fn draw_points(canvas: &mut Canvas, palette: &Palette, points: &[Point], panel: &Panel, x: &Scale, y: &Scale) {
    let place_of = |point: &Point| (x.at(point.trainable_m), y.at(point.score.mean));
    for shown in points {
        let (at, height) = place_of(shown);
        if shown.score.interval.is_some() {
            let bar = ((at, y.at(shown.score.low())), (at, y.at(shown.score.high())));
            canvas.segments(&[bar], Stroke::solid(colour(palette, shown.whose), 0.7));
        }
        let size =
            if shown.whose == Whose::Ours { MARK_PT.max(radius(shown.trainable_m)) } else { radius(shown.trainable_m) };
        point(canvas, palette, (at, height), size, shown.whose);
    }
    let wanted: Vec<Wanted> = points
        .iter()
        .map(|shown| Wanted {
            at: place_of(shown),
            radius: radius(shown.trainable_m),
            width: if shown.named { text::width(&shown.name, TICK_PT) } else { 0.0 },
            height: TICK_PT + 0.6,
        })
        .collect();
    let bounds = Rect(panel.left + 1.0, panel.top - 2.0, panel.right + 5.0, panel.bottom - 1.0);
    for ((shown, wanted), rect) in points.iter().zip(&wanted).zip(place(&wanted, bounds, &[])) {
        let Some(Rect(left, top, right, bottom)) = rect else { continue };
        let middle = (top + bottom) / 2.0;
        // From the point to the nearest place of a label that stands apart.
        let (near_x, near_y) = (wanted.at.0.clamp(left, right), wanted.at.1.clamp(top, bottom));
        let (dx, dy) = (near_x - wanted.at.0, near_y - wanted.at.1);
        let distance = (dx * dx + dy * dy).sqrt();
        if distance > wanted.radius + 4.0 {
            let from = (wanted.at.0 + dx / distance * wanted.radius, wanted.at.1 + dy / distance * wanted.radius);
            canvas.line(&[from, (near_x, near_y)], Stroke::solid(palette.pale, 0.4));
        }
        let ink = if shown.whose == Whose::Published { palette.muted } else { colour(palette, shown.whose) };
        let font = Font { size: TICK_PT, colour: ink, anchor: Anchor::Start };
        canvas.text_on_lines((left, middle), &shown.name, font, palette.background);
    }
}
