//! Paints a row per generation of each instance, and the charts of the chosen one.

use std::sync::Arc;
use std::time::Duration;

use egui::{Align, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_events::latency::LatencySummary;
use glovebox_host::PluginStatus;
use glovebox_inspector::findings::{Standing, verdicts};
use glovebox_inspector::metrics::{GenerationMetrics, P99_9_TAKES, P99_99_TAKES, Series};

use super::compared::NOT_LOOKED_OVER;
use super::model::{Clicked, State, loaded, per_second, times_of};
use super::{charts, compared, process};
use crate::window::action::Change;
use crate::window::buttons::empty;
use crate::window::commands::Verb;
use crate::window::context::PanelCtx;
use crate::window::look::LATENCY;
use crate::window::panels::reloads;
use crate::window::theme;
use crate::window::widgets::chart::sparkline;
use crate::window::widgets::figures::thousands;
use crate::window::widgets::text::Hint;
use crate::window::widgets::{fact, name_in, row, section, separator, text_in};
use crate::workbench::{Figures, InstanceFigures, Source};

const COLUMNS: [(&str, f32, Align); 11] = [
    ("plugin", 144.0, Align::Min),
    ("gen", 36.0, Align::Max),
    ("calls", 72.0, Align::Max),
    ("errors", 56.0, Align::Max),
    ("denied", 56.0, Align::Max),
    ("injected", 56.0, Align::Max),
    ("p50", 68.0, Align::Max),
    ("p99", 68.0, Align::Max),
    ("max", 68.0, Align::Max),
    ("memory", 72.0, Align::Max),
    ("frames per second", 120.0, Align::Min),
];

/// Paints the metrics.
pub(super) fn show(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State) {
    let figures = ctx.figures_of(ctx.source());
    let found = figures.and_then(|all| Some((all, state.chosen(ctx.view, ctx.selection, all)?)));
    let Some((figures, chosen)) = found else {
        let (words, verb) = match (ctx.source(), figures) {
            (Source::Live, _) => (
                ("No figures yet", "Figures appear as soon as a plugin is called"),
                Some(Verb::OpenPlugin),
            ),
            (_, None) => (("Figures are not known yet", NOT_LOOKED_OVER), None),
            (_, Some(_)) => (("No figures", "Nothing happens in this trace"), None),
        };
        return empty(ui, ctx, icon::ICON_MONITORING, words, verb);
    };
    ScrollArea::both().id_salt("metrics").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(8.0).show(ui, |ui| {
            compared::choose_run(ui, ctx, &mut state.compared);
            ui.add_space(4.0);
            table(ui, ctx, state, figures, chosen);
            compared::runs(ui, ctx, &mut state.compared);
            about(ui, ctx, state, chosen);
        });
    });
}

/// A row per generation of each instance.
fn table(
    ui: &mut Ui,
    ctx: PanelCtx<'_>,
    state: &mut State,
    figures: &Figures,
    chosen: &InstanceFigures,
) {
    header(ui);
    for one in &figures.instances {
        let mut name = ctx.instance_name(ctx.source(), &one.plugin, one.instance);
        if ctx.source() == Source::Live && loaded(ctx.view, Source::Live, one).is_none() {
            name.push_str(", unloaded");
        }
        for (position, generation) in one.generations.iter().enumerate() {
            let is_newest = position + 1 == one.generations.len();
            let is_chosen = is_newest && std::ptr::eq(one, chosen);
            if line(ui, &name, generation, &one.series, is_chosen) {
                let plugin = loaded(ctx.view, ctx.source(), one).map(|plugin| plugin.instance);
                state.clicked = Some(Clicked {
                    source: ctx.source(),
                    plugin: Arc::clone(&one.plugin),
                    instance: one.instance,
                    selects: plugin.or(ctx.selection.plugin(ctx.view)),
                });
                if let Some(plugin) = plugin {
                    ctx.change(Change::SelectPlugin(plugin));
                }
            }
        }
    }
}

