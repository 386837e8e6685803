//! Failure bundles: one file about one failure of a plugin, for somebody on another machine.
//!
//! A bundle is a trace: the last events of the instance, which every reader of traces opens, with the
//! [`FailureReport`] and the output of the plugin attached, which every reader of MCAP lists. Read
//! [`Bundle`] first, which writes one, then [`read`]. Unless told otherwise, payloads and words are left out
//! by [`redact`]: their lengths and digests stay.

mod redact;
mod report;

use std::path::Path;

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event, Outcome, What, weight};
use glovebox_trace::{Destination, PluginRecord, TraceError, TraceReader, TraceWriter};

pub use redact::redact;
use redact::{gone, wordless_report};
pub use report::{
    FailedFrame, FailedPlugin, FailedProcess, FailureReport, GivenLimit, GivenPermission,
    MissingLayer, Sandboxed, StackFrame, Supervised,
};

/// The names of the attachments.
const REPORT: &str = "failure/report.json";
const REPORT_TEXT: &str = "failure/report.txt";
const STDOUT: &str = "failure/stdout.txt";
const STDERR: &str = "failure/stderr.txt";
const FRAME: &str = "failure/frame";

/// The most events of a bundle, and the most bytes that they may hold together.
const MAX_EVENTS: usize = 500;
const MAX_BYTES: usize = 8 << 20;

/// Which of the bytes that people and plugins wrote are in a bundle; of the others, the lengths and the
/// digests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Payloads, headers, and the arguments and results of host calls.
    pub payloads: bool,
    /// The words of failures, lines of the log, printed text, the manifest, and names of folders of this
    /// machine.
    pub words: bool,
}

/// The content of a failure bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The facts.
    pub report: FailureReport,
    /// The text of the plugin's manifest, if it is known.
    pub manifest: Option<String>,
    /// The events that led to the failure, oldest first, and those that follow from it.
    pub events: Vec<Event>,
    /// Events of the instance before them.
    pub left_out: u64,
    /// The end of what the plugin printed to standard output, and to standard error.
    pub printed: [Vec<u8>; 2],
    /// The frame during which it failed, if it is known.
    pub frame: Option<Frame>,
}

impl Bundle {
    /// Writes the bundle, with what is to be kept.
    ///
    /// # Errors
    ///
    /// As [`TraceWriter::create`], and if it cannot be written; nothing is left then.
    pub fn write(
        &self,
        out: impl Destination,
        kept: Kept,
        app_version: &str,
    ) -> Result<(), TraceError> {
        let mut writer = TraceWriter::create(out, app_version)?;
        match self.fill(&mut writer, kept) {
            Ok(()) => writer.finish_or_discard().map(drop),
            Err(error) => {
                // If it cannot be removed, its name says `.partial`.
                let _ = writer.discard();
                Err(error)
            }
        }
    }

    fn fill(&self, writer: &mut TraceWriter, kept: Kept) -> Result<(), TraceError> {
        let report = FailureReport {
            redacted: !kept.payloads,
            wordless: !kept.words,
            events: self.events.len() as u64,
            left_out: self.left_out,
            ..self.report.clone()
        };
        let report = if kept.words { report } else { wordless_report(report) };
        let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
        writer.attach(REPORT, "application/json", &json)?;
        writer.attach(REPORT_TEXT, "text/plain", report.to_text().as_bytes())?;
        for (name, printed) in [STDOUT, STDERR].into_iter().zip(&self.printed) {
            if !printed.is_empty() {
                let redacted = gone(printed);
                let printed = if kept.words { printed } else { redacted.as_bytes() };
                writer.attach(name, "text/plain", printed)?;
            }
        }
        if let Some(frame) = self.frame.as_ref().filter(|_| kept.payloads) {
            writer.attach(FRAME, "application/octet-stream", &frame.to_bytes())?;
        }
        let FailedPlugin { id, version, digest, binding, .. } = &report.plugin;
        writer.describe_plugin(&PluginRecord {
            id: id.clone(),
            version: version.clone(),
            digest: digest.clone(),
            binding: *binding,
            // Its folders and its configuration may be of this machine. The digest names the artifact.
            manifest: self.manifest.clone().filter(|_| kept.words),
            instances: Vec::new(),
        })?;
        self.events.iter().try_for_each(|event| writer.write(&redact(event, kept)))
    }
}

/// The report of a bundle, if the trace is one.
///
/// # Errors
///
/// If the file cannot be read or is no trace.
pub fn read(path: &Path) -> Result<Option<FailureReport>, TraceError> {
    let attached = glovebox_trace::attachments(path)?;
    let report = attached.iter().find(|one| one.name == REPORT);
    Ok(report.and_then(|report| serde_json::from_slice(&report.data).ok()))
}

/// The end of what the plugin of a bundle printed to standard output, and to standard error.
///
/// # Errors
///
/// If the file cannot be read or is no trace.
pub fn printed(path: &Path) -> Result<[Vec<u8>; 2], TraceError> {
    let mut printed = [Vec::new(), Vec::new()];
    for one in glovebox_trace::attachments(path)? {
        match one.name.as_str() {
            STDOUT => printed[0] = one.data,
            STDERR => printed[1] = one.data,
            _ => {}
        }
    }
    Ok(printed)
}

