//! Names files that are neither traces nor captures.

use std::borrow::Cow;

use glovebox_trace::format;
use serde::de::IgnoredAny;

/// How much of a file is looked at.
pub(super) const START_LEN: usize = 4096;

/// A file of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name with its article, for people.
    pub name: Cow<'static, str>,
    /// The way to use it, or the file to give instead.
    pub remedy: &'static str,
}

const GIVE: &str = "give a pcap, pcapng or NDJSON file";
const SAVE_AS: &str = "save it as pcapng with Wireshark or editcap, and give that";
const UNPACK: &str = "unpack it, and give what is inside";

/// The first bytes of formats that are known by them.
const MAGICS: [(&[u8], &str, &str); 24] = [
    // The outer packing was undone.
    (b"\x1F\x8B", "a file packed twice, with gzip within", "unpack it once, and give that"),
    (b"\x28\xB5\x2F\xFD", "a file packed twice, with zstd within", "unpack it once, and give that"),
    (b"\x04\x22\x4D\x18", "a file packed twice, with LZ4 within", "unpack it once, and give that"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a pointer of Git LFS, which stands for a file that was not fetched",
        "fetch the file with `git lfs pull`",
    ),
    (b"snoop\0\0\0", "a capture of snoop", SAVE_AS),
    (b"GMBU", "a capture of Microsoft Network Monitor", SAVE_AS),
    (b"RTSS", "a capture of Microsoft Network Monitor", SAVE_AS),
    (b"TRSNIFF data", "a capture of Sniffer", SAVE_AS),
    (b"XCP\0", "a capture of NetXRay", SAVE_AS),
    (b"\x7fver", "a capture of EtherPeek", SAVE_AS),
    (b"btsnoop\0", "a capture of Bluetooth (btsnoop)", SAVE_AS),
    (b"#separator", "a log of Zeek", "convert it to NDJSON, one object with `payload` a line"),
    (b"PK\x03\x04", "a ZIP archive", UNPACK),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive", UNPACK),
    (b"\xFD7zXZ\0", "a file packed with xz", "unpack it with `xz -d`, and give what is inside"),
    (b"BZh", "a file packed with bzip2", "unpack it with `bzip2 -d`, and give what is inside"),
    (
        b"\x02\x21\x4C\x18",
        "a file packed with LZ4 in its legacy format",
        "unpack it with `lz4 -d`, and give what is inside",
    ),
    (b"\0asm", "a WebAssembly file", "plugins are not imported: give it to `glovebox inspect`"),
    (b"\x7fELF", "a program or library", GIVE),
    (b"SQLite format 3\0", "a SQLite database", GIVE),
    (b"\x89PNG", "a picture", GIVE),
    (b"%PDF", "a PDF document", GIVE),
    (b"\xFF\xFE", "a text in UTF-16", "save it as UTF-8"),
    (b"\xFE\xFF", "a text in UTF-16", "save it as UTF-8"),
];

/// The kind of a file that cannot be imported, by its first bytes.
pub fn foreign(start: &[u8]) -> Foreign {
    let known = MAGICS.iter().find(|(magic, ..)| start.starts_with(magic));
    if let Some((_, name, remedy)) = known {
        return Foreign { name: Cow::Borrowed(name), remedy };
    }
    if let Some(header) = start.strip_prefix(format::MAGIC) {
        return mcap_file(header);
    }
    let text =
        start.strip_prefix(super::ndjson::BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    let (name, remedy) = match text {
        [] if start.is_empty() => ("an empty file", GIVE),
        [] => ("a file of blanks", GIVE),
        _ if let Some(known) = json(text) => return known,
        [b'{', ..] => (
            "one JSON value over several lines",
            "write it as one line for each event, for example with jq -c",
        ),
        [b'[', ..] if starts_json(text) => {
            ("a JSON list", "write one line for each event: jq -c '.[] | {payload: .}'")
        }
        [b'<', ..] => ("XML or HTML", GIVE),
        _ if std::str::from_utf8(start).is_ok() && !start.contains(&0) => ("a text", GIVE),
        _ => ("an unknown format", GIVE),
    };
    Foreign { name: name.into(), remedy }
}

/// True if bytes are the start of a JSON value, or a whole one.
fn starts_json(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Err(error)) => error.is_eof(),
        found => found.is_some(),
    }
}

/// The kind of JSON that stands here, if it is a known one that is no event.
pub(super) fn json(text: &[u8]) -> Option<Foreign> {
    let text = &text[..text.len().min(START_LEN)];
    let has = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    let (name, remedy) = match text {
        [b'{', ..] if has(b"\"log\"") && (has(b"\"creator\"") || has(b"\"entries\"")) => (
            "a HAR file of a browser or proxy",
            "write one line for each entry: jq -c '.log.entries[] | {payload: .}'",
        ),
        [b'{', ..] if has(b"\"index\"") && has(b"\"_index\"") || has(b"{\"create\":") => (
            "bulk data for Elasticsearch, as `tshark -T ek` writes it",
            "import the capture itself, or write one line for each document: jq -c 'select(.layers) | {payload: .}'",
        ),
        _ => return None,
    };
    Some(Foreign { name: name.into(), remedy })
}

/// An MCAP file, by the profile in its header: <https://mcap.dev/spec#header-op0x01>.
fn mcap_file(header: &[u8]) -> Foreign {
    let profile = header.get(9..).and_then(|profile| {
        let length = u32::from_le_bytes(*profile.first_chunk()?) as usize;
        std::str::from_utf8(profile.get(4..)?.get(..length)?).ok()
    });
    let (name, remedy) = match profile {
        Some("glovebox") | None => {
            ("an MCAP file, which needs no import".into(), "give it to the other verbs")
        }
        Some(profile) => (format::other_program(profile).into(), format::EXPORT_IT),
    };
    Foreign { name, remedy }
}
