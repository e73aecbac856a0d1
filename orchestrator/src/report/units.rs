//! Amounts for people, in units that suit them.

/// Hours as seconds, minutes or hours.
pub(super) fn hours(hours: f64) -> String {
    let seconds = hours * 3600.0;
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        60.0..3600.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{hours:.2} h"),
    }
}

/// Joules, with prefixes of thousands.
pub(super) fn joules(joules: f64) -> String {
    prefixed(joules, &["J", "kJ", "MJ", "GJ"])
}

/// Bytes, with prefixes of thousands, as disks have them.
pub(super) fn bytes(bytes: f64) -> String {
    prefixed(bytes, &["B", "kB", "MB", "GB", "TB"])
}

fn prefixed(amount: f64, units: &[&str]) -> String {
    let mut amount = amount;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < units.len() {
        amount /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || amount >= 99.95 { 0 } else { 1 };
    format!("{amount:.decimals$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units_that_suit() {
        assert_eq!([0.0003, 0.25, 30.0].map(hours), ["1.1 s", "15.0 min", "30.00 h"]);
        assert_eq!([12.0, 1234.0, 5e6].map(joules), ["12 J", "1.2 kJ", "5.0 MJ"]);
        assert_eq!([999.0, 1000.0, 123_456_789.0, 2.5e9].map(bytes), ["999 B", "1.0 kB", "123 MB", "2.5 GB"]);
    }
}
