//! Frames on the command line and in reports.

use std::collections::BTreeMap;
use std::path::Path;

use glovebox_abi::text::inert;
use glovebox_abi::{Frame, Header, MAX_FRAME_LEN};
use glovebox_inspector::decode::{self, FromJsonError, Json, hex};

use super::error::{Problem, READ_ARGUMENT};

/// A payload: text, `@FILE` (`@-` is standard input), or `hex:…`.
pub(super) fn payload(text: &str) -> Result<Vec<u8>, Problem> {
    if let Some(path) = text.strip_prefix('@') {
        let path = Path::new(path);
        let read = glovebox_files::read_or_stdin(path, MAX_FRAME_LEN as u64);
        return read.map_err(Problem::file(READ_ARGUMENT, path));
    }
    let Some(digits) = text.strip_prefix(hex::PREFIX) else {
        return Ok(text.as_bytes().to_vec());
    };
    hex::decode_spaced(digits).map_err(|error| {
        let example = "write pairs of hexadecimal digits, e.g. hex:00ff";
        Problem::Usage(format!("--payload `{text}` is not hexadecimal: {error}; {example}"))
    })
}

/// A header of a JSON object; texts `hex:…` become byte strings.
pub(super) fn header(text: &str) -> Result<Header, Problem> {
    decode::header_from_json(text).map_err(|error| {
        Problem::Usage(match error {
            FromJsonError::NoObject => "--header is not a JSON object; write {…}".to_owned(),
            FromJsonError::Malformed(error) => format!("--header is not JSON: {error}"),
            error => format!("--header: {error}"),
        })
    })
}

/// Frames for programs.
pub(super) fn frames_json(frames: &[Frame]) -> Json {
    Json::List(frames.iter().map(frame_json).collect())
}

/// A frame for programs: `payload` is text, `payload_hex` anything that is not.
fn frame_json(frame: &Frame) -> Json {
    let (key, payload) = match std::str::from_utf8(&frame.payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_hex", hex::encode(&frame.payload)),
    };
    Json::Map(BTreeMap::from([
        ("kind".to_owned(), frame.kind.to_string().into()),
        ("header".to_owned(), decode::header_json(frame)),
        (key.to_owned(), payload.into()),
    ]))
}

/// A frame for people, inert, with the payload as it is.
pub(super) fn frame_text(frame: &Frame) -> String {
    let mut text = frame.kind.to_string();
    if !frame.header.as_bytes().is_empty() {
        text.push_str(&format!(" {}", inert(&decode::header_json(frame).to_string())));
    }
    match std::str::from_utf8(&frame.payload) {
        Ok(payload) => text.push_str(&format!("\n{payload}\n")),
        Err(_) => text.push_str(&format!("\n{}{}\n", hex::PREFIX, hex::encode(&frame.payload))),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
                header(r#"{"id": "a", "raw": "hex:01"}"#).unwrap(),
                payload.to_vec(),
            );
            let json = json!(frame_json(&frame));
            assert_eq!(json[key], expected);
            assert_eq!(json["header"], json!({"id": "a", "raw": "hex:01"}));
            assert!(frame_text(&frame).contains(expected));
        }
        check(b"hello", "payload", "hello");
        check(b"\x1b[31mred", "payload", "\x1b[31mred");
        check(&[0xFF, 0], "payload_hex", "ff00");
    }

    #[test]
    fn headers_do_not_act_and_payloads_are_exact() {
        let header = header(r#"{"id": "\u009b31m"}"#).unwrap();
        let frame = Frame::new(glovebox_abi::Kind::DATA, header, &b"a\n\x1b[31m"[..]);
        let expected = "data {\"id\":\"\\u{9b}31m\"}\na\n\u{1b}[31m\n";
        assert_eq!(frame_text(&frame), expected);
    }
}
