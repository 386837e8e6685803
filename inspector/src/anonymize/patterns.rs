//! Finds patterns in texts and bytes, behind escapes and in other encodings, and replaces them so that
//! what is around stays valid.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use regex::bytes::Regex;

use super::leaves::{Apart, Form, Kind, Leaf, Otherwise, is_hidden, redacted, suffix, take_apart};
use super::walk::REDACTED;
use crate::decode::encodings::{Order, of_utf16, of_web};
use crate::decode::json::{Unescaped, unescape};
use crate::decode::splice::{Splice, splice};

/// How large the texts may become together that are made of one by taking escapes out, as a
/// multiple of it: JSON inside a text of JSON has two layers.
const MAX_LAYERS: usize = 32;
/// A text of up to so many bytes may have as many layers as one of this size.
const SMALL: usize = 32 << 10;
/// How deeply what stands in a text or in a string of bytes is taken apart.
const MAX_NESTED: usize = 8;

/// The patterns to take out, each with the number of its matches.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    all: Vec<RedactedPattern>,
    /// True if they could not be looked for in something.
    is_blocked: bool,
}

#[derive(Debug)]
struct RedactedPattern {
    regex: Regex,
    found: u64,
}

impl Patterns {
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), regex::Error> {
        self.all.push(RedactedPattern { regex: Regex::new(pattern)?, found: 0 });
        Ok(())
    }

    /// True if they could not be looked for in something since this was asked.
    pub(super) fn were_blocked(&mut self) -> bool {
        std::mem::take(&mut self.is_blocked)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Each pattern, and how often it was found.
    pub(super) fn found(&self) -> impl Iterator<Item = (String, u64)> {
        self.all.iter().map(|pattern| (pattern.regex.to_string(), pattern.found))
    }

    /// Bytes without the patterns, if there are any. Ranges that are `gone` already are not looked
    /// into.
    pub(super) fn content(
        &mut self,
        bytes: &[u8],
        kind: &Kind,
        gone: &[Range<usize>],
    ) -> Option<Vec<u8>> {
        if self.all.is_empty() {
            return None;
        }
        let mut gone = gone.to_vec();
        gone.sort_by_key(|gone| gone.start);
        let level = self.look(bytes, kind, &gone, 0);
        self.is_blocked |= level.is_blocked;
        for (number, times) in &level.found {
            self.all[*number].found += times;
        }
        let pieces = write(&level, bytes, &[]);
        (!pieces.is_empty()).then(|| splice(bytes, pieces))
    }

    pub(super) fn text(&mut self, text: &mut String) -> bool {
        self.text_of(text, &Kind::default())
    }

    pub(super) fn manifest(&mut self, text: &mut String) -> bool {
        self.text_of(text, &Kind { is_toml: true, ..Kind::default() })
    }

    fn text_of(&mut self, text: &mut String, kind: &Kind) -> bool {
        match self.content(text.as_bytes(), kind, &[]) {
            Some(new) => {
                *text = String::from_utf8_lossy(&new).into_owned();
                true
            }
            None => false,
        }
    }

    /// Finds the patterns in bytes: in each leaf by itself, in each key with its value, and in all of
    /// it. A match over several leaves counts only where the pattern is not found by itself in one of
    /// them, so that `secret.*` ends with its text; from a key, it may go on to the value.
    fn look(&self, bytes: &[u8], kind: &Kind, gone: &[Range<usize>], depth: usize) -> Level {
        let Some(apart) = take_apart(bytes, kind) else {
            return self.look_at_text(bytes, kind, gone);
        };
        if depth >= MAX_NESTED {
            return Level { is_blocked: true, ..self.look_at_text(bytes, kind, gone) };
        }
        let mut level = Level { gone: gone.to_vec(), ..Level::default() };
        let inner = apart.leaves.iter().map(|leaf| {
            let gone = within(gone, &leaf.span);
            let is_gone = |gone: &Range<usize>| {
                gone.start <= leaf.span.start && leaf.span.end <= gone.end && !gone.is_empty()
            };
            if gone.iter().any(is_gone) {
                return None;
            }
            let inside = gone.iter().filter_map(|gone| leaf.part(gone, &leaf.inside));
            let inside: Vec<_> = inside.chain(leaf.kept.iter().cloned()).collect();
            Some(self.look(leaf.content(bytes), &leaf.kind, &inside, depth + 1))
        });
        level.inner = inner.collect();
        level.is_blocked = level.inner.iter().flatten().any(|inner| inner.is_blocked);
        if apart.is_text {
            return self.look_at_text_around(bytes, kind, level, apart);
        }
        let seen = apart.seen.as_deref().unwrap_or(bytes);
        // The leaves with the patterns that were found over them, each with its value.
        let mut pairs: HashSet<(usize, usize)> = HashSet::new();
        let form = if apart.is_escaped { Form::Escaped } else { Form::Text };
        for (at, leaf) in apart.leaves.iter().enumerate() {
            let Some(pair) = leaf.pair.clone() else { continue };
            let Some(value) = apart.leaves.get(at + 1) else { continue };
            let mut found = Vec::new();
            self.search(&seen[pair.clone()], form, &mut |number, range, _| {
                let range = range.start + pair.start..range.end + pair.start;
                let spans = range.start < leaf.seen.end && value.seen.start < range.end;
                if spans && !level.has(at + 1, number) {
                    found.push(Hit { number, range, order: None });
                }
            });
            for hit in found {
                level.count(hit.number, u64::from(!level.has(at, hit.number)));
                pairs.extend([(at, hit.number), (at + 1, hit.number)]);
                level.over.push((at..at + 2, hit));
            }
        }
        let mut found = Vec::new();
        self.search(seen, form, &mut |number, range, _| {
            let touched = touched(&apart.leaves, &range, |leaf| &leaf.seen);
            let is_known =
                touched.clone().any(|at| level.has(at, number) || pairs.contains(&(at, number)));
            let goes = |at: usize| level.part(at, &apart.leaves[at], &range).is_some();
            if !is_known && touched.clone().any(goes) {
                found.push((touched, Hit { number, range, order: None }));
            }
        });
        for number in 0..self.all.len() {
            let of_this = found.iter().filter(|(_, hit)| hit.number == number);
            let of_this = of_this.map(|(_, hit)| (hit.range.clone(), ()));
            level.count(number, merge(of_this.collect()).len() as u64);
        }
        level.over.extend(found);
        let inside = level.inner.iter().flatten().flat_map(|inner| inner.found.clone());
        let inside: Vec<_> = inside.collect();
        inside.into_iter().for_each(|(number, times)| level.count(number, times));
        if apart.otherwise != Otherwise::Nothing {
            // If it is something else after all, its text does not keep to these leaves.
            let over = level.over.iter();
            let over = over.flat_map(|(leaves, hit)| leaves.clone().map(|at| (at, hit.number)));
            let over: HashSet<(usize, usize)> = over.collect();
            let mut text = self.look_at_text(bytes, kind, gone);
            text.hits.retain(|hit| {
                !touched(&apart.leaves, &hit.range, |leaf| &leaf.inside)
                    .any(|at| level.has(at, hit.number) || over.contains(&(at, hit.number)))
            });
            if apart.otherwise == Otherwise::Text && !text.hits.is_empty() {
                return self.look_at_text(bytes, kind, gone);
            }
            text.hits.iter().for_each(|hit| level.count(hit.number, 1));
            level.more = text.hits.into_iter().map(|hit| hit.range).collect();
        }
        level.apart = Some(apart);
        level
    }

    /// Finds the patterns in a text in which some stretches stand for something else.
    fn look_at_text_around(&self, bytes: &[u8], kind: &Kind, inside: Level, apart: Apart) -> Level {
        let mut level = self.look_at_text(bytes, kind, &inside.gone);
        level.is_blocked |= inside.is_blocked;
        let found = inside.inner.iter().flatten().flat_map(|inner| inner.found.iter());
        let found: Vec<_> = found.copied().collect();
        if !found.is_empty() {
            found.into_iter().for_each(|(number, times)| level.count(number, times));
            level.inner = inside.inner;
            level.apart = Some(apart);
        }
        level
    }

    /// Finds the patterns in a text that is not taken apart.
    fn look_at_text(&self, bytes: &[u8], kind: &Kind, gone: &[Range<usize>]) -> Level {
        let mut level = Level { gone: gone.to_vec(), ..Level::default() };
        level.is_blocked = is_hidden(bytes, kind);
        self.search(bytes, kind.form, &mut |number, range, order| {
            if !is_within(gone, &range) {
                level.hits.push(Hit { number, range, order });
            }
        });
        for number in 0..self.all.len() {
            let of_this = level.hits.iter().filter(|hit| hit.number == number);
            let of_this = merge(of_this.map(|hit| (hit.range.clone(), ())).collect());
            level.count(number, of_this.len() as u64);
        }
        level
    }

    /// Hands on where the patterns are in a text: with its escapes and without them, layer by
    /// layer, and in the UTF-16 of each. The order is that of UTF-16 that stands there without
    /// escapes.
    fn search(
        &self,
        content: &[u8],
        form: Form,
        found: &mut dyn FnMut(usize, Range<usize>, Option<Order>),
    ) {
        // Each without some escapes of a layer before it, counted from the content, which is 0.
        let mut layers: Vec<(usize, Unescaped)> = Vec::new();
        let (mut at, mut made) = (0, 0);
        while at <= layers.len() {
            let seen = at.checked_sub(1).map_or(content, |at| &layers[at].1.bytes);
            let json = unescape(seen);
            let is_written = at > 0 || form != Form::Escaped || json.is_none();
            let web = if is_written { of_web(seen) } else { None };
            let length = seen.len();
            let source = |mut range: Range<usize>| {
                let mut layer = at;
                while let Some((before, way)) = layer.checked_sub(1).map(|at| &layers[at]) {
                    (range, layer) = (way.source(range), *before);
                }
                range
            };
            for (number, pattern) in self.all.iter().enumerate().filter(|_| is_written) {
                let all = pattern.regex.find_iter(seen).map(|found| found.range());
                let all = all.filter(|range| !range.is_empty());
                all.for_each(|range| found(number, source(range), None));
            }
            let is_searched = is_written && form != Form::Utf16;
            for text in is_searched.then(|| of_utf16(seen)).into_iter().flatten() {
                let order = (at == 0 && form == Form::Bytes).then_some(text.order);
                self.search(&text.text.bytes, Form::Utf16, &mut |number, range, _| {
                    found(number, source(text.source(range)), order);
                });
            }
            for next in [json, web].into_iter().flatten() {
                let is_known = layers.iter().any(|(_, known)| known.bytes == next.bytes);
                let is_room = made < MAX_LAYERS * content.len().max(SMALL);
                if next.bytes.len() < length && !is_known && is_room {
                    made += next.bytes.len();
                    layers.push((at, next));
                }
            }
            at += 1;
        }
    }
}

