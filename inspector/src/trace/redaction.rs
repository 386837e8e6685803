//! What is taken out of headers, payloads and texts, span by span.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_events::{Event, HostCall, Outcome, What};
use regex::bytes::Regex;

use super::PluginRecord;
use super::anonymize::Redacted;
use crate::decode::document::{Document, Format, Item, Sort};
use crate::decode::json::{Unescaped, unescape};
use crate::decode::splice::{self, Splice, splice};
use crate::decode::{self, looks_like_cbor, looks_like_json};

/// The text that stands where something was taken out.
const REDACTED: &[u8] = b"redacted";
/// How often escapes are taken out of a text: JSON inside a text of JSON has two layers.
const MAX_LAYERS: usize = 8;
/// How deeply CBOR in strings of bytes is looked into.
const MAX_NESTED: usize = 8;

/// The texts and paths to take out of a trace.
#[derive(Debug, Default)]
pub struct Redaction {
    paths: Vec<RedactedPath>,
    patterns: Vec<RedactedPattern>,
    /// Ids of plugins, and what they become.
    plugins: HashMap<Arc<str>, Arc<str>>,
}

#[derive(Debug)]
struct RedactedPath {
    text: String,
    root: Root,
    steps: Vec<String>,
    found: u64,
}

#[derive(Debug)]
struct RedactedPattern {
    regex: Regex,
    found: u64,
}

/// What a path starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Header,
    Payload,
    Arguments,
    Result,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    pub(super) changed: bool,
    /// True if a path was asked for that could not be followed.
    pub(super) unsearched: bool,
}

/// Why something cannot be redacted.
#[derive(Debug, thiserror::Error)]
pub enum RedactionError {
    /// A path starts in nothing that a trace has.
    #[error(
        "`{path}` starts in nothing that is recorded; use header.<path>, payload.<path>, arguments.<path> or result.<path>"
    )]
    UnknownRoot {
        /// The path.
        path: String,
    },
    /// A pattern is no regular expression.
    #[error("`{pattern}` is no pattern: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: regex::Error,
    },
}

impl Redaction {
    /// Adds a path, such as `payload.customer.mail`, `header.user.id`, `payload.items.*.name`, or
    /// `arguments.1` and `result` of host calls; `*` is any key or position.
    ///
    /// # Errors
    ///
    /// If it starts in anything else.
    pub fn add_path(&mut self, path: &str) -> Result<(), RedactionError> {
        let mut steps = path.split('.').map(str::to_owned);
        let root = match steps.next().as_deref() {
            Some("header") => Root::Header,
            Some("payload") => Root::Payload,
            Some("arguments") => Root::Arguments,
            Some("result") => Root::Result,
            _ => return Err(RedactionError::UnknownRoot { path: path.to_owned() }),
        };
        let steps = steps.collect();
        self.paths.push(RedactedPath { text: path.to_owned(), root, steps, found: 0 });
        Ok(())
    }

    /// Adds a pattern: a regular expression that is replaced in every text, key and number of headers,
    /// payloads and host calls by itself, without the escapes of JSON, and in all other texts: messages of
    /// calls and loads, names and manifests of plugins.
    ///
    /// # Errors
    ///
    /// If it is no regular expression.
    pub fn add_pattern(&mut self, pattern: &str) -> Result<(), RedactionError> {
        let failed = |source| RedactionError::Pattern { pattern: pattern.to_owned(), source };
        let regex = Regex::new(pattern).map_err(failed)?;
        self.patterns.push(RedactedPattern { regex, found: 0 });
        Ok(())
    }

    /// True if there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.patterns.is_empty()
    }

    pub(super) fn report(&self) -> Vec<Redacted> {
        let paths = self.paths.iter().map(|path| (path.text.clone(), path.found));
        let patterns = self.patterns.iter();
        let patterns = patterns.map(|pattern| (pattern.regex.to_string(), pattern.found));
        paths.chain(patterns).map(|(what, times)| Redacted { what, times }).collect()
    }
}

