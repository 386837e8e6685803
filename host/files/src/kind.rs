//! The kinds of files, told by their first bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// A kind of files.
///
/// Everything that is given the wrong file asks here, so that a file has one name whoever looks at
/// it. [`name`](Self::name) names it, and [`way`](Self::way) says what can be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing at all.
    Empty,
    /// Zeros, as a disk or a download leaves them that did not get further.
    Zeros,
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module.
    CoreModule,
    /// WebAssembly of a version that does not exist.
    WasmOfOtherVersion,
    /// A module or component as text.
    WasmText,
    /// Machine code that wasmtime made of WebAssembly.
    Precompiled,
    /// Machine code for ELF systems.
    Elf,
    /// Machine code for macOS.
    MachO,
    /// Machine code for Windows.
    Pe,
    /// A static library.
    StaticLibrary,
    /// Classes of Java.
    JavaClass,
    /// A trace of Glovebox.
    Trace,
    /// An MCAP file of another program.
    OtherMcap,
    /// A capture of libpcap.
    Pcap,
    /// A capture of its successor.
    PcapNg,
    /// Events as objects of JSON, one a line.
    JsonLines,
    /// Values of JSON that are no events, one a line.
    OtherJsonLines,
    /// One JSON object that is no event.
    JsonObject,
    /// Values of JSON, each behind a separator (RFC 7464).
    JsonSequence,
    /// A capture of snoop.
    Snoop,
    /// A capture of Microsoft Network Monitor.
    NetworkMonitor,
    /// A capture of Sniffer.
    Sniffer,
    /// A capture of NetXRay.
    NetXRay,
    /// A capture of EtherPeek.
    EtherPeek,
    /// A capture of Bluetooth.
    BtSnoop,
    /// A capture of InfoVista 5View.
    FiveViews,
    /// A capture of TamoSoft CommView.
    CommView,
    /// A text of Tektronix K12.
    K12Text,
    /// A capture of Novell LANalyzer.
    LanAlyzer,
    /// A trace of HP-UX.
    Nettl,
    /// A capture of Viavi Observer.
    Observer,
    /// A capture of Visual Networks.
    VisualNetworks,
    /// Flows of mitmproxy.
    MitmproxyFlows,
    /// A log of Zeek.
    ZeekLog,
    /// A HAR file.
    Har,
    /// Bulk data for Elasticsearch.
    ElasticBulk,
    /// A trace of Chrome, as JSON.
    ChromeTrace,
    /// A trace of Perfetto.
    PerfettoTrace,
    /// A JSON list.
    JsonList,
    /// One JSON value over several lines.
    JsonValue,
    /// Packed with gzip.
    Gzip,
    /// Packed with zstd.
    Zstd,
    /// Packed with LZ4.
    Lz4,
    /// Packed with LZ4, in its legacy format.
    LegacyLz4,
    /// Packed with xz.
    Xz,
    /// Packed with bzip2.
    Bzip2,
    /// A zip archive.
    Zip,
    /// A 7z archive.
    SevenZip,
    /// A tar archive.
    Tar,
    /// A place holder of Git LFS for a file that was not fetched.
    GitLfsPointer,
    /// A page in HTML.
    Html,
    /// XML.
    Xml,
    /// A SQLite database.
    Sqlite,
    /// A PNG picture.
    Picture,
    /// A PDF document.
    Pdf,
    /// A text in UTF-16.
    Utf16,
    /// Spaces and empty lines.
    Blanks,
    /// Some other text.
    Text,
    /// Some other bytes.
    Unknown,
}

