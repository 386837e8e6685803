//! NDJSON, as [`export`](crate::export) writes it, or as little as `{"payload":"hello"}`.

use std::collections::HashMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header, Kind};
use glovebox_events::Event;
use serde_json::{Map, Value as Json};

use super::{Format, ImportError, ImportReport};
use crate::decode::{from_hex, from_json};
use crate::trace::wire::{Body, Follows, Part, host_call_from_value};

/// The longest line: a frame of the largest size in hexadecimal, and some room.
const MAX_LINE: u64 = 3 * glovebox_abi::MAX_FRAME_LEN as u64;

/// Fields of events with frames that belong to no frame.
const OF_THE_EVENT: [&str; 3] = ["call", "index", "emitted"];

/// What some programs write at the start of a text in UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

pub(super) fn read<E: From<ImportError>>(
    path: &Path,
    mut file: impl BufRead,
    each: &mut impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let mut events = 0;
    let mut number = 0;
    let mut plugins = HashMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut file).take(MAX_LINE).read_until(b'\n', &mut line);
        let read = read.map_err(|source| ImportError::Io { source, path: path.to_owned() })?;
        if read == 0 {
            break;
        }
        number += 1;
        let line = match number {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line),
            _ => &line,
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let event = parse(line, events, &mut plugins).map_err(|reason| ImportError::Line {
            line: number,
            reason,
            path: path.to_owned(),
        })?;
        each(event)?;
        events += 1;
    }
    Ok(ImportReport { format: Format::Ndjson, events, cut_short: None })
}

/// What all events have in common has defaults, so that frames can be written by hand.
fn parse(
    line: &[u8],
    position: u64,
    plugins: &mut HashMap<String, Arc<str>>,
) -> Result<Event, String> {
    let mut fields: Map<String, Json> =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let mut number = |key: &str, default: u64| match fields.remove(key) {
        None => Ok(default),
        Some(value) => value.as_u64().ok_or_else(|| format!("`{key}` is no number from 0 on")),
    };
    let sequence = number("sequence", position)?;
    let at = number("at", position)?;
    let instance = number("instance", 0)?;
    let generation = u32::try_from(number("generation", 1)?)
        .map_err(|_| "`generation` is too large".to_owned())?;
    let plugin = text(&mut fields, "plugin")?.unwrap_or_else(|| "import".to_owned());
    let name = text(&mut fields, "type")?.unwrap_or_else(|| "frame-in".to_owned());
    if name == "frame-in" || name == "frame-out" {
        let call = Json::from(position + 1);
        fields.entry("call").or_insert(call);
    }
    if name == "frame-out" {
        fields.entry("index").or_insert(0.into());
        fields.entry("emitted").or_insert(false.into());
    }
    let part = match name.as_str() {
        "frame-in" | "frame-out" => {
            let frame = frame(&mut fields)?;
            // People write frames by hand; what they mean must not be lost.
            if let Some(unknown) = fields.keys().find(|key| !OF_THE_EVENT.contains(&key.as_str())) {
                return Err(format!(
                    "unknown field `{unknown}`; what a frame carries stands in `payload`"
                ));
            }
            Part::Frame(frame)
        }
        "host-call" => Part::HostCall(host_call(&fields)?),
        _ => Part::Nothing,
    };
    let is_unit = fields.is_empty();
    let body = if is_unit {
        Json::String(name)
    } else {
        Json::Object(Map::from_iter([(name, Json::Object(fields))]))
    };
    let body: Body = serde_json::from_value(body).map_err(|error| error.to_string())?;
    let part = match body.follows() {
        Follows::Nothing => Part::Nothing,
        _ => part,
    };
    let shared = plugins.entry(plugin).or_insert_with_key(|plugin| plugin.as_str().into());
    Ok(Event { sequence, at, plugin: shared.clone(), instance, generation, what: body.join(part)? })
}

fn text(fields: &mut Map<String, Json>, key: &str) -> Result<Option<String>, String> {
    match fields.remove(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` is no text")),
    }
}

fn bytes(fields: &mut Map<String, Json>, key: &str) -> Result<Option<Bytes>, String> {
    let Some(digits) = text(fields, key)? else {
        return Ok(None);
    };
    let bytes = from_hex(&digits).ok_or_else(|| format!("`{key}` is not hexadecimal"))?;
    Ok(Some(bytes.into()))
}

fn frame(fields: &mut Map<String, Json>) -> Result<Frame, String> {
    let kind = match text(fields, "kind")? {
        Some(name) => kind(&name)?,
        None => Kind::DATA,
    };
    let object = fields.remove("header");
    let header = match (bytes(fields, "header_hex")?, object) {
        (Some(exact), _) => Header::from_cbor(exact).map_err(|error| error.to_string())?,
        (None, None) => Header::empty(),
        (None, Some(object)) => match from_json(&object) {
            Value::Map(entries) => Header::from_entries(entries),
            _ => return Err("`header` is no object".to_owned()),
        },
    };
    let payload = match (bytes(fields, "payload_hex")?, fields.remove("payload")) {
        (Some(bytes), _) => bytes,
        (None, None) => Bytes::new(),
        (None, Some(Json::String(text))) => text.into(),
        // Written by hand: the payload is JSON itself.
        (None, Some(json)) => json.to_string().into(),
    };
    Ok(Frame::new(kind, header, payload))
}

/// Reads reserved kinds too: they were on the wire.
fn kind(name: &str) -> Result<Kind, String> {
    let number = name.strip_prefix("0x");
    match number.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(number) => Ok(Kind(number)),
        None => name.parse().map_err(|error: glovebox_abi::UnknownKind| error.to_string()),
    }
}

fn host_call(fields: &Map<String, Json>) -> Result<glovebox_events::HostCall, String> {
    // `call` belongs to the event, the rest to the host call.
    host_call_from_value(from_json(&Json::Object(fields.clone())))
}
