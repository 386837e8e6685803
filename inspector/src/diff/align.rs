//! Aligns the calls of two runs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use glovebox_abi::{FRAME_PREFIX_LEN, Header};
use minicbor::data::Type;
use minicbor::decode::Decoder;
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::Run;

/// A call of either run, or one of both, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) before: Option<u32>,
    pub(super) after: Option<u32>,
    /// True if an id holds it together, and it stands in another order than its neighbours.
    pub(super) moved: bool,
}

/// The operations that turn one sequence into another: patience, and Myers where no item is unique.
pub(super) fn sequence<T: Eq + Hash>(before: &[T], after: &[T]) -> Vec<DiffOp> {
    capture_diff_slices(Algorithm::Patience, before, after)
}

/// A number that is the same for what is the same.
pub(super) fn token(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Pairs every call, in the order of the runs.
pub(super) fn align(before: &Run, after: &Run) -> Vec<Pair> {
    // With one plugin on each side its id does not matter: a copy under another name is compared.
    let by_plugin = before.plugins().len() > 1 || after.plugins().len() > 1;
    let plugin = |run: &Run, at: usize| by_plugin.then(|| token(run.plugin(at)));
    // Position in the first run by position in the second.
    let mut partners = pair_by_id(before, after, &plugin);
    let moved = out_of_order(&partners);
    pair_by_input(before, after, &plugin, &mut partners);
    in_order(before.len(), &partners, &moved)
}

/// Says which plugin a call is of, by a number, if that matters.
trait PluginOf: Fn(&Run, usize) -> Option<u64> {}

impl<F: Fn(&Run, usize) -> Option<u64>> PluginOf for F {}

fn pair_by_id(before: &Run, after: &Run, plugin: &impl PluginOf) -> Vec<Option<u32>> {
    let id = |run: &Run, at: usize| Some(token((plugin(run, at), id_of(run.input(at))?)));
    /// Where an id stands, if it stands in one place only.
    type Place = Result<u32, Repeated>;
    #[derive(Clone, Copy)]
    struct Repeated;
    let places = |run: &Run| {
        let mut places: HashMap<u64, Place> = HashMap::new();
        for at in 0..run.len() {
            if let Some(id) = id(run, at) {
                let place = places.entry(id);
                place.and_modify(|place| *place = Err(Repeated)).or_insert(Ok(at as u32));
            }
        }
        places
    };
    let mut partners = vec![None; after.len()];
    let in_before = places(before);
    if in_before.is_empty() {
        return partners;
    }
    for (id, place) in places(after) {
        if let (Ok(after), Some(Ok(before))) = (place, in_before.get(&id)) {
            partners[after as usize] = Some(*before);
        }
    }
    partners
}

/// The encoded value of `id` in the header of an encoded frame.
fn id_of(frame: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(*frame.get(4..8)?.first_chunk()?) as usize;
    let header = frame.get(FRAME_PREFIX_LEN..FRAME_PREFIX_LEN + length)?;
    let mut decoder = Decoder::new(header);
    let mut left = decoder.map().ok()?;
    loop {
        match &mut left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None if decoder.datatype().ok()? == Type::Break => return None,
            None => {}
        }
        let is_id = decoder.datatype().ok()? == Type::String && {
            let start = decoder.position();
            let found = decoder.str().ok()? == Header::ID;
            decoder.set_position(start);
            found
        };
        decoder.skip().ok()?;
        let start = decoder.position();
        decoder.skip().ok()?;
        if is_id {
            return header.get(start..decoder.position());
        }
    }
}

/// Pairs what has no partner yet.
fn pair_by_input(before: &Run, after: &Run, plugin: &impl PluginOf, partners: &mut [Option<u32>]) {
    let mut taken = vec![false; before.len()];
    partners.iter().flatten().for_each(|at| taken[*at as usize] = true);
    let left: Vec<u32> = (0..before.len() as u32).filter(|at| !taken[*at as usize]).collect();
    let right: Vec<u32> =
        (0..after.len() as u32).filter(|at| partners[*at as usize].is_none()).collect();
    // Most runs begin and end alike. That is seen without a number for each input.
    let is_same = |(old, new): &(&u32, &u32)| {
        let (old, new) = (**old as usize, **new as usize);
        before.input(old) == after.input(new) && plugin(before, old) == plugin(after, new)
    };
    let mut pair = |(old, new): (&u32, &u32)| partners[*new as usize] = Some(*old);
    let front = left.iter().zip(&right).take_while(is_same).map(&mut pair).count();
    let (left, right) = (&left[front..], &right[front..]);
    let ends = left.iter().rev().zip(right.iter().rev());
    let back = ends.take_while(is_same).map(pair).count();
    let (left, right) = (&left[..left.len() - back], &right[..right.len() - back]);
    let tokens = |run: &Run, places: &[u32]| -> Vec<u64> {
        let places = places.iter().map(|at| *at as usize);
        places.map(|at| token((plugin(run, at), run.input(at)))).collect()
    };
    let (old, new) = (tokens(before, left), tokens(after, right));
    for operation in sequence(&old, &new) {
        let (old, new) = match operation {
            DiffOp::Equal { .. } => (operation.old_range(), operation.new_range()),
            // As many on both sides: most likely the same calls with other inputs.
            DiffOp::Replace { old_len, new_len, .. } if old_len == new_len => {
                (operation.old_range(), operation.new_range())
            }
            _ => continue,
        };
        for (old, new) in old.zip(new) {
            let (old, new) = (left[old], right[new]);
            if plugin(before, old as usize) == plugin(after, new as usize) {
                partners[new as usize] = Some(old);
            }
        }
    }
}

