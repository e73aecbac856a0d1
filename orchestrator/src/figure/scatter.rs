//! Draws trainable parameters against a score, a panel a share of the labels (paper, Fig. 2).

use plotters::{
    element::{Circle, Rectangle},
    style::{Color, RGBColor, ShapeStyle, text_anchor::HPos},
};

use super::{
    axis::Axis,
    error::FigureError,
    groups::Estimate,
    labels::{self, Label, Rect, Wanted},
    panel::{Panel, Plane, place},
    style::{MARK_PT, Palette, TICK_PT},
    svg::{Area, Drawn, MARGIN, PT_PER_MM, Place, Svg, legend, line, note, stroke, units, write},
    text,
};

/// Between panels, in points.
const BETWEEN: f64 = 9.0;
/// A panel is at least so wide where there are several side by side.
const LEAST_PANEL: f64 = 138.0;
/// Radius of the point of a million parameters; areas grow with the parameters.
const RADIUS: f64 = 0.5;
const LEAST_RADIUS: f64 = 1.5;
/// Above the highest point, as a share of the range.
const HEADROOM: f64 = 0.1;
/// Names of measured points that are wider than this share of a panel are told below, by numbers ...
const WIDEST_NAME: f64 = 0.62;
/// ... of the best of each panel.
const NUMBERED: usize = 4;
/// With more measured points in a panel, only those with a name have their interval.
const CROWD: usize = 30;

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
    pub(super) panels: Vec<ScatterPanel>,
    /// Of the score.
    pub(super) more_is_better: bool,
    /// What else is to be said.
    pub(super) notes: Vec<String>,
}

/// The order in which points are better.
pub(super) fn better(a: &Point, b: &Point, more_is_better: bool) -> std::cmp::Ordering {
    let order = a.score.mean.total_cmp(&b.score.mean);
    if more_is_better { order.reverse() } else { order }
}

/// Radius of a point, by the parameters.
fn radius(point: &Point) -> f64 {
    let least = if point.whose == Whose::Ours { MARK_PT } else { LEAST_RADIUS };
    (RADIUS * point.trainable_m.max(0.0).sqrt()).max(least)
}

impl Scatter {
    pub(super) fn draw(&self, width_mm: f64, palette: &Palette) -> Result<Svg, FigureError> {
        let width = width_mm * PT_PER_MM;
        let columns = ((width / LEAST_PANEL) as usize).clamp(1, self.panels.len().max(1));
        let (shown, numbers) = self.numbered(WIDEST_NAME * (width - 2.0 * MARGIN) / columns as f64);
        let shown = shown.uncrowded();
        Svg::drawn(width_mm, palette, self.title.as_deref(), &self.description, |area, mut top| {
            let rows = shown.panels.len().div_ceil(columns);
            for (at, row) in shown.panels.chunks(columns).enumerate() {
                top = shown.row(area, palette, row, (columns, width, at + 1 == rows), top)?;
            }
            let kinds = self.legend(&shown, !numbers.is_empty()).into_iter().map(|(whose, text)| (Some(whose), text));
            let sizes = self.sizes_differ().then(|| (None, "area: trainable parameters".to_owned()));
            let entries: Vec<(Option<Whose>, String)> = kinds.chain(sizes).collect();
            top = legend(area, palette, "", &entries, (top, width, 7.0), |whose, (x, y)| match whose {
                Some(whose) => point(area, palette, (x + 4.0, y), 2.4, *whose),
                None => {
                    point(area, palette, (x + 1.2, y), 1.2, Whose::Published)?;
                    point(area, palette, (x + 5.2, y), 2.6, Whose::Published)
                }
            })?;
            if !numbers.is_empty() {
                let entries: Vec<(String, String)> = (1..).map(|i: usize| i.to_string()).zip(numbers).collect();
                top = legend(area, palette, "", &entries, (top, width, 10.0), |number, (x, y)| {
                    write(area, (x + 10.0, y), number, TICK_PT, colour(palette, Whose::Ours), HPos::Right)
                })?;
            }
            for text in &self.notes {
                top = note(area, palette, text, (top, width))?;
            }
            Ok(top)
        })
    }

