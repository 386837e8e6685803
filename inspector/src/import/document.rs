//! One JSON document that holds many frames: a list, or a HAR file
//! (<https://w3c.github.io/web-performance/specs/HAR/Overview.html>) with its entries.
//!
//! Each element is the payload of a frame, as it stands there: no number in it is written otherwise. A
//! text is the payload itself, without its quotes.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use chrono::DateTime;
use glovebox_events::Event;
use glovebox_files::FileKind;

use super::foreign::foreign;
use super::{Format, ImportError, ImportReport, ndjson};
use crate::decode::Document;
use crate::decode::document::{Item, Sort};

/// Bytes of the largest document; it is read as a whole.
const MAX_SIZE: u64 = 256 << 20;

pub(super) fn read<E: From<ImportError>>(
    path: &Path,
    mut file: impl Read,
    each: &mut impl FnMut(Event) -> Result<(), E>,
) -> Result<ImportReport, E> {
    let mut bytes = Vec::new();
    let read = (&mut file).take(MAX_SIZE + 1).read_to_end(&mut bytes);
    read.map_err(|source| ImportError::Io { source, path: path.to_owned() })?;
    let damaged =
        |reason| ImportError::Damaged { format: Format::Json, reason, path: path.to_owned() };
    if bytes.len() as u64 > MAX_SIZE {
        let reason = "it is larger than 256 MiB; write one line for each element".to_owned();
        return Err(damaged(reason).into());
    }
    let text = bytes.strip_prefix(ndjson::BYTE_ORDER_MARK).unwrap_or(&bytes);
    let document = Document::json(text).map_err(|error| match FileKind::of(&bytes) {
        FileKind::JsonList => damaged(format!("no JSON: {error}")),
        FileKind::Har => damaged(format!("the HAR file is no JSON: {error}")),
        // Its first bytes did not tell.
        _ => ImportError::UnknownFormat { found: foreign(&bytes, false), path: path.to_owned() },
    })?;
    let root = document.root();
    let (list, is_har) = match root.sort() {
        Sort::List => (Some(root), false),
        _ => (entry(root, "log").and_then(|log| entry(log, "entries")), true),
    };
    let Some(list) = list.filter(|list| list.sort() == Sort::List) else {
        return Err(damaged("the HAR file has no list of entries".to_owned()).into());
    };
    let mut report = ImportReport::new(Format::Json);
    let (mut plugins, mut last) = (HashMap::new(), 0);
    for element in list.children() {
        let line = [b"{\"payload\":", element.raw(), b"}"].concat();
        let mut event = ndjson::parse(&line, report.events, &mut plugins)
            .map_err(|reason| damaged(format!("element {}: {reason}", report.events + 1)))?;
        if is_har {
            let started = started(element);
            report.without_time += u64::from(started.is_none());
            last = started.unwrap_or(last);
            event.at = last;
        }
        each(event)?;
        report.events += 1;
    }
    Ok(report)
}

/// When an entry of a HAR file began, in nanoseconds since the Unix epoch.
fn started(har_entry: Item<'_>) -> Option<u64> {
    let time = entry(har_entry, "startedDateTime").filter(|time| time.sort() == Sort::Text)?;
    let time = String::from_utf8(time.content().into_owned()).ok()?;
    let nanoseconds = DateTime::parse_from_rfc3339(&time).ok()?.timestamp_nanos_opt()?;
    u64::try_from(nanoseconds).ok()
}

/// The value of a key.
fn entry<'d>(map: Item<'d>, key: &str) -> Option<Item<'d>> {
    let mut entries = (map.sort() == Sort::Map).then(|| map.entries())?;
    let found = entries.find(|(known, _)| *known.content() == *key.as_bytes());
    found.map(|(_, value)| value)
}
