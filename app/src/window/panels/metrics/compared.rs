//! Figures of two generations or of two runs beside each other.

use std::sync::Arc;

use egui::{
    Align, ComboBox, Label, Layout as Direction, Rect, RichText, Sense, Ui, UiBuilder, pos2, vec2,
};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::latency::Latencies;
use glovebox_inspector::diff::{LatencyShift, Verdict};
use glovebox_inspector::metrics::{Figure, GenerationMetrics, compare};

use crate::window::context::PanelCtx;
use crate::window::theme::{self, Tone};
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::{Hint as _, paragraph, plain};
use crate::window::widgets::{named_field, section, separator};
use crate::workbench::{InstanceFigures, Source};

/// Why figures of a trace may not be there.
pub(super) const NOT_LOOKED_OVER: &str =
    "A trace has figures once it was looked over from start to end";

/// The generation or run that is compared with the shown one.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// The id of a plugin, its instance and its generation.
    generation: Option<(Arc<str>, u64, u32)>,
    /// A run.
    run: Option<Source>,
    shifts: Shifts,
}

/// Shifts of latency that were computed, which takes longer than to paint them.
#[derive(Debug, Default)]
struct Shifts(Vec<Known>);

/// A shift, and the latencies that it is about.
#[derive(Debug)]
struct Known {
    before: Arc<Latencies>,
    after: Arc<Latencies>,
    shift: Option<LatencyShift>,
}

/// Shifts that are kept.
const KEPT: usize = 64;

impl Shifts {
    fn of(
        &mut self,
        before: &GenerationMetrics,
        after: &GenerationMetrics,
    ) -> Option<&LatencyShift> {
        let is_it = |one: &Known| {
            Arc::ptr_eq(&one.before, &before.latencies) && Arc::ptr_eq(&one.after, &after.latencies)
        };
        let at = self.0.iter().position(is_it).unwrap_or_else(|| {
            if self.0.len() == KEPT {
                self.0.remove(0);
            }
            self.0.push(Known {
                before: Arc::clone(&before.latencies),
                after: Arc::clone(&after.latencies),
                shift: after.shift_since(before),
            });
            self.0.len() - 1
        });
        self.0[at].shift.as_ref()
    }
}

/// Chooses the run that what is shown is compared with.
pub(super) fn choose_run(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut Compared) {
    let others = others(ctx);
    if others.is_empty() {
        return;
    }
    let other = state.run.filter(|run| others.contains(run));
    let text = other.map_or("nothing", |other| name_of(ctx, other)).to_owned();
    choose(ui, "Compare the run with", &text, |ui| {
        ui.selectable_value(&mut state.run, None, "nothing");
        for other in others {
            ui.selectable_value(&mut state.run, Some(other), plain(name_of(ctx, other)));
        }
    });
}

/// The run that is shown beside the chosen one, plugin by plugin.
pub(super) fn runs(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut Compared) {
    let others = others(ctx);
    if let Some(other) = state.run.filter(|run| others.contains(run)) {
        separator(ui);
        run(ui, ctx, other, ctx.source(), &mut state.shifts);
    }
}

/// Runs that one can be compared with; none if nothing but the live run is there.
fn others(ctx: PanelCtx<'_>) -> Vec<Source> {
    let traces = ctx.traces().iter().map(|trace| Source::Trace(trace.id));
    [Source::Live].into_iter().chain(traces).filter(|other| *other != ctx.source()).collect()
}

/// A list to choose from, with its name before it.
fn choose(ui: &mut Ui, name: &str, chosen: &str, show: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.label(plain(name).color(theme::of(ui).text_weak));
        let list = ComboBox::from_id_salt(name).selected_text(plain(chosen));
        named_field(list.show_ui(ui, show).response, name);
    });
}

