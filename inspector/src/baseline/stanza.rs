//! Calls as stanzas, and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header, Kind, ServiceError};
use glovebox_events::{CallId, HostCall, Outcome};
use serde_json::Value as Json;

use crate::decode::document::{Document, Format, Item};
use crate::decode::print::{Notation, Style, print};
use crate::decode::splice::{self, splice};
use crate::decode::{self, FromJsonError, PayloadFormat, hex};
use crate::diff::path::children;
use crate::diff::{DiffOptions, RunCall, RunOutput};
use glovebox_trace::format::wire;

/// The text of an ignored value.
const MASK: &str = "…";
/// JSON with no more characters stands on one line.
const ONE_LINE: usize = 96;
/// Bytes on a line of hexadecimal.
const HEX_LINE: usize = 32;
/// The word of an output that is part of the answer.
const ANSWER: &str = "out";
/// The word of an output that was sent with the service `emit`.
const EMITTED: &str = "emit";
/// In front of the exact bytes of a header that JSON cannot hold.
const HEADER_CBOR: &str = "header-cbor ";
/// In front of the exact bytes of a payload or host call that JSON cannot hold.
const CBOR: &str = "cbor ";

/// A head line, without the call it belongs to, and what follows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Stanza {
    pub(super) head: String,
    pub(super) body: Vec<String>,
    /// The line of the head in the file, from 1; 0 if it was not read from one.
    pub(super) line: usize,
}

/// An error in a stanza, and its line, counted from the head of the stanza.
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) reason: String,
}

fn wrong(line: usize, reason: impl Into<String>) -> Wrong {
    Wrong { line, reason: reason.into() }
}

/// Writes a call.
pub(super) fn of_call(call: &RunCall, rules: &DiffOptions) -> Vec<Stanza> {
    let mut stanzas = vec![of_frame("in", "/input", &call.input, rules)];
    for (at, host_call) in call.host_calls.iter().enumerate() {
        stanzas.extend(of_host_call(at, host_call, rules));
    }
    for RunOutput { frame, emitted } in &call.outputs {
        stanzas.push(of_frame(if *emitted { EMITTED } else { ANSWER }, "", frame, rules));
    }
    stanzas.push(of_end(call.outcome.as_ref()));
    stanzas
}

fn of_frame(head: &str, path: &str, frame: &Frame, rules: &DiffOptions) -> Stanza {
    let mut body = Vec::new();
    if let Some(document) = decode::header_document(&frame.header)
        && !frame.header.as_bytes().is_empty()
    {
        let is_ignored = |path: &str| rules.is_ignored(path);
        let masked = masked(&document, &format!("{path}/header"), rules, &is_ignored);
        let lines = value_lines(Format::Cbor, &masked, HEADER_CBOR);
        body.extend(lines.into_iter().enumerate().map(|(line, text)| match line {
            0 => format!("header {text}"),
            _ => text,
        }));
    }
    let place = format!("{path}/payload");
    let format = match decode::payload_format(frame) {
        _ if rules.is_ignored(&place) => {
            body.push(format!("| {MASK}"));
            "text"
        }
        PayloadFormat::Empty => "empty",
        format @ (PayloadFormat::Json | PayloadFormat::Cbor) => {
            if let Some(document) = decode::payload_document(frame) {
                let masked = masked(&document, &place, rules, &|path| rules.is_ignored(path));
                body.extend(value_lines(document.format(), &masked, CBOR));
            }
            if format == PayloadFormat::Json { "json" } else { "cbor" }
        }
        PayloadFormat::Text => {
            let text = String::from_utf8_lossy(&frame.payload);
            if text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
                let line =
                    |line: &str| if line.is_empty() { "|".into() } else { format!("| {line}") };
                body.extend(text.split('\n').map(line));
                "text"
            } else {
                body.push(Json::String(text.into_owned()).to_string());
                "string"
            }
        }
        PayloadFormat::Bytes => {
            body.extend(frame.payload.chunks(HEX_LINE).map(hex::encode));
            "hex"
        }
    };
    Stanza { head: format!("{head} {} {format}", frame.kind), body, line: 0 }
}

