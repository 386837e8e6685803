//! Takes values out of headers, payloads and texts, span by span.

#[cfg(test)]
mod structure_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_events::{Event, HostCall, Outcome, What};
use glovebox_trace::PluginRecord;

use super::Redacted;
use super::form::{self, Field};
use super::http::{self, Extent, Message, Part};
use super::leaves::Kind;
use super::multipart::Said;
use super::path::{self, Root, Step};
use super::patterns::Patterns;
use super::walk::{Body, REDACTED, Taken, Walk, Want, apply, has_word, is_named, unfolded};
use crate::decode;
use crate::decode::document::{Document, Format};

/// The texts and paths to take out of a trace.
#[derive(Debug, Default)]
pub struct Redaction {
    paths: Vec<RedactedPath>,
    patterns: Patterns,
    /// Ids of plugins, and what they become.
    plugins: HashMap<Arc<str>, Arc<str>>,
}

#[derive(Debug)]
struct RedactedPath {
    text: String,
    root: Root,
    steps: Vec<Step>,
    found: u64,
}

impl RedactedPath {
    fn takes_all(&self) -> bool {
        self.steps.iter().all(|step| *step == Step::Deep)
    }
}

/// The result for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    pub(super) changed: bool,
    /// True if something was asked for that could not be looked for.
    pub(super) unsearched: bool,
}

/// Why something cannot be redacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactionError {
    /// A path starts in nothing that a trace has.
    #[error("a path must start with header, payload, arguments or result; `{path}` does not")]
    UnknownRoot {
        /// The path.
        path: String,
    },
    /// A path is written as a JSON Pointer.
    #[error("keys of a path stand behind points: write `{points}`, not `{path}`")]
    Pointer {
        /// The path.
        path: String,
        /// The same with points.
        points: String,
    },
    /// A path is written wrongly.
    #[error("`{path}` is no path at character {character}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// Where it is wrong, from 1.
        character: usize,
        /// The error there.
        reason: &'static str,
    },
    /// A pattern is no regular expression.
    #[error("`{pattern}` is no pattern: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The error in it.
        source: regex::Error,
    },
}

impl Redaction {
    /// Adds a path, such as `payload.customer.mail`, `header.user.id`, `payload.items.*.name`, or
    /// `arguments.1` and `result` of host calls; `*` is any key or position, and `**` any number of them,
    /// or none. `["a.b"]` is a key with a
    /// dot, and `[0]` the same as `.0`.
    ///
    /// # Errors
    ///
    /// If it starts in anything else, or is written wrongly.
    pub fn add_path(&mut self, path: &str) -> Result<(), RedactionError> {
        let (root, steps) = path::read(path)?;
        self.paths.push(RedactedPath { text: path.to_owned(), root, steps, found: 0 });
        Ok(())
    }

    /// Adds a pattern: a regular expression that is replaced in every text, key and number of headers,
    /// payloads and host calls by itself, without escapes, and in all other texts: messages of calls and
    /// loads, names and manifests of plugins.
    ///
    /// # Errors
    ///
    /// If it is no regular expression.
    pub fn add_pattern(&mut self, pattern: &str) -> Result<(), RedactionError> {
        let failed = |source| RedactionError::Pattern { pattern: pattern.to_owned(), source };
        self.patterns.add(pattern).map_err(failed)
    }

