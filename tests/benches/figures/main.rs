//! All figures: `cargo bench -p glovebox-tests --profile dist` runs them, `-- NAME` those whose name
//! contains NAME. Without the profile they are those of a build for daily use.
//!
//! Each figure is measured against a raw baseline in the same run, in turns, because a machine is
//! never equally fast twice, and its target is a ratio to that baseline: it means the same on every
//! machine. The baseline is what nobody can do without, such as the raw call and one lock for a call
//! of a host. A missed target is printed and fails nothing.
#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

mod calls;
mod contention;
mod diffs;
mod figure;
mod filters;
mod loads;
mod lookups;
mod many;
mod queues;
mod raw;
mod reading;
mod records;
mod replays;
mod searches;
mod startup;
mod stops;
#[cfg(target_os = "linux")]
mod workers;

use figure::Figures;

fn main() {
    glovebox_host::worker::run_if_requested();
    #[cfg(target_os = "linux")]
    if workers::is_other_side() {
        return;
    }
    // Cargo passes `--bench`; everything else names figures.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if startup::is_bare_window() {
        return startup::bare_window();
    }
    let mut figures = Figures::new(wanted);
    figures.group(calls::run);
    figures.group(lookups::run);
    figures.group(contention::run);
    figures.group(diffs::run);
    figures.group(filters::run);
    figures.group(loads::run);
    figures.group_alone("many", &many::NAMES, many::run);
    figures.group(queues::run);
    figures.group_alone("reading", &reading::NAMES, reading::run);
    figures.group(records::run);
    figures.group(replays::run);
    figures.group(searches::run);
    figures.group(startup::run);
    figures.group(stops::run);
    #[cfg(target_os = "linux")]
    figures.group(workers::run);
    figures.finish();
}
