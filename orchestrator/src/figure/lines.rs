//! Lines over an axis, in one or several panels, with intervals and a legend.

use plotters::{
    element::{PathElement, Polygon},
    series::{DashedLineSeries, LineSeries},
    style::{Color, RGBColor, text_anchor::HPos},
};

use super::{
    axis::Axis,
    error::FigureError,
    groups::{self, Estimate},
    labels::spread,
    panel::{Panel, Plane, place},
    style::{self, LINE_PT, MARK_PT, Palette, TICK_PT},
    svg::{Area, Drawn, MARGIN, PT_PER_MM, Place, Svg, legend, line, note, stroke, units, write},
    text,
};

/// A panel is at least so wide where there are several side by side, in points.
const LEAST_PANEL: f64 = 128.0;
/// Between panels.
const BETWEEN: f64 = 10.0;
/// Lines that are named at their ends; more need a legend.
const NAMED_AT_ENDS: usize = 8;
/// Points of a line that get a mark each; more are a line alone.
const MARKED: usize = 12;
/// A sample of a line in a legend.
const SAMPLE: f64 = 17.0;

/// How far lines are moved apart where intervals would cover each other: neighbours at most, in points; all of them together as a share of a
/// decade, for a place must still be read as the value that it stands for; and of the width where there is one value alone.
const MOST_STEP: f64 = 2.6;
const DECADE_REACH: f64 = 0.06;
const SINGLE_REACH: f64 = 0.4;
const SINGLE_STEP: f64 = 12.0;

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
pub(super) type LegendRow = (String, Vec<((Option<usize>, Option<usize>), String)>);

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
    /// What else is to be said.
    pub(super) notes: Vec<String>,
}

impl Chart {
    /// Draws it.
    pub(super) fn draw(&self, width_mm: f64, palette: &Palette) -> Result<Svg, FigureError> {
        let width = width_mm * PT_PER_MM;
        let count = self.panels.len().max(1);
        let columns = ((width / LEAST_PANEL) as usize).clamp(1, count);
        let columns = count.div_ceil(count.div_ceil(columns));
        let at_ends = self.names_at_ends(width);
        Svg::drawn(width_mm, palette, self.title.as_deref(), &self.description, |area, mut top| {
            let rows = count.div_ceil(columns);
            for (at, row) in self.panels.chunks(columns).enumerate() {
                let x_name = if at + 1 == rows { self.x_name.as_str() } else { "" };
                top = self.row(area, palette, row, (columns, width, at_ends), x_name, top)?;
            }
            for (about, entries) in self.legend.iter().filter(|_| at_ends.is_none()) {
                top = legend(area, palette, about, entries, (top, width, SAMPLE), |sample, (x, y)| {
                    let (colour, mark) = *sample;
                    let ink = match (colour, mark) {
                        (Some(colour), _) => palette.series(colour),
                        (None, Some(_)) => palette.ink,
                        (None, None) => palette.pale,
                    };
                    line(area, &[(x, y), (x + SAMPLE, y)], stroke(ink, LINE_PT), mark.and_then(style::dash))?;
                    mark.map_or(Ok(()), |at| style::mark(area, at, (x + SAMPLE / 2.0, y), MARK_PT, ink))
                })?;
            }
            for text in &self.notes {
                top = note(area, palette, text, (top, width))?;
            }
            Ok(top)
        })
    }

    /// Room for names at the ends of lines; none: they are in a legend.
    fn names_at_ends(&self, width: f64) -> Option<f64> {
        let [panel] = self.panels.as_slice() else { return None };
        // A line from the middle to the edge for a single value would be all that there is to see.
        if self.values().len() < 2 {
            return None;
        }
        let named: Vec<&Line> = panel.lines.iter().filter(|line| line.colour.is_some()).collect();
        let widest = named.iter().map(|line| text::width(&line.name, TICK_PT)).fold(0.0, f64::max);
        let fits = named.len() == panel.lines.len() && named.len() <= NAMED_AT_ENDS && widest < 0.36 * width;
        (fits && named.len() > 1).then_some(widest + 12.0)
    }

