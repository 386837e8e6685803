//! Figures of two generations or of two runs beside each other.

use std::sync::Arc;

use egui::{
    Align, ComboBox, Label, Layout as Direction, Rect, RichText, Sense, Ui, UiBuilder, pos2, vec2,
};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_inspector::metrics::{Figure, GenerationMetrics, Verdict, compare};

use super::NOT_LOOKED_OVER;
use crate::window::panels::frames::thousands;
use crate::window::theme::{self, Tone};
use crate::window::widgets::text::plain;
use crate::window::widgets::{named_field, section, separator};
use crate::workbench::{Source, ViewCtx};

/// What is compared with what is shown.
#[derive(Debug, Default)]
pub(super) struct State {
    /// A plugin and its generation.
    generation: Option<(Arc<str>, u32)>,
    /// A run.
    run: Option<Source>,
}

/// Chooses the run that what is shown is compared with.
pub(super) fn choose_run(ui: &mut Ui, ctx: ViewCtx<'_>, shown: Source, state: &mut State) {
    let others = others(ctx, shown);
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
pub(super) fn runs(ui: &mut Ui, ctx: ViewCtx<'_>, shown: Source, state: &State) {
    let others = others(ctx, shown);
    if let Some(other) = state.run.filter(|run| others.contains(run)) {
        separator(ui);
        run(ui, ctx, other, shown);
    }
}

/// Runs that one can be compared with; none if nothing but the live run is there.
fn others(ctx: ViewCtx<'_>, shown: Source) -> Vec<Source> {
    let traces = ctx.traces().iter().map(|trace| Source::Trace(trace.id));
    [Source::Live].into_iter().chain(traces).filter(|other| *other != shown).collect()
}

/// A list to choose from, with its name before it.
fn choose(ui: &mut Ui, name: &str, chosen: &str, show: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.label(plain(name).color(theme::of(ui).text_weak));
        let list = ComboBox::from_id_salt(name).selected_text(plain(chosen));
        named_field(list.show_ui(ui, show).response, name);
    });
}

fn run(ui: &mut Ui, ctx: ViewCtx<'_>, before: Source, after: Source) {
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
    let totals = |source| ctx.metrics_of(source).map(|metrics| &*metrics.totals);
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
                    grid(ui, names, before, after);
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

fn name_of(ctx: ViewCtx<'_>, source: Source) -> &str {
    match source {
        Source::Live => "the live run",
        Source::Trace(_) => ctx.source_name(source),
    }
}

/// The chosen generation beside another one, of this plugin or of another.
pub(super) fn generations(
    ui: &mut Ui,
    all: &[GenerationMetrics],
    chosen: &GenerationMetrics,
    state: &mut State,
) {
    let others = || {
        let same = |one: &&GenerationMetrics| {
            one.plugin == chosen.plugin && one.generation == chosen.generation
        };
        all.iter().filter(move |one| !same(one))
    };
    if others().next().is_none() {
        return;
    }
    let name = |one: &GenerationMetrics| format!("{} generation {}", one.plugin, one.generation);
    let is = |one: &&GenerationMetrics, (plugin, generation): &(Arc<str>, u32)| {
        one.plugin == *plugin && one.generation == *generation
    };
    let compared = state.generation.as_ref();
    let before = compared.and_then(|compared| others().find(|one| is(one, compared)));
    section(ui, "Generations compared", |_| {});
    let text = before.map_or_else(|| "nothing".to_owned(), name);
    choose(ui, "Compare with", &text, |ui| {
        ui.selectable_value(&mut state.generation, None, "nothing");
        for one in others() {
            let this = Some((one.plugin.clone(), one.generation));
            ui.selectable_value(&mut state.generation, this, plain(name(one)));
        }
    });
    if let Some(before) = before {
        grid(ui, [&name(before), &name(chosen)], before, chosen);
    }
}

/// Width of each cell of a line.
const CELLS: [f32; 5] = [116.0, 96.0, 96.0, 60.0, 44.0];
const LINE: f32 = 20.0;
const GAP: f32 = 8.0;

fn grid(
    ui: &mut Ui,
    [first, second]: [&str; 2],
    before: &GenerationMetrics,
    after: &GenerationMetrics,
) {
    let tokens = theme::of(ui);
    let title = |text: &str| plain(text).font(theme::medium(11.0)).color(tokens.text_weak);
    let titles = ["figure", first, second, "change", ""].map(title);
    line(ui, titles, false);
    for (number, one) in compare(before, after).into_iter().enumerate() {
        let figure = |figure: Option<Figure>| figure.map_or_else(|| "–".to_owned(), show_figure);
        let change = one.ratio().map(|ratio| show_change((ratio - 1.0) * 100.0));
        let (word, color) = match one.verdict() {
            Some(Verdict::Better) => ("better", tokens.tone(Tone::Good)),
            Some(Verdict::Worse) => ("worse", tokens.tone(Tone::Bad)),
            None => ("", tokens.text_weak),
        };
        let cells = [
            plain(one.name).color(tokens.text_weak),
            plain(figure(one.before)).color(tokens.text),
            plain(figure(one.after)).color(tokens.text),
            plain(change.unwrap_or_default()).color(color),
            plain(word).color(color),
        ];
        line(ui, cells, number % 2 == 0);
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
