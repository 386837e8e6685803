//! Rows that were copied to be painted.

use std::ops::Range;

use glovebox_inspector::store::RowId;

use super::list::RowList;
use crate::workbench::{RowLine, Rows};

/// Rows before and after those that are seen that are copied, too.
const AROUND: usize = 60;

/// A row of the list; one in a file may not be there yet.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: RowId,
    pub(super) line: Option<RowLine>,
}

/// Rows by their position in the list.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<(usize, Slot)>);

impl Lines {
    /// Copies the rows at these positions and around them. Those in a file are asked for, too.
    pub(super) fn take_in(&mut self, wanted: &[Range<usize>], list: &RowList, rows: Rows<'_>) {
        let around = |range: &Range<usize>| {
            range.start.saturating_sub(AROUND).min(list.len())..list.len().min(range.end + AROUND)
        };
        let mut positions: Vec<usize> = wanted.iter().flat_map(around).collect();
        positions.sort_unstable();
        positions.dedup();
        let ids = positions.into_iter().filter_map(|at| Some((at, list.id(at, rows)?)));
        let ids: Vec<(usize, RowId)> = ids.collect();
        rows.want(|| {
            // A list need not be in the order of the file.
            let mut wanted: Vec<RowId> = ids.iter().map(|(_, id)| *id).collect();
            wanted.sort_unstable();
            wanted
        });
        self.0.clear();
        self.0.extend(ids.into_iter().map(|(at, id)| (at, Slot { id, line: rows.line(id) })));
    }

    /// The row at a position, if it was copied.
    pub(super) fn get(&self, position: usize) -> Option<&Slot> {
        let found = self.0.binary_search_by_key(&position, |(at, _)| *at).ok()?;
        self.0.get(found).map(|(_, slot)| slot)
    }
}
