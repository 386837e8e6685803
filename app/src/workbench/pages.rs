//! The rows of a trace file that is too large to be held: read when they are looked at, by a thread
//! of their own.
//!
//! The window says which rows it would like to see, and gets those that are there already. Nothing
//! here waits: what is missing is read, and the window is woken.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use glovebox_events::CallId;
use glovebox_inspector::search::{CallWindow, FrameWindows, Window};
use glovebox_inspector::store::RowId;
use glovebox_trace::{TraceError, TraceIndex, TraceOutline};
use parking_lot::{Condvar, Mutex};

use super::row_line::RowLine;
use super::sink::Waker;
use crate::panics::contain;

/// Rows with their calls that are kept because somebody looked at them.
const CALLS_KEPT: usize = 4;
/// Bytes of frames beyond which fewer are kept, but at least one.
const BYTES_KEPT: usize = 24 << 20;
/// Calls of which the first row is remembered.
const ROWS_KEPT: usize = 10_000;

/// The knowledge of where rows are.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Only the summary was read.
    Outline(TraceOutline),
    /// The trace was scanned.
    Index(Arc<TraceIndex>),
}

impl Known {
    pub(super) fn frames(&self) -> u64 {
        match self {
            Known::Outline(outline) => outline.frames(),
            Known::Index(index) => index.frames(),
        }
    }

    fn windows(&self, path: &std::path::Path) -> Result<FrameWindows, TraceError> {
        match self {
            Known::Outline(outline) => FrameWindows::of_outline(path, outline),
            Known::Index(index) => FrameWindows::open(path, Arc::clone(index)),
        }
    }
}

/// The rows of one trace file.
#[derive(Debug)]
pub struct Pages {
    known: Known,
    shared: Arc<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    wants: Mutex<Wants>,
    changed: Condvar,
    seen: Mutex<Seen>,
    waker: Arc<Waker>,
}

/// The rows that the window would like to see.
#[derive(Debug, Default)]
struct Wants {
    /// Rows of the list, in order.
    lines: Vec<u64>,
    /// True if they cannot be read; other ones may.
    lines_failed: bool,
    /// A row with its call.
    row: Option<u64>,
    /// The row that could not be read.
    row_failed: Option<u64>,
    calls: VecDeque<CallId>,
    closed: bool,
}

/// The rows that were read.
#[derive(Debug, Default)]
struct Seen {
    lines: HashMap<u64, RowLine>,
    /// By the row that was asked for, the latest first.
    rows: VecDeque<(u64, CallWindow)>,
    calls: BTreeMap<CallId, Option<u64>>,
    trouble: Option<String>,
}

impl Pages {
    /// Starts the thread that reads.
    pub(super) fn open(path: &std::path::Path, known: Known, waker: Arc<Waker>) -> Pages {
        let shared = Arc::new(Exchange {
            wants: Mutex::default(),
            changed: Condvar::new(),
            seen: Mutex::default(),
            waker,
        });
        let (to_thread, path, start) = (Arc::clone(&shared), path.to_owned(), known.clone());
        let spawned = thread::Builder::new().name("glovebox rows".to_owned()).spawn(move || {
            let read = |reader: &mut FrameWindows, next: &Next| {
                Reading { shared: &to_thread, windows: reader }.read(next)
            };
            serve(&to_thread, || start.windows(&path), read);
        });
        if let Err(error) = spawned {
            shared.say(format!("cannot start a thread: {error}"));
        }
        Pages { known, shared }
    }

    /// Rows of the trace.
    pub fn frames(&self) -> u64 {
        self.known.frames()
    }

    /// The index, once the trace was scanned.
    pub fn index(&self) -> Option<&Arc<TraceIndex>> {
        match &self.known {
            Known::Outline(_) => None,
            Known::Index(index) => Some(index),
        }
    }

    /// Why rows cannot be read, if they cannot.
    pub fn trouble(&self) -> Option<String> {
        self.shared.seen.lock().trouble.clone()
    }

    /// Says which rows the list shows, in order; they replace those of the last time.
    pub fn want(&self, rows: Vec<u64>) {
        let mut wants = self.shared.wants.lock();
        if wants.lines != rows {
            wants.lines = rows;
            wants.lines_failed = false;
            self.shared.changed.notify_one();
        }
    }

    /// A row of the list, if it is there.
    pub fn line(&self, row: RowId) -> Option<RowLine> {
        self.shared.seen.lock().lines.get(&row.0).cloned()
    }

