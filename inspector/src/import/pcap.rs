//! The classic format of libpcap: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>,
//! with nanoseconds, and with the longer records that old Linux systems and Nokia wrote, which no number
//! in the file tells apart: how the first records lie does.
//!
//! Packets may be longer than the snap length that the file claims, and have a million microseconds
//! or more: libpcap and Wireshark read such files too. A record that cannot be one costs itself: the
//! next place is sought at which two records follow each other, or one and the end.

use std::path::Path;

use super::capture::{MAX_PACKET, Order, Packets};
use super::input::Input;
use super::packet::Packet;
use super::{Format, ImportError, ImportReport};

const HEADER_LEN: usize = 24;
/// The records that are looked at to find out how records lie, and the bytes that they have at most.
const FIRST_RECORDS: usize = 16;
const FIRST_BYTES: usize = 1 << 20;
/// How far the times of two neighbours may be apart for a place to be taken for a record, in seconds.
const NEAR: u32 = 7 * 24 * 3600;

/// The order of the two lengths in front of a packet, as libpcap reads it (`sf-pcap.c`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    /// In the file, then on the wire.
    Usual,
    /// On the wire, then in the file: before version 2.3, and of 543.
    Swapped,
    /// In version 2.3 there are both; more in the file than on the wire cannot be.
    Either,
}

impl Lengths {
    fn of(major: u16, minor: u16) -> Lengths {
        match (major, minor) {
            (543, _) | (2, ..3) => Lengths::Swapped,
            (2, 3) => Lengths::Either,
            _ => Lengths::Usual,
        }
    }
}

/// How the records of a file lie.
#[derive(Clone, Copy)]
struct Layout {
    order: Order,
    /// Nanoseconds in a unit of the fraction of a second.
    unit: u32,
    /// Bytes in front of the data.
    head: usize,
    lengths: Lengths,
}

/// The numbers in front of the data of a packet.
struct Head {
    seconds: u32,
    fraction: u32,
    captured: u32,
    length: u32,
}

impl Layout {
    fn of(magic: [u8; 4]) -> Option<Layout> {
        let (order, number) = match magic[0] {
            0xA1 => (Order::Big, u32::from_be_bytes(magic)),
            _ => (Order::Little, u32::from_le_bytes(magic)),
        };
        let (unit, head) = match number {
            0xA1B2_C3D4 => (1000, 16),
            0xA1B2_3C4D => (1, 16),
            // Eight bytes more: interface, protocol, kind of packet.
            0xA1B2_CD34 => (1000, 24),
            _ => return None,
        };
        Some(Layout { order, unit, head, lengths: Lengths::Usual })
    }

    /// The other layouts that files with this one's number have.
    fn others(self) -> impl Iterator<Item = Layout> {
        // Behind the 16 bytes of everybody: Red Hat 6.1 and Nokia; SuSE 6.3.
        let heads: &[usize] = match (self.unit, self.head) {
            (1000, 16) => &[24, 20],
            (_, 24) => &[28],
            _ => &[],
        };
        heads.iter().map(move |&head| Layout { head, ..self })
    }

    /// The layout in which the records of a file lie that has this one's number.
    fn in_use(self, input: &mut Input<'_>) -> Layout {
        if self.fits(input, self) {
            return self;
        }
        self.others().find(|other| other.fits(input, self)).unwrap_or(self)
    }

    /// True if the first records follow each other without a gap. `usual` is what else they would be.
    fn fits(self, input: &mut Input<'_>, usual: Layout) -> bool {
        let (mut at, mut seconds) = (0, None);
        for records in 0..FIRST_RECORDS {
            if !input.has(at + 1) {
                return records > 1 || records == 1 && !usual.is_cut_off(input, self);
            }
            if at > FIRST_BYTES {
                return true;
            }
            if !input.has(at + self.head) || !self.is_likely(&input.ahead()[at..], seconds) {
                return false;
            }
            let head = self.head(&input.ahead()[at..]);
            at += self.head + head.captured as usize;
            seconds = Some(head.seconds);
            if !input.has(at) {
                return false;
            }
        }
        true
    }

