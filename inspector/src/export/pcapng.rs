//! Frames as packets of a pcapng file, for Wireshark and `tshark`.
//!
//! Each plugin is an interface of link type 147 (`USER0`), named after it; times are in nanoseconds
//! since the Unix epoch. A packet is a head of 24 bytes, little-endian, and the frame as it is
//! [encoded](glovebox_abi::Frame) everywhere:
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 1 | version of this head, 2 |
//! | 1 | 1 | 1 to the plugin, 2 from it |
//! | 2 | 1 | how the call ended, by position in [`Outcome::NAMES`] from 1; 0 if that is not known |
//! | 3 | 1 | reserved, 0 |
//! | 4 | 4 | generation |
//! | 8 | 8 | number of the call |
//! | 16 | 8 | latency of the call in nanoseconds, without the queue; 0 if that is not known |
//! | 24 | | the frame |
//!
//! So each frame of a call says how that ended, the input too: packets wait for the ends of their
//! calls, and keep their order. Readers take packets of 262,144 bytes at most; what is longer is cut
//! there, and says how long it was. At most [`MAX_WAITING`] bytes wait; what is written before its call
//! ends, and what the trace has no end of, does not say it.
//!
//! [`dissector`] is what Wireshark needs to read them. Events without a frame are left out.
//!
//! Format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::{FRAME_PREFIX_LEN, Frame, Kind};
use glovebox_events::{CallKey, Event, Outcome, What};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

/// Bytes of the largest packet, as Wireshark has it for this link type.
pub const MAX_PACKET: usize = 262_144;
/// Version of the head.
const VERSION: u8 = 2;
/// Bytes before the frame.
const HEAD_LEN: usize = 24;
/// Bytes of packets that wait for the ends of their calls.
pub const MAX_WAITING: usize = 64 << 20;
/// The memory that a waiting packet takes beside its frame, in bytes.
const WAITING: usize = 128;
/// Timestamps count units of 10⁻⁹ seconds.
const NANOSECONDS: u8 = 9;

/// Writes the frames of events one after the other.
pub struct PcapngWriter<W: Write> {
    out: PcapNgWriter<W>,
    /// The number of each plugin's interface.
    interfaces: HashMap<Arc<str>, u32>,
    packet: Vec<u8>,
    waiting: VecDeque<Packet>,
    /// The calls of those.
    calls: HashMap<CallKey, Call>,
    waiting_bytes: usize,
    max_waiting: usize,
    cut: u64,
}

/// One frame, not written yet.
struct Packet {
    at: u64,
    call: CallKey,
    /// As in the head.
    direction: u8,
    frame: Frame,
}