/// `None` if all of it is ignored.
fn of_host_call(at: usize, call: &HostCall, rules: &DiffOptions) -> Option<Stanza> {
    let place = format!("/host/{at}/{}", call.service);
    if rules.is_ignored(&place) {
        return None;
    }
    let text = |text: &str| Value::Text(text.to_owned());
    let mut entries = vec![
        (text("service"), text(&call.service)),
        (text("permission"), text(call.permission.name())),
        (text("arguments"), call.arguments.clone()),
    ];
    match &call.result {
        Ok(_) if matches!(&*call.service, "now" | "random") => {}
        Ok(result) => entries.push((text("result"), result.clone())),
        Err(error) => entries.push((text("error"), text(error_name(*error)))),
    }
    let bytes = Value::Map(entries).to_bytes();
    // Bytes that were just encoded can be read.
    let document = Document::cbor(&bytes).ok()?;
    let values = [format!("{place}/arguments"), format!("{place}/result")];
    // Without its service and permission it could not be read again.
    let is_value = |path: &str| values.iter().any(|value| path.starts_with(value.as_str()));
    let is_ignored = |path: &str| is_value(path) && rules.is_ignored(path);
    let masked = masked(&document, &place, rules, &is_ignored);
    let body = value_lines(Format::Cbor, &masked, CBOR);
    Some(Stanza { head: "host".to_owned(), body, line: 0 })
}

const ERRORS: [(ServiceError, &str); 4] = [
    (ServiceError::Denied, "denied"),
    (ServiceError::Invalid, "invalid"),
    (ServiceError::LimitExceeded, "limit-exceeded"),
    (ServiceError::Unavailable, "unavailable"),
];

fn error_name(error: ServiceError) -> &'static str {
    ERRORS.iter().find(|(known, _)| *known == error).map_or("unavailable", |(_, name)| name)
}

fn of_end(outcome: Option<&Outcome>) -> Stanza {
    let name = outcome.map_or("pending", Outcome::name);
    let body = match outcome {
        None | Some(Outcome::Completed) => Vec::new(),
        Some(outcome) => {
            // The derived code cannot fail for texts and numbers.
            let json = serde_json::to_string(outcome).unwrap_or_default();
            Document::json(json.as_bytes()).map_or_else(|_| Vec::new(), |it| json_lines(it.root()))
        }
    };
    Stanza { head: format!("end {name}"), body, line: 0 }
}

/// A document with [`MASK`] in the place of what is ignored.
fn masked(
    document: &Document<'_>,
    place: &str,
    rules: &DiffOptions,
    is_ignored: &dyn Fn(&str) -> bool,
) -> Vec<u8> {
    let mut splices = Vec::new();
    let mut left = vec![(document.root(), place.to_owned())];
    while let Some((item, path)) = left.pop().filter(|_| !rules.ignore.is_empty()) {
        if is_ignored(&path) {
            splices.push((item.span(), splice::text(document.format(), MASK.as_bytes())));
            continue;
        }
        // A tag has no place of its own.
        let item = item.untagged();
        left.extend(children(item, &path));
    }
    splice(document.bytes(), splices)
}

/// JSON, and the exact bytes behind it if JSON cannot hold what they say.
fn value_lines(format: Format, bytes: &[u8], exact: &str) -> Vec<String> {
    let document = match format {
        Format::Json => Document::json(bytes),
        Format::Cbor => Document::cbor(bytes),
    };
    let Ok(document) = document else {
        return Vec::new();
    };
    let mut lines = json_lines(document.root());
    if format == Format::Cbor && !is_held(document.root()) {
        let parts = bytes.chunks(HEX_LINE).map(hex::encode);
        lines.extend(parts.map(|digits| format!("{exact}{digits}")));
    }
    lines
}

/// True if the JSON of a value of CBOR says all that it says.
fn is_held(item: Item<'_>) -> bool {
    let again = decode::from_json(&print(item, JSON)).map(|value| value.to_bytes());
    let text = |bytes: Vec<u8>| Some(print(Document::cbor(&bytes).ok()?.root(), Style::EXACT));
    again.ok().and_then(text) == Some(print(item, Style::EXACT))
}

/// JSON on one line.
const JSON: Style = Style { notation: Notation::Json, sorted: true, pretty: false };

fn json_lines(item: Item<'_>) -> Vec<String> {
    let short = print(item, JSON);
    if short.chars().count() <= ONE_LINE {
        return vec![short];
    }
    let long = print(item, Style { pretty: true, ..JSON });
    long.lines().map(str::to_owned).collect()
}

