//! Frames whose headers and payloads gave way to their lengths and digests, as those of failure bundles.

use std::path::Path;

use bytes::Bytes;
use glovebox_abi::{FRAME_PREFIX_LEN, Frame, Header};
use glovebox_events::{Event, What};

use crate::TraceError;

/// The text in the header of a placeholder.
const GONE: &str = "the header and the payload are not in this file";
/// The least bytes that the header of one has: that text, and two digests.
const LEAST: usize = GONE.len() + 4 * blake3::OUT_LEN;

/// The frame with its kind alone; its header says what is not there.
pub fn placeholder(frame: &Frame) -> Frame {
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let header = frame.header.as_bytes();
    let header = Header::build()
        .text("redacted", GONE)
        .integer("header-bytes", header.len() as i128)
        .text("header-blake3", digest(header))
        .integer("payload-bytes", frame.payload.len() as i128)
        .text("payload-blake3", digest(&frame.payload));
    Frame::new(frame.kind, header.finish(), Vec::new())
}

/// True of a frame that [`placeholder`] made: what was sent is not in the file.
pub fn is_placeholder(frame: &Frame) -> bool {
    recorded(frame.header.as_bytes(), frame.payload.len()).is_some()
}

/// Refuses an event whose frame is a [`placeholder`], for who sends or compares frames.
///
/// # Errors
///
/// [`TraceError::Redacted`].
pub fn refuse_placeholder(event: &Event, path: &Path) -> Result<(), TraceError> {
    match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } if is_placeholder(frame) => {
            Err(TraceError::Redacted { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Bytes of the encoded frame; of a [`placeholder`], those of the frame that it stands for.
pub fn recorded_len(frame: &Frame) -> usize {
    recorded_len_of(frame.header.as_bytes(), frame.payload.len())
}

/// The same of a frame with this header and so many bytes of payload.
pub fn recorded_len_of(header: &[u8], payload: usize) -> usize {
    recorded(header, payload).unwrap_or(FRAME_PREFIX_LEN + header.len() + payload)
}

fn recorded(header: &[u8], payload: usize) -> Option<usize> {
    // Nearly no frame gets further.
    if payload > 0 || header.len() < LEAST {
        return None;
    }
    let header = Header::from_cbor(Bytes::copy_from_slice(header)).ok()?;
    if header.get_text("redacted")? != GONE {
        return None;
    }
    let bytes = |key| usize::try_from(header.get_integer(key)?).ok();
    let parts = bytes("header-bytes")?.checked_add(bytes("payload-bytes")?)?;
    parts.checked_add(FRAME_PREFIX_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_say_how_large_the_frame_was() {
        #[track_caller]
        fn check(frame: &Frame) {
            let made = placeholder(frame);
            assert!(is_placeholder(&made) && !is_placeholder(frame), "{frame:?}");
            assert_eq!(recorded_len(&made), frame.encoded_len());
            assert_eq!(recorded_len(frame), frame.encoded_len());
        }
        check(&Frame::data("x"));
        check(&Frame::data(""));
        let header = Header::build().text("redacted", "long".repeat(100)).finish();
        check(&Frame::new(glovebox_abi::Kind::CONTROL, header, Vec::new()));
    }
}