/// Ranges in order, those that overlap as one, with what belongs to the first of them.
fn merge<T>(mut ranges: Vec<(Range<usize>, T)>) -> Vec<(Range<usize>, T)> {
    ranges.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
    let mut merged: Vec<(Range<usize>, T)> = Vec::new();
    for (range, of) in ranges {
        match merged.last_mut() {
            Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push((range, of)),
        }
    }
    merged
}

/// A match of a pattern.
#[derive(Debug, Clone)]
struct Hit {
    /// The number of the pattern.
    number: usize,
    range: Range<usize>,
    /// The order of what takes its place, if that is UTF-16.
    order: Option<Order>,
}

/// The finds in bytes.
#[derive(Debug, Default)]
struct Level {
    /// `None` of a plain text.
    apart: Option<Apart>,
    /// The finds in each leaf; `None` of one that is gone.
    inner: Vec<Option<Level>>,
    /// The finds over several leaves, with their numbers.
    over: Vec<(Range<usize>, Hit)>,
    /// The finds in a plain text.
    hits: Vec<Hit>,
    /// How often each pattern was found, inside of leaves too.
    found: Vec<(usize, u64)>,
    /// The finds across the leaves of something that may be no such thing.
    more: Vec<Range<usize>>,
    /// True if patterns could not be looked for in something of it.
    is_blocked: bool,
    /// The ranges that are not looked into.
    gone: Vec<Range<usize>>,
}

