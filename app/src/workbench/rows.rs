//! The rows of a source, whether they are in memory or read from a file when they are looked at.

use std::time::Duration;

use glovebox_inspector::store::{RowId, Store};

use super::pages::Pages;
use super::row_line::RowLine;

/// The rows of a source.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// All that are kept are in memory.
    Here(&'a Store),
    /// They are in a file.
    Paged(&'a Pages),
}

impl Rows<'_> {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Rows::Here(store) => store.len(),
            Rows::Paged(pages) => usize::try_from(pages.frames()).unwrap_or(usize::MAX),
        }
    }

    /// True if there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The row at an index, 0 being the oldest that is kept.
    pub fn id_at(self, index: usize) -> Option<RowId> {
        match self {
            Rows::Here(store) => store.row(index).map(|row| row.id),
            Rows::Paged(_) => (index < self.len()).then_some(RowId(index as u64)),
        }
    }

    /// Where a row stands, if it is there.
    pub fn index_of(self, id: RowId) -> Option<usize> {
        match self {
            Rows::Here(store) => store.index_of(id),
            Rows::Paged(_) => usize::try_from(id.0).ok().filter(|index| *index < self.len()),
        }
    }

    /// The first row at or after a time since the start; in a file a few hundred too early, and not
    /// known before the file was scanned.
    pub fn row_at(self, since_start: Duration) -> Option<RowId> {
        match self {
            Rows::Here(store) => {
                let (mut first, mut end) = (0, store.len());
                while first < end {
                    let middle = first.midpoint(end);
                    match store.row(middle) {
                        Some(row) if row.since_start < since_start => first = middle + 1,
                        _ => end = middle,
                    }
                }
                store.row(first).map(|row| row.id)
            }
            Rows::Paged(pages) => {
                let index = pages.index()?;
                let (start, _) = index.info().range?;
                let since = u64::try_from(since_start.as_nanos()).ok()?;
                let row = index.row_at(start.saturating_add(since));
                (row < index.frames()).then_some(RowId(row))
            }
        }
    }

    /// The line of a row; `None` if it is evicted, or was not read yet.
    pub fn line(self, id: RowId) -> Option<RowLine> {
        match self {
            Rows::Here(store) => store.row_by_id(id).map(|row| RowLine::of(row, store, true, true)),
            Rows::Paged(pages) => pages.line(id),
        }
    }

    /// Says which rows are seen, in order, so that those in a file are read.
    pub fn want(self, rows: impl FnOnce() -> Vec<RowId>) {
        if let Rows::Paged(pages) = self {
            pages.want(rows().into_iter().map(|row| row.0).collect());
        }
    }
}
