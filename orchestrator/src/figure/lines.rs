//! Lines over an axis, in one or several panels, with intervals and a legend.

use super::{
    groups::Estimate,
    labels::spread,
    panel::{Axis, Panel},
    scale::{Scale, Ticks},
    style::{self, LABEL_PT, LINE_PT, MARK_PT, Palette, TICK_PT, TITLE_PT},
    svg::{Anchor, Canvas, Font, PT_PER_MM, Place, Stroke, Svg},
    text,
};

/// Around everything, in points.
const MARGIN: f64 = 5.0;
/// A panel is at least so wide where there are several side by side.
const LEAST_PANEL: f64 = 128.0;
/// Lines that are named at their ends; more need a legend.
const NAMED_AT_ENDS: usize = 8;
/// Points of a line that get a mark each; more are a line alone.
const MARKED: usize = 12;
/// A sample of a line in a legend.
const SAMPLE: f64 = 17.0;

/// A line with its interval.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Place of its colour; none: it is there for comparison.
    pub(super) colour: Option<usize>,
    /// Place of its mark and dash.
    pub(super) mark: usize,
    /// In the order of the axis.
    pub(super) points: Vec<(f64, Estimate)>,
}

/// A panel of lines.
#[derive(Clone, Debug)]
pub(super) struct LinePanel {
    pub(super) title: String,
    /// Name of the vertical axis, with its unit.
    pub(super) y_name: String,
    pub(super) lines: Vec<Line>,
}

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interval {
    Band,
    Bar,
}

/// One line of a legend: what its entries are about, and colour, mark and name of each.
pub(super) type LegendRow = (String, Vec<(Option<usize>, Option<usize>, String)>);

/// A figure of lines.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: Option<String>,
    pub(super) description: String,
    pub(super) x_name: String,
    pub(super) log_x: bool,
    /// Whether all panels have one vertical axis.
    pub(super) shared_y: bool,
    pub(super) interval: Interval,
    pub(super) panels: Vec<LinePanel>,
    pub(super) legend: Vec<LegendRow>,
}

impl Chart {
    /// Draws it.
    pub(super) fn draw(&self, width_mm: f64, palette: &Palette) -> Svg {
        let width = width_mm * PT_PER_MM;
        let columns = ((width / LEAST_PANEL) as usize).clamp(1, self.panels.len().max(1));
        let columns = self.panels.len().div_ceil(self.panels.len().div_ceil(columns).max(1)).max(1);
        let at_ends = self.names_at_ends(width);
        let mut canvas = Canvas::default();
        let mut top = MARGIN;
        if let Some(title) = &self.title {
            let font = Font { size: TITLE_PT + 0.5, colour: palette.ink, anchor: Anchor::Start };
            canvas.text((MARGIN, top + TITLE_PT), &text::fitted(title, TITLE_PT + 0.5, width - 2.0 * MARGIN), font);
            top += TITLE_PT + 7.0;
        }
        let rows = self.panels.len().div_ceil(columns);
        for (at, row) in self.panels.chunks(columns).enumerate() {
            top = self.row(&mut canvas, palette, row, columns, width, top, at_ends, at + 1 == rows);
        }
        if at_ends.is_none() {
            top = legend(&mut canvas, palette, &self.legend, width, top);
        }
        let title = self.title.clone().unwrap_or_else(|| self.description.clone());
        canvas.finish(width, top + MARGIN - 1.0, palette.background, &title, &self.description)
    }

    /// Room for names at the ends of lines; none: they are in a legend.
    fn names_at_ends(&self, width: f64) -> Option<f64> {
        let [panel] = self.panels.as_slice() else { return None };
        let named: Vec<&Line> = panel.lines.iter().filter(|line| line.colour.is_some()).collect();
        let widest = named.iter().map(|line| text::width(&line.name, TICK_PT)).fold(0.0, f64::max);
        let fits = named.len() == panel.lines.len() && named.len() <= NAMED_AT_ENDS && widest < 0.36 * width;
        (fits && named.len() > 1).then_some(widest + 12.0)
    }

