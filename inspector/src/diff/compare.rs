//! What is different between two calls that belong together.

use std::collections::BTreeSet;

use glovebox_abi::Frame;
use glovebox_abi::units::show_duration;
use serde_json::Value as Json;
use similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices};

use super::{Change, Class, DiffOptions, RunCall};
use crate::decode::{self, PayloadFormat};

/// Bytes shown of a payload that is neither JSON, CBOR nor text.
const SHOWN_BYTES: usize = 32;

pub(super) fn calls(
    before: &RunCall,
    after: &RunCall,
    options: &DiffOptions,
) -> (Class, Vec<Change>) {
    let mut found = Found { options, output: None, changes: Vec::new() };
    let outcome = |call: &RunCall| {
        let outcome = call.outcome.as_ref();
        outcome.map_or_else(|| "pending".to_owned(), ToString::to_string)
    };
    if before.outcome != after.outcome {
        found.add("/outcome", Some(outcome(before)), Some(outcome(after)));
    }
    let outcome_changed = !found.changes.is_empty();
    found.frames("/input", &before.input, &after.input);
    let reordered = is_reordered(before, after);
    if !reordered {
        found.outputs(before, after);
    }
    let class = match found.changes.is_empty() {
        _ if outcome_changed => Class::Outcome,
        false => Class::Changed,
        true if reordered => {
            let (before, after) = (order(before, before), order(before, after));
            found.add("/order", Some(before), Some(after));
            found.class_if_any(Class::Order)
        }
        true => {
            found.latency(before, after);
            found.class_if_any(Class::Slower)
        }
    };
    (class, found.changes)
}

/// True if both gave the same outputs, but not in the same order.
fn is_reordered(before: &RunCall, after: &RunCall) -> bool {
    if before.outputs == after.outputs || before.outputs.len() != after.outputs.len() {
        return false;
    }
    let sorted = |call: &RunCall| {
        let mut outputs: Vec<_> = call.outputs.iter().map(Frame::to_bytes).collect();
        outputs.sort();
        outputs
    };
    sorted(before) == sorted(after)
}

/// The outputs of `call`, as positions in `reference`.
fn order(reference: &RunCall, call: &RunCall) -> String {
    let position = |output| reference.outputs.iter().position(|known| known == output);
    let positions: Vec<String> =
        call.outputs.iter().filter_map(position).map(|at| at.to_string()).collect();
    positions.join(" ")
}

/// Collects changes that are not ignored.
struct Found<'a> {
    options: &'a DiffOptions,
    output: Option<usize>,
    changes: Vec<Change>,
}

