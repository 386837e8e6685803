//! `glovebox trace`: what can be done with trace files.

mod anonymize;
mod check;
mod export;
mod filter;
mod findings;
mod generate;
mod import;
mod info;
mod merge;
mod progress;
mod recover;
mod shrink;
mod split;

use clap::{Args, Subcommand};
use glovebox_inspector::trace::Problem as Damage;

use super::error::Problem;
use super::report::{Output, Report, count};

/// Look at, check, repair, convert, filter and make trace files
#[derive(Debug, Args)]
pub(super) struct Trace {
    #[command(subcommand)]
    pub verb: TraceVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum TraceVerb {
    Info(info::Info),
    Check(check::Check),
    Recover(recover::Recover),
    Export(export::Export),
    Import(import::Import),
    Filter(filter::FilterTrace),
    Findings(findings::TraceFindings),
    Merge(merge::Merge),
    Split(split::Split),
    Anonymize(anonymize::Anonymize),
    Generate(generate::Generate),
    Shrink(Box<shrink::ShrinkTrace>),
}

impl TraceVerb {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        match self {
            TraceVerb::Info(verb) => verb.run(),
            TraceVerb::Check(verb) => verb.run(),
            TraceVerb::Recover(verb) => verb.run(),
            TraceVerb::Export(verb) => verb.run(),
            TraceVerb::Import(verb) => verb.run(),
            TraceVerb::Filter(verb) => verb.run(),
            TraceVerb::Findings(verb) => verb.run(),
            TraceVerb::Merge(verb) => verb.run(),
            TraceVerb::Split(verb) => verb.run(),
            TraceVerb::Anonymize(verb) => verb.run(),
            TraceVerb::Generate(verb) => verb.run(),
            TraceVerb::Shrink(verb) => verb.run(),
        }
    }

    pub(super) fn output(&self) -> &Output {
        match self {
            TraceVerb::Info(verb) => &verb.output,
            TraceVerb::Check(verb) => &verb.output,
            TraceVerb::Recover(verb) => &verb.output,
            TraceVerb::Export(verb) => &verb.output,
            TraceVerb::Import(verb) => &verb.output,
            TraceVerb::Filter(verb) => &verb.output,
            TraceVerb::Findings(verb) => &verb.output,
            TraceVerb::Merge(verb) => &verb.output,
            TraceVerb::Split(verb) => &verb.output,
            TraceVerb::Anonymize(verb) => &verb.output,
            TraceVerb::Generate(verb) => &verb.output,
            TraceVerb::Shrink(verb) => &verb.output,
        }
    }

    /// Its name, and what is true if it could do nothing.
    pub(super) fn name(&self) -> (&'static str, &'static str) {
        match self {
            TraceVerb::Info(_) => ("trace info", "Read 0 events"),
            TraceVerb::Check(_) => ("trace check", "Checked 0 events"),
            TraceVerb::Recover(_) => ("trace recover", "Recovered 0 events"),
            TraceVerb::Export(_) => ("trace export", "Exported 0 events"),
            TraceVerb::Import(_) => ("trace import", "Imported 0 frames"),
            TraceVerb::Filter(_) => ("trace filter", "Kept 0 calls"),
            TraceVerb::Findings(_) => ("trace findings", "Looked over 0 events"),
            TraceVerb::Merge(_) => ("trace merge", "Merged 0 events"),
            TraceVerb::Split(_) => ("trace split", "Split 0 events"),
            TraceVerb::Anonymize(_) => ("trace anonymize", "Changed 0 events"),
            TraceVerb::Generate(_) => ("trace generate", "Generated 0 frames"),
            TraceVerb::Shrink(_) => ("trace shrink", "Shrunk 0 frames"),
        }
    }
}

fn damage_line(damage: &Damage) -> String {
    format!("{} bytes at offset {}: {}\n", damage.bytes, damage.offset, damage.reason)
}

fn left_out_line(places: u64) -> String {
    match places {
        0 => String::new(),
        places => format!("and {} more\n", count(places, "place")),
    }
}