impl Level {
    fn count(&mut self, number: usize, times: u64) {
        match self.found.iter_mut().find(|(known, _)| *known == number) {
            Some((_, known)) => *known += times,
            None if times > 0 => self.found.push((number, times)),
            None => {}
        }
    }

    /// The part of a leaf that a match in what is seen takes, if that is not gone.
    fn part(&self, at: usize, leaf: &Leaf, range: &Range<usize>) -> Option<Range<usize>> {
        let inner = self.inner.get(at)?.as_ref()?;
        leaf.part(range, &leaf.seen).filter(|part| !is_within(&inner.gone, part))
    }

    /// True if a pattern was found in a leaf by itself.
    fn has(&self, leaf: usize, number: usize) -> bool {
        let inner = self.inner.get(leaf).and_then(Option::as_ref);
        inner.is_some_and(|inner| inner.found.iter().any(|(known, _)| *known == number))
    }
}

/// Those of some ranges in order, none over the other, that reach into another one.
fn within<'r>(ranges: &'r [Range<usize>], other: &Range<usize>) -> &'r [Range<usize>] {
    let start = ranges.partition_point(|range| range.end <= other.start);
    let end = ranges.partition_point(|range| range.start < other.end);
    &ranges[start..end.max(start)]
}

/// True if one of them holds all of it.
fn is_within(ranges: &[Range<usize>], other: &Range<usize>) -> bool {
    let mut around = within(ranges, other).iter();
    around.any(|range| range.start <= other.start && other.end <= range.end)
}

