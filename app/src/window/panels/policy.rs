//! What the chosen plugin may do, what it must not exceed, and what it was denied.

use egui::{Align, Grid, ScrollArea, Ui};
use egui_material_icons::icons as icon;
use glovebox_abi::manifest::Limits;
use glovebox_abi::text::inert;
use glovebox_abi::units::{parse_duration, parse_size};
use glovebox_host::{
    Decision, Enforcement, Growth, InstanceId, PluginStatus, PolicyMode, Standing,
};
use glovebox_inspector::store::Denial;

use super::frames::thousands;
use crate::window::action::Actions;
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::allow::{allow_button, asks};
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{badge, chip, empty, icon_text, named_field, section, separator};
use crate::workbench::{Command, Source, ViewCtx};

/// What the policy panel remembers: the limit that is being typed.
#[derive(Debug, Default)]
pub struct State {
    editing: Option<(InstanceId, &'static str, String)>,
}

/// Paints the policy of the chosen plugin.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let plugin = state.selection.plugin(ctx).and_then(|id| ctx.plugin(id));
    let Some(plugin) = plugin else {
        let hint = "Its permissions and limits appear here";
        return empty(
            ui,
            icon::ICON_SHIELD,
            "No plugin loaded",
            hint,
            Some(Verb::OpenPlugin),
            &Situation::default(),
            out,
        );
    };
    ScrollArea::both().id_salt("policy").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(12.0).show(ui, |ui| {
            mode(ui, ctx, plugin, out);
            waiting(ui, ctx, plugin, out);
            permissions(ui, ctx, plugin, out);
            separator(ui);
            limits(ui, plugin, &mut state.panels.policy, out);
            separator(ui);
            denials(ui, ctx, plugin, out);
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

fn mode(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus, out: &mut Actions) {
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
    });
    ui.horizontal(|ui| {
        ui.label(plain("Policy of all plugins").color(theme::of(ui).text_weak));
        for (mode, name, means) in MODES {
            let chip = chip(ui, ctx.policy_mode() == mode, name, Tone::Accent);
            if chip.hint(means).clicked() {
                out.command(Command::SetPolicyMode(mode));
            }
        }
    });
    ui.add_space(8.0);
}

/// A new generation that asks for more, and the decisions that it waits for.
fn waiting(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus, out: &mut Actions) {
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
            allow_button(ui, ctx, "waits", plugin, *permission, out);
            let deny = ui.small_button("Deny");
            let deny = crate::window::widgets::label(deny, format!("Deny {permission} to {id}"));
            if deny.clicked() {
                out.command(Command::Decide(plugin.instance, *permission, Decision::Deny));
            }
        });
    }
    ui.add_space(8.0);
}

fn heading(ui: &mut Ui, names: &[&str]) {
    let tokens = theme::of(ui);
    for name in names {
        ui.label(plain(*name).font(theme::medium(11.0)).color(tokens.text_weak));
    }
    ui.end_row();
}

fn permissions(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus, out: &mut Actions) {
    let tokens = theme::of(ui);
    section(ui, "Permissions", |_| {});
    let why = (ui.available_width() - 540.0).max(96.0);
    Grid::new("permissions").num_columns(7).spacing([16.0, 6.0]).show(ui, |ui| {
        heading(ui, &["permission", "asked", "decision", "in effect", "used", "denied", "why"]);
        for status in &plugin.permissions {
            ui.label(plain(status.permission.name()).color(tokens.text_strong))
                .hint(status.permission.allows());
            ui.label(if status.asked { "yes" } else { "no" });
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
                        ui.selectable_value(&mut decision, choice, name(choice));
                    }
                })
                .response;
            named_field(response, &format!("Decision about {}", status.permission));
            if decision != status.decision {
                out.command(Command::Decide(plugin.instance, status.permission, decision));
            }
            ui.horizontal(|ui| {
                match status.standing {
                    Standing::Granted if status.asks_more => badge(ui, "in part", Tone::Warn),
                    Standing::Granted => badge(ui, "granted", Tone::Good),
                    Standing::Asking => badge(ui, "asking", Tone::Warn),
                    Standing::Denied if status.asked => badge(ui, "not granted", Tone::Warn),
                    Standing::Denied => badge(ui, "not granted", Tone::Neutral),
                };
                if status.standing == Standing::Asking || status.asks_more {
                    allow_button(ui, ctx, "permission", plugin, status.permission, out);
                }
            });
            number(ui, status.uses);
            number(ui, status.denials);
            ui.scope(|ui| {
                ui.set_max_width(why);
                let why = match status.parameters.as_str() {
                    "" => status.explanation.clone(),
                    parameters => format!("{parameters}: {}", status.explanation),
                };
                let text = plain(&why).color(tokens.text_weak);
                ui.add(egui::Label::new(text).truncate()).hint(&why);
            });
            ui.end_row();
        }
    });
}

fn number(ui: &mut Ui, value: u64) {
    let tokens = theme::of(ui);
    let color = if value > 0 { tokens.text } else { tokens.text_faint };
    ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
        ui.label(plain(thousands(value)).color(color));
    });
}

