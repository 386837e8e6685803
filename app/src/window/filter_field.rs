//! The field for the filter: marks errors and offers completions.

use std::time::{Duration, Instant};

use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{
    CompletionPopup, FocusDirection, Key, Margin, Modifiers, RectAlign, Stroke, Suggestion,
    TextEdit, Ui,
};
use egui_material_icons::icons as icon;
use glovebox_inspector::filter::{Completion, Filter, SeenValues};
use glovebox_inspector::store::Store;

use super::action::Change;
use super::commands::Verb;
use super::context::PanelCtx;
use super::shown::{Query, Shown};
use super::theme;
use super::widgets::text::line;
use super::widgets::{bordered, icon_button, icon_text, named_field};
use crate::workbench::{Reader, Source};

/// Rows from all over the store whose values are offered.
const SAMPLE: usize = 200;

/// How old the values may be that are offered.
const AGE: Duration = Duration::from_secs(1);

/// The completions on offer, and the text they are for.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// True if the field is to get the focus.
    pub focus: bool,
    /// True if something is being typed.
    is_used: bool,
    /// Values seen in frames, and when they were sampled.
    seen: SeenValues,
    sampled: Option<(Source, Instant)>,
    text: String,
    /// In bytes of the text.
    cursor: Option<usize>,
    offered: Vec<Completion>,
    /// True if completions are seen.
    is_open: bool,
    /// True if a word was begun that they complete.
    is_begun: bool,
    /// True if one of them was chosen with an arrow.
    is_chosen: bool,
}

impl State {
    /// Looks at values that can be offered, while something is typed.
    pub(super) fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        let source = shown.selection.source;
        let is_new = |(of, at): (Source, Instant)| of == source && at.elapsed() < AGE;
        if !self.is_used || self.sampled.is_some_and(is_new) {
            return;
        }
        // Of a trace that is not held, only what is around the selected row is in memory.
        let row = shown.selection.row.filter(|row| row.source == source);
        let seen = match (reader.is_in_file(source), row) {
            (false, _) => reader.read(source, sample),
            (true, Some(row)) => reader.read_row(row, sample),
            (true, None) => None,
        };
        if self.sampled.is_none_or(|(of, _)| of != source) {
            // The completions offered before had no values.
            self.cursor = None;
        }
        self.seen = seen.unwrap_or_default();
        self.sampled = Some((source, Instant::now()));
    }

    /// The keys that take the completion that is marked. Enter and Right take none that nobody began
    /// to type, and Tab only one that was chosen: otherwise it leads on.
    fn accept_keys(&self) -> Vec<Key> {
        let is_at_end = self.cursor == Some(self.text.len());
        let keys = [
            (Key::Enter, self.is_begun || self.is_chosen),
            (Key::ArrowRight, is_at_end && (self.is_begun || self.is_chosen)),
            (Key::Tab, self.is_chosen),
        ];
        keys.into_iter().filter(|(_, accepts)| *accepts).map(|(key, _)| key).collect()
    }

    /// Leaves the field for the next control or the one before, which the list of completions would
    /// prevent.
    fn leave(&self, ui: &Ui) {
        let to = ui.input_mut(|input| {
            if input.consume_key(Modifiers::SHIFT, Key::Tab) {
                return Some(FocusDirection::Previous);
            }
            let leads_on = !self.is_chosen && input.consume_key(Modifiers::NONE, Key::Tab);
            leads_on.then_some(FocusDirection::Next)
        });
        if let Some(to) = to {
            ui.memory_mut(|memory| memory.move_focus(to));
        }
    }

    /// Offers anew if the text or the cursor changed.
    fn ask(&mut self, text: &str, cursor: usize) {
        if self.text != text || self.cursor != Some(cursor) {
            self.is_chosen = false;
            self.offered = Filter::complete(text, cursor, &self.seen);
            self.text = text.to_owned();
            self.cursor = Some(cursor);
        }
    }
}

/// Values of frames from all over the store, and of the newest.
fn sample(store: &Store) -> SeenValues {
    let mut seen = SeenValues::default();
    store.plugins().iter().for_each(|id| seen.add_plugin(id));
    let step = store.len().div_ceil(SAMPLE).max(1);
    store.rows().rev().step_by(step).for_each(|row| seen.add(&row.subject()));
    seen
}

/// Paints the field with its icon and the button that clears it.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let tokens = theme::of(ui);
    let query = ctx.query;
    ui.label(icon_text(icon::ICON_FILTER_ALT, 15.0).color(if query.is_set() {
        tokens.accent
    } else {
        tokens.text_weak
    }));
    let mut text = query.text.clone();
    let clear = if query.is_set() { 28.0 } else { 0.0 };
    let width = (ui.available_width() - clear - 8.0).max(60.0);
    let id = ui.make_persistent_id("filter");
    if state.is_open && ui.memory(|memory| memory.has_focus(id)) {
        // A list that came up by itself is no reason to keep what Esc clears.
        if !state.is_chosen && ui.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape))
        {
            ui.memory_mut(|memory| memory.surrender_focus(id));
            ctx.run(Verb::ClearFilter);
        }
        state.leave(ui);
        let arrows = [Key::ArrowDown, Key::ArrowUp];
        state.is_chosen |= ui.input(|input| arrows.into_iter().any(|key| input.key_pressed(key)));
    }
    let output = bordered(ui, |ui| {
        let field = TextEdit::singleline(&mut text)
            .font(theme::mono(12.0))
            .hint_text("Filter, e.g. status:error latency>5ms text:\"abc\"")
            .desired_width(width)
            .margin(Margin::symmetric(6, 4));
        CompletionPopup::new(id)
            .align(RectAlign::BOTTOM_START)
            .accept_keys(state.accept_keys())
            .word_boundary(|c| c.is_whitespace() || "(:=<>~{,!".contains(c))
            .show(ui, field, |typed| {
                let cursor = typed.word_range.end.0;
                let cursor = typed.text.char_indices().nth(cursor).map(|(at, _)| at);
                state.ask(typed.text, cursor.unwrap_or(typed.text.len()));
                state.is_begun = !typed.word.is_empty();
                // A completion that cannot be shown as it is cannot be chosen either.
                let is_shown = |offer: &&Completion| line(&offer.text) == offer.text;
                let offered = state.offered.iter().filter(is_shown);
                offered.map(|offer| Suggestion::new(&offer.text).description(offer.hint)).collect()
            })
    });
    state.is_open = output.is_open;
    let response = named_field(output.text_edit.response.response.clone(), "Filter");
    if let Some(accepted) = output.accepted {
        text = accept(ui, id, state, &accepted.insert).unwrap_or(text);
    }
    mark_error(ui, query, &output.text_edit, response.rect);
    let is_asked = std::mem::take(&mut state.focus);
    if is_asked {
        response.request_focus();
    }
    state.is_used = is_asked || response.has_focus();
    if text != query.text {
        ctx.change(Change::Filter(text));
    }
    if query.is_set() && icon_button(ui, icon::ICON_CLOSE, "Clear filter (Esc)", true).clicked() {
        ctx.run(Verb::ClearFilter);
    }
}

/// The text with what was accepted. The rest of the word behind the cursor goes too, which the
/// popup would leave.
fn accept(ui: &Ui, id: egui::Id, state: &State, accepted: &str) -> Option<String> {
    let State { text, offered, .. } = state;
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