    /// True if there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.patterns.is_empty()
    }

    pub(super) fn report(&self) -> Vec<Redacted> {
        let paths = self.paths.iter().map(|path| (path.text.clone(), path.found));
        paths.chain(self.patterns.found()).map(|(what, times)| Redacted { what, times }).collect()
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
            What::HostCall { host_call, .. } => {
                let inner = self.host_call(host_call);
                done.unsearched = inner.unsearched;
                inner.changed
            }
            What::CallEnded { outcome, .. } => match outcome {
                Outcome::Failed { message: text, .. }
                | Outcome::Trapped { message: text, .. }
                | Outcome::Crashed { cause: text, .. }
                | Outcome::Refused { reason: text } => self.patterns.text(text),
                _ => false,
            },
            What::Phase { cause: text, .. }
            | What::Note { text, .. }
            | What::LoadFailed { message: text, .. }
            | What::ReloadFailed { message: text, .. }
            | What::PolicyChanged { summary: text }
            | What::FramesDropped { reason: text, .. }
            | What::PolicyAsked { parameter: text, .. } => self.patterns.text(text),
            What::Loaded { version: text, .. } | What::Reloaded { version: text, .. } => {
                self.patterns.text(text)
            }
            What::Unloaded => false,
        };
        done.unsearched |= self.patterns.were_blocked();
        done
    }

    /// The record of a plugin in a trace, redacted.
    pub(super) fn record(&mut self, record: &PluginRecord) -> PluginRecord {
        let mut record = record.clone();
        self.patterns.text(&mut record.id);
        self.patterns.text(&mut record.version);
        for instance in &mut record.instances {
            for text in [
                &mut instance.version,
                &mut instance.file,
                &mut instance.folder,
                &mut instance.mark,
            ] {
                self.patterns.text(text);
            }
        }
        if let Some(manifest) = &mut record.manifest {
            self.patterns.manifest(manifest);
        }
        record
    }

    /// The name of an attached file, redacted.
    pub(super) fn name(&mut self, name: &str) -> String {
        let mut name = name.to_owned();
        self.patterns.text(&mut name);
        name
    }

    /// The content of an attached file, redacted; `None` if it is neither a text nor a frame.
    pub(super) fn attachment(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        // A frame begins with bytes that no text has, and may be UTF-8 all the same.
        if let Ok(mut frame) = Frame::decode(&Bytes::copy_from_slice(data)) {
            let done = self.frame(&mut frame);
            return (!done.unsearched).then(|| frame.to_bytes().to_vec());
        }
        let mut text = String::from_utf8(data.to_vec()).ok()?;
        self.patterns.text(&mut text);
        Some(text.into_bytes())
    }

    fn plugin(&mut self, id: &mut Arc<str>) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let known = self.plugins.get(id).cloned();
        let new = known.unwrap_or_else(|| {
            let mut text = id.to_string();
            self.patterns.text(&mut text);
            let new: Arc<str> = text.into();
            self.plugins.insert(id.clone(), new.clone());
            new
        });
        let changed = new != *id;
        *id = new;
        changed
    }

    fn frame(&mut self, frame: &mut Frame) -> Done {
        let (payload, unsearched) = self.payload(frame);
        let header = decode::header_document(&frame.header);
        let (header, blocked) = match header {
            Some(header) => self.document(Root::Header, &header),
            None => (None, false),
        };
        // A map stays one, whatever is taken out of it.
        let header = header.and_then(|bytes| Header::from_cbor(bytes.into()).ok());
        let changed = payload.is_some() || header.is_some();
        if let Some(payload) = payload {
            frame.payload = payload.into();
        }
        if let Some(header) = header {
            frame.header = header;
        }
        Done { changed, unsearched: unsearched || blocked }
    }

    /// The new payload, if it changes, and whether something could not be looked for in it.
    fn payload(&mut self, frame: &Frame) -> (Option<Vec<u8>>, bool) {
        if let Some(document) = decode::payload_document(frame) {
            return self.document(Root::Payload, &document);
        }
        let payload = &frame.payload;
        if let Some(parts) = http::parts(payload)
            && !self.blanks_all(Root::Payload)
        {
            return self.messages(payload, &parts);
        }
        let said = frame.header.get_text(Header::CONTENT_TYPE).unwrap_or_default();
        let said = Said::of(said.as_bytes());
        let kind = Kind::bytes(said.clone());
        match Body::of(payload, &said) {
            Some(Body::Document(document)) => self.document(Root::Payload, &document),
            Some(_) if self.blanks_all(Root::Payload) => (self.unstructured(payload, &kind), false),
            None => {
                let unsearched = self.misses(payload);
                (self.unstructured(payload, &kind), unsearched)
            }
            Some(form) => {
                let (new, gone, blocked) = self.follow(payload, &form);
                let seen = new.as_deref().unwrap_or(payload);
                (self.patterns.content(seen, &kind, &gone).or(new), blocked)
            }
        }
    }

    /// The new payload, if it changes, of one that begins with messages of HTTP. Paths are
    /// followed in their bodies; patterns are looked for in heads, in bodies without the bytes between
    /// their chunks, and in trailers.
    fn messages(&mut self, payload: &[u8], parts: &[Part<'_>]) -> (Option<Vec<u8>>, bool) {
        let (mut out, mut unsearched) = (Vec::new(), false);
        let has_paths = self.paths.iter().any(|path| path.root == Root::Payload);
        let text = Kind::bytes(Said::default());
        for part in parts {
            let message = match part {
                Part::Message(message) => message,
                Part::Rest(bytes) => {
                    unsearched |= self.misses(bytes);
                    let new = self.patterns.content(bytes, &text, &[]);
                    out.extend_from_slice(new.as_deref().unwrap_or(bytes));
                    continue;
                }
            };
            let (head, gone_in_head, blocked) = self.target(message);
            unsearched |= blocked;
            let body = Body::of(&message.body, &message.said);
            let (mut new, mut gone_here) = (None, Vec::new());
            match &body {
                Some(body) => {
                    let blocked;
                    (new, gone_here, blocked) = self.follow(&message.body, body);
                    unsearched |= blocked;
                }
                None => unsearched |= self.misses(&message.body),
            }
            unsearched |= match message.extent {
                Extent::Whole => false,
                // A document says itself where it ends, and so does the last part.
                Extent::Open => {
                    has_paths && !matches!(body, Some(Body::Document(_) | Body::Multipart(_)))
                }
                Extent::Cut => has_paths || message.is_chunked() && !self.patterns.is_empty(),
            };
            let seen = new.as_deref().unwrap_or(&message.body);
            let kind = Kind::bytes(message.said.clone());
            let new = self.patterns.content(seen, &kind, &gone_here).or(new);
            let seen = head.as_deref().unwrap_or(message.head);
            let kept = http::length_of(seen).into_iter().chain(gone_in_head);
            let kind = Kind { is_head: true, ..Kind::bytes(Said::default()) };
            let head = self.patterns.content(seen, &kind, &kept.collect::<Vec<_>>()).or(head);
            let head = head.as_deref().unwrap_or(message.head);
            match &new {
                None => {
                    out.extend_from_slice(head);
                    out.extend_from_slice(&message.raw[message.head.len()..]);
                }
                Some(new) => drop(message.write_with(head, new, &mut out)),
            }
            let trailer = message.trailer();
            if let Some(new) = self.patterns.content(trailer, &text, &[]) {
                out.truncate(out.len() - trailer.len());
                out.extend_from_slice(&new);
            }
        }
        ((out != payload).then_some(out), unsearched)
    }

    /// The head of a message without what paths lead to in the query of its target. The other lines
    /// are not taken apart: whether a path is named there, as in a cookie, is said.
    fn target(&mut self, message: &Message<'_>) -> Followed {
        let (line, rest) = message.head.split_at(message.first_line.end);
        let words = |place: Option<usize>| place.unwrap_or(line.len());
        let start = words(line.iter().position(|byte| *byte == b' '));
        let end = words(line.iter().rposition(|byte| *byte == b' ')).max(start);
        let (mut new, mut gone, mut blocked) = (None, Vec::new(), false);
        match form::fields(&line[start..end], true) {
            Some(fields) => {
                let shifted = |range: Range<usize>| range.start + start..range.end + start;
                let fields = fields
                    .into_iter()
                    .map(|field| Field { key: shifted(field.key), value: shifted(field.value) });
                let fields = Body::Form(fields.collect());
                (new, gone, blocked) = self.follow(message.head, &fields);
            }
            None => blocked |= self.misses(&line[start..end]),
        }
        for path in self.paths.iter().filter(|path| path.root == Root::Payload) {
            let mut steps = path.steps.iter().skip_while(|step| **step == Step::Deep);
            if let Some(Step::Key(name)) = steps.next() {
                blocked |= has_word(rest, name.as_bytes(), b"=");
            }
        }
        (new, gone, blocked)
    }

    /// True if a path could lead to something in bytes that cannot be taken apart: they are no text,
    /// have brackets, or name its first step.
    fn misses(&self, bytes: &[u8]) -> bool {
        let paths = self.paths.iter().filter(|path| path.root == Root::Payload);
        let wants = unfolded(paths.map(|path| Want { path: 0, steps: &path.steps }));
        !wants.is_empty()
            && !self.blanks_all(Root::Payload)
            && (std::str::from_utf8(bytes).is_err()
                || bytes.iter().any(|byte| b"{[".contains(byte))
                || is_named(bytes, &wants))
    }

    /// A body without what paths lead to, where that was, and whether one was blocked.
    fn follow(&mut self, bytes: &[u8], body: &Body<'_>) -> Followed {
        self.walk(bytes, Root::Payload, |walk, wants| walk.body(bytes, body, wants))
    }

    fn walk(
        &mut self,
        bytes: &[u8],
        root: Root,
        take: impl FnOnce(&mut Walk, &[Want<'_>]) -> Vec<Taken>,
    ) -> Followed {
        let mut walk = Walk::default();
        let paths = self.paths.iter().enumerate().filter(|(_, path)| path.root == root);
        let wants = paths.map(|(number, path)| Want { path: number, steps: &path.steps });
        let taken = take(&mut walk, &unfolded(wants));
        for path in &walk.found {
            self.paths[*path].found += 1;
        }
        if taken.is_empty() {
            return (None, Vec::new(), walk.is_blocked);
        }
        let (new, gone) = apply(bytes, taken);
        (Some(new), gone, walk.is_blocked)
    }

    /// True if a path takes all of it.
    fn blanks_all(&self, root: Root) -> bool {
        self.paths.iter().any(|path| path.root == root && path.takes_all())
    }

    /// A payload that cannot be taken apart, if it is to change.
    fn unstructured(&mut self, payload: &[u8], kind: &Kind) -> Option<Vec<u8>> {
        if !payload.is_empty() && self.blanks_all(Root::Payload) {
            let whole = |path: &&mut RedactedPath| path.root == Root::Payload && path.takes_all();
            self.paths.iter_mut().filter(whole).for_each(|path| path.found += 1);
            return Some(match std::str::from_utf8(payload) {
                Ok(_) => REDACTED.as_bytes().to_vec(),
                Err(_) => Vec::new(),
            });
        }
        self.patterns.content(payload, kind, &[])
    }

    fn host_call(&mut self, host_call: &mut HostCall) -> Done {
        let mut done = self.value(Root::Arguments, &mut host_call.arguments);
        if let Ok(value) = &mut host_call.result {
            let result = self.value(Root::Result, value);
            done.changed |= result.changed;
            done.unsearched |= result.unsearched;
        }
        let mut service = host_call.service.to_string();
        if self.patterns.text(&mut service) {
            host_call.service = service.into();
            done.changed = true;
        }
        done
    }

    fn value(&mut self, root: Root, value: &mut Value) -> Done {
        let bytes = value.to_bytes();
        let Ok(document) = Document::cbor(&bytes) else { return Done::default() };
        let (new, unsearched) = self.document(root, &document);
        match new.map(|bytes| Value::decode(&bytes)) {
            Some(Ok(new)) => {
                *value = new;
                Done { changed: true, unsearched }
            }
            None => Done { changed: false, unsearched },
            Some(Err(_)) => Done { changed: false, unsearched: true },
        }
    }

    /// The bytes of a document without what is not to stay, if anything of it is not, and whether
    /// something could not be looked for.
    fn document(&mut self, root: Root, document: &Document<'_>) -> (Option<Vec<u8>>, bool) {
        let bytes = document.bytes();
        let (new, gone, blocked) =
            self.walk(bytes, root, |walk, wants| walk.document(document, wants));
        let is_cbor = document.format() == Format::Cbor;
        let kind = Kind { is_cbor, ..Kind::bytes(Said::default()) };
        let found = self.patterns.content(new.as_deref().unwrap_or(bytes), &kind, &gone);
        (found.or(new), blocked)
    }
}

/// A text without what paths lead to, if they lead to something; where that was; and whether a path
/// could not be followed.
type Followed = (Option<Vec<u8>>, Vec<Range<usize>>, bool);
