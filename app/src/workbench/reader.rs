//! Reads frames. Plugins wait while the live ones are read, so that nobody does it while painting.

use std::ops::Deref;

use glovebox_events::CallId;
use glovebox_inspector::store::{RowId, Store};

use super::{Pages, RowRef, Rows, Source, ViewCtx, Workbench};

/// A [`ViewCtx`] that reads frames as well: for what is done between two painted frames.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    view: ViewCtx<'a>,
}

impl Workbench {
    /// Reads frames, briefly.
    pub fn reader(&self) -> Reader<'_> {
        Reader { view: self.view() }
    }
}

impl<'a> Deref for Reader<'a> {
    type Target = ViewCtx<'a>;

    fn deref(&self) -> &ViewCtx<'a> {
        &self.view
    }
}

impl<'a> Reader<'a> {
    /// The rows of a source that is not held.
    pub fn pages(&self, source: Source) -> Option<&'a Pages> {
        match source {
            Source::Live => None,
            Source::Trace(id) => self.trace(id)?.pages.as_ref(),
        }
    }

    /// Reads the frames of a source, briefly: plugins wait while the live ones are read.
    pub fn read<R>(&self, source: Source, read: impl FnOnce(&Store) -> R) -> Option<R> {
        match source {
            Source::Live => Some(read(&self.view.workbench.fanout.store.lock())),
            Source::Trace(id) => self.trace(id).map(|trace| read(&trace.store)),
        }
    }

    /// Reads the rows of a source, briefly: plugins wait while the live ones are read.
    pub fn rows<R>(&self, source: Source, read: impl FnOnce(Rows<'_>) -> R) -> Option<R> {
        match source {
            Source::Live => Some(read(Rows::Here(&self.view.workbench.fanout.store.lock()))),
            Source::Trace(id) => self.trace(id).map(|trace| read(trace.rows())),
        }
    }

    /// Reads the store with a row and its call. One in a file is asked for if it is not there; the
    /// window is woken when it is.
    pub fn read_row<R>(&self, row: RowRef, read: impl FnOnce(&Store) -> R) -> Option<R> {
        match self.pages(row.source) {
            Some(pages) => pages.read(row.row, |window| read(&window.window.store)),
            None => self.read(row.source, read),
        }
    }

    /// The first row of a call. One in a file is asked for if it is not known, and not known before
    /// the file was scanned.
    pub fn row_of(&self, source: Source, call: CallId) -> Option<RowId> {
        match self.pages(source) {
            Some(pages) => pages.row_of(call),
            None => self.read(source, |store| store.call(call)?.rows.first().copied()).flatten(),
        }
    }
}
