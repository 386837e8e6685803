//! The values in the headers of some frames, in few bytes: a Bloom filter.
//!
//! A filter that asks for a value of a header passes over frames among which it cannot be. The
//! texts and integers at the ends of paths of text keys are gathered. Where anything else stands, a
//! list or a fraction, the path is marked, and nothing is ruled out there.

use glovebox_abi::cbor::MAX_DEPTH;
use minicbor::Decoder;
use minicbor::data::Type;
use serde::{Deserialize, Serialize};

/// Bytes of a filter at most.
const LARGEST: usize = 1 << 10;
/// Bytes of a filter at least.
const SMALLEST: usize = 8;
/// Longer texts are not gathered, in bytes.
const LONGEST: usize = 128;
/// Of the bits of a filter, no more than one in so many are set if there is room: it errs once in 27
/// times then.
const SPARSE: u32 = 3;
/// Where every path starts.
const ROOT: u64 = 0x9E37_79B9_7F4A_7C15;
/// The seeds that tell the ends of paths apart.
const TEXT: u64 = 0xA24B_AED4_963E_E407;
const INTEGER: u64 = 0x9FB2_1C65_1E98_DF25;
const OTHER: u64 = 0xD6E8_FEB8_6659_FD93;

/// A value that a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderValue<'a> {
    /// A text.
    Text(&'a str),
    /// An integer.
    Integer(i128),
}

/// Which values stand in the headers of some frames.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeaderValues {
    /// A power of two of bytes; empty if there are so many values that any may be among them.
    bits: Vec<u8>,
}

impl HeaderValues {
    /// False if no header has any of these values at this path. True says nothing.
    pub fn may_hold<'a>(
        &self,
        path: impl IntoIterator<Item = &'a str>,
        wanted: &[HeaderValue<'_>],
    ) -> bool {
        if self.bits.is_empty() {
            return true;
        }
        let mut place = ROOT;
        for step in path {
            if self.has(place ^ OTHER) {
                return true;
            }
            place = hash(place, step.as_bytes());
        }
        let has = |value: &HeaderValue<'_>| match value {
            // As it is not gathered, the path is marked.
            HeaderValue::Text(text) => self.has(hash(place ^ TEXT, text.as_bytes())),
            HeaderValue::Integer(number) => self.has(integer(place, *number)),
        };
        self.has(place ^ OTHER) || wanted.iter().any(has)
    }

    /// Takes in the values of other frames.
    pub(crate) fn join(&mut self, other: &HeaderValues) {
        let (short, long) = match self.bits.len() < other.bits.len() {
            true => (&self.bits, &other.bits),
            false => (&other.bits, &self.bits),
        };
        if short.is_empty() {
            *self = HeaderValues::default();
            return;
        }
        // A bit of the short one stands for several of the long one.
        let both = short.iter().cycle().zip(long).map(|(one, other)| one | other);
        let bits: Vec<u8> = both.collect();
        // A filter that is nearly full rules nothing out.
        let is_useful = ones(&bits) < 6 * bits.len() as u32;
        self.bits = if is_useful { bits } else { Vec::new() };
    }

    /// True if it may be one of ours: anything else could not be looked into.
    pub(crate) fn adds_up(&self) -> bool {
        let length = self.bits.len();
        length == 0 || length.is_power_of_two() && (SMALLEST..=LARGEST).contains(&length)
    }

    fn has(&self, hash: u64) -> bool {
        places(hash, self.bits.len()).iter().all(|(byte, bit)| self.bits[*byte] & bit != 0)
    }
}

/// Headers that are remembered, so that what an answer has from its question is looked at once.
const RECENT: usize = 64;
/// Longer headers are not remembered, in bytes.
const LONGEST_HEADER: usize = 128;

/// Gathers values of headers.
#[derive(Debug)]
pub(crate) struct ValueGatherer {
    bits: Box<[u8; LARGEST]>,
    recent: Box<[Remembered; RECENT]>,
}

/// A header that was taken in; of no bytes if none was.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    length: u8,
    bytes: [u8; LONGEST_HEADER],
}

