//! What is different between two runs: groups of calls that differ in the same places, and what a
//! person decides about them.

mod model;

use egui::{Align, ScrollArea, TextEdit, Ui, vec2};
use egui_material_icons::icons as icon;
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::{
    Change as FieldChange, Class, Diff, DiffOptions, Group, PathPattern, Run, RunCall, Tolerance,
};

use crate::window::action::Actions;
use crate::window::commands::{Situation, Verb};
use crate::window::panels::frames::thousands;
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{
    bordered, chip, empty, named_field, row, section, text_in, verb_button,
};
use crate::workbench::{Command, TraceId, ViewCtx};

pub use model::{Line, Review};

/// What the diff remembers.
#[derive(Debug)]
pub struct State {
    before: Option<TraceId>,
    after: Option<TraceId>,
    ignore: String,
    split: bool,
    /// The diff whose runs the lists name, as the workbench counts them.
    compared: u64,
    /// What is listed, selected and decided.
    pub review: Review,
}

impl Default for State {
    fn default() -> Self {
        State {
            before: None,
            after: None,
            ignore: String::new(),
            split: true,
            compared: 0,
            review: Review::default(),
        }
    }
}

/// How a class looks.
fn tone(class: Class) -> Tone {
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

/// Paints the diff.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let state = &mut state.panels.diff;
    let bar = egui::Frame::new().inner_margin(egui::Margin::symmetric(8, 4));
    bar.show(ui, |ui| choose(ui, ctx, state, out));
    let Some((number, diff)) = ctx.diff() else {
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
    state.review.look_at(number, diff, || ctx.rejected_before());
    bar.show(ui, |ui| classes(ui, diff, state));
    bar.show(ui, |ui| decisions(ui, diff, &state.review, out));
    egui::Panel::left("diff entries")
        .default_size(320.0_f32.min(ui.available_width() * 0.45))
        .frame(egui::Frame::new().inner_margin(8.0))
        .show(ui, |ui| lines(ui, diff, &mut state.review));
    egui::CentralPanel::no_frame().show(ui, |ui| {
        egui::Frame::new().inner_margin(8.0).show(ui, |ui| details(ui, diff, state));
    });
}

fn choose(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut State, out: &mut Actions) {
    ui.horizontal_wrapped(|ui| {
        let traces = ctx.traces();
        state.before = state.before.filter(|id| ctx.trace(*id).is_some());
        state.after = state.after.filter(|id| ctx.trace(*id).is_some());
        let compared = ctx.diff().map(|(number, diff)| (number, &*diff.before, &*diff.after));
        // What was just compared is what the lists name.
        if let Some((number, ..)) = compared
            && std::mem::replace(&mut state.compared, number) != number
        {
            (state.before, state.after) = (None, None);
        }
        let named = |run: &Run| {
            let mut traces = traces.iter().rev();
            traces.find(|trace| trace.name == run.name).map(|trace| trace.id)
        };
        let usual = |run: Option<&Run>, other: Option<TraceId>| match run {
            // A baseline file is no trace.
            Some(run) => named(run),
            None => other,
        };
        let pinned = ctx.baseline().map(|trace| trace.id);
        let pinned = pinned.or(traces.first().map(|trace| trace.id));
        let before = state.before.or(usual(compared.map(|(_, before, _)| before), pinned));
        let newest = traces.iter().rev().map(|trace| trace.id).find(|id| Some(*id) != before);
        let after = state.after.or(usual(compared.map(|(.., after)| after), newest));
        let sides = [
            ("First run", before, &mut state.before, compared.map(|(_, before, _)| before)),
            ("Second run", after, &mut state.after, compared.map(|(.., after)| after)),
        ];
        for (label, chosen, slot, run) in sides {
            let name = |id| ctx.trace(id).map_or("none", |trace| trace.name.as_str());
            let other = run.filter(|_| slot.is_none()).map_or("none", |run| &run.name);
            let mut choice = chosen;
            let response = egui::ComboBox::from_id_salt(label)
                .width(180.0)
                .truncate()
                .selected_text(plain(chosen.map_or(other, name)))
                .show_ui(ui, |ui| {
                    for trace in traces {
                        ui.selectable_value(&mut choice, Some(trace.id), plain(&trace.name));
                    }
                })
                .response;
            let shown = chosen.map_or(other, name);
            named_field(response, label).hint(format!("{label}: {shown}"));
            if choice != chosen {
                *slot = choice;
            }
            if label == "First run" {
                ui.label(icon::ICON_ARROW_FORWARD.codepoint);
            }
        }
        let rules = rules(&state.ignore);
        let field = TextEdit::singleline(&mut state.ignore)
            .hint_text("ignore /payload/time, tolerate 0.01")
            .desired_width(260.0);
        let field = match &rules {
            Ok(_) => field,
            Err(_) => field.text_color(theme::of(ui).bad),
        };
        let response = named_field(bordered(ui, |ui| ui.add(field)), "Ignore paths");
        if let Err(error) = &rules {
            response.hint(error);
        }
        let is_valid = rules.is_ok();
        let ready = before.zip(after).zip(rules.ok());
        let button = ui.add_enabled(ready.is_some(), egui::Button::new("Compare"));
        let button = button.hint_when_disabled(match is_valid {
            true => "Choose two traces",
            false => "What is to be ignored is not understood",
        });
        if let (true, Some(((before, after), options))) = (button.clicked(), ready) {
            out.command(Command::Diff { before, after, options });
        }
    });
}

/// Paths to ignore and tolerances, separated by spaces or commas.
fn rules(text: &str) -> Result<DiffOptions, String> {
    let mut options = DiffOptions::default();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let is_path = word.starts_with('/') && !word.contains('=');
        if is_path {
            options.ignore.push(word.parse::<PathPattern>().map_err(|error| error.to_string())?);
        } else {
            let tolerance = word.parse::<Tolerance>().map_err(|error| error.to_string())?;
            options.tolerances.push(tolerance);
        }
    }
    Ok(options)
}

