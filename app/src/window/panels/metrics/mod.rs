//! Figures per plugin of the run that is shown, charts of the selected plugin, and comparisons.

mod charts;
mod compared;

use egui::{Align, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons as icon;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_host::PluginStatus;
use glovebox_inspector::findings::{Standing, verdicts};
use glovebox_inspector::metrics::{Bucket, GenerationMetrics, Series};
use std::time::Duration;

use super::frames::thousands;
use crate::window::action::{Actions, Change};
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme;
use crate::window::widgets::chart::sparkline;
use crate::window::widgets::text::Hint;
use crate::window::widgets::{empty, fact, row, section, separator, text_in};
use crate::workbench::{Source, ViewCtx};

/// What the metrics remember.
#[derive(Debug, Default)]
pub struct State {
    /// The plugin whose charts are shown; the selected one if none was clicked here.
    plugin: Option<String>,
    compared: compared::State,
    /// True if charts show tenths of a second.
    fine: bool,
}

const COLUMNS: [(&str, f32, Align); 10] = [
    ("plugin", 112.0, Align::Min),
    ("gen", 36.0, Align::Max),
    ("calls", 72.0, Align::Max),
    ("errors", 56.0, Align::Max),
    ("denied", 56.0, Align::Max),
    ("p50", 68.0, Align::Max),
    ("p99", 68.0, Align::Max),
    ("max", 68.0, Align::Max),
    ("memory", 72.0, Align::Max),
    ("frames per second", 120.0, Align::Min),
];

/// Why figures of a trace may not be there.
const NOT_LOOKED_OVER: &str = "A trace has figures once it was looked over from start to end";

/// Paints the metrics.
pub fn show(ui: &mut Ui, ctx: ViewCtx<'_>, state: &mut ViewState, out: &mut Actions) {
    let source = state.selection.source;
    let metrics = ctx.metrics_of(source);
    let Some(metrics) = metrics.filter(|metrics| !metrics.generations.is_empty()) else {
        let (title, hint, verb) = match (source, metrics) {
            (Source::Live, _) => (
                "No figures yet",
                "Figures appear as soon as a plugin is called",
                Some(Verb::OpenPlugin),
            ),
            (_, None) => ("Figures are not known yet", NOT_LOOKED_OVER, None),
            (_, Some(_)) => ("No figures", "Nothing happens in this trace", None),
        };
        let situation = Situation::default();
        return empty(ui, icon::ICON_MONITORING, title, hint, verb, &situation, out);
    };
    let selected = state.selection.plugin(ctx).and_then(|id| ctx.plugin(id));
    let selected = selected.map(|plugin| plugin.manifest.plugin.id.clone());
    let chosen = state.panels.metrics.plugin.clone().or(selected);
    let chosen =
        chosen.filter(|id| metrics.generations.iter().any(|figures| *figures.plugin == **id));
    let chosen = chosen.unwrap_or_else(|| metrics.generations[0].plugin.to_string());
    ScrollArea::both().id_salt("metrics").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(8.0).show(ui, |ui| {
            compared::choose_run(ui, ctx, source, &mut state.panels.metrics.compared);
            ui.add_space(4.0);
            header(ui);
            for figures in &metrics.generations {
                let newest = !metrics.generations.iter().any(|other| {
                    other.plugin == figures.plugin && other.generation > figures.generation
                });
                let series = metrics.series.get(&figures.plugin).filter(|_| newest);
                let is_chosen = *figures.plugin == *chosen && newest;
                if line(ui, figures, series, is_chosen) {
                    state.panels.metrics.plugin = Some(figures.plugin.to_string());
                    if let Some(plugin) = ctx.plugin_by_id(&figures.plugin) {
                        out.view(Change::SelectPlugin(plugin.instance));
                    }
                }
            }
            compared::runs(ui, ctx, source, &state.panels.metrics.compared);
            let newest = metrics.generations.iter().rev();
            let newest = newest.into_iter().find(|figures| *figures.plugin == *chosen);
            let remembered = &mut state.panels.metrics;
            let all = if remembered.fine { &metrics.fine } else { &metrics.series };
            if let (Some(figures), Some(series)) = (newest, all.get(chosen.as_str())) {
                separator(ui);
                ui.checkbox(&mut remembered.fine, "Tenths of a second")
                    .hint("Show the last 12 seconds instead of the last 2 minutes");
                // What is loaded now may be another version than the one in a trace.
                let plugin = ctx.plugin_by_id(&figures.plugin).filter(|_| source == Source::Live);
                charts::show(ui, ctx, source, figures, series, plugin);
                facts(ui, figures, plugin);
                compared::generations(ui, &metrics.generations, figures, &mut remembered.compared);
            }
        });
    });
}

