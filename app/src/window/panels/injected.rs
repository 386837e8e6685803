//! Says of a call that a fault or a mock had its part in it.

use egui::Ui;
use egui_material_icons::icons as icon;
use glovebox_trace::Statuses;

use crate::window::theme;
use crate::window::widgets::beside;
use crate::window::widgets::text::plain;

/// A line that says so, if a host call of the call was injected.
pub(super) fn injected(ui: &mut Ui, host_calls: Statuses) {
    if host_calls.overlaps(Statuses::INJECTED) {
        let color = theme::of(ui).warn;
        let text = plain("A fault or a mock made the result of a host call").color(color);
        beside(ui, (icon::ICON_BOLT, color), text);
    }
}
