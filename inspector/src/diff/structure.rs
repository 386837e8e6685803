//! What is different between two values.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;
use similar::DiffOp;

use super::Change;
use super::align::{sequence, token};
use super::path::Place;
use super::rules::DiffOptions;

/// Differences listed of one call; more are counted.
const MAX_CHANGES: usize = 1000;
/// Characters kept of a value.
const MAX_TEXT: usize = 4096;

/// Collects changes that are not ignored.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) options: &'a DiffOptions,
    pub(super) output: Option<usize>,
    pub(super) changes: Vec<Change>,
    /// Changes beyond those that are listed.
    pub(super) more: usize,
}

impl<'a> Found<'a> {
    pub(super) fn new(options: &'a DiffOptions) -> Found<'a> {
        Found { options, output: None, changes: Vec::new(), more: 0 }
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
        self.changes.push(Change {
            output: self.output,
            path: place.path.clone(),
            pattern: place.pattern.clone(),
            moved_from: None,
            before: before.map(shorten),
            after: after.map(shorten),
        });
    }

    pub(super) fn at(&mut self, path: &str, before: Option<String>, after: Option<String>) {
        self.add(&Place::new(path), before, after);
    }

    /// Compares two values, leaf by leaf. What left one place and came to another, and is the only
    /// value of its sort to do so, counts as moved.
    pub(super) fn values(&mut self, place: &mut Place, before: &Json, after: &Json) {
        let start = self.changes.len();
        self.walk(place, before, after);
        self.join_moves(start);
    }

    fn walk(&mut self, place: &mut Place, before: &Json, after: &Json) {
        if before == after || self.options.is_ignored(&place.path) {
            return;
        }
        match (before, after) {
            (Json::Object(old), Json::Object(new)) => {
                let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for key in keys {
                    place.key(key, |place| self.either(place, old.get(key), new.get(key)));
                }
            }
            (Json::Array(old), Json::Array(new)) => self.items(place, old, new),
            (Json::Number(old), Json::Number(new))
                if self.options.are_close(&place.path, old, new) => {}
            _ => self.add(place, Some(before.to_string()), Some(after.to_string())),
        }
    }

    fn either(&mut self, place: &mut Place, before: Option<&Json>, after: Option<&Json>) {
        match (before, after) {
            (Some(before), Some(after)) => self.walk(place, before, after),
            (before, after) => {
                self.add(place, before.map(Json::to_string), after.map(Json::to_string));
            }
        }
    }

    /// Aligns the items of lists, so that one more or less does not make all others different.
    fn items(&mut self, place: &mut Place, old: &[Json], new: &[Json]) {
        let tokens = |items: &[Json]| items.iter().map(token).collect::<Vec<_>>();
        for (old_at, new_at) in differences(&tokens(old), &tokens(new)) {
            let index = new_at.or(old_at).unwrap_or_default();
            let (old, new) = (old_at.map(|at| &old[at]), new_at.map(|at| &new[at]));
            place.position(index, |place| self.either(place, old, new));
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

/// What is not equal in two sequences: pairs of positions, or one alone.
pub(super) fn differences(
    old: &[u64],
    new: &[u64],
) -> impl Iterator<Item = (Option<usize>, Option<usize>)> {
    // Most often there is one of each.
    let operations = match (old, new) {
        ([old], [new]) if old != new => {
            vec![DiffOp::Replace { old_index: 0, old_len: 1, new_index: 0, new_len: 1 }]
        }
        _ => sequence(old, new),
    };
    let operations = operations.into_iter();
    let different = operations.filter(|operation| !matches!(operation, DiffOp::Equal { .. }));
    different.flat_map(|operation| {
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
