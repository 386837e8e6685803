//! The rows of the list as the table wants them painted.

use std::ops::Range;

use egui::{Align, Role, Sense, Ui, WidgetInfo, vec2};
use egui_material_icons::icons as icon;
use egui_table::{CellInfo, HeaderCellInfo, PrefetchInfo, TableDelegate};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::{Direction, Outcome};
use glovebox_inspector::store::RowId;
use glovebox_trace::Statuses;

use super::layout::{Column, words_of};
use super::lines::{Lines, Slot};
use crate::window::action::Change;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::look::{LATENCY, outcome_look, row_look, without_end};
use crate::window::theme::{self, ROW, Tokens, Tone};
use crate::window::widgets::figures::{seconds, since_when};
use crate::window::widgets::text::{Hint as _, line, plain};
use crate::window::widgets::{icon_font, name_in, text_in};
use crate::workbench::{RowLine, RowRef, Source};

/// Paints the rows that are seen.
pub(super) struct Delegate<'a> {
    pub(super) ctx: PanelCtx<'a>,
    pub(super) shown: Vec<Column>,
    pub(super) lines: &'a Lines,
    /// Rows in the list.
    pub(super) len: usize,
    pub(super) selected: Option<RowId>,
    /// Position in the list of the first row of the table.
    pub(super) start: usize,
    /// Rows of the table before the first of the list; they are empty.
    pub(super) ahead: u64,
    /// Positions in the list that are seen.
    pub(super) seen: Range<usize>,
    pub(super) clicked: Option<RowId>,
    pub(super) tokens: &'static Tokens,
}

impl<'a> Delegate<'a> {
    /// Where a row of the table stands in the list.
    fn position(&self, number: u64) -> Option<usize> {
        Some(self.start + usize::try_from(number.checked_sub(self.ahead)?).ok()?)
    }

    fn slot(&self, number: u64) -> Option<&'a Slot> {
        self.lines.get(self.position(number)?)
    }
}