    fn row(
        &self,
        area: &Area<'_>,
        palette: &Palette,
        row: &[LinePanel],
        (columns, width, at_ends): (usize, f64, Option<f64>),
        x_name: &str,
        top: f64,
    ) -> Drawn<f64> {
        let cell = (width - 2.0 * MARGIN) / columns as f64;
        let height = (0.66 * cell).clamp(78.0, 150.0);
        let titled = row.iter().any(|panel| !panel.title.is_empty());
        let top = top + Panel::room_above(if titled { "x" } else { "" });
        let mut end = top + height;
        // With one vertical axis, the first panel of a row shows it for all.
        let shared = row.first().filter(|_| self.shared_y && columns > 1);
        let shared = shared.map(|lines| Panel::room_left(&self.y_axis(lines, height)));
        let each = (width - 2.0 * MARGIN - shared.unwrap_or(0.0)) / columns as f64;
        // Panels below each other begin at one place.
        let widest = self.panels.iter().map(|panel| Panel::room_left(&self.y_axis(panel, height))).fold(0.0, f64::max);
        for (column, lines) in row.iter().enumerate() {
            let mut y = self.y_axis(lines, height);
            let room = shared.unwrap_or(widest);
            if column > 0 && shared.is_some() {
                y = y.named("", false);
            }
            let left = MARGIN + column as f64 * each + room;
            let right = MARGIN + (column + 1) as f64 * each + shared.unwrap_or(0.0) - at_ends.unwrap_or(BETWEEN);
            let panel = Panel { left, top, right, bottom: top + height };
            let x = self.x_axis(panel.width(), x_name);
            end = panel.bottom + Panel::room_below(&x);
            let step = self.step(&x, panel.width());
            let aside = |at: usize, value: f64| x.aside(value, shift(at, lines.lines.len(), step) / panel.width());
            let mut plane = panel.draw(area, palette, x.clone(), y, &lines.title)?;
            self.lines(&mut plane, palette, lines, &aside)?;
            if at_ends.is_some() {
                end_names(area, palette, lines, &panel, &plane, &aside)?;
            }
        }
        Ok(end + 4.0)
    }

