//! The scroll bar of a list that is laid out in part.

use std::ops::Range;

use egui::{Sense, Ui, WidgetInfo};

use crate::window::theme;

/// Its width, in points.
pub(super) const WIDTH: f32 = 10.0;

/// Paints it; the position that was dragged to.
pub(super) fn show(
    ui: &mut Ui,
    rect: egui::Rect,
    seen: &Range<usize>,
    len: usize,
) -> Option<usize> {
    let tokens = theme::of(ui);
    let response = ui.interact(rect, ui.scope_id().with("whole list"), Sense::click_and_drag());
    response.widget_info(|| {
        WidgetInfo::slider(true, seen.start as f64, "Position in the list of frames")
    });
    let handle = (rect.height() * seen.len() as f32 / len as f32).max(24.0);
    let way = rect.height() - handle;
    let last = len.saturating_sub(seen.len()).max(1);
    let top = rect.top() + way * (seen.start as f64 / last as f64) as f32;
    let shape = egui::Rect::from_min_size(egui::pos2(rect.left(), top), egui::vec2(WIDTH, handle));
    let is_active = response.dragged() || response.hovered();
    let color = if is_active { tokens.text } else { tokens.text_weak };
    ui.painter().rect_filled(rect, 0.0, tokens.panel);
    ui.painter().rect_filled(shape.shrink2(egui::vec2(2.0, 0.0)), 3.0, color);
    let pointer =
        response.interact_pointer_pos().filter(|_| response.is_pointer_button_down_on())?;
    let part = ((pointer.y - rect.top() - handle / 2.0) / way.max(1.0)).clamp(0.0, 1.0);
    Some((last as f64 * f64::from(part)) as usize)
}