impl Redaction {
    /// Takes out of an event what is not to stay.
    pub(super) fn event(&mut self, event: &mut Event) -> Done {
        let mut done = Done { changed: self.plugin(&mut event.plugin), unsearched: false };
        done.changed |= match &mut event.what {
            What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => {
                let inner = self.frame(frame);
                done.unsearched = inner.unsearched;
                inner.changed
            }
            What::HostCall { host_call, .. } => self.host_call(host_call),
            What::CallEnded { outcome, .. } => match outcome {
                Outcome::Failed { message: text, .. }
                | Outcome::Trapped { message: text, .. }
                | Outcome::Crashed { cause: text }
                | Outcome::Refused { reason: text } => self.text(text),
                _ => false,
            },
            What::Phase { cause: text, .. }
            | What::LoadFailed { message: text, .. }
            | What::ReloadFailed { message: text, .. }
            | What::PolicyChanged { summary: text }
            | What::PolicyAsked { parameter: text, .. } => self.text(text),
            What::Loaded { version: text, .. } | What::Reloaded { version: text, .. } => {
                self.text(text)
            }
            What::Unloaded => false,
        };
        done
    }

    /// What a trace says about a plugin, without what is not to stay.
    pub(super) fn record(&mut self, record: &PluginRecord) -> PluginRecord {
        let mut record = record.clone();
        self.text(&mut record.id);
        self.text(&mut record.version);
        if let Some(manifest) = &mut record.manifest {
            self.text(manifest);
        }
        record
    }