    /// What points stand at, each once.
    fn values(&self) -> Vec<f64> {
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let mut values: Vec<f64> = lines.flat_map(|line| line.points.iter().map(|(x, _)| *x)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    }

    fn x_axis(&self, width: f64, name: &str) -> Axis {
        let values = self.values();
        let [low, high] = [values.first(), values.last()].map(|value| value.copied().unwrap_or(1.0));
        let most = (width / 24.0) as usize;
        let mut axis =
            if self.log_x { Axis::log(low, high, most).inset(0.02) } else { Axis::linear(low, high, most.min(8)) };
        let near = |pair: &[f64]| (axis.share(pair[1]) - axis.share(pair[0])) * width < 20.0;
        if self.log_x && values.len() <= 7 && !values.windows(2).any(near) {
            // Where there are few, those that were measured.
            if values.len() == 1 {
                axis.minor.clear();
            }
            axis.ticks = values;
        } else if !self.log_x {
            // Epochs are whole.
            axis.ticks.retain(|value| value.fract() == 0.0);
        }
        axis.named(name, true)
    }

    fn y_axis(&self, panel: &LinePanel, height: f64) -> Axis {
        let shown = if self.shared_y { self.panels.as_slice() } else { std::slice::from_ref(panel) };
        let points = shown.iter().flat_map(|panel| &panel.lines).flat_map(|line| {
            let complete = if self.interval == Interval::Band { line.complete() } else { line.points.len() };
            // Intervals that are not drawn need no room.
            line.points.iter().enumerate().map(move |(at, (_, e))| match line.colour {
                Some(_) if at < complete => (e.low(), e.high()),
                _ => (e.mean, e.mean),
            })
        });
        let (low, high) =
            points.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (l, h)| (low.min(l), high.max(h)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        Axis::linear(low, high, (height / 15.0) as usize).named(&panel.y_name, true)
    }

    /// How far neighbours of several lines are moved apart, in points, so that intervals at one value do not cover each other.
    fn step(&self, x: &Axis, width: f64) -> f64 {
        if self.interval != Interval::Bar {
            return 0.0;
        }
        let most = self.panels.iter().map(|panel| panel.lines.len()).max().unwrap_or(0).saturating_sub(1).max(1);
        let values = self.values();
        match values.as_slice() {
            // A single value is read nowhere else.
            [] | [_] => (SINGLE_REACH * width / most as f64).min(SINGLE_STEP),
            [first, ..] => {
                let decade = (x.share(10.0 * first) - x.share(*first)).abs() * width;
                (DECADE_REACH * decade / most as f64).min(MOST_STEP)
            }
        }
    }

    fn lines(
        &self,
        plane: &mut Plane<'_>,
        palette: &Palette,
        panel: &LinePanel,
        aside: &dyn Fn(usize, f64) -> f64,
    ) -> Drawn<()> {
        let middle = |at: usize, points: &[(f64, Estimate)]| -> Vec<(f64, f64)> {
            points.iter().map(|(value, e)| (aside(at, *value), e.mean)).collect()
        };
        // What is for comparison lies below, and bands below lines.
        for (at, line) in panel.lines.iter().enumerate().filter(|(_, line)| line.colour.is_none()) {
            plane.draw_series(LineSeries::new(middle(at, &line.points), stroke(palette.pale, 0.5)))?;
        }
        let coloured = || {
            let lines = panel.lines.iter().enumerate();
            lines.filter_map(|(at, line)| Some((at, line, palette.series(line.colour?), line.complete())))
        };
        for (at, line, colour, complete) in coloured().filter(|_| self.interval == Interval::Band) {
            let known = &line.points[..complete];
            if known.len() > 1 && known.iter().any(|(_, e)| e.interval.is_some()) {
                let upper = known.iter().map(|(value, e)| (aside(at, *value), e.high()));
                let lower = known.iter().rev().map(|(value, e)| (aside(at, *value), e.low()));
                let corners: Vec<(f64, f64)> = upper.chain(lower).collect();
                plane.draw_series([Polygon::new(corners, colour.mix(0.16))])?;
            }
        }
        for (at, line, colour, complete) in coloured() {
            if self.interval == Interval::Bar {
                let known = line.points.iter().filter(|(_, e)| e.interval.is_some());
                let ends = known.map(|(value, e)| [e.low(), e.high()].map(|bound| (aside(at, *value), bound)));
                // What has no length cannot be drawn.
                let long = |ends: &[(f64, f64); 2]| plane.backend_coord(&ends[0]) != plane.backend_coord(&ends[1]);
                let ends: Vec<_> = ends.filter(long).collect();
                plane.draw_series(ends.into_iter().map(|ends| PathElement::new(ends, stroke(colour, 0.7))))?;
            }
            let marked = middle(at, &line.points[..complete]);
            curve(plane, &marked, colour, LINE_PT, line.mark)?;
            // Where some have stopped, the mean is one of fewer.
            curve(plane, &middle(at, &line.points[complete.max(1) - 1..]), colour, 0.5, line.mark)?;
            if line.points.len() <= MARKED {
                style::marks(plane, line.mark, marked.into_iter(), MARK_PT, colour.to_rgba())?;
            }
        }
        Ok(())
    }
}

/// How far a line of several is moved aside, in points.
fn shift(at: usize, count: usize, step: f64) -> f64 {
    (at as f64 - (count as f64 - 1.0) / 2.0) * step
}

fn curve(plane: &mut Plane<'_>, points: &[(f64, f64)], colour: RGBColor, width: f64, mark: usize) -> Drawn<()> {
    if points.len() > 1 {
        let (points, style) = (points.iter().copied(), stroke(colour, width));
        match style::dash(mark) {
            None => plane.draw_series(LineSeries::new(points, style))?,
            Some((dash, gap)) => {
                let points = points.collect::<Vec<_>>().into_iter();
                plane.draw_series(DashedLineSeries::new(points, units(dash), units(gap), style))?
            }
        };
    }
    Ok(())
}

/// Writes the names of lines beside their ends.
fn end_names(
    area: &Area<'_>,
    palette: &Palette,
    panel: &LinePanel,
    room: &Panel,
    plane: &Plane<'_>,
    aside: &dyn Fn(usize, f64) -> f64,
) -> Drawn<()> {
    let lines = panel.lines.iter().enumerate();
    let ends: Vec<(&Line, Place)> = lines
        .filter_map(|(at, line)| line.points.last().map(|(x, e)| (line, place(plane, (aside(at, *x), e.mean)))))
        .collect();
    let wanted: Vec<f64> = ends.iter().map(|(_, (_, y))| *y).collect();
    let heights = spread(&wanted, TICK_PT + 1.6, room.top, room.bottom);
    let from = room.right + 2.0;
    for ((named, end), height) in ends.into_iter().zip(heights) {
        let colour = named.colour.map_or(palette.pale, |colour| palette.series(colour));
        let leader = [(end.0 + MARK_PT + 1.0, end.1), (from, end.1), (from + 6.0, height)];
        line(area, &leader, stroke(colour, 0.4), None)?;
        write(area, (from + 7.5, height), &named.name, TICK_PT, colour, HPos::Left)?;
    }
    Ok(())
}

impl Line {
    /// Whether some of its trials have stopped before others.
    pub(super) fn thins(&self) -> bool {
        self.complete() < self.points.len()
    }

    /// How many of its points are means of as many values as its first one: later ones may be of those that had not stopped.
    fn complete(&self) -> usize {
        let all = self.points.first().map_or(0, |(_, estimate)| estimate.n);
        self.points.iter().take_while(|(_, estimate)| estimate.n >= all).count()
    }
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
            let colours = first.iter().enumerate().map(|(at, value)| ((Some(at), None), (*value).clone())).collect();
            let marks = second.iter().enumerate().map(|(at, value)| ((None, Some(at)), (*value).clone())).collect();
            return (styles, vec![row(&names[0], colours), row(&names[1], marks)]);
        }
    }
    let styles: Vec<(usize, usize)> = (0..keys.len()).map(|at| (at, at)).collect();
    let entry = |(key, style): (&Vec<String>, &(usize, usize))| ((Some(style.0), Some(style.1)), name_of(names, key));
    let entries = keys.iter().zip(&styles).map(entry).collect();
    (styles, vec![(String::new(), entries)])
}

/// The name of a line, of its parameters and their values. A number, or none, says nothing without the name of its parameter.
pub(super) fn name_of(names: &[String], words: &[String]) -> String {
    if words.is_empty() {
        return "all trials".to_owned();
    }
    let named = |(name, word): (&String, &String)| match word.parse::<f64>() {
        Err(_) if word != groups::NONE => word.clone(),
        _ => format!("{name} {word}"),
    };
    names.iter().zip(words).map(named).collect::<Vec<_>>().join(" · ")
}
