//! How many rows the table has room for. Where it is scrolled to is known from the frame before: if
//! it got shorter by more than a page at once, as when old frames are evicted, it would show nothing.

use std::ops::Range;

use crate::workbench::Source;

/// Painted frames until the table is where it was told to scroll to.
const SETTLES: u8 = 2;

/// The room of the table, in rows.
#[derive(Debug, Default)]
pub(super) struct Room {
    rows: usize,
    list: (Source, u64),
    /// Empty rows before the first.
    ahead: usize,
    /// Where the table is told to scroll to before it gets smaller, and how many frames ago.
    leaving: Option<(usize, u8)>,
}

/// The input of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    /// Empty rows before the first.
    pub ahead: usize,
    /// The row that is to be brought to the top, counted with no empty ones before it.
    pub scroll_to: Option<usize>,
}

impl Room {
    /// Room for `rows` of a list. While the newest is followed it never gets smaller, because nobody
    /// sees the empty rows before the first. Otherwise it does once the table was scrolled away from
    /// an end that is none any longer. `seen` are the rows that were painted last; `list` says whose
    /// they are and by which filter.
    pub(super) fn give(
        &mut self,
        rows: usize,
        seen: &Range<usize>,
        list: (Source, u64),
        follow: bool,
    ) -> Given {
        let is_other = std::mem::replace(&mut self.list, list) != list;
        let page = seen.len();
        let mut scroll_to = None;
        if is_other || rows <= page || rows >= self.rows {
            (self.rows, self.leaving) = (rows, None);
        } else if follow {
            self.leaving = None;
        } else {
            let last = rows - page;
            match &mut self.leaving {
                None if self.ahead > 0 || seen.end > rows => scroll_to = Some(seen.start.min(last)),
                Some((to, _)) if *to > last => scroll_to = Some(last),
                Some((_, frames)) if *frames < SETTLES => *frames += 1,
                _ => (self.rows, self.leaving) = (rows, None),
            }
            self.leaving = scroll_to.map(|to| (to, 1)).or(self.leaving);
        }
        self.ahead = self.rows - rows;
        Given { ahead: self.ahead, scroll_to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_gets_shorter_stays_in_view() {
        fn check(follow: bool, lists: &[(usize, u64)], expected: &[(usize, Option<usize>)]) {
            let (mut room, mut seen) = (Room::default(), 0..0);
            let given = lists.iter().map(|(rows, revision)| {
                let given = room.give(*rows, &seen, (Source::Live, *revision), follow);
                seen = rows.saturating_sub(30)..*rows;
                (given.ahead, given.scroll_to)
            });
            assert_eq!(given.collect::<Vec<_>>(), expected);
        }
        let still = |ahead: usize| (ahead, None);
        check(true, &[(900, 1), (500, 1), (700, 1), (950, 1)], &[0, 400, 200, 0].map(still));
        check(true, &[(900, 1), (500, 2), (30, 2)], &[0, 0, 0].map(still));
        let left = [still(0), (400, Some(470)), still(400), still(0), still(0)];
        check(false, &[(900, 1), (500, 1), (500, 1), (500, 1), (500, 1)], &left);
        let again = [still(0), (400, Some(470)), (500, Some(370)), still(500), still(0)];
        check(false, &[(900, 1), (500, 1), (400, 1), (400, 1), (400, 1)], &again);
    }
}
