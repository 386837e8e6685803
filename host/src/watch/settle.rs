//! How long files must be quiet before they are read.

use std::time::{Duration, Instant};

/// A linker writes in many steps.
const SETTLE: Duration = Duration::from_millis(150);
/// How long files that are replaced again and again keep whoever watches waiting: each of them is
/// whole.
const LONGEST: Duration = Duration::from_secs(1);
/// How long a file must be quiet that its writer did not close.
const OPEN_SETTLE: Duration = Duration::from_secs(2);

/// A change that is not over perhaps.
#[derive(Debug, Clone)]
pub(super) struct Settling {
    first: Instant,
    last: Instant,
    /// True if a file was written where it lies, so that it is half-written until that ends.
    in_place: bool,
    /// True if somebody wrote to it and did not close it since.
    is_open: bool,
}

impl Settling {
    pub(super) fn new(now: Instant) -> Settling {
        Settling { first: now, last: now, in_place: false, is_open: false }
    }

    /// Something changed; `in_place` says whether a file is the same as before, with other content.
    pub(super) fn change(&mut self, now: Instant, in_place: bool) {
        self.last = now;
        self.in_place = in_place;
    }

    /// Something was heard that may be a change.
    pub(super) fn touch(&mut self, now: Instant) {
        self.last = now;
    }

    /// Somebody wrote to a file, or closed it.
    pub(super) fn hear(&mut self, now: Instant, is_open: bool) {
        self.last = now;
        self.is_open = is_open;
    }

    /// When the files may be read, unless something changes before that. An empty one is about to be
    /// written.
    pub(super) fn due(&self, is_empty: bool) -> Instant {
        let is_open = self.is_open || is_empty;
        let quiet = self.last + if is_open { OPEN_SETTLE } else { SETTLE };
        if self.in_place || is_open { quiet } else { quiet.min(self.first + LONGEST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes at these milliseconds; gives when the files may be read.
    #[track_caller]
    fn check(step: fn(&mut Settling, Instant), at: &[u64], expected: u64) {
        let start = Instant::now();
        let mut settling = Settling::new(start);
        for at in at {
            step(&mut settling, start + Duration::from_millis(*at));
        }
        assert_eq!(settling.due(false), start + Duration::from_millis(expected));
        let least = start + Duration::from_millis(at.last().copied().unwrap_or_default());
        assert!(settling.due(true) >= least + OPEN_SETTLE);
    }

    #[test]
    fn files_are_read_when_they_are_quiet() {
        let often: Vec<u64> = (1..60).map(|step| step * 50).collect();
        check(|_, _| {}, &[], 150);
        // Whole files, one after the other, are not waited for without end.
        check(|settling, now| settling.change(now, false), &[100], 250);
        check(|settling, now| settling.change(now, false), &often, 1000);
        // A file that grows is.
        check(|settling, now| settling.change(now, true), &often, 3100);
        check(|settling, now| settling.hear(now, true), &[100], 2100);
        check(|settling, now| settling.hear(now, false), &[100], 250);
    }
}
