//! Calls as stanzas, and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header, Kind, ServiceError};
use glovebox_events::{CallId, HostCall, Outcome};
use serde_json::Value as Json;

use crate::decode::{self, PayloadFormat};
use crate::diff::{DiffOptions, RunCall};
use crate::trace::wire;

/// What an ignored value is written as.
const MASK: &str = "…";
/// JSON with no more characters stands on one line.
const ONE_LINE: usize = 96;
/// Bytes on a line of hexadecimal.
const HEX_LINE: usize = 32;

/// A head line, without the call it belongs to, and what follows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Stanza {
    pub(super) head: String,
    pub(super) body: Vec<String>,
    /// The line of the head in the file, from 1; 0 if it was not read from one.
    pub(super) line: usize,
}

/// What is wrong with a stanza, and in which line of it, counted from its head.
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
    stanzas.extend(call.outputs.iter().map(|frame| of_frame("out", "", frame, rules)));
    stanzas.push(of_end(call.outcome.as_ref()));
    stanzas
}

fn of_frame(head: &str, path: &str, frame: &Frame, rules: &DiffOptions) -> Stanza {
    let mut body = Vec::new();
    if !frame.header.as_bytes().is_empty() {
        let header = masked(decode::header_json(frame), &format!("{path}/header"), rules);
        body.extend(json_lines(&header).into_iter().enumerate().map(|(line, text)| match line {
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
            let value = decode::payload_json(frame).unwrap_or(Json::Null);
            body.extend(json_lines(&masked(value, &place, rules)));
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
            body.extend(frame.payload.chunks(HEX_LINE).map(decode::hex));
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
    let mut value = serde_json::Map::new();
    value.insert("service".to_owned(), (*call.service).into());
    value.insert("permission".to_owned(), call.permission.name().into());
    let mut insert = |key: &str, found| {
        let found = masked(decode::to_json(found), &format!("{place}/{key}"), rules);
        value.insert(key.to_owned(), found);
    };
    insert("arguments", &call.arguments);
    match &call.result {
        Ok(_) if matches!(&*call.service, "now" | "random") => {}
        Ok(result) => insert("result", result),
        Err(error) => {
            value.insert("error".to_owned(), error_name(*error).into());
        }
    }
    let body = json_lines(&Json::Object(value));
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
            json_lines(&serde_json::to_value(outcome).unwrap_or(Json::Null))
        }
    };
    Stanza { head: format!("end {name}"), body, line: 0 }
}

/// Replaces what is ignored.
fn masked(value: Json, path: &str, rules: &DiffOptions) -> Json {
    if rules.ignore.is_empty() {
        return value;
    }
    if rules.is_ignored(path) {
        return Json::String(MASK.to_owned());
    }
    match value {
        Json::Array(items) => {
            let items = items.into_iter().enumerate();
            Json::Array(
                items.map(|(at, item)| masked(item, &format!("{path}/{at}"), rules)).collect(),
            )
        }
        Json::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let below = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                let value = masked(value, &below, rules);
                (key, value)
            });
            Json::Object(entries.collect())
        }
        leaf => leaf,
    }
}

fn json_lines(value: &Json) -> Vec<String> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    let short = sorted.to_string();
    if short.chars().count() <= ONE_LINE {
        return vec![short];
    }
    format!("{sorted:#}").lines().map(str::to_owned).collect()
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
            "out" => outputs.push(to_frame(rest, &stanza.body).map_err(in_file)?),
            "host" => host_calls.push(to_host_call(&stanza.body).map_err(in_file)?),
            "end" if outcome.is_none() => {
                outcome = Some(to_end(rest, &stanza.body).map_err(in_file)?);
            }
            "end" => return Err(in_file(wrong(0, "a call has one `end`, this is the second"))),
            _ => {
                let reason = format!("`{word}` is not in, host, out or end");
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
    let header = match header {
        Some(Json::Object(entries)) => {
            let entries = entries.iter();
            let entry = |(key, value): (&String, &Json)| {
                (Value::Text(key.clone()), decode::from_json(value))
            };
            Header::from_entries(entries.map(entry).collect())
        }
        // All of it is ignored.
        Some(Json::String(_)) | None => Header::empty(),
        Some(_) => return Err(wrong(1, "a header is a JSON object")),
    };
    let start = body.len() - payload.len() + 1;
    let json = || {
        serde_json::from_str::<Json>(&payload.join("\n"))
            .map_err(|error| wrong(start + error.line() - 1, format!("no JSON: {error}")))
    };
    let bytes: Bytes = match format {
        "empty" if payload.is_empty() => Bytes::new(),
        "empty" => return Err(wrong(start, "an empty payload has no lines")),
        "json" => json()?.to_string().into(),
        "cbor" => decode::from_json(&json()?).to_bytes().into(),
        "string" => match json()? {
            Json::String(text) => text.into(),
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
                decode::from_hex(line).ok_or_else(|| wrong(start + at, "no hexadecimal"))
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
fn split_header(body: &[String]) -> Result<(Option<Json>, &[String]), Wrong> {
    let Some(first) = body.first().and_then(|line| line.strip_prefix("header ")) else {
        return Ok((None, body));
    };
    // A header ends where its JSON does.
    let mut text = String::new();
    for (at, line) in body.iter().enumerate() {
        let line = if at == 0 { first } else { line };
        text.push_str(line);
        text.push('\n');
        match serde_json::from_str(&text) {
            Ok(header) => return Ok((Some(header), &body[at + 1..])),
            Err(error) if error.is_eof() => {}
            Err(error) => return Err(wrong(at + 1, format!("no JSON: {error}"))),
        }
    }
    Err(wrong(1, "the JSON of the header does not end"))
}

fn to_host_call(body: &[String]) -> Result<HostCall, Wrong> {
    let value: Json = serde_json::from_str(&body.join("\n"))
        .map_err(|error| wrong(error.line(), format!("no JSON: {error}")))?;
    let Json::Object(mut entries) = value else {
        return Err(wrong(1, "a host call is a JSON object"));
    };
    if let Some(error) = entries.get_mut("error") {
        let known = ERRORS.iter().find(|(_, name)| error.as_str() == Some(name));
        let (known, _) = known.ok_or_else(|| {
            wrong(1, "an error is denied, invalid, limit-exceeded or unavailable")
        })?;
        *error = known.code().into();
    } else {
        entries.entry("result").or_insert(Json::Null);
    }
    let value = decode::from_json(&Json::Object(entries));
    wire::host_call_from_value(value).map_err(|reason| wrong(1, reason))
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
