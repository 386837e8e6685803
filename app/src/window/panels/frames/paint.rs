//! Paints the list of frames, the line above it and the scroll bar.

use std::ops::Range;

use egui::{Align, Ui};
use egui_material_icons::icons as icon;
use egui_table::{HeaderRow, Table};
use glovebox_abi::units::show_duration;
use glovebox_inspector::search::Order;

use super::bar;
use super::layout::{columns, words_of};
use super::model::{InFile, State};
use super::room::Given;
use super::rows::Delegate;
use super::stretch::Stretch;
use crate::window::action::Change;
use crate::window::buttons::empty;
use crate::window::commands::{Verb, entry};
use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{badge, icon_button};
use crate::workbench::{RowRef, Rows, SearchStage, Source};

/// Paints the list of frames.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    head(ui, ctx, state);
    if state.list.is_empty() {
        state.painted = 0;
        nothing(ui, ctx, state.list.total());
    } else {
        table(ui, ctx, state);
    }
}

/// Why there is no row, of so many frames in all.
fn nothing(ui: &mut Ui, ctx: PanelCtx<'_>, total: usize) {
    if total == 0 || !(ctx.query.is_set() || ctx.query.order.is_some()) {
        let hint = "Frames appear here as soon as a plugin gets or gives one";
        let words = ("No frames yet", hint);
        let verb = if ctx.now.plugin { Verb::Send } else { Verb::OpenPlugin };
        return empty(ui, ctx, icon::ICON_TABLE_ROWS, words, Some(verb));
    }
    let text = ctx.search(ctx.source()).and_then(|search| match search.stage {
        SearchStage::Waiting => Some("Filter and order wait until the trace is scanned"),
        SearchStage::Running => Some("Searching…"),
        SearchStage::Stopped => Some("The search was stopped before it found anything"),
        SearchStage::Done => None,
    });
    if let Some(text) = text {
        let color = theme::of(ui).text_weak;
        ui.centered_and_justified(|ui| ui.label(plain(text).color(color)));
        return;
    }
    let hint = format!("{total} frames are left out");
    let words = ("No frame fulfils the filter", hint.as_str());
    empty(ui, ctx, icon::ICON_FILTER_ALT, words, Some(Verb::ClearFilter));
}

fn head(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let tokens = theme::of(ui);
    ui.horizontal(|ui| {
        ui.set_height(28.0);
        ui.add_space(8.0);
        match ctx.source() {
            Source::Live => badge(ui, "Live", Tone::Accent),
            Source::Trace(id) => {
                let name = ctx.trace(id).map_or("closed trace", |trace| &trace.name);
                badge(ui, name, Tone::Neutral)
            }
        };
        if ctx.source() != Source::Live && ui.small_button("Show live").clicked() {
            ctx.change(Change::Source(Source::Live));
        }
        let list = &state.list;
        let is_searching = list.more() && (ctx.query.is_set() || ctx.query.order.is_some());
        let text = count_of_frames(list.matching(), list.total(), is_searching);
        ui.label(plain(text).color(tokens.text_weak));
        if let Some(order) = ctx.query.order {
            sorted(ui, ctx, order, (list.len(), list.matching()));
        }
        let (evicted, missing) = losses(ctx);
        in_file(ui, ctx, state);
        if evicted > 0 {
            let text = format!("{} evicted", thousands(evicted));
            badge(ui, &text, Tone::Info)
                .hint("Older frames no longer fit into memory; a recording keeps all of them");
        }
        if missing > 0 {
            badge(ui, &format!("{} missing", thousands(missing)), Tone::Warn);
        }
        if let Some((from, to)) = ctx.query.range {
            let text =
                format!("{} selected", show_duration(std::time::Duration::from_nanos(to - from)));
            if ui.small_button(text).hint("Show all times again").clicked() {
                ctx.change(Change::Range(None));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| follow(ui, ctx, state));
    });
}

/// How many of all frames are listed, and whether more may come.
fn count_of_frames(listed: usize, total: usize, is_searching: bool) -> String {
    let total = thousands(total as u64);
    match (thousands(listed as u64), is_searching) {
        (listed, true) => format!("{listed} of {total} frames, searching…"),
        (listed, false) if listed == total => format!("{total} frames"),
        (listed, false) => format!("{listed} of {total} frames"),
    }
}

/// Says how the list is sorted, and leads back to the order of time.
fn sorted(ui: &mut Ui, ctx: PanelCtx<'_>, order: Order, (shown, matching): (usize, usize)) {
    let mut text = words_of(order);
    if shown < matching {
        text = format!("the first {} {text}", thousands(shown as u64));
    }
    let line = entry(Verb::TimeOrder);
    let hint = format!("Back to the order of time ({})", line.shortcut().unwrap_or_default());
    if ui.small_button(plain(format!("{text} ✕"))).hint(hint).clicked() {
        ctx.run(Verb::TimeOrder);
    }
}

/// The button that keeps the newest frame in view.
fn follow(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    ui.add_space(4.0);
    let name = match state.list.is_in_time_order() {
        true => "Follow the newest frame (End)",
        false => "Follow the newest frame in the order of time",
    };
    let response = icon_button(ui, icon::ICON_VERTICAL_ALIGN_BOTTOM, name, true);
    if state.follows() {
        ui.painter().hline(
            response.rect.shrink(5.0).x_range(),
            response.rect.bottom() - 1.0,
            egui::Stroke::new(2.0, theme::of(ui).accent),
        );
    }
    if response.clicked() {
        // In another order the newest frame is anywhere.
        match state.list.is_in_time_order() {
            true => {
                state.follow = !state.follow;
                state.followed = 0;
            }
            false => {
                ctx.run(Verb::TimeOrder);
                ctx.run(Verb::FollowTail);
            }
        }
    }
}

/// Frames that were evicted, and events that are missing.
fn losses(ctx: PanelCtx<'_>) -> (u64, u64) {
    match ctx.source() {
        Source::Live => (ctx.live().evicted, ctx.live().missing),
        Source::Trace(id) => ctx.trace(id).map_or((0, 0), |trace| match trace.rows() {
            Rows::Here(store) => (store.evicted(), trace.missing()),
            // Rows that are not in memory are in the file.
            Rows::Paged(_) => (0, trace.missing()),
        }),
    }
}

/// Says how far a trace that is not held is known.
fn in_file(ui: &mut Ui, ctx: PanelCtx<'_>, state: &State) {
    let Some(InFile { is_scanned, trouble }) = &state.in_file else {
        return;
    };
    if !is_scanned {
        badge(ui, "not scanned yet", Tone::Info).hint(
            "The rows are those that the summary of the file counts. How some calls ended, and \
             what a filter finds, is known once the file was scanned",
        );
    }
    if let Some(trouble) = trouble {
        badge(ui, "cannot be read", Tone::Bad).hint(trouble);
    }
    let search = ctx.search(ctx.source());
    if search.is_some_and(|search| search.stage == SearchStage::Stopped) {
        badge(ui, "search stopped", Tone::Warn)
            .hint("Rows after those found may match, too; change the filter to search again");
    }
}

/// Paints the rows, and for a list that is laid out in part its scroll bar.
fn table(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let len = state.list.len();
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
        rows(ui, ctx, state)
    });
    let Painted { seen, was_moved } = painted.inner;
    if !is_part {
        return;
    }
    if let Some(position) = bar::show(ui, bar_area, &seen, len) {
        state.follow = false;
        state.top = Some(position);
        ui.ctx().request_repaint();
    } else if !was_moved && state.stretch.follow(&seen, len) {
        state.top = Some(seen.start);
        ui.ctx().request_repaint();
    }
}

