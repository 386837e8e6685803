//! The report of a failure bundle.

use egui::{Frame, Label, Modal, ScrollArea, Ui};

use crate::window::action::Change;
use crate::window::context::PanelCtx;
use crate::window::theme;
use crate::window::widgets::text::plain;

/// True while it stays open.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, name: &str, text: &str) -> bool {
    let modal = Modal::new(egui::Id::unique("report")).show(ui, |ui| {
        let tokens = theme::of(ui);
        let room = ui.ctx().content_rect();
        Frame::new().inner_margin(12.0).show(ui, |ui| {
            ui.set_width((room.width() - 96.0).min(960.0));
            let title = plain(format!("Failure: {name}")).font(theme::strong(16.0));
            ui.label(title.color(tokens.text_strong));
            let hint = "The frames and host calls that led to it are in the list";
            ui.label(plain(hint).color(tokens.text_weak));
            ui.add_space(8.0);
            let height = (room.height() * 0.8 - 120.0).max(120.0);
            ScrollArea::both().max_height(height).show(ui, |ui| {
                for line in text.lines() {
                    let line = plain(line).font(theme::mono(11.5)).color(tokens.text);
                    ui.add(Label::new(line).extend().selectable(true));
                }
            });
            ui.add_space(8.0);
            ui.horizontal(|ui| {
                if ui.button("Copy").clicked() {
                    ctx.change(Change::Copy(text.to_owned()));
                }
                if ui.button("Close").clicked() {
                    ui.close();
                }
            });
        });
    });
    !modal.should_close()
}