/// The newest events, as many as a bundle takes, and how many there were before.
pub fn newest(
    events: impl DoubleEndedIterator<Item = Event> + ExactSizeIterator,
) -> (Vec<Event>, u64) {
    let all = events.len();
    let mut bytes = 0;
    let mut kept: Vec<Event> = events
        .rev()
        .take(MAX_EVENTS)
        .take_while(|event| {
            bytes += weight::event(event);
            bytes <= MAX_BYTES
        })
        .collect();
    kept.reverse();
    let left_out = (all - kept.len()) as u64;
    (kept, left_out)
}

/// A failure in a trace, with the events of its instance around it.
#[derive(Debug, Clone)]
pub struct Incident {
    /// Version of the application that wrote the trace.
    pub app_version: String,
    /// The plugin, as the trace describes it.
    pub plugin: PluginRecord,
    /// The instance, by its number in the host.
    pub instance: u64,
    /// The generation.
    pub generation: u32,
    /// When the call ended, in nanoseconds since the Unix epoch.
    pub at: u64,
    /// The call.
    pub call: CallId,
    /// The outcome.
    pub outcome: Outcome,
    /// The frame that it was given, if the trace has it.
    pub frame: Option<Frame>,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Events of the instance before them.
    pub left_out: u64,
}

/// Events of the instance that are kept behind the end of the call: its restart, for example.
const BEHIND: usize = 20;

/// The call of a trace that a bundle is about.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only calls of this plugin.
    pub plugin: Option<String>,
    /// This call, however it ended; otherwise the last crash, else the last one that trapped, timed out
    /// or broke a limit, else the last one that failed.
    pub call: Option<u64>,
}

/// Finds a failure in a trace; `None` if there is none.
///
/// # Errors
///
/// If the file cannot be read or is no trace.
pub fn find(path: &Path, wanted: &Wanted) -> Result<Option<Incident>, TraceError> {
    let Some((found, instance)) = find_end(path, wanted)? else { return Ok(None) };
    let mut reader = TraceReader::open(path)?;
    let mut events = std::collections::VecDeque::new();
    let (mut left_out, mut behind, mut bytes) = (0, None, 0);
    for item in &mut reader {
        let event = match item {
            Ok(event) => event,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        if event.plugin != found.plugin || event.instance != instance {
            continue;
        }
        let is_end = event.sequence == found.sequence;
        bytes += weight::event(&event);
        events.push_back(event);
        while events.len() > 1 && (events.len() > MAX_EVENTS || bytes > MAX_BYTES) {
            bytes -= events.pop_front().as_ref().map_or(0, weight::event);
            left_out += 1;
        }
        behind = match behind {
            None => is_end.then_some(0),
            Some(count) => Some(count + 1),
        };
        if behind == Some(BEHIND) {
            break;
        }
    }
    let What::CallEnded { call, outcome, .. } = found.what else { return Ok(None) };
    let frame = events.iter().find_map(|event| match &event.what {
        What::FrameIn { call: own, frame } if *own == call => Some(frame.clone()),
        _ => None,
    });
    let described = reader.plugins().iter().find(|plugin| *plugin.id == *found.plugin).cloned();
    let bare = || PluginRecord {
        id: found.plugin.to_string(),
        version: String::new(),
        digest: String::new(),
        binding: None,
        manifest: None,
        instances: Vec::new(),
    };
    Ok(Some(Incident {
        app_version: reader.app_version().to_owned(),
        plugin: described.unwrap_or_else(bare),
        instance,
        generation: found.generation,
        at: found.at,
        call,
        outcome,
        frame,
        events: events.into(),
        left_out,
    }))
}

/// The event that ends the wanted call, and its instance.
fn find_end(path: &Path, wanted: &Wanted) -> Result<Option<(Event, u64)>, TraceError> {
    let mut best: Option<(u8, Event)> = None;
    for item in TraceReader::open(path)? {
        let event = match item {
            Ok(event) => event,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        let What::CallEnded { call, outcome, .. } = &event.what else { continue };
        if wanted.plugin.as_ref().is_some_and(|id| **id != *event.plugin) {
            continue;
        }
        let weight = match wanted.call {
            Some(number) => u8::from(call.0 == number) * 3,
            None => how_bad(outcome),
        };
        if weight > 0 && best.as_ref().is_none_or(|(before, _)| weight >= *before) {
            best = Some((weight, event));
        }
    }
    Ok(best.map(|(_, event)| {
        let instance = event.instance;
        (event, instance)
    }))
}

/// How much an outcome is a failure of the plugin: 0 if it is none.
fn how_bad(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Completed | Outcome::Cancelled | Outcome::Refused { .. } => 0,
        Outcome::Failed { .. } => 1,
        Outcome::Trapped { .. } | Outcome::TimedOut { .. } | Outcome::LimitExceeded { .. } => 2,
        Outcome::Crashed { .. } => 3,
    }
}
