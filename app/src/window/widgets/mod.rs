//! The pieces that panels are made of: titles, badges, rows, trees, bytes, small charts.
//!
//! They know no commands and nothing of the workbench.

pub(super) mod chart;
pub(super) mod figures;
pub(super) mod hex;
pub(super) mod steps;
pub(super) mod text;
pub(super) mod tree;

use egui::{
    Align, Color32, FontFamily, FontId, Layout, Rect, Response, RichText, Role, Sense, Stroke,
    StrokeKind, TextWrapMode, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;

use super::theme::{self, GRID, Tone};
use text::{Hint, line, plain};

/// An icon as text.
pub(super) fn icon_text(icon: MaterialIcon, size: f32) -> RichText {
    plain(icon.codepoint).font(icon_font(size))
}

/// The font of icons.
pub(super) fn icon_font(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name(egui_material_icons::FONT_FAMILY.into()))
}

/// Says what a response is, for screen readers and tests.
pub(super) fn label(response: Response, text: impl Into<String>) -> Response {
    let text = text.into();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, line(&text)));
    response
}

/// A title in small capitals with room for controls on the right.
pub(super) fn section(ui: &mut Ui, title: &str, right: impl FnOnce(&mut Ui)) {
    let tokens = theme::of(ui);
    let size = vec2(ui.available_width(), 24.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.set_min_size(size);
        let text = plain(line(title).to_uppercase())
            .font(theme::strong(10.5))
            .extra_letter_spacing(0.6)
            .color(tokens.text_strong);
        let response = ui.label(text);
        response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, line(title)));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = GRID;
            right(ui);
        });
    });
}

/// A quiet button with only an icon; its name is the tooltip.
pub(super) fn icon_button(ui: &mut Ui, icon: MaterialIcon, name: &str, enabled: bool) -> Response {
    let tokens = theme::of(ui);
    let text = icon_text(icon, 16.0).color(if enabled { tokens.text } else { tokens.text_faint });
    // Where everything is low, so is it.
    let side = ui.spacing().interact_size.y.min(24.0);
    let button = egui::Button::new(text).min_size(vec2(side, side)).frame_when_inactive(false);
    let response = ui.add_enabled(enabled, button);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, line(name)));
    response.hint(name)
}

/// A word on a tinted ground.
pub(super) fn badge(ui: &mut Ui, text: &str, tone: Tone) -> Response {
    let tokens = theme::of(ui);
    let color = match tone {
        Tone::Neutral => tokens.text,
        tone => tokens.tone(tone),
    };
    let text = line(text);
    let galley = ui.painter().layout_no_wrap(text.to_string(), theme::medium(11.0), color);
    let size = galley.size() + vec2(12.0, 4.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    ui.painter().rect_filled(rect, 4.0, tokens.tone_subtle(tone));
    ui.painter().galley(rect.min + vec2(6.0, 2.0), galley, color);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &*text));
    response
}

/// A chip that can be switched on and off, with a count.
pub(super) fn chip(ui: &mut Ui, on: bool, text: &str, tone: Tone) -> Response {
    let tokens = theme::of(ui);
    let color = if on { tokens.tone(tone) } else { tokens.text_weak };
    let fill = if on { tokens.tone_subtle(tone) } else { Color32::TRANSPARENT };
    let stroke = Stroke::new(1.0, if on { fill } else { tokens.control_border });
    let button = egui::Button::new(plain(text).font(theme::medium(11.5)).color(color))
        .fill(fill)
        .stroke(stroke)
        .corner_radius(10.0);
    let response = ui.add(button);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, line(text)));
    show_focus(ui, &response, 10.0);
    response
}

/// Frames what has the focus of the keyboard, and brings it into view when it gets it.
pub(super) fn show_focus(ui: &Ui, response: &Response, corner: f32) {
    if response.has_focus() {
        let stroke = Stroke::new(2.0, theme::of(ui).accent);
        ui.painter().rect_stroke(response.rect, corner, stroke, StrokeKind::Inside);
    }
    // A widget that got the focus behind its place in this frame counts as new in the next one, too.
    let in_view = egui::Id::unique("the focus that is in view");
    let is_new =
        response.has_focus() && ui.data_mut(|data| data.get_temp(in_view) != Some(response.id));
    if is_new {
        ui.data_mut(|data| data.insert_temp(in_view, response.id));
    }
    if is_new || response.gained_focus() {
        response.scroll_to_me_animation(None, egui::style::ScrollAnimation::none());
    }
}

