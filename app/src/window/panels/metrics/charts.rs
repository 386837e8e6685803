//! Charts of one instance over time, and of its latencies.

use std::time::Duration;

use egui::{Align, Color32, Rect, Ui, pos2, vec2};
use egui_plot::{
    Bar, BarChart, GridInput, GridMark, HLine, Line, LineStyle, Plot, PlotResponse, PlotUi, Points,
    VLine,
};
use glovebox_abi::manifest::Budget;
use glovebox_abi::units::show_duration;
use glovebox_host::PluginStatus;
use glovebox_inspector::metrics::{Bucket, GenerationMetrics, Series};

use crate::window::theme::{self, Tokens};
use crate::window::widgets::text::plain;
use crate::window::widgets::{put_over, section, steps, text_in};

/// Buckets that charts show.
const SHOWN: u64 = 120;
/// Buckets that charts have room for, however short the run is.
const FEW: f64 = 10.0;

/// Room for the number of a generation in a chart, in points.
const NUMBER: f32 = 44.0;

/// Paints the charts of one instance.
pub(super) fn show(
    ui: &mut Ui,
    figures: &GenerationMetrics,
    series: &Series,
    plugin: Option<&PluginStatus>,
) {
    let charts = Charts::of(series, plugin.map(|plugin| &plugin.manifest.budget), theme::of(ui));
    two_by_two(
        ui,
        [
            [&|ui| charts.rate(ui), &|ui| charts.latency(ui)],
            [&|ui| histogram(ui, figures, charts.tokens), &|ui| charts.memory(ui)],
        ],
    );
}

/// Paints a chart.
type Chart<'a> = &'a dyn Fn(&mut Ui);

