//! The differences between two values.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use similar::DiffOp;

use super::Change;
use super::align::sequence;
use super::path::Place;
use super::rules::DiffOptions;
use crate::decode::Document;
use crate::decode::document::{Item, Sort};
use crate::decode::print::{Style, print, sort_key};

/// Differences listed of one call; more are counted.
const MAX_CHANGES: usize = 1000;
/// Characters kept of a value.
const MAX_TEXT: usize = 4096;
/// A value that nests deeper is compared as a whole.
const MAX_DEPTH: usize = 128;

/// Collects changes that are not ignored.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) options: &'a DiffOptions,
    pub(super) output: Option<usize>,
    pub(super) changes: Vec<Change>,
    /// Changes beyond those that are listed.
    pub(super) more: usize,
    /// Where equal values are written in other bytes.
    pub(super) spellings: Vec<Change>,
}

impl<'a> Found<'a> {
    pub(super) fn new(options: &'a DiffOptions) -> Found<'a> {
        let (changes, spellings) = (Vec::new(), Vec::new());
        Found { options, output: None, changes, more: 0, spellings }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn add(&mut self, place: &Place, before: Option<String>, after: Option<String>) {
        if self.options.is_ignored(&place.path) {
            return;
        }
        if self.changes.len() == MAX_CHANGES {
            self.more += 1;
            return;
        }
        let change = self.change(place, before, after);
        self.changes.push(change);
    }

    fn change(&self, place: &Place, before: Option<String>, after: Option<String>) -> Change {
        Change {
            output: self.output,
            path: place.path.clone(),
            pattern: place.pattern.clone(),
            moved_from: None,
            before: before.map(shorten),
            after: after.map(shorten),
        }
    }

    pub(super) fn at(&mut self, path: &str, before: Option<String>, after: Option<String>) {
        self.add(&Place::new(path), before, after);
    }

    /// Compares two values, leaf by leaf. A value that left one place and came to another, and is
    /// the only one of its sort to do so, counts as moved.
    pub(super) fn values(
        &mut self,
        place: &mut Place,
        before: &Document<'_>,
        after: &Document<'_>,
    ) {
        if before.bytes() == after.bytes() {
            return;
        }
        let start = self.changes.len();
        let mut walk = Walk::new(self, before, after);
        let (old, new) = (before.root(), after.root());
        walk.walk(place, old, new, 0);
        // Spaces around the value, and what marks the order of bytes.
        fn around<'d>(document: &Document<'d>, item: Item<'_>) -> [&'d [u8]; 2] {
            let (bytes, span) = (document.bytes(), item.span());
            [&bytes[..span.start], &bytes[span.end..]]
        }
        let is_spelled = walk.is_spelled || around(before, old) != around(after, new);
        self.join_moves(start);
        if is_spelled {
            self.spelling(place, before, after);
        }
    }

    /// Notes that equal values are written in other bytes.
    pub(super) fn spelling(&mut self, place: &Place, before: &Document<'_>, after: &Document<'_>) {
        if self.spellings.len() < MAX_CHANGES && !self.options.is_ignored(&place.path) {
            let text = |document: &Document<'_>| Some(super::compare::show(document));
            let change = self.change(place, text(before), text(after));
            self.spellings.push(change);
        }
    }

    fn join_moves(&mut self, start: usize) {
        /// Where a value left and where it came, if once.
        #[derive(Default)]
        struct Traffic {
            left: Vec<usize>,
            came: Vec<usize>,
        }
        let new = &self.changes[start..];
        if new.iter().all(|change| change.before.is_some() && change.after.is_some()) {
            return;
        }
        let mut traffic: HashMap<&str, Traffic> = HashMap::new();
        for (index, change) in self.changes.iter().enumerate().skip(start) {
            match (&change.before, &change.after) {
                (Some(value), None) => traffic.entry(value).or_default().left.push(index),
                (None, Some(value)) => traffic.entry(value).or_default().came.push(index),
                _ => {}
            }
        }
        let moves: Vec<(usize, usize)> = traffic
            .values()
            .filter_map(|traffic| match (&traffic.left[..], &traffic.came[..]) {
                ([left], [came]) => Some((*left, *came)),
                _ => None,
            })
            .collect();
        let mut gone = BTreeSet::new();
        for (left, came) in moves {
            self.changes[came].moved_from = Some(self.changes[left].path.clone());
            self.changes[came].before = self.changes[left].before.clone();
            gone.insert(left);
        }
        let mut index = 0;
        self.changes.retain(|_| {
            index += 1;
            !gone.contains(&(index - 1))
        });
    }

    /// Compares texts, line by line, counted from 1.
    pub(super) fn lines(&mut self, place: &mut Place, before: &str, after: &str) {
        let (old, new) = (split_lines(before), split_lines(after));
        for operation in sequence(&old, &new) {
            if matches!(operation, DiffOp::Equal { .. }) {
                continue;
            }
            let joined = |lines: &[&str]| {
                (!lines.is_empty()).then(|| lines.concat().trim_end_matches('\n').to_owned())
            };
            let before = joined(&old[operation.old_range()]);
            let after = joined(&new[operation.new_range()]);
            let line = operation.new_range().start + 1;
            place.key("lines", |place| {
                place.position(line, |place| self.add(place, before, after));
            });
        }
    }
}

/// One comparison of two values.
struct Walk<'f, 'a, 'd> {
    found: &'f mut Found<'a>,
    before: &'d Document<'d>,
    after: &'d Document<'d>,
    /// Made when the first list needs them.
    hashes: OnceCell<(Vec<u64>, Vec<u64>)>,
    /// True if something equal is written in other bytes.
    is_spelled: bool,
}