    fn plugin(&mut self, id: &mut Arc<str>) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let known = self.plugins.get(id).cloned();
        let new = known.unwrap_or_else(|| {
            let mut text = id.to_string();
            self.text(&mut text);
            let new: Arc<str> = text.into();
            self.plugins.insert(id.clone(), new.clone());
            new
        });
        let changed = new != *id;
        *id = new;
        changed
    }

    fn frame(&mut self, frame: &mut Frame) -> Done {
        let payload = &frame.payload;
        let document = structure(frame);
        let new_payload = match &document {
            Some(document) => self.document(Root::Payload, document, 0),
            None => self.unstructured(payload),
        };
        let has_paths = self.paths.iter().any(|path| path.root == Root::Payload);
        let unsearched = has_paths && document.is_none() && !self.blanks_all(Root::Payload);
        let unsearched = unsearched && can_hold_paths(payload);
        let header = decode::header_document(&frame.header);
        let header = header.and_then(|header| self.document(Root::Header, &header, 0));
        // A map stays one, whatever is taken out of it.
        let header = header.and_then(|bytes| Header::from_cbor(bytes.into()).ok());
        let changed = new_payload.is_some() || header.is_some();
        if let Some(payload) = new_payload {
            frame.payload = payload.into();
        }
        if let Some(header) = header {
            frame.header = header;
        }
        Done { changed, unsearched }
    }

    /// True if a path takes all of it.
    fn blanks_all(&self, root: Root) -> bool {
        self.paths.iter().any(|path| path.root == root && path.steps.is_empty())
    }

    /// A payload that is neither JSON nor CBOR, if it is to change.
    fn unstructured(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !payload.is_empty() && self.blanks_all(Root::Payload) {
            let whole =
                |path: &&mut RedactedPath| path.root == Root::Payload && path.steps.is_empty();
            self.paths.iter_mut().filter(whole).for_each(|path| path.found += 1);
            return Some(match std::str::from_utf8(payload) {
                Ok(_) => REDACTED.to_vec(),
                Err(_) => Vec::new(),
            });
        }
        self.content(payload, Layers::Written)
    }

    fn host_call(&mut self, host_call: &mut HostCall) -> bool {
        let arguments = self.value(Root::Arguments, &mut host_call.arguments);
        let result = match &mut host_call.result {
            Ok(value) => self.value(Root::Result, value),
            Err(_) => false,
        };
        let mut service = host_call.service.to_string();
        let named = self.text(&mut service);
        if named {
            host_call.service = service.into();
        }
        arguments || result || named
    }

    fn value(&mut self, root: Root, value: &mut Value) -> bool {
        let bytes = value.to_bytes();
        let document = Document::cbor(&bytes).ok();
        let new = document.and_then(|document| self.document(root, &document, 0));
        match new.map(|bytes| Value::decode(&bytes)) {
            Some(Ok(new)) => {
                *value = new;
                true
            }
            _ => false,
        }
    }

    /// The bytes of a document without what is not to stay, if anything of it is not.
    fn document(&mut self, root: Root, document: &Document<'_>, nested: usize) -> Option<Vec<u8>> {
        let mut splices: Vec<Splice> = Vec::new();
        for path in self.paths.iter_mut().filter(|path| path.root == root && nested == 0) {
            let found = follow(document, &path.steps);
            path.found += found.len() as u64;
            splices.extend(found.into_iter().map(|item| (item.span(), blank(item))));
        }
        if !self.patterns.is_empty() {
            let gone = merge(splices.iter().map(|(range, _)| range.clone()).collect());
            let mut gone = gone.into_iter().peekable();
            let mut is_embedded = false;
            for item in document.items() {
                let span = item.span();
                while gone.next_if(|gone| gone.end <= span.start).is_some() {}
                if gone.peek().is_some_and(|gone| gone.start <= span.start) {
                    continue;
                }
                // RFC 8949, section 3.4.5.1: encoded CBOR.
                let was_embedded = std::mem::take(&mut is_embedded);
                is_embedded = item.sort() == Sort::Tag && item.tag() == 24;
                splices.extend(self.item(root, item, was_embedded, nested));
            }
        }
        (!splices.is_empty()).then(|| splice(document.bytes(), splices))
    }

    /// What takes the place of an item or of a part of it, if it has a pattern in it.
    fn item(&mut self, root: Root, item: Item<'_>, is_cbor: bool, nested: usize) -> Option<Splice> {
        let (span, format) = (item.span(), item.format());
        let new = match (item.sort(), format) {
            (Sort::Text, Format::Json) => {
                let inside = self.content(item.inside(), Layers::Escaped)?;
                return Some((span.start + 1..span.end - 1, inside));
            }
            (Sort::Text, Format::Cbor) => {
                splice::string(Sort::Text, &self.content(&item.content(), Layers::Written)?)
            }
            (Sort::Bytes, _) => {
                let content = item.content();
                let is_cbor = is_cbor || looks_like_cbor(&content);
                let inner = Some(&content).filter(|_| is_cbor && nested < MAX_NESTED);
                let new = match inner.and_then(|content| Document::cbor(content).ok()) {
                    Some(inner) => self.document(root, &inner, nested + 1)?,
                    None => self.content(&content, Layers::Written)?,
                };
                splice::string(Sort::Bytes, &new)
            }
            (Sort::Number, _) => {
                self.content(item.word().as_bytes(), Layers::Written)?;
                blank(item)
            }
            _ => return None,
        };
        Some((span, new))
    }

    fn text(&mut self, text: &mut String) -> bool {
        match self.content(text.as_bytes(), Layers::Written) {
            Some(new) => {
                *text = String::from_utf8_lossy(&new).into_owned();
                true
            }
            None => false,
        }
    }

    /// Text or bytes without the patterns, if there are any.
    fn content(&mut self, content: &[u8], layers: Layers) -> Option<Vec<u8>> {
        // Each with the pattern that found it.
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        // With the escapes of JSON and without them, layer by layer, each with the way back.
        let mut ways: Vec<Unescaped> = Vec::new();
        for layer in 0..MAX_LAYERS {
            let seen = ways.last().map_or(content, |way| &way.bytes);
            let next = unescape(seen);
            if layer > 0 || layers == Layers::Written || next.is_none() {
                for (number, pattern) in self.patterns.iter().enumerate() {
                    let all = pattern.regex.find_iter(seen).map(|found| found.range());
                    for range in all.filter(|range| !range.is_empty()) {
                        let source = ways.iter().rev().fold(range, |range, way| way.source(range));
                        found.push((number, source));
                    }
                }
            }
            match next {
                Some(next) if next.bytes.len() < seen.len() => ways.push(next),
                _ => break,
            }
        }
        if found.is_empty() {
            return None;
        }
        for (number, pattern) in self.patterns.iter_mut().enumerate() {
            let of_this = found.iter().filter(|(by, _)| *by == number);
            pattern.found += merge(of_this.map(|(_, range)| range.clone()).collect()).len() as u64;
        }
        let ranges = merge(found.into_iter().map(|(_, range)| range).collect());
        Some(splice(content, ranges.into_iter().map(|range| (range, REDACTED.to_vec())).collect()))
    }
}

/// Ranges in order, those that overlap as one.
fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The kind of the first layer of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layers {
    /// It says what it is.
    Written,
    /// It has escapes of JSON, so that it says something else.
    Escaped,
}

