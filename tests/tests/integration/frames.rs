//! Frames of any content survive the wire, and any bytes are a frame or an error.

use glovebox_abi::{Frame, FrameRef, Header, Kind};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_frame_survives(
        kind: u8,
        id in ".{0,40}",
        number: i64,
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let header = Header::build().text(Header::ID, id).integer("n", number).finish();
        let frame = Frame::new(Kind(kind), header, payload);
        let bytes = frame.to_bytes();
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame.clone()));
        let read = FrameRef::read(&bytes).unwrap();
        prop_assert_eq!((read.to_frame(), read.encoded_len()), (frame, bytes.len()));
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = FrameRef::read(&bytes) {
            prop_assert_eq!(&frame.to_frame().to_bytes()[..], &bytes[..frame.encoded_len()]);
        }
    }

    #[test]
    fn any_header_after_a_good_prefix_is_taken_or_refused(header in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = Frame::prefix(Kind::DATA, header.len(), 0).to_vec();
        bytes.extend(&header);
        if let Ok(frame) = Frame::decode(&bytes.into()) {
            // A frame that was taken can be looked at.
            let _ = frame.header.entries();
        }
    }
}
