//! Paints permissions, limits and denials of the chosen plugin.

use egui::{Align, Grid, ScrollArea, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::manifest::{Isolation, LimitKind, Tier};
use glovebox_abi::text::inert;
use glovebox_host::{
    CompiledBy, Decision, Enforcement, Growth, PermissionStatus, PluginStatus, PolicyMode, Standing,
};
use glovebox_inspector::store::Denial;

use super::model::{Editing, State, changed};
use super::{faults, sandbox};
use crate::window::buttons::empty;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::panels::allow::{allow_button, asks};
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{
    badge, chip, flow, headings, icon_text, label, named_field, section, separator,
};
use crate::workbench::{Command, why_not_allowed};

/// Paints the policy of the chosen plugin.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let Some(plugin) = ctx.chosen_plugin() else {
        let words = ("No plugin loaded", "Its permissions and limits appear here");
        return empty(ui, ctx, icon::ICON_SHIELD, words, Some(Verb::OpenPlugin));
    };
    ScrollArea::both().id_salt("policy").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(12.0).show(ui, |ui| {
            mode(ui, ctx, plugin);
            sandbox::place(ui, ctx, plugin);
            waiting(ui, ctx, plugin);
            permissions(ui, ctx, plugin);
            separator(ui);
            limits(ui, ctx, plugin, state);
            separator(ui);
            faults::show(ui, ctx, plugin, &mut state.fault);
            separator(ui);
            sandbox::layers(ui, plugin);
            denials(ui, ctx, plugin, &state.denials);
        });
    });
}

const MODES: [(PolicyMode, &str, &str); 5] = [
    (
        PolicyMode::Consent,
        "Consent",
        "Grants what manifests ask for, and asks about files, network and environment",
    ),
    (
        PolicyMode::AsDeclared,
        "As declared",
        "Grants all that manifests ask for, files, network and environment too",
    ),
    (PolicyMode::Strict, "Strict", "Grants log, metric and config; all else is allowed one by one"),
    (PolicyMode::Ask, "Ask", "Strict, and tells when a plugin wants more"),
    (PolicyMode::Record, "Record", "Consent, and keeps every wish, to suggest permissions"),
];

fn mode(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    ui.horizontal(|ui| {
        ui.label(
            plain(plugin.manifest.title())
                .font(theme::strong(15.0))
                .color(theme::of(ui).text_strong),
        );
        if let Some(twin) = ctx.twin_name(plugin) {
            ui.label(plain(twin).color(theme::of(ui).text_weak));
        }
        badge(ui, plugin.tier.name(), Tone::Neutral);
        badge(ui, plugin.isolation.name(), Tone::Neutral);
        if let Some(compiler @ (CompiledBy::Quick | CompiledBy::QuickFirst)) = &plugin.compiler {
            badge(ui, "quick code", Tone::Neutral).hint(format!("Its compiler: {compiler}"));
        }
    });
    flow(ui, |ui| {
        ui.label(plain("Policy of all plugins").color(theme::of(ui).text_weak));
        for (mode, name, means) in MODES {
            let chip = chip(ui, ctx.policy_mode() == mode, name, Tone::Accent);
            if chip.hint(means).clicked() {
                ctx.command(Command::SetPolicyMode(mode));
            }
        }
    });
    ui.add_space(8.0);
}

/// A new generation that asks for more, and the decisions that it waits for.
fn waiting(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    let growth = plugin.refused.iter().flat_map(|refused| &refused.waits_for);
    let growth: Vec<_> = growth.collect();
    if growth.is_empty() {
        return;
    }
    let (tokens, id) = (theme::of(ui), &plugin.manifest.plugin.id);
    section(ui, "A new version waits", |_| {});
    let text = format!(
        "It asks for more than was agreed to. Generation {} serves until all of this is decided; \
         with what is denied, the new one has to do without",
        plugin.generation
    );
    ui.label(plain(text).color(tokens.text_weak));
    for Growth { permission, request, .. } in growth {
        ui.horizontal(|ui| {
            badge(ui, "waits", Tone::Warn);
            ui.label(plain(permission.name()).color(tokens.text_strong));
            ui.label(asks(request));
            allow_button(ui, ctx, "waits", plugin, *permission);
            let deny = ui.small_button("Deny");
            let deny = label(deny, format!("Deny {permission} to {id}"));
            if deny.clicked() {
                ctx.command(Command::Decide(plugin.instance, *permission, Decision::Deny));
            }
        });
    }
    ui.add_space(8.0);
}

/// The columns of the table of permissions, with their widths in points.
const COLUMNS: [(&str, f32); 6] = [
    ("permission", 96.0),
    ("asked", 40.0),
    ("decision", 120.0),
    ("in effect", 148.0),
    ("used", 48.0),
    ("denied", 48.0),
];
/// The least room for a reason.
const REASON: f32 = 200.0;

