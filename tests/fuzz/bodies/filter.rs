//! Any text is a filter or an error that points into it; a filter reads as it is written down, and
//! any bytes can be filtered. The text ends at the first zero byte, what follows is the payload.

use glovebox_abi::Frame;
use glovebox_inspector::filter::{ChunkSummary, Filter, SeenValues, Subject};

pub(crate) fn run(bytes: &[u8]) {
    let (text, payload) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let frame = Frame::data(payload.to_vec());
    let subject = Subject { header: payload, plugin: "echo", ..Subject::of_frame(&frame) };
    match Filter::parse(text) {
        Ok(filter) => {
            assert_eq!(Filter::parse(&filter.to_string()).as_ref(), Ok(&filter), "{text:?}");
            let mut summary = ChunkSummary::default();
            summary.add(&subject);
            assert!(filter.may_match(&summary) || !filter.matches(&subject), "{text:?}");
        }
        Err(error) => {
            assert!(error.position <= text.len(), "{text:?}: {error}");
            error.pointed_at(text);
        }
    }
    let mut seen = SeenValues::default();
    seen.add(&subject);
    for completion in Filter::complete(text, text.len() / 2, &seen) {
        completion.apply(text);
    }
}