impl Default for ValueGatherer {
    fn default() -> Self {
        let none = Remembered { length: 0, bytes: [0; LONGEST_HEADER] };
        ValueGatherer { bits: Box::new([0; LARGEST]), recent: Box::new([none; RECENT]) }
    }
}

impl ValueGatherer {
    /// Takes in a header: one CBOR map, or nothing.
    pub(crate) fn add(&mut self, header: &[u8]) {
        if header.is_empty() || self.is_known(header) {
            return;
        }
        // A malformed header may hold anything.
        if self.walk(header, ROOT, 0).is_none() {
            self.set(ROOT ^ OTHER);
        }
    }

    /// True if this very header was taken in shortly before; else it is remembered.
    fn is_known(&mut self, header: &[u8]) -> bool {
        if header.len() > LONGEST_HEADER {
            return false;
        }
        let length = header.len() as u8;
        let known = &mut self.recent[hash(ROOT, header) as usize % RECENT];
        let bytes = &mut known.bytes[..header.len()];
        if known.length == length && bytes == header {
            return true;
        }
        bytes.copy_from_slice(header);
        known.length = length;
        false
    }

    /// All that was gathered, in as few bytes as it fits into; forgets it.
    pub(crate) fn take(&mut self) -> HeaderValues {
        let mut bits = self.bits.to_vec();
        self.bits.fill(0);
        self.recent.iter_mut().for_each(|known| known.length = 0);
        if ones(&bits) >= 6 * LARGEST as u32 {
            return HeaderValues::default();
        }
        while bits.len() > SMALLEST {
            let half = folded(&bits, bits.len() / 2);
            if ones(&half) * SPARSE > 8 * half.len() as u32 {
                break;
            }
            bits = half;
        }
        HeaderValues { bits }
    }

    /// Takes in the value at the start of these bytes, and gives those after it. A writer does this for
    /// each frame: what nearly all headers are made of is read here without a decoder.
    fn walk<'b>(&mut self, bytes: &'b [u8], place: u64, depth: usize) -> Option<&'b [u8]> {
        if let Some((text, rest)) = short_text(bytes) {
            let is_kept = text.len() <= LONGEST;
            self.set(if is_kept { hash(place ^ TEXT, text) } else { place ^ OTHER });
            return Some(rest);
        }
        match *bytes {
            [head @ 0xA0..=0xB7, ref rest @ ..] if depth < MAX_DEPTH => {
                self.entries(u64::from(head - 0xA0), rest, place, depth)
            }
            [number @ 0x00..=0x17, ref rest @ ..] => {
                self.set(integer(place, number.into()));
                Some(rest)
            }
            [0x18, number, ref rest @ ..] => {
                self.set(integer(place, number.into()));
                Some(rest)
            }
            [0x19, high, low, ref rest @ ..] => {
                self.set(integer(place, u16::from_be_bytes([high, low]).into()));
                Some(rest)
            }
            _ => self.other(bytes, place, depth).ok(),
        }
    }

    /// Takes in the entries of a map.
    fn entries<'b>(
        &mut self,
        count: u64,
        mut bytes: &'b [u8],
        place: u64,
        depth: usize,
    ) -> Option<&'b [u8]> {
        for _ in 0..count {
            if let Some((key, rest)) = short_text(bytes) {
                bytes = self.walk(rest, hash(place, key), depth + 1)?;
                continue;
            }
            let mut decoder = Decoder::new(bytes);
            if decoder.datatype().ok()? == Type::String {
                let key = decoder.str().ok()?;
                let rest = &bytes[decoder.position()..];
                bytes = self.walk(rest, hash(place, key.as_bytes()), depth + 1)?;
            } else {
                self.set(place ^ OTHER);
                decoder.skip().and_then(|()| decoder.skip()).ok()?;
                bytes = &bytes[decoder.position()..];
            }
        }
        Some(bytes)
    }

    /// Takes in any other value.
    fn other<'b>(
        &mut self,
        bytes: &'b [u8],
        place: u64,
        depth: usize,
    ) -> Result<&'b [u8], minicbor::decode::Error> {
        let mut decoder = Decoder::new(bytes);
        match decoder.datatype()? {
            Type::Map if depth < MAX_DEPTH => {
                let count = decoder.map()?.unwrap_or_default();
                let rest = &bytes[decoder.position()..];
                let rest = self.entries(count, rest, place, depth);
                return rest.ok_or_else(minicbor::decode::Error::end_of_input);
            }
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
                let number = decoder.u64()?;
                self.set(integer(place, number.into()));
            }
            Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                let number = i128::from(decoder.int()?);
                self.set(integer(place, number));
            }
            // Of lists, fractions and texts longer than any that is kept, nothing is known.
            _ => {
                self.set(place ^ OTHER);
                decoder.skip()?;
            }
        }
        Ok(&bytes[decoder.position()..])
    }

    fn set(&mut self, hash: u64) {
        for (byte, bit) in places(hash, LARGEST) {
            self.bits[byte] |= bit;
        }
    }
}

