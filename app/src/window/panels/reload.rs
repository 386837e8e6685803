//! The generations of the chosen plugin: put a new one in place, go back, watch.

use egui::{Grid, ScrollArea, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::units::show_duration;
use glovebox_host::PluginStatus;
use glovebox_inspector::store::Reload;

use super::drawer::clock;
use crate::window::action::Actions;
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{paragraph, plain};
use crate::window::widgets::{
    Standing, badge, empty, fact, phase_tone, section, separator, standing, verb_button,
};
use crate::workbench::{Command, Source, ViewCtx};

/// Paints the generations of the chosen plugin.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let plugin = state.selection.plugin(ctx).and_then(|id| ctx.plugin(id));
    let Some(plugin) = plugin else {
        let hint = "Its generations appear here";
        return empty(
            ui,
            icon::ICON_AUTORENEW,
            "No plugin loaded",
            hint,
            Some(Verb::OpenPlugin),
            &Situation::default(),
            out,
        );
    };
    ScrollArea::vertical().id_salt("reload").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(12.0).show(ui, |ui| {
            head(ui, ctx, plugin, out);
            separator(ui);
            history(ui, ctx, plugin);
        });
    });
}

fn head(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus, out: &mut Actions) {
    let tokens = theme::of(ui);
    ui.horizontal(|ui| {
        ui.label(
            plain(plugin.manifest.title()).font(theme::strong(15.0)).color(tokens.text_strong),
        );
        if let Some(twin) = ctx.twin_name(plugin) {
            ui.label(plain(twin).color(tokens.text_weak));
        }
        badge(ui, plugin.phase.name(), phase_tone(plugin.phase));
    });
    ui.add_space(4.0);
    fact(ui, "Generation", plugin.generation.to_string());
    fact(ui, "Version", plugin.manifest.plugin.version.to_string());
    fact(ui, "Binding", plugin.binding.name());
    if let Some(path) = &plugin.path {
        fact(ui, "Artifact", path.display().to_string());
    }
    if !plugin.digest.is_empty() {
        fact(ui, "Digest", plugin.digest.chars().take(16).collect::<String>());
    }
    let state = match plugin.manifest.state.version {
        Some(version) => format!("version {version}, carried over on reload"),
        None => "none declared".to_owned(),
    };
    fact(ui, "State", state);
    let Standing { tone, reason, .. } = standing(plugin);
    if let Some(reason) = reason {
        ui.label(paragraph(reason).color(tokens.tone(tone)));
    }
    ui.add_space(8.0);
    let now = Situation {
        plugin: true,
        can_roll_back: plugin.can_roll_back,
        baseline: ctx.baseline().is_some(),
        replay: ctx.replay().is_some(),
        ..Situation::default()
    };
    ui.horizontal_wrapped(|ui| {
        for verb in [Verb::Reload, Verb::ReloadCold, Verb::RollBack, Verb::Loop] {
            verb_button(ui, verb, &now, out);
        }
    });
    let mut watching = plugin.watching;
    if ui.checkbox(&mut watching, "Reload whenever the artifact changes").changed() {
        out.command(Command::Watch(plugin.instance, watching));
    }
}

fn history(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus) {
    let tokens = theme::of(ui);
    let id = plugin.manifest.plugin.id.as_str();
    let reloads = ctx.read(Source::Live, |store| {
        let mut reloads: Vec<_> = store.reloads(id).cloned().collect();
        reloads.reverse();
        reloads.truncate(200);
        reloads
    });
    let reloads = reloads.unwrap_or_default();
    section(ui, "History", |ui| {
        ui.label(plain(reloads.len().to_string()).color(tokens.text_weak));
    });
    if reloads.is_empty() {
        let text = "No reload yet; every one is listed here with its cause and how long it took";
        ui.label(plain(text).color(tokens.text_weak));
        return;
    }
    grid(ui, "reloads", &reloads, false);
}

/// Reloads as a table; also used by the drawer.
pub(super) fn grid(ui: &mut Ui, name: &str, reloads: &[Reload], with_plugin: bool) {
    let tokens = theme::of(ui);
    Grid::new(name).num_columns(6).spacing([16.0, 4.0]).show(ui, |ui| {
        let plugin = if with_plugin { "plugin" } else { "" };
        for name in ["time", plugin, "generation", "cause", "duration", "outcome"] {
            ui.label(plain(name).font(theme::medium(11.0)).color(tokens.text_weak));
        }
        ui.end_row();
        for reload in reloads {
            ui.label(clock(reload.at));
            ui.label(plain(if with_plugin { &*reload.plugin } else { "" }));
            ui.label(reload.generation.to_string());
            ui.label(reload.cause.name());
            ui.label(show_duration(reload.took));
            match &reload.result {
                Ok(done) => {
                    let state = match done.state_version {
                        Some(version) => format!(", state {version} carried over"),
                        None => String::new(),
                    };
                    ui.horizontal(|ui| {
                        badge(ui, "took over", Tone::Good);
                        ui.label(plain(format!("version {}{state}", done.version)));
                    });
                }
                Err(refused) => {
                    ui.horizontal(|ui| {
                        badge(ui, "refused", Tone::Bad);
                        ui.label(plain(format!("{}: {}", refused.stage, refused.message)));
                    });
                }
            }
            ui.end_row();
        }
    });
}
