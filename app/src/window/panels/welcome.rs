//! The first screen: start, try, go on.

use std::path::PathBuf;

use egui::{Align, ScrollArea, Ui, vec2};
use egui_material_icons::icons as icon;

use crate::window::action::Change;
use crate::window::commands::{Verb, entry};
use crate::window::context::PanelCtx;
use crate::window::theme;
use crate::window::widgets::text::plain;
use crate::window::widgets::{icon_font, row, section, text_in};
use crate::workbench::{Command, EXAMPLES};

/// Paints the first screen.
pub(crate) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, recent: &[PathBuf]) {
    let tokens = theme::of(ui);
    ScrollArea::vertical().id_salt("welcome").auto_shrink([false, false]).show(ui, |ui| {
        let width = ui.available_width().min(880.0);
        ui.add_space((ui.available_height() * 0.10).min(72.0));
        ui.vertical_centered(|ui| {
            ui.set_max_width(width);
            ui.label(plain("Glovebox").font(theme::strong(28.0)).color(tokens.text_strong));
            let text = "Drop a plugin in, send it frames, see everything, and nothing gets out";
            ui.label(plain(text).size(13.5).color(tokens.text_weak));
            ui.add_space(28.0);
            ui.columns(2, |columns| {
                columns[0].vertical(|ui| start(ui, ctx, recent));
                columns[1].vertical(|ui| examples(ui, ctx));
            });
            ui.add_space(24.0);
            let text =
                "Or drop files on this window.  Ctrl+K finds every command, F1 shows every key.";
            ui.label(plain(text).color(tokens.text_weak));
        });
    });
}

fn start(ui: &mut Ui, ctx: PanelCtx<'_>, recent: &[PathBuf]) {
    section(ui, "Start", |_| {});
    for verb in [Verb::OpenPlugin, Verb::OpenTrace, Verb::OpenPath] {
        let line = entry(verb);
        let keys = line.shortcut().unwrap_or_default();
        if card(ui, line.icon, line.name, line.tooltip, &keys) {
            ctx.run(verb);
        }
    }
    ui.add_space(12.0);
    section(ui, "Recent", |_| {});
    if recent.is_empty() {
        let text = "Files that you open are listed here";
        ui.label(plain(text).color(theme::of(ui).text_weak));
    }
    for path in recent.iter().take(8) {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let folder = path.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        if card(ui, icon::ICON_HISTORY, &name, &folder, "") {
            ctx.change(Change::OpenFile(path.clone()));
        }
    }
}

fn examples(ui: &mut Ui, ctx: PanelCtx<'_>) {
    section(ui, "Try an example", |_| {});
    let mut any = false;
    for example in &EXAMPLES {
        if example.files().is_some() {
            any = true;
            if card(ui, icon::ICON_PLAY_ARROW, example.title, example.shows, "") {
                ctx.command(Command::RunExample(example));
            }
        }
    }
    if !any {
        let text = "The sample plugins are not installed; set GLOVEBOX_ASSETS to their folder";
        ui.label(plain(text).color(theme::of(ui).text_weak));
    }
}

fn card(
    ui: &mut Ui,
    picture: egui_material_icons::MaterialIcon,
    title: &str,
    words: &str,
    keys: &str,
) -> bool {
    let tokens = theme::of(ui);
    let (rect, response) = row(ui, 44.0, false, title);
    let inner = rect.shrink2(vec2(8.0, 4.0));
    let mut picture_rect = inner;
    picture_rect.set_width(24.0);
    text_in(ui, picture_rect, Align::Min, picture.codepoint, icon_font(20.0), tokens.accent);
    let mut text = inner;
    text.set_left(inner.left() + 36.0);
    let (top, bottom) = text.split_top_bottom_at_fraction(0.5);
    text_in(ui, top, Align::Min, title, theme::medium(13.0), tokens.text_strong);
    let body = egui::TextStyle::Body.resolve(ui.style());
    text_in(ui, bottom, Align::Min, words, body.clone(), tokens.text_weak);
    text_in(ui, top, Align::Max, keys, body, tokens.text_weak);
    response.clicked()
}