/// The way from a file to something that Glovebox reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It may be a plugin.
    Plugin,
    /// It is a trace.
    Trace,
    /// It can be imported as a trace.
    Import,
    /// It has to be unpacked first: how.
    Unpack(&'static str),
    /// Something else has to be done first: what.
    First(&'static str),
    /// There is none: another file is meant.
    Other,
}

const SAVE_AS: &str =
    "save it as pcapng with Wireshark or editcap, and import that with `glovebox trace import`";

const AS_PAYLOADS: &str = "make each line a payload: jq -c '{payload: .}' (from 1.7 on: earlier ones \
    change numbers), and import that with `glovebox trace import`";

/// The fields of a frame, in the order in which they are exported.
const FIELDS_OF_A_FRAME: [&str; 15] = [
    "sequence",
    "at",
    "plugin",
    "instance",
    "instance_name",
    "generation",
    "type",
    "call",
    "index",
    "emitted",
    "kind",
    "header",
    "header_hex",
    "payload",
    "payload_hex",
];
/// The values of `type` of the other events, which have fields of their own.
const OTHER_EVENTS: [&str; 12] = [
    "call-ended",
    "host-call",
    "phase",
    "note",
    "loaded",
    "load-failed",
    "frames-dropped",
    "reloaded",
    "reload-failed",
    "policy-changed",
    "policy-asked",
    "unloaded",
];

/// The kinds that their first bytes alone tell. Longer ones come before those that begin like them.
const MAGICS: &[(&[u8], FileKind)] = &[
    (b"\0asm\x01\0\0\0", FileKind::CoreModule),
    // The encoding of components has a version of its own and layer 1.
    (b"\0asm\x0D\0\x01\0", FileKind::Component),
    (b"\0asm", FileKind::WasmOfOtherVersion),
    // The engine marks its files with an operating system of its own; see `of`.
    (b"\x7fELF", FileKind::Elf),
    (b"\xCF\xFA\xED\xFE", FileKind::MachO),
    (b"\xCE\xFA\xED\xFE", FileKind::MachO),
    (b"\xFE\xED\xFA\xCF", FileKind::MachO),
    (b"\xFE\xED\xFA\xCE", FileKind::MachO),
    (b"\xCA\xFE\xBA\xBE", FileKind::MachO),
    (b"\xCA\xFE\xBA\xBF", FileKind::MachO),
    (b"MZ", FileKind::Pe),
    (b"!<arch>", FileKind::StaticLibrary),
    (b"\xD4\xC3\xB2\xA1", FileKind::Pcap),
    (b"\xA1\xB2\xC3\xD4", FileKind::Pcap),
    (b"\x4D\x3C\xB2\xA1", FileKind::Pcap),
    (b"\xA1\xB2\x3C\x4D", FileKind::Pcap),
    (b"\x34\xCD\xB2\xA1", FileKind::Pcap),
    (b"\xA1\xB2\xCD\x34", FileKind::Pcap),
    (b"\x0A\x0D\x0D\x0A", FileKind::PcapNg),
    (b"snoop\0\0\0", FileKind::Snoop),
    (b"GMBU", FileKind::NetworkMonitor),
    (b"RTSS", FileKind::NetworkMonitor),
    (b"TRSNIFF data", FileKind::Sniffer),
    (b"XCP\0", FileKind::NetXRay),
    (b"\x7fver", FileKind::EtherPeek),
    (b"btsnoop\0", FileKind::BtSnoop),
    (b"\xAA\xAA\xAA\xAA", FileKind::FiveViews),
    (b"+---------+-", FileKind::K12Text),
    // A record with the version 1.5, and one of a file that begins anew when it is full.
    (b"\x01\x10\x4C\0\x01\x05", FileKind::LanAlyzer),
    (b"\x07\x10\x4C\0\x01\x05", FileKind::LanAlyzer),
    (b"TR\0\x64\0", FileKind::Nettl),
    (b"ObserverPktBuffe", FileKind::Observer),
    (b"\x05VNF", FileKind::VisualNetworks),
    (b"#separator", FileKind::ZeekLog),
    (b"\x1F\x8B", FileKind::Gzip),
    (b"\x28\xB5\x2F\xFD", FileKind::Zstd),
    (b"\x04\x22\x4D\x18", FileKind::Lz4),
    (b"\x02\x21\x4C\x18", FileKind::LegacyLz4),
    (b"\xFD7zXZ\0", FileKind::Xz),
    (b"BZh", FileKind::Bzip2),
    (b"PK\x03\x04", FileKind::Zip),
    // An archive with nothing in it.
    (b"PK\x05\x06", FileKind::Zip),
    (b"7z\xBC\xAF\x27\x1C", FileKind::SevenZip),
    (b"SQLite format 3\0", FileKind::Sqlite),
    (b"\x89PNG", FileKind::Picture),
    (b"%PDF", FileKind::Pdf),
    (b"\xFF\xFE", FileKind::Utf16),
    (b"\xFE\xFF", FileKind::Utf16),
];

impl FileKind {
    /// How many bytes of a file tell its kind.
    pub const START_LEN: usize = 64 << 10;

    /// The kind of a file that begins with these bytes; those beyond [`START_LEN`](Self::START_LEN)
    /// do not count.
    pub fn of(start: &[u8]) -> FileKind {
        let start = &start[..start.len().min(FileKind::START_LEN)];
        match start {
            [] => return FileKind::Empty,
            [0, b'a'] | [0, b'a', b's'] => return FileKind::WasmOfOtherVersion,
            [0x7F, b'E', b'L', b'F', _, _, _, 200, ..] => return FileKind::Precompiled,
            // The same four bytes begin libraries for several processors, of which there are few,
            // and classes of Java, whose versions begin at 45.
            [0xCA, 0xFE, 0xBA, 0xBE, _, _, _, 45..=255, ..] => return FileKind::JavaClass,
            // A frame to skip, with which files of zstd may begin.
            [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => return FileKind::Zstd,
            _ => {}
        }
        if start.starts_with(MCAP) || start.len() > 4 && MCAP.starts_with(start) {
            return match mcap_profile(start) {
                Some("glovebox") | None => FileKind::Trace,
                Some(_) => FileKind::OtherMcap,
            };
        }
        if let Some((_, kind)) = MAGICS.iter().find(|(magic, _)| start.starts_with(magic)) {
            return *kind;
        }
        if start.get(257..262) == Some(b"ustar") {
            return FileKind::Tar;
        }
        if start.iter().all(|byte| *byte == 0) {
            return FileKind::Zeros;
        }
        if let [0x1E, rest @ ..] = start
            && let Some(b'{' | b'[') = rest.trim_ascii_start().first()
        {
            return FileKind::JsonSequence;
        }
        match text(start) {
            // Their texts have a length in front and no control characters.
            _ if are_flows_of_mitmproxy(start) => FileKind::MitmproxyFlows,
            Some(text) => of_text(text),
            None if is_packet_of_commview(start) => FileKind::CommView,
            None if are_packets_of_perfetto(start) => FileKind::PerfettoTrace,
            None => FileKind::Unknown,
        }
    }

    /// The name in a sentence, with its article.
    pub fn name(self) -> &'static str {
        self.about().0
    }

    /// The way to use it.
    pub fn way(self) -> Way {
        self.about().1
    }

    fn about(self) -> (&'static str, Way) {
        use FileKind as Kind;
        use Way::{First, Import, Other, Plugin, Trace, Unpack};
        let again = First("copy or make the file again");
        match self {
            Kind::Empty => ("an empty file", Other),
            Kind::Zeros => ("a file that begins with zeros", again),
            Kind::Component => ("a WebAssembly component", Plugin),
            Kind::CoreModule => ("a core WebAssembly module", Plugin),
            Kind::WasmOfOtherVersion => ("WebAssembly of an unknown version or cut short", again),
            Kind::WasmText => ("WebAssembly text", Plugin),
            Kind::Precompiled => (
                "code that wasmtime compiled for some machine (.cwasm)",
                First(
                    "name the .wasm that it was made of: compiled code is believed from the \
                     host's own cache alone",
                ),
            ),
            Kind::Elf => ("an ELF library or program", Plugin),
            Kind::MachO => ("a Mach-O library or program", Plugin),
            Kind::Pe => ("a Windows library or program", Plugin),
            Kind::StaticLibrary => {
                ("a static library", First("link it as a shared library (-shared)"))
            }
            Kind::JavaClass => ("a class of Java", Other),
            Kind::Trace => ("a trace of Glovebox", Trace),
            Kind::OtherMcap => (
                "an MCAP file of another program",
                First(
                    "export its messages as NDJSON with that program, one object with `payload` \
                     a line, and import that with `glovebox trace import`",
                ),
            ),
            Kind::Pcap => ("a pcap capture", Import),
            Kind::PcapNg => ("a pcapng capture", Import),
            Kind::JsonLines => ("NDJSON", Import),
            Kind::OtherJsonLines => ("NDJSON of another program", First(AS_PAYLOADS)),
            Kind::JsonObject => (
                "a JSON object that is no event",
                First(
                    "if it is an error page, download the file itself; if it is data, make it a \
                     payload: jq -c '{payload: .}' (from 1.7 on: earlier ones change numbers), and \
                     import that with `glovebox trace import`",
                ),
            ),
            Kind::JsonSequence => (
                "a JSON text sequence (RFC 7464)",
                First(
                    "take out its separators with tr -d '\\036', write one line for each value: jq -c \
                     '{payload: .}' (from 1.7 on: earlier ones change numbers), and import that with \
                     `glovebox trace import`",
                ),
            ),
            Kind::Snoop => ("a capture of snoop", First(SAVE_AS)),
            Kind::NetworkMonitor => ("a capture of Microsoft Network Monitor", First(SAVE_AS)),
            Kind::Sniffer => ("a capture of Sniffer", First(SAVE_AS)),
            Kind::NetXRay => ("a capture of NetXRay", First(SAVE_AS)),
            Kind::EtherPeek => ("a capture of EtherPeek", First(SAVE_AS)),
            Kind::BtSnoop => ("a capture of Bluetooth (btsnoop)", First(SAVE_AS)),
            Kind::FiveViews => ("a capture of InfoVista 5View", First(SAVE_AS)),
            Kind::CommView => ("a capture of TamoSoft CommView", First(SAVE_AS)),
            Kind::K12Text => ("a text of Tektronix K12", First(SAVE_AS)),
            Kind::LanAlyzer => ("a capture of Novell LANalyzer", First(SAVE_AS)),
            Kind::Nettl => ("a trace of HP-UX (nettl)", First(SAVE_AS)),
            Kind::Observer => ("a capture of Viavi Observer", First(SAVE_AS)),
            Kind::VisualNetworks => ("a capture of Visual Networks", First(SAVE_AS)),
            Kind::MitmproxyFlows => (
                "flows of mitmproxy",
                First(
                    "write them as a HAR file: mitmdump -nr FILE --set hardump=x.har, and import that \
                     with `glovebox trace import`",
                ),
            ),
            Kind::ZeekLog => (
                "a log of Zeek",
                First(
                    "convert it to NDJSON, one object with `payload` a line, and import that with \
                     `glovebox trace import`",
                ),
            ),
            Kind::Har => ("a HAR file of a browser or proxy", Import),
            Kind::ElasticBulk => (
                "bulk data for Elasticsearch, as `tshark -T ek` writes it",
                First(
                    "import the capture itself with `glovebox trace import`, or write one line for \
                     each document: jq -c 'select(.layers) | {payload: .}' (from 1.7 on: earlier \
                     ones change numbers)",
                ),
            ),
            Kind::ChromeTrace => ("a trace of Chrome in JSON", First(LOOK_THERE)),
            Kind::PerfettoTrace => ("a trace of Perfetto", First(LOOK_THERE)),
            Kind::JsonList => ("a JSON list", Import),
            Kind::JsonValue => (
                "one JSON value over several lines",
                First(
                    "write it as one line for each event, for example with jq -c (from 1.7 on: \
                     earlier ones change numbers), and import that with `glovebox trace import`",
                ),
            ),
            Kind::Gzip => (
                "a file packed with gzip",
                Unpack("unpack it with `gzip -d`, and give what is inside"),
            ),
            Kind::Zstd => (
                "a file packed with zstd",
                Unpack("unpack it with `zstd -d`, and give what is inside"),
            ),
            Kind::Lz4 => (
                "a file packed with LZ4",
                Unpack("unpack it with `lz4 -d`, and give what is inside"),
            ),
            Kind::LegacyLz4 => (
                "a file packed with LZ4 in its legacy format",
                Unpack("unpack it with `lz4 -d`, and give what is inside"),
            ),
            Kind::Xz => {
                ("a file packed with xz", Unpack("unpack it with `xz -d`, and give what is inside"))
            }
            Kind::Bzip2 => (
                "a file packed with bzip2",
                Unpack("unpack it with `bzip2 -d`, and give what is inside"),
            ),
            Kind::Zip => {
                ("a zip archive", Unpack("unpack it with `unzip`, and give what is inside"))
            }
            Kind::SevenZip => {
                ("a 7z archive", Unpack("unpack it with `7z x`, and give what is inside"))
            }
            Kind::Tar => {
                ("a tar archive", Unpack("unpack it with `tar -xf`, and give what is inside"))
            }
            Kind::GitLfsPointer => (
                "a pointer of Git LFS, which stands for a file that was not fetched",
                First("fetch the file with `git lfs pull`"),
            ),
            Kind::Html => (
                "a page in HTML",
                First("download the file itself: this is a page about it, or an error"),
            ),
            Kind::Xml => ("XML", Other),
            Kind::Sqlite => ("a SQLite database", Other),
            Kind::Picture => ("a picture", Other),
            Kind::Pdf => ("a PDF document", Other),
            Kind::Utf16 => ("a text in UTF-16", First("save it as UTF-8")),
            Kind::Blanks => ("a file of blanks", Other),
            Kind::Text => ("a text file", Other),
            Kind::Unknown => ("a file of unknown kind", Other),
        }
    }
}

const LOOK_THERE: &str = "look at it in Perfetto's own viewer: Glovebox exports such traces, and \
    reads none";

/// The first bytes of an MCAP file.
const MCAP: &[u8] = b"\x89MCAP0\r\n";

/// The profile of an MCAP file that begins with these bytes, which tells whose it is:
/// <https://mcap.dev/spec#header-op0x01>. `None` if they are not the whole header of one.
pub fn mcap_profile(start: &[u8]) -> Option<&str> {
    // The opcode of the header and its length stand in between.
    let profile = start.strip_prefix(MCAP)?.get(9..)?;
    let (length, rest) = profile.split_first_chunk()?;
    std::str::from_utf8(rest.get(..u32::from_le_bytes(*length) as usize)?).ok()
}

/// The text that a file begins with, without the byte order mark that some editors put in front.
/// `None` if it is none.
fn text(start: &[u8]) -> Option<&str> {
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // Of the last character, only the first bytes were looked at.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    text.chars().all(is_of_text).then_some(text)
}

/// False of control characters that stand in no text: terminals know the others.
fn is_of_text(one: char) -> bool {
    !one.is_control() || matches!(one, '\t' | '\n' | '\r' | '\x0B' | '\x0C' | '\x08' | '\x1B')
}

fn of_text(text: &str) -> FileKind {
    let trimmed = text.trim_start();
    let begins = |starts: &[&str]| {
        starts.iter().any(|start| {
            let found = trimmed.as_bytes().get(..start.len());
            found.is_some_and(|found| found.eq_ignore_ascii_case(start.as_bytes()))
        })
    };
    match trimmed.as_bytes() {
        [] => FileKind::Blanks,
        _ if is_wat(trimmed) => FileKind::WasmText,
        _ if trimmed.starts_with("version https://git-lfs.github.com/") => FileKind::GitLfsPointer,
        _ if begins(&["<!doctype html", "<html"]) => FileKind::Html,
        _ if begins(&["<?xml"]) => FileKind::Xml,
        [b'{', ..] => of_object(trimmed),
        [b'[', ..] if is_json(trimmed) => match names_events_of_chrome(trimmed) {
            true => FileKind::ChromeTrace,
            false if are_several(trimmed) => FileKind::OtherJsonLines,
            false => FileKind::JsonList,
        },
        _ => FileKind::Text,
    }
}

/// The kind of a text that begins as a JSON object does.
fn of_object(text: &str) -> FileKind {
    const NEAR: usize = 4096;
    let outline = Outline::of(text);
    let near = text.as_bytes();
    let near = String::from_utf8_lossy(&near[..near.len().min(NEAR)]);
    let has = |part: &str| near.contains(part);
    let is_log_cut = outline.is_cut && outline.keys.last().is_some_and(|key| key == "log");
    if outline.has_entries || is_log_cut && (has("\"creator\"") || has("\"entries\"")) {
        return FileKind::Har;
    }
    if has("\"index\"") && has("\"_index\"") || near.starts_with("{\"create\":") {
        return FileKind::ElasticBulk;
    }
    if outline.keys.iter().any(|key| key == "traceEvents") {
        return FileKind::ChromeTrace;
    }
    let (first_line, rest) = text.split_once('\n').unwrap_or((text, ""));
    match serde_json::from_str::<IgnoredAny>(first_line) {
        Err(error) if !error.is_eof() => FileKind::Text,
        // It goes on in the next line.
        Err(_) if text.contains('\n') => match (is_json(text), outline.is_event()) {
            (false, _) => FileKind::Text,
            (true, true) => FileKind::JsonValue,
            (true, false) => FileKind::JsonObject,
        },
        _ if outline.is_event() => FileKind::JsonLines,
        _ if rest.trim().is_empty() => FileKind::JsonObject,
        _ => FileKind::OtherJsonLines,
    }
}

/// The parts of a JSON object that tell its kind, as far as it is there.
#[derive(Debug, Default)]
struct Outline {
    keys: Vec<String>,
    /// The value of `type`.
    name: String,
    /// True if `log` has a list of entries.
    has_entries: bool,
    /// True if it is cut off.
    is_cut: bool,
}

impl Outline {
    fn of(text: &str) -> Outline {
        let mut outline = Outline::default();
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = (&mut outline).deserialize(&mut reader);
        outline.is_cut = read.is_err_and(|error| error.is_eof());
        outline
    }

    /// False of an object that no reader of events takes, because of a field.
    fn is_event(&self) -> bool {
        let is_of_a_frame = |key: &String| FIELDS_OF_A_FRAME.contains(&key.as_str());
        let is_payload = |key: &String| matches!(key.as_str(), "payload" | "payload_hex");
        let has = |name: &str| self.keys.iter().any(|key| key == name);
        OTHER_EVENTS.contains(&self.name.as_str())
            // An export of a later version may have other events.
            || has("type") && has("sequence")
            || self.keys.iter().any(is_payload)
            || self.keys.iter().all(is_of_a_frame)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Outline {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Outline {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.keys.push(key);
            match self.keys.last().map(String::as_str) {
                Some("type") => {
                    let name: Value = map.next_value()?;
                    self.name = name.as_str().unwrap_or_default().to_owned();
                }
                Some("log") => {
                    let log: Value = map.next_value()?;
                    self.has_entries = log.get("entries").is_some_and(Value::is_array);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// True of a JSON value, or of the start of one.
fn is_json(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Err(error)) => error.is_eof(),
        found => found.is_some(),
    }
}

/// True of several JSON values, one behind the other, of which the last may be cut off.
fn are_several(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut is_there = |cut| match values.next() {
        Some(Err(error)) => cut && error.is_eof(),
        found => found.is_some(),
    };
    is_there(false) && is_there(true)
}

/// Chrome's other form is a list of events, each with a phase, a process and a thread.
fn names_events_of_chrome(list: &str) -> bool {
    ["\"ph\"", "\"pid\"", "\"tid\""].iter().all(|key| list.contains(key))
}

fn is_wat(text: &str) -> bool {
    // Comments of WAT may stand before the first bracket.
    let mut rest = text;
    loop {
        if let Some(line) = rest.strip_prefix(";;") {
            rest = line.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        } else if let Some(block) = rest.strip_prefix("(;") {
            rest = block.split_once(";)").map_or("", |(_, rest)| rest).trim_start();
        } else {
            return rest.starts_with("(module") || rest.starts_with("(component");
        }
    }
}

/// A file of mitmproxy is one tnetstring behind the other: a length, and a dictionary that begins with a
/// short key. Its texts end with `;`, or with `,` in files of old versions.
fn are_flows_of_mitmproxy(start: &[u8]) -> bool {
    fn length(text: &[u8]) -> Option<(usize, &[u8])> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
        Some((length, text[digits..].strip_prefix(b":")?))
    }
    let key =
        length(start).and_then(|(_, dictionary)| length(dictionary)).filter(|(at, _)| *at < 20);
    let is_key = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    key.is_some_and(|(length, rest)| {
        let (name, end) = (rest.get(..length), rest.get(length));
        name.is_some_and(|name| !name.is_empty() && name.iter().all(is_key))
            && matches!(end, Some(b';' | b','))
    })
}

/// A file of CommView begins with the head of its first packet, which has a time in parts. The newer form
/// has a length of four bytes in front of it, the older one two of two and a version.
fn is_packet_of_commview(start: &[u8]) -> bool {
    let is_time = |at: usize| {
        let Some(&[low, high, month, day, hour, minute, second]) =
            start.get(at..).and_then(|time| time.first_chunk())
        else {
            return false;
        };
        (1990..2100).contains(&u16::from_le_bytes([low, high]))
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
    };
    match start {
        [_, _, _, _, 0, ..] if is_time(5) => true,
        [_, _, _, 0, ..] => is_time(4),
        _ => false,
    }
}

/// A trace of Perfetto is one message of protobuf, whose packets are all its first field: each begins
/// with the same byte and has its length behind that.
fn are_packets_of_perfetto(start: &[u8]) -> bool {
    let mut rest = start;
    for packet in 0.. {
        let Some((0x0A, after)) = rest.split_first() else {
            return rest.is_empty() && packet > 0;
        };
        let (mut length, mut used) = (0usize, 0);
        for byte in after.iter().take(4) {
            length |= usize::from(byte & 0x7F) << (7 * used);
            used += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        match after.get(used..).and_then(|content| content.get(length..)) {
            Some(next) => rest = next,
            // The rest of this packet was not looked at.
            None => return packet > 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognized() {
        #[track_caller]
        fn check(bytes: &[u8], expected: FileKind) {
            assert_eq!(FileKind::of(bytes), expected, "{bytes:?}");
        }
        use FileKind::*;
        check(b"", Empty);
        check(b"\0asm\x01\0\0\0", CoreModule);
        check(b"\0asm\x0D\0\x01\0", Component);
        check(b"\0asm", WasmOfOtherVersion);
        check(b";; hello\n(; a ;) (module)", WasmText);
        check(b";; only a comment", Text);
        check(b"\xEF\xBB\xBF(module)", WasmText);
        check(b"\xEF\xBB\xBF\r\n;; a\r\n(component)", WasmText);
        check(b"\xEF\xBB\xBFversion https://git-lfs.github.com/spec/v1\n", GitLfsPointer);
        check(b"\xEF\xBB\xBFhello", Text);
        check(b"\0", Zeros);
        check(&[0; 4096], Zeros);
        check(b"\0a", WasmOfOtherVersion);
        check(b"\0as", WasmOfOtherVersion);
        check(b"\0b", Unknown);
        check(b"II*\0", Unknown);
        check(b"\x01\x02\x03", Unknown);
        check(b"one\r\n\ttwo \x1B[31mred", Text);
        check("half a character: ä".as_bytes().split_last().unwrap().1, Text);
        check(b"\x7FELF", Elf);
        check(b"\x7FELF\x02\x01\x01\xC8", Precompiled);
        check(b"\x7FELF\x02\x01\x01\x03", Elf);
        check(b"\xCA\xFE\xBA\xBE\0\0\0\x02", MachO);
        check(b"\xCA\xFE\xBA\xBE\0\0\0\x41", JavaClass);
        check(b"MZ\x90\0", Pe);
        check(b"\x1F\x8B\x08", Gzip);
        check(b"\x28\xB5\x2F\xFD", Zstd);
        check(b"\x50\x2A\x4D\x18\0", Zstd);
        check(b"\xFD7zXZ\0", Xz);
        check(&[&[b'a'; 257][..], b"ustar"].concat(), Tar);
        check(b"PK\x03\x04", Zip);
        check(b" \r\n", Blanks);
        check(b"\xFF\xFE{\0}\0", Utf16);
        check(b"SQLite format 3\0", Sqlite);
        check(b" <!DOCTYPE HTML><title>404", Html);
        check(b"<html>", Html);
        check(b"<?xml version=\"1.0\"?>", Xml);
        let header = |profile: &[u8]| {
            let length = (profile.len() as u32).to_le_bytes();
            [b"\x89MCAP0\r\n\x01\0\0\0\0\0\0\0\0", &length[..], profile].concat()
        };
        check(b"\x89MCAP0\r\n", Trace);
        check(&header(b"glovebox"), Trace);
        check(&header(b"ros2"), OtherMcap);
        check(&header(b""), OtherMcap);
        check(b"\xD4\xC3\xB2\xA1\x02\0\x04\0", Pcap);
        check(b"\x0A\x0D\x0D\x0A", PcapNg);
        check(b"\xAA\xAA\xAA\xAA\x20\0\0\0", FiveViews);
        check(b"\xFB\0\xFB\0\0\xE7\x07\x0B\x0E\x16\x0D\x14\x01\0", CommView);
        check(b"\xFB\0\0\0\xE7\x07\x0B\x0E\x16\x0D\x14\x01\0\0", CommView);
        check(b"\xFB\0\0\0\xE7\x07\x0D\x0E\x16\x0D\x14\x01\0\0", Unknown);
        check(b"+---------+---------------+----------+\r\n22:13:20,", K12Text);
        check(b"\x01\x10\x4C\0\x01\x05Trace Display", LanAlyzer);
        check(b"TR\0d\0\0\0\0", Nettl);
        check(b"ObserverPktBufferVersion=15.00", Observer);
        check(b"\x05VNF\x01\0", VisualNetworks);
        check(b"1734:9:websocket;0:~8:response;", MitmproxyFlows);
        check(b"1734:8:response,1:\xFF,", MitmproxyFlows);
        check(b"12:30:Lunch", Text);
        check(b"\x1E{\"a\":1}\n\x1E{", JsonSequence);
        check(b"\x1Ehello", Unknown);
        check(b"{\"payload\"", JsonLines);
        check(b"{\"payload\": 1}\n{", JsonLines);
        check(b"{\n \"payload\": 1\n}", JsonValue);
        check(b"{}", JsonLines);
        check(b"{\"at\":1,\"kind\":\"data\"}", JsonLines);
        check(b"{\"type\":\"phase\",\"from\":\"ready\"}\n", JsonLines);
        check(b"{\"type\":\"flown\",\"sequence\":1,\"where\":2}\n", JsonLines);
        check(b"{\"timestamp\":1,\"payload\":\"a\"}", JsonLines);
        check(b"{\"message\":\"Not Found\"}", JsonObject);
        check(b"{\"kind\":\"Status\",\"code\":404}\n", JsonObject);
        check(b"{\n \"name\": \"a\",\n \"type\": \"module\"\n}", JsonObject);
        check(b"{\"ts\":1}\n{\"ts\":2}\n", OtherJsonLines);
        check(b"{\"topic\":\"/a\",\"data\":{\"payload\":1}}\n{", OtherJsonLines);
        check(b"[1]\n[2]\n", OtherJsonLines);
        check(b"[1]\n[2", OtherJsonLines);
        check(b"[1]\n", JsonList);
        check(b"{\"a\":1,\"b\":\nc", Text);
        check(b"{not JSON}", Text);
        check(b"[not JSON]", Text);
        check(b"[{\"payload\": 1}]", JsonList);
        check(b"[\n{\"pid\":1,\"tid\":1,\"ph\":\"X\"},", ChromeTrace);
        check(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", ChromeTrace);
        check(b"{\"log\": {\"creator\": {},\n \"entries\": []}}", Har);
        check(b"{\"log\": {\"version\": \"1.2\", \"creator\": {", Har);
        check(b"{\"log\": {\"entries\": {}, \"creator\": {}}}", JsonObject);
        check(b"{\"test\": {\"log\": {\"entries\": []}}}", JsonObject);
        check(b"{\"payload\": {\"log\": {}, \"entries\": [], \"traceEvents\": 1}}", JsonLines);
        check(b"{\"index\":{\"_index\":\"a\"}}\n{\"layers\":{}}", ElasticBulk);
        check(b"\x0A\x03\x80\x01\x02\x0A\x02\x50\xFF\x0A\x01\xFF", PerfettoTrace);
        check(b"\x0A\x03\x80\x01\x02\x0B\x02\x50\xFF", Unknown);
        check(b"\nhello", Text);
    }
}
