use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, Header};
use glovebox_events::{Event, HostCall, Outcome, What};
use regex::{Regex, bytes};
use serde::Serialize;

use super::{TraceError, TraceReader, TraceWriter};
use crate::decode::{self, PayloadFormat, from_json, to_json};

/// What stands where something was taken out.
const REDACTED: &str = "redacted";

/// What to take out of a trace.
#[derive(Debug, Default)]
pub struct Redaction {
    paths: Vec<RedactedPath>,
    patterns: Vec<RedactedPattern>,
}

#[derive(Debug)]
struct RedactedPath {
    text: String,
    root: Root,
    steps: Vec<String>,
    found: u64,
}

#[derive(Debug)]
struct RedactedPattern {
    text: Regex,
    bytes: bytes::Regex,
    found: u64,
}

/// What a path starts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Header,
    Payload,
    Arguments,
    Result,
}

/// Why something cannot be redacted.
#[derive(Debug, thiserror::Error)]
pub enum RedactionError {
    /// A path starts in nothing that a trace has.
    #[error(
        "`{path}` starts in nothing that is recorded; use header.<path>, payload.<path>, arguments.<path> or result.<path>"
    )]
    UnknownRoot {
        /// The path.
        path: String,
    },
    /// A pattern is no regular expression.
    #[error("`{pattern}` is no pattern: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: regex::Error,
    },
}

/// How often something was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redacted {
    /// The path or the pattern.
    pub what: String,
    /// How many values or matches.
    pub times: u64,
}

/// What [`anonymize`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AnonymizeReport {
    /// Events in the new trace.
    pub events: u64,
    /// Events of them that are not as they were.
    pub changed: u64,
    /// How often each path and pattern was found; one that never was may be mistyped.
    pub redacted: Vec<Redacted>,
    /// Snapshots that are not in the new trace: nobody but the plugin can read its state, so nothing
    /// can be taken out of it.
    pub snapshots_left_out: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

impl Redaction {
    /// Adds a path, such as `payload.customer.mail`, `header.user.id`, `payload.items.*.name`, or
    /// `arguments.1` and `result` of host calls; `*` is any key or position.
    ///
    /// # Errors
    ///
    /// If it starts in anything else.
    pub fn add_path(&mut self, path: &str) -> Result<(), RedactionError> {
        let mut steps = path.split('.').map(str::to_owned);
        let root = match steps.next().as_deref() {
            Some("header") => Root::Header,
            Some("payload") => Root::Payload,
            Some("arguments") => Root::Arguments,
            Some("result") => Root::Result,
            _ => return Err(RedactionError::UnknownRoot { path: path.to_owned() }),
        };
        let steps = steps.collect();
        self.paths.push(RedactedPath { text: path.to_owned(), root, steps, found: 0 });
        Ok(())
    }

    /// Adds a pattern: a regular expression that is replaced in all texts, keys and numbers of
    /// headers, payloads and host calls, and in the messages of calls and loads.
    ///
    /// # Errors
    ///
    /// If it is no regular expression.
    pub fn add_pattern(&mut self, pattern: &str) -> Result<(), RedactionError> {
        let failed = |source| RedactionError::Pattern { pattern: pattern.to_owned(), source };
        self.patterns.push(RedactedPattern {
            text: Regex::new(pattern).map_err(failed)?,
            bytes: bytes::Regex::new(pattern).map_err(failed)?,
            found: 0,
        });
        Ok(())
    }

    /// True if there is nothing to take out.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.patterns.is_empty()
    }

    fn report(&self) -> Vec<Redacted> {
        let paths = self.paths.iter().map(|path| (path.text.clone(), path.found));
        let patterns = self.patterns.iter();
        let patterns = patterns.map(|pattern| (pattern.text.to_string(), pattern.found));
        paths.chain(patterns).map(|(what, times)| Redacted { what, times }).collect()
    }
}

