//! Bytes as offset, hexadecimal and text, with a range that is marked.

use std::ops::Range;

use egui::{Align2, Key, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::window::theme;

/// The marks of a hex view, and the bytes under the pointer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// The bytes of the selected field.
    pub selected: Range<usize>,
    /// The bytes of the field under the pointer.
    pub hovered: Range<usize>,
    /// True if the selected bytes are to be brought into view.
    pub reveal: bool,
    /// True if the keys are for the bytes from now on.
    pub focus: bool,
}

/// Which byte the pointer is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pointed {
    /// The byte under the pointer.
    pub hovered: Option<usize>,
    /// The byte that was clicked.
    pub clicked: Option<usize>,
}

const SIZE: f32 = 11.5;
const LINE: f32 = 18.0;

/// Shows bytes; only the visible lines are laid out. With the focus, Page Up and Page Down leaf through them.
pub(crate) fn show(ui: &mut Ui, bytes: &[u8], marks: &Marks, height: f32) -> Pointed {
    let tokens = theme::of(ui);
    let font = theme::mono(SIZE);
    let width = ui.fonts_mut(|fonts| fonts.glyph_width(&font, '0'));
    let per_line = layout(ui.available_width(), width);
    let lines = bytes.len().div_ceil(per_line);
    let mut pointed = Pointed::default();
    let mut area = egui::ScrollArea::vertical()
        .id_salt("bytes")
        .max_height(height)
        .min_scrolled_height(height.min(lines as f32 * LINE))
        .auto_shrink([false, true]);
    let keys = ui.scope_id().with("bytes by page");
    if marks.reveal {
        let line = marks.selected.start / per_line;
        area = area.vertical_scroll_offset((line as f32 - 3.0).max(0.0) * LINE);
    } else if let Some(offset) = ui.data_mut(|data| data.remove_temp::<f32>(keys)) {
        area = area.vertical_scroll_offset(offset);
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    let painted = area.show_rows(ui, LINE, lines, |ui, range| {
        for line in range {
            let start = line * per_line;
            let part = &bytes[start..bytes.len().min(start + per_line)];
            let (rect, response) =
                ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::click());
            response.widget_info(|| {
                let text: Vec<_> = part.iter().map(|byte| format!("{byte:02x}")).collect();
                WidgetInfo::labeled(Role::Label, true, format!("{start:04x} {}", text.join(" ")))
            });
            let columns = Columns { rect, glyph: width, per_line };
            if let Some(pointer) = response.hover_pos()
                && let Some(byte) = columns.byte_at(pointer.x).filter(|byte| *byte < part.len())
            {
                pointed.hovered = Some(start + byte);
                if response.clicked() {
                    pointed.clicked = Some(start + byte);
                }
            }
            for (mark, fill) in
                [(&marks.selected, tokens.row_selected), (&marks.hovered, tokens.control_hover)]
            {
                let from = mark.start.max(start);
                let to = mark.end.min(start + part.len());
                if from < to {
                    for ground in [
                        columns.hex(from - start, to - start),
                        columns.text(from - start, to - start),
                    ] {
                        ui.painter().rect_filled(ground, 2.0, fill);
                    }
                }
            }
            let y = rect.center().y;
            let painter = ui.painter();
            let at = |x: f32, text: String, color| {
                painter.text(pos2(x, y), Align2::LEFT_CENTER, text, font.clone(), color);
            };
            at(rect.left(), format!("{start:04x}"), tokens.text_faint);
            for (index, byte) in part.iter().enumerate() {
                let color = if *byte == 0 { tokens.text_faint } else { tokens.text };
                at(columns.hex_x(index), format!("{byte:02x}"), color);
            }
            for (index, byte) in part.iter().enumerate() {
                let printable = (0x20..0x7f).contains(byte);
                let (shown, color) = match printable {
                    true => (char::from(*byte), tokens.text),
                    false => ('·', tokens.text_faint),
                };
                at(columns.text_x(index), shown.to_string(), color);
            }
        }
    });
    let seen = painted.inner_rect;
    let whole = ui.interact(seen, keys, Sense::focusable_noninteractive());
    whole.widget_info(|| WidgetInfo::labeled(Role::Group, true, "Bytes, page by page"));
    if marks.focus {
        whole.request_focus();
    }
    if whole.has_focus() {
        ui.painter().rect_stroke(seen, 2.0, Stroke::new(1.0, tokens.accent), StrokeKind::Inside);
        let pages = ui.input(|input| {
            let pressed = |key| if input.key_pressed(key) { 1.0 } else { 0.0 };
            pressed(Key::PageDown) - pressed(Key::PageUp)
        });
        if pages != 0.0 {
            let last = (lines as f32 * LINE - seen.height()).max(0.0);
            let page = (seen.height() - LINE).max(LINE);
            let offset = (painted.state.clamped_offset().y + pages * page).clamp(0.0, last);
            ui.data_mut(|data| data.insert_temp(keys, offset));
            ui.ctx().request_repaint();
        }
    }
    pointed
}

/// Bytes per line that fit: 16, 8 or 4.
fn layout(width: f32, glyph: f32) -> usize {
    [16, 8]
        .into_iter()
        .find(|count| {
            let glyphs = 6.0 + *count as f32 * 3.0 + (*count / 8) as f32 + 1.0 + *count as f32;
            glyphs * glyph <= width
        })
        .unwrap_or(4)
}

/// Where the columns of a line are.
struct Columns {
    rect: Rect,
    glyph: f32,
    per_line: usize,
}

impl Columns {
    fn hex_x(&self, index: usize) -> f32 {
        self.rect.left() + self.glyph * (6.0 + index as f32 * 3.0 + (index / 8) as f32)
    }

    fn text_x(&self, index: usize) -> f32 {
        self.hex_x(self.per_line) + self.glyph * (0.5 + index as f32)
    }

    fn hex(&self, from: usize, to: usize) -> Rect {
        let right = self.hex_x(to - 1) + self.glyph * 2.0;
        Rect::from_x_y_ranges(self.hex_x(from) - 2.0..=right + 2.0, self.rect.y_range())
    }

    fn text(&self, from: usize, to: usize) -> Rect {
        Rect::from_x_y_ranges(self.text_x(from)..=self.text_x(to), self.rect.y_range())
    }

    fn byte_at(&self, x: f32) -> Option<usize> {
        let within = |range: Rect| range.x_range().contains(x);
        (0..self.per_line).find(|index| {
            within(self.hex(*index, index + 1)) || within(self.text(*index, index + 1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        assert_eq!(layout(600.0, 7.0), 16);
        assert_eq!(layout(320.0, 7.0), 8);
        assert_eq!(layout(100.0, 7.0), 4);
    }

    #[test]
    fn every_byte_can_be_pointed_at() {
        let columns = Columns {
            rect: Rect::from_min_size(pos2(10.0, 0.0), vec2(600.0, LINE)),
            glyph: 7.0,
            per_line: 16,
        };
        for index in 0..16 {
            assert_eq!(columns.byte_at(columns.hex_x(index) + 5.0), Some(index));
            assert_eq!(columns.byte_at(columns.text_x(index) + 3.0), Some(index));
        }
        assert_eq!(columns.byte_at(12.0), None);
    }
}
