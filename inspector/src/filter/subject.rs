use std::time::Duration;

use glovebox_abi::{Frame, Kind};
use glovebox_events::{CallId, Direction};

use glovebox_trace::{Statuses, recorded_len_of};

/// The subject of a filter: one frame and the call it belongs to.
///
/// All of it is borrowed, and header and payload are as they stand in a trace, so that a search
/// through a file need not make anything of a frame first.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Id of the plugin.
    pub plugin: &'a str,
    /// The kind of the frame.
    pub kind: Kind,
    /// The direction of the frame.
    pub direction: Direction,
    /// The call.
    pub call: CallId,
    /// The instance of the plugin, by its number in the host.
    pub instance: u64,
    /// Generation of the plugin, from 1.
    pub generation: u32,
    /// The version that it runs; empty if nothing says it.
    pub version: &'a str,
    /// When the frame was seen, since the first event of the store or trace.
    pub time: Duration,
    /// Where the call stands, and what its host calls add.
    pub status: Statuses,
    /// Latency of the call, once it is over.
    pub latency: Option<Duration>,
    /// The header: one CBOR map, or empty.
    pub header: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Subject<'a> {
    /// A frame by itself, about whose call nothing is known.
    pub fn of_frame(frame: &'a Frame) -> Subject<'a> {
        Subject {
            kind: frame.kind,
            header: frame.header.as_bytes(),
            payload: &frame.payload,
            ..Subject::nothing()
        }
    }

    /// Nothing at all.
    pub(super) fn nothing() -> Subject<'a> {
        Subject {
            plugin: "",
            kind: Kind::DATA,
            direction: Direction::In,
            call: CallId(0),
            instance: 0,
            generation: 0,
            version: "",
            time: Duration::ZERO,
            status: Statuses::NONE,
            latency: None,
            header: &[],
            payload: &[],
        }
    }

    /// Bytes of the encoded frame, as it was recorded.
    pub fn size(&self) -> u64 {
        recorded_len_of(self.header, self.payload.len()) as u64
    }
}

/// A duration as filters count it; beyond 584 years it is that.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
