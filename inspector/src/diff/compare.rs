//! The differences between two calls that belong together.

use glovebox_abi::Frame;
use glovebox_abi::cbor::Value;
use glovebox_abi::units::show_duration;
use glovebox_events::{HostCall, MADE_UP, Outcome};
use similar::DiffOp;

use super::align::{sequence, token};
use super::path::Place;
use super::structure::{Found, differences, tokens};
use super::{Change, Class, Comparison, DiffOptions, RunCall, RunOutput};
use crate::decode::document::Format;
use crate::decode::print::{Style, print};
use crate::decode::{self, Document, PayloadFormat, hex};

/// Bytes shown of a payload that is neither JSON, CBOR nor text.
const SHOWN_BYTES: usize = 32;
/// Payloads beyond this many bytes are compared from both ends only.
const ALIGNED_BYTES: usize = 16 << 10;
/// So few equal bytes between two differences are shown with them.
const JOINED_BYTES: usize = 4;

pub(super) fn calls(
    before: &RunCall,
    after: &RunCall,
    moved: bool,
    options: &DiffOptions,
) -> Comparison {
    let mut found = Found::new(options);
    if before.outcome != after.outcome {
        found.at("/outcome", Some(ending(before)), Some(ending(after)));
    }
    let outcome_changed = !found.is_empty();
    frames(&mut found, "/input", &before.input, &after.input);
    let reordered = is_reordered(before, after);
    if !reordered {
        outputs(&mut found, before, after);
    }
    let class = match found.is_empty() {
        _ if outcome_changed => Class::Outcome,
        false => Class::Changed,
        true => {
            if reordered {
                found.at("/order", Some(order(before, before)), Some(order(before, after)));
            } else if moved {
                let place = |call: &RunCall| Some(format!("call {}", call.id));
                found.at("/order", place(before), place(after));
            }
            let class = if found.is_empty() { Class::HostCalls } else { Class::Order };
            host_calls(&mut found, &before.host_calls, &after.host_calls);
            if found.is_empty() {
                latency(&mut found, before, after);
                match found.is_empty() {
                    false => Class::Slower,
                    true if found.spellings.is_empty() => Class::Same,
                    true => {
                        found.changes = std::mem::take(&mut found.spellings);
                        Class::Spelling
                    }
                }
            } else {
                class
            }
        }
    };
    if matches!(class, Class::Outcome | Class::Changed) {
        host_calls(&mut found, &before.host_calls, &after.host_calls);
    }
    Comparison { class, changes: found.changes, more: found.more }
}

/// How a call ended, for people.
pub(super) fn ending(call: &RunCall) -> String {
    match (&call.outcome, call.outputs.is_empty()) {
        (Some(outcome), _) => outcome.to_string(),
        // A capture has inputs alone: nothing ran that could have ended.
        (None, true) => "input only".to_owned(),
        (None, false) => "not over".to_owned(),
    }
}

/// How a call ended, without what differs from call to call.
pub(super) fn cause(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "no end".to_owned(),
        Some(Outcome::Failed { code, .. }) => format!("failed (code {code})"),
        Some(Outcome::Trapped { code, .. }) => format!("trapped ({code})"),
        Some(Outcome::LimitExceeded { limit, made_up, .. }) => {
            format!("limit-exceeded ({limit}){}", if *made_up { MADE_UP } else { "" })
        }
        Some(other) if other.is_made_up() => format!("{}{MADE_UP}", other.name()),
        Some(other) => other.name().to_owned(),
    }
}

