//! Paints the diff panel around the list of differences and their details.

use egui::{Align, Ui};
use egui_material_icons::icons as icon;
use glovebox_inspector::baseline::Decision;
use glovebox_inspector::diff::{Class, Diff};

use super::model::{Review, State};
use super::{choice, details, list};
use crate::window::buttons::{empty, verb_button};
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::theme;
use crate::window::widgets::text::plain;
use crate::window::widgets::{chip, flow};

/// Paints the diff.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let bar = egui::Frame::new().inner_margin(egui::Margin::symmetric(8, 4));
    bar.show(ui, |ui| choice::show(ui, ctx, &mut state.choice));
    let Some((_, diff)) = ctx.diff() else {
        let hint =
            "Choose two runs above, or reload, replay the pinned trace and compare in one go";
        let words = ("Nothing compared yet", hint);
        return empty(ui, ctx, icon::ICON_DIFFERENCE, words, Some(Verb::Loop));
    };
    bar.show(ui, |ui| classes(ui, diff, state));
    let is_other = state.choice.is_other(ctx.view);
    bar.show(ui, |ui| decisions(ui, ctx, diff, &state.review, is_other));
    egui::Panel::left("diff entries")
        .default_size(320.0_f32.min(ui.available_width() * 0.45))
        .frame(egui::Frame::new().inner_margin(8.0))
        .show(ui, |ui| list::show(ui, diff, &mut state.review));
    egui::CentralPanel::no_frame().show(ui, |ui| {
        egui::Frame::new().inner_margin(8.0).show(ui, |ui| details::show(ui, diff, state));
    });
}

fn classes(ui: &mut Ui, diff: &Diff, state: &mut State) {
    flow(ui, |ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for class in Class::ALL {
            let count = diff.counts.of(class);
            if count == 0 {
                continue;
            }
            let on = state.review.shows(class);
            if chip(ui, on, &format!("{count} {}", class.name()), list::tone(class)).clicked() {
                state.review.toggle(class, diff);
            }
        }
        let text = format!("{} → {}", diff.before.name, diff.after.name);
        let tokens = theme::of(ui);
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            ui.selectable_value(&mut state.split, false, "Unified");
            ui.selectable_value(&mut state.split, true, "Split");
            ui.add(egui::Label::new(plain(text).color(tokens.text_weak)).truncate());
        });
    });
}

/// The decisions so far, and the buttons that decide.
fn decisions(ui: &mut Ui, ctx: PanelCtx<'_>, diff: &Diff, review: &Review, is_other: bool) {
    if diff.counts.different() == 0 {
        return;
    }
    if is_other {
        let text = "Other runs are chosen above: press Compare, or choose these again, to decide";
        ui.add(egui::Label::new(plain(text).color(theme::of(ui).warn)).wrap());
    }
    flow(ui, |ui| {
        for verb in [Verb::AcceptDifference, Verb::RejectDifference, Verb::SkipDifference] {
            verb_button(ui, ctx, verb);
        }
        verb_button(ui, ctx, Verb::SaveBaseline);
        let text = format!(
            "{} accepted, {} rejected, {} left",
            review.count(Decision::Accept),
            review.count(Decision::Reject),
            diff.counts.different() - review.decided(),
        );
        ui.label(plain(text).color(theme::of(ui).text_weak));
    });
}