/// Reads a call.
pub(super) fn to_call(
    number: u64,
    plugin: &str,
    stanzas: &[Stanza],
    latency: Option<Duration>,
) -> Result<RunCall, (usize, String)> {
    let plugin: Arc<str> = plugin.into();
    let mut input = None;
    let mut outcome = None;
    let (mut outputs, mut host_calls) = (Vec::new(), Vec::new());
    for stanza in stanzas {
        let in_file = |wrong: Wrong| (stanza.line + wrong.line, wrong.reason);
        let (word, rest) = stanza.head.split_once(' ').unwrap_or((&stanza.head, ""));
        match word {
            "in" if input.is_none() => input = Some(to_frame(rest, &stanza.body).map_err(in_file)?),
            "in" => return Err(in_file(wrong(0, "a call has one `in`, this is the second"))),
            ANSWER | EMITTED => {
                let frame = to_frame(rest, &stanza.body).map_err(in_file)?;
                outputs.push(RunOutput { frame, emitted: word == EMITTED });
            }
            "host" => host_calls.push(to_host_call(&stanza.body).map_err(in_file)?),
            "end" if outcome.is_none() => {
                outcome = Some(to_end(rest, &stanza.body).map_err(in_file)?);
            }
            "end" => return Err(in_file(wrong(0, "a call has one `end`, this is the second"))),
            _ => {
                let reason = format!("`{word}` is not in, host, emit, out or end");
                return Err(in_file(wrong(0, reason)));
            }
        }
    }
    let line = stanzas.first().map_or(0, |stanza| stanza.line);
    let input = input.ok_or_else(|| (line, "the call has no `in`".to_owned()))?;
    let outcome = outcome.flatten();
    let id = CallId(number);
    Ok(RunCall { id, plugin, input, outputs, host_calls, outcome, latency })
}

fn to_frame(head: &str, body: &[String]) -> Result<Frame, Wrong> {
    let (kind, format) = head.split_once(' ').ok_or_else(|| wrong(0, "expected KIND FORMAT"))?;
    let kind = to_kind(kind).ok_or_else(|| wrong(0, format!("`{kind}` is no kind of frame")))?;
    let (header, payload) = split_header(body)?;
    let start = body.len() - payload.len() + 1;
    let text = || payload.join("\n");
    let bytes: Bytes = match format {
        "empty" if payload.is_empty() => Bytes::new(),
        "empty" => return Err(wrong(start, "an empty payload has no lines")),
        "json" => {
            let text = text();
            let document = Document::json(text.as_bytes());
            let document = document.map_err(|error| no_json(start, &text, error.at))?;
            print(document.root(), JSON).into()
        }
        "cbor" => to_cbor(payload, start, CBOR)?.into(),
        "string" => match serde_json::from_str(&text()) {
            Ok(Json::String(text)) => text.into(),
            _ => return Err(wrong(start, "expected one JSON string")),
        },
        "text" => {
            let lines = payload.iter().enumerate().map(|(at, line)| match line.as_str() {
                "|" => Ok(""),
                line => line
                    .strip_prefix("| ")
                    .ok_or_else(|| wrong(start + at, "a line of text starts with `| `")),
            });
            lines.collect::<Result<Vec<&str>, Wrong>>()?.join("\n").into()
        }
        "hex" => {
            let lines = payload.iter().enumerate().map(|(at, line)| {
                hex::decode(line)
                    .map_err(|error| wrong(start + at, format!("no hexadecimal: {error}")))
            });
            lines.collect::<Result<Vec<_>, Wrong>>()?.concat().into()
        }
        _ => {
            let reason = format!("`{format}` is not json, cbor, text, string, hex or empty");
            return Err(wrong(0, reason));
        }
    };
    Ok(Frame::new(kind, header, bytes))
}

/// Kinds that are reserved are read too: a trace can hold them.
fn to_kind(text: &str) -> Option<Kind> {
    let number = text.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    number.map(Kind).or_else(|| text.parse().ok())
}