/// True if both gave the same outputs, but not in the same order.
fn is_reordered(before: &RunCall, after: &RunCall) -> bool {
    let (old, new) = (&before.outputs, &after.outputs);
    if old.len() != new.len() || old.len() < 2 || old == new {
        return false;
    }
    let sorted = |call: &RunCall| {
        let mut outputs: Vec<u64> = call.outputs.iter().map(token).collect();
        outputs.sort_unstable();
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

fn latency(found: &mut Found<'_>, before: &RunCall, after: &RunCall) {
    let options = found.options;
    let (Some(factor), Some(old), Some(new)) =
        (options.slower_factor, before.latency, after.latency)
    else {
        return;
    };
    if new > options.slower_floor && new.as_secs_f64() > old.as_secs_f64() * factor {
        found.at("/latency", Some(show_duration(old)), Some(show_duration(new)));
    }
}

/// Aligns the outputs, so that one more or less does not make all others different.
fn outputs(found: &mut Found<'_>, before: &RunCall, after: &RunCall) {
    let (old, new) = (&before.outputs, &after.outputs);
    let (old_tokens, new_tokens) = tokens(old, new);
    for (old_at, new_at) in differences(&old_tokens, &new_tokens) {
        found.output = new_at.or(old_at);
        match (old_at.map(|at| &old[at]), new_at.map(|at| &new[at])) {
            (Some(old), Some(new)) => {
                if old.emitted != new.emitted {
                    let (old, new) = (old.emitted.to_string(), new.emitted.to_string());
                    found.at("/emitted", Some(old), Some(new));
                }
                frames(found, "", &old.frame, &new.frame);
            }
            (old, new) => found.at("/output", old.map(output), new.map(output)),
        }
    }
    found.output = None;
}

/// Compares what was asked of the host and what it answered; the time and random numbers are
/// expected to be different.
fn host_calls(found: &mut Found<'_>, before: &[HostCall], after: &[HostCall]) {
    let (old, new): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
        (before.iter().map(asked).collect(), after.iter().map(asked).collect());
    if old == new {
        return;
    }
    let (old_tokens, new_tokens) = tokens(&old, &new);
    for (old_at, new_at) in differences(&old_tokens, &new_tokens) {
        let mut one = |at: usize, calls: &[HostCall], old: Option<&[u8]>, new: Option<&[u8]>| {
            let (old, new) = (old.map(Document::cbor), new.map(Document::cbor));
            let mut place = Place::new("/host");
            place.position(at, |place| {
                place.key(&calls[at].service, |place| match (old, new) {
                    (Some(Ok(old)), Some(Ok(new))) => found.values(place, &old, &new),
                    (old, new) => found.add(place, old.map(whole), new.map(whole)),
                });
            });
        };
        match (old_at, new_at) {
            (Some(old_at), Some(new_at)) if before[old_at].service == after[new_at].service => {
                one(new_at, after, Some(&old[old_at]), Some(&new[new_at]));
            }
            _ => {
                old_at.into_iter().for_each(|at| one(at, before, Some(&old[at]), None));
                new_at.into_iter().for_each(|at| one(at, after, None, Some(&new[at])));
            }
        }
    }
}

fn whole(document: Result<Document<'_>, decode::Malformed>) -> String {
    document.map_or_else(|error| error.to_string(), |document| print(document.root(), Style::EXACT))
}

/// The compared part of a host call, encoded.
pub(super) fn asked(call: &HostCall) -> Vec<u8> {
    let text = |text: &str| Value::Text(text.to_owned());
    // So that calls of different services with the same arguments are different.
    let mut asked = vec![
        (text("service"), text(&call.service)),
        (text("permission"), text(call.permission.name())),
        (text("arguments"), call.arguments.clone()),
    ];
    match &call.result {
        Err(error) => asked.push((text("error"), text(&error.to_string()))),
        Ok(_) if matches!(&*call.service, "now" | "random") => {}
        Ok(value) => asked.push((text("result"), value.clone())),
    }
    Value::Map(asked).to_bytes()
}

fn frames(found: &mut Found<'_>, path: &str, before: &Frame, after: &Frame) {
    if before.kind != after.kind {
        let (before, after) = (before.kind.to_string(), after.kind.to_string());
        found.at(&format!("{path}/kind"), Some(before), Some(after));
    }
    if before.header != after.header {
        let place = &mut Place::new(&format!("{path}/header"));
        let documents = (&before.header, &after.header);
        match (decode::header_document(documents.0), decode::header_document(documents.1)) {
            // One of them is the empty map, the other no bytes at all.
            (Some(before), Some(after)) if before.bytes() == after.bytes() => {
                found.spelling(place, &before, &after);
            }
            (Some(before), Some(after)) => found.values(place, &before, &after),
            _ => bytes(found, place, documents.0.as_bytes(), documents.1.as_bytes()),
        }
    }
    if before.payload != after.payload {
        payloads(found, &mut Place::new(&format!("{path}/payload")), before, after);
    }
}

fn payloads(found: &mut Found<'_>, place: &mut Place, before: &Frame, after: &Frame) {
    match (decode::payload_document(before), decode::payload_document(after)) {
        (Some(before), Some(after)) => {
            if before.format() != after.format() {
                let name = |document: &Document<'_>| Some(format_name(document).to_owned());
                place.key("format", |place| found.add(place, name(&before), name(&after)));
            }
            return found.values(place, &before, &after);
        }
        (None, None) => {}
        _ => return found.add(place, Some(summary(before)), Some(summary(after))),
    }
    let is_text = |frame| {
        let format = decode::payload_format(frame);
        matches!(format, PayloadFormat::Text | PayloadFormat::Empty)
    };
    let (old, new) = (&before.payload, &after.payload);
    if is_text(before) && is_text(after) {
        let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
        found.lines(place, &old, &new);
    } else {
        bytes(found, place, old, new);
    }
}

/// Compares bytes: each run that is different, at its offset in the second payload.
fn bytes(found: &mut Found<'_>, place: &mut Place, old: &[u8], new: &[u8]) {
    let hunks = if old.len().max(new.len()) <= ALIGNED_BYTES {
        hunks(old, new)
    } else {
        let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let (old_rest, new_rest) = (&old[start..], &new[start..]);
        let same = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b);
        let end = same.count();
        vec![(start..old.len() - end, start..new.len() - end)]
    };
    for (old_at, new_at) in hunks {
        let shown = |bytes: &[u8]| (!bytes.is_empty()).then(|| show_bytes(bytes));
        let (before, after) = (shown(&old[old_at]), shown(&new[new_at.clone()]));
        place.key("bytes", |place| {
            place.position(new_at.start, |place| found.add(place, before, after));
        });
    }
}

type Hunk = (std::ops::Range<usize>, std::ops::Range<usize>);

fn hunks(old: &[u8], new: &[u8]) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    for operation in sequence(old, new) {
        if matches!(operation, DiffOp::Equal { .. }) {
            continue;
        }
        let (old_at, new_at) = (operation.old_range(), operation.new_range());
        match hunks.last_mut() {
            Some((old_last, new_last)) if new_at.start - new_last.end <= JOINED_BYTES => {
                old_last.end = old_at.end;
                new_last.end = new_at.end;
            }
            _ => hunks.push((old_at, new_at)),
        }
    }
    hunks
}

