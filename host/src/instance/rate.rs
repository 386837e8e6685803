//! The rate limit: frames per second of an instance.

use std::time::Instant;

/// A token bucket: holds at most `burst` tokens, gains `rate` of them a second, and each frame takes
/// one.
pub(crate) struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(burst: u32, now: Instant) -> Bucket {
        Bucket { tokens: burst.into(), filled: now }
    }

    /// Takes a token. `false` if there is none.
    pub(crate) fn take(&mut self, rate: u32, burst: u32, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(rate);
        self.tokens = (self.tokens + gained).min(burst.into());
        self.filled = now;
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, start);
        let mut check = |milliseconds: u64, expected: bool| {
            let now = start + Duration::from_millis(milliseconds);
            assert_eq!(bucket.take(10, 3, now), expected, "after {milliseconds} ms");
        };
        check(0, true);
        check(0, true);
        check(0, true);
        check(0, false);
        check(60, false);
        check(99, false);
        check(100, true);
        check(100, false);
        // A long rest fills it up to the burst, and not further.
        check(10_000, true);
        check(10_000, true);
        check(10_000, true);
        check(10_000, false);
    }
}
