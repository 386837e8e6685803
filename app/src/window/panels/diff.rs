//! What is different between two runs, call by call.

use std::collections::BTreeSet;

use egui::{Align, RichText, ScrollArea, TextEdit, Ui, vec2};
use egui_material_icons::icons as icon;
use glovebox_inspector::decode;
use glovebox_inspector::diff::{
    Change as FieldChange, Class, DiffOptions, Entry, PathPattern, RunCall,
};

use crate::window::action::Actions;
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::{bordered, chip, empty, named_field, row, section, text_in};
use crate::workbench::{Command, DiffView, TraceId, ViewCtx};

/// What the diff remembers.
#[derive(Debug)]
pub struct State {
    before: Option<TraceId>,
    after: Option<TraceId>,
    ignore: String,
    hidden: BTreeSet<Class>,
    split: bool,
    selected: Option<usize>,
    seen: u64,
}

impl Default for State {
    fn default() -> Self {
        State {
            before: None,
            after: None,
            ignore: String::new(),
            hidden: BTreeSet::from([Class::Same]),
            split: true,
            selected: None,
            seen: 0,
        }
    }
}

const CLASSES: [(Class, &str, Tone); 7] = [
    (Class::Changed, "changed", Tone::Warn),
    (Class::Outcome, "outcome", Tone::Bad),
    (Class::Missing, "missing", Tone::Bad),
    (Class::Extra, "extra", Tone::Info),
    (Class::Order, "order", Tone::Info),
    (Class::Slower, "slower", Tone::Warn),
    (Class::Same, "same", Tone::Good),
];

/// Paints the diff.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let diff = &mut state.panels.diff;
    egui::Frame::new()
        .inner_margin(egui::Margin::symmetric(8, 4))
        .show(ui, |ui| choose(ui, ctx, diff, out));
    let Some((number, view)) = ctx.diff() else {
        let now = Situation {
            plugin: !ctx.plugins().is_empty(),
            baseline: ctx.baseline().is_some(),
            ..Situation::default()
        };
        let hint =
            "Choose two runs above, or reload, replay the pinned trace and compare in one go";
        return empty(
            ui,
            icon::ICON_DIFFERENCE,
            "Nothing compared yet",
            hint,
            Some(Verb::Loop),
            &now,
            out,
        );
    };
    if diff.seen != number {
        diff.seen = number;
        // Where nothing is different, that is what there is to see.
        diff.hidden = match view.diff.is_same() {
            true => BTreeSet::new(),
            false => BTreeSet::from([Class::Same]),
        };
        diff.selected =
            view.diff.entries.iter().position(|entry| !diff.hidden.contains(&entry.class));
    }
    egui::Frame::new()
        .inner_margin(egui::Margin::symmetric(8, 4))
        .show(ui, |ui| classes(ui, view, diff));
    egui::Panel::left("diff entries")
        .default_size(260.0_f32.min(ui.available_width() * 0.4))
        .frame(egui::Frame::new().inner_margin(8.0))
        .show(ui, |ui| entries(ui, view, diff));
    egui::CentralPanel::no_frame().show(ui, |ui| {
        egui::Frame::new().inner_margin(8.0).show(ui, |ui| details(ui, view, diff));
    });
}

