use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use glovebox_trace::{TraceError, TraceIndex};

use super::find::scan;
use crate::filter::Filter;

/// The figure of a frame that a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// The latency of its call.
    Latency,
    /// The bytes of the encoded frame.
    Size,
}

impl SortBy {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            SortBy::Latency => "latency",
            SortBy::Size => "size",
        }
    }
}

/// An order other than that of time. Frames of the same figure are in the order of time; those
/// without one, such as of calls that run, are the last ones in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The figure.
    pub by: SortBy,
    /// True if the frame with the largest figure is the first one.
    pub largest_first: bool,
}

/// The rank of frames without the figure.
pub const NO_FIGURE: u64 = u64::MAX;

impl Order {
    /// The rank of a frame: the lower it is, the earlier is the frame.
    pub fn rank(self, latency: Option<Duration>, size: u64) -> u64 {
        let figure = match self.by {
            SortBy::Size => Some(size),
            SortBy::Latency => {
                latency.map(|latency| u64::try_from(latency.as_nanos()).unwrap_or(NO_FIGURE - 1))
            }
        };
        let Some(figure) = figure else {
            return NO_FIGURE;
        };
        let figure = figure.min(NO_FIGURE - 1);
        if self.largest_first { NO_FIGURE - 1 - figure } else { figure }
    }
}

/// Frames that a [`Ranking`] keeps.
pub const RANKED: usize = 100_000;

/// The first frames in an order, found in any order: [`RANKED`] at most, however many there are.
#[derive(Debug, Default)]
pub struct Ranking {
    /// Ranks and rows. Those behind the sorted ones came since, in any order.
    kept: Vec<(u64, u64)>,
    /// The last one that is kept, once others were left out.
    last: Option<(u64, u64)>,
    left_out: u64,
}

impl Ranking {
    /// Adds a row with its rank.
    pub fn add(&mut self, rank: u64, row: u64) {
        if self.last.is_some_and(|last| (rank, row) > last) {
            self.left_out += 1;
            return;
        }
        self.kept.push((rank, row));
        if self.kept.len() >= 2 * RANKED {
            self.sort();
        }
    }

    /// The rows in order.
    pub fn rows(&mut self) -> Vec<u64> {
        self.sort();
        self.kept.iter().map(|(_, row)| *row).collect()
    }

    /// Rows that are behind those that are kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn sort(&mut self) {
        self.kept.sort_unstable();
        if self.kept.len() > RANKED {
            self.left_out += (self.kept.len() - RANKED) as u64;
            self.kept.truncate(RANKED);
            self.last = self.kept.last().copied();
        }
    }
}

/// The rank of a frame in an order, and its row.
pub type Ranked = (u64, u64);

/// Finds the frames that match, with their ranks in an order: as [`find`](super::find), span by span in
/// any order. `ranked` gets them in pieces.
///
/// # Errors
///
/// As [`find`](super::find).
pub fn rank(
    path: impl AsRef<Path>,
    index: &TraceIndex,
    (filter, order): (&Filter, Order),
    ranked: &mut (dyn FnMut(&[Ranked]) + Send),
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(), TraceError> {
    let needs_end = order.by == SortBy::Latency;
    let find = |row: u64, place: &glovebox_trace::index::FramePlace<'_>| {
        let latency = place.verdict.latency.map(Duration::from_nanos);
        (order.rank(latency, place.frame.size()), row)
    };
    scan((path.as_ref(), index, filter, needs_end), &find, ranked, progress, cancel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_ranks_of_their_figures() {
        fn check(by: SortBy, largest_first: bool, expected: [usize; 4]) {
            let order = Order { by, largest_first };
            let millis = |millis| Some(Duration::from_millis(millis));
            let frames = [(millis(3), 10), (None, 30), (millis(1), 20), (millis(2), 40)];
            let mut places: Vec<usize> = (0..frames.len()).collect();
            places.sort_by_key(|at| order.rank(frames[*at].0, frames[*at].1));
            assert_eq!(places, expected, "{order:?}");
        }
        check(SortBy::Latency, true, [0, 3, 2, 1]);
        check(SortBy::Latency, false, [2, 3, 0, 1]);
        check(SortBy::Size, true, [3, 1, 2, 0]);
        check(SortBy::Size, false, [0, 2, 1, 3]);
        let longest = Order { by: SortBy::Latency, largest_first: false };
        assert!(longest.rank(Some(Duration::MAX), 0) < longest.rank(None, 0));
    }

    #[test]
    fn the_first_ones_are_kept_and_the_others_counted() {
        fn check(rows: u64) {
            let mut ranking = Ranking::default();
            // Every rank twice, in no order.
            let rank = |row: u64| row * 7_919 % 1_000_003 / 2;
            (0..rows).for_each(|row| ranking.add(rank(row), row));
            let mut expected: Vec<_> = (0..rows).map(|row| (rank(row), row)).collect();
            expected.sort_unstable();
            expected.truncate(RANKED);
            let expected: Vec<_> = expected.into_iter().map(|(_, row)| row).collect();
            assert!(ranking.rows() == expected, "{rows}");
            assert_eq!(ranking.left_out(), rows.saturating_sub(RANKED as u64));
        }
        check(0);
        check(10);
        check(RANKED as u64);
        check(RANKED as u64 + 1);
        check(450_000);
    }
}