/// Which calls of the second run stand in another order: all that are not part of a longest
/// sequence that rises (Fredman 1975).
fn out_of_order(partners: &[Option<u32>]) -> Vec<bool> {
    let mut moved = vec![false; partners.len()];
    if partners.iter().flatten().is_sorted() {
        return moved;
    }
    // For each length, where the sequence of that length with the smallest end ends.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; partners.len()];
    for (after, before) in partners.iter().enumerate() {
        if before.is_none() {
            continue;
        }
        moved[after] = true;
        let length = ends.partition_point(|end| partners[*end] < *before);
        previous[after] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = after,
            None => ends.push(after),
        }
    }
    let mut next = ends.last().copied();
    while let Some(at) = next {
        moved[at] = false;
        next = previous[at];
    }
    moved
}

/// Puts a call that only the second run has behind the one it followed there.
fn in_order(calls_before: usize, partners: &[Option<u32>], moved: &[bool]) -> Vec<Pair> {
    let mut partner_of: Vec<Option<u32>> = vec![None; calls_before];
    // The calls that only the second run has, each with the one it follows.
    let mut extras: Vec<(u32, u32)> = Vec::new();
    let mut anchor = 0;
    for (after, before) in partners.iter().enumerate() {
        match before {
            Some(before) => {
                partner_of[*before as usize] = Some(after as u32);
                anchor = before + 1;
            }
            None => extras.push((anchor, after as u32)),
        }
    }
    extras.sort_unstable();
    let mut extras = extras.into_iter().peekable();
    let mut pairs = Vec::with_capacity(calls_before + extras.len());
    for before in 0..=calls_before as u32 {
        while let Some((_, after)) = extras.next_if(|(anchor, _)| *anchor == before) {
            pairs.push(Pair { before: None, after: Some(after), moved: false });
        }
        if let Some(after) = partner_of.get(before as usize).copied() {
            let moved = after.is_some_and(|after| moved[after as usize]);
            pairs.push(Pair { before: Some(before), after, moved });
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use glovebox_abi::Frame;
    use glovebox_abi::Kind;
    use glovebox_abi::cbor::Value;

    #[test]
    fn ids_are_found_in_encoded_headers() {
        fn check(header: &[u8], expected: Option<&[u8]>) {
            let header = Header::from_cbor(header.to_vec().into()).expect("the test writes maps");
            let frame = Frame::new(Kind::DATA, header, &b"x"[..]).to_bytes();
            assert_eq!(id_of(&frame), expected);
        }
        check(b"", None);
        check(&[0xA0], None);
        check(&[0xA1, 0x62, b'i', b'd', 0x07], Some(&[0x07]));
        check(&[0xA2, 0x61, b'a', 0x81, 0x01, 0x62, b'i', b'd', 0x61, b'x'], Some(b"\x61x"));
        // Of open length, and with a key that is no text.
        check(&[0xBF, 0x07, 0x01, 0x62, b'i', b'd', 0xF5, 0xFF], Some(&[0xF5]));
        check(&[0xBF, 0x07, 0x01, 0xFF], None);
        let header = Header::build().value("id", Value::Array(vec![Value::Null])).finish();
        check(header.as_bytes(), Some(&[0x81, 0xF6]));
    }

    #[test]
    fn the_fewest_calls_count_as_moved() {
        fn check(partners: &[u32], expected: &[usize]) {
            let partners: Vec<Option<u32>> = partners.iter().map(|at| Some(*at)).collect();
            let moved = out_of_order(&partners);
            let found: Vec<usize> = (0..moved.len()).filter(|at| moved[*at]).collect();
            assert_eq!(found, expected);
        }
        check(&[0, 1, 2], &[]);
        check(&[3, 0, 1, 2], &[0]);
        check(&[1, 2, 3, 0], &[3]);
        check(&[0, 5, 1, 2, 3], &[1]);
    }
}
