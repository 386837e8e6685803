//! The number of rows that the table has room for. The scroll position comes from the frame before:
//! if the list got shorter by more than a page at once, as when old frames are evicted, the table
//! would show nothing.

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
    /// Where it was told to scroll to when it was painted last, and before that: it gets there one or
    /// two frames later.
    told: [Option<usize>; 2],
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
    /// The positions at which the first row may stand that is seen when a list of this length is painted
    /// next, as far as the room decides about that.
    pub(super) fn places(&self, rows: usize, seen: &Range<usize>) -> Vec<usize> {
        let ahead = self.rows.saturating_sub(rows);
        let last = rows.saturating_sub(seen.len());
        // A list that got shorter shows its end.
        let first = seen.start.min(last);
        // So far a table may move at once when it gets or loses empty rows.
        let mut places = vec![first, first.saturating_sub(ahead), first + ahead];
        let on_top = [Some(seen.start + self.ahead), self.told[0], self.told[1]];
        for row in on_top.into_iter().flatten() {
            places.extend([row.saturating_sub(ahead), row].map(|place| place.min(last)));
        }
        places.sort_unstable();
        places.dedup();
        places
    }

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
        self.told = if is_other { [None; 2] } else { [scroll_to, self.told[0]] };
        Given { ahead: self.ahead, scroll_to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_to_come_is_known() {
        /// Lengths of a list and the position that is seen first when it is painted, by turns, and what
        /// is among the places for a list of `next` rows.
        #[track_caller]
        fn check(lists: &[(usize, usize)], next: usize, expected: &[usize]) {
            let (mut room, mut seen) = (Room::default(), 0..0);
            for (number, (rows, first)) in lists.iter().enumerate() {
                room.give(*rows, &seen, (Source::Live, 0), number < 2);
                seen = *first..*first + 24;
            }
            let places = room.places(next, &seen);
            assert!(expected.iter().all(|place| places.contains(place)), "{places:?}");
        }
        // The newest is followed; the list gets shorter.
        check(&[(900, 876)], 900, &[876]);
        check(&[(900, 876)], 500, &[476]);
        check(&[(900, 876), (500, 476)], 400, &[376]);
        // Nobody follows any longer: where the table was told to scroll to, twice, as rows went meanwhile.
        let leaving = [(2023, 1999), (1740, 1716), (1740, 1716), (1648, 1624)];
        check(&leaving, 1648, &[1341, 1249, 1624]);
    }

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
