//! The time as the API writes it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in whole seconds, as RFC 3339 has it (`metav1.Time`).
pub(crate) fn now() -> String {
    after(0)
}

/// So many seconds from now.
pub(crate) fn after(seconds: u64) -> String {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(elapsed.as_secs() + seconds)
}

/// Seconds since 1970 of a time in RFC 3339 with `Z`; what stands behind the seconds is left out.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let part = |at: usize, len: usize| text.get(at..at + len)?.parse::<u64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 2)?, part(8, 2)?);
    let (hour, minute, second) = (part(11, 2)?, part(14, 2)?, part(17, 2)?);
    let days = days_before(year)? + (1..month).map(|m| days_of(year, m)).sum::<u64>() + day.checked_sub(1)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn rfc3339(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while days >= days_of(year, month) {
        days -= days_of(year, month);
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
        days + 1
    )
}

fn days_before(year: u64) -> Option<u64> {
    let years = year.checked_sub(1970)?;
    Some((1970..1970 + years).map(|y| 365 + u64::from(is_leap(y))).sum())
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

#[cfg(test)]
mod tests {
    use super::{parse, rfc3339};

    #[test]
    fn times_are_written_and_read() {
        let known = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
        ];
        for (seconds, text) in known {
            assert_eq!(rfc3339(seconds), text);
            assert_eq!(parse(text), Some(seconds));
        }
        assert_eq!(parse("2024-12-31T23:59:59.123456Z"), Some(1_735_689_599));
        assert_eq!(parse("yesterday"), None);
    }
}
