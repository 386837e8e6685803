//! Paints lanes, spans and marks; a drag narrows the time.

use std::collections::BTreeMap;

use egui::{Align, Color32, Rect, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use glovebox_abi::units::show_duration;
use glovebox_inspector::store::RowId;

use super::layout::{AXIS, LANE, Scale, end};
use super::model::{ReloadMark, State};
use crate::window::action::Change;
use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tokens};
use crate::window::widgets::figures::since_when;
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{name_in, section, steps, text_in};
use crate::workbench::{Overview, RowRef, Source, Span};

/// Paints the timeline.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let digest = ctx.digest;
    head(ui, ctx, digest.range.and_then(|range| outside(state.reloads(), range)));
    let Some(range) = digest.range else {
        let text = match ctx.is_in_file(ctx.source()) {
            false => "Calls appear here as spans, one lane for each plugin",
            true => "Calls appear here once the whole trace was looked over",
        };
        ui.label(plain(text).color(theme::of(ui).text_weak));
        return;
    };
    let height = AXIS + digest.lanes.len() as f32 * LANE;
    egui::ScrollArea::vertical().id_salt("timeline").auto_shrink([false, false]).show(ui, |ui| {
        let (rect, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click_and_drag());
        response.widget_info(|| {
            let (calls, lanes) = (digest.spans.len(), digest.lanes.len());
            let text = format!("Timeline, {calls} calls in {lanes} lanes");
            WidgetInfo::labeled(Role::Image, true, text)
        });
        let scale = Scale::of(rect, range);
        let tokens = theme::of(ui);
        axis(ui, &scale, digest.origin.unwrap_or(range.0), tokens);
        since(ui, rect, &scale, digest.origin);
        names(ui, ctx, rect, &scale, tokens);
        let row = ctx.selection.row.filter(|row| row.source == ctx.source());
        spans(ui, digest, &scale, tokens, row.map(|row| row.row));
        marks(ui, state.reloads(), &scale, tokens);
        if let Some(range) = state.drag.or(ctx.query.range) {
            chosen(ui, range, rect, &scale, tokens);
        }
        point(ctx, state, &scale, response);
    });
}

