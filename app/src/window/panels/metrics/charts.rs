//! Charts of one plugin over time, and of how long its calls took.

use std::time::Duration;

use egui::{Ui, vec2};
use egui_plot::{Bar, BarChart, GridInput, GridMark, HLine, Line, LineStyle, Plot, Points, VLine};
use glovebox_abi::units::show_duration;
use glovebox_host::PluginStatus;
use glovebox_inspector::metrics::{Bucket, GenerationMetrics, Series};

use crate::window::theme::{self, Tokens};
use crate::window::widgets::text::plain;
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
    let seconds = series.step.as_secs_f64();
    // A bucket stands in its middle; the last one ends at 0.
    let x = |bucket: &Bucket| (bucket.start as f64 - last as f64) / 1e9 - seconds / 2.0;
    let last = last as f64 / 1e9 + seconds;
    let marks: Vec<_> = series
        .reloads
        .iter()
        .map(|mark| (mark.at as f64 / 1e9 - last, mark.generation, mark.accepted))
        .filter(|(at, ..)| *at >= -(SHOWN as f64) * seconds)
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
    let stretches = |value: &dyn Fn(&Bucket) -> Option<f64>| {
        stretches(&buckets, step, |bucket| Some([x(bucket), value(bucket)?]))
    };
    let line = |plot: &mut egui_plot::PlotUi<'_>,
                name: &str,
                color,
                filled,
                value: &dyn Fn(&Bucket) -> Option<f64>| {
        for stretch in stretches(value) {
            plot.points(Points::new(name, stretch.clone()).color(color).radius(1.8));
            let line = Line::new(name, stretch).color(color);
            plot.line(if filled { line.fill(0.0).fill_alpha(0.12) } else { line });
        }
    };
    let bars = |name: &str, color, value: &dyn Fn(&Bucket) -> u64| {
        let counted = buckets.iter().filter(|bucket| value(bucket) > 0);
        let bars = counted.map(|bucket| Bar::new(x(bucket), value(bucket) as f64).width(seconds));
        BarChart::new(name, bars.collect()).color(color)
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
                plot.bar_chart(bars("frames", tokens.lane(0), &|bucket| bucket.frames));
                plot.bar_chart(bars("errors", tokens.bad, &|bucket| bucket.errors));
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
                line(plot, "p50", tokens.lane(1), false, &|bucket| bucket.p50.map(micros));
                line(plot, "p99", tokens.lane(2), false, &|bucket| bucket.p99.map(micros));
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
                line(plot, "memory", tokens.lane(2), true, &|bucket| bucket.memory.map(mebi));
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

/// What was measured in buckets that follow each other; nothing is drawn where there was nothing.
fn stretches(
    buckets: &[&Bucket],
    step: u64,
    point: impl Fn(&Bucket) -> Option<[f64; 2]>,
) -> Vec<Vec<[f64; 2]>> {
    let mut stretches: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut next = None;
    for bucket in buckets {
        let Some(point) = point(bucket) else { continue };
        match stretches.last_mut().filter(|_| next == Some(bucket.start)) {
            Some(stretch) => stretch.push(point),
            None => stretches.push(vec![point]),
        }
        next = Some(bucket.start + step);
    }
    stretches
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
    ui.label(plain(text).small().color(theme::of(ui).text_weak));
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
    fn lines_end_where_nothing_was_measured() {
        fn check(buckets: &[(u64, Option<u64>)], expected: &[&[f64]]) {
            let bucket = |(start, memory): &(u64, Option<u64>)| Bucket {
                start: *start,
                memory: *memory,
                ..Bucket::default()
            };
            let all: Vec<_> = buckets.iter().map(bucket).collect();
            let all: Vec<_> = all.iter().collect();
            let point = |bucket: &Bucket| Some([bucket.start as f64, bucket.memory? as f64]);
            let found = stretches(&all, 10, point);
            let found: Vec<Vec<f64>> =
                found.iter().map(|one| one.iter().map(|[at, _]| *at).collect()).collect();
            assert_eq!(found, expected);
        }
        check(&[], &[]);
        check(&[(0, Some(1)), (10, Some(1))], &[&[0.0, 10.0]]);
        check(&[(0, Some(1)), (40, Some(1)), (50, Some(2))], &[&[0.0], &[40.0, 50.0]]);
        check(&[(0, Some(1)), (10, None), (20, Some(2))], &[&[0.0], &[20.0]]);
    }

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
