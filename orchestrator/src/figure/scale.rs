//! From values to places, and which values are written at an axis.

/// Where ticks stand, and what is written at them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ticks {
    pub(super) major: Vec<(f64, String)>,
    pub(super) minor: Vec<f64>,
}

/// From values to places along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    log: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Equal steps: the values with a little room around them.
    pub(super) fn linear(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = widened(low, high);
        let room = 0.05 * (high - low);
        Self { log: false, low: low - room, high: high + room, from, to }
    }

    /// Equal steps, without room.
    pub(super) fn exact(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = widened(low, high);
        Self { log: false, low, high, from, to }
    }

    /// Equal ratios: the values, which are positive, with a little room around them.
    pub(super) fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = if low < high { (low, high) } else { (low / 2.0, high * 2.0) };
        let room = (high / low).powf(0.06);
        Self { log: true, low: low / room, high: high * room, from, to }
    }

    /// The same with room for what stands beside a value, in units of places.
    pub(super) fn inset(self, by: f64) -> Self {
        let share = by / ((self.to - self.from).abs() - 2.0 * by).max(1.0);
        if self.log {
            let room = (self.high / self.low).powf(share);
            Self { low: self.low / room, high: self.high * room, ..self }
        } else {
            let room = (self.high - self.low) * share;
            Self { low: self.low - room, high: self.high + room, ..self }
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// At most so many ticks.
    pub(super) fn ticks(&self, most: usize) -> Ticks {
        if self.log { self.log_ticks(most) } else { self.linear_ticks(most) }
    }

    fn linear_ticks(&self, most: usize) -> Ticks {
        let rough = (self.high - self.low) / most.max(2) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let decimals = usize::try_from(-(step.log10() + 1e-9).floor() as i64).unwrap_or(0);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        let major = (first..=last).map(|i| i as f64 * step).map(|value| (value, number(value, decimals))).collect();
        Ticks { major, minor: Vec::new() }
    }

    fn log_ticks(&self, most: usize) -> Ticks {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let all = |multiples: &[f64]| -> Vec<f64> {
            let values = (first..=last).flat_map(|power| multiples.iter().map(move |m| m * 10_f64.powi(power)));
            values.filter(|value| (self.low..=self.high).contains(value)).collect()
        };
        let choices: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        let major = choices.into_iter().map(all).find(|values| values.len() <= most).unwrap_or_else(|| all(&[1.0]));
        let minor = all(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        let minor = minor.into_iter().filter(|value| !major.iter().any(|other| close(*value, *other))).collect();
        Ticks { major: major.into_iter().map(|value| (value, short(value))).collect(), minor }
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

/// A number of a logarithmic axis.
fn short(value: f64) -> String {
    let decimals = usize::try_from(-(value.log10() + 1e-9).floor() as i64).unwrap_or(0);
    number(value, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &Ticks) -> Vec<&str> {
        ticks.major.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&Scale::linear(49.4, 90.8, 0.0, 1.0).ticks(6)), ["50", "60", "70", "80", "90"]);
        assert_eq!(labels(&Scale::linear(0.61, 0.68, 0.0, 1.0).ticks(5)), ["0.62", "0.64", "0.66", "0.68"]);
        assert_eq!(labels(&Scale::linear(-1.0, 1.0, 0.0, 1.0).ticks(4)), ["−1", "0", "1"]);
        assert_eq!(labels(&Scale::log(1.0, 100.0, 0.0, 1.0).ticks(7)), ["1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(labels(&Scale::log(1.0, 100.0, 0.0, 1.0).ticks(3)), ["1", "10", "100"]);
        assert_eq!(labels(&Scale::log(0.01, 0.1, 0.0, 1.0).ticks(5)), ["0.01", "0.02", "0.05", "0.1"]);
    }

    #[test]
    fn a_single_value_has_a_place() {
        for scale in
            [Scale::linear(3.0, 3.0, 0.0, 10.0), Scale::log(3.0, 3.0, 0.0, 10.0), Scale::exact(0.0, 0.0, 0.0, 10.0)]
        {
            let at = scale.at(if scale == Scale::exact(0.0, 0.0, 0.0, 10.0) { 0.0 } else { 3.0 });
            assert!((at - 5.0).abs() < 1e-9, "{scale:?} {at}");
            assert!(!scale.ticks(5).major.is_empty(), "{scale:?}");
        }
    }
}