/// The payload taken apart: one value, or several behind each other.
fn structure(frame: &Frame) -> Option<Document<'_>> {
    let payload = &frame.payload;
    if let Some(document) = decode::payload_document(frame) {
        return Some(document);
    }
    let format = match payload {
        payload if looks_like_json(payload) => Format::Json,
        payload if looks_like_cbor(payload) => Format::Cbor,
        _ => return None,
    };
    Document::sequence(payload, format).ok()
}

/// False if no path can lead anywhere in bytes that are neither JSON nor CBOR: a text without brackets.
fn can_hold_paths(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_err() || payload.iter().any(|byte| b"{[".contains(byte))
}

/// Every item that the steps lead to.
fn follow<'d>(document: &'d Document<'_>, steps: &[String]) -> Vec<Item<'d>> {
    let mut here: Vec<Item<'d>> = document.roots().collect();
    for step in steps {
        let mut next = Vec::new();
        for item in here.into_iter().map(Item::untagged) {
            match item.sort() {
                Sort::Map => {
                    let wanted = item.entries().filter(|(key, _)| is_wanted(*key, step));
                    next.extend(wanted.map(|(_, value)| value));
                }
                Sort::List => {
                    let items = item.children().enumerate();
                    let wanted = items.filter(|(at, _)| step == "*" || *step == at.to_string());
                    next.extend(wanted.map(|(_, item)| item));
                }
                _ => {}
            }
        }
        here = next;
    }
    here
}

fn is_wanted(key: Item<'_>, step: &str) -> bool {
    step == "*"
        || match key.sort() {
            Sort::Text => *key.content() == *step.as_bytes(),
            Sort::Number => key.word() == step,
            _ => false,
        }
}

