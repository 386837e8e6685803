//! Payloads as texts for people.

use glovebox_abi::Frame;
use glovebox_abi::units::show_size;
use glovebox_inspector::decode;

/// Payloads of more bytes are not read to be shown.
const LARGE: usize = 64 << 10;

/// As much of a payload as is shown; made anew whenever it is painted.
pub(super) fn preview(frame: &Frame) -> String {
    if frame.payload.len() <= LARGE {
        return shown(frame);
    }
    let start = String::from_utf8_lossy(&frame.payload[..LARGE / 8]);
    let size = show_size(frame.payload.len() as u64);
    format!("{start}\n\nThis is the start of {size}; Copy takes all of it")
}

/// A payload for people: JSON if it is some, text if it is some, digits otherwise.
pub(super) fn shown(frame: &Frame) -> String {
    if let Some(text) = decode::payload_text(frame, true) {
        return text;
    }
    match std::str::from_utf8(&frame.payload) {
        Ok(text) => text.to_owned(),
        Err(_) => frame.payload.iter().take(2048).map(|byte| format!("{byte:02x} ")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_large_payload_the_start_is_shown() {
        assert!(preview(&Frame::data("x".repeat(8 << 20))).len() < LARGE);
        assert_eq!(preview(&Frame::data("x")), "x");
    }
}