    /// True if a file of one record in the layout `other` may as well be one of this layout that is cut
    /// off in its second: what is left of that begins with a time near the first.
    fn is_cut_off(self, input: &Input<'_>, other: Layout) -> bool {
        let (file, more) = (input.ahead(), other.head - self.head);
        let (first, rest) = (self.head(file), file.len().checked_sub(more).map(|at| &file[at..]));
        more > 0 && rest.is_some_and(|rest| self.order.u32(rest, 0).abs_diff(first.seconds) <= NEAR)
    }

    fn head(self, bytes: &[u8]) -> Head {
        let number = |at| self.order.u32(bytes, at);
        let (mut captured, mut length) = (number(8), number(12));
        let is_swapped = self.lengths == Lengths::Either && captured > length;
        if is_swapped || self.lengths == Lengths::Swapped {
            (captured, length) = (length, captured);
        }
        Head { seconds: number(0), fraction: number(4), captured, length }
    }

    /// True if this looks like the head of a record near `seconds`: for finding the next one, where
    /// to take data for a record is worse than to miss one.
    fn is_likely(self, bytes: &[u8], seconds: Option<u32>) -> bool {
        let head = self.head(bytes);
        head.captured <= MAX_PACKET
            && head.captured <= head.length
            && head.length <= MAX_PACKET
            && u64::from(head.fraction) * u64::from(self.unit) < 1_000_000_000
            && seconds.is_none_or(|seconds| head.seconds.abs_diff(seconds) <= NEAR)
    }
}

pub(super) fn read<E: From<ImportError>>(
    path: &Path,
    mut input: Input<'_>,
    each: &mut dyn FnMut(glovebox_events::Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let damaged = |reason: &str| ImportError::Damaged {
        format: Format::Pcap,
        reason: reason.to_owned(),
        path: path.to_owned(),
    };
    if !input.has(HEADER_LEN) {
        return Err(damaged("the file ends in its header").into());
    }
    let header = input.ahead();
    let layout = header.first_chunk().and_then(|magic| Layout::of(*magic));
    let mut layout =
        layout.ok_or_else(|| damaged("its first four bytes are none of this format"))?;
    let version = |at| layout.order.u16(header, at);
    let (major, minor) = (version(4), version(6));
    layout.lengths = Lengths::of(major, minor);
    // The upper bits say whether a checksum of the link stands behind each packet.
    let link = layout.order.u32(header, 20) & 0x03FF_FFFF;
    input.skip(HEADER_LEN);
    let layout = layout.in_use(&mut input);
    let mut packets = Packets::new(Format::Pcap, each);
    if !matches!((major, minor), (2, 0..=4) | (543, 0)) {
        packets.unknown_version(major, minor);
    }
    let mut last = None;
    while input.has(1) {
        let here = input.offset();
        let whole = input.has(layout.head);
        let head = layout.head(input.ahead());
        let end = layout.head + head.captured as usize;
        if whole && head.captured <= MAX_PACKET && input.has(end) {
            let time = i128::from(head.seconds) * 1_000_000_000
                + i128::from(head.fraction) * i128::from(layout.unit);
            let data = &input.ahead()[layout.head..end];
            packets.take(&Packet { time: Some(time), length: head.length, link, data })?;
            last = Some(head.seconds);
            input.skip(end);
        } else if find(&mut input, layout, last) {
            packets.damage(here, "this is no packet");
        } else {
            packets.cut_short(match whole && head.captured > MAX_PACKET {
                true => "the rest is damaged",
                false => "the file ends in the middle of a packet",
            });
            break;
        }
    }
    Ok(packets.finish(&input))
}

/// Goes to the next place that looks like a record with another one, or the end, behind it. The
/// bytes before it are gone afterwards.
fn find(input: &mut Input<'_>, layout: Layout, last: Option<u32>) -> bool {
    while input.has(1 + layout.head) {
        input.skip(1);
        let head = layout.head(input.ahead());
        if !layout.is_likely(input.ahead(), last) {
            continue;
        }
        let end = layout.head + head.captured as usize;
        if input.has(end + layout.head) {
            if layout.is_likely(&input.ahead()[end..], Some(head.seconds)) {
                return true;
            }
        } else if input.ahead().len() == end && last.is_some() {
            return true;
        }
    }
    false
}