/// The bytes of a text below 256 bytes, which comes next, and those after it; `None` if anything else
/// does. They are known to be UTF-8: the header was checked when its frame was made or read.
fn short_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match *bytes {
        [head @ 0x60..=0x77, ref rest @ ..] => rest.split_at_checked(usize::from(head - 0x60)),
        [0x78, length, ref rest @ ..] => rest.split_at_checked(usize::from(length)),
        _ => None,
    }
}

/// The three bits that stand for a value in so many bytes.
fn places(hash: u64, length: usize) -> [(usize, u8); 3] {
    [hash >> 8, hash >> 24, hash >> 40].map(|part| {
        let place = part as usize & (8 * length - 1);
        (place / 8, 1 << (place % 8))
    })
}

/// The same bits in fewer bytes, a power of two.
fn folded(bits: &[u8], length: usize) -> Vec<u8> {
    let mut folded = vec![0; length];
    for (place, byte) in bits.iter().enumerate().filter(|_| length > 0) {
        folded[place & (length - 1)] |= byte;
    }
    folded
}

fn ones(bits: &[u8]) -> u32 {
    bits.iter().map(|byte| byte.count_ones()).sum()
}

fn integer(place: u64, number: i128) -> u64 {
    hash(place ^ INTEGER, &number.to_le_bytes())
}

/// Folds the bytes into a number, sixteen at a time. It stands in files: another one is another format.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    let mut hash = start;
    let mut rest = bytes;
    while rest.len() > 16
        && let Some((words, more)) = rest.split_first_chunk::<16>()
    {
        let (first, second) = words.split_at(8);
        hash = fold(hash ^ whole(first), whole(second) ^ INTEGER);
        rest = more;
    }
    let (first, second) = ends(rest);
    // Spread, so that no change of a byte makes up for another length.
    let length = (bytes.len() as u64).wrapping_mul(OTHER);
    fold(first ^ hash, second ^ length ^ TEXT)
}

