//! The title bar: menus, the field that opens the palette, buttons of the sides.

use egui::{Align, Layout, Stroke, Ui, vec2};
use egui_material_icons::icons as icon;

use super::sides::Side;
use crate::window::commands::{Entry, Menu, TABLE, Verb, entry};
use crate::window::context::PanelCtx;
use crate::window::theme;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{icon_button, icon_font, label, text_in};

/// The width of the buttons, in points.
const BUTTONS: f32 = 128.0;
/// The least width of the field that opens the palette.
const SEARCH: f32 = 80.0;

/// Paints the title bar; `is_shown` says which sides are seen.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, is_shown: impl Fn(Side) -> bool) {
    let whole = ui.max_rect();
    egui::MenuBar::new().ui(ui, |ui| {
        ui.set_min_height(whole.height());
        menus(ui, ctx);
        let menus_end = ui.cursor().left();
        // Where there is no room, the menus have it all as well.
        if whole.right() - menus_end < BUTTONS {
            return;
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            sides(ui, ctx, is_shown);
            if icon_button(ui, icon::ICON_CONTRAST, "Switch between dark and light", true).clicked()
            {
                ctx.run(Verb::SwitchTheme);
            }
            let (left, right) = (menus_end + 16.0, ui.cursor().right() - 16.0);
            if right - left < SEARCH {
                return;
            }
            let width = (right - left).min(420.0);
            let at = (whole.center().x - width / 2.0).clamp(left, right - width);
            let place = egui::pos2(at, whole.center().y - 12.0);
            search(ui, ctx, egui::Rect::from_min_size(place, vec2(width, 24.0)));
        });
    });
}

fn menus(ui: &mut Ui, ctx: PanelCtx<'_>) {
    for (menu, name) in Menu::ALL {
        ui.menu_button(name, |ui| {
            ui.set_min_width(220.0);
            for line in TABLE.iter().filter(|line| line.menu == menu) {
                if line.starts_group {
                    ui.separator();
                }
                menu_line(ui, ctx, line);
            }
        });
    }
}

fn menu_line(ui: &mut Ui, ctx: PanelCtx<'_>, line: &Entry) {
    let enabled = (line.enabled)(ctx.now);
    let (name, tooltip) = line.now(ctx.now);
    let mut name = plain(&name);
    if line.asks.is_some() && enabled {
        name = name.color(theme::of(ui).warn);
    }
    let button = egui::Button::new(name).shortcut_text(line.shortcut().unwrap_or_default());
    let response = ui.add_enabled(enabled, button).hint(tooltip);
    let why_not = line.why_not(ctx.now).unwrap_or_default();
    if response.hint_when_disabled(why_not).clicked() {
        ctx.run(line.verb);
    }
}

/// Buttons that open and close sides, from the right to the left.
fn sides(ui: &mut Ui, ctx: PanelCtx<'_>, is_shown: impl Fn(Side) -> bool) {
    for (side, verb, picture) in [
        (Side::Right, Verb::ToggleRight, icon::ICON_DOCK_TO_LEFT),
        (Side::Drawer, Verb::ToggleDrawer, icon::ICON_DOCK_TO_BOTTOM),
        (Side::Left, Verb::ToggleLeft, icon::ICON_DOCK_TO_RIGHT),
    ] {
        let response = icon_button(ui, picture, &entry(verb).hint(), true);
        if is_shown(side) {
            let stroke = Stroke::new(1.5, theme::of(ui).accent);
            let place = response.rect.shrink(6.0).x_range();
            ui.painter().hline(place, response.rect.bottom() - 2.0, stroke);
        }
        if response.clicked() {
            ctx.run(verb);
        }
    }
}

/// The field in the title bar: it opens the palette.
fn search(ui: &mut Ui, ctx: PanelCtx<'_>, rect: egui::Rect) {
    let tokens = theme::of(ui);
    let response = ui.interact(rect, ui.scope_id().with("search"), egui::Sense::click());
    let response = label(response, "Search or run a command");
    let border = if response.hovered() { tokens.accent } else { tokens.control_border };
    ui.painter().rect(rect, 6.0, tokens.field, Stroke::new(1.0, border), egui::StrokeKind::Inside);
    let inner = rect.shrink2(vec2(8.0, 0.0));
    text_in(ui, inner, Align::Min, icon::ICON_SEARCH.codepoint, icon_font(15.0), tokens.text_weak);
    let mut words = inner;
    words.set_left(inner.left() + 22.0);
    let body = egui::TextStyle::Body.resolve(ui.style());
    text_in(ui, words, Align::Max, "Ctrl+K", body.clone(), tokens.text_faint);
    words.set_right(inner.right() - 48.0);
    text_in(ui, words, Align::Min, "Search or run a command…", body, tokens.text_weak);
    if response.on_hover_cursor(egui::CursorIcon::Text).clicked() {
        ctx.run(Verb::Palette);
    }
}
