//! Any bytes are a frame or an error. A frame is written as it was read, and each part of it that is
//! shown lies in the part around it.

use bytes::Bytes;
use glovebox_abi::Frame;
use glovebox_inspector::decode::{self, Node};

pub(crate) fn run(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(&Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert_eq!(frame.to_bytes(), bytes);
    check(&decode::tree(&frame));
    decode::header_json(&frame);
    decode::payload_text(&frame, true);
}

fn check(node: &Node) {
    for child in &node.children {
        let around = &node.range;
        let is_inside = around.start <= child.range.start && child.range.end <= around.end;
        assert!(is_inside && child.range.start <= child.range.end, "{child:?} in {around:?}");
        check(child);
    }
}
