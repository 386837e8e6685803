//! Rules of what counts as a difference.

use std::str::FromStr;
use std::time::Duration;

use super::{PathPattern, PathPatternError};
use crate::decode::number::Decimal;

/// Rules of what counts as a difference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DiffOptions {
    /// Paths that are not compared.
    pub ignore: Vec<PathPattern>,
    /// How far numbers may be apart; the first rule about a path counts.
    pub tolerances: Vec<Tolerance>,
    /// A call that took more than so many times as long is reported as slower; `None` does not
    /// look at the time of single calls.
    pub slower_factor: Option<f64>,
    /// Calls faster than this are never reported as slower.
    pub slower_floor: Duration,
}

/// How far numbers may be apart and still count as equal: by `limit` if both are within −1 and 1,
/// otherwise by that part of the larger one. A limit of 0 takes the same number written otherwise, such
/// as `1e2` and `100`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerance {
    /// Where; everywhere if `None`.
    pub pattern: Option<PathPattern>,
    /// From 0, e.g. 0.01 for one percent.
    pub limit: f64,
}

/// A text that is no tolerance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToleranceError {
    /// The number is none, or no good one.
    #[error("`{0}` is not a tolerance; write a number from 0 such as 0.01, or PATH=NUMBER")]
    Number(String),
    /// The path is none.
    #[error(transparent)]
    Path(#[from] PathPatternError),
}

impl FromStr for Tolerance {
    type Err = ToleranceError;

    /// Reads `0.01` or `/payload/price=0.01`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pattern, number) = match text.rsplit_once('=') {
            Some((path, number)) => (Some(path.parse()?), number),
            None => (None, text),
        };
        let limit = number.parse().ok().filter(|limit: &f64| limit.is_finite() && *limit >= 0.0);
        let limit = limit.ok_or_else(|| ToleranceError::Number(number.to_owned()))?;
        Ok(Tolerance { pattern, limit })
    }
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pattern {
            Some(pattern) => write!(formatter, "{}={}", pattern.as_str(), self.limit),
            None => write!(formatter, "{}", self.limit),
        }
    }
}

impl DiffOptions {
    /// True if differences at this path do not count. A pattern for frames holds for inputs too.
    pub fn is_ignored(&self, path: &str) -> bool {
        let inside = path.strip_prefix("/input").filter(|inside| !inside.is_empty());
        let mut patterns = self.ignore.iter();
        patterns.any(|pattern| {
            pattern.matches(path) || inside.is_some_and(|inside| pattern.matches(inside))
        })
    }

