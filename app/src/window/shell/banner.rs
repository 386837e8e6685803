//! A line above everything else while machine code in this process does not come back.

use std::time::Duration;

use egui::Ui;
use egui_material_icons::icons as icon;
use glovebox_abi::manifest::{Isolation, Tier};
use glovebox_host::PluginStatus;

use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tone};
use crate::window::widgets::icon_text;
use crate::window::widgets::text::plain;
use crate::workbench::{Command, ViewCtx};

/// A call that takes longer is worth a word.
const LONG: Duration = Duration::from_secs(1);

/// The plugin whose call in this process takes longest, if that is long.
pub(super) fn stuck<'a>(view: ViewCtx<'a>) -> Option<(&'a PluginStatus, Duration)> {
    let here = view
        .plugins()
        .iter()
        .filter(|plugin| plugin.tier == Tier::Native && plugin.isolation == Isolation::InProcess);
    let calls = here.filter_map(|plugin| Some((plugin, plugin.call_under_way?)));
    calls.filter(|(_, taken)| *taken >= LONG).max_by_key(|(_, taken)| *taken)
}

/// Paints it, with the ways out.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, taken: Duration) {
    let tokens = theme::of(ui);
    ui.horizontal_centered(|ui| {
        ui.label(icon_text(icon::ICON_HOURGLASS_TOP, 16.0).color(tokens.tone(Tone::Warn)));
        let text = format!(
            "{} has been in a call for {} s in this process, where nothing can stop it",
            ctx.view.name_of(plugin),
            taken.as_secs()
        );
        ui.label(plain(text).color(tokens.tone(Tone::Warn)));
        let instance = plugin.instance;
        let is_moving = ctx.view.is_moving(instance);
        let name = if is_moving { "Moves once the call returns" } else { "Move to worker" };
        if ui.add_enabled(!is_moving, egui::Button::new(name)).clicked() {
            ctx.command(Command::Move { instance, to: Isolation::Process });
        }
    });
}