    #[expect(clippy::too_many_arguments, reason = "a row has its place, and shares the rest with the others")]
    fn row(
        &self,
        canvas: &mut Canvas,
        palette: &Palette,
        row: &[LinePanel],
        columns: usize,
        width: f64,
        top: f64,
        at_ends: Option<f64>,
        last: bool,
    ) -> f64 {
        let cell = (width - 2.0 * MARGIN) / columns as f64;
        let height = (0.66 * cell).clamp(78.0, 150.0);
        let titled = row.iter().any(|panel| !panel.title.is_empty());
        let above = top + Panel::room_above(if titled { "x" } else { "" });
        let bottom = above + height;
        // With one vertical axis, the first panel of a row shows it for all.
        let between = 10.0;
        let shared = row.first().map(|lines| {
            let ticks = self.y_scale(lines, bottom, above).ticks((height / 22.0) as usize);
            Panel::room_left(&ticks, &lines.y_name)
        });
        let shared = shared.filter(|_| self.shared_y && columns > 1);
        let each = (width - 2.0 * MARGIN - shared.unwrap_or(0.0)) / columns as f64;
        for (column, lines) in row.iter().enumerate() {
            let own = column == 0 || shared.is_none();
            let y_scale = self.y_scale(lines, bottom, above);
            let y_ticks = y_scale.ticks((height / 22.0) as usize);
            let room = shared.unwrap_or_else(|| Panel::room_left(&y_ticks, &lines.y_name));
            let left = MARGIN + column as f64 * each + room;
            let right = MARGIN + (column + 1) as f64 * each + shared.unwrap_or(0.0) - between - at_ends.unwrap_or(0.0);
            let right = if at_ends.is_some() { right + between } else { right };
            let panel = Panel { left, top: above, right, bottom };
            let x = self.x_axis(&panel, last);
            let name = if own { lines.y_name.clone() } else { String::new() };
            let y = Axis { scale: y_scale, ticks: y_ticks, name, numbers: own };
            panel.draw(canvas, palette, &x, &y, &lines.title);
            self.lines(canvas, palette, lines, &x.scale, &y.scale);
            if at_ends.is_some() {
                self.end_names(canvas, palette, lines, &panel, &x.scale, &y.scale);
            }
        }
        bottom + Panel::room_below(true, if last { &self.x_name } else { "" }) + 4.0
    }

    fn x_axis(&self, panel: &Panel, named: bool) -> Axis {
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let mut values: Vec<f64> = lines.flat_map(|line| line.points.iter().map(|(x, _)| *x)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let [low, high] = [values.first(), values.last()].map(|value| value.copied().unwrap_or(1.0));
        let room = panel.width() / 24.0;
        let (scale, ticks) = if self.log_x {
            let scale = Scale::log(low, high, panel.left, panel.right).inset(self.widest_shift());
            let near = |pair: &[f64]| scale.at(pair[1]) - scale.at(pair[0]) < 20.0;
            // Where there are few, those that were measured.
            let ticks = if values.len() <= 7 && !values.windows(2).any(near) {
                let major = values.iter().map(|value| (*value, super::svg::n(*value))).collect();
                Ticks { major, minor: scale.ticks(99).minor }
            } else {
                scale.ticks(room as usize)
            };
            (scale, ticks)
        } else {
            let scale = Scale::linear(low, high, panel.left, panel.right);
            let mut ticks = scale.ticks(room.min(8.0) as usize);
            // Epochs are whole.
            ticks.major.retain(|(value, _)| value.fract() == 0.0);
            ticks.major.iter_mut().for_each(|(value, label)| *label = super::scale::number(*value, 0));
            (scale, ticks)
        };
        let name = if named { self.x_name.clone() } else { String::new() };
        Axis { scale, ticks, name, numbers: true }
    }

    fn y_scale(&self, panel: &LinePanel, from: f64, to: f64) -> Scale {
        let range = |lines: &mut dyn Iterator<Item = &Line>| {
            let points = lines.flat_map(|line| {
                let complete = if self.interval == Interval::Band { line.complete() } else { line.points.len() };
                // Intervals that are not drawn need no room.
                line.points.iter().enumerate().map(move |(at, (_, e))| match line.colour {
                    Some(_) if at < complete => (e.low(), e.high()),
                    _ => (e.mean, e.mean),
                })
            });
            points.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (l, h)| (low.min(l), high.max(h)))
        };
        let (low, high) = if self.shared_y {
            range(&mut self.panels.iter().flat_map(|panel| &panel.lines))
        } else {
            range(&mut panel.lines.iter())
        };
        if low <= high { Scale::linear(low, high, from, to) } else { Scale::linear(0.0, 1.0, from, to) }
    }

