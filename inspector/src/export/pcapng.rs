//! Frames as packets of a pcapng file, for Wireshark and `tshark`.
//!
//! Each plugin is an interface of link type 147 (`USER0`), named after it; times are in nanoseconds
//! since the Unix epoch. A packet is a head of 16 bytes, little-endian, and the frame as it is
//! [encoded](glovebox_abi::Frame) everywhere:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 1 | version of this head, 1 |
//! | 1 | 1 | 1 to the plugin, 2 from it |
//! | 2 | 2 | reserved, 0 |
//! | 4 | 4 | generation |
//! | 8 | 8 | number of the call |
//! | 16 | | the frame |
//!
//! [`dissector`] is what Wireshark needs to read them. Events without a frame are left out.
//!
//! Format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::{FRAME_PREFIX_LEN, Kind};
use glovebox_events::{Event, What};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

/// Bytes before the frame.
const HEAD_LEN: usize = 16;
/// Timestamps count units of 10⁻⁹ seconds.
const NANOSECONDS: u8 = 9;

/// Writes the frames of events one after the other.
pub struct PcapngWriter<W: Write> {
    out: PcapNgWriter<W>,
    /// The number of each plugin's interface.
    interfaces: HashMap<Arc<str>, u32>,
    packet: Vec<u8>,
}

impl<W: Write> fmt::Debug for PcapngWriter<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PcapngWriter").finish_non_exhaustive()
    }
}

impl<W: Write> PcapngWriter<W> {
    /// Starts the file.
    ///
    /// # Errors
    ///
    /// If `out` refuses.
    pub fn new(out: W) -> io::Result<PcapngWriter<W>> {
        let out = PcapNgWriter::new(out).map_err(refused)?;
        Ok(PcapngWriter { out, interfaces: HashMap::new(), packet: Vec::new() })
    }

    /// Takes one event; `false` if it has no frame and was left out.
    ///
    /// # Errors
    ///
    /// If `out` refuses.
    pub fn write(&mut self, event: &Event) -> io::Result<bool> {
        let (direction, call, frame) = match &event.what {
            What::FrameIn { call, frame } => (1, call, frame),
            What::FrameOut { call, frame, .. } => (2, call, frame),
            _ => return Ok(false),
        };
        let interface_id = self.interface(&event.plugin)?;
        self.packet.clear();
        self.packet.extend([1, direction, 0, 0]);
        self.packet.extend(event.generation.to_le_bytes());
        self.packet.extend(call.0.to_le_bytes());
        frame.encode_into(&mut self.packet);
        let packet = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(event.at),
            // Frames are smaller than 64 MiB.
            original_len: self.packet.len() as u32,
            data: Cow::Borrowed(&self.packet),
            // Wireshark's own column for the direction.
            options: vec![EnhancedPacketOption::Flags(direction.into())],
        };
        self.out.write_pcapng_block(packet).map_err(refused)?;
        Ok(true)
    }

    /// Gives the writer back; nothing is held back in here.
    pub fn finish(self) -> W {
        self.out.into_inner()
    }

    fn interface(&mut self, plugin: &Arc<str>) -> io::Result<u32> {
        if let Some(number) = self.interfaces.get(plugin) {
            return Ok(*number);
        }
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::USER0,
            // No limit.
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(&**plugin)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        };
        self.out.write_pcapng_block(interface).map_err(refused)?;
        let number = self.interfaces.len() as u32;
        self.interfaces.insert(plugin.clone(), number);
        Ok(number)
    }
}

fn refused(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// A number in a packet: its name in display filters, its name for people, offset and size.
const NUMBERS: [(&str, &str, usize, usize); 6] = [
    ("direction", "Direction", 1, 1),
    ("generation", "Generation", 4, 4),
    ("call", "Call", 8, 8),
    ("kind", "Kind", HEAD_LEN, 1),
    ("header_len", "Header length", HEAD_LEN + 4, 4),
    ("payload_len", "Payload length", HEAD_LEN + 8, 4),
];

/// A dissector in Lua for Wireshark and `tshark` (`-X lua_script:FILE`). Display filters name
/// `glovebox.direction` (1 in, 2 out), `glovebox.generation`, `glovebox.call`, `glovebox.kind`,
/// `glovebox.header_len`, `glovebox.payload_len`, `glovebox.header` and `glovebox.payload`; headers
/// are dissected as CBOR and payloads that look like it as JSON.
pub fn dissector() -> String {
    let kinds = [Kind::HANDSHAKE, Kind::DATA, Kind::CONTROL, Kind::ERROR];
    let kinds: Vec<String> =
        kinds.iter().map(|kind| format!("[{}] = \"{kind}\"", kind.0)).collect();
    let (mut fields, mut reads) = (String::new(), String::new());
    for (name, label, offset, size) in NUMBERS {
        let names = match name {
            "direction" => ", base.DEC, { [1] = \"in\", [2] = \"out\" }".to_owned(),
            "kind" => format!(", base.HEX, {{ {} }}", kinds.join(", ")),
            _ => String::new(),
        };
        let bits = size * 8;
        // Writing to a string cannot fail.
        let _ = writeln!(
            fields,
            "fields.{name} = ProtoField.uint{bits}(\"glovebox.{name}\", \"{label}\"{names})"
        );
        let _ = writeln!(reads, "  tree:add_le(fields.{name}, buffer({offset}, {size}))");
    }
    format!(
        r#"-- Dissects the frames of a Glovebox trace exported as pcapng (link type 147, USER0).
-- Wireshark: Help, About, Folders, Personal Lua Plugins; tshark: -X lua_script:THIS
local glovebox = Proto("glovebox", "Glovebox frame")
local fields = glovebox.fields
{fields}fields.header = ProtoField.bytes("glovebox.header", "Header")
fields.payload = ProtoField.bytes("glovebox.payload", "Payload")
local damaged = ProtoExpert.new("glovebox.damaged", "The frame is cut short", expert.group.MALFORMED, expert.severity.ERROR)
glovebox.experts = {{ damaged }}
local cbor, json = Dissector.get("cbor"), Dissector.get("json")

function glovebox.dissector(buffer, packet, root)
  packet.cols.protocol = "Glovebox"
  local tree = root:add(glovebox, buffer())
  local first = {first}
  if buffer:len() < first then
    tree:add_proto_expert_info(damaged)
    return
  end
{reads}  local header = buffer({header_len}, 4):le_uint()
  local payload = buffer({payload_len}, 4):le_uint()
  if buffer:len() < first + header + payload then
    tree:add_proto_expert_info(damaged)
    return
  end
  packet.cols.info = string.format("call %s, %d bytes %s", tostring(buffer(8, 8):le_uint64()), payload, buffer(1, 1):uint() == 1 and "in" or "out")
  if header > 0 then
    local range = buffer(first, header)
    local part = tree:add(fields.header, range)
    if cbor then cbor:call(range:tvb(), packet, part) end
  end
  if payload > 0 then
    local range = buffer(first + header, payload)
    local part = tree:add(fields.payload, range)
    local start = range(0, 1):uint()
    if json and (start == 0x7b or start == 0x5b) then json:call(range:tvb(), packet, part) end
  end
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, glovebox)
"#,
        first = HEAD_LEN + FRAME_PREFIX_LEN,
        header_len = HEAD_LEN + 4,
        payload_len = HEAD_LEN + 8,
    )
}
