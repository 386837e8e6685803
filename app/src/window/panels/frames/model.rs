//! The state of the list of frames: its copied rows, and its scroll position.

use std::ops::Range;

use egui::Align;
use glovebox_inspector::store::RowId;

use super::lines::Lines;
use super::list::{Condition, RowList};
use super::room::Room;
use super::stretch::Stretch;
use crate::window::shown::Shown;
use crate::workbench::{Reader, Rows};

/// The state of the list of frames.
#[derive(Debug)]
pub(crate) struct State {
    /// The rows that are shown.
    pub list: RowList,
    /// True if the newest row is kept in view.
    pub follow: bool,
    /// A row to bring into view.
    pub reveal: Option<RowId>,
    /// Rows that were painted last.
    pub painted: usize,
    /// Length of the list when its end was last brought into view.
    pub(super) followed: usize,
    pub(super) stretch: Stretch,
    pub(super) room: Room,
    /// Positions that were seen last.
    pub(super) seen: Range<usize>,
    /// A position to bring to the top.
    pub(super) top: Option<usize>,
    /// The position that is to be brought into view, and where.
    goal: Option<(usize, Option<Align>)>,
    pub(super) lines: Lines,
    pub(super) in_file: Option<InFile>,
}

/// How far a trace that is not held is known.
#[derive(Debug)]
pub(super) struct InFile {
    pub(super) is_scanned: bool,
    /// Why rows cannot be read.
    pub(super) trouble: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        State {
            list: RowList::default(),
            follow: true,
            reveal: None,
            painted: 0,
            followed: 0,
            stretch: Stretch::default(),
            room: Room::default(),
            seen: 0..0,
            top: None,
            goal: None,
            lines: Lines::default(),
            in_file: None,
        }
    }
}

impl State {
    /// Takes in what is new, and copies the rows that will be seen: the source is free while they are
    /// painted. Done even while another tab is in front, because the keys work there.
    pub(super) fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        let source = shown.selection.source;
        let condition = Condition {
            source,
            filter: shown.query.filter.clone(),
            range: shown.query.range,
            order: shown.query.order,
            revision: shown.query.revision(),
        };
        let search = reader.search(source);
        reader.rows(source, |rows| {
            self.list.refresh(condition, rows, search);
            self.goal = self.goal(rows);
            self.lines.take_in(&self.wanted(), &self.list, rows);
        });
        self.in_file = reader
            .pages(source)
            .map(|pages| InFile { is_scanned: pages.index().is_some(), trouble: pages.trouble() });
    }

    /// Brings the newest row into view, and keeps it there.
    pub(crate) fn follow_newest(&mut self) {
        (self.follow, self.followed) = (true, 0);
    }

    /// Brings the first row into view.
    pub(crate) fn show_top(&mut self) {
        (self.follow, self.reveal, self.top) = (false, None, Some(0));
    }

    /// Positions that may be seen when it is painted next.
    fn wanted(&self) -> Vec<Range<usize>> {
        let (page, len) = (self.seen.len(), self.list.len());
        let last = len.saturating_sub(page);
        let places = self.room.places(len, &self.seen).into_iter();
        let mut wanted: Vec<_> = places.map(|at| at..at + page).collect();
        wanted.extend(self.goal.map(|(at, _)| at.saturating_sub(page)..at + page));
        if self.follows() || page == 0 {
            wanted.push(last..len);
        }
        wanted
    }

    /// True if the end of the list is kept in view, where the newest row is.
    pub(super) fn follows(&self) -> bool {
        self.follow && self.list.is_in_time_order()
    }

    fn goal(&self, rows: Rows<'_>) -> Option<(usize, Option<Align>)> {
        let last = self.list.len().checked_sub(1)?;
        if let Some(place) = self.reveal.and_then(|row| self.list.place(row, rows)) {
            return Some((place.position.min(last), None));
        }
        if let Some(position) = self.top {
            return Some((position.min(last), Some(Align::TOP)));
        }
        (self.follows() && self.followed != self.list.len()).then_some((last, Some(Align::BOTTOM)))
    }

    /// The position that is brought into view now, and where.
    pub(super) fn take_goal(&mut self) -> Option<(usize, Option<Align>)> {
        if !self.list.more() {
            // Until all rows are found, more may come before it.
            self.reveal = None;
        }
        let goal = self.goal.take()?;
        match goal.1 {
            None => {}
            Some(Align::TOP) => self.top = None,
            Some(_) => self.followed = self.list.len(),
        }
        Some(goal)
    }
}
