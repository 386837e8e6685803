//! Figures per plugin of the run that is shown, charts of the selected plugin, and comparisons.

mod compared;

use egui::{Align, RichText, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons as icon;
use egui_plot::{Bar, BarChart, HLine, Legend, Line, LineStyle, Plot, PlotPoints, Points, VLine};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_host::PluginStatus;
use glovebox_inspector::findings::{Standing, verdicts};
use glovebox_inspector::metrics::{Bucket, GenerationMetrics, Series};
use std::time::Duration;

use super::frames::thousands;
use crate::window::action::{Actions, Change};
use crate::window::commands::{Situation, Verb};
use crate::window::state::ViewState;
use crate::window::theme::{self, Tokens};
use crate::window::widgets::chart::sparkline;
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

/// Buckets that charts show.
const SHOWN: u64 = 120;

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
            compared::runs(ui, ctx, source, &mut state.panels.metrics.compared);
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
            let newest = metrics.generations.iter().rev();
            let newest = newest.into_iter().find(|figures| *figures.plugin == *chosen);
            let remembered = &mut state.panels.metrics;
            let all = if remembered.fine { &metrics.fine } else { &metrics.series };
            if let (Some(figures), Some(series)) = (newest, all.get(chosen.as_str())) {
                separator(ui);
                ui.checkbox(&mut remembered.fine, "Tenths of a second")
                    .on_hover_text("Show the last 12 seconds instead of the last 2 minutes");
                charts(ui, ctx, source, figures, series);
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

fn charts(
    ui: &mut Ui,
    ctx: ViewCtx<'_>,
    source: Source,
    figures: &GenerationMetrics,
    series: &Series,
) {
    let tokens = theme::of(ui);
    // What is loaded now may be another version than the one in a trace.
    let plugin = ctx.plugin_by_id(&figures.plugin).filter(|_| source == Source::Live);
    let width = (ui.available_width() - 12.0) / 2.0;
    let last = series.buckets.last().map_or(0, |bucket| bucket.start);
    let step = u64::try_from(series.step.as_nanos()).unwrap_or(u64::MAX);
    let first = last.saturating_sub(step.saturating_mul(SHOWN - 1));
    let buckets: Vec<_> = series.buckets.iter().filter(|bucket| bucket.start >= first).collect();
    let x = |bucket: &Bucket| (bucket.start as f64 - last as f64) / 1e9;
    let last = last as f64 / 1e9;
    let marks: Vec<_> = series
        .reloads
        .iter()
        .map(|mark| (mark.at as f64 / 1e9 - last, mark.generation, mark.accepted))
        .filter(|(at, ..)| *at >= -(SHOWN as f64) * series.step.as_secs_f64())
        .collect();
    let mark_lines = |plot: &mut egui_plot::PlotUi<'_>| {
        for (at, generation, accepted) in &marks {
            let (name, color) = match accepted {
                true => (format!("generation {generation}"), tokens.accent),
                false => ("reload refused".to_owned(), tokens.bad),
            };
            plot.vline(VLine::new(name, *at).color(color).style(LineStyle::dashed_dense()));
        }
    };
    let points = |value: &dyn Fn(&Bucket) -> Option<f64>| -> PlotPoints<'static> {
        let found = buckets.iter().filter_map(|bucket| Some([x(bucket), value(bucket)?]));
        found.collect::<Vec<_>>().into()
    };
    let dots = |name: &str, value: &dyn Fn(&Bucket) -> Option<f64>, color| {
        Points::new(name, points(value)).color(color).radius(1.8)
    };
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            ui.set_width(width);
            section(ui, "Rate", |ui| unit(ui, frames_per(series.step)));
            over_time("rate", series.step, tokens).show(ui, |plot| {
                plot.line(
                    Line::new("frames", points(&|bucket| Some(bucket.frames as f64)))
                        .color(tokens.lane(0))
                        .fill(0.0)
                        .fill_alpha(0.12),
                );
                plot.points(dots("frames", &|bucket| Some(bucket.frames as f64), tokens.lane(0)));
                plot.line(
                    Line::new(
                        "errors",
                        points(&|bucket| (bucket.errors > 0).then_some(bucket.errors as f64)),
                    )
                    .color(tokens.bad),
                );
                mark_lines(plot);
            });
        });
        ui.vertical(|ui| {
            ui.set_width(width);
            section(ui, "Latency", |ui| unit(ui, "µs"));
            over_time("latency", series.step, tokens).show(ui, |plot| {
                plot.line(
                    Line::new("p50", points(&|bucket| bucket.p50.map(micros)))
                        .color(tokens.lane(1)),
                );
                plot.line(
                    Line::new("p99", points(&|bucket| bucket.p99.map(micros)))
                        .color(tokens.lane(3)),
                );
                plot.points(dots("p50", &|bucket| bucket.p50.map(micros), tokens.lane(1)));
                plot.points(dots("p99", &|bucket| bucket.p99.map(micros), tokens.lane(3)));
                if let Some(plugin) = plugin {
                    for (name, budget) in [
                        ("p50 budget", plugin.manifest.budget.p50),
                        ("p99 budget", plugin.manifest.budget.p99),
                    ] {
                        if let Some(budget) = budget {
                            plot.hline(
                                HLine::new(name, micros(budget))
                                    .color(tokens.warn)
                                    .style(LineStyle::dashed_dense()),
                            );
                        }
                    }
                }
                mark_lines(plot);
            });
        });
    });
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            ui.set_width(width);
            section(ui, "Latency of all calls", |ui| unit(ui, "calls by µs, logarithmic"));
            let counts = ctx.latencies(source, &figures.plugin, figures.generation);
            let bars = counts.iter().flat_map(|counts| counts.bars().collect::<Vec<_>>());
            let bars = bars.map(|(start, count)| {
                let middle = (start as f64 * 1.125 / 1000.0).log10();
                let label = format!("{}: {count}", show_duration(Duration::from_nanos(start)));
                Bar::new(middle, count as f64).width(0.07).name(label)
            });
            let chart = BarChart::new("calls", bars.collect()).color(tokens.lane(0));
            plot("histogram", tokens)
                .x_axis_formatter(|mark, _| {
                    show_duration(Duration::from_secs_f64(
                        10f64.powf(mark.value.clamp(-3.0, 9.0)) / 1e6,
                    ))
                })
                .show(ui, |plot| plot.bar_chart(chart));
        });
        ui.vertical(|ui| {
            ui.set_width(width);
            section(ui, "Memory", |ui| unit(ui, "MiB"));
            let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            over_time("memory", series.step, tokens).show(ui, |plot| {
                plot.line(
                    Line::new("memory", points(&|bucket| bucket.memory.map(mebi)))
                        .color(tokens.lane(2))
                        .fill(0.0)
                        .fill_alpha(0.12),
                );
                plot.points(dots("memory", &|bucket| bucket.memory.map(mebi), tokens.lane(2)));
                if let Some(budget) = plugin.and_then(|plugin| plugin.manifest.budget.memory) {
                    plot.hline(
                        HLine::new("budget", mebi(budget))
                            .color(tokens.warn)
                            .style(LineStyle::dashed_dense()),
                    );
                }
                mark_lines(plot);
            });
        });
    });
    ui.add_space(4.0);
    facts(ui, figures, plugin);
}

fn unit(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).small().color(theme::of(ui).text_weak));
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

fn frames_per(step: Duration) -> &'static str {
    if step < Duration::from_secs(1) { "frames per tenth of a second" } else { "frames per second" }
}

/// The last sixty buckets at least, in seconds before the last event.
fn over_time<'a>(name: &'static str, step: Duration, tokens: &Tokens) -> Plot<'a> {
    let legend = Legend::default().position(egui_plot::Corner::LeftTop).background_alpha(0.0);
    plot(name, tokens)
        .legend(legend)
        .include_x(-60.0 * step.as_secs_f64())
        .include_x(0.0)
        .x_axis_formatter(|mark, _| format!("{} s", mark.value))
}

fn plot<'a>(name: &'static str, tokens: &Tokens) -> Plot<'a> {
    Plot::new(name)
        .height(132.0)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .show_background(false)
        .include_y(0.0)
        .grid_color(tokens.grid)
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
