use std::time::Duration;

/// How fast to replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// One input after the other, without waiting.
    Max,
    /// As it was recorded.
    Original,
    /// So many times as fast as it was recorded; anything but a number above 0 is as `Original`.
    Times(f64),
    /// One input whenever somebody asks for it.
    Step,
}

impl Pace {
    /// When an input is due, counted from the first one that is sent: a selection starts at once.
    /// `offset` is when it was recorded, counted the same way.
    pub fn due(self, offset: Duration) -> Duration {
        match self {
            Pace::Max | Pace::Step => Duration::ZERO,
            Pace::Original => offset,
            Pace::Times(factor) => {
                Duration::try_from_secs_f64(offset.as_secs_f64() / factor).unwrap_or(offset)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_due_in_time() {
        fn check(pace: Pace, offset: u64, expected: u64) {
            let due = pace.due(Duration::from_millis(offset));
            assert_eq!(due, Duration::from_millis(expected), "{pace:?}");
        }
        check(Pace::Max, 10, 0);
        check(Pace::Step, 10, 0);
        check(Pace::Original, 10, 10);
        check(Pace::Times(10.0), 10, 1);
        check(Pace::Times(0.5), 10, 20);
        check(Pace::Times(0.0), 10, 10);
        check(Pace::Times(-1.0), 10, 10);
        check(Pace::Times(f64::NAN), 10, 10);
    }
}