/// The header, and the lines of the payload.
fn split_header(body: &[String]) -> Result<(Header, &[String]), Wrong> {
    let Some(first) = body.first().and_then(|line| line.strip_prefix("header ")) else {
        return Ok((Header::empty(), body));
    };
    // A header ends where its JSON does.
    let mut text = String::new();
    for (at, line) in body.iter().enumerate() {
        text.push_str(if at == 0 { first } else { line });
        text.push('\n');
        match Document::json(text.as_bytes()) {
            Ok(_) => {
                let exact = body[at + 1..].iter().take_while(|line| line.starts_with(HEADER_CBOR));
                let end = at + 1 + exact.count();
                let mut lines = body[..end].to_vec();
                lines[0] = first.to_owned();
                let bytes = to_cbor(&lines, 1, HEADER_CBOR)?;
                let header = match bytes.first() {
                    // All of it is ignored.
                    Some(0x60..=0x7F) => Header::empty(),
                    _ => Header::from_cbor(bytes.into())
                        .map_err(|_| wrong(1, "a header is a JSON object"))?,
                };
                return Ok((header, &body[end..]));
            }
            Err(error) if error.at >= text.len() => {}
            Err(error) => return Err(no_json(1, &text, error.at)),
        }
    }
    Err(wrong(1, "the JSON of the header does not end"))
}

/// The CBOR that JSON stands for, or the exact bytes that follow the JSON; `start` is the first line.
fn to_cbor(lines: &[String], start: usize, exact: &str) -> Result<Vec<u8>, Wrong> {
    let json = lines.iter().take_while(|line| !line.starts_with(exact)).count();
    let text = lines[..json].join("\n");
    if json == lines.len() {
        return match decode::from_json(&text) {
            Ok(value) => Ok(value.to_bytes()),
            Err(FromJsonError::Malformed(error)) => Err(no_json(start, &text, error.at)),
            Err(error) => Err(wrong(start, error.to_string())),
        };
    }
    let mut bytes = Vec::new();
    for (at, line) in lines[json..].iter().enumerate() {
        let line = line.strip_prefix(exact).unwrap_or(line);
        let part = hex::decode(line);
        let at = start + json + at;
        bytes.extend(part.map_err(|error| wrong(at, format!("no hexadecimal: {error}")))?);
    }
    let written = Document::json(text.as_bytes());
    let written = written.map_err(|error| no_json(start, &text, error.at))?;
    let found = Document::cbor(&bytes);
    let found = found.map_err(|error| wrong(start + json, format!("no CBOR: {error}")))?;
    if print(found.root(), JSON) != print(written.root(), JSON) {
        let reason = "the JSON and the bytes behind it say different things";
        return Err(wrong(start + json, reason));
    }
    Ok(bytes)
}

/// JSON is wrong at a byte of a text; `start` is its first line.
fn no_json(start: usize, text: &str, at: usize) -> Wrong {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    wrong(start + line, format!("no JSON from column {column} on"))
}

fn to_host_call(body: &[String]) -> Result<HostCall, Wrong> {
    let bytes = to_cbor(body, 1, CBOR)?;
    let value = Value::decode(&bytes).map_err(|error| wrong(1, error.to_string()))?;
    let Value::Map(mut entries) = value else {
        return Err(wrong(1, "a host call is a JSON object"));
    };
    let named = |entries: &[(Value, Value)], name: &str| {
        entries.iter().position(|(key, _)| matches!(key, Value::Text(key) if key == name))
    };
    if let Some(at) = named(&entries, "error") {
        let known = ERRORS.iter().find(|(_, name)| entries[at].1 == Value::Text((*name).into()));
        let (known, _) = known.ok_or_else(|| {
            wrong(1, "an error is denied, invalid, limit-exceeded or unavailable")
        })?;
        entries[at].1 = Value::Integer(known.code().into());
    } else if named(&entries, "result").is_none() {
        entries.push((Value::Text("result".to_owned()), Value::Null));
    }
    wire::host_call_from_value(Value::Map(entries)).map_err(|reason| wrong(1, reason))
}

fn to_end(name: &str, body: &[String]) -> Result<Option<Outcome>, Wrong> {
    let outcome = match name {
        "pending" => None,
        "completed" => Some(Outcome::Completed),
        _ => Some(
            serde_json::from_str::<Outcome>(&body.join("\n"))
                .map_err(|error| wrong(error.line(), format!("no outcome: {error}")))?,
        ),
    };
    match outcome.as_ref().map_or("pending", Outcome::name) {
        found if found == name => Ok(outcome),
        found => Err(wrong(0, format!("says `{name}`, and `{found}` below"))),
    }
}