    /// True if two numbers that are written differently count as equal at this path.
    pub(super) fn are_close(&self, path: &str, before: &str, after: &str) -> bool {
        let inside = path.strip_prefix("/input").unwrap_or(path);
        let is_about = |tolerance: &&Tolerance| {
            let pattern = tolerance.pattern.as_ref();
            pattern.is_none_or(|pattern| pattern.matches(path) || pattern.matches(inside))
        };
        let Some(tolerance) = self.tolerances.iter().find(is_about) else {
            return false;
        };
        let exact = |text| Decimal::parse(str::as_bytes(text));
        if let (Some(before), Some(after)) = (exact(before), exact(after)) {
            if before.compare(after).is_eq() {
                return true;
            }
            let limit = tolerance.limit.to_string();
            let limit = exact(&limit);
            if let Some(found) = limit.and_then(|limit| before.is_within(after, limit)) {
                return found;
            }
        }
        let (Ok(before), Ok(after)) = (before.parse::<f64>(), after.parse::<f64>()) else {
            return false;
        };
        // NaN is close to nothing, and all else is infinitely far from infinity.
        if !before.is_finite() || !after.is_finite() {
            return false;
        }
        let size = before.abs().max(after.abs()).max(1.0);
        // Two numbers that round to the same float can be that far apart.
        let apart = (before - after).abs().max(f64::EPSILON * size);
        apart <= tolerance.limit * size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_read() {
        fn check(text: &str, expected: Option<(Option<&str>, f64)>) {
            let parsed = text.parse::<Tolerance>();
            let found = parsed.as_ref().ok();
            let found = found.map(|t| (t.pattern.as_ref().map(PathPattern::as_str), t.limit));
            assert_eq!(found, expected, "{parsed:?}");
            if let Ok(parsed) = parsed {
                assert_eq!(parsed.to_string().parse(), Ok(parsed));
            }
        }
        check("0.01", Some((None, 0.01)));
        check("0", Some((None, 0.0)));
        check("/payload/price=0.5", Some((Some("/payload/price"), 0.5)));
        check("/payload/a=b=2", Some((Some("/payload/a=b"), 2.0)));
        check("-1", None);
        check("inf", None);
        check("NaN", None);
        check("a", None);
        check("payload=1", None);
    }

    #[test]
    fn numbers_are_close_or_not() {
        #[track_caller]
        fn check(
            rules: &[&str],
            path: &str,
            before: impl ToString,
            after: impl ToString,
            expected: bool,
        ) {
            let (before, after) = (before.to_string(), after.to_string());
            let tolerances = rules.iter().map(|text| text.parse().expect(text)).collect();
            let options = DiffOptions { tolerances, ..DiffOptions::default() };
            let found = options.are_close(path, &before, &after);
            assert_eq!(found, expected, "{rules:?} {path} {before} {after}");
        }
        check(&[], "/payload/a", 1.0, 1.0001, false);
        check(&["0.01"], "/payload/a", 0.001, 0.002, true);
        check(&["0.01"], "/payload/a", 1000.0, 1009.0, true);
        check(&["0.01"], "/payload/a", 1000.0, 1011.0, false);
        check(&["0.01"], "/payload/a", -5.0, 5.0, false);
        // Exactly at the border, and just beyond it.
        check(&["0.01"], "/payload/a", "0.5", "0.51", true);
        check(&["0.01"], "/payload/a", "0.1", "0.11", true);
        check(&["0.01"], "/payload/a", "0.1", "0.1100000000000000000001", false);
        check(&["0.01"], "/payload/a", "-1.0e3", "-990", true);
        check(&["0.01"], "/payload/a", "-1.0e3", "-989.999999999999999999", false);
        check(&["2"], "/payload/a", "-1", "1", true);
        check(&["1e-7"], "/payload/a", "1", "1.0000001", true);
        check(&["1e-7"], "/payload/a", "1", "0.99999989999999999", false);
        check(&["0.01"], "/payload/a", "5e-324", "1e-323", true);
        check(&["0.01"], "/payload/a", "1e300", "1.009e300", true);
        check(&["/payload/b=0.1"], "/payload/a", 1.0, 1.05, false);
        check(&["/payload/a=0.1"], "/input/payload/a", 1.0, 1.05, true);
        // The first rule counts.
        check(&["/payload/a=0", "0.5"], "/payload/a", 1.0, 1.05, false);
        check(&["/payload/a=0", "0.5"], "/payload/b", 1.0, 1.05, true);
        // The same number, exactly.
        check(&["0"], "/payload/a", "1e2", "100.0", true);
        check(&["0"], "/payload/a", "0.10", "0.1", true);
        check(&["0"], "/payload/a", "1e400", "10e399", true);
        check(&["0"], "/payload/a", "1e400", "1e401", false);
        check(&["0.1"], "/payload/a", "1e400", "1e401", false);
        check(&["0"], "/payload/a", "123456789012345678901", "123456789012345678902", false);
        check(&["0.01"], "/payload/a", "123456789012345678901", "123456789012345678902", true);
        check(&[], "/payload/a", "1e2", "100", false);
        for other in ["NaN(0x7e01)", "1.0", "7", "-0.0", "1e400", "Infinity"] {
            check(&["0.1"], "/payload/a", "NaN", other, false);
            check(&["/payload/a=1e300"], "/payload/a", other, "NaN", false);
        }
        check(&["1e300"], "/payload/a", "Infinity", "-Infinity", false);
        check(&["1e300"], "/payload/a", "1.0", "Infinity", false);
    }
}