/// Paints four charts, two in a row, each half as wide as the room.
pub(super) fn two_by_two(ui: &mut Ui, charts: [[Chart<'_>; 2]; 2]) {
    let width = (ui.available_width() - 12.0) / 2.0;
    for row in charts {
        ui.horizontal(|ui| {
            for chart in row {
                ui.vertical(|ui| {
                    ui.set_width(width);
                    chart(ui);
                });
            }
        });
        ui.add_space(8.0);
    }
}

/// A reload in a chart.
struct Mark {
    /// Seconds before the end.
    at: f64,
    generation: u32,
    accepted: bool,
}

/// The data that charts over time share: their buckets end at 0.
struct Charts<'a> {
    series: &'a Series,
    buckets: Vec<&'a Bucket>,
    /// When the last bucket begins, in nanoseconds since the Unix epoch.
    last: u64,
    marks: Vec<Mark>,
    budget: Option<&'a Budget>,
    tokens: &'static Tokens,
}

impl<'a> Charts<'a> {
    fn of(series: &'a Series, budget: Option<&'a Budget>, tokens: &'static Tokens) -> Charts<'a> {
        let last = series.buckets.last().map_or(0, |bucket| bucket.start);
        let step = nanos(series.step);
        let first = last.saturating_sub(step.saturating_mul(SHOWN - 1));
        let end = last as f64 / 1e9 + series.step.as_secs_f64();
        let marks = series.reloads.iter().map(|mark| Mark {
            at: mark.at as f64 / 1e9 - end,
            generation: mark.generation,
            accepted: mark.accepted,
        });
        let room = SHOWN as f64 * series.step.as_secs_f64();
        Charts {
            series,
            buckets: series.buckets.iter().filter(|bucket| bucket.start >= first).collect(),
            last,
            marks: marks.filter(|mark| mark.at >= -room).collect(),
            budget,
            tokens,
        }
    }

    /// The middle of a bucket, in seconds before the end.
    fn x(&self, bucket: &Bucket) -> f64 {
        let seconds = self.series.step.as_secs_f64();
        (bucket.start as f64 - self.last as f64) / 1e9 - seconds / 2.0
    }

    fn rate(&self, ui: &mut Ui) {
        let tokens = self.tokens;
        section(ui, "Rate", |ui| {
            unit(ui, frames_per(self.series.step));
            ui.add_space(8.0);
            self.mark_keys(ui);
            if self.buckets.iter().any(|bucket| bucket.errors > 0) {
                key(ui, tokens.bad, "errors");
                key(ui, tokens.lane(0), "frames");
            }
        });
        let painted = self.over_time("rate").show(ui, |plot| {
            plot.bar_chart(self.bars("frames", tokens.lane(0), |bucket| bucket.frames));
            plot.bar_chart(self.bars("errors", tokens.bad, |bucket| bucket.errors));
            self.mark_lines(plot);
        });
        self.say_nothing(ui, &painted, "No frames", |one| one.frames > 0 || one.errors > 0);
        self.mark_numbers(ui, &painted);
    }

    fn latency(&self, ui: &mut Ui) {
        let tokens = self.tokens;
        let budgets = [
            ("p50 budget", self.budget.and_then(|budget| budget.p50)),
            ("p99 budget", self.budget.and_then(|budget| budget.p99)),
        ];
        section(ui, "Latency", |ui| {
            self.mark_keys(ui);
            if budgets.iter().any(|(_, budget)| budget.is_some()) {
                key(ui, tokens.warn, "budget");
            }
            key(ui, tokens.lane(2), "p99");
            key(ui, tokens.lane(1), "p50");
        });
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let chart = self.over_time("latency").y_axis_formatter(|mark, _| time_of(mark.value));
        let painted = chart.show(ui, |plot| {
            self.line(plot, "p50", tokens.lane(1), None, |bucket| bucket.p50.map(micros));
            self.line(plot, "p99", tokens.lane(2), None, |bucket| bucket.p99.map(micros));
            for (name, budget) in budgets {
                if let Some(budget) = budget {
                    self.limit(plot, name, micros(budget));
                }
            }
            self.mark_lines(plot);
        });
        self.say_nothing(ui, &painted, "No latency was measured", |one| one.p50.is_some());
        self.mark_numbers(ui, &painted);
    }

    fn memory(&self, ui: &mut Ui) {
        let tokens = self.tokens;
        let budget = self.budget.and_then(|budget| budget.memory);
        section(ui, "Memory", |ui| {
            unit(ui, "MiB");
            ui.add_space(8.0);
            self.mark_keys(ui);
            if budget.is_some() {
                key(ui, tokens.warn, "budget");
            }
        });
        let mebi = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let painted = self.over_time("memory").show(ui, |plot| {
            self.line(plot, "memory", tokens.lane(2), Some(0.12), |one| one.memory.map(mebi));
            if let Some(budget) = budget {
                self.limit(plot, "budget", mebi(budget));
            }
            self.mark_lines(plot);
        });
        self.say_nothing(ui, &painted, "No memory was measured", |one| one.memory.is_some());
        self.mark_numbers(ui, &painted);
    }

    /// Says that nothing was measured, if it is so.
    fn say_nothing(
        &self,
        ui: &mut Ui,
        painted: &PlotResponse<()>,
        text: &str,
        is_measured: impl Fn(&Bucket) -> bool,
    ) {
        if !self.buckets.iter().any(|bucket| is_measured(bucket)) {
            nothing(ui, painted, text);
        }
    }

    /// A chart of so many seconds before the last event, and of a few buckets at least.
    fn over_time<'p>(&self, name: &'static str) -> Plot<'p> {
        let step = self.series.step.as_secs_f64();
        let seconds = self.buckets.first().map_or(0.0, |bucket| -self.x(bucket));
        plot(name, self.tokens)
            .include_x(-seconds.clamp(FEW * step, SHOWN as f64 * step))
            .include_x(0.0)
            .x_grid_spacer(|input| grid(input, 4))
            .x_axis_formatter(|mark, _| format!("{} s", number(mark)))
    }

    fn bars(&self, name: &str, color: Color32, value: impl Fn(&Bucket) -> u64) -> BarChart {
        let width = self.series.step.as_secs_f64();
        let counted = self.buckets.iter().filter(|bucket| value(bucket) > 0);
        let bars =
            counted.map(|bucket| Bar::new(self.x(bucket), value(bucket) as f64).width(width));
        BarChart::new(name, bars.collect()).color(color)
    }

    /// A line with its points, filled below if there is an opacity.
    fn line(
        &self,
        plot: &mut PlotUi<'_>,
        name: &str,
        color: Color32,
        filled: Option<f32>,
        value: impl Fn(&Bucket) -> Option<f64>,
    ) {
        // A line from one generation to the next would be a figure of neither.
        let accepted = self.series.reloads.iter().filter(|mark| mark.accepted);
        let switches: Vec<u64> = accepted.map(|mark| mark.at).collect();
        let step = nanos(self.series.step);
        let end = self.last.saturating_add(step);
        let point = |bucket: &Bucket| {
            let middle = middle(bucket.start, step, &switches);
            Some([-(end.saturating_sub(middle) as f64) / 1e9, value(bucket)?])
        };
        for stretch in stretches(&self.buckets, step, &switches, point) {
            plot.points(Points::new(name, stretch.clone()).color(color).radius(1.8));
            let line = Line::new(name, stretch).color(color);
            plot.line(match filled {
                Some(opacity) => line.fill(0.0).fill_alpha(opacity),
                None => line,
            });
        }
    }

    fn limit(&self, plot: &mut PlotUi<'_>, name: &str, at: f64) {
        let style = LineStyle::dashed_dense();
        plot.hline(HLine::new(name, at).color(self.tokens.warn).style(style));
    }

    fn mark_lines(&self, plot: &mut PlotUi<'_>) {
        for Mark { at, generation, accepted } in &self.marks {
            let (name, color) = match accepted {
                true => (format!("generation {generation}"), self.tokens.accent),
                false => ("reload refused".to_owned(), self.tokens.bad),
            };
            plot.vline(VLine::new(name, *at).color(color).style(LineStyle::dashed_dense()));
        }
    }

    /// The generation that begins at each mark; where there is no room for all, the newest ones.
    fn mark_numbers(&self, ui: &Ui, painted: &PlotResponse<()>) {
        let frame = *painted.transform.frame();
        let mut room = f32::INFINITY;
        for mark in self.marks.iter().rev().filter(|mark| mark.accepted) {
            let x = painted.transform.position_from_point_x(mark.at);
            // Right of the line, unless it is at the end of the chart.
            let left = if x + NUMBER > frame.right() { x - NUMBER } else { x };
            if left + NUMBER > room || left < frame.left() {
                continue;
            }
            room = left;
            let place = Rect::from_min_size(pos2(left, frame.top()), vec2(NUMBER, 14.0));
            let align = if left < x { Align::Max } else { Align::Min };
            let font = egui::TextStyle::Small.resolve(ui.style());
            let text = format!("gen {}", mark.generation);
            // Over bars it would not be read.
            let ground = self.tokens.panel.gamma_multiply(0.85);
            ui.painter().rect_filled(place.shrink2(vec2(2.0, 0.0)), 2.0, ground);
            text_in(ui, place.shrink2(vec2(4.0, 0.0)), align, &text, font, self.tokens.accent);
        }
    }

    /// The key of the marks' colours.
    fn mark_keys(&self, ui: &mut Ui) {
        let is_marked = |wanted: bool| self.marks.iter().any(|mark| mark.accepted == wanted);
        if is_marked(false) {
            key(ui, self.tokens.bad, "reload refused");
        }
        if is_marked(true) {
            key(ui, self.tokens.accent, "reload");
        }
    }
}

