//! Charts of what the processes of an instance use of the machine.

use std::collections::VecDeque;

use egui::{Color32, Ui};
use egui_plot::{HLine, Line, LineStyle, PlotUi};
use glovebox_abi::units::show_size;
use glovebox_host::{PluginStatus, ResourceUsage};

use super::charts::{grid, key, number, plot, two_by_two, unit};
use crate::window::theme::{self, Tokens};
use crate::window::widgets::{fact, section};
use crate::workbench::UsageSample;

const MEBI: f64 = (1 << 20) as f64;

/// Paints the charts of the last two minutes, and what was used in all.
pub(super) fn show(
    ui: &mut Ui,
    plugin: &PluginStatus,
    usage: &ResourceUsage,
    samples: &VecDeque<UsageSample>,
) {
    let charts = Charts { samples, tokens: theme::of(ui) };
    two_by_two(
        ui,
        [
            [&|ui| charts.processor(ui), &|ui| charts.memory(ui, plugin.limits.memory)],
            [&|ui| charts.faults(ui), &|ui| charts.carried(ui)],
        ],
    );
    let processes = match usage.processes {
        1 => "1 process".to_owned(),
        many => format!("{many} processes"),
    };
    fact(ui, "Worker", format!("{processes}, {} threads", usage.threads));
    let seconds = |time: std::time::Duration| format!("{:.2} s", time.as_secs_f64());
    let (user, system) = (seconds(usage.user), seconds(usage.system));
    fact(ui, "Processor", format!("{user} in its own code, {system} in the system"));
    let (minor, major) = (usage.minor_faults, usage.major_faults);
    fact(ui, "Page faults", format!("{minor} without a disk, {major} with"));
    if let Some((read, written)) = usage.carried {
        fact(ui, "I/O", format!("{} read, {} written", show_size(read), show_size(written)));
    }
}

struct Charts<'a> {
    samples: &'a VecDeque<UsageSample>,
    tokens: &'static Tokens,
}

impl Charts<'_> {
    fn processor(&self, ui: &mut Ui) {
        section(ui, "Processor", |ui| unit(ui, "% of one core"));
        self.chart(ui, "processor", |charts, plot| {
            charts.line(plot, "processor", charts.tokens.lane(0), |one| Some(one.cores * 100.0));
        });
    }

    /// The limit counts the plugin's own writable memory, and what is held has shared pages as well.
    fn memory(&self, ui: &mut Ui, limit: u64) {
        section(ui, "Memory of the worker", |ui| {
            unit(ui, "MiB");
            ui.add_space(8.0);
            key(ui, self.tokens.bad, "limit");
        });
        self.chart(ui, "worker memory", |charts, plot| {
            let held = |one: &UsageSample| Some(one.resident as f64 / MEBI);
            charts.line(plot, "memory", charts.tokens.lane(2), held);
            let style = LineStyle::dashed_dense();
            let limit = HLine::new("limit", limit as f64 / MEBI);
            plot.hline(limit.color(charts.tokens.bad).style(style));
        });
    }

    fn faults(&self, ui: &mut Ui) {
        let (minor, major) = (self.tokens.lane(0), self.tokens.bad);
        section(ui, "Page faults", |ui| {
            unit(ui, "per second");
            ui.add_space(8.0);
            key(ui, major, "with a disk");
            key(ui, minor, "without");
        });
        self.chart(ui, "faults", |charts, plot| {
            charts.line(plot, "without a disk", minor, |one| Some(one.faults.0));
            charts.line(plot, "with a disk", major, |one| Some(one.faults.1));
        });
    }

    fn carried(&self, ui: &mut Ui) {
        let (read, written) = (self.tokens.lane(0), self.tokens.lane(1));
        let is_told = self.samples.iter().any(|one| one.carried.is_some());
        section(ui, "I/O", |ui| match is_told {
            true => {
                unit(ui, "KiB per second");
                ui.add_space(8.0);
                key(ui, written, "written");
                key(ui, read, "read");
            }
            false => unit(ui, "the system tells it to the superuser alone"),
        });
        self.chart(ui, "carried", |charts, plot| {
            charts.line(plot, "read", read, |one| Some(one.carried?.0 / 1024.0));
            charts.line(plot, "written", written, |one| Some(one.carried?.1 / 1024.0));
        });
    }

    fn chart(&self, ui: &mut Ui, name: &'static str, paint: impl FnOnce(&Self, &mut PlotUi<'_>)) {
        plot(name, self.tokens)
            .include_x(-10.0)
            .include_x(0.0)
            .include_y(1.0)
            .x_grid_spacer(|input| grid(input, 4))
            .x_axis_formatter(|mark, _| format!("{} s", number(mark)))
            .show(ui, |plot| paint(self, plot));
    }

    fn line(
        &self,
        plot: &mut PlotUi<'_>,
        name: &str,
        color: Color32,
        value: impl Fn(&UsageSample) -> Option<f64>,
    ) {
        let Some(last) = self.samples.back() else { return };
        let points: Vec<[f64; 2]> = self
            .samples
            .iter()
            .filter_map(|one| {
                let ago = last.at.saturating_duration_since(one.at).as_secs_f64();
                Some([-ago, value(one)?])
            })
            .collect();
        plot.line(Line::new(name, points).color(color));
    }
}
