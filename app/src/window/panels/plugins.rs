//! The loaded plugins: phase, generation, p99.

use std::time::Duration;

use egui::{Align, Rect, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::units::show_duration;
use glovebox_host::{CallLatency, PluginStatus};

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
    let has_twins = shown.iter().any(|plugin| ctx.twin_name(plugin).is_some());
    let height = if has_twins { HEIGHT_OF_TWINS } else { HEIGHT };
    ui.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::vertical().id_salt("plugins").auto_shrink([false, false]).show_rows(
        ui,
        height,
        shown.len(),
        |ui, range| {
            for plugin in &shown[range] {
                line(ui, ctx, plugin, (chosen == Some(plugin.instance), height), out);
            }
        },
    );
}

/// Height of a row, and with the file of a plugin whose id another one has, too.
const HEIGHT: f32 = 40.0;
const HEIGHT_OF_TWINS: f32 = 57.0;

/// What 99 of 100 calls of an instance took at most, as far as it is counted.
fn p99(latency: &CallLatency) -> Option<String> {
    let count = latency.count();
    let enough = |(_, calls): &(Duration, u64)| calls * 100 >= count * 99;
    (count > 0).then(|| match latency.at_most().find(enough) {
        Some((bound, _)) => format!("p99 ≤ {}", show_duration(bound)),
        None => "p99 > 10 s".to_owned(),
    })
}

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

fn line(
    ui: &mut Ui,
    ctx: ViewCtx<'_>,
    plugin: &PluginStatus,
    (chosen, height): (bool, f32),
    out: &mut Actions,
) {
    let tokens = theme::of(ui);
    let about = &plugin.manifest.plugin;
    let twin = ctx.twin_name(plugin);
    let Standing { tone, picture, text: stands, reason } = standing(plugin);
    let mut name = format!(
        "{} {} {} generation {}",
        ctx.name_of(plugin),
        about.version,
        plugin.phase,
        plugin.generation
    );
    if let Some(reason) = &reason {
        name.push_str(&format!(", {reason}"));
    }
    let (rect, response) = row(ui, height, chosen, &name);
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
    let second = first.translate(vec2(0.0, 17.0));
    let mut text = stands;
    if plugin.queue_depth > 0 {
        text.push_str(&format!(" · {} waiting", plugin.queue_depth));
    }
    let width = text_in(
        ui,
        second,
        Align::Min,
        &text,
        body.clone(),
        match picture {
            Some(_) => tokens.tone(tone),
            None => tokens.text_weak,
        },
    );
    // How it stands needs the room first.
    if let Some(text) = p99(&plugin.latency) {
        let rest = second.with_min_x(second.left() + width + 8.0);
        let layout = ui.painter().layout_no_wrap(text.clone(), body.clone(), tokens.text_weak);
        if layout.size().x <= rest.width() {
            text_in(ui, rest, Align::Max, &text, body.clone(), tokens.text_weak);
        }
    }
    if let Some(twin) = &twin {
        let third = second.translate(vec2(0.0, 17.0));
        text_in(ui, third, Align::Min, twin, body, tokens.text_weak);
    }
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
