//! Figures of two generations or of two runs beside each other.

use std::sync::Arc;

use egui::{ComboBox, Grid, RichText, Ui};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_inspector::metrics::{Figure, GenerationMetrics, compare};

use super::NOT_LOOKED_OVER;
use crate::window::panels::frames::thousands;
use crate::window::theme;
use crate::window::widgets::{section, separator};
use crate::workbench::{Source, ViewCtx};

/// What is compared with what is shown.
#[derive(Debug, Default)]
pub(super) struct State {
    /// A plugin and its generation.
    generation: Option<(Arc<str>, u32)>,
    /// A run.
    run: Option<Source>,
}

/// The run that is shown beside another one, plugin by plugin.
pub(super) fn runs(ui: &mut Ui, ctx: ViewCtx<'_>, shown: Source, state: &mut State) {
    if ctx.traces().is_empty() {
        return;
    }
    let traces = ctx.traces().iter().map(|trace| Source::Trace(trace.id));
    let others: Vec<_> =
        [Source::Live].into_iter().chain(traces).filter(|other| *other != shown).collect();
    let other = state.run.filter(|run| others.contains(run));
    ComboBox::from_label("Compare the run with")
        .selected_text(other.map_or("nothing", |other| name_of(ctx, other)))
        .show_ui(ui, |ui| {
            ui.selectable_value(&mut state.run, None, "nothing");
            for other in others {
                ui.selectable_value(&mut state.run, Some(other), name_of(ctx, other));
            }
        });
    if let Some(other) = other {
        run(ui, ctx, other, shown);
    }
    separator(ui);
}

fn run(ui: &mut Ui, ctx: ViewCtx<'_>, before: Source, after: Source) {
    let names = [name_of(ctx, before), name_of(ctx, after)];
    let weak = |ui: &mut Ui, text: String| {
        ui.label(RichText::new(text).color(theme::of(ui).text_weak));
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
    for one in after {
        section(ui, &one.plugin, |_| {});
        match before.iter().find(|other| other.plugin == one.plugin) {
            Some(other) => grid(ui, ("runs", &one.plugin), names, other, one),
            None => weak(ui, format!("{} does nothing in {}", one.plugin, names[0])),
        }
    }
    for one in before.iter().filter(|one| after.iter().all(|other| other.plugin != one.plugin)) {
        section(ui, &one.plugin, |_| {});
        weak(ui, format!("{} does nothing in {}", one.plugin, names[1]));
    }
}

fn name_of(ctx: ViewCtx<'_>, source: Source) -> &str {
    match source {
        Source::Live => "the live run",
        Source::Trace(id) => ctx.trace(id).map_or("a closed trace", |trace| &trace.name),
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
    section(ui, "Compared", |_| {});
    ComboBox::from_label("Compare with")
        .selected_text(before.map_or_else(|| "nothing".to_owned(), name))
        .show_ui(ui, |ui| {
            ui.selectable_value(&mut state.generation, None, "nothing");
            for one in others() {
                let this = Some((one.plugin.clone(), one.generation));
                ui.selectable_value(&mut state.generation, this, name(one));
            }
        });
    if let Some(before) = before {
        grid(ui, "generations", [&name(before), &name(chosen)], before, chosen);
    }
}

fn grid(
    ui: &mut Ui,
    id: impl std::hash::Hash + std::fmt::Debug,
    [first, second]: [&str; 2],
    before: &GenerationMetrics,
    after: &GenerationMetrics,
) {
    Grid::new(id).striped(true).num_columns(4).show(ui, |ui| {
        for title in ["figure", first, second, "change"] {
            ui.strong(title);
        }
        ui.end_row();
        for one in compare(before, after) {
            ui.label(one.name);
            ui.label(one.before.map_or_else(|| "–".to_owned(), show_figure));
            ui.label(one.after.map_or_else(|| "–".to_owned(), show_figure));
            let change = one.ratio().map(|ratio| format!("{:+.0} %", (ratio - 1.0) * 100.0));
            ui.label(change.unwrap_or_default());
            ui.end_row();
        }
    });
}

fn show_figure(figure: Figure) -> String {
    match figure {
        Figure::Count(number) => thousands(number),
        Figure::Time(time) => show_duration(time),
        Figure::Bytes(bytes) => show_size(bytes),
    }
}
