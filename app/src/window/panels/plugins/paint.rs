//! Paints the list of plugins.

use egui::{Align, Rect, Role, ScrollArea, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::manifest::Isolation;
use glovebox_events::Binding;
use glovebox_host::{PluginStatus, Supervision};

use super::model::{State, matches, p99};
use crate::window::action::Change;
use crate::window::buttons::empty;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::ids::PanelId;
use crate::window::look::{Standing, missing_layers, place, standing, without_effect};
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, line as in_one_line, plain};
use crate::window::widgets::{
    icon_button, icon_font, name_in, put_over, row, search_field, section, text_in,
};
use crate::workbench::Command;

/// Height of a row: two lines.
const HEIGHT: f32 = 40.0;
/// Width of the button that restarts a plugin.
const RESTART: f32 = 64.0;

/// Paints the list of plugins.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    section(ui, "Plugins", |ui| {
        if icon_button(ui, icon::ICON_ADD, "Open plugin (Ctrl+O)", true).clicked() {
            ctx.run(Verb::OpenPlugin);
        }
        ui.label(plain(ctx.plugins().len().to_string()).color(theme::of(ui).text_weak));
    });
    if ctx.plugins().is_empty() {
        let words = ("No plugins", "Open an artifact or a plugin.toml");
        return empty(ui, ctx, icon::ICON_EXTENSION, words, Some(Verb::OpenPlugin));
    }
    search_field(ui, &mut state.search, "Search plugins", "Search plugins");
    ui.add_space(2.0);
    let words = state.search.to_lowercase();
    let chosen = ctx.selection.plugin(ctx.view);
    let shown: Vec<_> = ctx.plugins().iter().filter(|plugin| matches(plugin, &words)).collect();
    if shown.is_empty() {
        ui.label(plain("No plugin has these words").color(theme::of(ui).text_weak));
    }
    ui.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::vertical().id_salt("plugins").auto_shrink([false, false]).show_rows(
        ui,
        HEIGHT,
        shown.len(),
        |ui, range| {
            for plugin in &shown[range] {
                line(ui, ctx, plugin, chosen == Some(plugin.instance));
            }
        },
    );
}

fn line(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, chosen: bool) {
    let tokens = theme::of(ui);
    let about = &plugin.manifest.plugin;
    let Standing { tone, picture, text: stands, reason } = standing(ctx.view, plugin);
    let mut name = format!(
        "{} {} {} generation {}",
        ctx.name_of(plugin),
        about.version,
        plugin.phase,
        plugin.generation
    );
    if let Some(place) = place(plugin) {
        name.push_str(&format!(" {place}"));
    }
    let missing = missing_layers(plugin).or_else(|| without_effect(plugin));
    if let Some(missing) = &missing {
        name.push_str(&format!(", {missing}"));
    }
    if let Some(reason) = &reason {
        name.push_str(&format!(", {reason}"));
    }
    name.push_str(&format!(", {}", p99(ctx.view, plugin)));
    let (rect, response) = row(ui, HEIGHT, chosen, &name);
    if tone == Tone::Bad {
        if !chosen {
            ui.painter().rect_filled(rect, 4.0, tokens.tone_subtle(tone));
        }
        let mut edge = rect;
        edge.set_width(2.0);
        ui.painter().rect_filled(edge, 0.0, tokens.tone(tone));
    }
    let inner = rect.shrink2(vec2(8.0, 3.0));
    let dot = pos2(inner.left() + 4.0, inner.top() + 9.0);
    match picture {
        Some(picture) => {
            let place = Rect::from_center_size(dot, vec2(14.0, 14.0));
            let color = tokens.tone(tone);
            text_in(ui, place, Align::Center, picture.codepoint, icon_font(14.0), color);
        }
        None => {
            ui.painter().circle_filled(dot, 4.0, tokens.tone(tone));
        }
    }
    let mut first = inner;
    first.set_left(inner.left() + 16.0);
    first.set_height(17.0);
    let body = egui::TextStyle::Body.resolve(ui.style());
    let Supervision { is_stopped, next_attempt, .. } = plugin.supervision;
    let may_restart = is_stopped || next_attempt.is_some();
    let version = about.version.to_string();
    let at_end = match may_restart {
        // In place of the version: the other line says why.
        true => restart(ui, ctx, plugin, first),
        false => {
            let half = first.with_min_x(first.center().x);
            text_in(ui, half, Align::Max, &version, body.clone(), tokens.text_weak)
        }
    };
    let mut id = first;
    id.set_right(first.right() - at_end - 8.0);
    // The version stands at the end already, unless the button does.
    let says_version = !may_restart && ctx.twin_name(plugin).as_ref() == Some(&version);
    let shown = if says_version { about.id.clone() } else { ctx.name_of(plugin) };
    name_in(ui, id, &shown, theme::medium(12.5), tokens.text_strong);
    let second = first.translate(vec2(0.0, 17.0));
    let mut text = stands;
    if let Some(place) = place(plugin) {
        text.push_str(&format!(" · {place}"));
    }
    if plugin.queue_depth > 0 {
        text.push_str(&format!(" · {} waiting", plugin.queue_depth));
    }
    let stands = format!("{text}, {}", p99(ctx.view, plugin));
    // Trouble needs the room first; otherwise the figure does, and the text beside the pointer has all.
    let figure = p99(ctx.view, plugin);
    let layout = ui.painter().layout_no_wrap(figure.clone(), body.clone(), tokens.text_weak);
    let mut first_part = second;
    if picture.is_none() {
        first_part.set_right(second.right() - layout.size().x - 8.0);
    }
    let width = text_in(
        ui,
        first_part,
        Align::Min,
        &text,
        body.clone(),
        match picture {
            Some(_) => tokens.tone(tone),
            None => tokens.text_weak,
        },
    );
    let rest = second.with_min_x(second.left() + width + 8.0);
    if layout.size().x <= rest.width() + 0.5 {
        text_in(ui, rest, Align::Max, &figure, body, tokens.text_weak);
    }
    if response.clicked() {
        ctx.change(Change::SelectPlugin(plugin.instance));
    }
    let more = match reason.as_ref().or(missing.as_ref()) {
        Some(fault) => fault,
        None => &about.description,
    };
    let response = match more.is_empty() {
        true => response.hint(&stands),
        false => response.hint(format!("{stands}\n{more}")),
    };
    response.context_menu(|ui| menu(ui, ctx, plugin));
}