impl<'f, 'a, 'd> Walk<'f, 'a, 'd> {
    fn new(found: &'f mut Found<'a>, before: &'d Document<'d>, after: &'d Document<'d>) -> Self {
        Walk { found, before, after, hashes: OnceCell::new(), is_spelled: false }
    }

    fn walk(&mut self, place: &mut Place, before: Item<'d>, after: Item<'d>, depth: usize) {
        if is_same(before, after) || self.found.options.is_ignored(&place.path) {
            return;
        }
        match (before.sort(), after.sort()) {
            _ if depth == MAX_DEPTH => self.leaf(place, before, after),
            (Sort::Map, Sort::Map) => {
                self.frame(before, after);
                self.entries(place, before, after, depth);
            }
            (Sort::List, Sort::List) => {
                self.frame(before, after);
                self.items(place, before, after, depth);
            }
            (Sort::Tag, Sort::Tag) if before.tag() == after.tag() => {
                self.frame(before, after);
                if let (Some(before), Some(after)) =
                    (before.children().next(), after.children().next())
                {
                    self.walk(place, before, after, depth + 1);
                }
            }
            (Sort::Number, Sort::Number)
                if self.found.options.are_close(&place.path, &before.word(), &after.word()) => {}
            _ => self.leaf(place, before, after),
        }
    }

    /// Compares two values as wholes.
    fn leaf(&mut self, place: &mut Place, before: Item<'d>, after: Item<'d>) {
        let (old, new) = (print(before, Style::EXACT), print(after, Style::EXACT));
        if before.sort() == after.sort() && old == new {
            self.is_spelled = true;
        } else {
            self.found.add(place, Some(old), Some(new));
        }
    }

    /// Compares what stands around and between the items inside: spaces, or how CBOR says how many
    /// there are.
    fn frame(&mut self, before: Item<'d>, after: Item<'d>) {
        if before.format() != after.format()
            || before.children().count() != after.children().count()
        {
            return;
        }
        let is_map = before.sort() == Sort::Map;
        let (mut old_at, mut new_at) = (before.span().start, after.span().start);
        for (index, (old, new)) in before.children().zip(after.children()).enumerate() {
            let is_key = is_map && index % 2 == 0;
            self.is_spelled |= before.between(old_at..old.span().start)
                != after.between(new_at..new.span().start)
                // Keys that stand in another order.
                || is_key && old.raw() != new.raw();
            (old_at, new_at) = (old.span().end, new.span().end);
        }
        self.is_spelled |=
            before.between(old_at..before.span().end) != after.between(new_at..after.span().end);
    }