    /// With numbers in place of names where one of measured points is wider than `room`, and the names, in the order of their numbers.
    fn numbered(&self, room: f64) -> (Self, Vec<String>) {
        let mut shown = self.clone();
        let mut names: Vec<String> = Vec::new();
        let named = |point: &Point| point.named && point.whose == Whose::Ours;
        if self.points().all(|point| !named(point) || text::width(&point.name, TICK_PT) <= room) {
            return (shown, names);
        }
        for panel in &mut shown.panels {
            let mut best: Vec<&mut Point> = panel.points.iter_mut().filter(|point| named(point)).collect();
            best.sort_by(|a, b| better(a, b, self.more_is_better));
            for (rank, point) in best.into_iter().enumerate() {
                point.named = rank < NUMBERED;
                if point.named {
                    let at = names.iter().position(|name| *name == point.name).unwrap_or(names.len());
                    let name = std::mem::replace(&mut point.name, (at + 1).to_string());
                    names.extend((at == names.len()).then_some(name));
                }
            }
        }
        (shown, names)
    }

    /// Without intervals where they would hide each other.
    fn uncrowded(mut self) -> Self {
        let ours = |point: &&mut Point| point.whose == Whose::Ours;
        for panel in &mut self.panels {
            if panel.points.iter_mut().filter(ours).count() > CROWD {
                for point in panel.points.iter_mut().filter(ours).filter(|point| !point.named) {
                    point.score.interval = None;
                }
            }
        }
        self
    }