fn choose(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut State, out: &mut Actions) {
    ui.horizontal_wrapped(|ui| {
        let traces = ctx.traces();
        state.before = state.before.filter(|id| ctx.trace(*id).is_some());
        state.after = state.after.filter(|id| ctx.trace(*id).is_some());
        let baseline = ctx.baseline().map(|trace| trace.id);
        let before = state.before.or(baseline).or(traces.first().map(|trace| trace.id));
        let after = state.after.or(traces
            .iter()
            .rev()
            .map(|trace| trace.id)
            .find(|id| Some(*id) != before));
        for (label, chosen, slot) in
            [("First run", before, &mut state.before), ("Second run", after, &mut state.after)]
        {
            let name = |id| ctx.trace(id).map_or("none", |trace| trace.name.as_str());
            let mut choice = chosen;
            let response = egui::ComboBox::from_id_salt(label)
                .width(180.0)
                .truncate()
                .selected_text(chosen.map_or("none", name))
                .show_ui(ui, |ui| {
                    for trace in traces {
                        ui.selectable_value(&mut choice, Some(trace.id), &trace.name);
                    }
                })
                .response;
            named_field(response, label);
            if choice != chosen {
                *slot = choice;
            }
            if label == "First run" {
                ui.label(icon::ICON_ARROW_FORWARD.codepoint);
            }
        }
        let patterns = patterns(&state.ignore);
        let field = TextEdit::singleline(&mut state.ignore)
            .hint_text("ignore paths, e.g. /payload/time")
            .desired_width(200.0);
        let field = match &patterns {
            Ok(_) => field,
            Err(_) => field.text_color(theme::of(ui).bad),
        };
        let response = named_field(bordered(ui, |ui| ui.add(field)), "Ignore paths");
        if let Err(error) = &patterns {
            response.on_hover_text(error);
        }
        let ready = before.zip(after).zip(patterns.ok());
        let button = ui.add_enabled(ready.is_some(), egui::Button::new("Compare"));
        if let (true, Some(((before, after), ignore))) = (button.clicked(), ready) {
            let options = DiffOptions { ignore, ..DiffOptions::default() };
            out.command(Command::Diff { before, after, options });
        }
    });
}

/// Patterns separated by spaces or commas.
fn patterns(text: &str) -> Result<Vec<PathPattern>, String> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    words.map(|word| word.parse::<PathPattern>().map_err(|error| error.to_string())).collect()
}

fn classes(ui: &mut Ui, view: &DiffView, state: &mut State) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (class, name, tone) in CLASSES {
            let count = view.diff.entries.iter().filter(|entry| entry.class == class).count();
            if count == 0 {
                continue;
            }
            let on = !state.hidden.contains(&class);
            if chip(ui, on, &format!("{count} {name}"), tone).clicked()
                && !state.hidden.remove(&class)
            {
                state.hidden.insert(class);
            }
        }
        let text = format!("{} → {}", view.diff.before, view.diff.after);
        let tokens = theme::of(ui);
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            ui.selectable_value(&mut state.split, false, "Unified");
            ui.selectable_value(&mut state.split, true, "Split");
            ui.add(egui::Label::new(RichText::new(text).color(tokens.text_weak)).truncate());
        });
    });
}

fn look(class: Class) -> (&'static str, Tone) {
    let found = CLASSES.iter().find(|(known, ..)| *known == class);
    found.map_or(("", Tone::Neutral), |(_, name, tone)| (*name, *tone))
}

fn entries(ui: &mut Ui, view: &DiffView, state: &mut State) {
    let tokens = theme::of(ui);
    let shown: Vec<_> = view
        .diff
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| !state.hidden.contains(&entry.class))
        .collect();
    if shown.is_empty() {
        let text = format!("No difference to show among {} calls", view.diff.entries.len());
        ui.label(RichText::new(text).color(tokens.text_weak));
        return;
    }
    ui.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::vertical().id_salt("entries").auto_shrink([false, false]).show_rows(
        ui,
        24.0,
        shown.len(),
        |ui, range| {
            for (index, entry) in &shown[range] {
                let (name, tone) = look(entry.class);
                let call = call_name(entry);
                let label = format!("{call} {} {name}", entry.plugin);
                let (rect, response) = row(ui, 24.0, state.selected == Some(*index), &label);
                let body = egui::TextStyle::Body.resolve(ui.style());
                let inner = rect.shrink2(vec2(8.0, 0.0));
                text_in(ui, inner, Align::Min, &call, body.clone(), tokens.text);
                let mut middle = inner;
                middle.set_left(inner.left() + 56.0);
                text_in(ui, middle, Align::Min, &entry.plugin, body.clone(), tokens.text_weak);
                text_in(ui, inner, Align::Max, name, body, tokens.tone(tone));
                if response.clicked() {
                    state.selected = Some(*index);
                }
            }
        },
    );
}