fn run(ui: &mut Ui, ctx: PanelCtx<'_>, before: Source, after: Source, shifts: &mut Shifts) {
    let names = [name_of(ctx, before), name_of(ctx, after)];
    let weak = |ui: &mut Ui, text: String| {
        ui.label(plain(text).color(theme::of(ui).text_weak));
    };
    for source in [before, after] {
        let lost = match source {
            Source::Live => 0,
            Source::Trace(id) => ctx.trace(id).map_or(0, |trace| trace.lost),
        };
        if lost > 0 {
            let (lost, name) = (thousands(lost), name_of(ctx, source));
            weak(ui, format!("{lost} events of {name} were lost and are not counted"));
        }
    }
    let totals = |source| ctx.figures_of(source).map(|figures| &*figures.totals);
    let (Some(before), Some(after)) = (totals(before), totals(after)) else {
        return weak(ui, format!("Figures of {} are not known yet. {NOT_LOOKED_OVER}", names[0]));
    };
    let width = CELLS.iter().sum::<f32>() + GAP * CELLS.len() as f32;
    let in_a_row = ((ui.available_width() + GAP) / (width + GAP)).floor().max(1.0) as usize;
    let both = after
        .iter()
        .filter_map(|one| Some((before.iter().find(|other| other.plugin == one.plugin)?, one)));
    for plugins in both.collect::<Vec<_>>().chunks(in_a_row) {
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing = vec2(GAP, 0.0);
            for (before, after) in plugins {
                ui.vertical(|ui| {
                    ui.set_width(width);
                    section(ui, &after.plugin, |_| {});
                    grid(ui, names, before, after, shifts);
                });
            }
        });
    }
    for (ones, others, name) in [(after, before, names[0]), (before, after, names[1])] {
        for one in ones.iter().filter(|one| others.iter().all(|other| other.plugin != one.plugin)) {
            weak(ui, format!("{} does nothing in {name}", one.plugin));
        }
    }
}

fn name_of<'a>(ctx: PanelCtx<'a>, source: Source) -> &'a str {
    match source {
        Source::Live => "the live run",
        Source::Trace(_) => ctx.source_name(source),
    }
}

/// The newest generation of the chosen instance beside another one, of this instance or of another.
pub(super) fn generations(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    chosen: &InstanceFigures,
    state: &mut Compared,
) {
    let source = ctx.source();
    let Some((newest, before)) = chosen.generations.split_last() else {
        return;
    };
    type Generation<'a> = (&'a InstanceFigures, &'a GenerationMetrics);
    let all = ctx.figures_of(source).map_or(&[][..], |figures| &figures.instances);
    let others = || {
        all.iter().flat_map(move |one| {
            let is_chosen = std::ptr::eq(one, chosen);
            let generations = if is_chosen { before } else { &one.generations };
            generations.iter().map(move |generation| (one, generation))
        })
    };
    if others().next().is_none() {
        return;
    }
    let name = |(one, generation): Generation<'_>| {
        let instance = ctx.instance_name(source, &one.plugin, one.instance);
        format!("{instance} generation {}", generation.generation)
    };
    let key = |(one, generation): Generation<'_>| {
        (Arc::clone(&one.plugin), one.instance, generation.generation)
    };
    let compared = state.generation.as_ref();
    let before = compared.and_then(|compared| others().find(|one| key(*one) == *compared));
    section(ui, "Generations compared", |_| {});
    let text = before.map_or_else(|| "nothing".to_owned(), name);
    choose(ui, "Compare with", &text, |ui| {
        ui.selectable_value(&mut state.generation, None, "nothing");
        for one in others() {
            ui.selectable_value(&mut state.generation, Some(key(one)), plain(name(one)));
        }
    });
    if let Some(before) = before {
        // Titles of columns are narrow: the names stand above.
        for (side, one) in [("before", before), ("after", (chosen, newest))] {
            let text = format!("{side}: {}", name(one));
            ui.add(Label::new(paragraph(text).color(theme::of(ui).text)).wrap());
        }
        let title = |side: &str, generation: u32| format!("{side} · gen {generation}");
        let names = [title("before", before.1.generation), title("after", newest.generation)];
        grid(ui, [&names[0], &names[1]], before.1, newest, &mut state.shifts);
    }
}

/// Width of each cell of a line.
const CELLS: [f32; 5] = [116.0, 96.0, 96.0, 60.0, 84.0];
const LINE: f32 = 20.0;
const GAP: f32 = 8.0;

