//! Events as NDJSON: one JSON object per line, for `jq`, scripts and [`import`](crate::import).
//!
//! Each line has `type` (what happened), `sequence`, `at` (nanoseconds since the Unix epoch),
//! `plugin`, `instance`, `generation`, and what the type brings: a frame has `call`, `kind`,
//! `header` (an object) and `payload` (a text) or `payload_hex` (anything that is no text). A
//! header that JSON cannot hold exactly, such as one with bytes, is there as `header_hex`, its CBOR, as well. A host call
//! has `call`, `service`, `permission`, `arguments`, `result` or `error`, and `took`; if JSON
//! cannot hold its values, `host_call_hex` is the CBOR of all of it. If you change a field with
//! such a twin, remove the twin: import refuses two that do not say the same. Durations are in
//! nanoseconds, as in a
//! [trace](glovebox_trace::format).
//!
//! ```
//! use glovebox_abi::Frame;
//! use glovebox_events::{CallId, Event, What};
//! use glovebox_inspector::export;
//!
//! let frame = Frame::data(&b"hello"[..]);
//! let what = What::FrameIn { call: CallId(1), frame };
//! let event = Event { sequence: 0, at: 5, plugin: "echo".into(), instance: 0, generation: 1, what };
//! let json = export::to_json(&event);
//! assert!(json.to_string().contains(r#""payload":"hello""#));
//! ```
//!
//! Figures go to Prometheus ([`write_prometheus`]) and series to CSV ([`write_csv`]), calls to
//! Perfetto ([`PerfettoWriter`]), frames to Wireshark ([`PcapngWriter`], [`dissector`]).

mod csv;
mod figures;
mod pcapng;
mod perfetto;
mod prometheus;
#[cfg(test)]
mod tests;

pub use csv::write_csv;
pub use figures::{InstanceMetrics, Runner};
pub use pcapng::{MAX_PACKET, MAX_WAITING, PcapngWriter, dissector};
pub use perfetto::PerfettoWriter;
pub use prometheus::write_prometheus;

use std::collections::BTreeMap;
use std::io::{self, Write};

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_events::{Event, What};
use glovebox_trace::format::wire::{Body, host_call_value};
use serde_json::Value as Plain;

use crate::decode::{
    self, Document, Json, hex, is_same, to_json as value_to_json, to_value_of_texts,
};

/// Writes one event as one line of JSON, with the name of its instance as `instance_name`, if that has one.
///
/// # Errors
///
/// If `out` refuses.
pub fn write_ndjson(
    event: &Event,
    name: Option<&str>,
    version: Option<&str>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut line = fields(event);
    line.extend(version.map(|version| ("instance_version".to_owned(), version.into())));
    line.extend(name.map(|name| ("instance_name".to_owned(), name.into())));
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// One event as a JSON object.
pub fn to_json(event: &Event) -> Json {
    Json::Map(fields(event))
}

fn fields(event: &Event) -> BTreeMap<String, Json> {
    let mut line = BTreeMap::from([
        ("sequence".to_owned(), event.sequence.into()),
        ("at".to_owned(), event.at.into()),
        ("plugin".to_owned(), (*event.plugin).into()),
        ("instance".to_owned(), event.instance.into()),
        ("generation".to_owned(), event.generation.into()),
    ]);
    // The body is `{"frame-in": {…}}`, or a text for what has no fields.
    let (name, fields) = match serde_json::to_value(Body::of(&event.what)) {
        Ok(Plain::Object(body)) => body.into_iter().next().unwrap_or_default(),
        Ok(Plain::String(name)) => (name, Plain::Null),
        // Only maps with keys that are no texts cannot be written, and there are none.
        _ => (String::new(), Plain::Null),
    };
    line.insert("type".to_owned(), name.into());
    if let Plain::Object(fields) = fields {
        line.extend(fields.into_iter().map(|(key, value)| (key, value.into())));
    }
    match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => {
            frame_fields(frame, &mut line)
        }
        What::HostCall { host_call, .. } => {
            let value = host_call_value(host_call);
            let json = value_to_json(&value);
            if !read_again(&json).is_some_and(|again| is_same(&again, &value)) {
                line.insert("host_call_hex".to_owned(), hex::encode(&value.to_bytes()).into());
            }
            if let Json::Map(fields) = json {
                line.extend(fields);
            }
        }
        _ => {}
    }
    line
}

fn frame_fields(frame: &Frame, line: &mut BTreeMap<String, Json>) {
    line.insert("kind".to_owned(), frame.kind.to_string().into());
    let header = decode::header_json(frame);
    if !is_exact(&frame.header, &header) {
        let digits = hex::encode(frame.header.as_bytes());
        line.insert("header_hex".to_owned(), digits.into());
    }
    line.insert("header".to_owned(), header);
    let (key, payload) = match std::str::from_utf8(&frame.payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_hex", hex::encode(&frame.payload)),
    };
    line.insert(key.to_owned(), payload.into());
}

/// True if the header can be made from its JSON again, byte by byte.
fn is_exact(header: &Header, json: &Json) -> bool {
    let Some(Value::Map(entries)) = read_again(json) else { return false };
    Header::from_entries(entries) == *header
}

/// The value that an import makes of it.
fn read_again(json: &Json) -> Option<Value> {
    let text = json.to_string();
    to_value_of_texts(Document::json(text.as_bytes()).ok()?.root()).ok()
}