    /// How far a line of several is moved aside, so that intervals at one value do not cover each other.
    fn shift(&self, at: usize, count: usize) -> f64 {
        let step = if self.interval == Interval::Bar { (16.0 / count as f64).min(2.6) } else { 0.0 };
        (at as f64 - (count as f64 - 1.0) / 2.0) * step
    }

    fn widest_shift(&self) -> f64 {
        self.panels
            .iter()
            .map(|panel| self.shift(panel.lines.len().max(1) - 1, panel.lines.len().max(1)))
            .fold(0.0, f64::max)
    }

    fn lines(&self, canvas: &mut Canvas, palette: &Palette, panel: &LinePanel, x: &Scale, y: &Scale) {
        let count = panel.lines.len();
        let place = |at: usize, value: f64, height: f64| (x.at(value) + self.shift(at, count), y.at(height));
        let middle = |at: usize, points: &[(f64, Estimate)]| -> Vec<Place> {
            points.iter().map(|(value, e)| place(at, *value, e.mean)).collect()
        };
        // What is for comparison lies below, and bands below lines.
        for (at, line) in panel.lines.iter().enumerate().filter(|(_, line)| line.colour.is_none()) {
            canvas.line(&middle(at, &line.points), Stroke::solid(palette.pale, 0.5));
        }
        let coloured = || {
            let lines = panel.lines.iter().enumerate();
            lines.filter_map(|(at, line)| Some((at, line, palette.series(line.colour?), line.complete())))
        };
        for (at, line, colour, complete) in coloured() {
            let known = &line.points[..complete];
            if self.interval == Interval::Band && known.iter().any(|(_, e)| e.interval.is_some()) {
                let upper = known.iter().map(|(value, e)| place(at, *value, e.high()));
                let lower = known.iter().rev().map(|(value, e)| place(at, *value, e.low()));
                canvas.area(&upper.chain(lower).collect::<Vec<_>>(), colour, 0.16);
            }
        }
        for (at, line, colour, complete) in coloured() {
            if self.interval == Interval::Bar {
                let known = line.points.iter().filter(|(_, e)| e.interval.is_some());
                let bars: Vec<_> = known.map(|(v, e)| (place(at, *v, e.low()), place(at, *v, e.high()))).collect();
                canvas.segments(&bars, Stroke::solid(colour, 0.7));
            }
            let dash = style::dash(line.mark);
            let marked = middle(at, &line.points[..complete]);
            canvas.line(&marked, Stroke { colour, width: LINE_PT, dash });
            // Where some have stopped, the mean is one of fewer.
            canvas.line(&middle(at, &line.points[complete.max(1) - 1..]), Stroke { colour, width: 0.5, dash });
            if line.points.len() <= MARKED {
                canvas.marks(&marked, style::mark(line.mark), MARK_PT, colour, 1.0);
            }
        }
    }

    /// Writes the names of lines beside their ends.
    fn end_names(&self, canvas: &mut Canvas, palette: &Palette, panel: &LinePanel, room: &Panel, x: &Scale, y: &Scale) {
        let count = panel.lines.len();
        let ends: Vec<Place> = panel
            .lines
            .iter()
            .enumerate()
            .filter_map(|(at, line)| line.points.last().map(|(v, e)| (x.at(*v) + self.shift(at, count), y.at(e.mean))))
            .collect();
        let wanted: Vec<f64> = ends.iter().map(|(_, y)| *y).collect();
        let places = spread(&wanted, TICK_PT + 1.6, room.top, room.bottom);
        let from = room.right + 2.0;
        for ((line, end), place) in panel.lines.iter().zip(&ends).zip(places) {
            let colour = line.colour.map_or(palette.pale, |colour| palette.series(colour));
            canvas.line(
                &[(end.0 + MARK_PT + 1.0, end.1), (from, end.1), (from + 6.0, place)],
                Stroke::solid(colour, 0.4),
            );
            let font = Font { size: TICK_PT, colour, anchor: Anchor::Start };
            canvas.text_centred((from + 7.5, place), &line.name, font);
        }
    }
}

