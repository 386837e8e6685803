//! Which of the live frames are in no file and in no run of a replay, so that quitting loses them.

use std::collections::VecDeque;
use std::ops::Range;

/// Stretches that are told apart; of more, the oldest two count as one.
const STRETCHES: usize = 1_000;

/// Numbers of live frames, counted from the first.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<Range<u64>>);

impl Numbers {
    /// Adds a number above all others.
    pub(super) fn add(&mut self, number: u64) {
        match self.0.last_mut().filter(|last| last.end == number) {
            Some(last) => last.end += 1,
            None => self.0.push(number..number + 1),
        }
    }
}

/// The live frames, counted from the first, that nobody else has.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    /// Frames so far; the next one has this number.
    next: u64,
    stretches: VecDeque<Range<u64>>,
}

impl Unkept {
    /// Counts one more frame, which is in a file or not, and gives its number.
    pub(super) fn count(&mut self, is_in_file: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        if is_in_file {
            return number;
        }
        match self.stretches.back_mut().filter(|last| last.end == number) {
            Some(last) => last.end = self.next,
            None => self.stretches.push_back(number..self.next),
        }
        self.bound();
        number
    }

    fn bound(&mut self) {
        while self.stretches.len() > STRETCHES
            && let Some(oldest) = self.stretches.pop_front()
            && let Some(second) = self.stretches.front_mut()
        {
            second.start = oldest.start;
        }
    }

    /// Takes note that somebody else has these frames.
    pub(super) fn keep(&mut self, Numbers(kept): Numbers) {
        let mut kept = kept.into_iter().peekable();
        let mut left = VecDeque::new();
        for mut stretch in self.stretches.drain(..) {
            while let Some(next) = kept.peek().filter(|next| next.start < stretch.end) {
                if stretch.start < next.start {
                    left.push_back(stretch.start..next.start);
                }
                let end = next.end;
                stretch.start = stretch.start.max(end).min(stretch.end);
                if end > stretch.end {
                    break;
                }
                kept.next();
            }
            if !stretch.is_empty() {
                left.push_back(stretch);
            }
        }
        self.stretches = left;
        self.bound();
    }

    /// How many of the frames are nowhere else that are still in memory, the oldest of which has this
    /// number.
    pub(super) fn since(&self, oldest: u64) -> u64 {
        let left = |stretch: &Range<u64>| stretch.end.saturating_sub(stretch.start.max(oldest));
        self.stretches.iter().map(left).sum()
    }

    /// The number of the next frame.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes note that all frames before this one are in a file.
    pub(super) fn saved(&mut self, before: u64) {
        self.stretches.retain(|stretch| stretch.end > before);
        if let Some(first) = self.stretches.front_mut() {
            first.start = first.start.max(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_nobody_else_has_are_counted() {
        fn check(kept: &str, oldest: u64, saved: u64, expected: u64) {
            let mut unkept = Unkept::default();
            let mut run = Numbers::default();
            for one in kept.chars() {
                let number = unkept.count(one == 'k');
                if one == 'r' {
                    run.add(number);
                }
            }
            unkept.keep(run);
            unkept.saved(saved);
            assert_eq!(unkept.since(oldest), expected, "{kept} {oldest} {saved}");
        }
        check("", 0, 0, 0);
        check("kkk", 0, 0, 0);
        check("-----", 0, 0, 5);
        check("--kk-", 0, 0, 3);
        // A run has some of them.
        check("rrr", 0, 0, 0);
        check("-rr-", 0, 0, 2);
        check("r-r-kr-rk-", 0, 0, 4);
        check("r-r-kr-rk-", 4, 0, 2);
        check("--kkrkr-", 0, 5, 1);
        // The oldest had to make room.
        check("--kk-", 1, 0, 2);
        check("--kk-", 3, 0, 1);
        check("--kk-", 9, 0, 0);
        check("--kk--", 0, 5, 1);
        check("--kk--", 0, 6, 0);
    }

    #[test]
    fn stretches_are_bounded() {
        let mut unkept = Unkept::default();
        (0..10 * STRETCHES as u64).for_each(|number| {
            unkept.count(number % 2 == 0);
        });
        assert!(unkept.stretches.len() <= STRETCHES);
        assert!(unkept.since(0) >= 5 * STRETCHES as u64);
    }
}
