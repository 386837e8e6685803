//! Anonymizes a trace: takes out values that nobody else may see.
//!
//! A [`Redaction`] says what is taken out; [`anonymize`] writes the trace without it. Compressed
//! and encrypted data is deliberately not looked into.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_trace::{Attachment, Destination, Gaps, TraceError, TraceReader, TraceWriter};
use serde::Serialize;

mod form;
mod http;
mod leaves;
mod multipart;
mod path;
mod patterns;
mod redaction;
#[cfg(test)]
mod tests;
mod walk;

pub use redaction::{Redaction, RedactionError};

/// Events that are named of those that could not be searched; more are counted.
const NAMED: usize = 100;

/// How often something was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redacted {
    /// The path or the pattern.
    pub what: String,
    /// How many values or matches.
    pub times: u64,
}

/// The report of [`anonymize`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct AnonymizeReport {
    /// Events in the new trace.
    pub events: u64,
    /// Events of them that are not as they were.
    pub changed: u64,
    /// How often each path and pattern was found; one that never was may be mistyped.
    pub redacted: Vec<Redacted>,
    /// Events in which something that was asked for could not be looked for, and may still be there: a
    /// path where there is neither JSON, nor CBOR, nor a form, or in an HTTP message that goes on
    /// elsewhere, or a pattern in what is compressed, in a payload or body that is neither text nor CBOR,
    /// in what is nested too deeply, or in an HTTP body of which chunks are missing.
    pub unsearched: u64,
    /// The first of them, by [`sequence`](glovebox_events::Event::sequence).
    pub unsearched_events: Vec<u64>,
    /// Snapshots that are not in the new trace: nobody but the plugin can read its state, so nothing
    /// can be taken out of it.
    pub snapshots_left_out: u64,
    /// Files that others attached and that are no text, so that they are not in the new trace.
    pub attachments_left_out: u64,
    /// Events that the recorder could not keep; the new trace says so, too.
    pub lost_events: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

/// Writes a trace without what a redaction takes out.
///
/// The value at a path goes as a whole: a text becomes `redacted`, a number 0, anything else an empty
/// value of its sort. All around stays byte for byte. JSON and CBOR may be followed by more of the same.
/// Paths lead on through JSON, CBOR and forms (`application/x-www-form-urlencoded`), also where one is a
/// text in another, and into queries and bodies of HTTP/1, of which the length is set, and of which chunks
/// become one if they change. Whether a path leads anywhere in any other payload cannot be known, and the
/// event is counted as unsearched, unless it is a text without brackets and without the first step of the
/// path as a word. A message of HTTP of which some is missing, or may be, is searched as far as it is
/// there, and counted too.
///
/// A pattern is looked for in each text, key, number and word by itself, in each key with its value, and
/// in the whole: JSON as it is written, CBOR as JSON. A match over several of them counts only where none
/// of them has one by itself, but it may go on from a key to its value. Of all that a match covers, texts
/// and keys become `redacted`, numbers 0, and words an empty value, so that the whole stays valid; keys
/// that would be the same as others are numbered. This holds for JSON and CBOR, also when they are cut off,
/// for forms, for parts of `multipart/…`, for manifests, and for each of them in a text of another, in
/// base64 too.
///
/// Patterns are found in the text itself and without escapes of JSON, `%40` and entities of HTML;
/// in bytes also in UTF-16, where `redacted` is UTF-16 too. Names of plugins and services, and
/// manifests, are searched for patterns. Data that is compressed, encrypted or in another encoding is
/// not decoded; an event whose payload is such data is counted as unsearched. The sizes and digests that events report stay as they were.
/// Snapshots of states are left out. Files that others attached are searched as any text is, and frames among
/// them as those of events are; what is neither is left out.
///
/// # Errors
///
/// If the trace cannot be read, the new one cannot be written, or `cancel` was raised. Damage is
/// counted, not an error.
pub fn anonymize(
    path: impl AsRef<Path>,
    redaction: &mut Redaction,
    out: impl Destination,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<AnonymizeReport, TraceError> {
    let mut reader = TraceReader::open(&path)?;
    reader.keep_attachments();
    let mut writer = TraceWriter::create(out, reader.app_version())?;
    let mut report = AnonymizeReport::default();
    let copied = copy(&mut reader, redaction, &mut writer, &mut report, progress, cancel);
    if let Err(error) = copied {
        // Half of it would mislead. If it cannot be removed, its name says `.partial`.
        let _ = writer.discard();
        return Err(error);
    }
    report.events = writer.events();
    report.snapshots_left_out = reader.snapshots();
    report.redacted = redaction.report();
    writer.finish_or_discard()?;
    Ok(report)
}

fn copy(
    reader: &mut TraceReader,
    redaction: &mut Redaction,
    writer: &mut TraceWriter,
    report: &mut AnonymizeReport,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<(), TraceError> {
    let mut gaps = Gaps::default();
    while let Some(event) = reader.next() {
        if cancel.load(Ordering::Relaxed) {
            return Err(TraceError::Cancelled { path: writer.partial().to_owned() });
        }
        gaps.pass_on(reader, writer)?;
        attach(reader, redaction, writer, report)?;
        match event {
            Ok(mut event) => {
                let done = redaction.event(&mut event);
                report.changed += u64::from(done.changed);
                if done.unsearched {
                    report.unsearched += 1;
                    if report.unsearched_events.len() < NAMED {
                        report.unsearched_events.push(event.sequence);
                    }
                }
                writer.write(&event)?;
            }
            Err(TraceError::Damaged { lost, .. } | TraceError::CutShort { lost, .. }) => {
                report.damaged_bytes += lost;
            }
            Err(error) => return Err(error),
        }
        progress(TraceReader::position(reader), reader.size());
    }
    gaps.pass_on(reader, writer)?;
    attach(reader, redaction, writer, report)?;
    report.lost_events = reader.lost_events();
    for plugin in reader.plugins() {
        writer.describe_plugin(&redaction.record(plugin))?;
    }
    Ok(())
}

/// Hands on the attached files that the reader came upon since the last time.
fn attach(
    reader: &mut TraceReader,
    redaction: &mut Redaction,
    writer: &mut TraceWriter,
    report: &mut AnonymizeReport,
) -> Result<(), TraceError> {
    for Attachment { name, media_type, data } in reader.take_attachments() {
        match redaction.attachment(&data) {
            Some(data) => writer.attach(&redaction.name(&name), &media_type, &data)?,
            None => report.attachments_left_out += 1,
        }
    }
    Ok(())
}
