//! The field for the filter: marks what is wrong and offers what could be typed next.

use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{CompletionPopup, Margin, RectAlign, Stroke, Suggestion, TextEdit, Ui};
use egui_material_icons::icons as icon;
use glovebox_inspector::filter::{Completion, Filter, SeenValues};
use glovebox_inspector::store::Store;

use super::action::{Actions, Change};
use super::commands::Verb;
use super::state::{Query, Selection, ViewState};
use super::theme;
use super::widgets::text::line;
use super::widgets::{bordered, icon_button, icon_text, named_field};
use crate::workbench::ViewCtx;

/// Rows from all over the store whose values are offered.
const SAMPLE: usize = 200;

/// What is offered, and for what.
#[derive(Debug, Default)]
pub struct State {
    text: String,
    /// In bytes of the text.
    cursor: Option<usize>,
    offered: Vec<Completion>,
}

impl State {
    /// Offers anew if the text or the cursor changed.
    fn ask(&mut self, text: &str, cursor: usize, ctx: ViewCtx<'_>, selection: &Selection) {
        if self.text == text && self.cursor == Some(cursor) {
            return;
        }
        // Of a trace that is not held, only what is around the selected row is in memory.
        let row = selection.row.filter(|row| row.source == selection.source);
        let seen = match (ctx.pages(selection.source), row) {
            (None, _) => ctx.read(selection.source, sample),
            (Some(_), Some(row)) => ctx.read_row(row, sample),
            (Some(_), None) => None,
        };
        let seen = seen.unwrap_or_default();
        self.offered = Filter::complete(text, cursor, &seen);
        self.text = text.to_owned();
        self.cursor = Some(cursor);
    }
}

/// What frames from all over the store have, and the newest.
fn sample(store: &Store) -> SeenValues {
    let mut seen = SeenValues::default();
    store.plugins().iter().for_each(|id| seen.add_plugin(id));
    let step = store.len().div_ceil(SAMPLE).max(1);
    store.rows().rev().step_by(step).for_each(|row| seen.add(&row.subject()));
    seen
}

/// Paints the field with its icon and the button that clears it.
pub(super) fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let tokens = theme::of(ui);
    let selection = &state.selection;
    let query = &mut state.query;
    ui.label(icon_text(icon::ICON_FILTER_ALT, 15.0).color(if query.is_set() {
        tokens.accent
    } else {
        tokens.text_weak
    }));
    let mut text = query.text.clone();
    let clear = if query.is_set() { 28.0 } else { 0.0 };
    let width = (ui.available_width() - clear - 8.0).max(60.0);
    let id = ui.make_persistent_id("filter");
    let completion = &mut query.completion;
    let output = bordered(ui, |ui| {
        let field = TextEdit::singleline(&mut text)
            .font(theme::mono(12.0))
            .hint_text("Filter, e.g. status:error latency>5ms text:\"abc\"")
            .desired_width(width)
            .margin(Margin::symmetric(6, 4));
        CompletionPopup::new(id)
            .align(RectAlign::BOTTOM_START)
            .word_boundary(|c| c.is_whitespace() || "(:=<>~{,!".contains(c))
            .show(ui, field, |typed| {
                let cursor = typed.word_range.end.0;
                let cursor = typed.text.char_indices().nth(cursor).map(|(at, _)| at);
                completion.ask(typed.text, cursor.unwrap_or(typed.text.len()), ctx, selection);
                // What cannot be shown as it is cannot be chosen either.
                let is_shown = |offer: &&Completion| line(&offer.text) == offer.text;
                let offered = completion.offered.iter().filter(is_shown);
                offered.map(|offer| Suggestion::new(&offer.text).description(offer.hint)).collect()
            })
    });
    let response = named_field(output.text_edit.response.response.clone(), "Filter");
    if let Some(accepted) = output.accepted {
        text = accept(ui, id, query, &accepted.insert).unwrap_or(text);
    }
    mark_error(ui, query, &output.text_edit, response.rect);
    if std::mem::take(&mut query.focus) {
        response.request_focus();
    }
    if text != query.text {
        out.view(Change::Filter(text));
    }
    if query.is_set() && icon_button(ui, icon::ICON_CLOSE, "Clear filter (Esc)", true).clicked() {
        out.run(Verb::ClearFilter);
    }
}

/// The text with what was accepted. The rest of the word behind the cursor goes too, which the
/// popup would leave.
fn accept(ui: &Ui, id: egui::Id, query: &Query, accepted: &str) -> Option<String> {
    let State { text, offered, .. } = &query.completion;
    let offer = offered.iter().find(|offer| offer.text == accepted)?;
    let (text, cursor) = offer.apply(text);
    let cursor = CCursor::new(text.get(..cursor)?.chars().count());
    let mut field = TextEditState::load(ui.ctx(), id).unwrap_or_default();
    field.cursor.set_char_range(Some(CCursorRange::one(cursor)));
    field.store(ui.ctx(), id);
    Some(text)
}

/// Draws a line under the text from where it is wrong.
fn mark_error(ui: &Ui, query: &Query, field: &egui::text_edit::TextEditOutput, rect: egui::Rect) {
    let Some(error) = &query.error else {
        return;
    };
    let before = query.text.get(..error.position).unwrap_or(&query.text);
    let at = field.galley.pos_from_cursor(CCursor::new(before.chars().count()));
    let left = field.galley_pos.x + at.left();
    let end = field.galley_pos.x + field.galley.size().x;
    let right = end.max(left + 8.0).min(rect.right());
    let line = Stroke::new(2.0, theme::of(ui).bad);
    ui.painter().hline(left..=right, rect.bottom() - 3.0, line);
}