/// A button at the right end of a line that restarts a plugin; gives its width.
fn restart(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, line: Rect) -> f32 {
    let text = plain("Restart").font(theme::medium(11.5));
    let place = line.with_min_x(line.right() - RESTART);
    let response = put_over(ui, place, egui::Button::new(text).small().truncate());
    let name = format!("Restart {}", ctx.name_of(plugin));
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, in_one_line(&name)));
    if response.clicked() {
        ctx.command(Command::Restart(plugin.instance));
    }
    RESTART
}

fn menu(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    let (id, about) = (plugin.instance, &plugin.manifest.plugin);
    let reload = |carry_state| Command::Reload { instance: id, carry_state };
    if ui.button("Reload").clicked() {
        ctx.command(reload(true));
    }
    if ui.button("Reload cold").clicked() {
        ctx.command(reload(false));
    }
    if ui.button("Restart").clicked() {
        ctx.command(Command::Restart(id));
    }
    for (name, verb) in
        [("Save failure bundle…", Verb::SaveBundle), ("Copy debugger command", Verb::CopyDebugger)]
    {
        let enabled = verb == Verb::SaveBundle || !plugin.processes.is_empty();
        if ui.add_enabled(enabled, egui::Button::new(name)).clicked() {
            ctx.change(Change::SelectPlugin(id));
            ctx.run(verb);
        }
    }
    if plugin.binding == Binding::Native {
        let (name, to) = match plugin.isolation {
            Isolation::InProcess => ("Move to worker", Isolation::Process),
            _ => ("Run in this process (trust)…", Isolation::InProcess),
        };
        if ui.button(name).clicked() {
            ctx.command(Command::Move { instance: id, to });
        }
    }
    if ui.button("Compare…").clicked() {
        ctx.change(Change::SelectPlugin(id));
        ctx.run(Verb::Compare);
    }
    let watch =
        if plugin.watching { "Stop reloading automatically" } else { "Reload automatically" };
    if ui.button(watch).clicked() {
        ctx.command(Command::Watch(id, !plugin.watching));
    }
    ui.separator();
    // The filter knows plugins, not their instances.
    let only = match ctx.view.twin_name(plugin) {
        Some(_) => format!("Only frames of all instances of {}", about.id),
        None => "Only its frames".to_owned(),
    };
    if ui.button(plain(only)).clicked() {
        ctx.change(Change::Filter(format!("plugin:{}", about.id)));
    }
    if ui.button("Show its policy").clicked() {
        ctx.change(Change::SelectPlugin(id));
        ctx.change(Change::Show(PanelId::Policy));
    }
    for verb in [Verb::InjectFaults, Verb::ToggleFaults] {
        let faults = ctx.faults(id).filter(|faults| !faults.all.is_empty());
        let (name, enabled) = match (verb, faults) {
            (Verb::ToggleFaults, Some(faults)) if faults.is_on => ("Switch faults off", true),
            (Verb::ToggleFaults, faults) => ("Switch faults on", faults.is_some()),
            _ => ("Inject faults…", true),
        };
        if ui.add_enabled(enabled, egui::Button::new(name)).clicked() {
            ctx.change(Change::SelectPlugin(id));
            ctx.run(verb);
        }
    }
    ui.separator();
    if ui.button("Unload").clicked() {
        ctx.command(Command::Unload(id));
    }
}