    /// What stands in the legend for each kind of point that there is.
    fn legend(&self, shown: &Self, numbered: bool) -> Vec<(Whose, String)> {
        let there = |whose: Whose| self.points().any(|point| point.whose == whose);
        let ours = |of: &Self, named: bool| {
            let count = |panel: &ScatterPanel| {
                panel.points.iter().filter(|point| point.whose == Whose::Ours && (point.named || !named)).count()
            };
            of.panels.iter().map(count).max().unwrap_or(0)
        };
        let (all, named) = (ours(shown, false), ours(shown, true));
        let how = if numbered { "numbered" } else { "named" };
        let text = match (all > named, all > CROWD) {
            (true, true) => {
                format!("measured: mean over seeds; {how}, with 95 % interval: the best {named} of a panel")
            }
            (true, false) => format!("measured: mean, 95 % interval over seeds; {how}: the best {named} of a panel"),
            (false, _) => "measured: mean, 95 % interval over seeds".to_owned(),
        };
        let entries = [
            (Whose::Ours, text),
            (Whose::Paper, "the paper's Adaptor".to_owned()),
            (Whose::Published, "baselines (paper, Table 2)".to_owned()),
        ];
        entries.into_iter().filter(|(whose, _)| there(*whose)).collect()
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

    fn sizes_differ(&self) -> bool {
        let mut radii = self.points().map(radius);
        let first = radii.next();
        radii.any(|radius| Some(radius) != first)
    }

    fn x_axis(&self) -> Axis {
        let (low, high) = self.points().fold((f64::INFINITY, 0.0_f64), |(low, high), point| {
            (low.min(point.trainable_m), high.max(point.trainable_m))
        });
        // One size alone would stand on an axis without numbers.
        let (low, high) = if high < 4.0 * low { (low / 2.0, high * 2.0) } else { (low, high) };
        // A number that is a little less is written, so that there is one on the left of the first point.
        let decade = 10_f64.powi(low.log10().floor() as i32);
        let below = [1.0, 2.0, 5.0].map(|m| m * decade).into_iter().rfind(|value| *value <= low).unwrap_or(low);
        let low = if low < 1.5 * below { below } else { low };
        Axis::log(low, high, 6).inset(0.02)
    }

    fn y_axis(&self, height: f64) -> Axis {
        let (low, high) = self.points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.score.low()), high.max(point.score.high()))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // Above the best points, room for their labels.
        let high = high + HEADROOM * (high - low);
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

/// How far apart points of one size stand, and how far all of them reach at most, in points.
const APART: f64 = 5.0;
const REACH: f64 = 50.0;
/// More of them than this fit into that side by side; they lie in a heap of this width, in no order that could be taken for one.
const SIDE_BY_SIDE: usize = 11;
const HEAP: f64 = 18.0;
/// The golden ratio's part below one: its multiples lie evenly, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Where points stand: measured ones of one size beside each other, so that their intervals can be seen.
fn places(points: &[Point], plane: &Plane<'_>) -> Vec<Place> {
    let beside = |at: usize| {
        let own = |other: &Point| {
            other.whose == Whose::Ours && points[at].whose == Whose::Ours && other.trainable_m == points[at].trainable_m
        };
        let count = points.iter().filter(|other| own(other)).count();
        let before = points[..at].iter().filter(|other| own(other)).count() as f64;
        if count > SIDE_BY_SIDE {
            return ((before * GOLDEN).fract() - 0.5) * HEAP;
        }
        let most = count.saturating_sub(1) as f64;
        (before - most / 2.0) * if most > 0.0 { APART.min(REACH / most) } else { 0.0 }
    };
    let place_of = |(at, point): (usize, &Point)| {
        let (x, y) = place(plane, (point.trainable_m, point.score.mean));
        (x + if points[at].whose == Whose::Ours { beside(at) } else { 0.0 }, y)
    };
    points.iter().enumerate().map(place_of).collect()
}

fn draw_points(area: &Area<'_>, palette: &Palette, points: &[Point], panel: &Panel, plane: &Plane<'_>) -> Drawn<()> {
    let places = places(points, plane);
    let wanted: Vec<Wanted> = points
        .iter()
        .zip(&places)
        .map(|(shown, at)| Wanted {
            at: *at,
            radius: radius(shown),
            width: if shown.named { text::width(&shown.name, TICK_PT) } else { 0.0 },
            height: TICK_PT + 0.6,
        })
        .collect();
    let mut bars = Vec::new();
    for (shown, (at, _)) in points.iter().zip(&places).filter(|(shown, _)| shown.score.interval.is_some()) {
        let [low, high] =
            [shown.score.low(), shown.score.high()].map(|bound| place(plane, (shown.trainable_m, bound)).1);
        // What has no length cannot be drawn.
        if low > high {
            line(area, &[(*at, low), (*at, high)], stroke(colour(palette, shown.whose), 0.7), None)?;
            bars.push(Rect(at - 0.35, high, at + 0.35, low));
        }
    }
    let bounds = Rect(panel.left + 2.0, panel.top + 1.0, panel.right - 1.0, panel.bottom - 1.5);
    let labels = labels::place(&wanted, bounds, &bars);
    // So that a label can be read on lines; below all points.
    for Label { rect: Rect(left, top, right, bottom), .. } in labels.iter().flatten() {
        let corners = [(units(left - 0.8), units(*top)), (units(right + 0.8), units(*bottom))];
        area.draw(&Rectangle::new(corners, palette.background.mix(0.8).filled()))?;
    }
    for (shown, wanted) in points.iter().zip(&wanted) {
        point(area, palette, wanted.at, wanted.radius, shown.whose)?;
    }
    for (shown, label) in points.iter().zip(labels) {
        let Some(Label { rect: Rect(left, top, _, bottom), leader }) = label else { continue };
        if let Some(ends) = leader {
            line(area, &ends, stroke(palette.pale, 0.4), None)?;
        }
        let ink = if shown.whose == Whose::Published { palette.muted } else { colour(palette, shown.whose) };
        write(area, (left, (top + bottom) / 2.0), &shown.name, TICK_PT, ink, HPos::Left)?;
    }
    Ok(())
}
