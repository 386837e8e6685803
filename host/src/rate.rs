//! How many frames an instance takes per second.

use std::time::{Duration, Instant};

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

    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&mut self, rate: u32, burst: u32, now: Instant) -> Result<(), Duration> {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * f64::from(rate);
        self.tokens = (self.tokens + gained).min(burst.into());
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / f64::from(rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, start);
        let mut check = |milliseconds: u64, expected: Result<(), u64>| {
            let now = start + Duration::from_millis(milliseconds);
            let taken = bucket.take(10, 3, now).map_err(|wait| wait.as_millis() as u64);
            assert_eq!(taken, expected, "after {milliseconds} ms");
        };
        check(0, Ok(()));
        check(0, Ok(()));
        check(0, Ok(()));
        check(0, Err(100));
        check(60, Err(40));
        check(100, Ok(()));
        check(100, Err(100));
        // A long rest fills it up to the burst, and not further.
        check(10_000, Ok(()));
        check(10_000, Ok(()));
        check(10_000, Ok(()));
        check(10_000, Err(100));
    }
}
