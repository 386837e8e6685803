use std::ops::Range;

use egui::{Align, Ui};
use egui_material_icons::icons as icon;
use egui_table::{Column, HeaderRow, Table};
use glovebox_abi::units::show_duration;
use glovebox_inspector::store::RowId;

use super::bar;
use super::model::{Condition, RowList};
use super::room::{Given, Room};
use super::rows::Delegate;
use super::stretch::Stretch;
use crate::window::action::{Actions, Change};
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{badge, empty, icon_button};
use crate::workbench::{RowRef, Rows, SearchStage, Source, ViewCtx};

/// What the list of frames remembers.
#[derive(Debug)]
pub struct State {
    /// The rows that are shown.
    pub list: RowList,
    /// True if the newest row is kept in view.
    pub follow: bool,
    /// A row to bring into view.
    pub reveal: Option<RowId>,
    /// Rows that were painted last.
    pub painted: usize,
    /// Length of the list when its end was last brought into view.
    followed: usize,
    stretch: Stretch,
    room: Room,
    /// Positions that were seen last.
    seen: Range<usize>,
    /// A position to bring to the top.
    top: Option<usize>,
}

impl Default for State {
    fn default() -> Self {
        State {
            list: RowList::default(),
            follow: true,
            reveal: None,
            painted: 0,
            followed: 0,
            stretch: Stretch::default(),
            room: Room::default(),
            seen: 0..0,
            top: None,
        }
    }
}

pub(super) const COLUMNS: [(&str, f32, Align); 9] = [
    ("#", 72.0, Align::Max),
    ("time, s", 84.0, Align::Max),
    ("Δt", 72.0, Align::Max),
    ("plugin", 104.0, Align::Min),
    ("dir", 36.0, Align::Center),
    ("kind", 72.0, Align::Min),
    ("size", 68.0, Align::Max),
    ("latency", 72.0, Align::Max),
    ("status", 220.0, Align::Min),
];

/// Columns that go first where there is no room for all of them.
const EXPENDABLE: [usize; 5] = [2, 5, 6, 1, 3];
/// The least width of the last column, in points.
const STATUS: f32 = 132.0;

/// Positions in [`COLUMNS`] of those that fit into a width.
fn columns_for(width: f32) -> Vec<usize> {
    let mut shown: Vec<_> = (0..COLUMNS.len()).collect();
    let needed = |shown: &[usize]| {
        let rest = shown[..shown.len() - 1].iter().map(|index| COLUMNS[*index].1);
        rest.sum::<f32>() + STATUS + 12.0
    };
    for column in EXPENDABLE {
        if needed(&shown) <= width {
            break;
        }
        shown.retain(|index| *index != column);
    }
    shown
}

/// Takes in what is new; called even while another tab is in front, because the keys work there.
pub(in crate::window) fn refresh(ctx: ViewCtx<'_>, state: &mut ViewState) -> bool {
    let condition = Condition {
        source: state.selection.source,
        filter: state.query.filter.clone(),
        range: state.query.range,
        revision: state.query.revision(),
    };
    let list = &mut state.panels.frames.list;
    let search = ctx.search(state.selection.source);
    ctx.rows(state.selection.source, |rows| list.refresh(condition, rows, search));
    list.more()
}

/// Paints the list of frames.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    head(ui, ctx, state, out);
    let frames = &mut state.panels.frames;
    if frames.list.is_empty() {
        frames.painted = 0;
        let filtered = state.query.is_set() && frames.list.total() > 0;
        if let (true, Some(search)) = (filtered, ctx.search(state.selection.source)) {
            let text = match search.stage {
                SearchStage::Waiting => Some("A filter waits until the trace is scanned"),
                SearchStage::Running => Some("Searching…"),
                SearchStage::Stopped => Some("The search was stopped before it found anything"),
                SearchStage::Done => None,
            };
            if let Some(text) = text {
                let color = theme::of(ui).text_weak;
                ui.centered_and_justified(|ui| ui.label(plain(text).color(color)));
                return;
            }
        }
        let now = Situation { filter: true, ..Situation::default() };
        return if filtered {
            let hint = format!("{} frames are left out", frames.list.total());
            empty(
                ui,
                icon::ICON_FILTER_ALT,
                "No frame fulfils the filter",
                &hint,
                Some(Verb::ClearFilter),
                &now,
                out,
            );
        } else {
            let hint = "Frames appear here as soon as a plugin gets or gives one";
            empty(
                ui,
                icon::ICON_TABLE_ROWS,
                "No frames yet",
                hint,
                Some(Verb::OpenPlugin),
                &now,
                out,
            );
        };
    }
    table(ui, ctx, state, out);
}

