//! The failures of one copy in a row, and what follows from each: another start, at once or after a
//! wait, or the end. There is no clock here: the time is given.

use std::time::{Duration, Instant};

use glovebox_abi::manifest::{Lifecycle, Restart};
use parking_lot::Mutex;

/// The failures of one copy in a row: crashes of its process, and starts that did not succeed.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    count: u32,
    /// Starts of a fresh copy since the row began.
    attempts: u32,
    /// Since when the last of these goes on.
    since: Option<Instant>,
}

/// The consequence of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A fresh copy is started after so long.
    Start(Duration),
    /// The breaker opens: only a person starts another one.
    Stop,
}

impl BackOff {
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// True from the first start of a fresh copy on, until an answer ends the row.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.attempts > 0
    }

    /// Counts one more.
    pub(super) fn add(&mut self, now: Instant, lifecycle: &Lifecycle, breaker: u32) -> Next {
        let went_on = self.since.take().map(|since| now.saturating_duration_since(since));
        if went_on.is_some_and(|time| time >= lifecycle.crash_window) {
            self.forget();
        }
        self.count = self.count.saturating_add(1);
        match self.count >= breaker {
            true => Next::Stop,
            false => Next::Start(lifecycle.wait_before(self.attempts.saturating_add(1))),
        }
    }

    /// Begins another start, and gives its number in the row.
    pub(super) fn begin_attempt(&mut self) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }

    /// A fresh copy goes on.
    pub(super) fn started(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Ends the row.
    pub(super) fn forget(&mut self) {
        *self = BackOff::default();
    }
}

/// Failures in a row after which only a person starts a copy again: as the manifest says, but no more
/// than the ceiling of the host.
pub(super) fn breaker(lifecycle: &Lifecycle, ceiling: u32) -> u32 {
    match lifecycle.restart {
        Restart::Always => ceiling,
        Restart::OnFailure | Restart::Never => lifecycle.breaker.min(ceiling),
    }
}

/// The time between two restarts of a host that would otherwise come at the same moment.
const SPACING: Duration = Duration::from_millis(20);

/// Spreads the restarts of a host, so that many plugins that crash together do not start together.
#[derive(Debug, Default)]
pub(crate) struct Stagger(Mutex<Option<Instant>>);

impl Stagger {
    /// How long a restart waits for its turn.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let mut next = self.0.lock();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + SPACING);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// The waits between crashes that follow each start after `lives`, until the breaker opens.
    fn waits(lifecycle: &Lifecycle, ceiling: u32, lives: &[Duration]) -> Vec<Option<u64>> {
        let mut back_off = BackOff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for life in lives {
            match back_off.add(now, lifecycle, breaker(lifecycle, ceiling)) {
                Next::Stop => {
                    waits.push(None);
                    break;
                }
                Next::Start(wait) => {
                    waits.push(Some(wait.as_millis() as u64));
                    now += wait;
                    back_off.begin_attempt();
                    back_off.started(now);
                    now += *life;
                }
            }
        }
        waits
    }

    #[test]
    fn the_sequence_is_exact() {
        fn check(change: impl Fn(&mut Lifecycle), ceiling: u32, expected: &[Option<u64>]) {
            let mut lifecycle = Lifecycle::default();
            change(&mut lifecycle);
            assert_eq!(waits(&lifecycle, ceiling, &[MILLISECOND; 12]), expected);
        }
        check(|_| {}, 100, &[Some(0), Some(100), Some(200), Some(400), None]);
        check(|it| it.breaker = 1, 100, &[None]);
        check(|it| it.breaker = 3, 100, &[Some(0), Some(100), None]);
        let low = |it: &mut Lifecycle| {
            (it.breaker, it.back_off_max) = (8, Duration::from_millis(250));
        };
        let expected =
            [Some(0), Some(100), Some(200), Some(250), Some(250), Some(250), Some(250), None];
        check(low, 100, &expected);
        // The host has the last word, also about one that is always to be started again.
        check(|it| it.breaker = 1000, 2, &[Some(0), None]);
        check(|it| it.restart = Restart::Always, 4, &[Some(0), Some(100), Some(200), None]);
    }

    #[test]
    fn a_copy_that_went_on_long_enough_begins_a_new_row() {
        let lifecycle = Lifecycle::default();
        let window = lifecycle.crash_window;
        let check = |lives: &[Duration], expected: &[Option<u64>]| {
            assert_eq!(waits(&lifecycle, 100, lives), expected);
        };
        let short = window - MILLISECOND;
        check(&[short; 6], &[Some(0), Some(100), Some(200), Some(400), None]);
        check(&[window; 6], &[Some(0); 6]);
        check(
            &[short, short, window, short, short, short],
            &[Some(0), Some(100), Some(200), Some(0), Some(100), Some(200)],
        );
    }

    #[test]
    fn starts_that_fail_have_waits_between_them() {
        let lifecycle = Lifecycle::default();
        let mut back_off = BackOff::default();
        // The waits themselves are no time for which a copy went on.
        let mut now = Instant::now();
        let mut next = || {
            back_off.begin_attempt();
            now += lifecycle.crash_window;
            back_off.add(now, &lifecycle, 5)
        };
        let wait = |millis| Next::Start(Duration::from_millis(millis));
        let expected = [wait(100), wait(200), wait(400), wait(800), Next::Stop];
        assert_eq!([(); 5].map(|()| next()), expected);
    }

    #[test]
    fn restarts_take_turns() {
        let stagger = Stagger::default();
        let now = Instant::now();
        let waits: Vec<u128> = (0..20).map(|_| stagger.wait(now).as_millis()).collect();
        assert_eq!(waits, (0..20).map(|turn| turn * 20).collect::<Vec<_>>());
        // Nobody waits for turns that are over, and nobody comes before one that was given.
        assert_eq!(stagger.wait(now + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(stagger.wait(now + Duration::from_millis(1005)).as_millis(), 15);
    }
}