/// Paints how long half of the calls of two instances took, as two lines of one chart, and says so if
/// nothing was measured.
pub(super) fn two(ui: &mut Ui, [first, second]: [(&str, &Series); 2]) {
    let tokens = theme::of(ui);
    let last = |series: &Series| series.buckets.last().map_or(0, |bucket| bucket.start);
    // Both end with the last event of either.
    let end = last(first.1).max(last(second.1));
    let lines = [(first, tokens.lane(0)), (second, tokens.lane(1))];
    let charts = lines.map(|((name, series), color)| {
        (name, Charts { last: end, ..Charts::of(series, None, tokens) }, color)
    });
    section(ui, "Latency of two builds, p50", |ui| {
        for (name, _, color) in charts.iter().rev() {
            key(ui, *color, name);
        }
    });
    let begin = |(_, charts, _): &(&str, Charts<'_>, _)| {
        charts.buckets.first().map_or(0.0, |bucket| charts.x(bucket))
    };
    let begin = charts.iter().map(begin).fold(0.0, f64::min);
    let step = first.1.step.as_secs_f64();
    let painted = plot("latency of two", tokens)
        .include_x(-(-begin).clamp(FEW * step, SHOWN as f64 * step))
        .include_x(0.0)
        .x_grid_spacer(|input| grid(input, 4))
        .x_axis_formatter(|mark, _| format!("{} s", number(mark)))
        .y_axis_formatter(|mark, _| time_of(mark.value))
        .show(ui, |plot| {
            for (name, charts, color) in &charts {
                let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
                charts.line(plot, name, *color, None, |bucket| bucket.p50.map(micros));
            }
        });
    let is_measured = |charts: &Charts<'_>| charts.buckets.iter().any(|one| one.p50.is_some());
    if !charts.iter().any(|(_, charts, _)| is_measured(charts)) {
        nothing(ui, &painted, "No latency was measured");
    }
}

/// How many calls took how long.
fn histogram(ui: &mut Ui, figures: &GenerationMetrics, tokens: &Tokens) {
    section(ui, "Latency of all calls", |ui| {
        unit(ui, format!("generation {}, calls by time, logarithmic", figures.generation));
    });
    let bars = figures.latencies.bars().into_iter().map(|(start, count)| {
        // The shortest calls begin at nothing.
        let middle = (start.as_nanos().max(1) as f64 * 1.125 / 1000.0).log10();
        let label = format!("{}: {count}", show_duration(start));
        Bar::new(middle, count as f64).width(0.07).name(label)
    });
    let bars: Vec<Bar> = bars.collect();
    let is_empty = bars.is_empty();
    let chart = BarChart::new("calls", bars).color(tokens.lane(0));
    let painted = plot("histogram", tokens)
        .x_axis_formatter(|mark, _| time_of(10f64.powf(mark.value)))
        .show(ui, |plot| plot.bar_chart(chart));
    if is_empty {
        nothing(ui, &painted, "No call was measured");
    }
}

