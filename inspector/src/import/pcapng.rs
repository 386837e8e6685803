//! The successor of pcap: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>.
//!
//! Read block by block, because that is what is lost when a block is damaged: a block whose two
//! lengths differ, or whose contents cannot be, costs itself and nothing else. Times have the
//! resolution and the offset of their interface.

use std::path::Path;

use super::capture::{MAX_PACKET, Order, Packets};
use super::input::Input;
use super::packet::Packet;
use super::{Format, ImportError, ImportReport};

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
/// Of old versions of the format; the enhanced one took its place.
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const JOURNAL_ENTRY: u32 = 9;
const CUSTOM: u32 = 0x0BAD;
/// The same, of what is not to be copied to other files.
const CUSTOM_HERE: u32 = 0x4000_0BAD;
/// The blocks that are known, so that data is not taken for one.
const KNOWN: [u32; 13] = [
    SECTION,
    INTERFACE,
    OBSOLETE_PACKET,
    SIMPLE_PACKET,
    4,
    5,
    ENHANCED_PACKET,
    JOURNAL_ENTRY,
    10,
    CUSTOM,
    CUSTOM_HERE,
    0x8000_0001,
    0x201,
];

/// Type, length, and the length again: what every block has.
const FRAME_LEN: usize = 12;
/// The largest block that is believed: a packet with many options.
const MAX_BLOCK: usize = MAX_PACKET as usize + (1 << 20);

/// The description of one interface in a section.
#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    snap_length: u32,
    /// As in the file: a power of ten, or with the upper bit of two.
    resolution: u8,
    /// Seconds.
    offset: i64,
}

