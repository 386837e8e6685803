//! Where the chosen plugin runs, and the layers of its sandbox.

use egui::{Grid, Ui};
use glovebox_abi::manifest::{Isolation, Tier};
use glovebox_events::Binding;
use glovebox_host::PluginStatus;
use glovebox_host::worker::{LayerState, SandboxReport};

use crate::window::buttons::verb_button;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{paragraph, plain};
use crate::window::widgets::{badge, headings, section, separator};

/// Where it runs, and the way elsewhere; nothing for WebAssembly and for a part of the application.
pub(super) fn place(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    if !matches!(plugin.tier, Tier::Native | Tier::Container) {
        return;
    }
    section(ui, "Where it runs", |_| {});
    let by = plugin.engine.map_or("an engine", |engine| engine.name());
    let (text, verb) = match plugin.isolation {
        Isolation::InProcess => {
            let text = "In this process, as trusted code, which can end or stop Glovebox";
            (text.to_owned(), Verb::MoveToWorker)
        }
        Isolation::Container => {
            let text = format!("In a container, by {by}: each of its copies has one of its own");
            (text, Verb::TrustHere)
        }
        _ => {
            let text = "In a worker: each of its copies is a sandboxed process of its own";
            (text.to_owned(), Verb::TrustHere)
        }
    };
    ui.horizontal(|ui| {
        ui.label(plain(&text).color(theme::of(ui).text));
        // A program has no other place.
        if plugin.binding == Binding::Native {
            verb_button(ui, ctx, verb);
        }
    });
    ui.add_space(8.0);
}

/// The layers of the sandbox, if it has one.
pub(super) fn layers(ui: &mut Ui, plugin: &PluginStatus) {
    let Some(sandbox) = &plugin.sandbox else { return };
    let tokens = theme::of(ui);
    section(ui, "Sandbox", |ui| {
        ui.label(plain(summary(sandbox)).small().color(tokens.text_weak));
    });
    let width = (ui.available_width() - 300.0).max(96.0);
    Grid::new("sandbox").num_columns(3).spacing([16.0, 6.0]).show(ui, |ui| {
        headings(ui, &["layer", "state", "why"]);
        for entry in &sandbox.layers {
            ui.label(plain(entry.layer.name()).color(tokens.text_strong));
            let why = match &entry.state {
                LayerState::Enforced => {
                    badge(ui, "enforced", Tone::Good);
                    String::new()
                }
                LayerState::Missing(missing) => {
                    badge(ui, "missing", Tone::Warn);
                    format!("{}; {}", missing.reason, missing.remedy)
                }
                LayerState::NotRequested => {
                    badge(ui, "not requested", Tone::Neutral);
                    "what it would forbid is permitted".to_owned()
                }
            };
            ui.scope(|ui| {
                ui.set_max_width(width);
                ui.add(egui::Label::new(paragraph(&why).color(tokens.text_weak)).wrap());
            });
            ui.end_row();
        }
    });
    separator(ui);
}

/// How many layers hold, in words.
fn summary(sandbox: &SandboxReport) -> String {
    let missing = sandbox.missing().count();
    let held = sandbox.layers.iter().filter(|it| it.state == LayerState::Enforced).count();
    match missing {
        0 => format!("all {held} layers that were asked for hold"),
        _ => format!("{held} of {} layers that were asked for hold", held + missing),
    }
}