fn permissions(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus) {
    let tokens = theme::of(ui);
    section(ui, "Permissions", |_| {});
    // The part that is seen, however wide the rows are.
    let room = (ui.clip_rect().width() - 24.0).max(REASON);
    let numbers = COLUMNS.len() - 2..;
    cells(ui, |ui, column| {
        let title = plain(COLUMNS[column].0).font(theme::medium(11.0)).color(tokens.text_weak);
        match numbers.contains(&column) {
            true => in_right(ui, title),
            false => drop(ui.label(title)),
        }
    });
    // Those that are asked for are the ones to decide about.
    let (asked, others): (Vec<_>, Vec<_>) = plugin.permissions.iter().partition(|one| one.asked);
    for status in asked.into_iter().chain(others) {
        cells(ui, |ui, column| permission(ui, ctx, plugin, status, column));
        ui.scope(|ui| {
            ui.set_max_width(room);
            let (why, full) = reason(plugin, status);
            // Nothing of it is cut: the remedy stands at its end.
            let label = ui.add(egui::Label::new(paragraph(why).color(tokens.text_weak)).wrap());
            if let Some(full) = full {
                label.hint(full);
            }
        });
        ui.add_space(4.0);
    }
}

/// Why a permission is in effect or not, and what to do; in full, if that is much longer.
fn reason(plugin: &PluginStatus, status: &PermissionStatus) -> (String, Option<String>) {
    let full = match status.parameters().as_str() {
        "" => status.explanation.clone(),
        parameters => format!("{parameters}: {}", status.explanation),
    };
    let by_rules = status.decision == Decision::AsDeclared;
    match why_not_allowed(plugin, status.permission).filter(|_| by_rules) {
        Some(why_not) => (why_not, Some(full)),
        None => (full, None),
    }
}

/// Paints the cells of a row of the table of permissions.
fn cells(ui: &mut Ui, mut paint: impl FnMut(&mut Ui, usize)) {
    ui.horizontal(|ui| {
        for (column, (_, width)) in COLUMNS.iter().enumerate() {
            let size = egui::vec2(*width, ui.spacing().interact_size.y);
            let layout = egui::Layout::left_to_right(Align::Center);
            ui.allocate_ui_with_layout(size, layout, |ui| {
                ui.set_min_width(*width);
                paint(ui, column);
            });
        }
    });
}

/// A cell of the table of permissions.
fn permission(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    plugin: &PluginStatus,
    status: &PermissionStatus,
    column: usize,
) {
    let tokens = theme::of(ui);
    match column {
        0 => {
            ui.label(plain(status.permission.name()).color(tokens.text_strong))
                .hint(status.permission.allows());
        }
        1 => drop(ui.label(if status.asked { "yes" } else { "no" })),
        2 => decision(ui, ctx, plugin, status),
        3 => {
            match status.standing {
                Standing::Granted if status.no_effect.is_some() => {
                    badge(ui, "no effect", Tone::Warn).hint(status.no_effect.unwrap_or_default())
                }
                Standing::Granted if status.asks_more => badge(ui, "in part", Tone::Warn),
                Standing::Granted => badge(ui, "granted", Tone::Good),
                Standing::Asking => badge(ui, "asking", Tone::Warn),
                Standing::Denied if status.asked => badge(ui, "not granted", Tone::Warn),
                Standing::Denied => badge(ui, "not granted", Tone::Neutral),
            };
            if status.standing == Standing::Asking || status.asks_more {
                allow_button(ui, ctx, "permission", plugin, status.permission);
            }
        }
        4 => number(ui, status.uses),
        _ => number(ui, status.denials),
    }
}

/// The decision of a person; what is not asked for cannot be allowed.
fn decision(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, status: &PermissionStatus) {
    let mut decision = status.decision;
    let name = |decision| match decision {
        Decision::AsDeclared => "By the rules",
        Decision::Allow => "Allow",
        Decision::Deny => "Deny",
    };
    let response = egui::ComboBox::from_id_salt(("decision", status.permission))
        .width(104.0)
        .selected_text(name(decision))
        .show_ui(ui, |ui| {
            for choice in [Decision::AsDeclared, Decision::Allow, Decision::Deny] {
                let why_not = why_not_allowed(plugin, status.permission);
                let why_not = why_not.filter(|_| choice == Decision::Allow);
                let entry = ui.add_enabled_ui(why_not.is_none(), |ui| {
                    ui.selectable_value(&mut decision, choice, name(choice))
                });
                entry.inner.hint_when_disabled(why_not.unwrap_or_default());
            }
        })
        .response;
    named_field(response, &format!("Decision about {}", status.permission));
    if decision != status.decision {
        ctx.command(Command::Decide(plugin.instance, status.permission, decision));
    }
}

