//! A tree of fields, each tied to the bytes it stands for.

use std::collections::HashSet;
use std::ops::Range;

use egui::{Align, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_inspector::decode::Node;
use glovebox_inspector::filter;

use super::text::{line, plain};
use super::{icon_font, paint_row, text_in};
use crate::window::theme::{self, ROW};

/// Which branches are closed, which field is selected.
#[derive(Debug, Default)]
pub(crate) struct State {
    closed: HashSet<String>,
    /// The bytes of the selected field.
    pub selected: Range<usize>,
}

/// The interaction with a tree in this frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pointed {
    /// The bytes of the field under the pointer.
    pub hovered: Option<Range<usize>>,
    /// The bytes of the field that was clicked.
    pub clicked: Option<Range<usize>>,
    /// `path` and value of a field to filter by.
    pub filter: Option<String>,
    /// The value to copy.
    pub copy: Option<String>,
}

/// Shows the children of `root`; `hovered` is marked as if the pointer were on it.
pub(crate) fn show(ui: &mut Ui, root: &Node, state: &mut State, hovered: &Range<usize>) -> Pointed {
    let mut pointed = Pointed::default();
    ui.spacing_mut().item_spacing.y = 0.0;
    let column = column(ui, &root.children, 0);
    let mut room = SHOWN;
    for node in &root.children {
        let place = (node.label.clone(), (0, column));
        branch(ui, node, place, state, hovered, (&mut pointed, &mut room));
    }
    if room == 0 {
        let text =
            format!("Not all fields are shown, but the first {SHOWN}; close some to see more");
        ui.label(plain(text).color(theme::of(ui).warn));
    }
    pointed
}

/// Fields that are laid out.
const SHOWN: usize = 2_000;
/// Bytes of a value that make a filter which can be read and changed.
const FILTERED: usize = 1024;
/// Labels that are measured to find where values start.
const MEASURED: usize = 64;
const INDENT: f32 = 14.0;
const LABELS: f32 = 20.0;

/// How far from the left the values of siblings start, so that they stand below each other.
fn column(ui: &Ui, siblings: &[Node], depth: usize) -> f32 {
    let font = egui::TextStyle::Body.resolve(ui.style());
    let width = |node: &Node| {
        let text = line(&node.label).into_owned();
        ui.painter().layout_no_wrap(text, font.clone(), egui::Color32::PLACEHOLDER).size().x
    };
    let widest = siblings.iter().take(MEASURED).map(width).fold(0.0, f32::max);
    let column = LABELS + depth as f32 * INDENT + widest + 8.0;
    column.clamp(104.0, (ui.available_width() * 0.5).max(104.0))
}

/// The deepest field that holds this byte.
pub(crate) fn field_at(node: &Node, byte: usize) -> Option<&Node> {
    if !node.range.contains(&byte) {
        return None;
    }
    let deeper = node.children.iter().find_map(|child| field_at(child, byte));
    deeper.or(Some(node))
}

fn branch(
    ui: &mut Ui,
    node: &Node,
    (path, (depth, column_of_values)): (String, (usize, f32)),
    state: &mut State,
    hovered: &Range<usize>,
    (pointed, room): (&mut Pointed, &mut usize),
) {
    if *room == 0 {
        return;
    }
    *room -= 1;
    let tokens = theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let open = !state.closed.contains(&path);
    let is_branch = !node.children.is_empty();
    if ui.is_rect_visible(rect) {
        let selected = !node.range.is_empty() && state.selected == node.range;
        let marked = response.hovered() || (!node.range.is_empty() && *hovered == node.range);
        paint_row(ui, rect, selected, marked);
        let left = rect.left() + 4.0 + depth as f32 * INDENT;
        if is_branch {
            let caret = if open { icon::ICON_EXPAND_MORE } else { icon::ICON_CHEVRON_RIGHT };
            ui.painter().text(
                pos2(left, rect.center().y),
                egui::Align2::LEFT_CENTER,
                caret.codepoint,
                icon_font(14.0),
                tokens.text_weak,
            );
        }
        let label_left = left + LABELS - 4.0;
        let font = egui::TextStyle::Body.resolve(ui.style());
        let label = line(&node.label).into_owned();
        let label = ui.painter().layout_no_wrap(label, font, tokens.text_weak);
        let value_left = (label_left + label.size().x + 8.0).max(rect.left() + column_of_values);
        ui.painter().galley(
            pos2(label_left, rect.center().y - label.size().y / 2.0),
            label,
            tokens.text_weak,
        );
        let mut value_rect = rect;
        value_rect.set_left(value_left);
        value_rect.set_right(rect.right() - 4.0);
        text_in(ui, value_rect, Align::Min, &node.value, theme::mono(11.5), tokens.text);
    }
    response.widget_info(|| {
        let text = format!("{}: {}", line(&node.label), line(&node.value));
        WidgetInfo::selected(Role::TreeItem, true, open && is_branch, text)
    });
    if response.hovered() {
        pointed.hovered = Some(node.range.clone());
    }
    if response.clicked() {
        let selected_already = state.selected == node.range;
        pointed.clicked = Some(node.range.clone());
        let on_caret = response
            .interact_pointer_pos()
            .is_some_and(|at| at.x < rect.left() + LABELS + depth as f32 * INDENT);
        if is_branch && (on_caret || selected_already) {
            if open {
                state.closed.insert(path.clone());
            } else {
                state.closed.remove(&path);
            }
        }
    }
    response.context_menu(|ui| {
        let has_path = |root| path.strip_prefix(root).is_some_and(|path: &str| !path.is_empty());
        if !is_branch
            && (has_path("header") || has_path("payload"))
            && node.value.len() <= FILTERED
            && ui.button("Apply as filter").clicked()
        {
            pointed.filter = Some(format!("{path}={}", filter::quote(&node.value)));
        }
        if ui.button("Copy value").clicked() {
            pointed.copy = Some(node.value.clone());
        }
    });
    if open && is_branch {
        let column = column(ui, &node.children, depth + 1);
        for child in &node.children {
            let path = format!("{path}{}", filter::path_step(&child.label));
            let place = (path, (depth + 1, column));
            branch(ui, child, place, state, hovered, (&mut *pointed, &mut *room));
            if *room == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_find_their_field() {
        let leaf = |label: &str, range: Range<usize>| Node {
            label: label.into(),
            value: String::new(),
            range,
            children: Vec::new(),
        };
        let root = Node {
            label: "frame".into(),
            value: String::new(),
            range: 0..10,
            children: vec![leaf("prefix", 0..4), leaf("payload", 4..9)],
        };
        let label = |byte| field_at(&root, byte).map(|node| node.label.as_str());
        assert_eq!(label(0), Some("prefix"));
        assert_eq!(label(8), Some("payload"));
        assert_eq!(label(9), Some("frame"));
        assert_eq!(label(10), None);
    }
}
