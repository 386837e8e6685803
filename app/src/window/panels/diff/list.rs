//! Paints the list of groups and calls that differ.

use egui::{Align, ScrollArea, Ui, vec2};
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::{Class, Diff, Group};

use super::model::{Line, Review, call_name};
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{row, text_in};

/// How a class looks.
pub(super) fn tone(class: Class) -> Tone {
    match class {
        Class::Changed | Class::Slower => Tone::Warn,
        Class::Outcome | Class::Missing => Tone::Bad,
        Class::Extra | Class::Order | Class::HostCalls => Tone::Info,
        Class::Same => Tone::Good,
        Class::Spelling => Tone::Neutral,
    }
}

fn decision_tone(decision: Decision) -> Tone {
    match decision {
        Decision::Accept => Tone::Good,
        Decision::Reject => Tone::Bad,
        Decision::Skip => Tone::Neutral,
    }
}

/// Paints the list.
pub(super) fn show(ui: &mut Ui, diff: &Diff, review: &mut Review) {
    let tokens = theme::of(ui);
    if review.lines().is_empty() {
        let count = thousands(diff.entries.len() as u64);
        let text = format!("No difference to show among {count} calls");
        ui.label(plain(text).color(tokens.text_weak));
        return;
    }
    ui.spacing_mut().item_spacing.y = 2.0;
    let mut clicked = None;
    let mut area = ScrollArea::vertical().id_salt("entries").auto_shrink([false, false]);
    if let Some(position) = review.take_reveal() {
        area = area.vertical_scroll_offset((position as f32 - 3.0).max(0.0) * 26.0);
    }
    area.show_rows(ui, 24.0, review.lines().len(), |ui, range| {
        for line in &review.lines()[range] {
            if one_line(ui, diff, review, *line) {
                clicked = Some(*line);
            }
        }
    });
    if let Some(line) = clicked {
        review.select(line, diff);
    }
}

/// True if it was clicked.
fn one_line(ui: &mut Ui, diff: &Diff, review: &Review, line: Line) -> bool {
    let tokens = theme::of(ui);
    let (title, text, indent, class) = match line {
        Line::Group(number) => match diff.groups.get(number as usize) {
            Some(group) => (group.title(), short(group), 0.0, group.class),
            None => return false,
        },
        Line::Call(at) => match diff.entries.get(at) {
            Some(entry) => {
                let name = call_name(diff, at);
                (name.clone(), name, 16.0, entry.class)
            }
            None => return false,
        },
    };
    let decision = review.decision(line, diff);
    let mark = decision.map_or(class.name(), Decision::name);
    let color = decision.map_or(tone(class), decision_tone);
    let label = format!("{title} {mark}");
    let (rect, response) = row(ui, 24.0, review.selected() == Some(line), &label);
    let body = egui::TextStyle::Body.resolve(ui.style());
    let mut inner = rect.shrink2(vec2(8.0, 0.0));
    text_in(ui, inner, Align::Max, mark, body.clone(), tokens.tone(color));
    inner.set_left(inner.left() + indent);
    inner.set_right(inner.right() - 72.0);
    text_in(ui, inner, Align::Min, &text, body, tokens.text);
    response.hint(title).clicked()
}

/// A short title: the difference to other groups first, since the list is narrow.
fn short(group: &Group) -> String {
    match group.paths.is_empty() {
        true => group.title(),
        false => format!("{} of {}: {}", group.calls, group.plugin, group.places()),
    }
}
