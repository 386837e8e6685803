//! The selected frame taken apart. A thread of its own takes large frames apart.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::Frame;
use glovebox_events::Direction;
use glovebox_events::weight;
use glovebox_events::{HostCall, Timing};
use glovebox_inspector::decode::{self, Node, PayloadFormat};
use glovebox_inspector::search::CallWindow;
use glovebox_inspector::store::{Call, Row, RowId, Store};
use glovebox_trace::Statuses;

use crate::panics::contain;
use crate::window::shown::Shown;
use crate::window::widgets::{text, tree};
use crate::workbench::{Reader, RowRef};

/// Frames up to this size are taken apart at once, larger ones in the background.
const AT_ONCE: usize = 128 << 10;

/// The state of the inspector.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(super) detail: Option<Detail>,
    /// Why the selected frame cannot be read, if it is in a file.
    pub(super) trouble: Option<String>,
    /// Why the selected frame is not in the list, if it is not.
    pub(super) absence: Option<Absence>,
    /// Whether the query lets the frame through, and what of both that depends on.
    listed: Option<(Asked, bool)>,
    pub(super) marks: Marks,
}

/// Why a selected frame is not in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// The filter or the time range leaves it out.
    Hidden,
    /// It had to make room, or somebody cleared the frames.
    Evicted,
    /// The list shows another source.
    Elsewhere,
}

/// A frame, whether its call is over and was denied anything, and the revision of a query.
type Asked = (RowRef, bool, Statuses, u64);

/// The marks in fields and bytes.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) tree: tree::State,
    pub(super) hovered: Range<usize>,
    pub(super) reveal: bool,
    /// True if the bytes are to be brought into view, with their first line in focus.
    pub(super) show_bytes: bool,
}

/// The selected frame, taken apart.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) of: RowRef,
    version: u64,
    pub(super) row: Row,
    pub(super) call: Option<CallFacts>,
    pub(super) siblings: Vec<(RowId, Direction)>,
    /// False if other frames and host calls of the call are further away in the file.
    pub(super) is_whole: bool,
    pub(super) parts: Parts,
}

/// The details of a call beyond its frames.
#[derive(Debug)]
pub(super) struct CallFacts {
    pub(super) timing: Option<Timing>,
    pub(super) memory: Option<u64>,
    pub(super) beside: Statuses,
    pub(super) host_calls: Vec<HostLine>,
    /// Host calls that are not among those.
    pub(super) more: usize,
    /// Host calls that are no longer in memory.
    pub(super) evicted: u64,
}

/// A host call as one line.
#[derive(Debug)]
pub(super) struct HostLine {
    pub(super) granted: bool,
    pub(super) service: String,
    pub(super) text: String,
    pub(super) took: Duration,
}

/// Host calls that are shown of one call.
const HOST_CALLS: usize = 200;
/// Bytes of the arguments and of the result of a host call that are shown.
const HOST_VALUE: usize = 512;

impl CallFacts {
    fn of(call: &Call) -> CallFacts {
        let line = |call: &HostCall| {
            let brief = |value| decode::to_json(&weight::brief(value, HOST_VALUE)).to_string();
            let arguments = brief(&call.arguments);
            let result = match &call.result {
                Ok(value) => brief(value),
                Err(error) => text::line(&error.to_string()).into_owned(),
            };
            HostLine {
                granted: call.result.is_ok(),
                service: text::line(&call.service).into_owned(),
                text: match call.is_injected() {
                    true => format!("{arguments} → {result} (by {})", call.answered_by.words()),
                    false => format!("{arguments} → {result}"),
                },
                took: call.took,
            }
        };
        let shown = call.host_calls.iter().take(HOST_CALLS);
        CallFacts {
            timing: call.timing,
            memory: call.memory,
            beside: call.beside,
            host_calls: shown.map(|event| line(&event.host_call)).collect(),
            more: call.host_calls.len().saturating_sub(HOST_CALLS),
            evicted: call.evicted_host_calls,
        }
    }
}

/// The parts of a frame, as far as they are there.
#[derive(Debug)]
pub(super) enum Parts {
    Coming(Receiver<Result<Decoded, String>>),
    Here(Arc<Decoded>),
    Failed(String),
}

/// The parts of a frame.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) bytes: Bytes,
    pub(super) tree: Node,
    pub(super) format: PayloadFormat,
    pub(super) payload: Option<String>,
}

impl Parts {
    fn of(decoded: Result<Decoded, String>) -> Parts {
        decoded.map_or_else(Parts::Failed, |decoded| Parts::Here(Arc::new(decoded)))
    }
}

impl Parts {
    /// Takes in what the thread brought.
    fn take_in(&mut self) {
        if let Parts::Coming(receiver) = self {
            match receiver.try_recv() {
                Ok(decoded) => *self = Parts::of(decoded),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    *self = Parts::Failed("its thread ended early".to_owned());
                }
            }
        }
    }
}