/// Writes a trace without what a redaction takes out.
///
/// A text becomes `redacted`, a number 0, anything else an empty value of its sort. A payload that
/// is neither JSON nor CBOR has no paths, and patterns are replaced in its bytes. Manifests, ids of
/// plugins, names of services, and the sizes that calls report stay as they were. Snapshots of states
/// are left out.
///
/// # Errors
///
/// If the trace cannot be read, the new one cannot be written, or `cancel` was raised. Damage is
/// counted, not an error.
pub fn anonymize(
    path: impl AsRef<Path>,
    redaction: &mut Redaction,
    out: impl AsRef<Path>,
    progress: &mut dyn FnMut(u64, u64),
    cancel: &AtomicBool,
) -> Result<AnonymizeReport, TraceError> {
    let mut reader = TraceReader::open(&path)?;
    let mut writer = TraceWriter::create(out, reader.app_version())?;
    let mut report = AnonymizeReport::default();
    let copied = copy(&mut reader, redaction, &mut writer, &mut report, progress, cancel);
    if let Err(error) = copied {
        // Half of it would mislead. If it cannot be removed, its name says `.partial`.
        let _ = std::fs::remove_file(writer.partial());
        return Err(error);
    }
    report.events = writer.events();
    report.snapshots_left_out = reader.snapshots();
    report.redacted = redaction.report();
    writer.finish()?;
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
    while let Some(event) = reader.next() {
        if cancel.load(Ordering::Relaxed) {
            return Err(TraceError::Cancelled { path: writer.partial().to_owned() });
        }
        match event {
            Ok(mut event) => {
                report.changed += u64::from(redaction.event(&mut event));
                writer.write(&event)?;
            }
            Err(TraceError::Damaged { lost, .. } | TraceError::CutShort { lost, .. }) => {
                report.damaged_bytes += lost;
            }
            Err(error) => return Err(error),
        }
        progress(TraceReader::position(reader), reader.size());
    }
    for plugin in reader.plugins() {
        writer.describe_plugin(plugin)?;
    }
    Ok(())
}

/// Each of these is true if it changed anything.
impl Redaction {
    fn event(&mut self, event: &mut Event) -> bool {
        match &mut event.what {
            What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => self.frame(frame),
            What::HostCall { host_call, .. } => self.host_call(host_call),
            What::CallEnded { outcome, .. } => match outcome {
                Outcome::Failed { message: text, .. }
                | Outcome::Trapped { message: text, .. }
                | Outcome::Crashed { cause: text }
                | Outcome::Refused { reason: text } => self.text(text),
                _ => false,
            },
            What::Phase { cause: text, .. }
            | What::LoadFailed { message: text, .. }
            | What::ReloadFailed { message: text, .. }
            | What::PolicyChanged { summary: text }
            | What::PolicyAsked { parameter: text, .. } => self.text(text),
            What::Loaded { .. } | What::Reloaded { .. } | What::Unloaded => false,
        }
    }

    fn frame(&mut self, frame: &mut Frame) -> bool {
        let format = decode::payload_format(frame);
        let payload = match format {
            PayloadFormat::Json => {
                let json = serde_json::from_slice(&frame.payload).ok();
                json.map(|json| from_json(&json)).and_then(|mut value| {
                    self.value(Root::Payload, &mut value)
                        .then(|| to_json(&value).to_string().into_bytes())
                })
            }
            PayloadFormat::Cbor => Value::decode(&frame.payload).ok().and_then(|mut value| {
                self.value(Root::Payload, &mut value).then(|| value.to_bytes())
            }),
            _ => self.bytes(&frame.payload),
        };
        let mut header = Value::Map(frame.header.entries());
        let header_changed = self.value(Root::Header, &mut header);
        if header_changed && let Value::Map(entries) = header {
            frame.header = Header::from_entries(entries);
        }
        let payload_changed = payload.is_some();
        if let Some(payload) = payload {
            frame.payload = payload.into();
        }
        header_changed || payload_changed
    }

