//! Finds patterns in texts and bytes, behind escapes and in other encodings, and replaces them.

use std::cmp::Reverse;
use std::ops::Range;

use regex::bytes::Regex;

use super::walk::{REDACTED, blank};
use crate::decode::document::{Document, Format, Item, Sort};
use crate::decode::encodings::{Order, of_utf16, of_web};
use crate::decode::json::{Unescaped, unescape};
use crate::decode::looks_like_cbor;
use crate::decode::splice::{self, Splice, splice};

/// How large the texts may become together that are made of one by taking escapes out, as a
/// multiple of it: JSON inside a text of JSON has two layers.
const MAX_LAYERS: usize = 32;
/// A text of up to so many bytes may have as many layers as one of this size.
const SMALL: usize = 32 << 10;
/// How deeply CBOR in strings of bytes is looked into.
const MAX_NESTED: usize = 8;

/// The patterns to take out, each with the number of its matches.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<RedactedPattern>);

#[derive(Debug)]
struct RedactedPattern {
    regex: Regex,
    found: u64,
}

impl Patterns {
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), regex::Error> {
        self.0.push(RedactedPattern { regex: Regex::new(pattern)?, found: 0 });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each pattern, and how often it was found.
    pub(super) fn found(&self) -> impl Iterator<Item = (String, u64)> {
        self.0.iter().map(|pattern| (pattern.regex.to_string(), pattern.found))
    }

    /// The bytes of a document without the patterns, if there are any. Ranges that are `gone`
    /// already are not looked into.
    pub(super) fn document(
        &mut self,
        document: &Document<'_>,
        gone: &[Range<usize>],
        nested: usize,
    ) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let mut splices: Vec<Splice> = Vec::new();
        let mut gone = gone.iter().peekable();
        let mut is_embedded = false;
        for item in document.items() {
            let span = item.span();
            while gone.next_if(|gone| gone.end <= span.start).is_some() {}
            if gone.peek().is_some_and(|gone| gone.start <= span.start) {
                continue;
            }
            let inside = gone.clone().take_while(|gone| gone.start < span.end);
            let inside: Vec<_> = match item.sort() {
                Sort::Text | Sort::Bytes => inside.cloned().collect(),
                _ => Vec::new(),
            };
            // RFC 8949, section 3.4.5.1: encoded CBOR.
            let was_embedded = std::mem::take(&mut is_embedded);
            is_embedded = item.sort() == Sort::Tag && item.tag() == 24;
            splices.extend(self.item(item, &inside, was_embedded, nested));
        }
        (!splices.is_empty()).then(|| splice(document.bytes(), splices))
    }

    /// The replacement of an item or of a part of it, if it has a pattern in it.
    fn item(
        &mut self,
        item: Item<'_>,
        gone: &[Range<usize>],
        is_cbor: bool,
        nested: usize,
    ) -> Option<Splice> {
        let (span, format) = (item.span(), item.format());
        // Where in what an item holds something is gone, which begins at this place.
        let from = |start: usize| -> Vec<Range<usize>> {
            gone.iter().map(|gone| gone.start - start..gone.end - start).collect()
        };
        let new = match (item.sort(), format) {
            (Sort::Text, Format::Json) => {
                let gone = from(span.start + 1);
                let inside = self.content(item.inside(), Form::Escaped, &gone)?;
                return Some((span.start + 1..span.end - 1, inside));
            }
            (Sort::Text, Format::Cbor) => {
                let content = item.content();
                let gone = from(span.end - content.len());
                splice::string(Sort::Text, &self.content(&content, Form::Text, &gone)?)
            }
            (Sort::Bytes, _) => {
                let content = item.content();
                let gone = from(span.end - content.len());
                let is_cbor = is_cbor || looks_like_cbor(&content);
                let inner = Some(&content).filter(|_| is_cbor && nested < MAX_NESTED);
                let new = match inner.and_then(|content| Document::cbor(content).ok()) {
                    Some(inner) => self.document(&inner, &gone, nested + 1)?,
                    None => self.content(&content, Form::Bytes, &gone)?,
                };
                splice::string(Sort::Bytes, &new)
            }
            (Sort::Number, _) => {
                self.content(item.word().as_bytes(), Form::Text, &[])?;
                blank(item)
            }
            _ => return None,
        };
        Some((span, new))
    }

    pub(super) fn text(&mut self, text: &mut String) -> bool {
        match self.content(text.as_bytes(), Form::Text, &[]) {
            Some(new) => {
                *text = String::from_utf8_lossy(&new).into_owned();
                true
            }
            None => false,
        }
    }

    /// Text or bytes without the patterns, if there are any besides what is gone.
    pub(super) fn content(
        &mut self,
        content: &[u8],
        form: Form,
        gone: &[Range<usize>],
    ) -> Option<Vec<u8>> {
        // Each with the pattern that found it, and what takes its place.
        let mut found: Vec<(usize, Range<usize>, Option<Order>)> = Vec::new();
        let is_gone = |range: &Range<usize>| {
            gone.iter().any(|gone| gone.start <= range.start && range.end <= gone.end)
        };
        self.search(content, form, &mut |number, range, order| {
            if !is_gone(&range) {
                found.push((number, range, order));
            }
        });
        if found.is_empty() {
            return None;
        }
        for (number, pattern) in self.0.iter_mut().enumerate() {
            let of_this = found.iter().filter(|(by, ..)| *by == number);
            let of_this = of_this.map(|(_, range, _)| (range.clone(), ()));
            pattern.found += merge(of_this.collect()).len() as u64;
        }
        let ranges = merge(found.into_iter().map(|(_, range, order)| (range, order)).collect());
        let splices = ranges.into_iter().map(|(range, order)| match order {
            None => (range, REDACTED.as_bytes().to_vec()),
            Some(order) => (range, order.encode(REDACTED)),
        });
        Some(splice(content, splices.collect()))
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
            for (number, pattern) in self.0.iter().enumerate().filter(|_| is_written) {
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

/// How a text stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It says what it is.
    Text,
    /// It has escapes of JSON, so that it says something else.
    Escaped,
    /// It is bytes, so that what takes the place of UTF-16 is UTF-16.
    Bytes,
    /// It was UTF-16, in which there is no more of it.
    Utf16,
}
