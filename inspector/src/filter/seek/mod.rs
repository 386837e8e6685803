//! Follows a path into CBOR or JSON and tries the value there, decoding only what is on the way.

mod cbor;
mod json;

use glovebox_abi::Header;
use minicbor::decode::Decoder;

use super::expression::Format;
use super::path::{Path, Step};
use super::value::ValueTest;
use crate::decode::{looks_like_cbor, looks_like_json};

/// True if the header has a value at `path` that fulfils `test`.
///
/// Of keys that stand there twice, any may lead there.
pub(super) fn header_holds(header: &[u8], path: &Path, test: &ValueTest) -> bool {
    // The cheap test first: most frames have no header at all.
    !header.is_empty() && cbor::holds(header, &path.0, test)
}

/// True if the payload is of this format and has a value at `path` that fulfils `test`.
///
/// The format of a payload is decided as in
/// [`decode::payload_format`](crate::decode::payload_format).
pub(super) fn payload_holds(
    header: &[u8],
    payload: &[u8],
    format: Format,
    path: &Path,
    test: &ValueTest,
) -> bool {
    // Only lists and maps have anything inside, so the first byte tells the formats apart.
    let (json, cbor) = match payload.first() {
        _ if looks_like_json(payload) => (format != Format::Cbor, format == Format::Cbor),
        _ if looks_like_cbor(payload) => (false, format != Format::Json),
        // Another tag may stand before a list or map; that this is CBOR must be said then.
        Some(0xC0..=0xDB) => {
            (false, format == Format::Cbor || format == Format::Any && says_cbor(header))
        }
        _ => (false, false),
    };
    (json && json::holds(payload, &path.0, test))
        || (cbor && is_one_value(payload) && cbor::holds(payload, &path.0, test))
}

fn is_one_value(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().is_ok() && decoder.position() == bytes.len()
}

fn says_cbor(mut header: &[u8]) -> bool {
    let mut found = false;
    let step = Step::new(Header::CONTENT_TYPE);
    cbor::follow(&mut header, std::slice::from_ref(&step), &mut |value| {
        found = Decoder::new(value).str().is_ok_and(|said| said.contains("cbor"));
        // The first of several counts, as when a frame is decoded.
        true
    });
    found
}
