//! Sizes and durations as people write them: `64 MiB`, `5ms`, `1k`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A text that is no size or duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    /// The text.
    pub text: String,
    /// The expected kind of value.
    pub what: &'static str,
    /// A text that would have been understood.
    pub example: &'static str,
}

impl fmt::Display for UnitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnitError { text, what, example } = self;
        write!(formatter, "`{text}` is not a {what}; write for example {example}")
    }
}

impl Error for UnitError {}

const SIZES: [(&str, u64); 12] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gib", 1 << 30),
    ("bytes", 1),
];

const DURATIONS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
];

/// Reads a size in bytes: `64 MiB`, `10k`, `512`. Fractions such as `1.5 MiB` are fine.
///
/// # Errors
///
/// If the text is no size, or does not fit in 64 bits.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES).ok_or_else(|| UnitError {
        text: text.to_owned(),
        what: "size",
        example: "\"64 MiB\" or 4096",
    })
}

/// Reads a duration: `500us`, `1.5 s`. The unit is needed.
///
/// # Errors
///
/// If the text is no duration, or longer than about 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATIONS).map(Duration::from_nanos).ok_or_else(|| UnitError {
        text: text.to_owned(),
        what: "duration",
        example: "\"500us\", \"20ms\" or \"1.5s\"",
    })
}

/// Reads a share of the whole in percent, as a number from 0 to 1: `20%`, `2.5 %`. The sign is
/// needed; the range is not checked.
///
/// # Errors
///
/// If the text is no share.
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok());
    number.map(|percent: f64| percent / 100.0).ok_or_else(|| UnitError {
        text: text.to_owned(),
        what: "share",
        example: "0.2 or \"20%\"",
    })
}

/// A share of the whole, for people: `20 %`.
pub fn show_share(share: f64) -> String {
    let percent = (share * 1000.0).round() / 10.0;
    format!("{percent} %")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.trim().to_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let number = number.replace('_', "");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(*factor);
    }
    let product = number.parse::<f64>().ok()? * *factor as f64;
    (product < u64::MAX as f64).then_some(product as u64)
}

/// A size for people, with one unit: `212 B`, `1.5 KiB`, `64 MiB`.
pub fn show_size(bytes: u64) -> String {
    let steps = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match steps.into_iter().find(|(step, _)| bytes >= *step) {
        None => format!("{bytes} B"),
        Some((step, unit)) => format!("{} {unit}", three_digits(bytes as f64 / step as f64)),
    }
}

/// A duration for people, with one unit: `350 ns`, `1.2 ms`, `3 s`.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let steps = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    match steps.into_iter().find(|(step, _)| nanos >= *step) {
        None => format!("{nanos} ns"),
        Some((step, unit)) => format!("{} {unit}", three_digits(nanos as f64 / step as f64)),
    }
}

fn three_digits(number: f64) -> String {
    let text = match number {
        n if n >= 100.0 => return format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
        check("64 MiB", Some(64 << 20));
        check("1k", Some(1000));
        check("1_000", Some(1000));
        check("1.5KiB", Some(1536));
        check("12", Some(12));
        check("", None);
        check("MiB", None);
        check("-1", None);
        check("5 parsecs", None);
        check("99999999999 GiB", None);
    }

    #[test]
    fn durations_read() {
        fn check(text: &str, expected: Option<Duration>) {
            assert_eq!(parse_duration(text).ok(), expected, "{text}");
        }
        check("5ms", Some(Duration::from_millis(5)));
        check("0.5 s", Some(Duration::from_millis(500)));
        check("10µs", Some(Duration::from_micros(10)));
        check("5", None);
        check("soon", None);
    }

    #[test]
    fn units_show() {
        fn check(shown: String, expected: &str) {
            assert_eq!(shown, expected);
        }
        check(show_size(212), "212 B");
        check(show_size(1536), "1.5 KiB");
        check(show_size(64 << 20), "64 MiB");
        check(show_duration(Duration::from_nanos(350)), "350 ns");
        check(show_duration(Duration::from_micros(1234)), "1.23 ms");
        check(show_duration(Duration::from_millis(123_456)), "123 s");
    }
}
