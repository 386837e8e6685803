//! A part of a long list, copied so that it can be painted while the list goes on.

use std::ops::Range;

/// Items before and after those that were seen that are copied, too.
const AROUND: usize = 40;

/// A copied part of a list: the lines seen last and some around them. A view that was at the end
/// stays at the end when the list grows.
#[derive(Debug)]
pub(crate) struct Excerpt<T> {
    /// Items of the whole list.
    len: usize,
    start: usize,
    items: Vec<Option<T>>,
    seen: Range<usize>,
}

impl<T> Default for Excerpt<T> {
    fn default() -> Self {
        Excerpt { len: 0, start: 0, items: Vec::new(), seen: 0..0 }
    }
}

impl<T> Excerpt<T> {
    /// Copies what is needed of a list of this length.
    pub(crate) fn take_in(&mut self, len: usize, item: impl FnMut(usize) -> Option<T>) {
        let range = self.wanted(len);
        (self.len, self.start) = (len, range.start);
        self.items = range.map(item).collect();
    }

    fn wanted(&self, len: usize) -> Range<usize> {
        let Range { start, end } = self.seen;
        match end >= self.len {
            true => len.saturating_sub(self.seen.len() + 2 * AROUND)..len,
            false => start.saturating_sub(AROUND).min(len)..(end + AROUND).min(len),
        }
    }

    /// Items of the whole list.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The item at a position, if it was copied.
    pub(crate) fn get(&self, position: usize) -> Option<&T> {
        self.items.get(position.checked_sub(self.start)?)?.as_ref()
    }

    /// The items that were copied.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().flatten()
    }

    /// Says which positions are seen; true if some of them were not copied.
    pub(crate) fn see(&mut self, seen: Range<usize>) -> bool {
        let copied = self.start..self.start + self.items.len();
        let is_whole = copied.start <= seen.start && seen.end <= copied.end;
        self.seen = seen;
        !is_whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_copied() {
        fn check(seen: Range<usize>, lens: &[usize], copied: Range<usize>) {
            let mut excerpt = Excerpt::default();
            for (round, len) in lens.iter().enumerate() {
                excerpt.take_in(*len, Some);
                if round == 0 {
                    excerpt.see(seen.clone());
                }
            }
            let found: Vec<_> = excerpt.iter_mut().map(|item| *item).collect();
            assert_eq!(found, copied.clone().collect::<Vec<_>>());
            assert!(copied.clone().all(|position| excerpt.get(position) == Some(&position)));
            assert_eq!(excerpt.get(copied.end), None);
            assert!(!excerpt.see(copied.clone()));
            assert!(excerpt.see(copied.start..copied.end + 1));
        }
        check(0..0, &[10], 0..10);
        check(0..10, &[10, 30], 0..30);
        // The end is followed, another place is not.
        check(980..1000, &[1000, 2000], 1900..2000);
        check(500..520, &[1000, 2000], 460..560);
        // Other lists are shorter.
        check(500..520, &[1000, 480], 460..480);
        check(980..1000, &[1000, 5], 0..5);
    }
}
