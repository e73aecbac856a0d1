//! Numbers and moments in few columns.

use jiff::{Timestamp, tz::TimeZone};

/// A duration.
pub(super) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A duration in at most seven columns.
pub(super) fn clock(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        3600..360_000 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes, with decimal units.
pub(super) fn bytes(bytes: i64) -> String {
    let mut size = bytes.max(0) as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if size < 999.5 || unit == "TB" {
            let decimals = usize::from(unit != "B" && size < 99.95);
            return format!("{size:.decimals$} {unit}");
        }
        size /= 1000.0;
    }
    String::new()
}

/// A part of so many bytes, in one unit.
pub(super) fn of_bytes(part: i64, whole: i64) -> String {
    let text = bytes(whole);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let size = ["B", "kB", "MB", "GB", "TB"].iter().position(|name| *name == unit).unwrap_or(0);
    let part = part.max(0) as f64 / 1000_f64.powi(size as i32);
    let decimals = usize::from(number.contains('.'));
    format!("{part:.decimals$}/{number} {unit}")
}

/// A number with four digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value == 0.0 || (value.fract() == 0.0 && size < 1e7) => format!("{value}"),
        1e-3..10.0 => format!("{value:.4}"),
        10.0..1000.0 => format!("{value:.2}"),
        1000.0..1e7 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

/// A share in per cent, rounded down: 100 is for what is complete.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (share * 100.0 + 1e-9).floor() as i64)
}

/// The time of day.
pub(super) fn time_of_day(ms: i64, zone: &TimeZone) -> String {
    at(ms, zone, "%H:%M:%S")
}

/// Day and time.
pub(super) fn day_and_time(ms: i64, zone: &TimeZone) -> String {
    at(ms, zone, "%Y-%m-%d %H:%M")
}

fn at(ms: i64, zone: &TimeZone, form: &str) -> String {
    let zoned = Timestamp::from_millisecond(ms).map(|at| at.to_zoned_datetime(zone.clone()));
    zoned.map_or_else(|_| "-".to_owned(), |zoned| zoned.strftime(form).to_string())
}

/// A JSON value without quotes.
pub(super) fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What cannot be shown in a line of a terminal becomes a space: messages hold line ends, and could hold escapes.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// So many things.
pub(super) fn counted(count: i64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 3.0, 0.65432, 12.3456, 123_456.7, 1e-5, 2.5e9].map(number);
        assert_eq!(numbers, ["0", "3", "0.6543", "12.35", "123457", "1.00e-5", "2.50e9"]);
        assert_eq!([0, 999, 1000, 25_300_000_000].map(bytes), ["0 B", "999 B", "1.0 kB", "25.3 GB"]);
        assert_eq!(of_bytes(1_440_000_000, 25_300_000_000), "1.4/25.3 GB");
        assert_eq!([0, 61_000, 3_660_000].map(clock), ["0:00", "1:01", "1h01m"]);
        assert_eq!([0.0, 0.999, 1.0].map(percent), ["0 %", "99 %", "100 %"]);
    }

    #[test]
    fn what_would_move_the_cursor_is_not_shown() {
        assert_eq!(one_line("a\nb\u{1b}[2J\tc"), "a b [2J c");
    }
}