/// The text that takes the place of a whole item.
fn blank(item: Item<'_>) -> Vec<u8> {
    let (json, cbor): (&[u8], &[u8]) = match item.sort() {
        Sort::Text => return splice::text(item.format(), REDACTED),
        Sort::Map => (b"{}", &[0xA0]),
        Sort::List => (b"[]", &[0x80]),
        Sort::Bytes => (b"null", &[0x40]),
        // The integer 0, or the shortest float.
        Sort::Number if item.raw().first().is_some_and(|first| first >> 5 == 7) => {
            (b"0", &[0xF9, 0, 0])
        }
        Sort::Number => (b"0", &[0]),
        Sort::Tag | Sort::Word => (b"null", &[0xF6]),
    };
    match item.format() {
        Format::Json => json.to_vec(),
        Format::Cbor => cbor.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a payload, and whether a path could not be followed in it.
    fn redacted(payload: &[u8], paths: &[&str], patterns: &[&str]) -> (Vec<u8>, bool) {
        let mut redaction = Redaction::default();
        paths.iter().for_each(|path| redaction.add_path(path).expect(path));
        patterns.iter().for_each(|pattern| redaction.add_pattern(pattern).expect(pattern));
        let mut frame = Frame::data(payload.to_vec());
        let done = redaction.frame(&mut frame);
        assert_eq!(done.changed, frame.payload != payload, "{payload:02x?}");
        (frame.payload.to_vec(), done.unsearched)
    }

    #[track_caller]
    fn check(payload: &str, paths: &[&str], patterns: &[&str], expected: &str) {
        let (left, unsearched) = redacted(payload.as_bytes(), paths, patterns);
        assert_eq!(String::from_utf8_lossy(&left), expected);
        assert!(!unsearched, "{payload}");
    }

    const MAIL: &str = r"[a-z]+@example\.org";

    #[test]
    fn what_is_not_taken_out_stays_byte_for_byte() {
        let rest = r#""id":123456789012345678901,"price":0.10,"n":-0,"dup":1,"dup":2,"f":1e2, "t" : "\u00e9\/\ud83d" }"#;
        let before = format!(r#"{{"z":1, "user":"ada@example.org",{rest}"#);
        let after = format!(r#"{{"z":1, "user":"redacted",{rest}"#);
        check(&before, &["payload.user"], &[], &after);
        check(&before, &[], &[MAIL], &after);
        check("\u{FEFF}{\"a\":1}\r\n", &["payload.a"], &[], "\u{FEFF}{\"a\":0}\r\n");
    }

    #[test]
    fn paths_lead_to_every_value() {
        check(r#"{"a":1,"a":[2,{"b":3}]}"#, &["payload.a"], &[], r#"{"a":0,"a":[]}"#);
        check(
            r#"[{"a":"x"},{"a":true},{"a":{"b":1}}]"#,
            &["payload.*.a"],
            &[],
            r#"[{"a":"redacted"},{"a":null},{"a":{}}]"#,
        );
        check(r#"{"\u0061":1e999}"#, &["payload.a"], &[], r#"{"\u0061":0}"#);
        check(r#"{"a":"\ud83d","b":2}"#, &["payload.a"], &[], r#"{"a":"redacted","b":2}"#);
        check("{\"a\":1}\n{\"a\":2}\n", &["payload.a"], &[], "{\"a\":0}\n{\"a\":0}\n");
        check("hello", &["payload"], &[], "redacted");
        check(r#"{"a":1}"#, &["payload"], &[], "{}");
        check("hello", &["payload.a"], &[], "hello");
        // What a path takes out is not looked into again.
        check(r#"{"a":{"b":"ada@example.org"}}"#, &["payload.a"], &["ada"], r#"{"a":{}}"#);
        let deep = |bottom: &str| {
            format!("{{\"a\":\"x\",\"d\":{}{bottom}{}}}", "[".repeat(10_000), "]".repeat(10_000))
        };
        check(
            &deep("1").replace("\"x\"", "2"),
            &["payload.a"],
            &[],
            &deep("1").replace("\"x\"", "0"),
        );
        check(&deep("\"ada@example.org\""), &[], &[MAIL], &deep("\"redacted\""));
    }

    #[test]
    fn patterns_are_found_however_they_are_written() {
        check(
            r#"{"mail":"bob@example.org","n":"hi \ud83d"}"#,
            &[],
            &[MAIL],
            r#"{"mail":"redacted","n":"hi \ud83d"}"#,
        );
        check(r#"["\ud83d bob\u0040example.org \n"]"#, &[], &[MAIL], r#"["\ud83d redacted \n"]"#);
        check(r#"["\nbob@example.org"]"#, &[], &[MAIL], r#"["\nredacted"]"#);
        check(
            r#"{"bob@example.org":1,"\u0062ob@example.org":2}"#,
            &[],
            &[MAIL],
            r#"{"redacted":1,"redacted":2}"#,
        );
        check(r#"{"n":4111111111111111,"m":[4111]}"#, &[], &["4111.*"], r#"{"n":0,"m":[0]}"#);
        // JSON in a text of JSON.
        check(
            r#"{"t":"{\"m\":\"bob\\u0040example.org\"}"}"#,
            &[],
            &[MAIL],
            r#"{"t":"{\"m\":\"redacted\"}"}"#,
        );
        // What cannot be parsed, what is followed by more, and what is no JSON at all.
        check(r#"{"m":"bob\u0040example.org","#, &[], &[MAIL], r#"{"m":"redacted","#);
        check(
            "{\"m\":\"bob@example.org\"}\n{\"m\":\"ada\\u0040example.org\"}",
            &[],
            &[MAIL],
            "{\"m\":\"redacted\"}\n{\"m\":\"redacted\"}",
        );
        check(
            "to: bob@example.org, ada@example.org",
            &[],
            &[MAIL, "bob"],
            "to: redacted, redacted",
        );
        check("nothing", &[], &["x*"], "nothing");
    }

    #[test]
    fn lengths_of_cbor_stay_right() {
        #[track_caller]
        fn check(payload: &[u8], paths: &[&str], patterns: &[&str], expected: &[u8]) {
            let (left, unsearched) = redacted(payload, paths, patterns);
            assert_eq!(left, expected, "{left:02x?}");
            assert!(!unsearched);
        }
        let text = |text: &str| splice::text(Format::Cbor, text.as_bytes());
        let mail = || text("bob@example.org");
        let gone = || text("redacted");
        let around = |inside: Vec<u8>| {
            [vec![0xBF, 0x18, 0x01], inside, vec![0xF9, 0x7E, 0x01, 0xC1, 0x05, 0xFF]].concat()
        };
        check(&around(mail()), &[], &[MAIL], &around(gone()));
        check(&around(mail()), &["payload.1"], &[], &around(gone()));
        let parts = [vec![0x7F], text("bob@exa"), text("mple.org"), vec![0xFF]].concat();
        check(&around(parts), &[], &[MAIL], &around(gone()));
        // Twice under one key, and as a key.
        let twice = |one: Vec<u8>, key: Vec<u8>| {
            [vec![0xA3], text("m"), one.clone(), text("m"), one, key, vec![0xF7]].concat()
        };
        check(&twice(mail(), mail()), &[], &[MAIL], &twice(gone(), gone()));
        check(&twice(vec![0x07], text("k")), &["payload.m"], &[], &twice(vec![0x00], text("k")));
        // Strings of bytes: of any sort, and encoded CBOR.
        let bytes = |content: &[u8]| splice::string(Sort::Bytes, content);
        let list = |item: Vec<u8>| [vec![0x81], item].concat();
        check(&list(bytes(b"\xff bob@example.org")), &[], &[MAIL], &list(bytes(b"\xff redacted")));
        let inner = |item: Vec<u8>| list([vec![0xD8, 0x18], bytes(&item)].concat());
        check(&inner(mail()), &[], &[MAIL], &inner(gone()));
        check(&inner(list(mail())), &[], &[MAIL], &inner(list(gone())));
        // A bignum, as bytes, and floats.
        check(&list(vec![0xFA, 0x47, 0xC3, 0x50, 0]), &["payload.0"], &[], &list(vec![0xF9, 0, 0]));
        check(&list(vec![0x1A, 0, 1, 0xE2, 0x40]), &[], &["^123456$"], &list(vec![0x00]));
        // Several values behind each other, and what is no CBOR.
        check(
            &[list(mail()), list(mail())].concat(),
            &[],
            &[MAIL],
            &[list(gone()), list(gone())].concat(),
        );
        check(b"\xff\x00bob@example.org", &[], &[MAIL], b"\xff\x00redacted");
        let deep = |inside: Vec<u8>| [vec![0x81; 10_000], inside].concat();
        check(&deep(mail()), &[], &[MAIL], &deep(gone()));
    }

    #[test]
    fn what_cannot_be_searched_is_told() {
        #[track_caller]
        fn check(payload: &[u8], path: &str, expected: bool) {
            assert_eq!(redacted(payload, &[path], &[]).1, expected, "{payload:02x?}");
        }
        check(b"{\"user\":\"ann\"", "payload.user", true);
        check(b"app: {\"user\":\"ann\"}", "payload.user", true);
        check(b"{\"user\":\"ann\",\"x\":\"\xff\"}", "payload.user", true);
        check(&[0xA1, 0x64, b'u'], "payload.user", true);
        check(b"{\"user\":\"ann\"", "header.user", false);
        check(b"{\"user\":\"ann\"", "payload", false);
        check(b"{\"user\":\"ann\"}", "payload.user", false);
        check(b"{\"user\":\"ann\"} {}", "payload.user", false);
        check(b"plain text", "payload.user", false);
        check(b"", "payload.user", false);
    }

    #[test]
    fn every_text_of_an_event_is_searched() {
        let mut left: Vec<&str> = Vec::new();
        for mut event in crate::trace::sample::events() {
            // A word of each sample event, which must not be in it afterwards.
            let mut redaction = Redaction::default();
            redaction.add_pattern("(?i)[a-z]{2,}").expect("a pattern");
            let before = event.clone();
            redaction.event(&mut event);
            assert_eq!(event.sequence, before.sequence);
            if &*event.plugin != "redacted" {
                left.push("plugin");
            }
            match &event.what {
                What::HostCall { host_call, .. } => {
                    assert!(host_call.service.contains("redacted"), "{host_call:?}");
                }
                What::LoadFailed { message, .. } | What::ReloadFailed { message, .. } => {
                    assert!(message.is_empty() || message.contains("redacted"), "{message}");
                }
                _ => {}
            }
        }
        assert!(left.is_empty(), "{left:?}");
        let mut redaction = Redaction::default();
        redaction.add_pattern(MAIL).expect("a pattern");
        let record = PluginRecord {
            id: "a".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "00".to_owned(),
            binding: None,
            manifest: Some("authors = [\"bob\\u0040example.org\"]".to_owned()),
        };
        let expected = Some("authors = [\"redacted\"]".to_owned());
        assert_eq!(redaction.record(&record).manifest, expected);
    }
}