fn classes(ui: &mut Ui, diff: &Diff, state: &mut State) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for class in Class::ALL {
            let count = diff.counts.of(class);
            if count == 0 {
                continue;
            }
            let on = state.review.shows(class);
            if chip(ui, on, &format!("{count} {}", class.name()), tone(class)).clicked() {
                state.review.toggle(class, diff);
            }
        }
        let text = format!("{} → {}", diff.before.name, diff.after.name);
        let tokens = theme::of(ui);
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            ui.selectable_value(&mut state.split, false, "Unified");
            ui.selectable_value(&mut state.split, true, "Split");
            ui.add(egui::Label::new(plain(text).color(tokens.text_weak)).truncate());
        });
    });
}

/// What was decided so far, and the buttons that decide.
fn decisions(ui: &mut Ui, diff: &Diff, review: &Review, out: &mut Actions) {
    if diff.counts.different() == 0 {
        return;
    }
    let now = Situation { difference: true, decided: review.decided() > 0, ..Situation::default() };
    ui.horizontal_wrapped(|ui| {
        for verb in [Verb::AcceptDifference, Verb::RejectDifference, Verb::SkipDifference] {
            verb_button(ui, verb, &now, out);
        }
        verb_button(ui, Verb::SaveBaseline, &now, out);
        let text = format!(
            "{} accepted, {} rejected, {} left",
            review.count(Decision::Accept),
            review.count(Decision::Reject),
            diff.counts.different() - review.decided(),
        );
        ui.label(plain(text).color(theme::of(ui).text_weak));
    });
}

fn lines(ui: &mut Ui, diff: &Diff, review: &mut Review) {
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

/// What tells a group from others first, since the list is narrow.
fn short(group: &Group) -> String {
    match group.paths.is_empty() {
        true => group.title(),
        false => format!("{} of {}: {}", group.calls, group.plugin, group.places()),
    }
}

fn call_name(diff: &Diff, at: usize) -> String {
    let Some(entry) = diff.entries.get(at) else {
        return String::new();
    };
    let id = match (entry.before, entry.after) {
        (Some(before), _) => diff.before.id(before as usize),
        (None, Some(after)) => diff.after.id(after as usize),
        (None, None) => None,
    };
    let plugin = diff.plugin(entry).map_or("", |plugin| &**plugin);
    id.map_or_else(|| "call".to_owned(), |id| format!("{id} {plugin}"))
}

fn details(ui: &mut Ui, diff: &Diff, state: &State) {
    let tokens = theme::of(ui);
    let at = match state.review.selected() {
        Some(Line::Call(at)) => Some(at),
        Some(Line::Group(number)) => diff.groups.get(number as usize).map(|group| group.first),
        None => None,
    };
    let Some((entry, row, at)) = at.and_then(|at| Some((diff.entries.get(at)?, diff.row(at)?, at)))
    else {
        ui.label(
            plain("Select a group or a call to see what is different").color(tokens.text_weak),
        );
        return;
    };
    section(ui, &call_name(diff, at), |ui| {
        crate::window::widgets::badge(ui, entry.class.name(), tone(entry.class));
    });
    ScrollArea::vertical().id_salt("details").auto_shrink([false, false]).show(ui, |ui| {
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

fn one(ui: &mut Ui, change: &FieldChange, split: bool) {
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
        let text = super::compose::preview(frame);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        fn check(text: &str, expected: Option<(usize, usize)>) {
            let found = rules(text).ok();
            let found = found.map(|rules| (rules.ignore.len(), rules.tolerances.len()));
            assert_eq!(found, expected, "{text}");
        }
        check("", Some((0, 0)));
        check("/header/id, /payload/*/time", Some((2, 0)));
        check("/header/id 0.01,/payload/price=0.5", Some((1, 2)));
        check("header", None);
        check("/payload/price=x", None);
    }
}
