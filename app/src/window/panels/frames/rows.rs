//! The rows of the list as the table wants them painted.

use egui::{Align, Role, Sense, Ui, WidgetInfo, vec2};
use egui_material_icons::icons as icon;
use egui_table::{CellInfo, HeaderCellInfo, PrefetchInfo, TableDelegate};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_inspector::store::{Direction, RowId};

use super::model::RowList;
use super::paint::COLUMNS;
use crate::window::action::{Actions, Change};
use crate::window::commands::Verb;
use crate::window::theme::{self, ROW, Tokens, Tone};
use crate::window::widgets::text::{line, plain};
use crate::window::widgets::{icon_font, outcome_look, row_look, text_in, without_end};
use crate::workbench::{RowLine, RowRef, Rows, Source, ViewCtx};

/// Rows before and after those that are seen that are read ahead.
const AHEAD: u64 = 60;

/// Paints the rows that are seen.
pub(super) struct Delegate<'a> {
    pub(super) ctx: ViewCtx<'a>,
    pub(super) source: Source,
    pub(super) shown: Vec<usize>,
    pub(super) list: &'a RowList,
    pub(super) selected: Option<RowId>,
    pub(super) slots: Vec<Slot>,
    /// Position in the list of the first row of the table.
    pub(super) start: usize,
    /// Rows of the table before the first of the list; they are empty.
    pub(super) ahead: u64,
    /// Row of the table of the first slot.
    pub(super) first: u64,
    pub(super) clicked: Option<RowId>,
    pub(super) out: &'a mut Actions,
    pub(super) tokens: &'static Tokens,
}

/// A row that is seen; one in a file may not be there yet.
pub(super) struct Slot {
    id: RowId,
    pub(super) line: Option<RowLine>,
}

impl Delegate<'_> {
    fn slot(&self, number: u64) -> Option<&Slot> {
        let offset = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(offset)
    }

    fn row(&self, number: u64) -> Option<&RowLine> {
        self.slot(number)?.line.as_ref()
    }
}

