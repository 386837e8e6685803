//! `glovebox trace`: the verbs for trace files.

mod anonymize;
mod bundle;
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
mod stdin;

use std::iter;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use glovebox_inspector::failure;
use glovebox_trace::Problem as Damage;

use super::error::Problem;
use super::report::{Files, Output, Report, count, paths};

/// Inspect, check, repair, convert, filter and generate trace files
#[derive(Debug, Args)]
pub(super) struct Trace {
    #[command(subcommand)]
    pub verb: TraceVerb,
}

/// Where a trace goes that is made of others, and what is told about it.
#[derive(Debug, Args)]
pub(super) struct NewTrace {
    /// The new trace; nothing is overwritten without --force
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub(super) enum TraceVerb {
    Info(info::Info),
    Check(check::Check),
    Bundle(bundle::BundleTrace),
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
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        match self {
            TraceVerb::Info(verb) => verb.run(),
            TraceVerb::Check(verb) => verb.run(),
            TraceVerb::Bundle(verb) => verb.run(files),
            TraceVerb::Recover(verb) => verb.run(files),
            TraceVerb::Export(verb) => verb.run(files),
            TraceVerb::Import(verb) => verb.run(files),
            TraceVerb::Filter(verb) => verb.run(files),
            TraceVerb::Findings(verb) => verb.run(),
            TraceVerb::Merge(verb) => verb.run(files),
            TraceVerb::Split(verb) => verb.run(files),
            TraceVerb::Anonymize(verb) => verb.run(files),
            TraceVerb::Generate(verb) => verb.run(files),
            TraceVerb::Shrink(verb) => verb.run(files),
        }
    }

    /// The files that it reads.
    pub(super) fn inputs(&self) -> Vec<&Path> {
        match self {
            TraceVerb::Info(verb) => vec![&verb.trace],
            TraceVerb::Check(verb) => vec![&verb.trace],
            TraceVerb::Bundle(verb) => vec![&verb.trace],
            TraceVerb::Recover(verb) => vec![&verb.trace],
            TraceVerb::Export(verb) => vec![&verb.trace],
            TraceVerb::Import(verb) => vec![&verb.file],
            TraceVerb::Filter(verb) => vec![&verb.trace],
            TraceVerb::Findings(verb) => vec![&verb.trace],
            TraceVerb::Merge(verb) => paths(&verb.traces),
            TraceVerb::Split(verb) => vec![&verb.trace],
            TraceVerb::Anonymize(verb) => vec![&verb.trace],
            TraceVerb::Generate(_) => Vec::new(),
            TraceVerb::Shrink(verb) => verb.inputs(),
        }
    }

    /// The files that it writes besides its report.
    pub(super) fn outputs(&self) -> Vec<&Path> {
        match self {
            TraceVerb::Export(verb) => {
                iter::once(&*verb.out).chain(verb.dissector.as_deref()).collect()
            }
            TraceVerb::Recover(verb) => vec![&verb.new.out],
            TraceVerb::Bundle(verb) => vec![&verb.new.out],
            TraceVerb::Import(verb) => vec![&verb.new.out],
            TraceVerb::Filter(verb) => vec![&verb.new.out],
            TraceVerb::Merge(verb) => vec![&verb.new.out],
            TraceVerb::Anonymize(verb) => vec![&verb.new.out],
            TraceVerb::Generate(verb) => vec![&verb.out],
            TraceVerb::Shrink(verb) => vec![&verb.out],
            // The names of its parts are not known before; what is written later spares them.
            TraceVerb::Split(_)
            | TraceVerb::Info(_)
            | TraceVerb::Check(_)
            | TraceVerb::Findings(_) => Vec::new(),
        }
    }

    pub(super) fn output(&self) -> &Output {
        match self {
            TraceVerb::Info(verb) => &verb.output,
            TraceVerb::Check(verb) => &verb.output,
            TraceVerb::Recover(verb) => &verb.new.output,
            TraceVerb::Bundle(verb) => &verb.new.output,
            TraceVerb::Export(verb) => &verb.output,
            TraceVerb::Import(verb) => &verb.new.output,
            TraceVerb::Filter(verb) => &verb.new.output,
            TraceVerb::Findings(verb) => &verb.output,
            TraceVerb::Merge(verb) => &verb.new.output,
            TraceVerb::Split(verb) => &verb.output,
            TraceVerb::Anonymize(verb) => &verb.new.output,
            TraceVerb::Generate(verb) => &verb.output,
            TraceVerb::Shrink(verb) => &verb.with.output,
        }
    }

    /// Its name, and what is true if it could do nothing.
    pub(super) fn name(&self) -> (&'static str, &'static str) {
        match self {
            TraceVerb::Info(_) => ("trace info", "Read 0 events"),
            TraceVerb::Check(_) => ("trace check", "Checked 0 events"),
            TraceVerb::Bundle(_) => ("trace bundle", "Bundled 0 failures"),
            TraceVerb::Recover(_) => ("trace recover", "Recovered 0 events"),
            TraceVerb::Export(_) => ("trace export", "Exported 0 events"),
            TraceVerb::Import(_) => ("trace import", "Imported 0 events"),
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
    let Damage { offset, bytes, reason } = damage;
    match bytes {
        0 => format!("at offset {offset}: {reason}\n"),
        bytes => format!("{bytes} bytes at offset {offset}: {reason}\n"),
    }
}

fn left_out_line(places: u64) -> String {
    match places {
        0 => String::new(),
        places => format!("and {} more\n", count(places, "place")),
    }
}

/// The parts that a trace lacks which is made of some calls of failure bundles, for its sentence.
fn report_left_out<'a>(traces: impl IntoIterator<Item = &'a Path>) -> &'static str {
    // A file that cannot be read is told of elsewhere.
    let is_bundle = |path: &Path| failure::read(path).is_ok_and(|report| report.is_some());
    match traces.into_iter().any(is_bundle) {
        true => {
            "; the report of the failure is left out, because it tells of all events of the bundle"
        }
        false => "",
    }
}

/// Events that a trace lacks since it was recorded, for the sentence about one that is made of it.
fn lost_while_recording(lost: u64) -> String {
    match lost {
        0 => String::new(),
        lost => format!("; {} lost while recording", count(lost, "event")),
    }
}
