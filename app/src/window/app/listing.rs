//! Moves in the list of frames, and narrows it.

use glovebox_host::InstanceId;
use glovebox_inspector::search::Order;
use glovebox_inspector::store::{Row, Store};

use super::App;
use crate::window::ids::PanelId;
use crate::window::panels::Place;
use crate::workbench::{RowRef, Source, TraceId};

impl App {
    /// Changes the time that is listed to start or to end at the selected frame.
    pub(super) fn cut_range(&mut self, cut: impl FnOnce(u64, (u64, u64)) -> (u64, u64)) {
        let whole = self.shown.overview.digest().range;
        let range = self.shown.query.range.or(whole);
        if let (Some(row), Some(range)) = (self.selected_row(), range) {
            self.shown.query.set_range(Some(cut(row.at, range)));
            self.keep_selection_in_view();
        }
    }

    /// The selected frame, if it is at hand.
    pub(super) fn selected_row(&self) -> Option<Row> {
        let selected = self.shown.selection.row?;
        self.reader().read_row(selected, |store| store.row_by_id(selected.row).cloned()).flatten()
    }

    /// True if a frame can be read: one that was evicted, or of a closed trace, cannot.
    pub(super) fn is_at_hand(&self, row: RowRef) -> bool {
        let reader = self.reader();
        let is_kept = |store: &Store| store.row_by_id(row.row).is_some();
        reader.pages(row.source).is_some() || reader.read(row.source, is_kept) == Some(true)
    }

    /// The instance that the selected row is sent to again: its own, else another one of its plugin. A
    /// row of a trace may go to the chosen plugin, as a replay of the trace does.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(super) fn target_of(&self, row: &Row) -> Result<InstanceId, String> {
        let view = self.view();
        let is_live = self.shown.selection.row.is_some_and(|row| row.source == Source::Live);
        let own = view.plugins().iter().find(|plugin| {
            plugin.instance.get() == row.instance && plugin.manifest.plugin.id == *row.plugin
        });
        let own = own.filter(|_| is_live).or_else(|| view.plugin_by_id(&row.plugin));
        let chosen = || self.shown.selection.plugin(view).filter(|_| !is_live);
        let target = own.map(|plugin| plugin.instance).or_else(chosen);
        target.ok_or_else(|| {
            format!("{} is not loaded: load it, then send the frame again", row.plugin)
        })
    }

    /// The trace that is shown, and its name.
    pub(super) fn shown_trace(&self) -> Option<(TraceId, String)> {
        let Source::Trace(id) = self.shown.selection.source else {
            return None;
        };
        let trace = self.view().trace(id)?;
        Some((trace.id, trace.name.clone()))
    }

    /// Brings the selected frame into view.
    pub(super) fn keep_selection_in_view(&mut self) {
        self.panels.frames.reveal = self.shown.selection.row.map(|row| row.row);
    }

    /// Sorts the list. Its first frame is seen then, or the selected one in the order of time.
    pub(super) fn sort(&mut self, order: Option<Order>) {
        self.shown.query.set_order(order);
        self.shell.show_panel(PanelId::Frames);
        match order {
            Some(_) => self.panels.frames.show_top(),
            None => self.keep_selection_in_view(),
        }
    }

    /// Selects a frame by its position in the list; `choose` is given the place of the selected one, and
    /// the length.
    pub(super) fn select_position(&mut self, choose: impl FnOnce(Option<Place>, usize) -> usize) {
        let source = self.shown.selection.source;
        let selected = self.shown.selection.row.filter(|row| row.source == source);
        let list = &self.panels.frames.list;
        if list.is_empty() {
            return;
        }
        let row = self.reader().rows(source, |rows| {
            let place = selected.and_then(|row| list.place(row.row, rows));
            list.id(choose(place, list.len()), rows)
        });
        if let Some(row) = row.flatten() {
            self.shown.selection.select(RowRef { source, row });
            self.panels.frames.follow = false;
            self.panels.frames.reveal = Some(row);
        }
    }

    /// Selects another frame of the same call.
    pub(super) fn select_in_call(&mut self, step: isize) {
        let Some(RowRef { source, row }) = self.shown.selection.row else {
            return;
        };
        let found = self.reader().read_row(RowRef { source, row }, |store| {
            let call = store.row_by_id(row)?.call;
            let rows = &store.call(call)?.rows;
            let position = rows.iter().position(|id| *id == row)?;
            rows.get(position.checked_add_signed(step)?).copied()
        });
        if let Some(row) = found.flatten() {
            self.shown.selection.select(RowRef { source, row });
            self.panels.frames.reveal = Some(row);
        }
    }
}