impl Interface {
    fn of(body: &[u8], order: Order) -> Option<Interface> {
        let mut interface = Interface {
            link: order.u16(body, 0).into(),
            snap_length: order.u32(body, 4),
            resolution: 6,
            offset: 0,
        };
        let mut options = body.get(8..)?;
        while options.len() >= 4 {
            let (code, length) = (order.u16(options, 0), usize::from(order.u16(options, 2)));
            let value = options.get(4..4 + length)?;
            match (code, value) {
                (0, _) => break,
                (9, [resolution, ..]) => interface.resolution = *resolution,
                (14, [_, _, _, _, _, _, _, _, ..]) => interface.offset = order.i64(value, 0),
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(interface)
    }

    /// Nanoseconds since the Unix epoch; what is finer is cut off.
    fn time(self, units: u64) -> i128 {
        let units = i128::from(units);
        let exponent = u32::from(self.resolution & 0x7F);
        let nanoseconds = match (self.resolution & 0x80 != 0, exponent) {
            (true, 0..=94) => (units * 1_000_000_000) >> exponent,
            (false, 0..=9) => units * 10_i128.pow(9 - exponent),
            (false, 10..=38) => units / 10_i128.pow(exponent - 9),
            _ => 0,
        };
        nanoseconds + i128::from(self.offset) * 1_000_000_000
    }
}

pub(super) fn read<E: From<ImportError>>(
    path: &Path,
    mut input: Input<'_>,
    each: &mut dyn FnMut(glovebox_events::Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    if order_of_section(input.first(FRAME_LEN)).is_none() {
        let reason = "its first block says nothing of the order of bytes".to_owned();
        return Err(
            ImportError::Damaged { format: Format::PcapNg, reason, path: path.into() }.into()
        );
    }
    let mut packets = Packets::new(Format::PcapNg, each);
    let mut order = Order::Little;
    // `None` of an interface whose description is damaged: those behind it keep their numbers.
    let mut interfaces: Vec<Option<Interface>> = Vec::new();
    while input.has(1) {
        let here = input.offset();
        if !input.has(FRAME_LEN) {
            packets.cut_short("the file ends in the middle of a block");
            break;
        }
        let is_section = input.ahead().starts_with(&SECTION.to_be_bytes());
        match order_of_section(input.ahead()) {
            Some(found) => order = found,
            None if is_section => {
                packets.damage(here, "a section says nothing of the order of bytes");
                input.skip(4);
                if find(&mut input, order) {
                    continue;
                }
                packets.cut_short("the rest is damaged");
                break;
            }
            None => {}
        }
        let kind = order.u32(input.ahead(), 0);
        let stated = order.u32(input.ahead(), 4) as usize;
        // Some writers leave the padding out of the length, and have it all the same.
        let length = stated.min(MAX_BLOCK + 4).next_multiple_of(4);
        if !is_length(length) || !input.has(length) || !ends_well(input.ahead(), stated, order) {
            let is_cut = is_length(length) && !input.has(length);
            if kind == INTERFACE {
                interfaces.push(None);
            }
            // If one of its lengths is right, the next block is where it says.
            let skipped =
                if is_length(length) && is_block(&mut input, length, order) { length } else { 4 };
            input.skip(skipped);
            if find(&mut input, order) {
                packets.damage(here, "this is no block");
                continue;
            }
            packets.cut_short(match is_cut {
                true => "the file ends in the middle of a block",
                false => "the rest is damaged",
            });
            break;
        }
        let body = &input.ahead()[8..length - 4];
        let taken = match kind {
            SECTION => {
                interfaces.clear();
                let (major, minor) = (order.u16(body, 4), order.u16(body, 6));
                // 1.2 is another name of 1.0.
                if !matches!((major, minor), (1, 0 | 2)) {
                    packets.unknown_version(major, minor);
                }
                Ok(None)
            }
            INTERFACE => {
                let interface = Interface::of(body, order);
                interfaces.push(interface);
                interface.map(|_| None).ok_or("the description of an interface is damaged")
            }
            JOURNAL_ENTRY | CUSTOM | CUSTOM_HERE => {
                packets.leave_out();
                Ok(None)
            }
            _ => packet(kind, body, order, &interfaces),
        };
        match taken {
            Ok(Some(packet)) => packets.take(&packet)?,
            Ok(None) => {}
            Err(reason) => packets.damage(here, reason),
        }
        input.skip(length);
    }
    Ok(packets.finish(&input))
}

/// The packet in a block; `None` if it is a block without.
fn packet<'a>(
    kind: u32,
    body: &'a [u8],
    order: Order,
    interfaces: &[Option<Interface>],
) -> Result<Option<Packet<'a>>, &'static str> {
    let number = |at| order.u32(body, at);
    let (interface, head) = match kind {
        ENHANCED_PACKET => (number(0) as usize, 20),
        OBSOLETE_PACKET => (order.u16(body, 0).into(), 20),
        // Belongs to the first interface.
        SIMPLE_PACKET => (0, 4),
        _ => return Ok(None),
    };
    let interface = match interfaces.get(interface) {
        Some(Some(interface)) => interface,
        Some(None) => return Err("the description of the packet's interface is damaged"),
        None => return Err("the packet names an interface that does not exist"),
    };
    let data = body.get(head..).ok_or("the block is too short for a packet")?;
    let (time, captured, length) = if kind == SIMPLE_PACKET {
        // How much was captured is not said, but by the snap length: the padding is no part of it.
        let length = number(0);
        let most = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
        // It has no time either.
        (None, length.min(most), length)
    } else {
        let units = u64::from(number(4)) << 32 | u64::from(number(8));
        (Some(interface.time(units)), number(12), number(16))
    };
    let data = data.get(..captured as usize).ok_or("the packet is longer than its block")?;
    Ok(Some(Packet { time, length, link: interface.link, data }))
}

/// The order of bytes that a section begins, if it is one.
fn order_of_section(block: &[u8]) -> Option<Order> {
    match (block.first_chunk::<4>()?, block.get(8..12)?) {
        ([0x0A, 0x0D, 0x0D, 0x0A], [0x1A, 0x2B, 0x3C, 0x4D]) => Some(Order::Big),
        ([0x0A, 0x0D, 0x0D, 0x0A], [0x4D, 0x3C, 0x2B, 0x1A]) => Some(Order::Little),
        _ => None,
    }
}

fn is_length(length: usize) -> bool {
    (FRAME_LEN..=MAX_BLOCK).contains(&length) && length.is_multiple_of(4)
}

/// True if a block, which is there as a whole, has the same length at both ends.
fn ends_well(block: &[u8], length: usize, order: Order) -> bool {
    order.u32(block, length.next_multiple_of(4) - 4) as usize == length
}

/// Goes to the next place at which a block begins. The bytes before it are gone afterwards.
fn find(input: &mut Input<'_>, order: Order) -> bool {
    while input.has(FRAME_LEN) {
        if is_block(input, 0, order) {
            return true;
        }
        input.skip(1);
    }
    false
}

/// True if a known block stands so many bytes ahead.
fn is_block(input: &mut Input<'_>, at: usize, order: Order) -> bool {
    if !input.has(at + FRAME_LEN) {
        return false;
    }
    let block = &input.ahead()[at..];
    let order = order_of_section(block).unwrap_or(order);
    let (kind, length) = (order.u32(block, 0), order.u32(block, 4) as usize);
    KNOWN.contains(&kind)
        && is_length(length)
        && input.has(at + length)
        && ends_well(&input.ahead()[at..], length, order)
}
