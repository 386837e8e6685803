use std::collections::VecDeque;

/// The output of a worker to one place: its end, and how much more there was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Printed {
    /// The bytes that were kept, which need not be text and may hold control characters.
    pub bytes: Vec<u8>,
    /// How many bytes before them were dropped.
    pub dropped: u64,
}

/// The end of what was printed, in bounded memory.
#[derive(Debug)]
pub(crate) struct PrintedTail {
    bytes: VecDeque<u8>,
    most: usize,
    dropped: u64,
}

impl PrintedTail {
    pub(crate) fn new(most: usize) -> PrintedTail {
        PrintedTail { bytes: VecDeque::new(), most, dropped: 0 }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(self.most)..];
        let old = (self.bytes.len() + kept.len()).saturating_sub(self.most);
        self.bytes.drain(..old);
        self.bytes.extend(kept);
        self.dropped += (old + bytes.len() - kept.len()) as u64;
    }

    /// The kept bytes, without taking them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }

    /// The bytes kept since the last time.
    pub(crate) fn take(&mut self) -> Printed {
        Printed {
            bytes: std::mem::take(&mut self.bytes).into(),
            dropped: std::mem::take(&mut self.dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_the_rest_counted() {
        fn check(pieces: &[&str], bytes: &str, dropped: u64) {
            let mut tail = PrintedTail::new(8);
            pieces.iter().for_each(|piece| tail.add(piece.as_bytes()));
            let printed = Printed { bytes: bytes.into(), dropped };
            assert_eq!(tail.take(), printed, "{pieces:?}");
            assert_eq!(tail.take(), Printed::default());
        }
        check(&[], "", 0);
        check(&["abc", "def"], "abcdef", 0);
        check(&["abcdefgh", "ij"], "cdefghij", 2);
        check(&["abc", "0123456789", "x"], "3456789x", 6);
    }
}