/// Says in place of a chart that there is nothing to measure: its axes would be about no figures.
fn nothing(ui: &mut Ui, painted: &PlotResponse<()>, text: &str) {
    let tokens = theme::of(ui);
    let place = painted.response.rect;
    ui.painter().rect_filled(place, 0.0, tokens.panel);
    let middle = Rect::from_center_size(place.center(), vec2(place.width() - 16.0, 16.0));
    put_over(ui, middle, egui::Label::new(plain(text).color(tokens.text_weak)).truncate());
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Where the figures of a bucket stand: in its middle, or in that of its part after a switch, for they count
/// for the generation after it.
fn middle(start: u64, step: u64, switches: &[u64]) -> u64 {
    let end = start.saturating_add(step);
    let within = switches.iter().filter(|at| (start..end).contains(at));
    let from = within.max().copied().unwrap_or(start);
    from + (end - from) / 2
}

/// The measurements of consecutive buckets; a bucket without any leaves a gap, and so does a switch.
fn stretches(
    buckets: &[&Bucket],
    step: u64,
    switches: &[u64],
    point: impl Fn(&Bucket) -> Option<[f64; 2]>,
) -> Vec<Vec<[f64; 2]>> {
    let mut stretches: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut next = None;
    for bucket in buckets {
        let Some(point) = point(bucket) else { continue };
        let within = bucket.start..bucket.start.saturating_add(step);
        let is_switch = switches.iter().any(|at| within.contains(at));
        match stretches.last_mut().filter(|_| next == Some(bucket.start) && !is_switch) {
            Some(stretch) => stretch.push(point),
            None => stretches.push(vec![point]),
        }
        next = bucket.start.checked_add(step);
    }
    stretches
}

/// Paints the key of one colour of a chart.
pub(super) fn key(ui: &mut Ui, color: egui::Color32, text: &str) {
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

pub(super) fn unit(ui: &mut Ui, text: impl AsRef<str>) {
    ui.label(plain(text).small().color(theme::of(ui).text_weak));
}

fn frames_per(step: Duration) -> &'static str {
    if step < Duration::from_secs(1) { "frames per tenth of a second" } else { "frames per second" }
}

pub(super) fn plot<'a>(name: &'static str, tokens: &Tokens) -> Plot<'a> {
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
pub(super) fn number(mark: GridMark) -> String {
    let digits = (-mark.step_size.log10().floor()).clamp(0.0, 6.0) as usize;
    // Without the sign of a zero.
    format!("{:.digits$}", mark.value + 0.0)
}

/// Marks at round numbers, about so many.
pub(super) fn grid(input: GridInput, count: usize) -> Vec<GridMark> {
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
        fn check(buckets: &[(u64, Option<u64>)], switches: &[u64], expected: &[&[f64]]) {
            let bucket = |(start, memory): &(u64, Option<u64>)| Bucket {
                start: *start,
                memory: *memory,
                ..Bucket::default()
            };
            let all: Vec<_> = buckets.iter().map(bucket).collect();
            let all: Vec<_> = all.iter().collect();
            let point = |bucket: &Bucket| Some([bucket.start as f64, bucket.memory? as f64]);
            let found = stretches(&all, 10, switches, point);
            let found: Vec<Vec<f64>> =
                found.iter().map(|one| one.iter().map(|[at, _]| *at).collect()).collect();
            assert_eq!(found, expected);
        }
        check(&[], &[], &[]);
        check(&[(0, Some(1)), (10, Some(1))], &[], &[&[0.0, 10.0]]);
        check(&[(0, Some(1)), (10, Some(1)), (20, Some(2))], &[19], &[&[0.0], &[10.0, 20.0]]);
        check(&[(0, Some(1)), (40, Some(1)), (50, Some(2))], &[], &[&[0.0], &[40.0, 50.0]]);
        check(&[(0, Some(1)), (10, None), (20, Some(2))], &[], &[&[0.0], &[20.0]]);
        let last = u64::MAX - 5;
        check(&[(last - 10, Some(1)), (last, Some(1))], &[], &[&[(last - 10) as f64, last as f64]]);
    }

    #[test]
    fn figures_stand_behind_the_switch_in_their_bucket() {
        fn check(switches: &[u64], expected: u64) {
            assert_eq!(middle(100, 10, switches), expected, "{switches:?}");
        }
        check(&[], 105);
        check(&[99, 110], 105);
        check(&[100], 105);
        check(&[108], 109);
        check(&[102, 106], 108);
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