/// Charts and facts of the chosen instance, and what it is compared with.
fn about(ui: &mut Ui, ctx: PanelCtx<'_>, state: &mut State, chosen: &InstanceFigures) {
    let source = ctx.source();
    let Some(newest) = chosen.generations.last() else {
        return;
    };
    separator(ui);
    section(ui, &ctx.instance_name(source, &chosen.plugin, chosen.instance), |_| {});
    ui.checkbox(&mut state.fine, "Tenths of a second")
        .hint("Show the last 12 seconds instead of the last 2 minutes");
    let series = if state.fine { &chosen.fine } else { &chosen.series };
    // The plugin that is loaded now may be another version than the one in a trace.
    let plugin = loaded(ctx.view, source, chosen).filter(|_| source == Source::Live);
    two_builds(ui, ctx, state.fine, chosen);
    charts::show(ui, newest, series, plugin);
    if let Some(plugin) = plugin
        && let (Some(usage), Some(samples)) = (&plugin.usage, ctx.view.usage(plugin.instance))
    {
        process::show(ui, plugin, usage, samples);
    }
    facts(ui, newest, plugin);
    compared::generations(ui, ctx, chosen, &mut state.compared);
}

/// The chart of two builds that get the same inputs, if the chosen instance is one of them.
fn two_builds(ui: &mut Ui, ctx: PanelCtx<'_>, fine: bool, chosen: &InstanceFigures) {
    let source = ctx.source();
    let (Some(pair), Some(figures)) = (ctx.view.pair(), ctx.figures_of(source)) else { return };
    let pair = [pair.first.get(), pair.second.get()];
    let of = |instance: u64| figures.of(&chosen.plugin, instance);
    let (true, Some(first), Some(second)) =
        (pair.contains(&chosen.instance), of(pair[0]), of(pair[1]))
    else {
        return;
    };
    let names = [first, second].map(|one| ctx.instance_name(source, &one.plugin, one.instance));
    let [one, other] = [first, second].map(|one| if fine { &one.fine } else { &one.series });
    charts::two(ui, [(&names[0], one), (&names[1], other)]);
}

fn header(ui: &mut Ui) {
    let tokens = theme::of(ui);
    let size = vec2(ui.available_width(), 22.0);
    let (rect, response) = ui.allocate_exact_size(size, egui::Sense::hover());
    response.hint(format!("p50, p99 and max are latencies of calls. {LATENCY}"));
    cells(rect, |index, cell, align| {
        text_in(ui, cell, align, COLUMNS[index].0, theme::medium(11.0), tokens.text_weak);
    });
    ui.painter().hline(rect.x_range(), rect.bottom(), egui::Stroke::new(1.0, tokens.separator));
}

fn cells(rect: egui::Rect, mut paint: impl FnMut(usize, egui::Rect, Align)) {
    let mut left = rect.left() + 4.0;
    for (index, (_, width, align)) in COLUMNS.iter().enumerate() {
        let cell =
            egui::Rect::from_min_size(pos2(left, rect.top()), vec2(width - 12.0, rect.height()));
        paint(index, cell, *align);
        left += width;
    }
}

