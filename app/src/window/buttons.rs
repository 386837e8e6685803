//! Buttons of commands: their words, pictures and keys come from the table.

use egui::{Align, Response, Role, Ui, WidgetInfo};
use egui_material_icons::MaterialIcon;

use super::commands::{Entry, Verb, entry};
use super::context::PanelCtx;
use super::theme;
use super::widgets::text::{Hint, plain};
use super::widgets::{icon_font, icon_text};

/// A button for a command: its icon, its name, its keys in the tooltip.
pub(crate) fn verb_button(ui: &mut Ui, ctx: PanelCtx<'_>, verb: Verb) -> Response {
    let line = entry(verb);
    named_verb_button(ui, ctx, line, &line.now(ctx.now).0, &line.hint_now(ctx.now))
}

/// The same with these words on it and this tooltip.
pub(crate) fn named_verb_button(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    line: &Entry,
    words: &str,
    tooltip: &str,
) -> Response {
    let enabled = (line.enabled)(ctx.now);
    let tokens = theme::of(ui);
    let name = line.now(ctx.now).0;
    let name = name.trim_end_matches('…');
    let words = words.trim_end_matches('…');
    let color = if enabled { tokens.text } else { tokens.text_faint };
    let mut job = egui::text::LayoutJob::default();
    let format = |font, color| egui::TextFormat {
        font_id: font,
        color,
        valign: Align::Center,
        ..Default::default()
    };
    job.append(line.icon.codepoint, 0.0, format(icon_font(15.0), color));
    let body = egui::TextStyle::Button.resolve(ui.style());
    job.append(words, 5.0, format(body, color));
    let button = egui::Button::new(job).frame_when_inactive(false);
    let response = ui.add_enabled(enabled, button);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
    let response = response.hint(tooltip).hint_when_disabled(tooltip);
    if response.clicked() {
        ctx.run(line.verb);
    }
    response
}

/// The text of an empty panel: what belongs here, and what brings it here.
pub(crate) fn empty(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    picture: MaterialIcon,
    (title, hint): (&str, &str),
    verb: Option<Verb>,
) {
    let tokens = theme::of(ui);
    let height = 112.0;
    ui.add_space(((ui.available_height() - height) / 2.4).max(8.0));
    ui.vertical_centered(|ui| {
        ui.label(icon_text(picture, 28.0).color(tokens.text_faint));
        ui.add_space(4.0);
        ui.label(plain(title).font(theme::medium(13.0)).color(tokens.text));
        ui.label(plain(hint).color(tokens.text_weak));
        if let Some(verb) = verb {
            let line = entry(verb);
            ui.add_space(8.0);
            let button =
                egui::Button::new(line.name).shortcut_text(line.shortcut().unwrap_or_default());
            if ui.add_enabled((line.enabled)(ctx.now), button).clicked() {
                ctx.run(verb);
            }
        }
    });
}
