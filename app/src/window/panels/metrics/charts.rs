//! Charts of one plugin over time, and of how long its calls took.

use std::time::Duration;

use egui::{RichText, Ui, vec2};
use egui_plot::{
    Bar, BarChart, GridInput, GridMark, HLine, Line, LineStyle, Plot, PlotPoints, Points, VLine,
};
use glovebox_abi::units::show_duration;
use glovebox_host::PluginStatus;
use glovebox_inspector::metrics::{Bucket, GenerationMetrics, Series};

use crate::window::theme::{self, Tokens};
use crate::window::widgets::{section, steps};
use crate::workbench::{Source, ViewCtx};

/// Buckets that charts show.
const SHOWN: u64 = 120;
/// Buckets that charts have room for, however short the run is.
const FEW: f64 = 10.0;

/// Paints the charts of one generation.
pub(super) fn show(
    ui: &mut Ui,
    ctx: ViewCtx<'_>,
    source: Source,
    figures: &GenerationMetrics,
    series: &Series,
    plugin: Option<&PluginStatus>,
) {
    let tokens = theme::of(ui);
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
    let is_marked = |wanted: bool| marks.iter().any(|(.., accepted)| *accepted == wanted);
    let mark_keys = |ui: &mut Ui| {
        if is_marked(false) {
            key(ui, tokens.bad, "reload refused");
        }
        if is_marked(true) {
            key(ui, tokens.accent, "reload");
        }
    };
    let length = buckets.first().map_or(0.0, |bucket| -x(bucket));
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
    let budget = plugin.map(|plugin| &plugin.manifest.budget);
    let budgets = [
        ("p50 budget", budget.and_then(|budget| budget.p50)),
        ("p99 budget", budget.and_then(|budget| budget.p99)),
    ];
    let memory_budget = budget.and_then(|budget| budget.memory);
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            ui.set_width(width);
            section(ui, "Rate", |ui| {
                unit(ui, frames_per(series.step));
                ui.add_space(8.0);
                mark_keys(ui);
                if buckets.iter().any(|bucket| bucket.errors > 0) {
                    key(ui, tokens.bad, "errors");
                    key(ui, tokens.lane(0), "frames");
                }
            });
            over_time("rate", series.step, length, tokens).show(ui, |plot| {
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
            section(ui, "Latency", |ui| {
                mark_keys(ui);
                if budgets.iter().any(|(_, budget)| budget.is_some()) {
                    key(ui, tokens.warn, "budget");
                }
                key(ui, tokens.lane(2), "p99");
                key(ui, tokens.lane(1), "p50");
            });
            let latency = over_time("latency", series.step, length, tokens)
                .y_axis_formatter(|mark, _| time_of(mark.value));
            latency.show(ui, |plot| {
                plot.line(
                    Line::new("p50", points(&|bucket| bucket.p50.map(micros)))
                        .color(tokens.lane(1)),
                );
                plot.line(
                    Line::new("p99", points(&|bucket| bucket.p99.map(micros)))
                        .color(tokens.lane(2)),
                );
                plot.points(dots("p50", &|bucket| bucket.p50.map(micros), tokens.lane(1)));
                plot.points(dots("p99", &|bucket| bucket.p99.map(micros), tokens.lane(2)));
                for (name, budget) in budgets {
                    if let Some(budget) = budget {
                        plot.hline(
                            HLine::new(name, micros(budget))
                                .color(tokens.warn)
                                .style(LineStyle::dashed_dense()),
                        );
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
            section(ui, "Latency of all calls", |ui| unit(ui, "calls by time, logarithmic"));
            let counts = ctx.latencies(source, &figures.plugin, figures.generation);
            let bars = counts.iter().flat_map(|counts| counts.bars().collect::<Vec<_>>());
            let bars = bars.map(|(start, count)| {
                let middle = (start as f64 * 1.125 / 1000.0).log10();
                let label = format!("{}: {count}", show_duration(Duration::from_nanos(start)));
                Bar::new(middle, count as f64).width(0.07).name(label)
            });
            let chart = BarChart::new("calls", bars.collect()).color(tokens.lane(0));
            plot("histogram", tokens)
                .x_axis_formatter(|mark, _| time_of(10f64.powf(mark.value)))
                .show(ui, |plot| plot.bar_chart(chart));
        });
        ui.vertical(|ui| {
            ui.set_width(width);
            section(ui, "Memory", |ui| {
                unit(ui, "MiB");
                ui.add_space(8.0);
                mark_keys(ui);
                if memory_budget.is_some() {
                    key(ui, tokens.warn, "budget");
                }
            });
            let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            over_time("memory", series.step, length, tokens).show(ui, |plot| {
                plot.line(
                    Line::new("memory", points(&|bucket| bucket.memory.map(mebi)))
                        .color(tokens.lane(2))
                        .fill(0.0)
                        .fill_alpha(0.12),
                );
                plot.points(dots("memory", &|bucket| bucket.memory.map(mebi), tokens.lane(2)));
                if let Some(budget) = memory_budget {
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
}

/// What a colour of a chart stands for.
fn key(ui: &mut Ui, color: egui::Color32, text: &str) {
    unit(ui, text);
    let (rect, _) = ui.allocate_exact_size(vec2(8.0, 8.0), egui::Sense::hover());
    ui.painter().circle_filled(rect.center(), 3.0, color);
    ui.add_space(8.0);
}

/// A number of microseconds, for people.
fn time_of(micros: f64) -> String {
    match micros > 0.0 {
        true => show_duration(Duration::from_secs_f64(micros.min(1e15) / 1e6)),
        false => "0".to_owned(),
    }
}

fn unit(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).small().color(theme::of(ui).text_weak));
}

fn frames_per(step: Duration) -> &'static str {
    if step < Duration::from_secs(1) { "frames per tenth of a second" } else { "frames per second" }
}

/// So many seconds before the last event, and a few buckets at least.
fn over_time<'a>(name: &'static str, step: Duration, seconds: f64, tokens: &Tokens) -> Plot<'a> {
    let step = step.as_secs_f64();
    plot(name, tokens)
        .include_x(-seconds.clamp(FEW * step, SHOWN as f64 * step))
        .include_x(0.0)
        .x_grid_spacer(|input| grid(input, 4))
        .x_axis_formatter(|mark, _| format!("{} s", number(mark)))
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
        .y_axis_min_width(48.0)
        .y_axis_formatter(|mark, _| number(mark))
        .y_grid_spacer(|input| grid(input, 3))
        .grid_color(tokens.grid)
}

/// The number at a mark, with as many digits as tell it from the next one.
fn number(mark: GridMark) -> String {
    let digits = (-mark.step_size.log10().floor()).clamp(0.0, 6.0) as usize;
    // Without the sign of a zero.
    format!("{:.digits$}", mark.value + 0.0)
}

/// Marks at round numbers, about so many.
fn grid(input: GridInput, count: usize) -> Vec<GridMark> {
    let (first, last) = input.bounds;
    let step_size = steps::step(first, last, count);
    let mark = |value| GridMark { value, step_size };
    steps::marks(first, last, step_size).map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart() {
        fn check(value: f64, step_size: f64, expected: &str) {
            assert_eq!(number(GridMark { value, step_size }), expected);
        }
        check(0.0, 0.5, "0.0");
        check(0.5, 0.5, "0.5");
        check(1.25, 0.05, "1.25");
        check(400.0, 200.0, "400");
        check(-0.0, 20.0, "0");
        check(-40.0, 20.0, "-40");
    }
}