fn line(
    ui: &mut Ui,
    name: &str,
    figures: &GenerationMetrics,
    series: &Series,
    chosen: bool,
) -> bool {
    let tokens = theme::of(ui);
    let label = format!("{name} generation {}", figures.generation);
    let (rect, response) = row(ui, 24.0, chosen, &label);
    let body = egui::TextStyle::Body.resolve(ui.style());
    let latency = &figures.latency;
    let time = |duration: Duration| latency.show(duration);
    let mut chart = None;
    cells(rect, |index, cell, align| {
        let (text, color) = match index {
            0 => (name.to_owned(), tokens.text_strong),
            1 => (figures.generation.to_string(), tokens.text_weak),
            2 => (thousands(figures.calls), tokens.text),
            3 => (
                thousands(figures.errors()),
                if figures.errors() > 0 { tokens.bad } else { tokens.text_weak },
            ),
            4 => (
                thousands(figures.denials()),
                if figures.denials() > 0 { tokens.warn } else { tokens.text_weak },
            ),
            5 => (
                thousands(figures.injected()),
                if figures.injected() > 0 { tokens.warn } else { tokens.text_weak },
            ),
            6 => (time(latency.p50), tokens.text),
            7 => (time(latency.p99), tokens.text),
            8 => (time(latency.max), tokens.text),
            9 => (figures.memory.map_or_else(|| "–".to_owned(), show_size), tokens.text),
            _ => {
                chart = Some(cell);
                return;
            }
        };
        match index {
            0 => name_in(ui, cell, &text, body.clone(), color),
            _ => drop(text_in(ui, cell, align, &text, body.clone(), color)),
        }
    });
    if let Some(cell) = chart {
        let times = times_of(figures.generation, series);
        let values = per_second(&series.buckets, 60, &times);
        ui.scope_builder(egui::UiBuilder::new().max_rect(cell), |ui| {
            let name = format!("frames per second of {label}");
            sparkline(ui, cell.size(), &values, tokens.accent, &name);
        });
    }
    response.clicked()
}

/// A percentile far out, or why there is none: of few calls it could only be the slowest.
fn tail(latency: &LatencySummary, figure: Duration, takes: u64) -> String {
    match latency.count < takes {
        true => format!(
            "n/a: it takes {} calls, of {} it would be max",
            thousands(takes),
            thousands(latency.count)
        ),
        false => latency.show(figure),
    }
}

fn facts(ui: &mut Ui, figures: &GenerationMetrics, plugin: Option<&PluginStatus>) {
    section(ui, "Where the time went", |_| {});
    let calls = u32::try_from(figures.calls.max(1)).unwrap_or(u32::MAX);
    let split = &figures.split;
    // Only the frame ABI can tell the guest's time from carrying the frames.
    let boundary = split.known_boundary();
    let per_call = |total: Duration| format!("{} per call", show_duration(total / calls));
    let included = if boundary.is_none() { ", boundary included" } else { "" };
    fact(ui, "Guest", per_call(split.guest) + included);
    let unknown = || "not known: this binding does not tell it from the guest's time".to_owned();
    fact(ui, "Boundary", boundary.map_or_else(unknown, per_call));
    fact(ui, "Host", per_call(split.host));
    fact(ui, "Queue", per_call(split.queue));
    fact(
        ui,
        "Bytes",
        format!("{} in, {} out", show_size(figures.bytes_in), show_size(figures.bytes_out)),
    );
    fact(ui, "Restarts", thousands(figures.restarts));
    let latency = &figures.latency;
    for (name, figure, takes) in
        [("p99.9", latency.p99_9, P99_9_TAKES), ("p99.99", latency.p99_99, P99_99_TAKES)]
    {
        fact(ui, name, tail(latency, figure, takes)).hint(LATENCY);
    }
    if latency.count > 0 && !latency.is_exact {
        fact(ui, "≈", "three digits are exact: so many calls are counted in steps".to_owned());
    }
    if let Some(plugin) = plugin {
        let copies = plugin.manifest.runtime.instances;
        for verdict in verdicts(&plugin.manifest.budget, &figures.budget_figures(copies)) {
            let (allowed, name) = (&verdict.allowed, format!("Budget {}", verdict.kind));
            let text = match &verdict.standing {
                Standing::Kept(found) => format!("{found} of {allowed}, kept"),
                Standing::Broken(found) => format!("{found} of {allowed}, broken"),
                Standing::NotJudged(reason) => format!("{allowed}, not judged: {reason}"),
            };
            fact(ui, &name, text);
        }
        fact(ui, "Queue depth", format!("{} of {}", plugin.queue_depth, plugin.limits.queue));
        reloads::remains(ui, plugin.manifest.title(), &plugin.remains);
    }
    for (name, count) in &figures.outcomes {
        fact(ui, name, thousands(*count));
    }
}
