//! The report on this machine, as `glovebox doctor` gives it.

use egui::style::ScrollAnimation;
use egui::{Align, Frame, Key, Label, Layout, Modal, ScrollArea, Ui, vec2};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;

use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::plain;
use crate::window::widgets::{icon_text, section};
use crate::workbench::Command;
use crate::workbench::doctor::{Check, CheckResult, Examination};

/// Width of the column of names.
const NAME: f32 = 240.0;

/// True while it stays open.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>) -> bool {
    let mut again = false;
    let modal = Modal::new(egui::Id::unique("doctor")).show(ui, |ui| {
        let tokens = theme::of(ui);
        let room = ui.ctx().content_rect();
        let examination = ctx.view.examination();
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((room.width() - 96.0).min(840.0));
            let counts = examination.map(|found| format!(": {}", found.counts()));
            let title = format!("Doctor{}", counts.unwrap_or_default());
            ui.label(plain(title).font(theme::strong(16.0)).color(tokens.text_strong));
            let (text, tone) = match (ctx.view.is_examining(), examination) {
                (true, _) => ("Examining this machine…".to_owned(), Tone::Info),
                (false, None) => ("This machine was not examined".to_owned(), Tone::Warn),
                (false, Some(found)) => {
                    let tone = if found.holds() { Tone::Good } else { Tone::Bad };
                    (with_capital(&found.sentence()), tone)
                }
            };
            ui.label(plain(text).color(tokens.tone(tone)));
            ui.add_space(8.0);
            if let Some(examination) = examination {
                // With the lines around it four fifths of the window.
                let height = (room.height() * 0.8 - 120.0).max(120.0);
                ui.allocate_ui(vec2(ui.available_width(), height), |ui| {
                    ui.set_min_height(height);
                    let area = ScrollArea::vertical().max_height(height).auto_shrink(false);
                    area.min_scrolled_height(height).show(ui, |ui| {
                        sections(ui, examination);
                        scroll_by_keys(ui, height);
                    });
                });
            }
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                let button = egui::Button::new("Examine again");
                again = ui.add_enabled(!ctx.view.is_examining(), button).clicked();
                if ui.button("Close").clicked() {
                    ui.close();
                }
            });
        });
    });
    if again {
        ctx.command(Command::Examine);
    }
    !modal.should_close()
}

/// Scrolls as keys ask for, which no field of this window wants.
fn scroll_by_keys(ui: &Ui, page: f32) {
    let steps = [
        (Key::ArrowDown, 40.0),
        (Key::ArrowUp, -40.0),
        (Key::PageDown, page),
        (Key::PageUp, -page),
        (Key::End, f32::from(u16::MAX)),
        (Key::Home, -f32::from(u16::MAX)),
    ];
    let pressed = |key| ui.input(|input| input.key_pressed(key));
    let down: f32 = steps.iter().filter(|(key, _)| pressed(*key)).map(|(_, step)| step).sum();
    if down != 0.0 {
        ui.scroll_with_delta_animation(vec2(0.0, -down), ScrollAnimation::none());
    }
}

fn with_capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn sections(ui: &mut Ui, examination: &Examination) {
    for part in &examination.sections {
        section(ui, part.name, |_| {});
        ui.label(plain(part.about).color(theme::of(ui).text_weak));
        ui.add_space(4.0);
        part.checks.iter().for_each(|check| line(ui, check));
        ui.add_space(12.0);
    }
}

fn look(check: &Check) -> (MaterialIcon, Tone) {
    match check.result {
        CheckResult::Works => (icon::ICON_CHECK, Tone::Good),
        CheckResult::Missing if check.is_promised => (icon::ICON_ERROR, Tone::Bad),
        CheckResult::Missing => (icon::ICON_WARNING, Tone::Warn),
        CheckResult::NotTried => (icon::ICON_HELP, Tone::Neutral),
    }
}

fn line(ui: &mut Ui, check: &Check) {
    let tokens = theme::of(ui);
    let (icon, tone) = look(check);
    ui.with_layout(Layout::left_to_right(Align::Min), |ui| {
        ui.spacing_mut().item_spacing = vec2(8.0, 4.0);
        let sign = ui.label(icon_text(icon, 14.0).color(tokens.tone(tone)));
        sign.widget_info(|| {
            let text = format!("{}: {}", check.name, check.result.name());
            egui::WidgetInfo::labeled(egui::Role::Label, true, text)
        });
        ui.allocate_ui_with_layout(vec2(NAME, 18.0), Layout::left_to_right(Align::Min), |ui| {
            ui.set_width(NAME);
            ui.add(Label::new(plain(&check.name).color(tokens.text)).wrap());
        });
        ui.vertical(|ui| {
            ui.add(Label::new(plain(&check.found).color(tokens.text_weak)).wrap());
            if !check.remedy.is_empty() {
                let remedy = format!("→ {}", check.remedy);
                ui.add(Label::new(plain(remedy).color(tokens.text)).wrap());
            }
        });
    });
}