fn header(ui: &mut Ui) {
    let tokens = theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 22.0), egui::Sense::hover());
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

fn line(ui: &mut Ui, figures: &GenerationMetrics, series: Option<&Series>, chosen: bool) -> bool {
    let tokens = theme::of(ui);
    let name = format!("{} generation {}", figures.plugin, figures.generation);
    let (rect, response) = row(ui, 24.0, chosen, &name);
    let body = egui::TextStyle::Body.resolve(ui.style());
    let latency = &figures.latency;
    let time = |duration: Duration| match latency.count {
        0 => "–".to_owned(),
        _ => show_duration(duration),
    };
    let mut chart = None;
    cells(rect, |index, cell, align| {
        let (text, color) = match index {
            0 => (figures.plugin.to_string(), tokens.text_strong),
            1 => (figures.generation.to_string(), tokens.text_weak),
            2 => (thousands(figures.calls), tokens.text),
            3 => (
                thousands(figures.errors()),
                if figures.errors() > 0 { tokens.bad } else { tokens.text_weak },
            ),
            4 => (
                thousands(figures.denials),
                if figures.denials > 0 { tokens.warn } else { tokens.text_weak },
            ),
            5 => (time(latency.p50), tokens.text),
            6 => (time(latency.p99), tokens.text),
            7 => (time(latency.max), tokens.text),
            8 => (figures.memory.map_or_else(|| "–".to_owned(), show_size), tokens.text),
            _ => {
                chart = Some(cell);
                return;
            }
        };
        text_in(ui, cell, align, &text, body.clone(), color);
    });
    if let (Some(cell), Some(series)) = (chart, series) {
        let values = per_second(&series.buckets, 60);
        ui.scope_builder(egui::UiBuilder::new().max_rect(cell), |ui| {
            let name = format!("frames per second of {}", figures.plugin);
            sparkline(ui, cell.size(), &values, tokens.accent, &name);
        });
    }
    response.clicked()
}

/// Frames of each of the last seconds; seconds without events count as 0.
fn per_second(buckets: &[Bucket], seconds: u64) -> Vec<f64> {
    let Some(last) = buckets.last() else {
        return Vec::new();
    };
    let second = |bucket: &Bucket| bucket.start / 1_000_000_000;
    let first = second(last).saturating_sub(seconds - 1);
    let mut values = vec![0.0; seconds as usize];
    for bucket in buckets.iter().filter(|bucket| second(bucket) >= first) {
        values[(second(bucket) - first) as usize] = bucket.frames as f64;
    }
    values
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
    let tail =
        format!("{}, p99.99 {}", show_duration(latency.p99_9), show_duration(latency.p99_99));
    fact(ui, "p99.9", tail);
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
    }
    for (name, count) in &figures.outcomes {
        fact(ui, name, thousands(*count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_seconds_count() {
        let bucket = |second: u64, frames| Bucket {
            start: second * 1_000_000_000,
            frames,
            ..Bucket::default()
        };
        let values = per_second(&[bucket(1, 9), bucket(7, 3), bucket(10, 5)], 4);
        assert_eq!(values, [3.0, 0.0, 0.0, 5.0]);
        assert!(per_second(&[], 4).is_empty());
    }
}