/// The headings of the columns of a grid.
pub(super) fn headings(ui: &mut Ui, names: &[&str]) {
    let tokens = theme::of(ui);
    for name in names {
        ui.label(plain(*name).font(theme::medium(11.0)).color(tokens.text_weak));
    }
    ui.end_row();
}

/// A name and a value in two columns.
pub(super) fn fact(ui: &mut Ui, name: &str, value: impl Into<String>) -> Response {
    let tokens = theme::of(ui);
    let value = line(&value.into()).into_owned();
    let size = vec2(ui.available_width(), 18.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        let font = egui::TextStyle::Body.resolve(ui.style());
        let title = ui.painter().layout_no_wrap(name.to_owned(), font, tokens.text_weak);
        let size = vec2(name_width(title.size().x), 18.0);
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        let at = rect.left_center() - vec2(0.0, title.size().y / 2.0);
        ui.painter().galley(at, title, tokens.text_weak);
        let response = ui.add(egui::Label::new(plain(&value).color(tokens.text)).truncate());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {value}")));
        response
    })
    .inner
}

/// The width of the column of a name: the same for all but those that it has no room for.
fn name_width(text: f32) -> f32 {
    const COLUMN: f32 = 92.0;
    const GAP: f32 = 8.0;
    if text <= COLUMN { COLUMN } else { text + GAP }
}

/// A field to search in, with its picture.
pub(super) fn search_field(ui: &mut Ui, text: &mut String, hint: &str, name: &str) -> Response {
    let tokens = theme::of(ui);
    let width = ui.available_width();
    let response = bordered(ui, |ui| {
        ui.add(
            egui::TextEdit::singleline(text)
                .hint_text(hint)
                .desired_width(width)
                .margin(egui::Margin { left: 24, right: 4, top: 3, bottom: 3 }),
        )
    });
    ui.painter().text(
        response.rect.left_center() + vec2(6.0, 0.0),
        egui::Align2::LEFT_CENTER,
        icon::ICON_SEARCH.codepoint,
        icon_font(14.0),
        tokens.text_weak,
    );
    named_field(response, name)
}

/// Paints into exactly the room that there is: contents that are too large are cut off. A panel that
/// grew with them would lie on its neighbours.
pub(super) fn confined(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    let room = ui.available_rect_before_wrap();
    let mut inside = ui.new_child(UiBuilder::new().id_salt("confined").max_rect(room));
    inside.shrink_clip_rect(room);
    add(&mut inside);
    ui.allocate_rect(room, Sense::hover());
}

/// Text fields inside have a border, so that they are seen before they are used.
pub(super) fn bordered<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let border = Stroke::new(1.0, theme::of(ui).control_border);
    ui.scope(|ui| {
        ui.visuals_mut().widgets.inactive.bg_stroke = border;
        ui.visuals_mut().widgets.hovered.bg_stroke = border;
        ui.visuals_mut().selection.stroke = Stroke::new(1.0, theme::of(ui).accent);
        add(ui)
    })
    .inner
}

/// Paints things beside each other, and on further lines where there is no room. A label stands on one
/// line, and ends with `…` if it is longer: a text of several lines stands in [`beside`].
#[allow(clippy::disallowed_methods, reason = "this is where labels are kept from being broken")]
pub(super) fn flow<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    ui.horizontal_wrapped(|ui| {
        ui.style_mut().wrap_mode = Some(TextWrapMode::Truncate);
        add(ui)
    })
    .inner
}

/// A text of as many lines as it takes, beside a picture as high as the first of them.
pub(super) fn beside(
    ui: &mut Ui,
    (picture, color): (MaterialIcon, Color32),
    text: RichText,
) -> Response {
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = GRID;
        let size = vec2(16.0, ui.text_style_height(&egui::TextStyle::Body));
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        text_in(ui, rect, Align::Center, picture.codepoint, icon_font(15.0), color);
        ui.add(egui::Label::new(text).wrap())
    })
    .inner
}

/// Gives a text field its name.
pub(super) fn named_field(response: Response, name: &str) -> Response {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}

/// A line across the panel.
pub(super) fn separator(ui: &mut Ui) {
    let tokens = theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 9.0), Sense::hover());
    let clip = ui.clip_rect();
    ui.painter().hline(clip.x_range(), rect.center().y, Stroke::new(1.0, tokens.separator));
}