/// Says how many reloads have no place on the axis, which reaches from the first call to the last.
fn outside(reloads: &[ReloadMark], (first, last): (u64, u64)) -> Option<String> {
    let before = reloads.iter().filter(|reload| reload.at < first).count();
    let after = reloads.iter().filter(|reload| reload.at > last).count();
    let some = |count: usize, place: &str| {
        let word = if count == 1 { "reload" } else { "reloads" };
        (count > 0).then(|| format!("{count} {word} {place}"))
    };
    let parts = [some(before, "before the first call"), some(after, "after the last call")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn head(ui: &mut Ui, ctx: PanelCtx<'_>, outside: Option<String>) {
    let tokens = theme::of(ui);
    let small = |text: &str| plain(text).small().color(tokens.text_weak);
    section(ui, "Timeline", |ui| {
        if ctx.query.range.is_some() && ui.small_button("Show all times").clicked() {
            ctx.change(Change::Range(None));
        }
        ui.label(small("drag, or [ and ], to narrow the list and replays"));
        if let Some(outside) = outside {
            ui.label(small(&format!("{outside} ·")))
                .hint("The drawer lists all of them under Reload history");
        }
        if ctx.digest.is_thinned() {
            let label = ui.label(small("not all calls are shown ·"));
            label.hint("There are more than can be told apart here");
        }
    });
}

/// The name of the instance of a lane.
fn name_of(ctx: PanelCtx<'_>, lane: usize) -> String {
    match ctx.digest.lanes.get(lane) {
        Some((plugin, Some(instance))) => ctx.instance_name(ctx.source(), plugin, *instance),
        Some((name, None)) => name.to_string(),
        None => String::new(),
    }
}

fn names(ui: &Ui, ctx: PanelCtx<'_>, rect: Rect, scale: &Scale, tokens: &Tokens) {
    for lane in 0..ctx.digest.lanes.len() {
        let area = scale.lane(lane);
        let mut name = area;
        name.set_left(rect.left() + 4.0);
        name.set_right(scale.chart.left() - 8.0);
        let body = egui::TextStyle::Body.resolve(ui.style());
        name_in(ui, name, &name_of(ctx, lane), body, tokens.text);
        ui.painter().hline(rect.x_range(), area.bottom(), Stroke::new(1.0, tokens.separator));
    }
}

/// Room for the number of a generation, in points.
const NUMBER: f32 = 40.0;

fn marks(ui: &Ui, reloads: &[ReloadMark], scale: &Scale, tokens: &Tokens) {
    let font = egui::TextStyle::Small.resolve(ui.style());
    // From the newest on, because that is the one whose number is wanted where there is no room for all.
    let mut numbered: BTreeMap<usize, f32> = BTreeMap::new();
    let on_axis = |reload: &&ReloadMark| (scale.first..=scale.last).contains(&reload.at);
    for ReloadMark { lane, at, accepted, generation } in reloads.iter().rev().filter(on_axis) {
        let color = if *accepted { tokens.accent } else { tokens.bad };
        let (x, area) = (scale.x(*at), scale.lane(*lane));
        ui.painter().vline(x, area.y_range(), Stroke::new(2.0, color));
        ui.painter().circle_filled(pos2(x, area.top() + 3.0), 3.0, color);
        let left = if x + NUMBER > scale.chart.right() { x - NUMBER } else { x };
        let end = numbered.entry(*lane).or_insert(f32::INFINITY);
        if !*accepted || left + NUMBER > *end {
            continue;
        }
        *end = left;
        let place = Rect::from_x_y_ranges(left..=left + NUMBER, area.y_range());
        ui.painter().rect_filled(place.shrink2(vec2(2.0, 3.0)), 2.0, tokens.window);
        let align = if left < x { Align::Max } else { Align::Min };
        let text = format!("gen {generation}");
        text_in(ui, place.shrink2(vec2(4.0, 0.0)), align, &text, font.clone(), color);
    }
}

/// The time that is listed, or that is being dragged.
fn chosen(ui: &Ui, (from, to): (u64, u64), rect: Rect, scale: &Scale, tokens: &Tokens) {
    let (left, right) = (scale.x(from.min(to)), scale.x(from.max(to)));
    let mark = Rect::from_x_y_ranges(left..=right.max(left + 1.0), rect.y_range());
    ui.painter().rect_filled(mark, 0.0, tokens.accent.gamma_multiply(0.18));
    let stroke = Stroke::new(1.0, tokens.accent);
    ui.painter().rect_stroke(mark, 0.0, stroke, egui::StrokeKind::Inside);
}

/// Takes what the pointer does.
fn point(ctx: PanelCtx<'_>, state: &mut State, scale: &Scale, response: Response) {
    let Some(pointer) = response.interact_pointer_pos().or(response.hover_pos()) else {
        return;
    };
    let at = scale.time(pointer.x);
    if response.drag_started() {
        state.drag = Some((at, at));
    }
    if let (true, Some((from, _))) = (response.dragged(), state.drag) {
        state.drag = Some((from, at));
    }
    if response.drag_stopped()
        && let Some((from, to)) = state.drag.take()
    {
        ctx.change(Change::Range(Some((from.min(to), from.max(to)))));
    }
    let Some(span) = scale.nearest(ctx.digest, pointer) else {
        return;
    };
    if response.clicked() {
        ctx.change(Change::Select(RowRef { source: ctx.source(), row: span.row }));
    }
    if response.hovered() {
        let unknown = match ctx.source() {
            Source::Live => "running",
            Source::Trace(_) => "no end",
        };
        let took = span.took.map_or_else(|| unknown.to_owned(), show_duration);
        let plugin = name_of(ctx, span.lane);
        let text = format!("{plugin}, frame {}: {took}", span.row.0);
        response.on_hover_text_at_pointer(plain(text));
    }
}

/// Says from when on the axis counts, before its first mark.
fn since(ui: &mut Ui, rect: Rect, scale: &Scale, origin: Option<u64>) {
    let place = Rect::from_x_y_ranges(
        rect.left() + 4.0..=scale.chart.left() - 8.0,
        rect.top()..=rect.top() + AXIS,
    );
    let font = egui::TextStyle::Small.resolve(ui.style());
    text_in(ui, place, Align::Min, "seconds", font, theme::of(ui).text_weak);
    let response = ui.interact(place, ui.scope_id().with("origin"), Sense::hover());
    response.hint(format!("Times are {}, as in the list of frames", since_when(origin)));
}

/// Room that the time at a mark takes.
const MARK: f32 = 110.0;

/// The time at a mark, in seconds, with as many digits as tell it from the next one; both are in
/// nanoseconds.
fn time_at(after: f64, step: f64) -> String {
    let digits = (9.0 - (step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    format!("{:.digits$}", after / 1e9)
}

/// The marks of an axis that counts from `origin`, in nanoseconds since the Unix epoch.
fn axis(ui: &Ui, scale: &Scale, origin: u64, tokens: &Tokens) {
    let after = |at: u64| at.saturating_sub(origin) as f64;
    let (first, last) = (after(scale.first), after(scale.last));
    let most = (scale.chart.width() / MARK).clamp(2.0, 12.0) as usize;
    let step = steps::step(first, last, most);
    for after in steps::marks(first, last, step) {
        let x = scale.x(origin.saturating_add(after as u64));
        ui.painter().vline(
            x,
            scale.chart.y_range(),
            Stroke::new(1.0, tokens.grid.gamma_multiply(0.6)),
        );
        let align = match (x - MARK / 4.0, x + MARK / 4.0) {
            (left, _) if left < scale.chart.left() => egui::Align2::LEFT_TOP,
            (_, right) if right > scale.chart.right() => egui::Align2::RIGHT_TOP,
            _ => egui::Align2::CENTER_TOP,
        };
        let font = egui::TextStyle::Small.resolve(ui.style());
        let place = pos2(x, scale.chart.top());
        ui.painter().text(place, align, time_at(after, step), font, tokens.text_weak);
    }
}

/// Spans that share a pixel are painted once, the worst of them on top.
fn spans(ui: &Ui, digest: &Overview, scale: &Scale, tokens: &Tokens, selected: Option<RowId>) {
    let mut painted = vec![f32::NEG_INFINITY; digest.lanes.len()];
    let mut late = Vec::new();
    for span in &digest.spans {
        let left = scale.x(span.start);
        let right = scale.x(end(span)).max(left + 1.5);
        let area = scale.lane(span.lane).shrink2(vec2(0.0, 3.0));
        let rect = Rect::from_x_y_ranges(left..=right, area.y_range());
        if span.failed || span.denied || selected == Some(span.row) {
            late.push((rect, look(span, tokens, selected == Some(span.row))));
            continue;
        }
        if right <= painted[span.lane] + 0.5 {
            continue;
        }
        painted[span.lane] = right;
        ui.painter().rect_filled(rect, 1.0, tokens.lane(span.lane));
    }
    if digest.is_thinned() {
        failures(ui, digest, scale, tokens);
    }
    for (rect, color) in late {
        ui.painter().rect_filled(rect.expand2(vec2(0.5, 1.0)), 1.0, color);
    }
}

/// Failures among calls that are not all painted, one line per point at most.
fn failures(ui: &Ui, digest: &Overview, scale: &Scale, tokens: &Tokens) {
    let mut painted = vec![f32::NEG_INFINITY; digest.lanes.len()];
    for failure in &digest.failures {
        let lane = failure.lane;
        let left = scale.x(failure.at).round();
        if left > painted[lane] {
            painted[lane] = left;
            let area = scale.lane(lane).shrink2(vec2(0.0, 3.0));
            let line = Rect::from_x_y_ranges(left..=left + 1.0, area.y_range());
            ui.painter().rect_filled(line, 0.0, tokens.bad);
        }
    }
}

fn look(span: &Span, tokens: &Tokens, selected: bool) -> Color32 {
    match (selected, span.failed) {
        (true, _) => tokens.text_strong,
        (false, true) => tokens.bad,
        (false, false) => tokens.warn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_beside_the_axis_are_counted() {
        fn check(at: &[u64], expected: Option<&str>) {
            let mark = |at: &u64| ReloadMark { lane: 0, at: *at, accepted: true, generation: 2 };
            let reloads: Vec<ReloadMark> = at.iter().map(mark).collect();
            assert_eq!(outside(&reloads, (10, 20)).as_deref(), expected, "{at:?}");
        }
        check(&[], None);
        check(&[10, 15, 20], None);
        check(&[9], Some("1 reload before the first call"));
        check(&[10, 21, 30], Some("2 reloads after the last call"));
        check(&[9, 21], Some("1 reload before the first call, 1 reload after the last call"));
    }

    #[test]
    fn times_at_marks_are_told_apart() {
        fn check(seconds: f64, step: f64, expected: &str) {
            assert_eq!(time_at(seconds * 1e9, step * 1e9), expected);
        }
        check(0.0, 1.0, "0");
        check(3723.0, 1.0, "3723");
        check(3600.5, 0.5, "3600.5");
        check(3600.0002, 0.0002, "3600.0002");
        check(20.0, 10.0, "20");
    }
}
