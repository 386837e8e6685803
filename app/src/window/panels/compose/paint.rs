//! Paints the composer: the history, the form, the answer.

use bytes::Bytes;
use egui::{Align, Response, ScrollArea, TextEdit, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::Kind;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_host::InstanceId;

use super::layout::{Arrangement, editors, is_roomy};
use super::model::State;
use crate::window::action::Change;
use crate::window::buttons::empty;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::look::{LATENCY, outcome_look};
use crate::window::panels::injected::injected;
use crate::window::panels::preview::{preview, shown};
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::{clock_of, time_of_day};
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{
    badge, beside, bordered, confined, flow, label, named_field, row, section, separator, text_in,
};
use crate::workbench::{Command, Level, Sent, Source};

/// Frames of an answer that are shown.
const SHOWN: usize = 20;

/// Paints the composer.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, compose: &mut State) {
    let chosen = ctx.selection.plugin(ctx.view);
    if chosen.is_none() {
        let words = ("No plugin loaded", "A frame needs somebody who answers");
        return empty(ui, ctx, icon::ICON_EDIT, words, Some(Verb::OpenPlugin));
    }
    let target = compose.target(ctx.view, chosen);
    compose.note(ctx.sent().back().map(|sent| sent.call), target);
    let room = ui.available_size();
    let inner = || egui::Frame::new().inner_margin(8.0);
    let arrangement = Arrangement::of(room);
    match arrangement {
        Arrangement::Whole => {
            egui::Panel::left("compose history")
                .default_size((room.x * 0.22).clamp(140.0, 200.0))
                .size_range(120.0..=room.x * 0.3)
                .frame(inner())
                .show(ui, |ui| confined(ui, |ui| history(ui, ctx, compose, target)));
            egui::Panel::right("compose answer")
                .default_size(room.x * 0.36)
                .size_range(160.0..=room.x * 0.45)
                .frame(inner())
                .show(ui, |ui| confined(ui, |ui| answer(ui, ctx, compose, (target, false))));
        }
        Arrangement::Beside => {
            egui::Panel::right("compose answer beside")
                .default_size(room.x * 0.4)
                .size_range(150.0..=room.x * 0.45)
                .frame(inner())
                .show(ui, |ui| confined(ui, |ui| answer(ui, ctx, compose, (target, true))));
        }
        Arrangement::Stacked => {
            egui::Panel::bottom("compose answer below")
                .default_size(room.y * 0.3)
                .size_range(96.0..=room.y - 280.0)
                .resizable(true)
                .frame(inner())
                .show(ui, |ui| confined(ui, |ui| answer(ui, ctx, compose, (target, true))));
        }
        Arrangement::Paged => {
            egui::Panel::top("compose pages").frame(inner()).show(ui, |ui| {
                ui.horizontal(|ui| {
                    let front = &mut compose.answer_in_front;
                    ui.selectable_value(front, false, "Request");
                    ui.selectable_value(front, true, "Answer");
                });
            });
        }
    }
    egui::CentralPanel::no_frame().frame(inner()).show(ui, |ui| {
        match arrangement == Arrangement::Paged && compose.answer_in_front {
            true => answer(ui, ctx, compose, (target, true)),
            false => request(ui, ctx, compose, chosen),
        }
    });
}

/// The request: its fields, and below them what sends it, which is always seen.
fn request(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State, chosen: Option<InstanceId>) {
    let roomy = is_roomy(ui.available_height());
    egui::Panel::bottom("compose send")
        .frame(egui::Frame::new().inner_margin(egui::Margin { top: 6, ..egui::Margin::ZERO }))
        .show_separator_line(false)
        .resizable(false)
        .show(ui, |ui| send(ui, ctx, state, chosen));
    egui::CentralPanel::no_frame().show(ui, |ui| {
        ScrollArea::vertical().id_salt("form").auto_shrink([false, false]).show(ui, |ui| {
            form(ui, ctx, state, chosen, roomy);
        });
    });
}