fn head(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let tokens = theme::of(ui);
    ui.horizontal(|ui| {
        ui.set_height(28.0);
        ui.add_space(8.0);
        match state.selection.source {
            Source::Live => badge(ui, "Live", Tone::Accent),
            Source::Trace(id) => {
                let name = ctx.trace(id).map_or("closed trace", |trace| &trace.name);
                badge(ui, name, Tone::Neutral)
            }
        };
        if state.selection.source != Source::Live && ui.small_button("Show live").clicked() {
            out.view(Change::Source(Source::Live));
        }
        let list = &state.panels.frames.list;
        let text = match list.len() == list.total() {
            true => format!("{} frames", thousands(list.total() as u64)),
            false => format!(
                "{} of {} frames",
                thousands(list.len() as u64),
                thousands(list.total() as u64)
            ),
        };
        ui.label(plain(text).color(tokens.text_weak));
        let (evicted, missing) = match state.selection.source {
            Source::Live => ctx.read(Source::Live, |store| (store.evicted(), store.missing())),
            Source::Trace(id) => ctx.trace(id).map(|trace| match trace.rows() {
                Rows::Here(store) => (store.evicted(), trace.missing()),
                // What is not in memory is in the file.
                Rows::Paged(_) => (0, trace.missing()),
            }),
        }
        .unwrap_or_default();
        in_file(ui, ctx, state);
        if evicted > 0 {
            let text = format!("{} evicted", thousands(evicted));
            badge(ui, &text, Tone::Info)
                .hint("Older frames no longer fit into memory; a recording keeps all of them");
        }
        if missing > 0 {
            badge(ui, &format!("{} missing", thousands(missing)), Tone::Warn);
        }
        if let Some((from, to)) = state.query.range {
            let text =
                format!("{} selected", show_duration(std::time::Duration::from_nanos(to - from)));
            if ui.small_button(text).hint("Show all times again").clicked() {
                out.view(Change::Range(None));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(4.0);
            let follow = state.panels.frames.follow;
            let response = icon_button(
                ui,
                icon::ICON_VERTICAL_ALIGN_BOTTOM,
                "Follow the newest frame (End)",
                true,
            );
            if follow {
                ui.painter().hline(
                    response.rect.shrink(5.0).x_range(),
                    response.rect.bottom() - 1.0,
                    egui::Stroke::new(2.0, tokens.accent),
                );
            }
            if response.clicked() {
                state.panels.frames.follow = !follow;
                state.panels.frames.followed = 0;
            }
        });
    });
}

/// Says how far a trace that is not held is known.
fn in_file(ui: &mut Ui, ctx: ViewCtx<'_>, state: &ViewState) {
    let Some(pages) = ctx.pages(state.selection.source) else {
        return;
    };
    if pages.index().is_none() {
        badge(ui, "not scanned yet", Tone::Info).hint(
            "The rows are those that the summary of the file counts. How some calls ended, and \
             what a filter finds, is known once the file was scanned",
        );
    }
    if let Some(trouble) = pages.trouble() {
        badge(ui, "cannot be read", Tone::Bad).hint(trouble);
    }
    let search = ctx.search(state.selection.source);
    if search.is_some_and(|search| search.stage == SearchStage::Stopped) {
        badge(ui, "search stopped", Tone::Warn)
            .hint("Rows after those found may match, too; change the filter to search again");
    }
}

/// Paints the rows, and for a list that is laid out in part its scroll bar.
fn table(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let len = state.panels.frames.list.len();
    let is_part = Stretch::is_part(len);
    let mut area = ui.available_rect_before_wrap();
    let bar_area = area.with_min_x(area.right() - bar::WIDTH);
    if is_part {
        area.set_right(bar_area.left());
    }
    let inside = egui::UiBuilder::new().id_salt("list").max_rect(area);
    let painted = ui.scope_builder(inside, |ui| {
        if is_part {
            // It would be that of the stretch alone.
            let scroll = &mut ui.spacing_mut().scroll;
            (scroll.bar_width, scroll.floating_width) = (0.0, 0.0);
        }
        rows(ui, ctx, state, out)
    });
    let Painted { seen, was_moved } = painted.inner;
    if !is_part {
        return;
    }
    let frames = &mut state.panels.frames;
    if let Some(position) = bar::show(ui, bar_area, &seen, len) {
        frames.follow = false;
        frames.top = Some(position);
        ui.ctx().request_repaint();
    } else if !was_moved && frames.stretch.follow(&seen, len) {
        frames.top = Some(seen.start);
        ui.ctx().request_repaint();
    }
}

/// What was painted of a list.
struct Painted {
    /// Positions in the list.
    seen: Range<usize>,
    /// True if a position was brought into view.
    was_moved: bool,
}