impl Found<'_> {
    fn class_if_any(&self, class: Class) -> Class {
        if self.changes.is_empty() { Class::Same } else { class }
    }

    fn is_ignored(&self, path: &str) -> bool {
        // A pattern for frames holds for inputs too.
        let inside = path.strip_prefix("/input").unwrap_or(path);
        let mut patterns = self.options.ignore.iter();
        patterns.any(|pattern| pattern.matches(path) || pattern.matches(inside))
    }

    fn add(&mut self, path: &str, before: Option<String>, after: Option<String>) {
        if !self.is_ignored(path) {
            self.changes.push(Change { output: self.output, path: path.to_owned(), before, after });
        }
    }

    fn latency(&mut self, before: &RunCall, after: &RunCall) {
        let (Some(factor), Some(old), Some(new)) =
            (self.options.slower_factor, before.latency, after.latency)
        else {
            return;
        };
        if new > self.options.slower_floor && new.as_secs_f64() > old.as_secs_f64() * factor {
            self.add("/latency", Some(show_duration(old)), Some(show_duration(new)));
        }
    }

    /// Aligns the outputs, so that one more or less does not make all others different.
    fn outputs(&mut self, before: &RunCall, after: &RunCall) {
        let (old, new) = (&before.outputs, &after.outputs);
        for operation in capture_diff_slices(Algorithm::Myers, old, new) {
            if matches!(operation, DiffOp::Equal { .. }) {
                continue;
            }
            let mut old_at = operation.old_range();
            let mut new_at = operation.new_range();
            loop {
                match (old_at.next(), new_at.next()) {
                    (Some(old_at), Some(new_at)) => {
                        self.output = Some(new_at);
                        self.frames("", &old[old_at], &new[new_at]);
                    }
                    (Some(old_at), None) => {
                        self.output = Some(old_at);
                        self.add("/", Some(summary(&old[old_at])), None);
                    }
                    (None, Some(new_at)) => {
                        self.output = Some(new_at);
                        self.add("/", None, Some(summary(&new[new_at])));
                    }
                    (None, None) => break,
                }
            }
        }
        self.output = None;
    }

    fn frames(&mut self, path: &str, before: &Frame, after: &Frame) {
        if before.kind != after.kind {
            let (before, after) = (before.kind.to_string(), after.kind.to_string());
            self.add(&format!("{path}/kind"), Some(before), Some(after));
        }
        if before.header != after.header {
            let (before, after) = (decode::header_json(before), decode::header_json(after));
            self.json(&format!("{path}/header"), &before, &after);
        }
        if before.payload != after.payload {
            self.payloads(&format!("{path}/payload"), before, after);
        }
    }

    fn payloads(&mut self, path: &str, before: &Frame, after: &Frame) {
        match (decode::payload_json(before), decode::payload_json(after)) {
            (Some(before), Some(after)) => return self.json(path, &before, &after),
            (None, None) => {}
            _ => return self.add(path, Some(summary(before)), Some(summary(after))),
        }
        let is_text = |frame| {
            let format = decode::payload_format(frame);
            matches!(format, PayloadFormat::Text | PayloadFormat::Empty)
        };
        let (old, new) = (&before.payload, &after.payload);
        if is_text(before) && is_text(after) {
            let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
            self.lines(path, &old, &new);
        } else {
            let same = old.iter().zip(new.iter()).take_while(|(a, b)| a == b);
            let start = same.count();
            let shown = |bytes: &[u8]| Some(show_bytes(&bytes[start..]));
            self.add(&format!("{path}/bytes/{start}"), shown(old), shown(new));
        }
    }

    fn lines(&mut self, path: &str, before: &str, after: &str) {
        let diff = TextDiff::from_lines(before, after);
        let (old, new): (Vec<&str>, Vec<&str>) =
            (diff.iter_old_slices().collect(), diff.iter_new_slices().collect());
        for operation in diff.ops() {
            if matches!(operation, DiffOp::Equal { .. }) {
                continue;
            }
            let line = operation.new_range().start + 1;
            let joined = |lines: &[&str]| {
                (!lines.is_empty()).then(|| lines.concat().trim_end_matches('\n').to_owned())
            };
            let before = joined(&old[operation.old_range()]);
            let after = joined(&new[operation.new_range()]);
            self.add(&format!("{path}/lines/{line}"), before, after);
        }
    }

    fn json(&mut self, path: &str, before: &Json, after: &Json) {
        if before == after || self.is_ignored(path) {
            return;
        }
        match (before, after) {
            (Json::Object(old), Json::Object(new)) => {
                let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for key in keys {
                    let path = format!("{path}/{}", escape(key));
                    match (old.get(key), new.get(key)) {
                        (Some(old), Some(new)) => self.json(&path, old, new),
                        (old, new) => self.add(
                            &path,
                            old.map(ToString::to_string),
                            new.map(ToString::to_string),
                        ),
                    }
                }
            }
            (Json::Array(old), Json::Array(new)) => self.items(path, old, new),
            _ => self.add(path, Some(before.to_string()), Some(after.to_string())),
        }
    }

    /// Aligns the items of lists, so that one more or less does not make all others different.
    fn items(&mut self, path: &str, old: &[Json], new: &[Json]) {
        if old.len() == new.len() {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                self.json(&format!("{path}/{index}"), old, new);
            }
            return;
        }
        let texts = |items: &[Json]| items.iter().map(Json::to_string).collect::<Vec<_>>();
        for operation in capture_diff_slices(Algorithm::Myers, &texts(old), &texts(new)) {
            if matches!(operation, DiffOp::Equal { .. }) {
                continue;
            }
            let (old_at, new_at) = (operation.old_range(), operation.new_range());
            for step in 0..old_at.len().max(new_at.len()) {
                let old_at = old_at.clone().nth(step);
                let new_at = new_at.clone().nth(step);
                let index = new_at.or(old_at).unwrap_or_default();
                let path = format!("{path}/{index}");
                match (old_at.map(|at| &old[at]), new_at.map(|at| &new[at])) {
                    (Some(old), Some(new)) => self.json(&path, old, new),
                    (old, new) => {
                        self.add(&path, old.map(ToString::to_string), new.map(ToString::to_string))
                    }
                }
            }
        }
    }
}

/// As in JSON Pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A whole frame in one line.
fn summary(frame: &Frame) -> String {
    let payload = match decode::payload_json(frame) {
        Some(json) => json.to_string(),
        None => match decode::payload_format(frame) {
            PayloadFormat::Text => String::from_utf8_lossy(&frame.payload).into_owned(),
            PayloadFormat::Empty => "empty".to_owned(),
            _ => show_bytes(&frame.payload),
        },
    };
    format!("{} {payload}", frame.kind)
}

fn show_bytes(bytes: &[u8]) -> String {
    let shown = decode::hex(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    if bytes.len() > SHOWN_BYTES { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}
