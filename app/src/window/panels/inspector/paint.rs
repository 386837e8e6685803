//! Paints the selected frame: summary, fields, payload, bytes, host calls.

use std::sync::Arc;

use egui::{Align, ScrollArea, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::Direction;
use glovebox_inspector::decode::PayloadFormat;
use glovebox_trace::Statuses;

use super::model::{Absence, Decoded, Detail, Marks, Parts, State};
use crate::window::action::Change;
use crate::window::buttons::empty;
use crate::window::commands::{Verb, entry};
use crate::window::context::PanelCtx;
use crate::window::look::{LATENCY, row_look, without_end};
use crate::window::panels::injected::injected;
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::{clock, seconds, thousands};
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{
    badge, beside, fact, flow, hex, icon_text, section, separator, text_in, tree,
};
use crate::workbench::{RowRef, Source};

/// Paints the inspector.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let Some(detail) = &state.detail else {
        return nothing(ui, ctx, state);
    };
    if let Some(absence) = state.absence {
        absent(ui, ctx, absence, detail.of.source);
    }
    head(ui, ctx, detail, state.absence);
    let tokens = theme::of(ui);
    let parts = match &detail.parts {
        Parts::Here(decoded) => Some(Arc::clone(decoded)),
        Parts::Coming(_) => {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.label(format!("Taking {} apart…", show_size(detail.row.size())));
            });
            None
        }
        Parts::Failed(why) => {
            let text = format!("This frame cannot be taken apart: {why}");
            ui.label(plain(text).color(tokens.bad));
            None
        }
    };
    ScrollArea::vertical().id_salt("inspector").auto_shrink([false, false]).show(ui, |ui| {
        summary(ui, detail);
        if let Some(parts) = parts {
            let marks = &mut state.marks;
            separator(ui);
            let hovered = fields(ui, ctx, &parts, marks);
            separator(ui);
            payload(ui, ctx, &parts);
            separator(ui);
            bytes(ui, &parts, marks, hovered);
        }
        separator(ui);
        host_calls(ui, detail);
        if !detail.is_whole {
            let text = "Other parts of this call are further away in the file, or not there";
            ui.label(plain(text).color(tokens.warn));
        }
        ui.add_space(8.0);
    });
}

/// Says that the selected frame is not in the list, why, and what to do.
fn absent(ui: &mut Ui, ctx: PanelCtx<'_>, absence: Absence, source: Source) {
    let tokens = theme::of(ui);
    let name = ctx.source_name(source);
    let text = match absence {
        Absence::Hidden if ctx.query.filter.is_none() => {
            "Not in the list: outside of the chosen time".to_owned()
        }
        Absence::Hidden => "Not in the list: hidden by the filter".to_owned(),
        Absence::Evicted => "Not in the list: no longer in memory, and below is a copy".to_owned(),
        Absence::Elsewhere => format!("Not in the list: a frame of {name}"),
    };
    let fill = tokens.tone_subtle(Tone::Warn);
    egui::Frame::new().fill(fill).corner_radius(4.0).inner_margin(6.0).show(ui, |ui| {
        ui.set_width(ui.available_width());
        let picture = (icon::ICON_VISIBILITY_OFF, tokens.warn);
        beside(ui, picture, plain(text).color(tokens.text_strong));
        flow(ui, |ui| match absence {
            Absence::Hidden => {
                if ui.small_button("Clear filter").hint("Show all frames again (Esc)").clicked() {
                    ctx.run(Verb::ClearFilter);
                }
                for (verb, name) in [
                    (Verb::PreviousRow, "Previous in the list"),
                    (Verb::NextRow, "Next in the list"),
                ] {
                    let line = entry(verb);
                    let button = egui::Button::new(name).small();
                    let button = ui.add_enabled((line.enabled)(ctx.now), button);
                    if button.hint(line.hint()).clicked() {
                        ctx.run(verb);
                    }
                }
            }
            Absence::Evicted => {
                let line = entry(Verb::FirstRow);
                let button = egui::Button::new("Oldest frame in the list").small();
                let button = ui.add_enabled((line.enabled)(ctx.now), button);
                if button.hint(line.hint()).clicked() {
                    ctx.run(Verb::FirstRow);
                }
            }
            Absence::Elsewhere => {
                if ui.small_button(plain(format!("Show {name}"))).clicked() {
                    ctx.change(Change::Source(source));
                    ctx.change(Change::RevealSelection);
                }
            }
        });
    });
    ui.add_space(4.0);
}

fn nothing(ui: &mut Ui, ctx: PanelCtx<'_>, state: &State) {
    let trouble = state.trouble.as_deref();
    if state.absence == Some(Absence::Evicted) {
        let hint = "Older frames make room for new ones; a recording keeps all of them";
        let words = ("The selected frame is no longer in memory", hint);
        return empty(ui, ctx, icon::ICON_VISIBILITY_OFF, words, Some(Verb::FirstRow));
    }
    if ctx.selection.row.is_some_and(|row| ctx.is_in_file(row.source)) {
        let text = trouble.unwrap_or("Reading the frame…");
        ui.label(plain(text).color(theme::of(ui).text_weak));
        return;
    }
    let words = ("No frame selected", "Select a frame in the list to take it apart");
    empty(ui, ctx, icon::ICON_DATA_OBJECT, words, None);
}

