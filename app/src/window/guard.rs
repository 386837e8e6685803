//! Guards the parts of the window: one that panics says so and can be tried again, and the rest
//! goes on.

use std::collections::BTreeMap;

use egui::{Ui, UiBuilder};
use egui_material_icons::icons as icon;

use super::theme;
use super::widgets::{flow, icon_text};
use crate::panics::contain;
use crate::window::widgets::text::plain;

/// Parts of the window that panicked, by their name.
#[derive(Debug, Default)]
pub(super) struct Guard {
    broken: BTreeMap<&'static str, String>,
    /// Those of which nobody was told.
    new: Vec<String>,
}

impl Guard {
    /// Paints a part of the window; one that panicked is not painted until somebody asks for it.
    pub(super) fn show(&mut self, name: &'static str, ui: &mut Ui, paint: impl FnOnce(&mut Ui)) {
        let area = ui.available_rect_before_wrap();
        if !self.broken.contains_key(name) {
            let painted = contain(|| {
                #[cfg(test)]
                crate::panics::hook::reach(name);
                paint(ui);
            });
            let Err(fault) = painted else { return };
            self.new.push(format!("{name} cannot be shown: {fault}"));
            self.broken.insert(name, fault);
        }
        let Some(fault) = self.broken.get(name) else { return };
        let tokens = theme::of(ui);
        let again = ui.scope_builder(UiBuilder::new().max_rect(area), |ui| {
            // Over what was painted before the panic.
            ui.painter().rect_filled(area, 0.0, tokens.panel);
            let again = flow(ui, |ui| {
                ui.label(icon_text(icon::ICON_ERROR, 14.0).color(tokens.bad));
                ui.label(plain(format!("{name} cannot be shown")).color(tokens.bad));
                let again = ui.button("Try again");
                super::widgets::label(again, format!("Try {name} again")).clicked()
            });
            ui.add(egui::Label::new(plain(fault).color(tokens.text_weak)).wrap());
            again
        });
        if again.inner {
            self.broken.remove(name);
        }
    }

    /// Does something for a part of the window, unless it panicked before.
    pub(super) fn contain(&mut self, name: &'static str, work: impl FnOnce()) {
        if !self.broken.contains_key(name)
            && let Err(fault) = contain(work)
        {
            self.new.push(format!("{name} cannot be shown: {fault}"));
            self.broken.insert(name, fault);
        }
    }

    /// The panics since the last time, in words.
    pub(super) fn take_new(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new)
    }
}
