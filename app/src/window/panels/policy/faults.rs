//! The faults of the chosen plugin: those that there are, and a form for one more.

use egui::{Align, DragValue, TextEdit, Ui};
use egui_material_icons::icons as icon;
use glovebox_host::{Mock, PluginStatus};

use super::model::FaultForm;
use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{badge, bordered, flow, icon_text, label, named_field, section};
use crate::workbench::{Calls, Command, Effect, Faults};

/// Paints the faults.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, form: &mut FaultForm) {
    let tokens = theme::of(ui);
    let above = ui.cursor().top();
    let faults = ctx.faults(plugin.instance);
    section(ui, "Faults", |ui| {
        let text = "answers of host services that go wrong on purpose, as [[answer]] of --mock";
        ui.label(plain(text).small().color(tokens.text_weak));
    });
    if let Some(faults) = faults.filter(|faults| !faults.all.is_empty()) {
        listed(ui, ctx, plugin, faults);
    }
    let added = form.added_to(faults);
    flow(ui, |ui| fields(ui, form));
    let place = flow(ui, |ui| {
        let add = ui.add_enabled(added.is_ok(), egui::Button::new("Add and switch on"));
        if let (true, Ok(faults)) = (add.clicked(), &added) {
            ctx.command(Command::SetFaults(plugin.instance, Box::new(faults.clone())));
        }
        add.rect
    });
    if let Err(error) = &added {
        ui.add(egui::Label::new(plain(error).color(tokens.bad)).wrap());
    }
    if std::mem::take(&mut form.is_wanted) {
        ui.scroll_to_rect(place.with_min_y(above), Some(Align::Min));
    }
}

/// The faults that there are, in words, with a way to be rid of each and of all.
fn listed(ui: &mut Ui, ctx: PanelCtx<'_>, plugin: &PluginStatus, faults: &Faults) {
    let tokens = theme::of(ui);
    let set = |faults: Faults| ctx.command(Command::SetFaults(plugin.instance, Box::new(faults)));
    flow(ui, |ui| {
        let (text, tone, button) = match faults.is_on {
            true => ("on", Tone::Warn, "Switch off"),
            false => ("off", Tone::Neutral, "Switch on"),
        };
        badge(ui, text, tone);
        if faults.all.iter().any(|fault| matches!(fault.calls, Calls::OneIn(_))) {
            let seed = plain(format!("seed {}", faults.seed)).color(tokens.text_weak);
            ui.label(seed).hint("Calls that are met by chance follow from it");
        }
        if ui.button(button).clicked() {
            set(Faults { is_on: !faults.is_on, ..faults.clone() });
        }
    });
    // They were read before they were set.
    let words = faults.mock().map_or_else(|_| Vec::new(), |mock| mock.faults());
    for (at, text) in words.iter().enumerate() {
        ui.horizontal(|ui| {
            let remove = label(ui.small_button("Remove"), format!("Remove the fault: {text}"));
            if remove.clicked() {
                let mut left = faults.clone();
                left.all.remove(at);
                set(left);
            }
            let color = if faults.is_on { tokens.warn } else { tokens.text_weak };
            ui.label(icon_text(icon::ICON_BOLT, 15.0).color(color));
            ui.label(plain(text).color(tokens.text));
        });
    }
}

fn fields(ui: &mut Ui, form: &mut FaultForm) {
    let response = egui::ComboBox::from_id_salt("fault service")
        .width(88.0)
        .selected_text(form.service)
        .show_ui(ui, |ui| {
            for service in Mock::SERVICES {
                ui.selectable_value(&mut form.service, service, *service);
            }
        })
        .response;
    named_field(response, "Service");
    let response = egui::ComboBox::from_id_salt("fault effect")
        .width(164.0)
        .selected_text(form.effect.name())
        .show_ui(ui, |ui| {
            for effect in Effect::ALL {
                let is_possible = form.service == "now" || !effect.is_of_the_clock();
                ui.add_enabled_ui(is_possible, |ui| {
                    if ui.selectable_value(&mut form.effect, effect, effect.name()).changed() {
                        let example = effect.asks().map_or("", |(_, example)| example);
                        form.value = example.to_owned();
                    }
                });
            }
        })
        .response;
    named_field(response, "Kind of fault");
    if let Some((name, example)) = form.effect.asks() {
        let field = TextEdit::singleline(&mut form.value).desired_width(72.0).hint_text(example);
        named_field(bordered(ui, |ui| ui.add(field)), name);
    }
    let words = match form.calls {
        Calls::Each => "in each call",
        Calls::Number(_) => "in the call of number",
        Calls::OneIn(_) => "by chance, in one call of",
    };
    let response = egui::ComboBox::from_id_salt("fault calls")
        .width(156.0)
        .selected_text(words)
        .show_ui(ui, |ui| {
            for (calls, name) in [
                (Calls::Each, "in each call"),
                (Calls::Number(1), "in the call of number"),
                (Calls::OneIn(10), "by chance, in one call of"),
            ] {
                let is_it = std::mem::discriminant(&calls) == std::mem::discriminant(&form.calls);
                if ui.selectable_label(is_it, name).clicked() && !is_it {
                    form.calls = calls;
                }
            }
        })
        .response;
    named_field(response, "Which calls");
    if let Calls::Number(number) | Calls::OneIn(number) = &mut form.calls {
        named_field(ui.add(DragValue::new(number).range(1..=1_000_000)), "Number of the call");
    }
    if let Calls::OneIn(_) = form.calls {
        ui.label("seed");
        named_field(ui.add(DragValue::new(&mut form.seed)), "Seed");
    }
}
