//! One packet as a frame.

use bytes::Bytes;
use glovebox_abi::{Frame, Header, Kind};
use pcap_file::DataLink;

use super::layers::Layers;

/// A packet as both capture formats have it.
pub(super) struct Packet<'a> {
    /// Nanoseconds since the Unix epoch, if the file says.
    pub(super) time: Option<i128>,
    /// Bytes on the wire.
    pub(super) length: u32,
    /// The number of the link type: <https://www.tcpdump.org/linktypes.html>.
    pub(super) link: u32,
    /// The captured bytes.
    pub(super) data: &'a [u8],
}

/// A packet as a frame, and what is known of it.
pub(super) fn frame<'a>(packet: &Packet<'a>) -> (Frame, Layers<'a>) {
    let link = DataLink::from(packet.link);
    let mut header = Header::build();
    if let Some(time) = packet.time {
        header = header.integer("time", time);
    }
    let layers = Layers::of(link, packet.data);
    let addresses = [("src", "dst", layers.addresses), ("outer-src", "outer-dst", layers.outer)];
    for (source, destination, addresses) in addresses {
        if let Some([from, to]) = addresses {
            header = header.text(source, from.to_string()).text(destination, to.to_string());
        }
    }
    if let Some([source, destination]) = layers.ports {
        header = header.integer("src-port", source).integer("dst-port", destination);
    }
    if !layers.protocol.is_empty() {
        header = header.text("protocol", layers.protocol.as_str());
    }
    if let Some(tunnel) = layers.tunnel {
        header = header.text("tunnel", tunnel);
    }
    if let Some(fragment) = layers.fragment {
        header = header.integer("fragment", fragment.offset).integer("fragment-id", fragment.id);
    }
    let header = header
        .integer("length", packet.length)
        .integer("captured", packet.data.len() as i128)
        .text("link", name(link))
        .finish();
    let payload = Bytes::copy_from_slice(layers.payload.unwrap_or(packet.data));
    (Frame::new(Kind::DATA, header, payload), layers)
}

fn name(link: DataLink) -> String {
    match link {
        DataLink::Unknown(12 | 14) => "RAW".to_owned(),
        link => format!("{link:?}").to_ascii_uppercase(),
    }
}
