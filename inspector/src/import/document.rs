//! One JSON document that holds many frames: a list, or a HAR file with its entries.
//!
//! Each element is the payload of a frame, as it stands there: no number in it is written otherwise. A
//! text is the payload itself, without its quotes.

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use glovebox_events::Event;

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
    let document =
        match Document::json(bytes.strip_prefix(ndjson::BYTE_ORDER_MARK).unwrap_or(&bytes)) {
            Ok(document) => document,
            // Lines that look like a HAR file at first are told apart there.
            Err(_) if !bytes.trim_ascii_start().starts_with(b"[") => {
                return ndjson::read(
                    path,
                    BufReader::new(Cursor::new(&bytes[..]).chain(file)),
                    each,
                );
            }
            Err(error) => return Err(damaged(format!("no JSON: {error}")).into()),
        };
    let root = document.root();
    let list = match root.sort() {
        Sort::List => Some(root),
        _ => entry(root, "log").and_then(|log| entry(log, "entries")),
    };
    let Some(list) = list.filter(|list| list.sort() == Sort::List) else {
        return ndjson::read(path, BufReader::new(&bytes[..]), each);
    };
    let (mut events, mut plugins) = (0, HashMap::new());
    for element in list.children() {
        let line = [b"{\"payload\":", element.raw(), b"}"].concat();
        let event = ndjson::parse(&line, events, &mut plugins)
            .map_err(|reason| damaged(format!("element {}: {reason}", events + 1)))?;
        each(event)?;
        events += 1;
    }
    Ok(ImportReport { events, ..ImportReport::new(Format::Json) })
}

/// The value of a key.
fn entry<'d>(map: Item<'d>, key: &str) -> Option<Item<'d>> {
    let mut entries = (map.sort() == Sort::Map).then(|| map.entries())?;
    let found = entries.find(|(known, _)| *known.content() == *key.as_bytes());
    found.map(|(_, value)| value)
}
