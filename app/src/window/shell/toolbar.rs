//! The toolbar: record, replay, settings, the filter.

use std::borrow::Cow;
use std::time::Duration;

use egui::{Stroke, Ui, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::text::cut;
use glovebox_abi::units::show_size;
use glovebox_host::{PluginStatus, PolicyMode};

use crate::window::action::Change;
use crate::window::buttons::{named_verb_button, verb_button};
use crate::window::commands::{Verb, entry};
use crate::window::context::PanelCtx;
use crate::window::filter_field;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, elided, line, plain};
use crate::window::widgets::{bordered, chip, icon_text, label};
use crate::workbench::{Command, JobView, words};

/// Paints the toolbar.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, filter: &mut filter_field::State) {
    let tokens = theme::of(ui);
    ui.horizontal(|ui| {
        ui.set_height(28.0);
        ui.spacing_mut().item_spacing.x = 2.0;
        record(ui, ctx);
        if let Some(reason) = ctx.cannot_record() {
            ui.colored_label(tokens.bad, "cannot record").hint(cut(reason, 300));
        }
        replay(ui, ctx);
        let step = entry(Verb::Step);
        named_verb_button(ui, ctx, step, step.name, &step.hint_now(ctx.now));
        verb_button(ui, ctx, Verb::Stop);
        // The status bar says it in any window.
        let held = ctx.view.replay().and_then(JobView::held_at);
        if let Some(held) = held.filter(|_| ui.available_width() >= NARROW) {
            ui.add_space(4.0);
            ui.label(plain(held).color(tokens.warn));
        }
        divider(ui);
        if settings_width(ui, ctx) + FILTER <= ui.available_width() {
            settings(ui, ctx);
        } else {
            let more = ui.menu_button(icon_text(icon::ICON_TUNE, 15.0), |ui| settings(ui, ctx));
            label(more.response, "Settings");
        }
        divider(ui);
        filter_field::show(ui, ctx, filter);
    });
    if let Some(text) = ctx.query.trouble() {
        ui.horizontal(|ui| {
            ui.label(icon_text(icon::ICON_ERROR, 13.0).color(tokens.bad));
            ui.label(plain(text).color(tokens.bad));
        });
    }
}

/// Less room than this is for the filter, in points.
const NARROW: f32 = 760.0;
/// So much room is for long names, and with less there is none for that of the trace.
const ROOMY: f32 = 1000.0;
const TIGHT: f32 = 520.0;

/// So much room is left for the filter at least; settings are in a menu where there is less.
const FILTER: f32 = 200.0;

/// The button that starts a recording, and stops it: then it says how long and how much.
fn record(ui: &mut Ui, ctx: PanelCtx<'_>) {
    let line = entry(Verb::ToggleRecording);
    let Some((status, took)) = ctx.recording().zip(ctx.recorded_for()) else {
        verb_button(ui, ctx, Verb::ToggleRecording);
        return;
    };
    let (size, time) = (show_size(status.bytes), minutes_of(took));
    let words = match ui.available_width() < NARROW {
        true => format!("Stop {time}"),
        false => format!("Stop recording {time} · {size}"),
    };
    let events = words::count(status.events, "event");
    let hint = line.hint_now(ctx.now);
    let hint = format!("{hint}\nRecorded for {time}: {events}, {size}, {}", status.path.display());
    let button = named_verb_button(ui, ctx, line, &words, &hint);
    let dot = button.rect.left_center() + vec2(15.5, 0.0);
    ui.painter().circle_filled(dot, 6.0, theme::of(ui).bad);
}

/// Letters of each name on the button that replays, where there is room and where there is little.
const NAMES: (usize, usize) = (18, 9);

/// The button that replays, which says what and into what, with the choice of that.
fn replay(ui: &mut Ui, ctx: PanelCtx<'_>) {
    let line = entry(Verb::Replay);
    let hint = line.hint_now(ctx.now);
    let Some(aim) = &ctx.now.replays else {
        named_verb_button(ui, ctx, line, line.name, &hint);
        return;
    };
    let letters = if ui.available_width() < ROOMY { NAMES.1 } else { NAMES.0 };
    let short = |name: &str| elided(name, |text| text.chars().count() <= letters).into_owned();
    let words = match ui.available_width() < TIGHT {
        true => format!("→ {}", short(&aim.into)),
        false => format!("{} → {}", short(&numbered(&aim.trace)), short(&aim.into)),
    };
    named_verb_button(ui, ctx, line, &words, &hint);
    let choice = ui.menu_button("▾", |ui| {
        ui.set_min_width(240.0);
        ui.label(plain(aim.to_string()).color(theme::of(ui).text_strong));
        ui.label(plain(&aim.inputs).color(theme::of(ui).text_weak));
        ui.separator();
        let chosen = ctx.chosen_plugin().map(|plugin| ctx.name_of(plugin)).unwrap_or_default();
        let into_all = ctx.now.into_all;
        for (name, all) in [
            (format!("Into {chosen}, which is chosen"), false),
            ("Into all plugins".to_owned(), true),
        ] {
            let is_possible = ctx.now.several || into_all;
            let entry = ui.add_enabled_ui(is_possible, |ui| {
                bordered(ui, |ui| ui.radio(into_all == all, plain(&name)))
            });
            if entry.inner.clicked() && into_all != all {
                ctx.run(Verb::ReplayIntoAll);
            }
        }
        let is_possible = ctx.now.other_inputs || ctx.now.all_inputs;
        let mut all_inputs = ctx.now.all_inputs;
        let words = "Inputs recorded for other plugins, too";
        let entry = ui
            .add_enabled_ui(is_possible, |ui| {
                bordered(ui, |ui| ui.checkbox(&mut all_inputs, words))
            })
            .inner;
        if entry.hint_when_disabled("The trace has no inputs of other plugins").changed() {
            ctx.run(Verb::ReplayAllInputs);
        }
    });
    label(choice.response, "Inputs and targets of replays");
}

