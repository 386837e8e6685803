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

/// Nanoseconds since the Unix epoch as a time of day in UTC.
pub(crate) fn clock(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000 % 86_400;
    let millis = nanos / 1_000_000 % 1000;
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
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
    }
}