/// A call of which packets wait.
#[derive(Default)]
struct Call {
    waiting: usize,
    /// The outcome as in the head, and the latency in nanoseconds.
    end: Option<(u8, u64)>,
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
        PcapngWriter::with_waiting(out, MAX_WAITING)
    }

    /// The same, with another bound for what waits, in bytes.
    pub(super) fn with_waiting(out: W, max_waiting: usize) -> io::Result<PcapngWriter<W>> {
        Ok(PcapngWriter {
            out: PcapNgWriter::new(out).map_err(refused)?,
            interfaces: HashMap::new(),
            packet: Vec::new(),
            waiting: VecDeque::new(),
            calls: HashMap::new(),
            waiting_bytes: 0,
            max_waiting,
            cut: 0,
        })
    }

    /// Takes one event; `false` if it has no frame and was left out.
    ///
    /// # Errors
    ///
    /// If `out` refuses.
    pub fn write(&mut self, event: &Event) -> io::Result<bool> {
        let Some(call) = event.call_key() else { return Ok(false) };
        let (direction, frame) = match &event.what {
            What::FrameIn { frame, .. } => (1, frame.clone()),
            What::FrameOut { frame, .. } => (2, frame.clone()),
            What::CallEnded { outcome, timing, .. } => {
                let latency = u64::try_from(timing.latency().as_nanos()).unwrap_or(u64::MAX);
                if let Some(call) = self.calls.get_mut(&call) {
                    call.end = Some((number_of(outcome), latency));
                }
                self.write_ready(false)?;
                return Ok(false);
            }
            _ => return Ok(false),
        };
        self.waiting_bytes += frame.encoded_len() + WAITING;
        self.calls.entry(call.clone()).or_default().waiting += 1;
        self.waiting.push_back(Packet { at: event.at, call, direction, frame });
        self.write_ready(false)?;
        Ok(true)
    }

    /// Writes what waits, and gives the writer back, and how many packets were cut.
    ///
    /// # Errors
    ///
    /// If `out` refuses.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.write_ready(true)?;
        Ok((self.out.into_inner(), self.cut))
    }

    /// Writes the first packets that wait, up to one whose call goes on; all of them at the end.
    fn write_ready(&mut self, all: bool) -> io::Result<()> {
        while let Some(packet) = self.waiting.front() {
            let end = self.calls.get(&packet.call).and_then(|call| call.end);
            if end.is_none() && !all && self.waiting_bytes <= self.max_waiting {
                return Ok(());
            }
            let Some(packet) = self.waiting.pop_front() else { return Ok(()) };
            self.waiting_bytes -= packet.frame.encoded_len() + WAITING;
            if let Some(call) = self.calls.get_mut(&packet.call) {
                call.waiting -= 1;
                if call.waiting == 0 {
                    self.calls.remove(&packet.call);
                }
            }
            self.write_packet(&packet, end.unwrap_or_default())?;
        }
        Ok(())
    }

    fn write_packet(&mut self, packet: &Packet, (outcome, latency): (u8, u64)) -> io::Result<()> {
        let interface_id = self.interface(&packet.call.plugin)?;
        self.packet.clear();
        self.packet.extend([VERSION, packet.direction, outcome, 0]);
        self.packet.extend(packet.call.generation.to_le_bytes());
        self.packet.extend(packet.call.call.0.to_le_bytes());
        self.packet.extend(latency.to_le_bytes());
        packet.frame.encode_into(&mut self.packet);
        let captured = &self.packet[..self.packet.len().min(MAX_PACKET)];
        self.cut += u64::from(captured.len() < self.packet.len());
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(packet.at),
            // Frames are smaller than 64 MiB.
            original_len: self.packet.len() as u32,
            data: Cow::Borrowed(captured),
            // Wireshark's own column for the direction.
            options: vec![EnhancedPacketOption::Flags(packet.direction.into())],
        };
        self.out.write_pcapng_block(block).map_err(refused)?;
        Ok(())
    }

    fn interface(&mut self, plugin: &Arc<str>) -> io::Result<u32> {
        if let Some(number) = self.interfaces.get(plugin) {
            return Ok(*number);
        }
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::USER0,
            snaplen: MAX_PACKET as u32,
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

/// How a call ended, as in the head.
fn number_of(outcome: &Outcome) -> u8 {
    let position = Outcome::NAMES.iter().position(|name| *name == outcome.name());
    position.and_then(|position| u8::try_from(position + 1).ok()).unwrap_or_default()
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
/// `glovebox.direction` (1 in, 2 out), `glovebox.generation`, `glovebox.call`, `glovebox.outcome` (a
/// text, such as "timed-out") and `glovebox.latency` (seconds) of the call, `glovebox.kind`,
/// `glovebox.header_len`, `glovebox.payload_len`, `glovebox.header` and `glovebox.payload`; headers
/// are dissected as CBOR and payloads that look like it as JSON. Outcome and latency are absent where
/// they are not known.
pub fn dissector() -> String {
    let kinds = [Kind::HANDSHAKE, Kind::DATA, Kind::CONTROL, Kind::ERROR];
    let kinds: Vec<String> =
        kinds.iter().map(|kind| format!("[{}] = \"{kind}\"", kind.0)).collect();
    let outcomes: Vec<String> = Outcome::NAMES.iter().map(|name| format!("\"{name}\"")).collect();
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
{fields}fields.outcome = ProtoField.string("glovebox.outcome", "Outcome")
fields.latency = ProtoField.relative_time("glovebox.latency", "Latency")
fields.header = ProtoField.bytes("glovebox.header", "Header")
fields.payload = ProtoField.bytes("glovebox.payload", "Payload")
local damaged = ProtoExpert.new("glovebox.damaged", "The frame is cut short", expert.group.MALFORMED, expert.severity.ERROR)
local foreign = ProtoExpert.new("glovebox.foreign", "The packet is of another version; export the trace again", expert.group.MALFORMED, expert.severity.ERROR)
local cut = ProtoExpert.new("glovebox.cut", "The frame is longer than a packet may be; the trace has all of it", expert.group.UNDECODED, expert.severity.NOTE)
glovebox.experts = {{ damaged, foreign, cut }}
local outcomes = {{ {outcomes} }}
local cbor, json = Dissector.get("cbor"), Dissector.get("json")

function glovebox.dissector(buffer, packet, root)
  packet.cols.protocol = "Glovebox"
  local tree = root:add(glovebox, buffer())
  local first = {first}
  if buffer:len() < first then
    tree:add_proto_expert_info(damaged)
    return
  end
  if buffer(0, 1):uint() ~= {VERSION} then
    tree:add_proto_expert_info(foreign)
    return
  end
{reads}  local outcome = outcomes[buffer(2, 1):uint()]
  if outcome then
    local nanoseconds = buffer(16, 8):le_uint64()
    local seconds = nanoseconds / 1000000000
    local rest = nanoseconds - seconds * 1000000000
    tree:add(fields.outcome, buffer(2, 1), outcome)
    tree:add(fields.latency, buffer(16, 8), NSTime.new(seconds:tonumber(), rest:tonumber()))
  end
  local header = buffer({header_len}, 4):le_uint()
  local payload = buffer({payload_len}, 4):le_uint()
  if buffer:reported_len() < first + header + payload then
    tree:add_proto_expert_info(damaged)
    return
  end
  packet.cols.info = string.format("call %s, %d bytes %s%s", tostring(buffer(8, 8):le_uint64()), payload, buffer(1, 1):uint() == 1 and "in" or "out", outcome and ", " .. outcome or "")
  if buffer:len() < first + header + payload then
    tree:add_proto_expert_info(cut)
    header = math.min(header, buffer:len() - first)
    payload = buffer:len() - first - header
  end
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
        outcomes = outcomes.join(", "),
        first = HEAD_LEN + FRAME_PREFIX_LEN,
        header_len = HEAD_LEN + 4,
        payload_len = HEAD_LEN + 8,
    )
}