/// The two halves of the product, one in the other.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// Eight bytes as a number; zero if they are not so many.
fn whole(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// Up to sixteen bytes as two numbers, without a loop over them: their ends, which overlap if there are
/// fewer.
fn ends(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    let byte = |place: usize| bytes.get(place).map_or(0, |byte| u64::from(*byte) << (8 * place));
    (byte(0) | byte(1) | byte(2), 0)
}

#[cfg(test)]
mod tests {
    use glovebox_abi::Header;
    use glovebox_abi::cbor::Value;

    use super::HeaderValue::{Integer, Text};
    use super::*;

    fn values(headers: &[Header]) -> HeaderValues {
        let mut gatherer = ValueGatherer::default();
        headers.iter().for_each(|header| gatherer.add(header.as_bytes()));
        gatherer.take()
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let user = Value::Map(vec![(Value::Text("id".into()), Value::Integer(42))]);
        let list = Value::Array(vec![Value::Integer(1)]);
        let header = Header::build().text("id", "order-1").value("user", user);
        let header = header.value("list", list).text("long", "x".repeat(200)).finish();
        let own = values(&[header]);
        #[track_caller]
        fn check(values: &HeaderValues, path: &[&str], wanted: HeaderValue<'_>, expected: bool) {
            assert_eq!(values.may_hold(path.iter().copied(), &[wanted]), expected);
        }
        check(&own, &["id"], Text("order-1"), true);
        check(&own, &["id"], Text("order-2"), false);
        check(&own, &["user", "id"], Integer(42), true);
        check(&own, &["user", "id"], Integer(43), false);
        check(&own, &["user", "id"], Text("42"), false);
        check(&own, &["user"], Integer(42), false);
        check(&own, &["absent"], Integer(42), false);
        // Of lists and long texts nothing is known.
        check(&own, &["list", "0"], Integer(7), true);
        check(&own, &["long"], Text("y"), true);
        check(&values(&[]), &["id"], Text("order-1"), false);
        check(&HeaderValues::default(), &["id"], Text("order-2"), true);
        // A header that is no map with text keys may hold anything.
        let odd = Value::Map(vec![(Value::Integer(1), Value::Integer(2))]);
        let odd = Header::from_cbor(odd.to_bytes().into()).expect("it is a map");
        check(&values(&[odd]), &["1"], Integer(3), true);
    }

    #[test]
    fn a_header_that_comes_again_is_taken_in_after_each_end() {
        let mut gatherer = ValueGatherer::default();
        let header = |number| Header::build().integer("id", number).finish();
        for _ in 0..3 {
            // More than are remembered, and each again at once and later.
            let numbers = (0..200).flat_map(|number| [number, number]).chain(0..200);
            numbers.for_each(|number| gatherer.add(header(number).as_bytes()));
            let own = gatherer.take();
            assert!((0..200).all(|number| own.may_hold(["id"], &[Integer(number)])));
        }
    }

    #[test]
    fn texts_that_differ_in_one_byte_have_other_hashes() {
        let mut hashes = std::collections::HashSet::new();
        let mut texts = 0;
        for length in 0..40 {
            let text = vec![b'x'; length];
            let changed = (0..length).map(|place| {
                let mut text = text.clone();
                text[place] = b'y';
                text
            });
            for text in changed.chain([text.clone()]) {
                texts += 1;
                hashes.insert(places(hash(ROOT, &text), LARGEST));
            }
        }
        assert_eq!(hashes.len(), texts);
    }

    #[test]
    fn integers_are_found_however_long_they_are() {
        for number in [0, 23, 24, 255, 256, 65_535, 65_536, i64::MAX, -1, -24, -25, i64::MIN] {
            let own = values(&[Header::build().integer("n", number).finish()]);
            assert!(own.may_hold(["n"], &[Integer(number.into())]), "{number}");
            assert!(!own.may_hold(["n"], &[Integer(i128::from(number) ^ 1)]), "{number}");
        }
    }

    #[test]
    fn a_filter_is_as_small_as_it_can_be() {
        fn check(count: u64, expected_bytes: usize) {
            let header = |number| Header::build().integer("id", number).finish();
            let headers: Vec<_> = (0..count).map(header).collect();
            let own = values(&headers);
            assert_eq!(own.bits.len(), expected_bytes, "{count}");
            assert!(own.adds_up());
            let has = |number: u64| own.may_hold(["id"], &[Integer(number.into())]);
            assert!((0..count).all(has), "{count}");
            let wrong = (1_000_000..1_010_000).filter(|number| has(*number)).count();
            let is_bounded = expected_bytes == 0 || wrong < 1_000;
            assert!(is_bounded, "{wrong} of 10000 for {count}");
        }
        check(1, 8);
        check(5, 8);
        check(500, 512);
        check(1_000, 1024);
        check(10_000, 0);
    }

    #[test]
    fn joined_filters_hold_what_both_hold() {
        let header = |number| Header::build().integer("id", number).finish();
        let many: Vec<_> = (0..500).map(header).collect();
        let mut joined = values(&many);
        joined.join(&values(&[header(700)]));
        let has = |number: i128| joined.may_hold(["id"], &[Integer(number)]);
        assert!((0..500).all(has) && has(700));
        let mut unknown = values(&many);
        unknown.join(&HeaderValues::default());
        assert!(unknown.may_hold(["id"], &[Integer(-1)]));
    }
}