fn head(ui: &mut Ui, ctx: PanelCtx<'_>, detail: &Detail, absence: Option<Absence>) {
    let tokens = theme::of(ui);
    flow(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let weak = |text: String| plain(text).color(tokens.text_weak);
        let row = &detail.row;
        ui.label(weak(ctx.instance_name(detail.of.source, &row.plugin, row.instance)));
        ui.label(weak("›".into()));
        ui.label(weak(format!("call {}", detail.row.call.0)));
        ui.label(weak("›".into()));
        for (position, (id, direction)) in detail.siblings.iter().enumerate() {
            let name = match direction {
                Direction::In => "in".to_owned(),
                Direction::Out if position <= 1 => "out".to_owned(),
                Direction::Out => format!("out {position}"),
            };
            if position > 5 {
                ui.label(weak(format!("{} more", detail.siblings.len() - position)));
                break;
            }
            if ui.selectable_label(*id == detail.of.row, name).clicked() {
                ctx.change(Change::Select(RowRef { source: detail.of.source, row: *id }));
            }
        }
    });
    ui.horizontal(|ui| {
        for (verb, name) in
            [(Verb::ReplayRow, "Resend"), (Verb::EditRow, "Edit…"), (Verb::ResendAndDiff, "Diff")]
        {
            let line = entry(verb);
            // The composer is there without a plugin, too.
            let is_kept = absence != Some(Absence::Evicted);
            let enabled = is_kept && (!ctx.plugins().is_empty() || verb == Verb::EditRow);
            let button = ui.add_enabled(enabled, egui::Button::new(name)).hint(line.hint());
            let button = button.hint_when_disabled(match is_kept {
                true => "No plugin is loaded that could answer",
                false => "The frame is no longer in memory",
            });
            if button.clicked() {
                ctx.run(verb);
            }
        }
    });
    separator(ui);
}

fn summary(ui: &mut Ui, detail: &Detail) {
    let tokens = theme::of(ui);
    let row = &detail.row;
    section(ui, "Summary", |_| {});
    let (tone, picture) = row_look(&row.status, detail.of.source);
    let calls = detail.call.as_ref().map_or(0, |call| call.host_calls.len() + call.more);
    let alone = detail.siblings.len() == 1 && calls == 0;
    let text = match row.status.outcome() {
        Some(outcome) => outcome.to_string(),
        None if !detail.is_whole => "no end here".to_owned(),
        None => without_end(detail.of.source, alone).to_owned(),
    };
    let picture = (picture, tokens.tone(tone));
    beside(ui, picture, plain(text).color(tokens.text_strong));
    let direction = match row.direction {
        Direction::In => "to the plugin",
        Direction::Out if row.emitted => "from the plugin, emitted",
        Direction::Out => "from the plugin",
    };
    fact(ui, "Frame", format!("#{}, {}", row.id.0, direction));
    fact(ui, "Kind", row.kind().to_string());
    let exact = format!("{} B", thousands(row.size()));
    let size = match row.size() < 1024 {
        true => exact,
        false => format!("{} ({exact})", show_size(row.size())),
    };
    fact(ui, "Size", size);
    fact(ui, "Time", format!("{} s, {} UTC", seconds(row.since_start), clock(row.at)))
        .hint("Seconds since the first event, and the time of day");
    fact(ui, "Generation", row.generation.to_string());
    if let Some(timing) = detail.call.as_ref().and_then(|call| call.timing) {
        fact(ui, "Latency", show_duration(timing.latency())).hint(LATENCY);
        let part = show_duration;
        let (guest, host) = (part(timing.guest), part(timing.host));
        // Only the frame ABI can tell the guest's time from carrying the frames.
        let split = match timing.boundary.is_zero() {
            true => format!("guest with boundary {guest}, host {host}"),
            false => format!("guest {guest}, host {host}, boundary {}", part(timing.boundary)),
        };
        fact(ui, "of which", split);
        if !timing.queue.is_zero() {
            fact(ui, "Queue", show_duration(timing.queue));
        }
    }
    if let Some(memory) = detail.call.as_ref().and_then(|call| call.memory) {
        fact(ui, "Memory", show_size(memory));
    }
    let beside = detail.call.as_ref().map_or(Statuses::NONE, |call| call.beside);
    let denied = beside.overlaps(Statuses::DENIED);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        let (rect, _) = ui.allocate_exact_size(egui::vec2(92.0, 20.0), egui::Sense::hover());
        let body = egui::TextStyle::Body.resolve(ui.style());
        text_in(ui, rect, Align::Min, "Policy", body, tokens.text_weak);
        match (denied, calls) {
            (true, _) => badge(ui, "a host call was denied", Tone::Warn),
            (false, 0) => badge(ui, "nothing was asked for", Tone::Neutral),
            (false, _) => badge(ui, "every host call was granted", Tone::Good),
        };
    });
    injected(ui, beside);
}

