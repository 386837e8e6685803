//! Numbers and times for people.

use std::time::{Duration, SystemTime};

/// A number with a thin space between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Letters of a time that a column has room for.
const TIME: usize = 12;

/// A time in seconds: to the microsecond as long as there is room for that.
pub(crate) fn seconds(since_start: Duration) -> String {
    let seconds = since_start.as_secs();
    let decimals = TIME.saturating_sub(seconds.to_string().len() + 1).min(6);
    match decimals {
        0 => seconds.to_string(),
        _ => format!("{:.decimals$}", since_start.as_secs_f64()),
    }
}

/// A moment in seconds since the origin of its source, as the list of frames and the timeline count;
/// both are in nanoseconds since the Unix epoch.
pub(crate) fn since(origin: Option<u64>, at: u64) -> String {
    seconds(Duration::from_nanos(at.saturating_sub(origin.unwrap_or(at))))
}

/// The origin of times, for people.
pub(crate) fn since_when(origin: Option<u64>) -> String {
    let origin = origin.map_or_else(String::new, |at| format!(", at {} UTC", clock(at)));
    format!("in seconds since the first event{origin}")
}

/// Nanoseconds since the Unix epoch as a time of day in UTC.
pub(crate) fn clock(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000 % 86_400;
    let millis = nanos / 1_000_000 % 1000;
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A time of day, to the second, which says that it is UTC.
pub(crate) fn time_of_day(time: SystemTime) -> String {
    let clock = clock_of(time);
    format!("{} UTC", clock.split('.').next().unwrap_or(&clock))
}

/// A time of day in UTC.
pub(crate) fn clock_of(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    clock(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_read_well() {
        assert_eq!(clock(0), "00:00:00.000");
        assert_eq!(clock(86_399_999_000_000), "23:59:59.999");
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(3_601_999);
        assert_eq!(time_of_day(time), "01:00:01 UTC");
    }

    #[test]
    fn times_keep_to_their_column() {
        fn check(micros: u64, expected: &str) {
            let found = seconds(Duration::from_micros(micros));
            assert_eq!(found, expected);
            assert!(found.len() <= TIME, "{found}");
        }
        check(0, "0.000000");
        check(302_687_312, "302.687312");
        check(99_999_999_999, "99999.999999");
        check(100_000_250_000, "100000.25000");
        check(86_400_000_000_500_000, "86400000000");
    }

    #[test]
    fn all_times_of_a_source_have_one_origin() {
        let hour = 3_600_000_000_000;
        assert_eq!(since(Some(hour), hour + 1_500_000_000), "1.500000");
        assert_eq!(since(Some(hour), 0), "0.000000");
        let expected = "in seconds since the first event, at 01:00:00.000 UTC";
        assert_eq!(since_when(Some(hour)), expected);
    }
}
