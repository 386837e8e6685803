//! Lanes per plugin: calls as spans, marks for reloads, failures and denials; drag to narrow.

use std::time::Duration;

use egui::{Align, Color32, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use glovebox_abi::units::show_duration;

use crate::window::action::{Actions, Change};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tokens};
use crate::window::widgets::text::{Hint, plain};
use crate::window::widgets::{section, steps, text_in};
use crate::workbench::{Overview, RowRef, Source, Span, ViewCtx};

/// What the timeline remembers.
#[derive(Debug, Default)]
pub struct State {
    drag: Option<(u64, u64)>,
}

const LANE: f32 = 18.0;
const NAMES: f32 = 112.0;
const AXIS: f32 = 18.0;

/// Paints the timeline.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let tokens = theme::of(ui);
    section(ui, "Timeline", |ui| {
        if state.query.range.is_some() && ui.small_button("Show all times").clicked() {
            out.view(Change::Range(None));
        }
        let text = plain("drag, or [ and ], to narrow the list and replays")
            .small()
            .color(tokens.text_weak);
        ui.label(text);
        if state.overview.digest().is_thinned() {
            let text = "not all calls are shown ·";
            let text = plain(text).small().color(tokens.text_weak);
            ui.label(text).hint("There are more than can be told apart here");
        }
    });
    let digest = state.overview.digest();
    let Some((first, last)) = digest.range else {
        let text = match ctx.pages(state.selection.source) {
            None => "Calls appear here as spans, one lane per plugin",
            Some(_) => "Calls appear here once the whole trace was looked over",
        };
        ui.label(plain(text).color(tokens.text_weak));
        return;
    };
    let reloads = ctx.read(state.selection.source, |store| {
        let of = |(lane, plugin): (usize, &std::sync::Arc<str>)| {
            let reloads = store.reloads(plugin);
            reloads.map(|reload| (lane, reload.at, reload.result.is_ok())).collect::<Vec<_>>()
        };
        digest.plugins.iter().enumerate().flat_map(of).collect::<Vec<_>>()
    });
    let reloads = reloads.unwrap_or_default();
    let height = AXIS + digest.plugins.len() as f32 * LANE;
    let row = state.selection.row.filter(|row| row.source == state.selection.source);
    let selected = row.map(|row| row.row);
    egui::ScrollArea::vertical().id_salt("timeline").auto_shrink([false, false]).show(ui, |ui| {
        let (rect, response) =
            ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click_and_drag());
        response.widget_info(|| {
            let text = format!(
                "Timeline, {} calls of {} plugins",
                digest.spans.len(),
                digest.plugins.len()
            );
            WidgetInfo::labeled(Role::Image, true, text)
        });
        let mut chart = rect;
        chart.set_left(rect.left() + NAMES);
        chart.set_right(rect.right() - 8.0);
        let scale = Scale { chart, first, last: last.max(first + 1000) };
        axis(ui, &scale, tokens);
        for (lane, plugin) in digest.plugins.iter().enumerate() {
            let area = scale.lane(lane);
            let mut name = area;
            name.set_left(rect.left() + 4.0);
            name.set_right(chart.left() - 8.0);
            let body = egui::TextStyle::Body.resolve(ui.style());
            text_in(ui, name, Align::Min, plugin, body, tokens.text);
            ui.painter().hline(rect.x_range(), area.bottom(), Stroke::new(1.0, tokens.separator));
        }
        spans(ui, digest, &scale, tokens, selected);
        for (lane, at, accepted) in reloads {
            let color = if accepted { tokens.accent } else { tokens.bad };
            let x = scale.x(at);
            let area = scale.lane(lane);
            ui.painter().vline(x, area.y_range(), Stroke::new(2.0, color));
            ui.painter().circle_filled(pos2(x, area.top() + 3.0), 3.0, color);
        }
        let shown = state.panels.timeline.drag.or(state.query.range);
        if let Some((from, to)) = shown {
            let mark = Rect::from_x_y_ranges(
                scale.x(from)..=scale.x(to).max(scale.x(from) + 1.0),
                rect.y_range(),
            );
            ui.painter().rect_filled(mark, 0.0, tokens.accent.gamma_multiply(0.18));
            ui.painter().rect_stroke(
                mark,
                0.0,
                Stroke::new(1.0, tokens.accent),
                egui::StrokeKind::Inside,
            );
        }
        let Some(pointer) = response.interact_pointer_pos().or(response.hover_pos()) else {
            return;
        };
        let at = scale.time(pointer.x);
        if response.drag_started() {
            state.panels.timeline.drag = Some((at, at));
        }
        if let (true, Some((from, _))) = (response.dragged(), state.panels.timeline.drag) {
            state.panels.timeline.drag = Some((from, at));
        }
        if response.drag_stopped()
            && let Some((from, to)) = state.panels.timeline.drag.take()
        {
            out.view(Change::Range(Some((from.min(to), from.max(to)))));
        }
        let near = nearest(digest, &scale, pointer);
        if let (true, Some(span)) = (response.clicked(), near) {
            out.view(Change::Select(RowRef { source: state.selection.source, row: span.row }));
        }
        if let Some(span) = near.filter(|_| response.hovered()) {
            let unknown = match state.selection.source {
                Source::Live => "running",
                Source::Trace(_) => "no end",
            };
            let took = span.took.map_or_else(|| unknown.to_owned(), show_duration);
            let plugin = &digest.plugins[span.plugin];
            let text = format!("{plugin}, frame {}: {took}", span.row.0);
            response.on_hover_text_at_pointer(plain(text));
        }
    });
}

