//! All figures: `cargo bench -p glovebox-tests` runs them, `-- NAME` those whose name contains NAME.
//!
//! Each figure is measured against a raw baseline in the same run, in turns, because a machine is
//! never equally fast twice. A missed target is printed and fails nothing.
#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

mod calls;
mod diffs;
mod figure;
mod filters;
mod loads;
mod lookups;
mod many;
mod queues;
mod reading;
mod records;
mod replays;
mod searches;
mod startup;
mod stops;

use figure::Figures;

fn main() {
    // Cargo passes `--bench`; everything else names figures.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let mut figures = Figures::new(wanted);
    calls::run(&mut figures);
    lookups::run(&mut figures);
    diffs::run(&mut figures);
    filters::run(&mut figures);
    loads::run(&mut figures);
    many::run(&mut figures);
    queues::run(&mut figures);
    reading::run(&mut figures);
    records::run(&mut figures);
    replays::run(&mut figures);
    searches::run(&mut figures);
    startup::run(&mut figures);
    stops::run(&mut figures);
    figures.finish();
}
