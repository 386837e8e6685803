//! What lies above the window for a moment: palette, key sheet, path field.

use egui::{Modal, RichText, ScrollArea};

use super::action::{Actions, Change};
use super::commands::{Menu, Situation, TABLE};
use super::palette::Palette;
use super::theme;
use super::widgets::{bordered, named_field, section};
use crate::workbench::{Source, ViewCtx};

/// At most one of them is open.
#[derive(Debug, Default)]
pub(super) enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The palette.
    Palette(Palette),
    /// Every key.
    Keys,
    /// A path that is being typed.
    Path(String),
}

impl Overlay {
    /// Paints what is open; Esc and a click beside it close it.
    pub(super) fn show(
        &mut self,
        ui: &mut egui::Ui,
        ctx: ViewCtx<'_>,
        source: Source,
        now: &Situation,
        out: &mut Actions,
    ) {
        let stays = match self {
            Overlay::None => true,
            Overlay::Palette(palette) => palette.show(ui, ctx, source, now, out),
            Overlay::Keys => keys(ui),
            Overlay::Path(text) => path(ui, text, out),
        };
        if !stays {
            *self = Overlay::None;
        }
    }

    /// True if nothing is open.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Overlay::None)
    }
}

fn keys(ui: &mut egui::Ui) -> bool {
    let modal = Modal::new(egui::Id::unique("keys")).show(ui, |ui| {
        let tokens = theme::of(ui);
        let room = ui.ctx().content_rect();
        ui.set_width((room.width() - 64.0).min(860.0));
        ui.label(RichText::new("Keys").font(theme::strong(16.0)).color(tokens.text_strong));
        let hint = "Keys without Ctrl or Alt act while nothing is typed";
        ui.label(RichText::new(hint).color(tokens.text_weak));
        ui.add_space(8.0);
        ScrollArea::vertical()
            .max_height(room.height() - 160.0)
            .min_scrolled_height(room.height() - 160.0)
            .show(ui, |ui| {
                ui.columns(3, |columns| {
                    for (menu, name) in Menu::ALL {
                        let column = match menu {
                            Menu::File | Menu::Edit => 0,
                            Menu::View => 1,
                            _ => 2,
                        };
                        let ui = &mut columns[column];
                        section(ui, name, |_| {});
                        for entry in TABLE
                            .iter()
                            .filter(|entry| entry.menu == menu && !entry.keys.is_empty())
                        {
                            ui.horizontal(|ui| {
                                let shown: Vec<_> =
                                    entry.keys.iter().map(super::commands::show_keys).collect();
                                ui.label(
                                    RichText::new(entry.name.trim_end_matches('…'))
                                        .color(tokens.text),
                                );
                                ui.with_layout(
                                    egui::Layout::right_to_left(egui::Align::Center),
                                    |ui| {
                                        ui.label(
                                            RichText::new(shown.join("  "))
                                                .font(theme::mono(11.0))
                                                .color(tokens.text_weak),
                                        );
                                    },
                                );
                            });
                        }
                        ui.add_space(8.0);
                    }
                });
            });
    });
    !modal.should_close()
}

fn path(ui: &mut egui::Ui, text: &mut String, out: &mut Actions) -> bool {
    let mut open = false;
    let modal = Modal::new(egui::Id::unique("path")).show(ui, |ui| {
        let tokens = theme::of(ui);
        ui.set_width((ui.ctx().content_rect().width() - 64.0).min(520.0));
        ui.label(RichText::new("Open by path").font(theme::strong(15.0)).color(tokens.text_strong));
        let hint = "A plugin (artifact, plugin.toml or its folder), a trace or a capture";
        ui.label(RichText::new(hint).color(tokens.text_weak));
        ui.add_space(4.0);
        let field = egui::TextEdit::singleline(text)
            .desired_width(f32::INFINITY)
            .hint_text("/path/to/plugin.wasm");
        let response = named_field(bordered(ui, |ui| ui.add(field)), "Path");
        response.request_focus();
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            let enter = ui.input(|input| input.key_pressed(egui::Key::Enter));
            let ready = !text.trim().is_empty();
            let clicked = ui.add_enabled(ready, egui::Button::new("Open")).clicked();
            open = ready && (clicked || enter);
            if ui.button("Cancel").clicked() {
                ui.close();
            }
        });
    });
    if open {
        out.view(Change::OpenFile(text.trim().into()));
    }
    !open && !modal.should_close()
}
