//! The part of a long list that the table lays out. Places in the table are numbers with 24 bits,
//! which do not tell the rows of a very long list apart.

use std::ops::Range;

/// Rows that are laid out.
const LENGTH: usize = 100_000;
/// Rows before an end of the stretch at which it moves on.
const MARGIN: usize = 1_000;

/// The part of a list that is laid out.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    start: usize,
}

impl Stretch {
    /// The positions that are laid out, of a list of this length.
    pub(super) fn range(&mut self, len: usize) -> Range<usize> {
        self.start = self.start.min(len.saturating_sub(LENGTH));
        self.start..len.min(self.start + LENGTH)
    }

    /// Moves so that a position is laid out.
    pub(super) fn reach(&mut self, position: usize, len: usize) {
        if !self.range(len).contains(&position) {
            self.start = position.saturating_sub(LENGTH / 2);
            self.range(len);
        }
    }

    /// Moves on if the positions that are seen are near an end; true if it did.
    pub(super) fn follow(&mut self, seen: &Range<usize>, len: usize) -> bool {
        let Range { start, end } = self.range(len);
        let near_start = start > 0 && seen.start < start + MARGIN;
        let near_end = end < len && seen.end + MARGIN > end;
        if near_start || near_end {
            self.start = seen.start.saturating_sub(LENGTH / 2);
            self.range(len);
        }
        self.start != start
    }

    /// True if not all of a list of this length is laid out.
    pub(super) fn is_part(len: usize) -> bool {
        len > LENGTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_moves_with_what_is_seen() {
        fn check(len: usize, reach: usize, seen: Range<usize>, moved: bool, expected: usize) {
            let mut stretch = Stretch::default();
            stretch.reach(reach, len);
            assert!(stretch.range(len).contains(&reach));
            assert_eq!(stretch.follow(&seen, len), moved);
            assert_eq!(stretch.range(len).start, expected);
            assert!(stretch.range(len).contains(&seen.start));
        }
        check(10, 9, 0..10, false, 0);
        check(10_000_000, 0, 0..40, false, 0);
        check(10_000_000, 0, 99_500..99_540, true, 49_500);
        check(10_000_000, 5_000_000, 5_000_000..5_000_040, false, 4_950_000);
        check(10_000_000, 5_000_000, 4_950_100..4_950_140, true, 4_900_100);
        check(10_000_000, 9_999_999, 9_999_960..10_000_000, false, 9_900_000);
    }
}
