//! Small charts without axes.

use egui::{Color32, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2};

/// A line without axes, scaled to its largest value; `name` says what it shows.
pub(crate) fn sparkline(ui: &mut Ui, size: Vec2, values: &[f64], color: Color32, name: &str) {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, super::text::line(name)));
    let max = values.iter().copied().fold(0.0, f64::max);
    if values.len() < 2 || max <= 0.0 {
        let stroke = Stroke::new(1.0, color.gamma_multiply(0.3));
        ui.painter().hline(rect.x_range(), rect.bottom() - 1.0, stroke);
        return;
    }
    let area = rect.shrink2(egui::vec2(0.0, 2.0));
    let point = |(index, value): (usize, &f64)| {
        let x = area.left() + area.width() * index as f32 / (values.len() - 1) as f32;
        pos2(x, area.bottom() - area.height() * (value / max) as f32)
    };
    let points: Vec<_> = values.iter().enumerate().map(point).collect();
    ui.painter().add(Shape::line(points, Stroke::new(1.2, color)));
}
