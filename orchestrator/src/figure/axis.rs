//! Axes: coordinates are those of plotters; which values are written at them is chosen here.

use std::ops::Range;

use plotters::{
    coord::{
        combinators::LogCoord,
        ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
        types::RangedCoordf64,
    },
    prelude::IntoLogRange,
};

use super::{style::TICK_PT, text};

/// An axis of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    log: bool,
    range: Range<f64>,
    /// Values that are written.
    pub(super) ticks: Vec<f64>,
    /// Values between them that have a small tick.
    pub(super) minor: Vec<f64>,
    /// Its name, with the unit; empty: none.
    pub(super) name: String,
    /// Whether numbers are written.
    pub(super) numbers: bool,
}

impl Axis {
    /// Equal steps: the values with a little room around them, and at most so many ticks.
    pub(super) fn linear(low: f64, high: f64, most: usize) -> Self {
        let (low, high) = widened(low, high);
        let room = 0.05 * (high - low);
        let mut axis = Self::exact(low - room, high + room);
        axis.ticks = RangedCoordf64::from(axis.range.clone()).key_points(most.max(2));
        axis
    }

    /// Equal steps, without room and ticks.
    pub(super) fn exact(low: f64, high: f64) -> Self {
        let (low, high) = widened(low, high);
        Self { log: false, range: low..high, ticks: Vec::new(), minor: Vec::new(), name: String::new(), numbers: false }
    }

    /// Equal ratios: the values, which are positive, with a little room around them, and at most so many ticks.
    pub(super) fn log(low: f64, high: f64, most: usize) -> Self {
        let (low, high) = if low < high { (low, high) } else { (low / 2.0, high * 2.0) };
        let room = (high / low).powf(0.06);
        let mut axis = Self { log: true, ..Self::exact(low / room, high * room) };
        let (first, last) = (axis.range.start.log10().floor() as i32, axis.range.end.log10().ceil() as i32);
        let all = |multiples: &[f64]| -> Vec<f64> {
            let values = (first..=last).flat_map(|power| multiples.iter().map(move |m| m * 10_f64.powi(power)));
            values.filter(|value| axis.range.contains(value)).collect()
        };
        let minor = all(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let choices: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        axis.ticks = choices.into_iter().map(all).find(|ticks| ticks.len() <= most).unwrap_or_else(|| all(&[1.0]));
        axis.minor = minor;
        axis
    }

    /// The same with this name, and with numbers unless `numbers` says no.
    pub(super) fn named(self, name: &str, numbers: bool) -> Self {
        Self { name: name.to_owned(), numbers, ..self }
    }

    /// The same with room for what stands beside a value, a share of its length.
    pub(super) fn inset(mut self, share: f64) -> Self {
        self.range = self.aside(self.range.start, -share)..self.aside(self.range.end, share);
        self
    }

    /// The value that stands that share of the axis beside another.
    pub(super) fn aside(&self, value: f64, share: f64) -> f64 {
        let Range { start, end } = self.range;
        if self.log { value * (end / start).powf(share) } else { value + (end - start) * share }
    }

    /// Where a value stands, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        const FINE: i32 = 1_000_000;
        f64::from(self.map(&value, (0, FINE))) / f64::from(FINE)
    }

    /// A value as it is written: with as many decimals as all of them need.
    pub(super) fn label(&self, value: f64) -> String {
        let exact = |value: f64, decimals: usize| {
            let scaled = value * 10_f64.powi(decimals as i32);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0)
        };
        let all = if self.log { std::slice::from_ref(&value) } else { &self.ticks };
        let decimals = (0..9).find(|&decimals| all.iter().all(|value| exact(*value, decimals)));
        number(value, decimals.unwrap_or(9))
    }

    /// Width of the widest label, in points.
    pub(super) fn widest(&self) -> f64 {
        self.ticks.iter().map(|value| text::width(&self.label(*value), TICK_PT)).fold(0.0, f64::max)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        if self.log {
            LogCoord::from(self.range.clone().log_scale()).map(value, limit)
        } else {
            RangedCoordf64::from(self.range.clone()).map(value, limit)
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        if self.numbers { self.label(*value) } else { String::new() }
    }
}

fn widened(low: f64, high: f64) -> (f64, f64) {
    let room = if low == 0.0 { 0.5 } else { 0.05 * low.abs() };
    if high - low > 1e-12 * low.abs().max(high.abs()) { (low, high) } else { (low - room, high + room) }
}

/// A number with so many decimals, with the sign that print has.
pub(super) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        let labels = |axis: Axis| axis.ticks.iter().map(|value| axis.label(*value)).collect::<Vec<_>>();
        assert_eq!(labels(Axis::linear(49.4, 90.8, 6)), ["50", "60", "70", "80", "90"]);
        assert_eq!(labels(Axis::linear(0.61, 0.68, 5)), ["0.62", "0.64", "0.66", "0.68"]);
        assert_eq!(labels(Axis::linear(-1.0, 1.0, 4)), ["−1", "0", "1"]);
        assert_eq!(labels(Axis::log(1.0, 100.0, 7)), ["1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(labels(Axis::log(1.0, 100.0, 3)), ["1", "10", "100"]);
        assert_eq!(labels(Axis::log(0.01, 0.1, 5)), ["0.01", "0.02", "0.05", "0.1"]);
    }

    #[test]
    fn a_single_value_has_a_place() {
        for (axis, value) in
            [(Axis::linear(3.0, 3.0, 5), 3.0), (Axis::log(3.0, 3.0, 5), 3.0), (Axis::exact(0.0, 0.0), 0.0)]
        {
            assert!((axis.share(value) - 0.5).abs() < 1e-5, "{axis:?}");
            assert!(!axis.ticks.is_empty() || axis == Axis::exact(0.0, 0.0), "{axis:?}");
        }
        let axis = Axis::log(1.0, 100.0, 5);
        assert!((axis.share(axis.aside(10.0, 0.1)) - axis.share(10.0) - 0.1).abs() < 1e-5);
    }
}