    /// Pairs the entries by their keys; of keys that stand there more than once, the first with the
    /// first, and so on.
    fn entries(&mut self, place: &mut Place, before: Item<'d>, after: Item<'d>, depth: usize) {
        // Most often the same keys stand in the same order, and one value is different.
        let both = before.entries().zip(after.entries());
        let has_same_keys = before.children().count() == after.children().count()
            && both.clone().all(|((old, _), (new, _))| is_same(old, new));
        if has_same_keys {
            let mut different = both.filter(|((_, old), (_, new))| !is_same(*old, *new));
            if let (Some(((key, old), (_, new))), None) = (different.next(), different.next()) {
                let (old, new) = (Some(old), Some(new));
                return place.entry(key, |place| self.either(place, old, new, depth));
            }
        }
        let (old, new) = (named(before), named(after));
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some(old), Some(new)) => old.name.cmp(&new.name),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return,
            };
            let old = if order.is_le() { old.next() } else { None };
            let new = if order.is_ge() { new.next() } else { None };
            let Some(key) = old.as_ref().or(new.as_ref()).map(|entry| entry.key) else { return };
            let (old, new) = (old.map(|entry| entry.value), new.map(|entry| entry.value));
            place.entry(key, |place| self.either(place, old, new, depth));
        }
    }

    /// Aligns the items of lists, so that one more or less does not make all others different.
    fn items(&mut self, place: &mut Place, before: Item<'d>, after: Item<'d>, depth: usize) {
        let old: Vec<Item<'d>> = before.children().collect();
        let new: Vec<Item<'d>> = after.children().collect();
        if let ([old], [new]) = (&old[..], &new[..]) {
            return place.position(0, |place| self.walk(place, *old, *new, depth + 1));
        }
        let (tokens_before, tokens_after) =
            self.hashes.get_or_init(|| (self.before.hashes(), self.after.hashes()));
        let tokens = |items: &[Item<'d>], hashes: &[u64]| -> Vec<u64> {
            items.iter().map(|item| hashes[item.position()]).collect()
        };
        let pairs = pairs(&tokens(&old, tokens_before), &tokens(&new, tokens_after));
        for (old_at, new_at) in pairs {
            // Equal tokens are walked too: hashes can be equal by chance, and spelling can differ.
            let index = new_at.or(old_at).unwrap_or_default();
            let (old, new) = (old_at.map(|at| old[at]), new_at.map(|at| new[at]));
            place.position(index, |place| self.either(place, old, new, depth));
        }
    }

    fn either(
        &mut self,
        place: &mut Place,
        before: Option<Item<'d>>,
        after: Option<Item<'d>>,
        depth: usize,
    ) {
        match (before, after) {
            (Some(before), Some(after)) => self.walk(place, before, after, depth + 1),
            (before, after) => {
                let text = |item: Option<Item<'d>>| item.map(|item| print(item, Style::EXACT));
                self.found.add(place, text(before), text(after));
            }
        }
    }
}

/// True if two items are written in the same bytes.
fn is_same(before: Item<'_>, after: Item<'_>) -> bool {
    before.format() == after.format() && before.raw() == after.raw()
}

/// An entry of a map.
struct Entry<'d> {
    /// The text of the key first, so that differences are in its order.
    name: (Cow<'d, [u8]>, &'static str),
    key: Item<'d>,
    value: Item<'d>,
}

/// The entries of a map by their names; those of one name in their order.
fn named(map: Item<'_>) -> Vec<Entry<'_>> {
    let entries = map.entries().map(|(key, value)| {
        let sort = match key.sort() {
            Sort::Text => "text",
            Sort::Number => "number",
            Sort::Word => "word",
            _ => "other",
        };
        Entry { name: (sort_key(key), sort), key, value }
    });
    let mut entries: Vec<Entry<'_>> = entries.collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries
}

/// The unequal parts of two sequences: pairs of positions, or one alone.
pub(super) fn differences(
    old: &[u64],
    new: &[u64],
) -> impl Iterator<Item = (Option<usize>, Option<usize>)> {
    pairs(old, new).filter(|(old_at, new_at)| match (old_at, new_at) {
        (Some(old_at), Some(new_at)) => old[*old_at] != new[*new_at],
        _ => true,
    })
}

/// The corresponding parts of two sequences: pairs of positions, or one alone.
fn pairs(old: &[u64], new: &[u64]) -> impl Iterator<Item = (Option<usize>, Option<usize>)> + use<> {
    // Most often there is one of each.
    let operations = match (old, new) {
        ([_], [_]) => {
            vec![DiffOp::Replace { old_index: 0, old_len: 1, new_index: 0, new_len: 1 }]
        }
        _ => sequence(old, new),
    };
    operations.into_iter().flat_map(|operation| {
        let (old, new) = (operation.old_range(), operation.new_range());
        let steps = old.len().max(new.len());
        (0..steps).map(move |step| {
            let at = |range: &std::ops::Range<usize>| {
                let at = range.start + step;
                range.contains(&at).then_some(at)
            };
            (at(&old), at(&new))
        })
    })
}

/// A number per item, the same for items that are equal and for no others.
pub(super) fn tokens<T: Eq + std::hash::Hash>(old: &[T], new: &[T]) -> (Vec<u64>, Vec<u64>) {
    // Most often there is one of each.
    if let ([old], [new]) = (old, new) {
        return (vec![0], vec![u64::from(old != new)]);
    }
    let mut known: HashMap<&T, u64> = HashMap::new();
    let all = old.iter().chain(new);
    let mut numbers: Vec<u64> = all
        .map(|item| {
            let next = known.len() as u64;
            *known.entry(item).or_insert(next)
        })
        .collect();
    let behind = numbers.split_off(old.len());
    (numbers, behind)
}

/// Lines with their ends.
fn split_lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// A value as it is kept: whole, or its beginning and its size.
fn shorten(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
