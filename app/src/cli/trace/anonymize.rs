//! `glovebox trace anonymize`: a trace without its secrets.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use glovebox_inspector::anonymize::{AnonymizeReport, Redaction, anonymize};
use glovebox_trace::TraceReader;
use serde_json::json;

use super::super::error::{Exit, Problem};
use super::super::report::{Files, Report, count, named, shown};
use super::progress::Progress;
use super::{NewTrace, lost_while_recording};
use crate::ending::flag;

/// Write a new trace without the values at given paths or the text that a pattern matches
///
/// A path starts with header, payload, arguments or result; the last two belong to host calls. It leads
/// through JSON, CBOR, forms and the parts of multipart bodies, also where one is a text in another, and into
/// queries and bodies of HTTP. A pattern is a regular expression. It is looked for in every text, key and
/// number by itself, in each key with its value, such as "password":"[^"]*", and in the whole, CBOR as JSON;
/// in host calls, messages, names and manifests too. A match over several of these counts only where none of
/// them has one by itself, but it goes on from a key to its value. All that it covers is replaced: texts and
/// keys by `redacted`, numbers by 0, and the whole stays valid. Keys stay distinct: redacted-2. It is also
/// found in UTF-16, in base64 of text, and behind escapes of JSON, %40 and &#64;. Attached files, such as the
/// report of a failure bundle, are searched, too. Everything else stays byte for byte. Snapshots of states are
/// left out, because only their plugin can read them, and attached files that are no text. The exit code is 1 if a path or pattern was never found, if a path could not be
/// followed in what has brackets or names its first key and cannot be taken apart, if a pattern could not be
/// looked for in what is compressed or neither text nor CBOR, or if an HTTP message goes on in another frame or
/// does not say where it ends.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(in crate::cli) struct Anonymize {
    /// The trace
    pub trace: PathBuf,
    /// Take out what is at this path, e.g. payload.customer.mail, payload.items.*.name,
    /// payload["a.b"][0]; `*` is any key or position, `**` any number of them
    #[arg(long, value_name = "PATH", group = "what")]
    pub path: Vec<String>,
    /// Take out what matches, wherever it stands, e.g. '[\w.]+@[\w.]+'
    #[arg(long, value_name = "REGEX", group = "what")]
    pub pattern: Vec<String>,
    #[command(flatten)]
    pub new: NewTrace,
}

impl Anonymize {
    pub(super) fn run(&self, files: Files<'_>) -> Result<Report, Problem> {
        let to = files.new_trace(&self.new.out)?;
        let mut redaction = Redaction::default();
        let paths = self.path.iter().try_for_each(|path| redaction.add_path(path));
        let added = paths.and_then(|()| {
            self.pattern.iter().try_for_each(|pattern| redaction.add_pattern(pattern))
        });
        added.map_err(|error| Problem::Usage(error.to_string()))?;
        // Opened first, so that an error in the trace is not told as one in the new file.
        drop(TraceReader::open(&self.trace).map_err(Problem::Trace)?);
        let progress = Progress::new("anonymizing");
        let report = &mut |done, all| progress.at(done, all);
        let done = anonymize(&self.trace, &mut redaction, to, report, flag());
        let done = done.map_err(Problem::Record)?;
        let (events, out) = (count(done.events, "event"), named(&self.new.out));
        let mut sentence = format!("Changed {} of {events} in {out}", done.changed);
        let mut text = String::new();
        let mut exit = Exit::Good;
        for redacted in &done.redacted {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {}", count(redacted.times, "time"), redacted.what);
            if redacted.times == 0 {
                sentence.push_str(&format!("; `{}` was never found", redacted.what));
                exit = Exit::Different;
            }
        }
        if done.unsearched > 0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", self.unsearched(&done));
            sentence.push_str(&format!(
                "; {} could not be searched whole and may still hold what was to go",
                count(done.unsearched, "event")
            ));
            exit = Exit::Different;
        }
        if done.snapshots_left_out > 0 {
            let left_out = count(done.snapshots_left_out, "snapshot");
            sentence.push_str(&format!("; {left_out} of states left out"));
        }
        if done.attachments_left_out > 0 {
            let left_out = count(done.attachments_left_out, "attached file");
            sentence.push_str(&format!("; {left_out} left out, which are no text"));
        }
        sentence.push_str(&lost_while_recording(done.lost_events));
        if done.damaged_bytes > 0 {
            let damaged = count(done.damaged_bytes, "byte");
            sentence.push_str(&format!("; {damaged} of the trace could not be read"));
            exit = Exit::TraceUnreadable;
        }
        let json =
            json!({ "trace": shown(&self.trace), "out": shown(&self.new.out), "anonymized": done });
        Ok(Report::new(text, json, sentence, exit))
    }

    /// Which events could not be searched, for people.
    fn unsearched(&self, done: &AnonymizeReport) -> String {
        let named: Vec<String> = done.unsearched_events.iter().map(u64::to_string).collect();
        let more = done.unsearched - named.len() as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let paths = "neither JSON, CBOR nor a form that is whole, or HTTP that may go on in another frame, so that \
                     paths could not be followed";
        let patterns = "compressed, or neither text nor CBOR, or missing chunks of HTTP, so that patterns could not be \
                        looked for in all of it";
        let (what, advice) = match (self.path.is_empty(), self.pattern.is_empty()) {
            (true, _) => (patterns.to_owned(), "leave these out with `glovebox trace filter`"),
            (_, true) => (paths.to_owned(), "use --pattern for these"),
            _ => {
                (format!("{paths}; or {patterns}"), "leave these out with `glovebox trace filter`")
            }
        };
        format!("{what}, in event {}{more}; {advice}", named.join(", "))
    }
}
