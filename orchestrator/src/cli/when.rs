//! Moments as people write them.

use jiff::{Timestamp, civil, tz::TimeZone};

use super::error::CliError;

/// Milliseconds since 1970 UTC of `2026-03-01`, `2026-03-01T12:00` (in the user's time zone), `2026-03-01T12:00:00Z`, or an age such as `7d`,
/// `12h`, `30m`.
///
/// # Errors
/// [`CliError::Usage`].
pub(super) fn parse(text: &str) -> Result<i64, CliError> {
    read(text, Timestamp::now().as_millisecond(), &TimeZone::system()).ok_or_else(|| CliError::Usage {
        what: format!("`{text}` is no moment"),
        cure: "write 2026-03-01, 2026-03-01T12:00, or an age such as 7d, 12h or 30m".to_owned(),
    })
}

/// Whether two moments that limit a time leave any.
///
/// # Errors
/// [`CliError::Usage`]: one is no moment, or nothing is between them.
pub(super) fn in_order(since: Option<&str>, until: Option<&str>) -> Result<(), CliError> {
    if let (Some(since), Some(until)) = (since, until)
        && parse(since)? >= parse(until)?
    {
        let what = format!("--since {since} is not before --until {until}");
        let cure = format!("name the earlier moment first: --since {until} --until {since}");
        return Err(CliError::Usage { what, cure });
    }
    Ok(())
}

fn read(text: &str, now: i64, zone: &TimeZone) -> Option<i64> {
    if let Some((number, unit)) = text.char_indices().last().map(|(at, unit)| (&text[..at], unit))
        && let Ok(number) = number.parse::<u32>()
    {
        let unit: i64 = match unit {
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            'w' => 7 * 86_400_000,
            _ => return None,
        };
        return Some(now - i64::from(number) * unit);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let at = match text.parse::<civil::Date>() {
        Ok(day) if !text.contains('T') && !text.contains(' ') => day.to_datetime(civil::Time::midnight()),
        _ => text.parse::<civil::DateTime>().ok()?,
    };
    Some(zone.to_ambiguous_timestamp(at).compatible().ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let read = |text| read(text, 1_000_000_000_000, &TimeZone::UTC);
        assert_eq!(read("1970-01-02"), Some(86_400_000));
        assert_eq!(read("1970-01-02T01:00"), Some(90_000_000));
        assert_eq!(read("1970-01-02T01:00:00+01:00"), Some(86_400_000));
        assert_eq!(read("2h"), Some(1_000_000_000_000 - 7_200_000));
        assert_eq!(read("1w"), Some(1_000_000_000_000 - 604_800_000));
        for wrong in ["", "yesterday", "7y", "-3d", "2026-13-01", "d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn time_goes_on() {
        assert!(in_order(Some("2h"), Some("1h")).is_ok() && in_order(Some("1h"), None).is_ok());
        let error = in_order(Some("1h"), Some("2h")).unwrap_err();
        assert_eq!(error.cure().as_deref(), Some("name the earlier moment first: --since 2h --until 1h"));
        assert!(in_order(Some("2026-03-01"), Some("2026-03-01")).is_err());
    }
}
