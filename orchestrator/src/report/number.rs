//! Values as people and programs read them.

use std::collections::HashSet;

use serde_json::Value;

/// Shown where there is nothing.
pub(super) const NOTHING: &str = "–";

/// What tells values apart; 1 and 1.0 are the same.
pub(super) fn identity(value: &Value) -> String {
    match value.as_f64() {
        // Beyond, whole numbers would fall together.
        Some(number) if number.abs() < 9e15 => number.to_string(),
        _ => value.to_string(),
    }
}

/// A value in full, for programs.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Values of one parameter, for people: rounded to four digits unless that would make two of them look the same.
pub(crate) fn labels(name: &str, values: &[&Value]) -> Vec<String> {
    let percent = name == "fraction" || name.ends_with(".fraction");
    let short: Vec<String> = values.iter().map(|value| label(value, percent, 4)).collect();
    let distinct: HashSet<String> = values.iter().map(|value| identity(value)).collect();
    if short.iter().collect::<HashSet<_>>().len() == distinct.len() {
        return short;
    }
    values.iter().map(|value| label(value, percent, 17)).collect()
}

/// A value of a parameter, for people.
pub(crate) fn labelled(name: &str, value: &Value) -> String {
    labels(name, &[value]).pop().unwrap_or_default()
}

fn label(value: &Value, percent: bool, digits: usize) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            // 0.07 * 100 is not 7, to the last digit.
            Some(number) if percent => format!("{} %", shortest(number * 100.0, digits.min(12))),
            Some(real) if number.is_f64() => shortest(real, digits),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// A number with so many significant digits at most, and no zeros at the end.
pub(super) fn shortest(number: f64, digits: usize) -> String {
    let scientific = format!("{number:.*e}", digits.saturating_sub(1));
    let rounded: f64 = scientific.parse().unwrap_or(number);
    let rounded = if digits > 16 { number } else { rounded };
    if rounded != 0.0 && !(1e-3..1e7).contains(&rounded.abs()) { format!("{rounded:e}") } else { rounded.to_string() }
}

/// A p value with four decimals, which tell raw and corrected ones apart; below that, the bound.
pub(super) fn p(value: f64) -> String {
    if value < 1e-4 { "<0.0001".to_owned() } else { format!("{value:.4}") }
}

/// How the numbers of a table are written, so that they can be compared by eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// So many decimals.
    Fixed(usize),
    /// So many decimals before the exponent.
    Scientific(usize),
}

impl Precision {
    /// For these numbers: whole ones as they are, others so that the largest has about `digits` digits.
    pub(super) fn of(numbers: impl Iterator<Item = f64> + Clone, digits: usize) -> Self {
        let largest = numbers.clone().fold(0.0_f64, |largest, number| largest.max(number.abs()));
        if largest < 1e15 && numbers.into_iter().all(|number| number.fract() == 0.0) {
            return Self::Fixed(0);
        }
        let before = largest.log10().floor() as i32 + 1;
        let decimals = digits as i32 - if before >= 1 { before } else { 1 + before };
        match before {
            -3..=9 => Self::Fixed(usize::try_from(decimals).unwrap_or(0)),
            _ => Self::Scientific(digits.saturating_sub(1)),
        }
    }

    /// Without decimals that are zeros in all these numbers.
    pub(super) fn without_zeros(self, numbers: impl Iterator<Item = f64>) -> Self {
        let Self::Fixed(decimals) = self else { return self };
        let needed = |number: f64| {
            let text = self.show(number);
            text.split_once('.').map_or(0, |(_, digits)| digits.trim_end_matches('0').len())
        };
        Self::Fixed(numbers.map(needed).max().unwrap_or(decimals))
    }

    /// A number.
    pub(super) fn show(self, number: f64) -> String {
        let text = match self {
            Self::Fixed(decimals) => format!("{number:.decimals$}"),
            Self::Scientific(decimals) => format!("{number:.decimals$e}"),
        };
        // No minus before a zero.
        match text.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
            _ => text,
        }
    }

    /// A difference, with its sign.
    pub(super) fn signed(self, number: f64) -> String {
        let text = self.show(number);
        if text.starts_with('-') { text } else { format!("+{text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_have_digits_enough_to_be_compared() {
        let shown: Vec<String> = [1.0, 0.0147, 0.00294, 1e-4, 9.9e-5, 0.0].into_iter().map(p).collect();
        assert_eq!(shown, ["1.0000", "0.0147", "0.0029", "0.0001", "<0.0001", "<0.0001"]);
    }
}