/// A whole output in one line.
fn output(output: &RunOutput) -> String {
    let word = if output.emitted { "emitted " } else { "" };
    format!("{word}{}", summary(&output.frame))
}

/// A whole frame in one line.
fn summary(frame: &Frame) -> String {
    let payload = match decode::payload_document(frame) {
        Some(document) => print(document.root(), Style::EXACT),
        None => match decode::payload_format(frame) {
            PayloadFormat::Text => String::from_utf8_lossy(&frame.payload).into_owned(),
            PayloadFormat::Empty => "empty".to_owned(),
            _ => show_bytes(&frame.payload),
        },
    };
    format!("{} {payload}", frame.kind)
}

fn show_bytes(bytes: &[u8]) -> String {
    let shown = hex::encode(&bytes[..bytes.len().min(SHOWN_BYTES)]);
    if bytes.len() > SHOWN_BYTES { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
}

fn format_name(document: &Document<'_>) -> &'static str {
    match document.format() {
        Format::Json => PayloadFormat::Json.name(),
        Format::Cbor => PayloadFormat::Cbor.name(),
    }
}

/// A document as it is written.
pub(super) fn show(document: &Document<'_>) -> String {
    match document.format() {
        Format::Json => String::from_utf8_lossy(document.bytes()).into_owned(),
        Format::Cbor => show_bytes(document.bytes()),
    }
}

/// The changes of a call that has no partner: none, the class says it all.
pub(super) fn alone(class: Class) -> Comparison {
    Comparison { class, changes: Vec::<Change>::new(), more: 0 }
}