fn grid(
    ui: &mut Ui,
    [first, second]: [&str; 2],
    before: &GenerationMetrics,
    after: &GenerationMetrics,
    shifts: &mut Shifts,
) {
    let tokens = theme::of(ui);
    let shift = shifts.of(before, after);
    let title = |text: &str| plain(text).font(theme::medium(11.0)).color(tokens.text_weak);
    let titles = ["figure", first, second, "change", ""].map(title);
    line(ui, titles, false);
    for (number, one) in compare(before, after).into_iter().enumerate() {
        // Of few calls, nobody knows more than the slowest.
        let unknown = if one.takes > 1 { "n/a" } else { "–" };
        let figure =
            |figure: Option<Figure>| figure.map_or_else(|| unknown.to_owned(), show_figure);
        let lacks = one.takes > 1 && (one.before.is_none() || one.after.is_none());
        let lacks = lacks.then(|| format!("< {} calls", thousands(one.takes)));
        let change = one.ratio().map(|ratio| show_change((ratio - 1.0) * 100.0));
        // The verdict is about the latency as a whole, and its median names the shift.
        let verdict = shift.map(LatencyShift::verdict).filter(|_| one.name == "p50");
        let color = tokens.tone(match verdict {
            Some(Verdict::Faster) => Tone::Good,
            Some(Verdict::Slower) => Tone::Bad,
            Some(Verdict::NoShift | Verdict::TooFewCalls) | None => Tone::Neutral,
        });
        let cells = [
            plain(one.name).color(tokens.text_weak),
            plain(figure(one.before)).color(tokens.text),
            plain(figure(one.after)).color(tokens.text),
            plain(change.unwrap_or_default()).color(color),
            plain(lacks.as_deref().or(verdict.map(Verdict::name)).unwrap_or_default()).color(color),
        ];
        line(ui, cells, number % 2 == 0);
    }
    if let Some(shift) = shift {
        let text = format!("latency of {}", shift.sentence());
        ui.add(Label::new(paragraph(text).color(tokens.text_weak)).wrap())
            .hint("All calls are compared; `glovebox diff` compares those that are in both runs");
    }
    ui.add_space(GAP);
}

/// A line of the grid; figures end below each other.
fn line(ui: &mut Ui, cells: [RichText; 5], striped: bool) {
    let tokens = theme::of(ui);
    let width = CELLS.iter().sum::<f32>() + GAP * CELLS.len() as f32;
    let (rect, _) = ui.allocate_exact_size(vec2(width, LINE), Sense::hover());
    if striped {
        ui.painter().rect_filled(rect, 4.0, tokens.row_stripe);
    }
    let mut left = rect.left() + GAP / 2.0;
    for (number, (width, text)) in CELLS.into_iter().zip(cells).enumerate() {
        let cell = Rect::from_min_size(pos2(left, rect.top()), vec2(width, LINE));
        left += width + GAP;
        if text.is_empty() {
            continue;
        }
        let is_number = (1..4).contains(&number);
        let direction = match is_number {
            true => Direction::right_to_left(Align::Center),
            false => Direction::left_to_right(Align::Center),
        };
        ui.scope_builder(UiBuilder::new().max_rect(cell).layout(direction), |ui| {
            ui.add(Label::new(text).truncate());
        });
    }
}

fn show_change(percent: f64) -> String {
    match percent.round() {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.0 => format!("−{:.0} %", -percent),
        percent => format!("+{percent:.0} %"),
    }
}

fn show_figure(figure: Figure) -> String {
    match figure {
        Figure::Count(number) => thousands(number),
        Figure::Time(time) => show_duration(time),
        Figure::About(time) => format!("≈ {}", show_duration(time)),
        Figure::Bytes(bytes) => show_size(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_well() {
        fn check(percent: f64, expected: &str) {
            assert_eq!(show_change(percent), expected);
        }
        check(0.4, "0 %");
        check(-0.4, "0 %");
        check(-11.6, "−12 %");
        check(384.2, "+384 %");
    }
}