fn limits(ui: &mut Ui, plugin: &PluginStatus, state: &mut State, out: &mut Actions) {
    let tokens = theme::of(ui);
    section(ui, "Limits", |ui| {
        ui.label(plain("click a value to change it").small().color(tokens.text_weak));
    });
    Grid::new("limits").num_columns(5).spacing([16.0, 6.0]).show(ui, |ui| {
        heading(ui, &["limit", "value", "from", "hits", "enforcement"]);
        for status in &plugin.limit_status {
            ui.label(plain(status.name).color(tokens.text_strong));
            value(ui, plugin, status.name, &status.value, state, out);
            let color = if status.asked.is_some() { tokens.warn } else { tokens.text_weak };
            let from = ui.label(plain(status.explanation()).color(color));
            if let Some(ceiling) = &status.ceiling {
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
    plugin: &PluginStatus,
    name: &'static str,
    shown: &str,
    state: &mut State,
    out: &mut Actions,
) {
    let editing =
        state.editing.as_mut().filter(|(id, limit, _)| (*id, *limit) == (plugin.instance, name));
    let Some((_, _, text)) = editing else {
        let response = ui.add(egui::Button::new(shown).min_size(egui::vec2(96.0, 0.0)));
        let response = crate::window::widgets::label(response, format!("Change {name}: {shown}"));
        if response.clicked() {
            state.editing = Some((plugin.instance, name, shown.to_owned()));
        }
        return;
    };
    let changed = change(&plugin.limits, name, text).and_then(|limits| below(plugin, limits, name));
    let field =
        egui::TextEdit::singleline(text).desired_width(88.0).text_color_opt(match changed {
            Ok(_) => None,
            Err(_) => Some(theme::of(ui).bad),
        });
    let response = named_field(ui.add(field), &format!("Limit {name}"));
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
            out.command(Command::SetLimits(plugin.instance, Box::new(limits)));
        }
        state.editing = None;
    }
}

/// The limits, unless one is above the ceiling of the host.
fn below(plugin: &PluginStatus, limits: Limits, name: &str) -> Result<Limits, String> {
    if plugin.ceilings.lower(&limits) == limits {
        return Ok(limits);
    }
    let status = plugin.limit_status.iter().find(|status| status.name == name);
    let ceiling = status.and_then(|status| status.ceiling.as_deref()).unwrap_or_default();
    Err(format!(
        "more than {ceiling}, the ceiling of the host; raise it under [ceilings] of the policy"
    ))
}

/// The limits with one of them changed to what was typed.
fn change(limits: &Limits, name: &str, text: &str) -> Result<Limits, String> {
    let mut limits = limits.clone();
    let count = || {
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
        digits.parse::<u64>().map_err(|_| format!("`{text}` is not a number"))
    };
    let size = || parse_size(text).map_err(|error| error.to_string());
    match name {
        "memory" => limits.memory = size()?,
        "table" => limits.table = count()?,
        "call-deadline" => {
            limits.call_deadline = parse_duration(text).map_err(|error| error.to_string())?
        }
        "fuel" => {
            limits.fuel = match text.trim() {
                "" | "none" | "unlimited" => None,
                _ => Some(count()?),
            }
        }
        "output-bytes" => limits.output_bytes = size()?,
        "output-frames" => limits.output_frames = count()?,
        "host-calls" => limits.host_calls = count()?,
        "log-bytes" => limits.log_bytes = size()?,
        "kv-bytes" => limits.kv_bytes = size()?,
        "queue" => {
            let queue = count()?;
            let fits = u32::try_from(queue).ok().filter(|queue| (1..=100_000).contains(queue));
            limits.queue =
                fits.ok_or_else(|| format!("{queue} is out of range; write 1 to 100000"))?;
        }
        _ => return Err(format!("`{name}` cannot be changed here")),
    }
    if limits.call_deadline.is_zero() {
        return Err("a call needs some time".to_owned());
    }
    Ok(limits)
}

fn denials(ui: &mut Ui, ctx: ViewCtx<'_>, plugin: &PluginStatus, out: &mut Actions) {
    let tokens = theme::of(ui);
    let denials = ctx.read(Source::Live, |store| {
        let own = |denial: &&Denial| denial.instance == plugin.instance.get();
        let own = store.denials().iter().rev().filter(own);
        own.take(50).cloned().collect::<Vec<_>>()
    });
    let denials = denials.unwrap_or_default();
    section(ui, "Denied live", |ui| {
        ui.label(plain(denials.len().to_string()).color(tokens.text_weak));
    });
    if denials.is_empty() {
        ui.label(plain("Nothing was denied to this plugin live so far").color(tokens.text_weak));
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
            allow_button(ui, ctx, (denial.at, denial.call), plugin, denial.permission, out);
        });
    }
}

#[cfg(test)]
mod tests {
    use glovebox_abi::units::{show_duration, show_size};

    use super::*;

    #[test]
    fn limits_read_what_they_show() {
        fn check(name: &'static str, text: &str, expected: &str) {
            let limits = change(&Limits::default(), name, text).unwrap();
            let shown = match name {
                "memory" => show_size(limits.memory),
                "call-deadline" => show_duration(limits.call_deadline),
                "queue" => limits.queue.to_string(),
                _ => format!("{:?}", limits.fuel),
            };
            assert_eq!(shown, expected);
        }
        check("memory", "16 MiB", "16 MiB");
        check("call-deadline", "20ms", "20 ms");
        check("queue", "12", "12");
        check("fuel", "unlimited", "None");
        check("fuel", "1 000", "Some(1000)");
        assert!(change(&Limits::default(), "queue", "0").is_err());
        assert!(change(&Limits::default(), "memory", "big").is_err());
        assert!(change(&Limits::default(), "call-deadline", "0 s").is_err());
    }
}
