//! The two capture formats, packet by packet.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use glovebox_events::{CallId, Event, What};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

use super::packet::{self, Packet};
use super::{CAPTURE_PLUGIN, Format, ImportError, ImportReport};

/// Numbers packets and hands them on.
struct Packets<'a, E> {
    count: u64,
    each: &'a mut dyn FnMut(Event) -> Result<(), E>,
}

impl<E> Packets<'_, E> {
    fn take(&mut self, packet: &Packet<'_>) -> Result<(), E> {
        let event = Event {
            sequence: self.count,
            at: packet.nanoseconds(),
            plugin: CAPTURE_PLUGIN.into(),
            instance: 0,
            generation: 1,
            what: What::FrameIn { call: CallId(self.count + 1), frame: packet::frame(packet) },
        };
        self.count += 1;
        (self.each)(event)
    }
}

pub(super) fn pcap<E: From<ImportError>>(
    path: &Path,
    file: impl Read,
    each: &mut impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let mut reader = PcapReader::new(file).map_err(|error| damaged(Format::Pcap, &error, path))?;
    let link = reader.header().datalink;
    let mut packets = Packets { count: 0, each };
    let mut cut_short = None;
    while let Some(packet) = reader.next_packet() {
        match packet {
            Ok(packet) => packets.take(&Packet {
                time: packet.timestamp,
                length: packet.orig_len,
                link,
                data: &packet.data,
            })?,
            Err(error) => {
                cut_short = Some(explain(&error));
                break;
            }
        }
    }
    Ok(ImportReport { format: Format::Pcap, events: packets.count, cut_short })
}

pub(super) fn pcapng<E: From<ImportError>>(
    path: &Path,
    file: impl Read,
    each: &mut impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let mut reader =
        PcapNgReader::new(file).map_err(|error| damaged(Format::PcapNg, &error, path))?;
    let mut packets = Packets { count: 0, each };
    let mut links: Vec<DataLink> = Vec::new();
    let mut cut_short = None;
    while let Some(block) = reader.next_block() {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                cut_short = Some(explain(&error));
                break;
            }
        };
        let (link, time, length, data) = match &block {
            Block::SectionHeader(_) => {
                links.clear();
                continue;
            }
            Block::InterfaceDescription(interface) => {
                links.push(interface.linktype);
                continue;
            }
            Block::EnhancedPacket(packet) => {
                (packet.interface_id as usize, packet.timestamp, packet.original_len, &packet.data)
            }
            // A simple packet has no time, and belongs to the first interface.
            Block::SimplePacket(packet) => (0, Duration::ZERO, packet.original_len, &packet.data),
            _ => continue,
        };
        let Some(link) = links.get(link).copied() else {
            cut_short = Some(format!("a packet names interface {link}, which does not exist"));
            break;
        };
        packets.take(&Packet { time, length, link, data })?;
    }
    Ok(ImportReport { format: Format::PcapNg, events: packets.count, cut_short })
}

fn damaged(format: Format, error: &pcap_file::PcapError, path: &Path) -> ImportError {
    ImportError::Damaged { format, reason: explain(error), path: path.to_owned() }
}

fn explain(error: &pcap_file::PcapError) -> String {
    match error {
        pcap_file::PcapError::IncompleteBuffer => "the file ends in the middle of a packet".into(),
        pcap_file::PcapError::IoError(source) => source.to_string(),
        other => other.to_string(),
    }
}