/// Paints the fields; gives the bytes of the one under the pointer.
fn fields(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    parts: &Decoded,
    marks: &mut Marks,
) -> Option<std::ops::Range<usize>> {
    section(ui, "Fields", |_| {});
    let from_tree =
        ui.scope(|ui| tree::show(ui, &parts.tree, &mut marks.tree, &marks.hovered)).inner;
    if let Some(range) = &from_tree.clicked {
        marks.tree.selected = range.clone();
        marks.reveal = true;
    }
    if let Some(filter) = from_tree.filter {
        ctx.change(Change::Filter(filter));
    }
    if let Some(value) = from_tree.copy {
        ctx.change(Change::Copy(value));
    }
    from_tree.hovered
}

/// Paints the payload as text.
fn payload(ui: &mut Ui, ctx: PanelCtx<'_>, parts: &Decoded) {
    let tokens = theme::of(ui);
    let name = match parts.format {
        PayloadFormat::Empty => "empty",
        PayloadFormat::Json => "JSON",
        PayloadFormat::Cbor => "CBOR",
        PayloadFormat::Text => "text",
        PayloadFormat::Bytes => "bytes",
    };
    section(ui, "Payload", |ui| {
        badge(ui, name, Tone::Neutral);
        if let Some(payload) = &parts.payload
            && ui.small_button("Copy").clicked()
        {
            ctx.change(Change::Copy(payload.clone()));
        }
    });
    if let Some(payload) = &parts.payload {
        let end = payload.char_indices().nth(4000).map_or(payload.len(), |(end, _)| end);
        egui::Frame::new().fill(tokens.field).corner_radius(4.0).inner_margin(8.0).show(ui, |ui| {
            ui.set_width(ui.available_width());
            let text = paragraph(&payload[..end]).font(theme::mono(11.5)).color(tokens.text);
            ui.add(egui::Label::new(text).wrap().selectable(true));
            if end < payload.len() {
                ui.label(format!("{} more characters; copy shows all", payload.len() - end));
            }
        });
    } else {
        let text = match parts.format {
            PayloadFormat::Empty => "This frame has no payload",
            _ => "No text in this payload; its bytes are below",
        };
        ui.label(plain(text).color(tokens.text_weak));
    }
}

/// Paints the bytes, with those of the field under the pointer marked.
fn bytes(ui: &mut Ui, parts: &Decoded, marks: &mut Marks, hovered: Option<std::ops::Range<usize>>) {
    let tokens = theme::of(ui);
    let is_wanted = std::mem::take(&mut marks.show_bytes);
    let above = ui.cursor().top();
    section(ui, "Bytes", |ui| {
        let text = show_size(parts.bytes.len() as u64);
        ui.label(plain(text).color(tokens.text_weak));
    });
    let in_hex = hex::Marks {
        selected: marks.tree.selected.clone(),
        hovered: hovered.unwrap_or_else(|| marks.hovered.clone()),
        reveal: std::mem::take(&mut marks.reveal),
        focus: is_wanted,
    };
    let painted = ui.scope(|ui| hex::show(ui, &parts.bytes, &in_hex, 240.0));
    let from_hex = painted.inner;
    if is_wanted {
        ui.scroll_to_rect(painted.response.rect.with_min_y(above), Some(Align::Min));
    }
    let field = |byte| tree::field_at(&parts.tree, byte).map(|node| node.range.clone());
    marks.hovered = from_hex.hovered.and_then(field).unwrap_or_default();
    if let Some(range) = from_hex.clicked.and_then(field) {
        marks.tree.selected = range;
    }
}

fn host_calls(ui: &mut Ui, detail: &Detail) {
    let tokens = theme::of(ui);
    let calls = detail.call.as_ref().map_or(&[][..], |call| &call.host_calls);
    let more = detail.call.as_ref().map_or(0, |call| call.more);
    section(ui, "Host calls", |ui| {
        ui.label(plain((calls.len() + more).to_string()).color(tokens.text_weak));
    });
    let evicted = detail.call.as_ref().map_or(0, |call| call.evicted);
    if evicted > 0 {
        let text = format!("{} earlier ones had to make room", thousands(evicted));
        ui.label(plain(text).color(tokens.text_weak));
    }
    if calls.is_empty() && evicted == 0 {
        ui.label(plain("The plugin asked the host for nothing").color(tokens.text_weak));
    }
    for call in calls {
        let (tone, picture) = match call.granted {
            true => (Tone::Good, icon::ICON_CHECK_CIRCLE),
            false => (Tone::Warn, icon::ICON_BLOCK),
        };
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.label(icon_text(picture, 13.0).color(tokens.tone(tone)));
            ui.label(plain(&call.service).color(tokens.text));
            ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
                ui.label(plain(show_duration(call.took)).color(tokens.text_weak));
                ui.with_layout(egui::Layout::left_to_right(Align::Center), |ui| {
                    let text = plain(&call.text).font(theme::mono(11.0)).color(tokens.text_weak);
                    ui.add(egui::Label::new(text).truncate());
                });
            });
        });
    }
    if more > 0 {
        ui.label(format!("{more} more"));
    }
}
