//! One JSON document that holds many frames: a list, or a HAR file
//! (<https://w3c.github.io/web-performance/specs/HAR/Overview.html>) with its entries.
//!
//! Each element is the payload of a frame, as it stands there: no number in it is written otherwise. A
//! text is the payload itself, without its quotes.

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
        _ => {
            let log = entry(root, "log").map_err(damaged)?;
            let entries = log.map(|log| entry(log, "entries")).transpose().map_err(damaged)?;
            (entries.flatten(), true)
        }
    };
    let Some(list) = list.filter(|list| list.sort() == Sort::List) else {
        return Err(damaged("the HAR file has no list of entries".to_owned()).into());
    };
    let mut report = ImportReport::new(Format::Json);
    let mut reading = ndjson::Reading::default();
    let wrong = |element: u64, reason| damaged(format!("element {element}: {reason}"));
    // Entries before the first time have that.
    let mut last = 0;
    if is_har {
        let times = list
            .children()
            .zip(1..)
            .map(|(element, number)| started(element).map_err(|reason| wrong(number, reason)));
        for time in times {
            if let Started::At(time) = time? {
                last = within_range(time);
                break;
            }
        }
    }
    for element in list.children() {
        let line = [b"{\"payload\":", element.raw(), b"}"].concat();
        let number = report.events + 1;
        let (mut event, _) = ndjson::parse(&line, report.events, &mut reading)
            .map_err(|reason| wrong(number, reason))?;
        if is_har {
            match started(element).map_err(|reason| wrong(number, reason))? {
                Started::At(time) => {
                    last = within_range(time);
                    report.times_moved += u64::from(i128::from(last) != time);
                }
                Started::Unreadable(text) => {
                    report.unread_times += 1;
                    report.first_unread_time.get_or_insert(text);
                }
                Started::Unknown => report.without_time += 1,
            }
            event.at = last;
        }
        each(event)?;
        report.events += 1;
    }
    Ok(report)
}

/// When an entry of a HAR file began.
enum Started {
    /// In nanoseconds since the Unix epoch.
    At(i128),
    /// It says something else.
    Unreadable(String),
    /// It does not say.
    Unknown,
}

fn started(har_entry: Item<'_>) -> Result<Started, String> {
    let Some(time) = entry(har_entry, "startedDateTime")? else { return Ok(Started::Unknown) };
    let content = time.content();
    let read = (time.sort() == Sort::Text).then(|| std::str::from_utf8(&content).ok());
    Ok(match read.flatten().and_then(time_of) {
        Some(time) => Started::At(time),
        None => {
            let text = String::from_utf8_lossy(time.raw()).into_owned();
            let end = text.char_indices().nth(MAX_SHOWN).map(|(end, _)| end);
            Started::Unreadable(
                end.map_or_else(|| text.clone(), |end| format!("{}…", &text[..end])),
            )
        }
    })
}

/// A time as HAR wants it (RFC 3339), or as programs write it by ISO 8601: with an offset of other digits,
/// a comma, or without seconds. A time without an offset is none: nobody knows of which place it is.
fn time_of(text: &str) -> Option<i128> {
    let text = text.replacen(',', ".", 1);
    let time = DateTime::parse_from_rfc3339(&text).or_else(|_| {
        DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%#z")
            .or_else(|_| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%#z"))
    });
    let time = time.ok()?;
    let nanoseconds = i128::from(time.timestamp_subsec_nanos());
    Some(i128::from(time.timestamp()) * 1_000_000_000 + nanoseconds)
}

/// The nearest time that an event can have.
fn within_range(time: i128) -> u64 {
    u64::try_from(time).unwrap_or(if time < 0 { 0 } else { u64::MAX })
}

/// How much of what is no time is shown, in characters.
const MAX_SHOWN: usize = 40;

/// The value of a key, which must not stand there twice: other readers take the other value.
fn entry<'d>(map: Item<'d>, key: &str) -> Result<Option<Item<'d>>, String> {
    if map.sort() != Sort::Map {
        return Ok(None);
    }
    let mut found = map.entries().filter(|(known, _)| *known.content() == *key.as_bytes());
    let first = found.next().map(|(_, value)| value);
    match found.next() {
        None => Ok(first),
        Some(_) => Err(format!("`{key}` stands there twice")),
    }
}