fn form(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    state: &mut State,
    chosen: Option<InstanceId>,
    roomy: bool,
) {
    let tokens = theme::of(ui);
    if roomy {
        section(ui, "Request", |_| {});
    }
    let target = state.target(ctx.view, chosen);
    let weak = |text: &str| plain(text).color(tokens.text_weak);
    flow(ui, |ui| {
        ui.label(weak("To"));
        let name = |id: InstanceId| {
            ctx.plugin(id).map_or_else(|| "gone".to_owned(), |plugin| ctx.name_of(plugin))
        };
        let mut picked = target;
        let response = egui::ComboBox::from_id_salt("target")
            .selected_text(plain(picked.map_or_else(|| "no plugin".to_owned(), name)))
            .show_ui(ui, |ui| {
                for plugin in ctx.plugins() {
                    ui.selectable_value(
                        &mut picked,
                        Some(plugin.instance),
                        plain(format!(
                            "{}, version {}",
                            ctx.name_of(plugin),
                            plugin.manifest.plugin.version
                        )),
                    );
                }
            })
            .response;
        named_field(response, "Target plugin");
        if picked != target {
            state.target = picked;
        }
        if ui.available_size_before_wrap().x < 140.0 {
            ui.end_row();
        }
        ui.label(weak("Kind"));
        let field = TextEdit::singleline(&mut state.kind).hint_text("name or number");
        let field = field.desired_width(if roomy { 88.0 } else { 64.0 });
        named_field(bordered(ui, |ui| ui.add(field)), "Kind");
        if !roomy {
            label(ui.menu_button("▾", |ui| kinds(ui, state)).response, "Named kinds");
        }
    });
    if roomy {
        flow(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            kinds(ui, state);
        });
    }
    let titles = 2.0 * (ui.text_style_height(&egui::TextStyle::Body) + 12.0);
    let (header_height, payload_height) = editors(ui.available_height() - titles);
    ui.label(weak("Header, JSON"));
    match state.large_header.as_ref().map(|header| header.as_bytes().len()) {
        None => drop(editor(ui, "Header", &mut state.header, header_height)),
        Some(size) => {
            if too_large(ui, "header", size) {
                state.large_header = None;
            }
        }
    }
    ui.label(weak("Payload: text, hex:… or @file"));
    match state.large.as_ref().map(Bytes::len) {
        None => {
            let field = editor(ui, "Payload", &mut state.payload, payload_height);
            if std::mem::take(&mut state.focus_payload) {
                field.request_focus();
                field.scroll_to_me(None);
            }
        }
        Some(size) => {
            state.focus_payload = false;
            if too_large(ui, "payload", size) {
                state.large = None;
            }
        }
    }
}

fn kinds(ui: &mut Ui, state: &mut State) {
    for (kind, name) in Kind::NAMED {
        if ui.selectable_label(state.kind == name, name).clicked() {
            state.kind = kind.to_string();
        }
    }
}

/// The buttons that send the frame, and why it cannot be sent.
fn send(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State, chosen: Option<InstanceId>) {
    let tokens = theme::of(ui);
    let target = state.target(ctx.view, chosen);
    let draft = state.draft();
    if let Err(error) = &draft {
        ui.add(egui::Label::new(plain(error).color(tokens.bad)).truncate()).hint(error);
    }
    flow(ui, |ui| {
        let ready = draft.is_ok() && target.is_some();
        let send = egui::Button::new(plain("Send").color(tokens.on_accent)).fill(tokens.accent);
        if ui.add_enabled(ready, send).hint("Ctrl+Enter").clicked() {
            ctx.run(Verb::Send);
        }
        let response =
            ui.add(egui::DragValue::new(&mut state.times).range(2..=1_000_000).speed(10.0));
        named_field(response, "How often");
        if ui.add_enabled(ready, egui::Button::new(format!("Send {} times", state.times))).clicked()
        {
            match state.request(ctx.view, chosen, state.times) {
                Ok(request) => ctx.command(Command::Send(request)),
                Err(error) => ctx.command(Command::Notify(Level::Error, error)),
            }
        }
        let pair =
            ctx.view.pair().filter(|pair| target.is_some_and(|id| pair.beside(id).is_some()));
        if let Some(pair) = pair {
            let mut both = pair.sends_to_both;
            let hint = "Each gets the frame, and Diff shows how their answers differ";
            if ui.checkbox(&mut both, "To both builds").hint(hint).changed() {
                ctx.command(Command::SendToBoth(both));
            }
        }
    });
}

