//! Events without the bytes that people sent: their lengths and digests stay.

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_events::{Event, HostCall, What};

/// The service whose arguments stay: a log is written to be read.
const LOG: &str = "log";

/// A copy of an event in which each payload, each header and each text or bytes of a host call give
/// way to its length and its BLAKE3 digest. Lines of the log and the words of outcomes stay.
pub fn redact(event: &Event) -> Event {
    let what = match &event.what {
        What::FrameIn { call, frame } => What::FrameIn { call: *call, frame: frame_of(frame) },
        What::FrameOut { call, index, emitted, frame } => {
            What::FrameOut { call: *call, index: *index, emitted: *emitted, frame: frame_of(frame) }
        }
        What::HostCall { call, host_call } if host_call.service != LOG => What::HostCall {
            call: *call,
            host_call: HostCall {
                arguments: value_of(&host_call.arguments),
                result: host_call.result.as_ref().map(value_of).map_err(Clone::clone),
                ..host_call.clone()
            },
        },
        what => what.clone(),
    };
    Event { what, ..event.clone() }
}

/// The frame with its kind alone; its header says what is not there.
fn frame_of(frame: &Frame) -> Frame {
    let header = frame.header.as_bytes();
    let header = Header::build()
        .text("redacted", "the header and the payload are not in this file")
        .integer("header-bytes", header.len() as i128)
        .text("header-blake3", digest(header))
        .integer("payload-bytes", frame.payload.len() as i128)
        .text("payload-blake3", digest(&frame.payload));
    Frame::new(frame.kind, header.finish(), Vec::new())
}

/// The same of a value inside of a host call; its shape and its numbers stay.
fn value_of(value: &Value) -> Value {
    let gone = |bytes: &[u8]| {
        Value::Text(format!("redacted: {} bytes, blake3 {}", bytes.len(), digest(bytes)))
    };
    match value {
        Value::Text(text) => gone(text.as_bytes()),
        Value::Bytes(bytes) => gone(bytes),
        Value::Array(items) => Value::Array(items.iter().map(value_of).collect()),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| (value_of(key), value_of(value));
            Value::Map(entries.iter().map(entry).collect())
        }
        Value::Tag(tag, inner) => Value::Tag(*tag, Box::new(value_of(inner))),
        other => other.clone(),
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_sent_is_left() {
        // Every sort of event, searched for every text and every run of bytes that somebody sent.
        let secrets: [&[u8]; 4] = [b"hello", b"key", &[0xFF, 0x00], b"\x63raw"];
        for event in crate::sample::events() {
            let mut bytes = Vec::new();
            match redact(&event).what {
                What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => {
                    bytes.extend_from_slice(&frame.to_bytes());
                }
                What::HostCall { host_call, .. } => {
                    bytes.extend_from_slice(&host_call.arguments.to_bytes());
                    bytes.extend(host_call.result.iter().flat_map(Value::to_bytes));
                }
                other => assert_eq!(other, event.what),
            }
            for secret in secrets {
                let is_there = bytes.windows(secret.len()).any(|window| window == secret);
                assert!(!is_there, "{secret:?} in {event:?}");
            }
        }
    }

    #[test]
    fn lengths_and_digests_stay() {
        let event = crate::sample::events().into_iter().find_map(|event| match event.what {
            What::FrameIn { ref frame, .. } if frame.payload == "hello" => Some(event),
            _ => None,
        });
        let What::FrameIn { frame, .. } = redact(&event.expect("it is there")).what else {
            panic!("it is a frame");
        };
        assert_eq!(frame.header.get_integer("payload-bytes"), Some(5));
        assert_eq!(frame.header.get_text("payload-blake3"), Some(digest(b"hello")));
    }
}