    fn host_call(&mut self, host_call: &mut HostCall) -> bool {
        let arguments = self.value(Root::Arguments, &mut host_call.arguments);
        let result = match &mut host_call.result {
            Ok(value) => self.value(Root::Result, value),
            Err(_) => false,
        };
        arguments || result
    }

    fn value(&mut self, root: Root, value: &mut Value) -> bool {
        let mut changed = false;
        for path in self.paths.iter_mut().filter(|path| path.root == root) {
            let found = blank_at(value, &path.steps);
            path.found += found;
            changed |= found > 0;
        }
        self.texts_in(value) || changed
    }

    /// Replaces patterns in everything inside.
    fn texts_in(&mut self, value: &mut Value) -> bool {
        match value {
            Value::Text(text) => self.text(text),
            Value::Bytes(inside) => match self.bytes(inside) {
                Some(redacted) => {
                    *inside = redacted;
                    true
                }
                None => false,
            },
            Value::Integer(_) | Value::Float(_) => {
                let mut text = to_json(value).to_string();
                let changed = self.text(&mut text);
                if changed {
                    blank(value);
                }
                changed
            }
            Value::Array(items) => {
                items.iter_mut().filter_map(|item| self.texts_in(item).then_some(())).count() > 0
            }
            Value::Map(entries) => entries.iter_mut().fold(false, |changed, (key, value)| {
                let key = self.texts_in(key);
                self.texts_in(value) || key || changed
            }),
            Value::Tag(_, inside) => self.texts_in(inside),
            Value::Null | Value::Bool(_) | Value::Simple(_) => false,
        }
    }

    fn text(&mut self, text: &mut String) -> bool {
        let mut changed = false;
        for pattern in &mut self.patterns {
            let found = pattern.text.find_iter(text).count() as u64;
            if found > 0 {
                pattern.found += found;
                *text = pattern.text.replace_all(text, REDACTED).into_owned();
                changed = true;
            }
        }
        changed
    }

    /// The bytes without the patterns, if there were any.
    fn bytes(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut redacted: Option<Vec<u8>> = None;
        for pattern in &mut self.patterns {
            let bytes = redacted.as_deref().unwrap_or(bytes);
            let found = pattern.bytes.find_iter(bytes).count() as u64;
            if found > 0 {
                pattern.found += found;
                redacted = Some(pattern.bytes.replace_all(bytes, REDACTED.as_bytes()).into_owned());
            }
        }
        redacted
    }
}

/// Blanks every value that the steps lead to; gives their number.
fn blank_at(value: &mut Value, steps: &[String]) -> u64 {
    let Some((step, rest)) = steps.split_first() else {
        blank(value);
        return 1;
    };
    match value {
        Value::Array(items) => {
            let items = items.iter_mut().enumerate();
            let wanted = items.filter(|(at, _)| step == "*" || *step == at.to_string());
            wanted.map(|(_, item)| blank_at(item, rest)).sum()
        }
        Value::Map(entries) => {
            let is_wanted = |key: &Value| match key {
                Value::Text(key) => step == "*" || key == step,
                Value::Integer(key) => step == "*" || *step == key.to_string(),
                _ => step == "*",
            };
            let wanted = entries.iter_mut().filter(|(key, _)| is_wanted(key));
            wanted.map(|(_, value)| blank_at(value, rest)).sum()
        }
        Value::Tag(_, inside) => blank_at(inside, steps),
        _ => 0,
    }
}

fn blank(value: &mut Value) {
    *value = match value {
        Value::Text(_) => Value::Text(REDACTED.to_owned()),
        Value::Integer(_) => Value::Integer(0),
        Value::Float(_) => Value::Float(0.0),
        Value::Bytes(_) => Value::Bytes(Vec::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Map(_) => Value::Map(Vec::new()),
        Value::Null | Value::Bool(_) | Value::Tag(..) | Value::Simple(_) => Value::Null,
    };
}