impl TableDelegate for Delegate<'_> {
    fn prepare(&mut self, info: &PrefetchInfo) {
        let position = |number: u64| self.position(number.max(self.ahead)).unwrap_or(self.len);
        let Range { start, end } = info.visible_rows;
        let (start, end) = (position(start).min(self.len), position(end).min(self.len));
        self.seen = start..end.max(start);
    }

    fn header_cell_ui(&mut self, ui: &mut Ui, cell: &HeaderCellInfo) {
        let rect = ui.max_rect();
        let tokens = self.tokens;
        ui.painter().rect_filled(rect, 0.0, tokens.panel);
        ui.painter().hline(
            rect.x_range(),
            rect.bottom() - 0.5,
            egui::Stroke::new(1.0, tokens.separator),
        );
        let column = self.shown[cell.col_range.start];
        let (name, _, align) = column.head();
        let order = self.ctx.query.order;
        let mark = match (order, column.sorts_by()) {
            (None, _) if column == Column::Number => Some("▲"),
            (Some(order), by) if by == Some(order.by) => {
                Some(if order.largest_first { "▼" } else { "▲" })
            }
            _ => None,
        };
        let next = match column.sorts_by() {
            Some(by) => Some(self.ctx.query.next_order(by)),
            None => column.is_time().then_some(None),
        };
        let mut color = if mark.is_some() { tokens.text_strong } else { tokens.text_weak };
        if let Some(next) = next {
            let id = ui.scope_id().with(("title", name));
            let response = ui.interact(rect.shrink2(vec2(4.0, 0.0)), id, Sense::click());
            let now = order.map_or_else(|| "in the order of time".to_owned(), words_of);
            let then = next.map_or_else(|| "in the order of time".to_owned(), words_of);
            let label = format!("{name}: sort {then}");
            response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
            if response.hovered() {
                color = tokens.text_strong;
            }
            let mut hint = format!("The list is sorted {now}; a click sorts it {then}");
            if column == Column::Latency {
                hint = format!("{LATENCY}\n{hint}");
            }
            if column == Column::Time {
                hint = format!("Time is {}\n{hint}", since_when(self.ctx.digest.origin));
            }
            if response.hint(hint).clicked() {
                self.ctx.change(Change::Order(next));
            }
        }
        let text = match (mark, align) {
            (None, _) => name.to_owned(),
            (Some(mark), Align::Max) => format!("{mark} {name}"),
            (Some(mark), _) => format!("{name} {mark}"),
        };
        let inner = rect.shrink2(vec2(6.0, 0.0));
        text_in(ui, inner, align, &text, theme::medium(11.0), color);
    }

    fn row_ui(&mut self, ui: &mut Ui, number: u64) {
        let Some(row) = self.slot(number).and_then(|slot| slot.line.as_ref()) else {
            return;
        };
        let id = row.id;
        let is_selected = self.selected == Some(id);
        let rect = ui.max_rect();
        let response = ui.interact(rect, ui.scope_id().with(("row", id.0)), Sense::click());
        response.widget_info(|| {
            let name = self.ctx.instance_name(self.ctx.source(), &row.plugin, row.instance);
            let text = format!("Frame {} {name} {} {}", id.0, row.direction, row.status.name());
            WidgetInfo::selected(Role::ListItem, true, is_selected, line(&text))
        });
        let tokens = self.tokens;
        let (tone, _) = outcome_look(row.status.outcome());
        let fill = if is_selected {
            Some(tokens.row_selected)
        } else if row.status.is_error() {
            Some(tokens.tone_subtle(tone))
        } else if response.hovered() {
            Some(tokens.row_hover)
        } else if number % 2 == 1 {
            Some(tokens.row_stripe)
        } else {
            None
        };
        if let Some(fill) = fill {
            ui.painter().rect_filled(rect, 0.0, fill);
        }
        if row.status.is_error() {
            let mut edge = rect;
            edge.set_width(2.0);
            ui.painter().rect_filled(edge, 0.0, tokens.tone(tone));
        }
        if response.clicked() {
            self.clicked = Some(id);
        }
        response.context_menu(|ui| menu(ui, self.ctx, row));
    }

    fn cell_ui(&mut self, ui: &mut Ui, cell: &CellInfo) {
        let Some(slot) = self.slot(cell.row_nr) else {
            return;
        };
        let tokens = self.tokens;
        let rect = ui.max_rect().shrink2(vec2(6.0, 0.0));
        let body = egui::TextStyle::Body.resolve(ui.style());
        let column = self.shown[cell.col_nr];
        let (_, _, align) = column.head();
        let Some(row) = &slot.line else {
            let text =
                if column == Column::Number { slot.id.0.to_string() } else { "…".to_owned() };
            text_in(ui, rect, align, &text, body, tokens.text_weak);
            return;
        };
        let put = |text: &str, color| {
            text_in(ui, rect, align, text, body.clone(), color);
        };
        match column {
            Column::Number => put(&row.id.0.to_string(), tokens.text_weak),
            Column::Time => put(&seconds(row.since_start), tokens.text),
            Column::SincePrevious => {
                let text = row.since_previous.map_or_else(|| "–".to_owned(), show_duration);
                put(&text, tokens.text_weak);
            }
            Column::Plugin => {
                let name = self.ctx.instance_name(self.ctx.source(), &row.plugin, row.instance);
                name_in(ui, rect, &name, body.clone(), tokens.text);
            }
            Column::Direction => {
                let (arrow, color) = match row.direction {
                    Direction::In => ("→", tokens.info),
                    Direction::Out if row.emitted => ("⇐", tokens.warn),
                    Direction::Out => ("←", tokens.good),
                };
                put(arrow, color);
            }
            Column::Kind => put(&row.kind.to_string(), tokens.text),
            Column::Size => put(&show_size(row.size), tokens.text),
            Column::Latency => {
                let unknown = if self.ctx.source() == Source::Live { "…" } else { "–" };
                let text = row.latency.map_or_else(|| unknown.to_owned(), show_duration);
                put(&text, tokens.text);
            }
            Column::Status => status(ui, rect, row, self.ctx.source(), tokens),
        }
    }

    fn default_row_height(&self) -> f32 {
        ROW
    }
}

