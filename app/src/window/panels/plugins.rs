//! The loaded plugins: phase, generation, p99.

use egui::{Align, Rect, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::units::show_duration;
use glovebox_host::PluginStatus;

use crate::window::action::{Actions, Change};
use crate::window::commands::{Situation, Verb};
use crate::window::panels::PanelId;
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{
    Standing, empty, icon_button, icon_font, row, search_field, section, standing, text_in,
};
use crate::workbench::{Command, ViewCtx};

/// What the list of plugins remembers.
#[derive(Debug, Default)]
pub struct State {
    search: String,
}

/// Paints the list of plugins.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    section(ui, "Plugins", |ui| {
        if icon_button(ui, icon::ICON_ADD, "Open plugin (Ctrl+O)", true).clicked() {
            out.run(Verb::OpenPlugin);
        }
        ui.label(plain(ctx.plugins().len().to_string()).color(theme::of(ui).text_weak));
    });
    if ctx.plugins().is_empty() {
        let hint = "Open an artifact or a plugin.toml";
        return empty(
            ui,
            icon::ICON_EXTENSION,
            "No plugins",
            hint,
            Some(Verb::OpenPlugin),
            &Situation::default(),
            out,
        );
    }
    search_field(ui, &mut state.panels.plugins.search, "Search plugins", "Search plugins");
    ui.add_space(2.0);
    let words = state.panels.plugins.search.to_lowercase();
    let chosen = state.selection.plugin(ctx);
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
                line(ui, ctx, plugin, chosen == Some(plugin.instance), out);
            }
        },
    );
}

const HEIGHT: f32 = 40.0;

fn matches(plugin: &PluginStatus, words: &str) -> bool {
    let about = &plugin.manifest.plugin;
    let found = |word: &str| {
        about.id.contains(word)
            || about.name.to_lowercase().contains(word)
            || about.category.to_lowercase().contains(word)
            || plugin.phase.name().contains(word)
            || plugin.tier.name().contains(word)
    };
    words.split_whitespace().all(found)
}

fn line(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus, chosen: bool, out: &mut Actions) {
    let tokens = theme::of(ui);
    let about = &plugin.manifest.plugin;
    let Standing { tone, picture, text: stands, reason } = standing(plugin);
    let mut name =
        format!("{} {} {} generation {}", about.id, about.version, plugin.phase, plugin.generation);
    if let Some(reason) = &reason {
        name.push_str(&format!(", {reason}"));
    }
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
    text_in(ui, first, Align::Min, &about.id, theme::medium(12.5), tokens.text_strong);
    text_in(ui, first, Align::Max, &about.version.to_string(), body.clone(), tokens.text_weak);
    let mut second = first.translate(vec2(0.0, 17.0));
    let figures = ctx.metrics().generations.iter();
    let figures = figures
        .rev()
        .find(|figures| *figures.plugin == *about.id && figures.generation == plugin.generation);
    // What is wrong needs the room.
    let figures = figures.filter(|figures| figures.latency.count > 0 && picture.is_none());
    if let Some(figures) = figures {
        let text = format!("p99 {}", show_duration(figures.latency.p99));
        let width = text_in(ui, second, Align::Max, &text, body.clone(), tokens.text_weak);
        second.set_width(second.width() - width - 8.0);
    }
    let mut text = stands;
    if plugin.queue_depth > 0 {
        text.push_str(&format!(" · {} waiting", plugin.queue_depth));
    }
    text_in(
        ui,
        second,
        Align::Min,
        &text,
        body,
        match picture {
            Some(_) => tokens.tone(tone),
            None => tokens.text_weak,
        },
    );
    if response.clicked() {
        out.view(Change::SelectPlugin(plugin.instance));
    }
    let response = match &reason {
        Some(fault) => response.hint(fault),
        None if about.description.is_empty() => response,
        None => response.hint(&about.description),
    };
    let id = plugin.instance;
    response.context_menu(|ui| {
        let reload = |carry_state| Command::Reload { instance: id, carry_state };
        if ui.button("Reload").clicked() {
            out.command(reload(true));
        }
        if ui.button("Reload cold").clicked() {
            out.command(reload(false));
        }
        let watch =
            if plugin.watching { "Stop reloading automatically" } else { "Reload automatically" };
        if ui.button(watch).clicked() {
            out.command(Command::Watch(id, !plugin.watching));
        }
        ui.separator();
        if ui.button("Only its frames").clicked() {
            out.view(Change::Filter(format!("plugin:{}", about.id)));
        }
        if ui.button("Show its policy").clicked() {
            out.view(Change::SelectPlugin(id));
            out.view(Change::Show(PanelId::Policy));
        }
        ui.separator();
        if ui.button("Unload").clicked() {
            out.command(Command::Unload(id));
        }
    });
}
