//! The common part of both capture formats: packets that become events, and damage that is counted.

use glovebox_events::{CallId, Event, What};
use serde::Serialize;

use super::input::Input;
use super::packet::{self, Packet};
use super::{CAPTURE_PLUGIN, Format, ImportReport};

/// The largest packet that is believed: what is larger is damage.
pub(super) const MAX_PACKET: u32 = glovebox_abi::MAX_FRAME_LEN as u32;

/// Parts of a capture that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Damage {
    /// How many blocks or packets.
    pub parts: u64,
    /// Where the first is, in bytes from the start of the unpacked file, and what is wrong with it.
    pub first: Option<String>,
}

impl Damage {
    pub(super) fn add(&mut self, offset: u64, reason: &str) {
        self.parts += 1;
        self.first.get_or_insert_with(|| format!("at byte {offset}: {reason}"));
    }
}

/// Packets of which no addresses are known, or only those around a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct WithoutAddresses {
    /// How many.
    pub packets: u64,
    /// Why the first one has none.
    pub first: Option<String>,
}

/// Numbers packets and hands them on.
pub(super) struct Packets<'a, E> {
    report: ImportReport,
    each: &'a mut dyn FnMut(Event) -> Result<(), E>,
}

impl<'a, E> Packets<'a, E> {
    pub(super) fn new(format: Format, each: &'a mut dyn FnMut(Event) -> Result<(), E>) -> Self {
        Packets { report: ImportReport::new(format), each }
    }

    pub(super) fn take(&mut self, packet: &Packet<'_>) -> Result<(), E> {
        let count = self.report.events;
        let time = packet.time.unwrap_or_default();
        let at = u64::try_from(time).ok();
        self.report.times_moved += u64::from(at.is_none());
        let (frame, layers) = packet::frame(packet);
        let is_later_fragment = layers.fragment.is_some_and(|fragment| fragment.offset > 0);
        self.report.later_fragments += u64::from(is_later_fragment);
        self.report.wrong_lengths += u64::from(layers.has_wrong_length);
        if !layers.unknown.is_empty() {
            self.report.without_addresses.packets += 1;
            self.report.without_addresses.first.get_or_insert(layers.unknown);
        }
        let event = Event {
            sequence: count,
            at: at.unwrap_or(if time < 0 { 0 } else { u64::MAX }),
            plugin: CAPTURE_PLUGIN.into(),
            instance: 0,
            generation: 1,
            what: What::FrameIn { call: CallId(count + 1), frame },
        };
        self.report.events += 1;
        (self.each)(event)
    }

    pub(super) fn damage(&mut self, offset: u64, reason: &str) {
        self.report.damaged.add(offset, reason);
    }

    pub(super) fn cut_short(&mut self, reason: &str) {
        self.report.cut_short = Some(reason.to_owned());
    }

    /// Notes a version of the format that nobody is known to write.
    pub(super) fn unknown_version(&mut self, major: u16, minor: u16) {
        self.report.unknown_version.get_or_insert_with(|| format!("{major}.{minor}"));
    }

    pub(super) fn leave_out(&mut self) {
        self.report.left_out += 1;
    }

    pub(super) fn finish(mut self, input: &Input<'_>) -> ImportReport {
        if let Some(trouble) = input.trouble() {
            self.report.cut_short = Some(trouble.to_string());
        }
        self.report
    }
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// The two bytes at an offset; 0 if they are not there.
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The four bytes at an offset; 0 if they are not there.
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The eight bytes at an offset; 0 if they are not there.
    pub(super) fn i64(self, bytes: &[u8], at: usize) -> i64 {
        let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        match self {
            Order::Little => i64::from_le_bytes(bytes),
            Order::Big => i64::from_be_bytes(bytes),
        }
    }
}