/// The leaves of which a range takes something, by their places.
fn touched(
    leaves: &[Leaf],
    range: &Range<usize>,
    place: impl Fn(&Leaf) -> &Range<usize>,
) -> Range<usize> {
    let start = leaves.partition_point(|leaf| place(leaf).end <= range.start);
    let end = leaves.partition_point(|leaf| place(leaf).start < range.end);
    start..end.max(start)
}

/// The pieces that change in bytes, for what was found there and for ranges that go too.
fn write(level: &Level, bytes: &[u8], more: &[Range<usize>]) -> Vec<Splice> {
    let Some(apart) = level.apart.as_ref().filter(|apart| !apart.is_text) else {
        return write_text(level, bytes, more);
    };
    // The parts that go of each leaf, counted from its content.
    let mut parts: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
    for (leaves, hit) in &level.over {
        for at in leaves.clone() {
            let leaf = &apart.leaves[at];
            if let Some(part) = level.part(at, leaf, &hit.range) {
                parts.entry(at).or_default().push(part);
            }
        }
    }
    for range in more.iter().chain(&level.more) {
        for at in touched(&apart.leaves, range, |leaf| &leaf.inside) {
            let leaf = &apart.leaves[at];
            if let Some(part) = leaf.part(range, &leaf.inside) {
                parts.entry(at).or_default().push(part);
            }
        }
    }
    let mut changes: Vec<(usize, Vec<Splice>)> = Vec::new();
    for (at, (leaf, inner)) in apart.leaves.iter().zip(&level.inner).enumerate() {
        let Some(inner) = inner else { continue };
        let parts = parts.remove(&at).unwrap_or_default();
        if inner.found.is_empty() && parts.is_empty() {
            continue;
        }
        let pieces = write(inner, leaf.content(bytes), &parts);
        if !pieces.is_empty() {
            changes.push((at, pieces));
        }
    }
    let numbers = numbers(apart, bytes, &changes);
    let splices = changes.into_iter().flat_map(|(at, pieces)| {
        let number = numbers.get(&at).copied().unwrap_or_default();
        apart.leaves[at].write(bytes, pieces, number)
    });
    splices.collect()
}

