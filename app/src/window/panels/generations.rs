//! The generations of the chosen plugin: put a new one in place, go back, watch.

use egui::{ScrollArea, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::units::show_duration;
use glovebox_host::{CandidateRole, CandidateStatus, InstanceId, KeptGeneration, PluginStatus};
use glovebox_inspector::store::Reload;

use super::reloads::{self, grid};
use crate::window::buttons::{empty, verb_button};
use crate::window::commands::Verb;
use crate::window::context::{Panel, PanelCtx};
use crate::window::look::{Standing, phase_tone, standing};
use crate::window::shown::Shown;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{badge, fact, flow, label, section, separator};
use crate::workbench::{Command, Reader, Source};

/// Reloads that are shown, the newest ones.
const SHOWN: usize = 200;

/// The state of the panel of generations.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Those of the chosen instance, the newest first.
    reloads: Vec<Reload>,
    /// The time from which theirs are counted, in nanoseconds since the Unix epoch.
    origin: Option<u64>,
}

impl Panel for State {
    fn take_in(&mut self, reader: Reader<'_>, shown: &Shown) {
        let chosen = shown.selection.plugin(*reader).map(InstanceId::get);
        let read = reader.read(Source::Live, |store| {
            let own = |reload: &&Reload| Some(reload.instance) == chosen;
            let all = store.reloads();
            let origin = reloads::origin(store);
            (all.iter().rev().filter(own).take(SHOWN).cloned().collect(), origin)
        });
        (self.reloads, self.origin) = read.unwrap_or_default();
    }

    fn show(&mut self, ui: &mut Ui, ctx: PanelCtx<'_>) {
        show(ui, ctx, self);
    }
}

fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &State) {
    let Some(plugin) = ctx.chosen_plugin() else {
        let words = ("No plugin loaded", "Its generations appear here");
        return empty(ui, ctx, icon::ICON_AUTORENEW, words, Some(Verb::OpenPlugin));
    };
    ScrollArea::vertical().id_salt("reload").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(12.0).show(ui, |ui| {
            head(ui, ctx, plugin);
            separator(ui);
            kept(ui, ctx, plugin);
            candidate(ui, ctx, plugin);
            section(ui, "Left of all generations", |_| {});
            reloads::remains(ui, plugin.manifest.title(), &plugin.remains);
            ui.add_space(8.0);
            history(ui, state);
        });
    });
}

fn head(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
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
    fact(ui, "Artifact", plugin.origin.to_string());
    if !plugin.digest.is_empty() {
        fact(ui, "Digest", plugin.digest.chars().take(16).collect::<String>());
    }
    let state = match plugin.manifest.state.version {
        Some(version) => format!("version {version}, carried over on reload"),
        None => "none declared".to_owned(),
    };
    fact(ui, "State", state);
    let Standing { tone, reason, .. } = standing(ctx.view, plugin);
    if let Some(reason) = reason {
        ui.label(paragraph(reason).color(tokens.tone(tone)));
    }
    ui.add_space(8.0);
    flow(ui, |ui| {
        for verb in [
            Verb::Reload,
            Verb::ReloadCold,
            Verb::Restart,
            Verb::RollBack,
            Verb::Loop,
            Verb::SaveBundle,
            Verb::CopyDebugger,
        ] {
            verb_button(ui, ctx, verb);
        }
    });
    if let Some(older) = plugin.refused.as_ref().and_then(|refused| refused.older.as_ref()) {
        let accept = ui.button(format!("Accept older version {older}"));
        if accept.clicked() {
            ctx.command(Command::AcceptOlder(plugin.instance));
        }
    }
    let mut watching = plugin.watching;
    if ui.checkbox(&mut watching, "Reload whenever the artifact changes").changed() {
        ctx.command(Command::Watch(plugin.instance, watching));
    }
}

/// The generations that are kept, and the way back to each.
fn kept(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    if plugin.kept.is_empty() {
        return;
    }
    let tokens = theme::of(ui);
    section(ui, "Kept", |ui| {
        ui.label(plain(plugin.kept.len().to_string()).color(tokens.text_weak));
    });
    for kept in plugin.kept.iter().rev() {
        let KeptGeneration { generation, version, digest, .. } = kept;
        ui.horizontal(|ui| {
            ui.label(plain(format!("generation {generation}")).color(tokens.text_strong));
            ui.label(plain(format!("version {version}")));
            let digest = digest.chars().take(16).collect::<String>();
            ui.label(plain(digest).color(tokens.text_weak));
            let back = ui.small_button("Go back");
            if label(back, format!("Go back to generation {generation}")).clicked() {
                ctx.command(Command::RollBack(plugin.instance, Some(*generation)));
            }
        });
    }
    ui.add_space(8.0);
}

/// The build that is tried beside the one that serves, and what may be done with it.
fn candidate(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    let tokens = theme::of(ui);
    section(ui, "Tried beside it", |_| {});
    let Some(tried) = &plugin.candidate else {
        flow(ui, |ui| {
            // A shadow has no effect; a canary is asked for with its file.
            let try_on_disk = ui.button("Try what is on disk as shadow");
            let hint = "It makes all calls again, without an effect, and what differs is counted";
            if try_on_disk.hint(hint).clicked() {
                let role = CandidateRole::Shadow;
                ctx.command(Command::TryBeside(plugin.instance, role, None));
            }
            verb_button(ui, ctx, Verb::TryShadow);
            verb_button(ui, ctx, Verb::TryCanary);
        });
        ui.add_space(8.0);
        return;
    };
    let CandidateStatus { generation, version, role, .. } = tried;
    fact(ui, "Generation", format!("{generation}, version {version}, as {role}"));
    fact(ui, "Calls", tried.to_string());
    if let (Some(own), Some(serving)) = (tried.median, tried.serving_median) {
        let (own, serving) = (show_duration(own), show_duration(serving));
        fact(ui, "Half of the calls", format!("up to {own}; {serving} of the serving generation"));
    }
    for difference in &tried.differences {
        let text = format!("call {}: {}", difference.call.0, difference.how);
        ui.label(paragraph(text).color(tokens.tone(Tone::Warn)));
    }
    flow(ui, |ui| {
        verb_button(ui, ctx, Verb::Promote);
        verb_button(ui, ctx, Verb::Dismiss);
    });
    ui.add_space(8.0);
}

fn history(ui: &mut Ui, State { reloads, origin }: &State) {
    let tokens = theme::of(ui);
    section(ui, "History", |ui| {
        ui.label(plain(reloads.len().to_string()).color(tokens.text_weak));
    });
    if reloads.is_empty() {
        let text = "No reload yet; every one is listed here with its cause and how long it took";
        ui.label(plain(text).color(tokens.text_weak));
        return;
    }
    grid(ui, "reloads", *origin, reloads.iter().map(|reload| (None, reload)));
}
