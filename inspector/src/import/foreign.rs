//! Names files that cannot be imported, with what to do with them.

use std::borrow::Cow;

use glovebox_files::{FileKind, Way, mcap_profile};
use glovebox_trace::format;

/// How much of a file is looked at. Less than elsewhere: from a pipe, nothing is imported before so many
/// bytes have come.
pub(super) const START_LEN: usize = 4 << 10;

/// A file that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its name with its article, for people.
    pub name: Cow<'static, str>,
    /// The way to use it, or the file to give instead.
    pub remedy: &'static str,
}

/// The kind of a file that cannot be imported, by its first bytes; of a packed one, by those inside.
pub fn foreign(start: &[u8], is_packed: bool) -> Foreign {
    of_kind(FileKind::of(start), start, is_packed)
}

/// The same of a JSON value over several lines.
pub(super) fn several_lines(start: &[u8]) -> Foreign {
    match FileKind::of(start) {
        // The first line is too long to be looked at.
        FileKind::JsonLines => of_kind(FileKind::JsonValue, start, false),
        kind => of_kind(kind, start, false),
    }
}

fn of_kind(kind: FileKind, start: &[u8], is_packed: bool) -> Foreign {
    if is_packed && let FileKind::Gzip | FileKind::Zstd | FileKind::Lz4 = kind {
        let name = "a file packed twice".into();
        return Foreign { name, remedy: "unpack it once, and give that" };
    }
    let remedy = match kind.way() {
        // The other verbs do not unpack.
        Way::Trace if is_packed => {
            "it needs no import: unpack it, and give that to the other verbs"
        }
        Way::Trace => "it needs no import: give it to the other verbs",
        Way::Plugin => "plugins are not imported: give it to `glovebox inspect`",
        Way::Unpack(how) | Way::First(how) => how,
        Way::Import | Way::Other => "give a pcap, pcapng, NDJSON or HAR file, or a JSON list",
    };
    let name = match (kind, mcap_profile(start)) {
        (FileKind::OtherMcap, Some(profile)) => format::other_program(profile).into(),
        _ => kind.name().into(),
    };
    Foreign { name, remedy }
}

/// The kind of JSON that stands here, if it is a known one that is no event.
pub(super) fn json(text: &[u8]) -> Option<Foreign> {
    use FileKind::{ChromeTrace, ElasticBulk, Har};
    let is_known = matches!(FileKind::of(text), Har | ElasticBulk | ChromeTrace);
    is_known.then(|| foreign(text, false))
}