impl Line {
    /// How many of its points are means of as many values as its first one: later ones may be of those that had not stopped.
    fn complete(&self) -> usize {
        let all = self.points.first().map_or(0, |(_, estimate)| estimate.n);
        self.points.iter().take_while(|(_, estimate)| estimate.n >= all).count()
    }
}

/// Draws a legend that begins at `top`; returns where it ends.
pub(super) fn legend(canvas: &mut Canvas, palette: &Palette, rows: &[LegendRow], width: f64, mut top: f64) -> f64 {
    let line = LABEL_PT + 3.6;
    for (about, entries) in rows {
        let mut left = MARGIN + 2.0;
        top += line;
        if !about.is_empty() {
            let font = Font { size: TICK_PT, colour: palette.muted, anchor: Anchor::Start };
            canvas.text((left, top - 3.0), about, font);
            left += text::width(about, TICK_PT) + 8.0;
        }
        let begin = left;
        for (colour, mark, name) in entries {
            let name = text::fitted(name, TICK_PT, width - begin - SAMPLE - 2.0 * MARGIN);
            let needed = SAMPLE + 4.0 + text::width(&name, TICK_PT);
            if left + needed > width - MARGIN && left > begin {
                left = begin;
                top += line;
            }
            let middle = top - 3.0 - 0.5 * text::CAPITALS * TICK_PT;
            let ink = match (colour, mark) {
                (Some(colour), _) => palette.series(*colour),
                (None, Some(_)) => palette.ink,
                (None, None) => palette.pale,
            };
            let dash = mark.map_or(style::dash(0), style::dash);
            canvas.line(&[(left, middle), (left + SAMPLE, middle)], Stroke { colour: ink, width: LINE_PT, dash });
            if let Some(mark) = mark {
                canvas.marks(&[(left + SAMPLE / 2.0, middle)], style::mark(*mark), MARK_PT, ink, 1.0);
            }
            let font = Font { size: TICK_PT, colour: palette.ink, anchor: Anchor::Start };
            canvas.text((left + SAMPLE + 3.5, top - 3.0), &name, font);
            left += needed + 10.0;
        }
    }
    top
}

/// Colours and marks of lines that differ in the values of one, two or more parameters, and the legend that explains them.
pub(super) fn styles(names: &[String], keys: &[Vec<String>]) -> (Vec<(usize, usize)>, Vec<LegendRow>) {
    let levels = |at: usize| {
        let mut values: Vec<&String> = Vec::new();
        for key in keys {
            if !values.contains(&&key[at]) {
                values.push(&key[at]);
            }
        }
        values
    };
    if names.len() == 2 {
        let (first, second) = (levels(0), levels(1));
        if first.len() <= 7 && second.len() <= style::DASHES.len() {
            let of = |values: &[&String], value: &String| values.iter().position(|known| *known == value).unwrap_or(0);
            let styles = keys.iter().map(|key| (of(&first, &key[0]), of(&second, &key[1]))).collect();
            let row = |name: &str, entries| (format!("{name}:"), entries);
            let colours = first.iter().enumerate().map(|(at, value)| (Some(at), None, (*value).clone())).collect();
            let marks = second.iter().enumerate().map(|(at, value)| (None, Some(at), (*value).clone())).collect();
            return (styles, vec![row(&names[0], colours), row(&names[1], marks)]);
        }
    }
    let styles: Vec<(usize, usize)> = (0..keys.len()).map(|at| (at, if keys.len() > 7 { at } else { 0 })).collect();
    let entry = |(key, style): (&Vec<String>, &(usize, usize))| (Some(style.0), Some(style.1), name_of(key));
    let entries = keys.iter().zip(&styles).map(entry).collect();
    (styles, vec![(String::new(), entries)])
}

/// The name of a line.
pub(super) fn name_of(key: &[String]) -> String {
    if key.is_empty() { "all trials".to_owned() } else { key.join(" · ") }
}
