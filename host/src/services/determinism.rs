//! Time and chance for a plugin where a run must repeat: both depend on a seed and on how many
//! frames came before, and on nothing else.
//!
//! With this, an engine that counts work instead of time, numbers that are the same on every
//! processor, and one copy, the same frames give the same bytes. Only the call deadline stays a
//! matter of time, as a net below the fuel: a call that meets it did not repeat.

/// The clock and the random bytes of one copy of a plugin.
pub(crate) struct Determinism {
    clock: u64,
    random: blake3::OutputReader,
}

/// Where the clock begins: 14 November 2023, in nanoseconds since the Unix epoch. The SDK's test
/// kit has the same.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;
/// The time from one frame to the next.
const FRAME: u64 = 1_000_000;
/// The time from one look at the clock to the next, so that waiting for a time comes to an end.
const LOOK: u64 = 1_000;

impl Determinism {
    pub(crate) fn new(seed: u64) -> Determinism {
        Determinism { clock: START, random: bytes(seed, "services") }
    }

    /// Goes on to the next frame.
    pub(crate) fn next_frame(&mut self) {
        self.clock += FRAME;
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn now(&mut self) -> u64 {
        self.clock += LOOK;
        self.clock
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        self.random.fill(buffer);
    }
}

/// As many bytes as anybody wants, for one purpose: BLAKE3's extendable output of seed and purpose.
pub(crate) fn bytes(seed: u64, purpose: &str) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("glovebox 2026 deterministic random bytes");
    hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes());
    hasher.finalize_xof()
}
