//! Paints the differences in the selected call, and both answers.

use egui::{ScrollArea, Ui};
use glovebox_inspector::diff::{Change, Class, Diff, RunCall};

use super::list::tone;
use super::model::{Line, State, call_name};
use crate::window::panels::preview::preview;
use crate::window::theme;
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{paragraph, plain};
use crate::window::widgets::{badge, section};

/// Paints the selected call.
pub(super) fn show(ui: &mut Ui, diff: &Diff, state: &State) {
    let tokens = theme::of(ui);
    let at = match state.review.selected() {
        Some(Line::Call(at)) => Some(at),
        Some(Line::Group(number)) => diff.groups.get(number as usize).map(|group| group.first),
        None => None,
    };
    let Some((entry, row, at)) = at.and_then(|at| Some((diff.entries.get(at)?, diff.row(at)?, at)))
    else {
        ui.label(plain("Select a group or a call to see the differences").color(tokens.text_weak));
        return;
    };
    section(ui, &call_name(diff, at), |ui| {
        badge(ui, entry.class.name(), tone(entry.class));
    });
    ScrollArea::vertical().id_salt("details").auto_shrink([false, false]).show(ui, |ui| {
        // In the list it is cut where there is no room.
        if let Some(Line::Group(number)) = state.review.selected()
            && let Some(group) = diff.groups.get(number as usize)
        {
            ui.add(egui::Label::new(plain(group.title()).color(tokens.text_strong)).wrap());
            ui.add_space(6.0);
        }
        for change in row.changes.iter().take(SHOWN_CHANGES) {
            one(ui, change, state.split);
        }
        let hidden = row.changes.len().saturating_sub(SHOWN_CHANGES) + row.more_changes;
        if hidden > 0 {
            let text = format!("and {} more places", thousands(hidden as u64));
            ui.label(plain(text).color(tokens.text_weak));
        }
        if row.changes.is_empty() && entry.class == Class::Same {
            ui.label(plain("Nothing is different in this call").color(tokens.text_weak));
        }
        ui.add_space(8.0);
        section(ui, "Answers", |_| {});
        let before = entry.before.and_then(|at| diff.before.call(at as usize));
        let after = entry.after.and_then(|at| diff.after.call(at as usize));
        let (old, new) = (&diff.before.name, &diff.after.name);
        if state.split {
            ui.columns(2, |columns| {
                // Columns justify their text; text of plugins must keep its spaces.
                columns[0].vertical(|ui| whole(ui, old, before.as_ref(), tokens.bad_subtle));
                columns[1].vertical(|ui| whole(ui, new, after.as_ref(), tokens.good_subtle));
            });
        } else {
            whole(ui, old, before.as_ref(), tokens.bad_subtle);
            whole(ui, new, after.as_ref(), tokens.good_subtle);
        }
    });
}

/// Outputs of a call that are painted.
const SHOWN_FRAMES: usize = 20;
/// Changes painted of a call; the report has more.
const SHOWN_CHANGES: usize = 200;

fn one(ui: &mut Ui, change: &Change, split: bool) {
    let tokens = theme::of(ui);
    let mut place = match change.output {
        Some(output) => format!("output {output} {}", change.path),
        None => change.path.clone(),
    };
    if let Some(from) = &change.moved_from {
        place.push_str(&format!(" moved from {from}"));
    }
    ui.label(plain(place).font(theme::mono(11.5)).color(tokens.text_weak));
    let before = (change.before.as_deref(), "−", tokens.bad, tokens.bad_subtle);
    let after = (change.after.as_deref(), "+", tokens.good, tokens.good_subtle);
    if split {
        ui.columns(2, |columns| {
            side(&mut columns[0], before);
            side(&mut columns[1], after);
        });
    } else {
        side(ui, before);
        side(ui, after);
    }
    ui.add_space(6.0);
}

fn side(
    ui: &mut Ui,
    (text, sign, color, fill): (Option<&str>, &str, egui::Color32, egui::Color32),
) {
    let tokens = theme::of(ui);
    egui::Frame::new()
        .fill(fill)
        .corner_radius(4.0)
        .inner_margin(egui::Margin::symmetric(8, 4))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal_top(|ui| {
                ui.label(plain(sign).font(theme::mono(11.5)).color(color));
                let (text, color) = match text {
                    Some(text) => (text, tokens.text_strong),
                    None => ("nothing", tokens.text_weak),
                };
                ui.add(
                    egui::Label::new(paragraph(text).font(theme::mono(11.5)).color(color))
                        .wrap()
                        .selectable(true),
                );
            });
        });
}

fn whole(ui: &mut Ui, name: &str, call: Option<&RunCall>, fill: egui::Color32) {
    let tokens = theme::of(ui);
    ui.label(plain(name).font(theme::medium(12.0)).color(tokens.text));
    let Some(call) = call else {
        ui.label(plain("The call is not in this run").color(tokens.text_weak));
        return;
    };
    let outcome = call.outcome.as_ref().map_or_else(|| "not over".to_owned(), ToString::to_string);
    let answered = if call.outputs.is_empty() { ", no frame came back" } else { "" };
    ui.label(plain(outcome + answered).color(tokens.text_weak));
    for output in call.outputs.iter().take(SHOWN_FRAMES) {
        if output.emitted {
            ui.label(plain("emitted").color(tokens.text_weak));
        }
        let frame = &output.frame;
        let text = preview(frame);
        let (text, color) = match text.is_empty() {
            true => (format!("{} frame without payload", frame.kind), tokens.text_weak),
            false => (text, tokens.text),
        };
        egui::Frame::new()
            .stroke(egui::Stroke::new(1.0, fill))
            .corner_radius(4.0)
            .inner_margin(8.0)
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.add(
                    egui::Label::new(paragraph(text).font(theme::mono(11.5)).color(color))
                        .wrap()
                        .selectable(true),
                );
            });
    }
}