/// Says that a part of the frame is sent as it is; true if it is to be written anew.
fn too_large(ui: &mut Ui, part: &str, size: usize) -> bool {
    let size = show_size(size as u64);
    ui.label(plain(format!("{size} of the chosen frame, too large to be edited here")));
    ui.button(format!("Write another {part}")).clicked()
}

fn editor(ui: &mut Ui, name: &str, text: &mut String, height: f32) -> Response {
    let area = ScrollArea::vertical().id_salt(name);
    area.max_height(height)
        .min_scrolled_height(height)
        .show(ui, |ui| {
            let edit = TextEdit::multiline(text)
                .code_editor()
                .font(theme::mono(12.0))
                .desired_width(f32::INFINITY);
            let response =
                bordered(ui, |ui| ui.add_sized([ui.available_width(), height - 8.0], edit));
            named_field(response, name)
        })
        .inner
}

fn history(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State, target: Option<InstanceId>) {
    let tokens = theme::of(ui);
    section(ui, "History", |ui| {
        ui.label(plain(ctx.sent().len().to_string()).color(tokens.text_weak));
    });
    if ctx.sent().is_empty() {
        ui.label(plain("Sent frames are listed here").color(tokens.text_weak));
    }
    ui.spacing_mut().item_spacing.y = 2.0;
    let sent = ctx.sent();
    let shown = state.answer(sent.iter(), target).map(|one| one.call);
    ScrollArea::vertical().id_salt("sent").auto_shrink([false, false]).show_rows(
        ui,
        38.0,
        sent.len(),
        |ui, range| {
            for position in range {
                let index = sent.len() - 1 - position;
                let one = &sent[index];
                let chosen = shown == Some(one.call);
                let name = ctx.instance_name(Source::Live, &one.plugin, one.instance.get());
                let (rect, response) =
                    row(ui, 38.0, chosen, &format!("{} to {name}", one.frame.kind));
                let (tone, _) = outcome_look(Some(&one.outcome));
                let inner = rect.shrink2(egui::vec2(8.0, 3.0));
                let (top, mut bottom) = inner.split_top_bottom_at_fraction(0.5);
                let body = egui::TextStyle::Body.resolve(ui.style());
                text_in(
                    ui,
                    top,
                    Align::Min,
                    &format!("{} → {name}", one.frame.kind),
                    body.clone(),
                    tokens.text,
                );
                let clock = time_of_day(one.at);
                let width = text_in(ui, bottom, Align::Max, &clock, body.clone(), tokens.text_weak);
                // Neither is painted over the other.
                bottom.set_right(bottom.right() - width - 8.0);
                let times = match (stopped(one), one.times) {
                    (Some(stopped), _) => format!("{stopped}; "),
                    (None, 1) => String::new(),
                    (None, times) => format!("{times}× "),
                };
                text_in(
                    ui,
                    bottom,
                    Align::Min,
                    &format!("{times}{}", one.outcome.name()),
                    body,
                    tokens.tone(if stopped(one).is_some() { Tone::Warn } else { tone }),
                );
                if response.clicked() {
                    state.chosen = Some(one.call);
                }
                response.context_menu(|ui| {
                    if ui.button("Put into the form").clicked() {
                        state.fill(&one.frame, Some(one.instance));
                    }
                });
            }
        },
    );
}

