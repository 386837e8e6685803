//! Two streams of bytes through memory that two processes share.
//!
//! The memory is a row of words of 64 bits. Its first page has the positions of both streams, and
//! for each side a word that says what it sleeps for, and a bell. Behind it lie the bytes of the
//! stream from host to worker, then those of the other. A position counts all words that ever went
//! through, so that the difference of both is what is in between, and never wraps.
//!
//! The other side may write any of these words at any time. So each side keeps its own position to
//! itself and only publishes it, checks the position of the other each time, and copies bytes out
//! before anything looks at them. All accesses are atomic, so that what the other does meanwhile is
//! a wrong value at worst.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use glovebox_abi::wire::Side;

use crate::system::{check, memory_file, seal_size, sleep_on, wake};

/// Words of the first page.
const HEADER: usize = 512;
/// Words that no cache line shares with others.
const APART: usize = 16;
/// The smallest and the largest ring, in words.
const WORDS: std::ops::RangeInclusive<usize> = 512..=(8 << 20);
const WORD: usize = size_of::<u64>();

fn other(side: Side) -> Side {
    match side {
        Side::Host => Side::Plugin,
        Side::Plugin => Side::Host,
    }
}

/// The reasons for which a side sleeps.
pub(crate) const FOR_BYTES: u64 = 1;
pub(crate) const FOR_ROOM: u64 = 2;

/// The other side wrote a position that no stream can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPosition {
    pub(crate) own: u64,
    pub(crate) other: u64,
}

/// The memory itself, mapped.
pub(crate) struct SharedMemory {
    start: NonNull<AtomicU64>,
    /// Words of each ring: a power of two.
    ring: usize,
    file: OwnedFd,
}