fn number(ui: &mut Ui, value: u64) {
    let tokens = theme::of(ui);
    let color = if value > 0 { tokens.text } else { tokens.text_faint };
    in_right(ui, plain(thousands(value)).color(color));
}

fn in_right(ui: &mut Ui, text: egui::RichText) {
    ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| ui.label(text));
}

fn limits(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, state: &mut State) {
    let tokens = theme::of(ui);
    section(ui, "Limits", |ui| {
        ui.label(plain("click a value to change it").small().color(tokens.text_weak));
    });
    Grid::new("limits").num_columns(5).spacing([16.0, 6.0]).show(ui, |ui| {
        headings(ui, &["limit", "value", "from", "hits", "enforcement"]);
        for status in &plugin.limit_status {
            let limit = status.limit;
            ui.label(plain(limit.name()).color(tokens.text_strong));
            value(ui, ctx, plugin, (limit, &limit.show_limit(status.value)), state);
            let color = if status.is_lowered() { tokens.warn } else { tokens.text_weak };
            let from = ui.label(plain(status.explanation()).color(color));
            if let Some(ceiling) = status.ceiling {
                let ceiling = limit.show(ceiling);
                from.hint(format!(
                    "the ceiling of the host is {ceiling}; raise it under [ceilings] of the policy"
                ));
            }
            number(ui, status.hits);
            match status.enforcement {
                Enforcement::Enforced => badge(ui, "enforced", Tone::Good),
                Enforcement::NotAvailable(why) => badge(ui, "not available", Tone::Warn).hint(why),
            };
            ui.end_row();
        }
    });
}

fn value(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    plugin: &PluginStatus,
    (limit, shown): (LimitKind, &str),
    state: &mut State,
) {
    let is_it = |one: &&mut Editing| (one.instance, one.limit) == (plugin.instance, limit);
    let Some(Editing { text, .. }) = state.editing.as_mut().filter(is_it) else {
        let response = ui.add(egui::Button::new(shown).min_size(egui::vec2(96.0, 0.0)));
        let response = label(response, format!("Change {limit}: {shown}"));
        if response.clicked() {
            let text = shown.to_owned();
            state.editing = Some(Editing { instance: plugin.instance, limit, text });
        }
        return;
    };
    let changed = changed(plugin, limit, text);
    let field =
        egui::TextEdit::singleline(text).desired_width(88.0).text_color_opt(match changed {
            Ok(_) => None,
            Err(_) => Some(theme::of(ui).bad),
        });
    let response = named_field(ui.add(field), &format!("Limit {limit}"));
    if !response.has_focus() && !response.lost_focus() {
        response.request_focus();
    }
    let response = match &changed {
        Ok(_) => response,
        Err(error) => response.hint(error),
    };
    if response.lost_focus() {
        let taken = ui.input(|input| input.key_pressed(egui::Key::Enter));
        if let (true, Ok(limits)) = (taken, changed) {
            ctx.command(Command::SetLimits(plugin.instance, Box::new(limits)));
        }
        state.editing = None;
    }
}

/// The words for a plugin of which no denial is known: nobody counts what a sandbox of the kernel
/// refuses to machine code.
fn nothing_denied(tier: Tier, isolation: Isolation) -> &'static str {
    match (tier, isolation) {
        (Tier::Native, Isolation::InProcess) => {
            "No host call was denied live so far; nothing holds it to that in this process"
        }
        (Tier::Native | Tier::Container, _) => {
            "No host call was denied live so far; what the sandbox refuses is not counted"
        }
        _ => "Nothing was denied to this plugin live so far",
    }
}

fn denials(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, denials: &[Denial]) {
    let tokens = theme::of(ui);
    section(ui, "Denied live", |ui| {
        ui.label(plain(denials.len().to_string()).color(tokens.text_weak));
    });
    if denials.is_empty() {
        let text = nothing_denied(plugin.tier, plugin.isolation);
        ui.add(egui::Label::new(plain(text).color(tokens.text_weak)).wrap());
    }
    for denial in denials {
        ui.horizontal(|ui| {
            ui.label(icon_text(icon::ICON_BLOCK, 14.0).color(tokens.warn));
            let call = denial
                .call
                .map_or_else(|| "outside calls".to_owned(), |call| format!("in call {call}"));
            ui.label(plain(format!(
                "{}{}{} needs the permission {}, {call}",
                denial.service,
                if denial.parameter.is_empty() { "" } else { " " },
                inert(&denial.parameter),
                denial.permission
            )));
            // The drawer may list the same denial.
            let row = ("policy", denial.at, denial.call);
            allow_button(ui, ctx, row, plugin, denial.permission);
        });
    }
}