fn menu(ui: &mut Ui, ctx: PanelCtx<'_>, row: &RowLine) {
    let select = RowRef { source: ctx.source(), row: row.id };
    let run = |verb| {
        ctx.change(Change::Select(select));
        ctx.run(verb);
    };
    if ui.button("Send again").clicked() {
        run(Verb::ReplayRow);
    }
    if ui.button("Edit and send…").clicked() {
        run(Verb::EditRow);
    }
    if ui.button("Send again and compare").clicked() {
        run(Verb::ResendAndDiff);
    }
    ui.separator();
    for (name, filter) in [
        (format!("Only plugin {}", row.plugin), format!("plugin:{}", row.plugin)),
        (format!("Only kind {}", row.kind), format!("kind:{}", row.kind)),
        (format!("Only call {}", row.call), format!("call:{}", row.call.0)),
    ] {
        if ui.button(plain(name)).clicked() {
            ctx.change(Change::Filter(filter));
        }
    }
    ui.separator();
    if ui.button("Copy payload").clicked() {
        run(Verb::CopyRow);
    }
}

/// Icon, colour and words, so that none of them is the only sign.
fn status(ui: &Ui, rect: egui::Rect, row: &RowLine, source: Source, tokens: &Tokens) {
    let (tone, picture) = row_look(&row.status, source);
    let denied = row.beside.overlaps(Statuses::DENIED);
    let injected = row.beside.overlaps(Statuses::INJECTED);
    let (tone, picture) = match row.status.is_error() {
        false if denied => (Tone::Warn, icon::ICON_BLOCK),
        false if injected => (Tone::Warn, icon::ICON_BOLT),
        true if injected => (tone, icon::ICON_BOLT),
        _ => (tone, picture),
    };
    let mut icon_rect = rect;
    icon_rect.set_width(16.0);
    text_in(ui, icon_rect, Align::Min, picture.codepoint, icon_font(14.0), tokens.tone(tone));
    let mut words = rect;
    words.set_left(rect.left() + 20.0);
    let text = match row.status.outcome() {
        None if !row.end_known => "not scanned yet".to_owned(),
        None => without_end(source, row.alone).to_owned(),
        Some(outcome) => ended(outcome, row.beside),
    };
    let color = if row.status.is_error() { tokens.tone(tone) } else { tokens.text_weak };
    text_in(ui, words, Align::Min, &text, egui::TextStyle::Body.resolve(ui.style()), color);
}

/// How a call ended, with what its host calls add. The cause of a failure is long and cut at its end, so
/// what was injected stands before it.
fn ended(outcome: &Outcome, beside: Statuses) -> String {
    let denied = beside.overlaps(Statuses::DENIED);
    let injected = beside.overlaps(Statuses::INJECTED);
    match (outcome.is_completed(), denied, injected) {
        (false, _, true) => format!("injected: {outcome}"),
        (true, true, true) => format!("{outcome}, a host call was denied, another injected"),
        (true, true, false) => format!("{outcome}, a host call was denied"),
        (true, false, true) => format!("{outcome}, a fault was injected"),
        (_, _, false) => outcome.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_injected_stands_before_what_is_cut() {
        let failed = || Outcome::Failed { code: 1, message: "denied".to_owned() };
        let check = |outcome: Outcome, beside: Statuses, expected: &str| {
            assert_eq!(ended(&outcome, beside), expected);
        };
        let (denied, injected) = (Statuses::DENIED, Statuses::INJECTED);
        check(failed(), denied, "failed: denied (code 1)");
        check(failed(), injected, "injected: failed: denied (code 1)");
        check(failed(), denied.with(injected), "injected: failed: denied (code 1)");
        check(Outcome::Completed, injected, "completed, a fault was injected");
        check(Outcome::Completed, Statuses::NONE, "completed");
    }
}
