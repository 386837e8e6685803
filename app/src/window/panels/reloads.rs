//! A table of reloads.

use egui::{Grid, Ui, vec2};
use glovebox_abi::units::{show_duration, show_size};
use glovebox_host::Remains;
use glovebox_inspector::store::{Reload, Store};

use crate::window::theme::{self, Tone};
use crate::window::widgets::chart::sparkline;
use crate::window::widgets::figures::{clock, since, since_when};
use crate::window::widgets::text::{Hint, paragraph, plain};
use crate::window::widgets::{badge, fact};

/// The time from which those of reloads are counted: the first event, or the first reload, which stays when
/// live frames are cleared.
pub(super) fn origin(store: &Store) -> Option<u64> {
    let first = store.reloads().front().map(|reload| reload.at);
    store.start().into_iter().chain(first).min()
}

/// The remains of the generations of an instance: those that live, and those that did not go away.
pub(super) fn remains(ui: &mut Ui, name: &str, remains: &Remains) {
    let tokens = theme::of(ui);
    let live = remains.live.iter().map(|live| match live.copies {
        1 => format!("1 of generation {}", live.generation),
        copies => format!("{copies} of generation {}", live.generation),
    });
    let live: Vec<_> = live.collect();
    fact(ui, "Copies that live", if live.is_empty() { "none".to_owned() } else { live.join(", ") });
    if remains.libraries > 0 {
        fact(ui, "Mapped libraries", remains.libraries.to_string());
    }
    if let [first, .., last] = &*remains.memory {
        let (after, swaps) = (show_size(last.after), remains.memory.len());
        let text = format!("{after}, {} at the first of {swaps} swaps", show_size(first.after));
        fact(ui, "Memory of this process", text);
        let values: Vec<f64> = remains.memory.iter().map(|swap| swap.after as f64).collect();
        let name = format!("memory of this process after each swap of {name}");
        sparkline(ui, vec2(SPARK, 20.0), &values, tokens.accent, &name);
    }
    for left in &remains.left_behind {
        ui.label(paragraph(format!("Left behind: {left}")).color(tokens.tone(Tone::Warn)));
    }
}

/// Width of the line of memory.
const SPARK: f32 = 160.0;

/// Reloads as a table, each with the name of its instance where they are of several. Their times are
/// counted from `origin`, in nanoseconds since the Unix epoch.
pub(super) fn grid<'a>(
    ui: &mut Ui,
    name: &str,
    origin: Option<u64>,
    reloads: impl Iterator<Item = (Option<&'a str>, &'a Reload)>,
) {
    let mut reloads = reloads.peekable();
    let tokens = theme::of(ui);
    Grid::new(name).num_columns(6).spacing([16.0, 4.0]).show(ui, |ui| {
        let is_named = matches!(reloads.peek(), Some((Some(_), _)));
        let plugin = if is_named { "plugin" } else { "" };
        for name in ["time, s", plugin, "generation", "cause", "duration", "outcome"] {
            ui.label(plain(name).font(theme::medium(11.0)).color(tokens.text_weak));
        }
        ui.end_row();
        for (name, reload) in reloads {
            ui.label(since(origin, reload.at)).hint(format!(
                "{} UTC; the column is {}",
                clock(reload.at),
                since_when(origin)
            ));
            ui.label(plain(name.unwrap_or_default()));
            ui.label(reload.generation.to_string());
            ui.label(reload.cause.name());
            ui.label(show_duration(reload.took));
            match &reload.result {
                Ok(done) => {
                    let state = match done.state_version {
                        Some(version) => format!(", state {version} carried over"),
                        None => String::new(),
                    };
                    ui.horizontal(|ui| {
                        badge(ui, "took over", Tone::Good);
                        ui.label(plain(format!("version {}{state}", done.version)));
                    });
                }
                Err(refused) => {
                    ui.horizontal(|ui| {
                        badge(ui, "refused", Tone::Bad);
                        ui.label(plain(format!("{}: {}", refused.stage, refused.message)));
                    });
                }
            }
            ui.end_row();
        }
    });
}