impl Decoded {
    fn of(frame: &Frame) -> Decoded {
        #[cfg(test)]
        crate::panics::hook::reach("Decoding");
        let format = decode::payload_format(frame);
        let payload = match format {
            PayloadFormat::Empty | PayloadFormat::Bytes => None,
            PayloadFormat::Text => Some(String::from_utf8_lossy(&frame.payload).into_owned()),
            PayloadFormat::Json | PayloadFormat::Cbor => decode::payload_text(frame, true),
        };
        Decoded { bytes: frame.to_bytes(), tree: decode::tree(frame), format, payload }
    }
}

impl State {
    /// Brings the bytes into view as soon as they are painted.
    pub(crate) fn show_bytes(&mut self) {
        self.marks.show_bytes = true;
    }

    pub(super) fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        (self.trouble, self.absence) = (None, None);
        let Some(of) = shown.selection.row else {
            self.detail = None;
            return;
        };
        self.look_at(reader, of);
        self.absence = self.absence(reader, shown, of);
        match &mut self.detail {
            Some(detail) => detail.parts.take_in(),
            None => self.trouble = reader.pages(of.source).and_then(|pages| pages.trouble()),
        }
    }

    fn absence(&mut self, reader: Reader<'_>, shown: &Shown, of: RowRef) -> Option<Absence> {
        let is_gone = |store: &Store| store.row_by_id(of.row).is_none();
        if reader.pages(of.source).is_none() && reader.read(of.source, is_gone) == Some(true) {
            return Some(Absence::Evicted);
        }
        if of.source != shown.selection.source {
            return Some(Absence::Elsewhere);
        }
        let row = &self.detail.as_ref()?.row;
        let asked = (of, row.status.outcome().is_some(), row.beside, shown.query.revision());
        let is_listed = match self.listed {
            Some((known, is_listed)) if known == asked => is_listed,
            _ => shown.query.lists(row),
        };
        self.listed = Some((asked, is_listed));
        (!is_listed).then_some(Absence::Hidden)
    }

    /// Reads the row anew if its store changed.
    fn look_at(&mut self, reader: Reader<'_>, of: RowRef) {
        let known = self.detail.as_ref().filter(|detail| detail.of == of);
        let is_same = known.is_some();
        let known_version = known.map(|detail| detail.version);
        let read = match reader.pages(of.source) {
            None => reader.read(of.source, |store| {
                let version = store.version();
                let is_new = known_version != Some(version);
                is_new.then(|| Found::of(store, of.row, version, true)).flatten()
            }),
            Some(pages) => {
                // Rows read by the summary are read again by the index.
                let version = u64::from(pages.index().is_some());
                if known_version == Some(version) {
                    return;
                }
                let of_window = |read: &CallWindow| {
                    Found::of(&read.window.store, of.row, version, read.is_whole)
                };
                pages.read(of.row, of_window)
            }
        };
        let Some(Found { version, row, call, siblings, is_whole }) = read.flatten() else {
            // Another row is shown only once it is there; nothing is shown in its place meanwhile.
            self.detail = self.detail.take().filter(|_| is_same);
            return;
        };
        let parts = match self.detail.take().filter(|_| is_same) {
            Some(detail) => detail.parts,
            None => {
                self.marks.tree.selected = 0..0;
                self.marks.hovered = 0..0;
                take_apart(&row)
            }
        };
        self.detail = Some(Detail { of, version, row, call, siblings, is_whole, parts });
    }
}

/// A row as a store has it.
struct Found {
    version: u64,
    row: Row,
    call: Option<CallFacts>,
    siblings: Vec<(RowId, Direction)>,
    is_whole: bool,
}

impl Found {
    fn of(store: &Store, id: RowId, version: u64, is_whole: bool) -> Option<Found> {
        let row = store.row_by_id(id)?.clone();
        let call = store.call(row.call);
        let rows = call.iter().flat_map(|call| &call.rows);
        let siblings = rows.filter_map(|id| Some((*id, store.row_by_id(*id)?.direction))).collect();
        let call = call.map(CallFacts::of);
        Some(Found { version, row, call, siblings, is_whole })
    }
}

fn take_apart(row: &Row) -> Parts {
    if row.frame.encoded_len() <= AT_ONCE {
        return Parts::of(contain(|| Decoded::of(&row.frame)));
    }
    let (sender, receiver) = sync_channel(1);
    let frame = row.frame.clone();
    let thread = std::thread::Builder::new().name("glovebox decode".to_owned());
    // Nobody listens any more if another frame was selected meanwhile.
    match thread.spawn(move || drop(sender.send(contain(|| Decoded::of(&frame))))) {
        Ok(_) => Parts::Coming(receiver),
        Err(error) => Parts::Failed(format!("cannot start a thread: {error}")),
    }
}
