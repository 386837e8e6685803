//! The frames that were sent and whose answers nobody has taken yet, and how many there may be.
//!
//! All of them may lie in the memory of the worker, unread: it takes in what comes while it asks a
//! service, or while nobody takes its answers. So their bytes are bounded far below the longest
//! message, for which it has room in any case: a frame that may be sent gets through, whatever
//! both sides wait for.

use std::collections::VecDeque;

/// The most frames, and the most bytes of more than one.
const FRAMES: usize = 1024;
const BYTES: usize = 4 << 20;

/// The sizes of the calls that are open, the oldest one first.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    sizes: VecDeque<usize>,
    bytes: usize,
}

impl Ahead {
    /// True if a frame of so many bytes may be sent too. One alone may have any size.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        let (count, bytes) = (self.sizes.len(), self.bytes.saturating_add(size));
        count == 0 || count < FRAMES && bytes <= BYTES
    }

    pub(crate) fn sent(&mut self, size: usize) {
        self.sizes.push_back(size);
        self.bytes += size;
    }

    /// Notes that the answer to the oldest one was taken.
    pub(crate) fn taken(&mut self) {
        self.bytes -= self.sizes.pop_front().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_sent_ahead() {
        fn check(sizes: &[usize], taken: usize, next: usize, expected: bool) {
            let mut ahead = Ahead::default();
            sizes.iter().for_each(|size| ahead.sent(*size));
            (0..taken).for_each(|_| ahead.taken());
            assert_eq!(ahead.has_room(next), expected, "{sizes:?}, {taken} taken, {next}");
        }
        check(&[], 0, usize::MAX, true);
        check(&[1], 0, BYTES - 1, true);
        check(&[1], 0, BYTES, false);
        check(&[1], 0, usize::MAX, false);
        check(&[1, BYTES], 0, 0, false);
        check(&[BYTES, 1], 1, 2, true);
        check(&[BYTES, 1], 2, BYTES + 1, true);
        check(&[1; FRAMES], 0, 1, false);
        check(&[1; FRAMES], 1, 1, true);
    }
}
