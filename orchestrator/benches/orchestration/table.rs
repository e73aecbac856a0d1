//! The table of medians.

use std::fmt;

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// More is better.
    PerSecond,
    /// Less is better.
    Milliseconds,
}

struct Line {
    name: String,
    unit: Unit,
    values: Vec<f64>,
}

/// What was measured, in the order in which it was first seen.
#[derive(Default)]
pub struct Table {
    lines: Vec<Line>,
}

impl Table {
    /// Notes one round's number.
    pub fn add(&mut self, name: &str, unit: Unit, value: f64) {
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.values.push(value),
            None => self.lines.push(Line { name: name.to_owned(), unit, values: vec![value] }),
        }
    }

    /// The ratio of two lines, round by round: what a noisy machine does to both cancels.
    fn ratio(&self, ours: &str, theirs: &Line) -> Option<f64> {
        let ours = self.lines.iter().find(|line| line.name.starts_with(ours))?;
        let ratios = ours.values.iter().zip(&theirs.values).map(|(ours, theirs)| ours / theirs);
        Some(median(ratios.collect()))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | median | lowest | highest | rounds |\n|---|---|---|---|---|")?;
        for line in &self.lines {
            let unit = if line.unit == Unit::PerSecond { "/s" } else { " ms" };
            let show = |value: f64| format!("{value:.0}{unit}");
            let lowest = line.values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = line.values.iter().copied().fold(0.0, f64::max);
            let (middle, rounds) = (median(line.values.clone()), line.values.len());
            writeln!(f, "| {} | {} | {} | {} | {rounds} |", line.name, show(middle), show(lowest), show(highest))?;
        }
        for theirs in self.lines.iter().filter(|line| line.name.starts_with("optuna")) {
            if let Some(ratio) = self.ratio("trials, ", theirs) {
                writeln!(f, "trials/s, ours without steps to {}: {ratio:.0}", theirs.name)?;
            }
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