    /// Reads a row and what belongs to its call; asks for it if it is not there.
    pub fn read<R>(&self, row: RowId, read: impl FnOnce(&CallWindow) -> R) -> Option<R> {
        let mut seen = self.shared.seen.lock();
        let found = seen.rows.iter().position(|(asked, _)| *asked == row.0);
        if let Some(entry) = found.and_then(|found| seen.rows.remove(found)) {
            seen.rows.push_front(entry);
            return seen.rows.front().map(|(_, window)| read(window));
        }
        drop(seen);
        let mut wants = self.shared.wants.lock();
        if row.0 < self.frames() && wants.row_failed != Some(row.0) {
            wants.row = Some(row.0);
            self.shared.changed.notify_one();
        }
        None
    }

    /// The first row of a call, if it is known by now; asks for it otherwise.
    pub fn row_of(&self, call: CallId) -> Option<RowId> {
        self.index()?;
        if let Some(known) = self.shared.seen.lock().calls.get(&call) {
            return known.map(RowId);
        }
        let mut wants = self.shared.wants.lock();
        if !wants.calls.contains(&call) {
            wants.calls.push_back(call);
            self.shared.changed.notify_one();
        }
        None
    }

    /// True if nothing that was asked for is missing.
    pub fn is_settled(&self) -> bool {
        let wants = self.shared.wants.lock();
        let seen = self.shared.seen.lock();
        let has_lines = || wants.lines.iter().all(|row| seen.lines.contains_key(row));
        seen.trouble.is_some() || (wants.row.is_none() && wants.calls.is_empty() && has_lines())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.shared.wants.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Exchange {
    fn say(&self, trouble: String) {
        self.seen.lock().trouble = Some(trouble);
        self.waker.wake();
    }

    /// Leaves out what cannot be read. Rows are tried again when other ones are wanted, calls never:
    /// not all the time.
    fn give_up(&self, next: &Next, trouble: String) {
        let mut wants = self.wants.lock();
        match next {
            Next::Row(row) => (wants.row, wants.row_failed) = (None, Some(*row)),
            Next::Lines(_) => wants.lines_failed = true,
            Next::Call(call) => {
                wants.calls.retain(|wanted| wanted != call);
                self.seen.lock().calls.insert(*call, None);
            }
        }
        drop(wants);
        self.say(trouble);
    }

    /// Waits for something to do; `None` if the trace was closed.
    fn next(&self) -> Option<Next> {
        let mut wants = self.wants.lock();
        loop {
            if wants.closed {
                return None;
            }
            if let Some(row) = wants.row {
                return Some(Next::Row(row));
            }
            let rows = missing(&wants.lines, &self.seen.lock().lines);
            if let Some(rows) = rows.filter(|_| !wants.lines_failed) {
                return Some(Next::Lines(rows));
            }
            if let Some(call) = wants.calls.front() {
                return Some(Next::Call(*call));
            }
            self.changed.wait(&mut wants);
        }
    }
}

/// Reads what is wanted with what `open` opens, until the window has no more interest in it.
fn serve<R>(
    shared: &Exchange,
    open: impl Fn() -> Result<R, TraceError>,
    read: impl Fn(&mut R, &Next) -> Result<(), TraceError>,
) {
    loop {
        let mut reader = match contain(&open) {
            Ok(Ok(reader)) => reader,
            Ok(Err(error)) => return shared.say(error.to_string()),
            Err(fault) => return shared.say(fault),
        };
        loop {
            let Some(next) = shared.next() else { return };
            match contain(|| read(&mut reader, &next)) {
                Ok(Ok(())) => shared.waker.wake(),
                Ok(Err(error)) => shared.give_up(&next, error.to_string()),
                Err(fault) => {
                    shared.give_up(&next, fault);
                    // Nobody knows what the reader holds now: a new one goes on.
                    break;
                }
            }
        }
    }
}

/// The work that the thread has in hand.
struct Reading<'a> {
    shared: &'a Exchange,
    windows: &'a mut FrameWindows,
}

enum Next {
    Row(u64),
    Lines(Range<u64>),
    Call(CallId),
}

impl Reading<'_> {
    fn read(&mut self, next: &Next) -> Result<(), TraceError> {
        match next {
            Next::Row(row) => self.row(*row),
            Next::Lines(rows) => self.lines(rows.clone()),
            Next::Call(call) => self.call(*call),
        }
    }