/// The name of a trace in a short form, in which a replay keeps its number.
fn numbered(trace: &str) -> Cow<'_, str> {
    let number = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    match (trace.strip_prefix("replay of "), trace.strip_prefix("replay ")) {
        (Some(first), _) => format!("#1 of {first}").into(),
        (None, Some(rest)) if number(rest) => format!("#{rest}").into(),
        (None, _) => Cow::Borrowed(trace),
    }
}

/// A time as minutes and seconds, or hours before them.
fn minutes_of(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// The room that the chips take side by side.
fn settings_width(ui: &Ui, ctx: PanelCtx<'_>) -> f32 {
    let spacing = ui.spacing();
    let around = 2.0 * spacing.button_padding.x + 4.0 + 2.0 * spacing.item_spacing.x;
    let color = theme::of(ui).text_weak;
    let width = |text: String| {
        let font = theme::medium(11.5);
        ui.painter().layout_no_wrap(line(&text).into_owned(), font, color).size().x + around
    };
    let reload = ctx.chosen_plugin().map(|plugin| reload_text(plugin.watching).to_owned());
    let faults = (!faulty(ctx).is_empty()).then(|| faults_text(ctx));
    let snapshots = ctx.snapshot_every().map(|every| format!("Snapshots: {every}"));
    let texts = [reload, Some(policy_text(ctx)), faults, snapshots];
    texts.into_iter().flatten().map(width).sum()
}

fn reload_text(watching: bool) -> &'static str {
    if watching { "Reload: auto" } else { "Reload: off" }
}

fn policy_text(ctx: PanelCtx<'_>) -> String {
    format!("Policy: {}", ctx.policy_mode())
}

/// The plugins whose host services answer wrong on purpose.
fn faulty(ctx: PanelCtx<'_>) -> Vec<&'_ PluginStatus> {
    ctx.view.plugins().iter().filter(|one| !one.faults.is_empty()).collect()
}

fn faults_text(ctx: PanelCtx<'_>) -> String {
    let names: Vec<_> = faulty(ctx).into_iter().map(|one| ctx.name_of(one)).collect();
    format!("Faults: {}", names.join(", "))
}

/// Chips that show and change what is set.
fn settings(ui: &mut Ui, ctx: PanelCtx<'_>) {
    if let Some(plugin) = ctx.chosen_plugin() {
        let name = reload_text(plugin.watching);
        let response = chip(ui, plugin.watching, name, Tone::Accent);
        if response
            .hint(format!("Reload {} whenever its artifact changes", plugin.manifest.plugin.id))
            .clicked()
        {
            ctx.command(Command::Watch(plugin.instance, !plugin.watching));
        }
        ui.add_space(4.0);
    }
    let mode = ctx.policy_mode();
    let name = policy_text(ctx);
    let weak = mode == PolicyMode::AsDeclared;
    let tone = if weak { Tone::Warn } else { Tone::Accent };
    if chip(ui, mode != PolicyMode::Consent, &name, tone)
        .hint("Strict grants only log, metric and config unless allowed one by one")
        .clicked()
    {
        ctx.run(Verb::ToggleStrict);
    }
    if let Some(first) = faulty(ctx).first() {
        ui.add_space(4.0);
        let response = chip(ui, true, &faults_text(ctx), Tone::Warn);
        let hint = "Answers of host services go wrong on purpose; show them in the panel Policy";
        if response.hint(hint).clicked() {
            ctx.change(Change::SelectPlugin(first.instance));
            ctx.run(Verb::InjectFaults);
        }
    }
    if let Some(every) = ctx.snapshot_every() {
        ui.add_space(4.0);
        let line = entry(Verb::Snapshots);
        let response = chip(ui, true, &format!("Snapshots: {every}"), Tone::Accent);
        if response.hint(line.tooltip).clicked() {
            ctx.run(Verb::Snapshots);
        }
    }
}

fn divider(ui: &mut Ui) {
    let tokens = theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(13.0, 20.0), egui::Sense::hover());
    ui.painter().vline(rect.center().x, rect.y_range(), Stroke::new(1.0, tokens.separator));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_keep_their_numbers() {
        fn check(name: &str, expected: &str) {
            assert_eq!(numbered(name), expected);
        }
        check("replay of shop.mcap", "#1 of shop.mcap");
        check("replay 12 of shop.mcap", "#12 of shop.mcap");
        check("replay me.mcap", "replay me.mcap");
        check("shop.mcap", "shop.mcap");
    }

    #[test]
    fn times_read_like_a_clock() {
        fn check(seconds: u64, expected: &str) {
            assert_eq!(minutes_of(Duration::from_secs(seconds)), expected);
        }
        check(0, "0:00");
        check(61, "1:01");
        check(3599, "59:59");
        check(3661, "1:01:01");
    }
}