/// A row as wide as the panel that can be clicked; paints its ground.
pub(super) fn row(ui: &mut Ui, height: f32, selected: bool, name: &str) -> (Rect, Response) {
    let width = ui.available_width();
    let (rect, response) = ui.allocate_exact_size(vec2(width, height), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::ListItem, true, selected, line(name)));
    paint_row(ui, rect, selected, response.hovered());
    show_focus(ui, &response, 4.0);
    (rect, response)
}

/// The ground of a row.
pub(super) fn paint_row(ui: &Ui, rect: Rect, selected: bool, hovered: bool) {
    let tokens = theme::of(ui);
    let fill = if selected {
        tokens.row_selected
    } else if hovered {
        tokens.row_hover
    } else {
        return;
    };
    ui.painter().rect_filled(rect, 4.0, fill);
}

/// Adds a widget over what is painted already: the next row does not move.
pub(super) fn put_over(ui: &mut Ui, place: Rect, widget: impl egui::Widget) -> Response {
    let layout = egui::Layout::centered_and_justified(egui::Direction::TopDown);
    ui.new_child(egui::UiBuilder::new().max_rect(place).layout(layout)).add(widget)
}

/// A name in a rect, cut in its middle: what tells it from others stands at its end.
pub(super) fn name_in(ui: &Ui, rect: Rect, name: &str, font: FontId, color: Color32) {
    let name = text::elided(name, |text| width_of(ui, text, font.clone()) <= rect.width());
    text_in(ui, rect, Align::Min, &name, font, color);
}

/// A sentence in a rect, cut at its end, and in no number.
pub(super) fn sentence_in(ui: &Ui, rect: Rect, sentence: &str, font: FontId, color: Color32) {
    let sentence = line(sentence);
    let sentence = text::cut_between_numbers(&sentence, |text| {
        width_of(ui, text, font.clone()) <= rect.width()
    });
    text_in(ui, rect, Align::Min, &sentence, font, color);
}

/// The width of one line of text.
pub(super) fn width_of(ui: &Ui, text: &str, font: FontId) -> f32 {
    ui.painter().layout_no_wrap(line(text).into_owned(), font, Color32::WHITE).size().x
}

/// One line of text in a rect, cut at its end; gives its width.
pub(super) fn text_in(
    ui: &Ui,
    rect: Rect,
    align: Align,
    text: &str,
    font: FontId,
    color: Color32,
) -> f32 {
    let mut job = egui::text::LayoutJob::single_section(
        line(text).into_owned(),
        egui::TextFormat::simple(font, color),
    );
    job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width().max(1.0));
    let galley = ui.painter().layout_job(job);
    let width = galley.size().x;
    let x = match align {
        Align::Min => rect.left(),
        Align::Center => rect.center().x - width / 2.0,
        Align::Max => rect.right() - width,
    };
    let y = rect.center().y - galley.size().y / 2.0;
    ui.painter().galley(pos2(x, y), galley, color);
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_behind_its_name_however_long_that_is() {
        let check = |text: f32, expected: f32| assert_eq!(name_width(text), expected, "{text}");
        check(30.0, 92.0);
        check(92.0, 92.0);
        check(140.0, 148.0);
    }

    #[test]
    fn the_focus_brings_a_row_into_view() {
        let seen = std::rc::Rc::new(std::cell::Cell::new(0.0));
        let top = seen.clone();
        let size = vec2(200.0, 100.0);
        let mut window = egui_kittest::Harness::builder().with_size(size).build_ui(move |ui| {
            egui::ScrollArea::vertical().animated(false).show(ui, |ui| {
                for number in 0..40 {
                    let (rect, response) = row(ui, 24.0, false, &format!("row {number}"));
                    if number == 39 {
                        top.set(rect.top());
                        if ui.input(|input| input.key_pressed(egui::Key::F2)) {
                            response.request_focus();
                        }
                    }
                }
            });
        });
        window.run_steps(2);
        assert!(seen.get() > size.y, "it is below what is seen");
        window.key_press(egui::Key::F2);
        window.run_steps(4);
        assert!(seen.get() < size.y, "{} is not in view", seen.get());
    }

    #[test]
    fn a_widget_over_a_row_does_not_move_the_next_one() {
        let mut window = egui_kittest::Harness::new_ui(|ui| {
            let (rect, _) = row(ui, 57.0, false, "first");
            let line = Rect::from_min_size(rect.min, vec2(100.0, 17.0));
            put_over(ui, line, |ui: &mut Ui| ui.allocate_response(line.size(), Sense::click()));
            let (next, _) = row(ui, 57.0, false, "second");
            assert!(next.top() >= rect.bottom(), "{next} is over {rect}");
        });
        window.run_steps(2);
    }
}