    fn row(&mut self, row: u64) -> Result<(), TraceError> {
        let read = self.windows.read_call(row)?;
        let mut seen = self.shared.seen.lock();
        seen.trouble = None;
        seen.rows.push_front((row, read));
        let mut bytes = 0;
        let fits = |(number, (_, window)): (usize, &(u64, CallWindow))| {
            bytes += window.window.store.bytes();
            number == 0 || (number < CALLS_KEPT && bytes <= BYTES_KEPT)
        };
        let kept = seen.rows.iter().enumerate().map(fits).take_while(|fits| *fits).count();
        seen.rows.truncate(kept);
        drop(seen);
        let mut wants = self.shared.wants.lock();
        if wants.row == Some(row) {
            wants.row = None;
        }
        Ok(())
    }

    fn lines(&mut self, rows: Range<u64>) -> Result<(), TraceError> {
        // From the row before, so that the time since then is known.
        let mut window = self.windows.read(rows.start.saturating_sub(1)..rows.end)?;
        if window.rows.end <= rows.start {
            // The row before is a large one.
            window = self.windows.read(rows.clone())?;
        }
        let mut wants = self.shared.wants.lock();
        let mut seen = self.shared.seen.lock();
        seen.trouble = None;
        let Window { rows: read, store, ends_known } = window;
        let first = wants.lines.partition_point(|row| *row < read.start);
        for number in wants.lines[first..].iter().take_while(|row| **row < read.end) {
            if let Some(row) = store.row_by_id(RowId(*number)) {
                let line =
                    RowLine::of(row, &store, ends_known, *number == 0 || *number > read.start);
                seen.lines.insert(*number, line);
            }
        }
        seen.lines.retain(|row, _| wants.lines.binary_search(row).is_ok());
        // A row that is missing now will be missing the next time, too.
        wants.lines_failed =
            !seen.lines.contains_key(&rows.start) && wants.lines.binary_search(&rows.start).is_ok();
        Ok(())
    }

    fn call(&mut self, call: CallId) -> Result<(), TraceError> {
        let row = self.windows.row_of(call)?;
        let mut seen = self.shared.seen.lock();
        if seen.calls.len() >= ROWS_KEPT {
            seen.calls.clear();
        }
        seen.calls.insert(call, row);
        drop(seen);
        self.shared.wants.lock().calls.retain(|wanted| *wanted != call);
        Ok(())
    }
}

/// The first rows of those wanted that are not there, as far as they follow each other.
fn missing(wanted: &[u64], lines: &HashMap<u64, RowLine>) -> Option<Range<u64>> {
    let mut missing = wanted.iter().filter(|row| !lines.contains_key(row)).copied();
    let first = missing.next()?;
    let last = missing.zip(first + 1..).take_while(|(row, next)| row == next).last();
    Some(first..last.map_or(first, |(row, _)| row) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_reader_costs_what_it_read() {
        let shared = Arc::new(Exchange {
            wants: Mutex::default(),
            changed: Condvar::new(),
            seen: Mutex::default(),
            waker: Arc::default(),
        });
        let (to_thread, opened) = (Arc::clone(&shared), Arc::new(Mutex::new(0)));
        let count = Arc::clone(&opened);
        let thread = thread::spawn(move || {
            let open = || {
                *count.lock() += 1;
                Ok(())
            };
            let read = |(): &mut (), next: &Next| {
                let Next::Call(call) = next else { return Ok(()) };
                assert_ne!(call.0, 7, "no such block");
                to_thread.seen.lock().calls.insert(*call, Some(call.0));
                to_thread.wants.lock().calls.retain(|wanted| wanted != call);
                Ok(())
            };
            serve(&to_thread, open, read);
        });
        let calls = [1, 7, 2].map(CallId);
        shared.wants.lock().calls.extend(calls);
        shared.changed.notify_one();
        while !shared.wants.lock().calls.is_empty() {
            thread::yield_now();
        }
        shared.wants.lock().closed = true;
        shared.changed.notify_one();
        thread.join().unwrap();
        let seen = shared.seen.lock();
        let found = calls.map(|call| seen.calls.get(&call).copied().flatten());
        assert_eq!((found, *opened.lock()), ([Some(1), None, Some(2)], 2));
        let trouble = seen.trouble.as_deref().unwrap_or_default();
        assert!(trouble.contains("a fault of Glovebox itself"), "{trouble}");
    }
}