/// The answer to the request; with the history as a menu where that has no room of its own.
fn answer(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    state: &mut State,
    (target, has_menu): (Option<InstanceId>, bool),
) {
    let tokens = theme::of(ui);
    let sent = ctx.sent();
    section(ui, "Answer", |_| {});
    let one = state.answer(sent.iter(), target);
    flow(ui, |ui| {
        let hint = "Put the request of this answer into the form";
        if let Some(one) = one
            && ui.small_button("Edit again").hint(hint).clicked()
        {
            state.fill(&one.frame, Some(one.instance));
        }
        if has_menu && !sent.is_empty() {
            ui.menu_button(format!("History {}", sent.len()), |ui| {
                ui.set_width(220.0);
                ui.set_max_height(240.0);
                history(ui, ctx, state, target);
            });
        }
    });
    let Some(one) = one else {
        let name = target.and_then(|id| ctx.plugin(id)).map(|plugin| ctx.name_of(plugin));
        let name = name.unwrap_or_else(|| "a plugin".to_owned());
        let text = plain(format!("Nothing was sent to {name} yet (Ctrl+Enter)"));
        ui.add(egui::Label::new(text.color(tokens.text_weak)).wrap());
        return;
    };
    whose(ui, ctx, one, (target, state.is_other_request(one)));
    result(ui, one);
    separator(ui);
    ScrollArea::vertical().id_salt("answer").auto_shrink([false, false]).show(ui, |ui| {
        if one.frames.len() > SHOWN {
            let text = format!("The first {SHOWN} of {}", frames(one.frames.len()));
            ui.label(plain(text).color(tokens.text_weak));
        }
        for (index, frame) in one.frames.iter().take(SHOWN).enumerate() {
            ui.horizontal(|ui| {
                badge(ui, &frame.kind.to_string(), Tone::Neutral);
                ui.label(plain(show_size(frame.encoded_len() as u64)).color(tokens.text_weak));
                if ui.small_button("Copy").clicked() {
                    ctx.change(Change::Copy(shown(frame)));
                }
                if ui.small_button("Edit").clicked() {
                    ctx.change(Change::Compose(frame.clone(), None));
                }
            });
            ui.push_id(index, |ui| {
                let text = paragraph(preview(frame)).font(theme::mono(11.5));
                ui.add(egui::Label::new(text).wrap().selectable(true));
            });
            ui.add_space(8.0);
        }
        if one.frames.is_empty() {
            ui.label(plain("The plugin gave no frame").color(tokens.text_weak));
        }
    });
}

/// The plugin and the generation that gave an answer, and why it is not that to the request beside it.
fn whose(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    one: &Sent,
    (target, is_other_request): (Option<InstanceId>, bool),
) {
    let tokens = theme::of(ui);
    let name = ctx.instance_name(Source::Live, &one.plugin, one.instance.get());
    let generation =
        one.generation.map_or_else(String::new, |number| format!(", generation {number}"));
    let text = plain(format!("Of {name}{generation}, {} UTC", clock_of(one.at)));
    ui.add(egui::Label::new(text.color(tokens.text_weak)).wrap());
    let runs = ctx.plugin(one.instance).map(|plugin| plugin.generation);
    let other_plugin = (Some(one.instance) != target).then(|| "of another plugin".to_owned());
    let other_generation = match (one.generation, runs) {
        (_, None) => Some("of a plugin that is unloaded".to_owned()),
        (Some(own), Some(runs)) if own != runs => Some(format!("generation {runs} runs now")),
        _ => None,
    };
    let other_request = is_other_request.then(|| "to another request".to_owned());
    let others: Vec<_> =
        [other_request, other_plugin, other_generation].into_iter().flatten().collect();
    if !others.is_empty() {
        let text = plain(format!("Not what would be sent now: {}", others.join(", ")));
        beside(ui, (icon::ICON_HISTORY, tokens.warn), text.color(tokens.warn));
    }
}

fn result(ui: &mut Ui, one: &Sent) {
    let tokens = theme::of(ui);
    let (tone, picture) = outcome_look(Some(&one.outcome));
    let picture = (picture, tokens.tone(tone));
    beside(ui, picture, plain(one.outcome.to_string()).color(tokens.text_strong));
    injected(ui, one.beside);
    let latency = one.latency.map(|latency| format!(", latency {}", show_duration(latency)));
    let last = frames(one.frames.len()) + &latency.unwrap_or_default();
    let text = match one.wanted {
        1 => last,
        wanted => format!(
            "{} of {wanted} completed in {} by the clock; the last gave {last}",
            one.completed,
            show_duration(one.took),
        ),
    };
    if let Some(stopped) = stopped(one) {
        ui.label(plain(stopped).color(theme::of(ui).warn));
    }
    ui.label(plain(text).color(tokens.text_weak)).hint(LATENCY);
}

/// Says that not all was sent, if so.
fn stopped(one: &Sent) -> Option<String> {
    (one.times < one.wanted).then(|| format!("{} of {}, stopped", one.times, one.wanted))
}

fn frames(count: usize) -> String {
    match count {
        1 => "1 frame".to_owned(),
        count => format!("{count} frames"),
    }
}