// SAFETY: all that is reached through the pointer are atomics, which any thread may use; the
// mapping is taken away by `drop` alone.
unsafe impl Send for SharedMemory {}
// SAFETY: the same.
unsafe impl Sync for SharedMemory {}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedMemory").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl SharedMemory {
    /// Makes memory for two rings of at least so many bytes each.
    pub(crate) fn create(ring_bytes: usize) -> io::Result<SharedMemory> {
        let ring =
            ring_bytes.div_ceil(WORD).clamp(*WORDS.start(), *WORDS.end()).next_power_of_two();
        let file = File::from(memory_file()?);
        file.set_len(((HEADER + 2 * ring) * WORD) as u64)?;
        seal_size(file.as_fd())?;
        SharedMemory::map(file.into(), ring)
    }

    /// Maps memory that the other side made.
    pub(crate) fn open(file: OwnedFd) -> io::Result<SharedMemory> {
        let file = File::from(file);
        let words = file.metadata()?.len() as usize / WORD;
        let ring = words.saturating_sub(HEADER) / 2;
        if !ring.is_power_of_two() || !WORDS.contains(&ring) {
            return Err(io::Error::other(format!("{words} words are no two rings")));
        }
        SharedMemory::map(file.into(), ring)
    }

    fn map(file: OwnedFd, ring: usize) -> io::Result<SharedMemory> {
        let length = (HEADER + 2 * ring) * WORD;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses an address that is free; the file is at least as long as the
        // mapping, and its size is sealed, so that no access is beyond its end.
        let start = unsafe {
            let any = std::ptr::null_mut();
            libc::mmap(any, length, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at null"))?;
        Ok(SharedMemory { start, ring, file })
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: so many words are mapped, from an address that is aligned to a page, until
        // `drop`. Zeros and anything else are values of a word, and the other process changes them,
        // as other threads do, only as memory that is made for it: `AtomicU64`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), HEADER + 2 * self.ring) }
    }

    /// The number of words that were put into the stream of this writer.
    fn tail(&self, writer: Side) -> &AtomicU64 {
        &self.words()[2 * APART * writer as usize]
    }

    /// The number of words that were taken out of it.
    fn head(&self, writer: Side) -> &AtomicU64 {
        &self.words()[2 * APART * writer as usize + APART]
    }

    /// The reason for which a side sleeps; 0 while it is awake.
    fn sleeps(&self, side: Side) -> &AtomicU64 {
        &self.words()[4 * APART + 2 * APART * side as usize]
    }

    fn bell(&self, side: Side) -> &AtomicU64 {
        &self.words()[4 * APART + 2 * APART * side as usize + APART]
    }

    fn bytes(&self, writer: Side) -> &[AtomicU64] {
        let start = HEADER + self.ring * writer as usize;
        &self.words()[start..start + self.ring]
    }

    /// Wakes a side, whatever it sleeps for.
    pub(crate) fn ring_bell(&self, side: Side) {
        self.bell(side).fetch_add(1, Ordering::SeqCst);
        wake(self.bell(side));
    }

    /// Wakes a side if it sleeps for this, after what it sleeps for was published.
    fn ring_bell_for(&self, side: Side, what: u64) {
        // Pairs with the fence of `Waiter::wait`: either this sees that the other is about to
        // sleep, or the other sees what was published before.
        fence(Ordering::SeqCst);
        if self.sleeps(side).load(Ordering::Relaxed) & what != 0 {
            self.ring_bell(side);
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let length = (HEADER + 2 * self.ring) * WORD;
        // SAFETY: this is what `map` mapped, and nothing refers to it any more: all references to
        // words borrow this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), length) };
    }
}

/// How many words lie between two positions of a stream, as the other side may have made them up.
fn between(from: u64, to: u64, most: usize) -> Option<usize> {
    let distance = usize::try_from(to.wrapping_sub(from)).ok()?;
    (distance <= most).then_some(distance)
}

/// The writing end of a stream.
#[derive(Debug)]
pub(crate) struct Producer {
    memory: Arc<SharedMemory>,
    side: Side,
    tail: u64,
    /// The position of the reader when it was last looked at.
    head: u64,
}

impl Producer {
    pub(crate) fn new(memory: Arc<SharedMemory>, side: Side) -> Producer {
        Producer { memory, side, tail: 0, head: 0 }
    }

    /// Words that fit.
    pub(crate) fn room(&mut self) -> Result<usize, BadPosition> {
        let head = self.memory.head(self.side).load(Ordering::Acquire);
        let bad = BadPosition { own: self.tail, other: head };
        let unread = between(head, self.tail, self.memory.ring).ok_or(bad)?;
        // It never goes back.
        between(self.head, head, self.memory.ring).ok_or(bad)?;
        self.head = head;
        Ok(self.memory.ring - unread)
    }

    /// Writes as many bytes as fit and says how many. Their number is a multiple of eight.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, BadPosition> {
        debug_assert!(bytes.len().is_multiple_of(WORD), "messages are padded");
        let mask = self.memory.ring - 1;
        // The reader is asked for room only if there may be too little.
        let known = self.memory.ring - between(self.head, self.tail, mask + 1).unwrap_or(mask + 1);
        let room = if known * WORD >= bytes.len() { known } else { self.room()? };
        let (words, _) = bytes.as_chunks::<WORD>();
        let words = &words[..words.len().min(room)];
        let ring = self.memory.bytes(self.side);
        let start = self.tail as usize & mask;
        let (until_end, from_start) = words.split_at(words.len().min(ring.len() - start));
        for (place, word) in ring[start..].iter().zip(until_end) {
            place.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        for (place, word) in ring.iter().zip(from_start) {
            place.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        if !words.is_empty() {
            self.tail += words.len() as u64;
            self.memory.tail(self.side).store(self.tail, Ordering::Release);
            self.memory.ring_bell_for(other(self.side), FOR_BYTES);
        }
        Ok(words.len() * WORD)
    }
}

/// The reading end of a stream.
#[derive(Debug)]
pub(crate) struct Consumer {
    memory: Arc<SharedMemory>,
    writer: Side,
    head: u64,
    /// The position of the writer when it was last looked at.
    tail: u64,
}

impl Consumer {
    pub(crate) fn new(memory: Arc<SharedMemory>, side: Side) -> Consumer {
        Consumer { memory, writer: other(side), head: 0, tail: 0 }
    }

    /// Bytes that can be read.
    pub(crate) fn available(&mut self) -> Result<usize, BadPosition> {
        let tail = self.memory.tail(self.writer).load(Ordering::Acquire);
        let bad = BadPosition { own: self.head, other: tail };
        let unread = between(self.head, tail, self.memory.ring).ok_or(bad)?;
        between(self.tail, tail, self.memory.ring).ok_or(bad)?;
        self.tail = tail;
        Ok(unread * WORD)
    }

    /// Copies bytes out, as many as were found [available](Self::available) and fit, and says how
    /// many.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> usize {
        let unread = between(self.head, self.tail, self.memory.ring).unwrap_or(0);
        let (words, _) = out.as_chunks_mut::<WORD>();
        let count = words.len().min(unread);
        let words = &mut words[..count];
        let ring = self.memory.bytes(self.writer);
        let start = self.head as usize & (ring.len() - 1);
        let (until_end, from_start) = words.split_at_mut(count.min(ring.len() - start));
        for (place, word) in ring[start..].iter().zip(until_end) {
            *word = place.load(Ordering::Relaxed).to_ne_bytes();
        }
        for (place, word) in ring.iter().zip(from_start) {
            *word = place.load(Ordering::Relaxed).to_ne_bytes();
        }
        if count > 0 {
            self.head += count as u64;
            self.memory.head(self.writer).store(self.head, Ordering::Release);
            self.memory.ring_bell_for(self.writer, FOR_ROOM);
        }
        count * WORD
    }
}

/// Waits for the other side: looks again and again for a short time, then sleeps.
#[derive(Debug)]
pub(crate) struct Waiter {
    memory: Arc<SharedMemory>,
    side: Side,
    /// How often it looks before it sleeps: the less often, the more often that was in vain.
    looks: u32,
    most_looks: u32,
}

/// Looks before sleeping: some tens of microseconds, down to none to speak of.
const MOST_LOOKS: u32 = 2000;
const FEWEST_LOOKS: u32 = 16;
/// How long one look takes, roughly.
const LOOK: Duration = Duration::from_nanos(25);
/// How long a sleep is that looking could have spared.
const WORTH_LOOKING: Duration = Duration::from_micros(50);
/// A sleeper looks again after this, in case the other side is one that does not ring.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

impl Waiter {
    pub(crate) fn new(memory: Arc<SharedMemory>, side: Side) -> Waiter {
        // On one core, the other side does nothing while this one looks.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let most_looks = if cores > 1 { MOST_LOOKS } else { 0 };
        Waiter { memory, side, looks: most_looks, most_looks }
    }

    /// Waits until `is_ready` returns true or an error. Returns false at the deadline.
    pub(crate) fn wait<E>(
        &mut self,
        what: u64,
        until: Option<Instant>,
        mut is_ready: impl FnMut() -> Result<bool, E>,
    ) -> Result<bool, E> {
        for look in 0..self.looks {
            if is_ready()? {
                // Room for one that takes somewhat longer.
                self.looks = self.looks.max(2 * look).min(self.most_looks);
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        let slept = Instant::now();
        let (sleeps, bell) = (self.memory.sleeps(self.side), self.memory.bell(self.side));
        sleeps.store(what, Ordering::Relaxed);
        let result = loop {
            let seen = bell.load(Ordering::Acquire);
            // Pairs with the fence of `ring_bell_for`.
            fence(Ordering::SeqCst);
            match is_ready() {
                Ok(false) => {}
                result => break result,
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break Ok(false);
            }
            sleep_on(bell, seen, left.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP));
        };
        sleeps.store(0, Ordering::Relaxed);
        // Looking for longer would have spared this sleep, if it was a short one, unless the other
        // side only ran once this one slept: on two cores that many want, both may be on the same.
        // Then the sleep is shorter than the looking was.
        let (looked, slept) = (LOOK * self.looks, slept.elapsed());
        self.looks = if slept < WORTH_LOOKING && slept > looked {
            (2 * self.looks).min(self.most_looks)
        } else {
            (self.looks / 2).max(self.most_looks.min(FEWEST_LOOKS))
        };
        result
    }
}

/// Takes a descriptor by the number under which this process inherited it.
pub(crate) fn inherited(number: i32) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: it takes numbers.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: it is open, as was just seen. The numbers come from the process that started this one
    // and kept them open for it. Those of one list differ, as the caller has checked, and it takes
    // each once, before anything else of this process runs.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(bytes: usize) -> (Arc<SharedMemory>, Producer, Consumer) {
        let memory = Arc::new(SharedMemory::create(bytes).unwrap());
        let producer = Producer::new(memory.clone(), Side::Host);
        let consumer = Consumer::new(memory.clone(), Side::Plugin);
        (memory, producer, consumer)
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (_, mut producer, mut consumer) = pair(4096);
        let sent: Vec<u8> = (0..100_000_u32).map(|number| (number / 3) as u8).collect();
        let mut received: Vec<u8> = Vec::new();
        let mut rest = &sent[..];
        let mut pieces = [8, 4096, 800, 16, 8000].into_iter().cycle();
        while received.len() < sent.len() {
            let piece = pieces.next().unwrap().min(rest.len());
            let written = producer.write(&rest[..piece]).unwrap();
            rest = &rest[written..];
            let mut buffer = vec![0; pieces.next().unwrap()];
            consumer.available().unwrap();
            let read = consumer.read(&mut buffer);
            received.extend(&buffer[..read]);
        }
        assert!(received == sent);
        assert_eq!(consumer.available(), Ok(0));
        assert_eq!(producer.write(&[0; 8000]), Ok(4096));
        assert_eq!(producer.write(&[0; 8]), Ok(0));
    }

    /// The other side may write any position. Each is found out before a byte is touched.
    #[test]
    fn positions_of_the_other_side_are_checked() {
        fn check(position: u64, is_good: bool) {
            // The reader took one word of two, and then lies.
            let (memory, mut producer, mut consumer) = pair(4096);
            producer.write(&[1; 16]).unwrap();
            consumer.available().unwrap();
            consumer.read(&mut [0; 8]);
            producer.room().unwrap();
            memory.head(Side::Host).store(position, Ordering::Release);
            assert_eq!(producer.room().is_ok(), is_good, "head {position}");
            // The writer wrote two words, and then lies.
            let (memory, mut producer, mut consumer) = pair(4096);
            producer.write(&[1; 8]).unwrap();
            consumer.available().unwrap();
            memory.tail(Side::Host).store(position, Ordering::Release);
            assert_eq!(consumer.available().is_ok(), is_good, "tail {position}");
        }
        check(1, true);
        check(2, true);
        check(0, false);
        check(514, false);
        check(u64::MAX, false);
        check(1 << 63, false);
    }

    #[test]
    fn the_size_stays() {
        let memory = SharedMemory::create(4096).unwrap();
        let file = File::from(memory.file().try_clone_to_owned().unwrap());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(1 << 30).is_err());
        let again = SharedMemory::open(file.into()).unwrap();
        assert_eq!(again.ring, memory.ring);
        let other = File::from(memory_file().unwrap());
        other.set_len(100).unwrap();
        assert!(SharedMemory::open(other.into()).is_err());
    }

    #[test]
    fn who_sleeps_is_woken() {
        let (memory, mut producer, mut consumer) = pair(4096);
        let reader = std::thread::spawn(move || {
            let mut waiter = Waiter::new(memory, Side::Plugin);
            waiter.looks = 0;
            let mut sum = 0;
            while sum < 20_000 {
                let ready = waiter.wait(FOR_BYTES, None, || consumer.available().map(|n| n > 0));
                assert_eq!(ready, Ok(true));
                let mut buffer = [0; 64];
                sum += consumer.read(&mut buffer);
            }
        });
        let memory = producer.memory.clone();
        let mut waiter = Waiter::new(memory, Side::Host);
        waiter.looks = 0;
        for _ in 0..20_000 / 8 {
            assert_eq!(waiter.wait(FOR_ROOM, None, || producer.room().map(|n| n > 0)), Ok(true));
            assert_eq!(producer.write(&[7; 8]), Ok(8));
        }
        reader.join().unwrap();
        let over = Some(Instant::now());
        assert_eq!(waiter.wait(FOR_BYTES, over, || Ok::<_, ()>(false)), Ok(false));
    }
}