impl TableDelegate for Delegate<'_> {
    /// Copies the rows that are seen, so that the store is free while they are painted.
    fn prepare(&mut self, info: &PrefetchInfo) {
        let start = info.visible_rows.start.max(self.ahead);
        let end = info.visible_rows.end.max(start);
        self.first = start;
        let (start, end) = (start - self.ahead, end - self.ahead);
        let (list, from) = (self.list, self.start);
        let copy = |rows: Rows<'_>| {
            // Some may have been evicted since the list was made.
            let gone = list.gone(rows);
            let ids = |start: u64, end: u64| {
                let positions = from + start as usize..list.len().min(from + end as usize);
                let positions = positions.filter_map(move |position| position.checked_sub(gone));
                positions.filter_map(|position| list.id(position, rows))
            };
            rows.want(|| ids(start.saturating_sub(AHEAD), end + AHEAD).collect());
            ids(start, end).map(|id| Slot { id, line: rows.line(id) }).collect()
        };
        self.slots = self.ctx.rows(self.source, copy).unwrap_or_default();
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
        let (name, _, align) = COLUMNS[self.shown[cell.col_range.start]];
        text_in(
            ui,
            rect.shrink2(vec2(6.0, 0.0)),
            align,
            name,
            theme::medium(11.0),
            tokens.text_weak,
        );
    }

    fn row_ui(&mut self, ui: &mut Ui, number: u64) {
        let Some(row) = self.row(number) else {
            return;
        };
        let id = row.id;
        let is_selected = self.selected == Some(id);
        let rect = ui.max_rect();
        let response = ui.interact(rect, ui.scope_id().with(("row", id.0)), Sense::click());
        response.widget_info(|| {
            let text =
                format!("Frame {} {} {} {}", id.0, row.plugin, row.direction, row.status.name());
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
        let plugin = row.plugin.to_string();
        let call = row.call;
        let kind = row.kind.to_string();
        if response.clicked() {
            self.clicked = Some(id);
        }
        let out = &mut *self.out;
        let select = RowRef { source: self.source, row: id };
        response.context_menu(|ui| {
            if ui.button("Send again").clicked() {
                out.view(Change::Select(select));
                out.run(Verb::ReplayRow);
            }
            if ui.button("Edit and send…").clicked() {
                out.view(Change::Select(select));
                out.run(Verb::EditRow);
            }
            if ui.button("Send again and compare").clicked() {
                out.view(Change::Select(select));
                out.run(Verb::ResendAndDiff);
            }
            ui.separator();
            for (name, filter) in [
                (format!("Only plugin {plugin}"), format!("plugin:{plugin}")),
                (format!("Only kind {kind}"), format!("kind:{kind}")),
                (format!("Only call {call}"), format!("call:{}", call.0)),
            ] {
                if ui.button(plain(name)).clicked() {
                    out.view(Change::Filter(filter));
                }
            }
            ui.separator();
            if ui.button("Copy payload").clicked() {
                out.view(Change::Select(select));
                out.run(Verb::CopyRow);
            }
        });
    }

    fn cell_ui(&mut self, ui: &mut Ui, cell: &CellInfo) {
        let Some(slot) = self.slot(cell.row_nr) else {
            return;
        };
        let tokens = self.tokens;
        let rect = ui.max_rect().shrink2(vec2(6.0, 0.0));
        let body = egui::TextStyle::Body.resolve(ui.style());
        let column = self.shown[cell.col_nr];
        let (_, _, align) = COLUMNS[column];
        let Some(row) = &slot.line else {
            let text = if column == 0 { slot.id.0.to_string() } else { "…".to_owned() };
            text_in(ui, rect, align, &text, body, tokens.text_weak);
            return;
        };
        let put = |text: &str, color| {
            text_in(ui, rect, align, text, body.clone(), color);
        };
        match column {
            0 => put(&row.id.0.to_string(), tokens.text_weak),
            1 => put(&format!("{:.6}", row.since_start.as_secs_f64()), tokens.text),
            2 => {
                let text = row.since_previous.map_or_else(|| "–".to_owned(), show_duration);
                put(&text, tokens.text_weak);
            }
            3 => put(&row.plugin, tokens.text),
            4 => {
                let (arrow, color) = match row.direction {
                    Direction::In => ("→", tokens.info),
                    Direction::Out if row.emitted => ("⇐", tokens.warn),
                    Direction::Out => ("←", tokens.good),
                };
                put(arrow, color);
            }
            5 => put(&row.kind.to_string(), tokens.text),
            6 => put(&show_size(row.size), tokens.text),
            7 => {
                let unknown = if self.source == Source::Live { "…" } else { "–" };
                let text = row.latency.map_or_else(|| unknown.to_owned(), show_duration);
                put(&text, tokens.text);
            }
            _ => status(ui, rect, row, self.source, tokens),
        }
    }

    fn default_row_height(&self) -> f32 {
        ROW
    }
}

/// Icon, colour and words, so that none of them is the only sign.
fn status(ui: &Ui, rect: egui::Rect, row: &RowLine, source: Source, tokens: &Tokens) {
    let (tone, picture) = row_look(&row.status, source);
    let (tone, picture) = match row.denied && !row.status.is_error() {
        true => (Tone::Warn, icon::ICON_BLOCK),
        false => (tone, picture),
    };
    let mut icon_rect = rect;
    icon_rect.set_width(16.0);
    text_in(ui, icon_rect, Align::Min, picture.codepoint, icon_font(14.0), tokens.tone(tone));
    let mut words = rect;
    words.set_left(rect.left() + 20.0);
    let text = match row.status.outcome() {
        None if !row.end_known => "not scanned yet".to_owned(),
        None => without_end(source, row.alone).to_owned(),
        Some(outcome) if row.denied && outcome.is_completed() => {
            "completed, a host call was denied".to_owned()
        }
        Some(outcome) => outcome.to_string(),
    };
    let color = if row.status.is_error() { tokens.tone(tone) } else { tokens.text_weak };
    text_in(ui, words, Align::Min, &text, egui::TextStyle::Body.resolve(ui.style()), color);
}