fn call_name(entry: &Entry) -> String {
    let call = entry.call_before.or(entry.call_after);
    call.map_or_else(|| "call".to_owned(), |call| call.to_string())
}

fn details(ui: &mut Ui, view: &DiffView, state: &State) {
    let tokens = theme::of(ui);
    let Some(entry) = state.selected.and_then(|index| view.diff.entries.get(index)) else {
        ui.label(RichText::new("Select a call to see what is different").color(tokens.text_weak));
        return;
    };
    let (name, tone) = look(entry.class);
    section(ui, &format!("{} of {}", call_name(entry), entry.plugin), |ui| {
        crate::window::widgets::badge(ui, name, tone);
    });
    ScrollArea::vertical().id_salt("details").auto_shrink([false, false]).show(ui, |ui| {
        for change in &entry.changes {
            one(ui, change, state.split);
        }
        if entry.changes.is_empty() && entry.class == Class::Same {
            ui.label(RichText::new("Nothing is different in this call").color(tokens.text_weak));
        }
        ui.add_space(8.0);
        section(ui, "Answers", |_| {});
        let before = entry.before.and_then(|index| view.before.calls.get(index));
        let after = entry.after.and_then(|index| view.after.calls.get(index));
        if state.split {
            ui.columns(2, |columns| {
                // Columns justify their text; text of plugins must keep its spaces.
                columns[0].vertical(|ui| whole(ui, &view.diff.before, before, tokens.bad_subtle));
                columns[1].vertical(|ui| whole(ui, &view.diff.after, after, tokens.good_subtle));
            });
        } else {
            whole(ui, &view.diff.before, before, tokens.bad_subtle);
            whole(ui, &view.diff.after, after, tokens.good_subtle);
        }
    });
}

fn one(ui: &mut Ui, change: &FieldChange, split: bool) {
    let tokens = theme::of(ui);
    let place = match change.output {
        Some(output) => format!("output {output} {}", change.path),
        None => change.path.clone(),
    };
    ui.label(RichText::new(place).font(theme::mono(11.5)).color(tokens.text_weak));
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
                ui.label(RichText::new(sign).font(theme::mono(11.5)).color(color));
                let (text, color) = match text {
                    Some(text) => (text, tokens.text_strong),
                    None => ("nothing", tokens.text_weak),
                };
                ui.add(
                    egui::Label::new(RichText::new(text).font(theme::mono(11.5)).color(color))
                        .wrap()
                        .selectable(true),
                );
            });
        });
}

fn whole(ui: &mut Ui, name: &str, call: Option<&RunCall>, fill: egui::Color32) {
    let tokens = theme::of(ui);
    ui.label(RichText::new(name).font(theme::medium(12.0)).color(tokens.text));
    let Some(call) = call else {
        ui.label(RichText::new("The call is not in this run").color(tokens.text_weak));
        return;
    };
    let outcome = call.outcome.as_ref().map_or_else(|| "not over".to_owned(), ToString::to_string);
    ui.label(RichText::new(outcome).color(tokens.text_weak));
    for frame in &call.outputs {
        let text = match decode::payload_json(frame) {
            Some(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
            None => String::from_utf8_lossy(&frame.payload).into_owned(),
        };
        let text: String = text.chars().take(4000).collect();
        egui::Frame::new()
            .stroke(egui::Stroke::new(1.0, fill))
            .corner_radius(4.0)
            .inner_margin(8.0)
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.add(
                    egui::Label::new(RichText::new(text).font(theme::mono(11.5)))
                        .wrap()
                        .selectable(true),
                );
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_to_ignore_read() {
        assert_eq!(patterns("").map(|found| found.len()), Ok(0));
        assert_eq!(patterns("/header/id, /payload/*/time").map(|found| found.len()), Ok(2));
        assert!(patterns("header").is_err());
    }
}