/// The same in a text, of which a stretch that stands for something else goes whole if a match reaches
/// into it as it is written.
fn write_text(level: &Level, bytes: &[u8], more: &[Range<usize>]) -> Vec<Splice> {
    let hits = level.hits.iter().map(|hit| (hit.range.clone(), hit.order));
    let mut all = merge(hits.chain(more.iter().map(|range| (range.clone(), None))).collect());
    let mut splices: Vec<Splice> = Vec::new();
    let leaves = level.apart.iter().flat_map(|apart| &apart.leaves);
    for (leaf, inner) in leaves.zip(&level.inner) {
        let Some(inner) = inner.as_ref().filter(|inner| !inner.found.is_empty()) else { continue };
        match all
            .iter()
            .any(|(range, _)| range.start < leaf.span.end && leaf.span.start < range.end)
        {
            true => all.push((leaf.span.clone(), None)),
            false => splices.extend(leaf.write(bytes, write(inner, leaf.content(bytes), &[]), 0)),
        }
    }
    splices.extend(merge(all).into_iter().map(|(range, order)| match order {
        None => (range, redacted()),
        Some(order) => (range, order.encode(REDACTED)),
    }));
    splices
}

/// Numbers for keys that would be the same as another one of their map, and were not.
fn numbers(apart: &Apart, bytes: &[u8], changes: &[(usize, Vec<Splice>)]) -> HashMap<usize, usize> {
    let mut numbers = HashMap::new();
    let changed: HashMap<usize, &Vec<Splice>> =
        changes.iter().map(|(at, pieces)| (*at, pieces)).collect();
    let maps = changes.iter().filter_map(|(at, _)| apart.leaves[*at].key_of);
    let maps: HashSet<usize> = maps.collect();
    if maps.is_empty() {
        return numbers;
    }
    // The keys of these maps as they are now.
    let mut known: HashSet<(usize, Vec<u8>)> = HashSet::new();
    let keys = apart.leaves.iter().enumerate().filter_map(|(at, leaf)| {
        let map = leaf.key_of.filter(|map| maps.contains(map))?;
        Some((at, leaf, map))
    });
    for (_, leaf, map) in keys.clone().filter(|(at, ..)| !changed.contains_key(at)) {
        known.insert((map, leaf.content(bytes).to_vec()));
    }
    // The numbers that keys of a name have, and those of each key that was there.
    let mut last: HashMap<(usize, Vec<u8>), usize> = HashMap::new();
    let mut given: HashMap<(usize, &[u8]), usize> = HashMap::new();
    for (at, leaf, map) in keys {
        let Some(pieces) = changed.get(&at) else { continue };
        let before = leaf.content(bytes);
        let name = match leaf.is_blanked() {
            true => b"0".to_vec(),
            false => splice(before, pieces.to_vec()),
        };
        let numbered = |number: usize| match (number, leaf.is_blanked()) {
            (0, _) => name.clone(),
            (_, true) => number.to_string().into_bytes(),
            (_, false) => [&name[..], &suffix(number)].concat(),
        };
        let next = last.entry((map, name.clone())).or_default();
        let number = *given.entry((map, before)).or_insert_with(|| {
            while known.contains(&(map, numbered(*next))) {
                *next += 1;
            }
            *next
        });
        known.insert((map, numbered(number)));
        if number > 0 {
            numbers.insert(at, number);
        }
    }
    numbers
}