fn rows(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) -> Painted {
    let source = state.selection.source;
    let selected = state.selection.row.filter(|row| row.source == source);
    let frames = &mut state.panels.frames;
    let len = frames.list.len();
    let target = frames.target(ctx, source);
    if let Some((position, _)) = target {
        frames.stretch.reach(position, len);
    }
    let range = frames.stretch.range(len);
    let before = |position: usize| position.saturating_sub(range.start);
    let seen = before(frames.seen.start)..before(frames.seen.end);
    let list = (source, state.query.revision());
    let Given { ahead, scroll_to } = frames.room.give(range.len(), &seen, list, frames.follow);
    let (shown, columns) = columns(ui);
    // Positions of a list that changes all the time are no places to glide to.
    ui.style_mut().scroll_animation = egui::style::ScrollAnimation::none();
    let mut table = Table::new()
        .id_salt("frames")
        .num_rows((range.len() + ahead) as u64)
        .columns(columns)
        .headers([HeaderRow::new(24.0)])
        .stick_to_bottom(frames.follow && range.end == len);
    if let Some((position, align)) = target {
        table = table.scroll_to_row((position - range.start + ahead) as u64, align);
    } else if let Some(row) = scroll_to {
        table = table.scroll_to_row(row as u64, Some(Align::TOP));
    }
    let mut delegate = Delegate {
        ctx,
        source,
        shown,
        list: &frames.list,
        selected: selected.map(|row| row.row),
        slots: Vec::new(),
        start: range.start,
        ahead: ahead as u64,
        first: ahead as u64,
        clicked: None,
        out,
        tokens: theme::of(ui),
    };
    let response = table.show(ui, &mut delegate);
    let first = range.start + (delegate.first - delegate.ahead) as usize;
    let seen = first..first + delegate.slots.len();
    frames.painted = delegate.slots.iter().filter(|slot| slot.line.is_some()).count();
    let clicked = delegate.clicked;
    frames.seen = seen.clone();
    let scrolled = match response.contains_pointer() {
        true => ui.input(|input| input.smooth_scroll_delta().y),
        false => 0.0,
    };
    if scrolled > 0.0 {
        frames.follow = false;
    }
    if scrolled != 0.0 {
        frames.reveal = None;
    }
    if let Some(row) = clicked {
        frames.follow = false;
        out.view(Change::Select(RowRef { source, row }));
    }
    Painted { seen, was_moved: target.is_some() }
}

impl State {
    /// The position that is to be brought into view, and where.
    fn target(&mut self, ctx: ViewCtx<'_>, source: Source) -> Option<(usize, Option<Align>)> {
        let len = self.list.len();
        let reveal = self.reveal;
        if !self.list.more() {
            // Until all rows are found, more may come before it.
            self.reveal = None;
        }
        let position = |row| ctx.rows(source, |rows| self.list.position(row, rows)).flatten();
        if let Some(position) = reveal.and_then(position) {
            return Some((position, None));
        }
        if let Some(position) = self.top.take() {
            return Some((position.min(len - 1), Some(Align::TOP)));
        }
        if self.follow && self.followed != len {
            self.followed = len;
            return Some((len - 1, Some(Align::BOTTOM)));
        }
        None
    }
}

/// The columns that fit, by their places in [`COLUMNS`] and for the table.
fn columns(ui: &Ui) -> (Vec<usize>, Vec<Column>) {
    let shown = columns_for(ui.available_width());
    let last = COLUMNS.len() - 1;
    let column_id = |index: usize| egui::Id::unique(("frames column", index));
    let id = Table::new().id_salt("frames").get_id(ui);
    let widths = egui_table::TableState::load(ui, id).unwrap_or_default();
    let width = |index: usize| {
        let known = widths.col_widths.get(&column_id(index)).copied();
        known.unwrap_or(COLUMNS[index].1)
    };
    let rest: f32 = shown.iter().filter(|index| **index != last).map(|index| width(*index)).sum();
    let fill = (ui.available_width() - rest - 12.0).max(STATUS);
    let column = |index: &usize| match *index == last {
        true => Column::new(fill).range(fill..=fill).id(column_id(last)).resizable(false),
        false => Column::new(COLUMNS[*index].1).range(32.0..=400.0).id(column_id(*index)),
    };
    let columns = shown.iter().map(column).collect();
    // Without a state the table would measure every cell first.
    widths.store(ui, id);
    (shown, columns)
}

/// A number with a thin space between thousands.
pub(in crate::window) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 4);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_lists_drop_what_matters_least() {
        let names = |width| -> Vec<_> {
            columns_for(width).into_iter().map(|index| COLUMNS[index].0).collect()
        };
        assert_eq!(names(900.0).len(), COLUMNS.len());
        assert_eq!(names(320.0), ["#", "dir", "latency", "status"]);
        assert_eq!(names(10.0).last(), Some(&"status"));
    }
}