/// From time to place and back.
struct Scale {
    chart: Rect,
    first: u64,
    last: u64,
}

impl Scale {
    fn x(&self, at: u64) -> f32 {
        let whole = (self.last - self.first) as f64;
        let part = (at.saturating_sub(self.first)) as f64 / whole;
        self.chart.left() + self.chart.width() * part.min(1.0) as f32
    }

    fn time(&self, x: f32) -> u64 {
        let part = ((x - self.chart.left()) / self.chart.width()).clamp(0.0, 1.0);
        self.first + ((self.last - self.first) as f64 * f64::from(part)) as u64
    }

    fn lane(&self, lane: usize) -> Rect {
        let top = self.chart.top() + AXIS + lane as f32 * LANE;
        Rect::from_x_y_ranges(self.chart.x_range(), top..=top + LANE)
    }
}

/// Room that the time at a mark takes.
const MARK: f32 = 110.0;

fn axis(ui: &Ui, scale: &Scale, tokens: &Tokens) {
    let whole = (scale.last - scale.first) as f64;
    let most = (scale.chart.width() / MARK).clamp(2.0, 12.0) as usize;
    for after in steps::marks(0.0, whole, steps::step(0.0, whole, most)) {
        let x = scale.x(scale.first + after as u64);
        ui.painter().vline(
            x,
            scale.chart.y_range(),
            Stroke::new(1.0, tokens.grid.gamma_multiply(0.6)),
        );
        let (text, align) = match after as u64 {
            0 => ("0".to_owned(), egui::Align2::LEFT_TOP),
            nanos => {
                let is_last = x + MARK / 4.0 > scale.chart.right();
                let align =
                    if is_last { egui::Align2::RIGHT_TOP } else { egui::Align2::CENTER_TOP };
                (format!("+{}", show_duration(Duration::from_nanos(nanos))), align)
            }
        };
        let font = egui::TextStyle::Small.resolve(ui.style());
        ui.painter().text(pos2(x, scale.chart.top()), align, text, font, tokens.text_weak);
    }
}

/// Spans that share a pixel are painted once, the worst of them on top.
fn spans(
    ui: &Ui,
    digest: &Overview,
    scale: &Scale,
    tokens: &Tokens,
    selected: Option<glovebox_inspector::store::RowId>,
) {
    let mut painted = vec![f32::NEG_INFINITY; digest.plugins.len()];
    let mut late = Vec::new();
    for span in &digest.spans {
        let left = scale.x(span.start);
        let end = span.start
            + u64::try_from(span.took.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        let right = scale.x(end).max(left + 1.5);
        let area = scale.lane(span.plugin).shrink2(vec2(0.0, 3.0));
        let rect = Rect::from_x_y_ranges(left..=right, area.y_range());
        if span.failed || span.denied || selected == Some(span.row) {
            late.push((rect, look(span, tokens, selected == Some(span.row))));
            continue;
        }
        if right <= painted[span.plugin] + 0.5 {
            continue;
        }
        painted[span.plugin] = right;
        ui.painter().rect_filled(rect, 1.0, tokens.lane(span.plugin));
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
    let mut painted = vec![f32::NEG_INFINITY; digest.plugins.len()];
    for failure in &digest.failures {
        let Some(lane) = digest.plugins.iter().position(|plugin| *plugin == failure.plugin) else {
            continue;
        };
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

fn nearest<'a>(digest: &'a Overview, scale: &Scale, pointer: egui::Pos2) -> Option<&'a Span> {
    let lane = ((pointer.y - scale.chart.top() - AXIS) / LANE).floor();
    if lane < 0.0 {
        return None;
    }
    let at = scale.time(pointer.x);
    let own = digest.spans.iter().filter(|span| span.plugin == lane as usize);
    let nearest = own.min_by_key(|span| {
        let end = span.start + u64::try_from(span.took.unwrap_or_default().as_nanos()).unwrap_or(0);
        if at < span.start { span.start - at } else { at.saturating_sub(end) }
    })?;
    ((scale.x(nearest.start) - pointer.x).abs() < 6.0
        || (scale.x(nearest.start)
            ..=scale.x(nearest.start + nearest.took.unwrap_or_default().as_nanos() as u64))
            .contains(&pointer.x))
    .then_some(nearest)
}