/// The painted part of a list.
struct Painted {
    /// Positions in the list.
    seen: Range<usize>,
    /// True if a position was brought into view.
    was_moved: bool,
}

fn rows(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) -> Painted {
    let source = ctx.source();
    let len = state.list.len();
    let goal = state.take_goal();
    if let Some((position, _)) = goal {
        state.stretch.reach(position, len);
    }
    let range = state.stretch.range(len);
    let before = |position: usize| position.saturating_sub(range.start);
    let seen = before(state.seen.start)..before(state.seen.end);
    let list = (source, ctx.query.revision());
    let Given { ahead, scroll_to } = state.room.give(range.len(), &seen, list, state.follows());
    let has_twins = ctx.plugins().iter().any(|plugin| ctx.twin_name(plugin).is_some());
    let (shown, columns) = columns(ui, has_twins);
    // Positions of a list that changes all the time are no places to glide to.
    ui.style_mut().scroll_animation = egui::style::ScrollAnimation::none();
    let mut table = Table::new()
        .id_salt("frames")
        .num_rows((range.len() + ahead) as u64)
        .columns(columns)
        .headers([HeaderRow::new(24.0)])
        .stick_to_bottom(state.follows() && range.end == len);
    if let Some((position, align)) = goal {
        table = table.scroll_to_row((position - range.start + ahead) as u64, align);
    } else if let Some(row) = scroll_to {
        table = table.scroll_to_row(row as u64, Some(Align::TOP));
    }
    let selected = ctx.selection.row.filter(|row| row.source == source);
    let mut delegate = Delegate {
        ctx,
        shown,
        lines: &state.lines,
        len,
        selected: selected.map(|row| row.row),
        start: range.start,
        ahead: ahead as u64,
        seen: 0..0,
        clicked: None,
        tokens: theme::of(ui),
    };
    let response = table.show(ui, &mut delegate);
    let Delegate { seen, clicked, .. } = delegate;
    let copied = seen.clone().filter_map(|position| state.lines.get(position));
    let (copied, painted) = copied.fold((0, 0), |(copied, painted), slot| {
        (copied + 1, painted + usize::from(slot.line.is_some()))
    });
    state.painted = painted;
    if copied < seen.len() {
        // They are there the next time.
        ui.ctx().request_repaint();
    }
    state.seen = seen.clone();
    let scrolled = match response.contains_pointer() {
        true => ui.input(|input| input.smooth_scroll_delta().y),
        false => 0.0,
    };
    if scrolled > 0.0 {
        state.follow = false;
    }
    if scrolled != 0.0 {
        state.reveal = None;
    }
    if let Some(row) = clicked {
        state.follow = false;
        ctx.change(Change::Select(RowRef { source, row }));
    }
    Painted { seen, was_moved: goal.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_says_that_it_grows() {
        let check = |count: (usize, usize, bool), expected: &str| {
            assert_eq!(count_of_frames(count.0, count.1, count.2), expected);
        };
        check((467, 1_000_000, true), "467 of 1\u{2009}000\u{2009}000 frames, searching…");
        check((3, 3, true), "3 of 3 frames, searching…");
        check((467, 1_000_000, false), "467 of 1\u{2009}000\u{2009}000 frames");
        check((3, 3, false), "3 frames");
    }
}
