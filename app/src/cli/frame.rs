//! Frames on the command line and in reports.

use std::path::Path;

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_inspector::decode;
use serde_json::{Value as Json, json};

use super::error::{Problem, READ_ARGUMENT};

/// How bytes are written on the command line.
const HEX: &str = "hex:";

/// A payload: text, `@FILE`, or `hex:…`.
pub(super) fn payload(text: &str) -> Result<Vec<u8>, Problem> {
    if let Some(path) = text.strip_prefix('@') {
        let path = Path::new(path);
        return std::fs::read(path).map_err(Problem::file(READ_ARGUMENT, path));
    }
    if !text.starts_with(HEX) {
        return Ok(text.as_bytes().to_vec());
    }
    match decode::from_json(&Json::String(text.to_owned())) {
        Value::Bytes(bytes) => Ok(bytes),
        _ => {
            let example = "write pairs of hexadecimal digits, e.g. hex:00ff";
            Err(Problem::Usage(format!("--payload `{text}` is not hexadecimal; {example}")))
        }
    }
}

/// A header of a JSON object; texts `hex:…` become byte strings.
pub(super) fn header(json: &Json) -> Header {
    match decode::from_json(json) {
        Value::Map(entries) => Header::from_entries(entries),
        _ => Header::empty(),
    }
}

/// A frame for programs: `payload` is text, `payload_hex` anything that is not.
pub(super) fn frame_json(frame: &Frame) -> Json {
    let mut json = json!({
        "kind": frame.kind.to_string(),
        "header": decode::header_json(frame),
    });
    match std::str::from_utf8(&frame.payload) {
        Ok(text) => json["payload"] = text.into(),
        Err(_) => json["payload_hex"] = hex(&frame.payload).into(),
    }
    json
}

/// A frame for people.
pub(super) fn frame_text(frame: &Frame) -> String {
    let mut text = frame.kind.to_string();
    if !frame.header.as_bytes().is_empty() {
        text.push_str(&format!(" {}", decode::header_json(frame)));
    }
    match std::str::from_utf8(&frame.payload) {
        Ok(payload) => text.push_str(&format!("\n{payload}\n")),
        Err(_) => text.push_str(&format!("\n{HEX}{}\n", hex(&frame.payload))),
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read() {
        fn check(text: &str, expected: Option<&[u8]>) {
            assert_eq!(payload(text).ok().as_deref(), expected, "{text}");
        }
        check("hello", Some(b"hello"));
        check("", Some(b""));
        check("hex:00Ff", Some(&[0, 255]));
        check("hex:", Some(b""));
        check("hex:0", None);
        check("hex:zz", None);
        check("@/no/such/file", None);
    }

    #[test]
    fn frames_are_shown() {
        fn check(payload: &[u8], key: &str, expected: &str) {
            let frame = Frame::new(
                glovebox_abi::Kind::DATA,
                header(&json!({"id": "a", "raw": "hex:01"})),
                payload.to_vec(),
            );
            let json = frame_json(&frame);
            assert_eq!(json[key], expected);
            assert_eq!(json["header"], json!({"id": "a", "raw": "hex:01"}));
            assert!(frame_text(&frame).contains(expected));
        }
        check(b"hello", "payload", "hello");
        check(&[0xFF, 0], "payload_hex", "ff00");
    }
}
