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
use glovebox_abi::manifest::Tier;
use glovebox_events::{Binding, CallId, Event, Outcome, What, weight};
use glovebox_trace::{
    Destination, InstanceRecord, PluginRecord, TraceError, TraceReader, TraceWriter,
};

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
        let outcome = self.events.iter().rev().find_map(|event| match &event.what {
            What::CallEnded { call, outcome, .. } if Some(call.0) == report.call => Some(outcome),
            _ => None,
        });
        let report = if kept.words { report } else { wordless_report(report, outcome) };
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
        let FailedPlugin { id, version, digest, binding, artifact, instance, .. } = &report.plugin;
        writer.describe_plugin(&PluginRecord {
            id: id.clone(),
            version: version.clone(),
            digest: digest.clone(),
            binding: *binding,
            // Its folders and its configuration may be of this machine. The digest names the artifact.
            manifest: self.manifest.clone().filter(|_| kept.words),
            instances: vec![InstanceRecord {
                instance: *instance,
                version: version.clone(),
                file: artifact.clone().unwrap_or_default(),
                digest: digest.clone(),
                binding: *binding,
                ..InstanceRecord::default()
            }],
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
#[non_exhaustive]
pub struct Incident {
    /// Version of the application that wrote the trace.
    pub app_version: String,
    /// The plugin: the artifact that the generation ran, as far as the trace says which that was.
    pub plugin: FailedPlugin,
    /// The text of the plugin's manifest, if the trace has that of this artifact.
    pub manifest: Option<String>,
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
    let Some(found) = find_end(path, wanted)? else { return Ok(None) };
    let mut reader = TraceReader::open(path)?;
    let mut events = std::collections::VecDeque::new();
    let (mut left_out, mut behind, mut bytes) = (0, None, 0);
    let mut artifact = Artifact::default();
    for item in &mut reader {
        let event = match item {
            Ok(event) => event,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        if event.plugin != found.plugin || event.instance != found.instance {
            continue;
        }
        artifact.take_in(&event, found.generation);
        // All of the trace says what ran, but not all of it belongs to the failure.
        if behind == Some(BEHIND) {
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
    }
    let key = found.call_key();
    let What::CallEnded { call, outcome, .. } = &found.what else { return Ok(None) };
    let frame = events.iter().rev().find_map(|event: &Event| match &event.what {
        What::FrameIn { frame, .. } if event.call_key() == key => Some(frame.clone()),
        _ => None,
    });
    let described = reader.plugins().iter().find(|plugin| *plugin.id == *found.plugin);
    let plugin = artifact.of(&found, described);
    let is_of_it = |record: &&PluginRecord| record.digest == plugin.digest;
    let manifest = described.filter(is_of_it).and_then(|record| record.manifest.clone());
    let (call, outcome) = (*call, outcome.clone());
    Ok(Some(Incident {
        app_version: reader.app_version().to_owned(),
        plugin,
        manifest,
        at: found.at,
        call,
        outcome,
        frame,
        events: events.into(),
        left_out,
    }))
}

/// The artifact that one generation of an instance ran, as its events say.
#[derive(Default)]
struct Artifact {
    version: String,
    digest: String,
    binding: Option<Binding>,
    tier: Option<Tier>,
    /// True if an event says it.
    is_told: bool,
    /// True if the instance went on with another artifact after that.
    was_replaced: bool,
}

impl Artifact {
    /// Takes in an event of the instance.
    fn take_in(&mut self, event: &Event, generation: u32) {
        let (version, digest, how) = match &event.what {
            What::Loaded { version, digest, binding, tier, .. } => {
                (version, digest, Some((*binding, *tier)))
            }
            What::Reloaded { version, digest, .. } => (version, digest, None),
            _ => return,
        };
        if event.generation == generation {
            self.version.clone_from(version);
            self.digest.clone_from(digest);
            (self.binding, self.tier) = how.unzip();
            self.is_told = true;
        }
        self.was_replaced |= event.generation > generation;
    }

    /// The plugin that failed, with what the trace describes where no event tells. Of several instances, or
    /// of an artifact that another one replaced, a description of the plugin may mean another one.
    fn of(self, failed: &Event, described: Option<&PluginRecord>) -> FailedPlugin {
        let instances = described.map_or(&[][..], |record| &record.instances);
        let instance = instances.iter().find(|one| one.instance == failed.instance);
        let file = instance.map(|one| one.file.clone()).filter(|file| !file.is_empty());
        let is_it = |digest: &str| !self.is_told || digest == self.digest;
        let own = instance.filter(|one| !self.was_replaced && is_it(&one.digest));
        let only = described.filter(|record| {
            let is_only = instance.is_some() || instances.is_empty();
            instances.len() < 2 && is_only && !self.was_replaced && is_it(&record.digest)
        });
        let or = |told: String, own: Option<&String>, only: Option<&String>| {
            let mut known = [Some(&told), own, only].into_iter().flatten();
            known.find(|text| !text.is_empty()).cloned().unwrap_or_default()
        };
        let binding = self.binding.or(own.and_then(|one| one.binding));
        FailedPlugin {
            id: failed.plugin.to_string(),
            version: or(self.version, own.map(|one| &one.version), only.map(|one| &one.version)),
            digest: or(self.digest, own.map(|one| &one.digest), only.map(|one| &one.digest)),
            binding: binding.or(only.and_then(|one| one.binding)),
            tier: self.tier.map_or_else(String::new, |tier| tier.name().to_owned()),
            isolation: String::new(),
            artifact: file,
            instance: failed.instance,
            generation: failed.generation,
        }
    }
}

/// The event that ends the wanted call.
fn find_end(path: &Path, wanted: &Wanted) -> Result<Option<Event>, TraceError> {
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
    Ok(best.map(|(_, event)| event))
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

#[cfg(test)]
mod tests {
    use glovebox_events::ReloadCause;

    use super::*;

    fn loaded(version: &str) -> What {
        What::Loaded {
            version: version.to_owned(),
            tier: Tier::Wasm,
            binding: Binding::Component,
            digest: format!("digest of {version}"),
            took: Default::default(),
            cached: false,
        }
    }

    fn ended(call: u64, outcome: Outcome) -> What {
        What::CallEnded {
            call: CallId(call),
            outcome,
            timing: Default::default(),
            bytes_in: 0,
            bytes_out: 0,
            frames_out: 0,
            memory: None,
        }
    }

    fn trap() -> Outcome {
        Outcome::Trapped { code: "unreachable".to_owned(), message: "secret".to_owned() }
    }

    /// A trace of these events, each with its instance and generation.
    fn write(path: &Path, plugins: &[PluginRecord], events: Vec<(u64, u32, What)>) {
        let mut writer = TraceWriter::create(path, "0.1.0").expect("there is space");
        for plugin in plugins {
            writer.describe_plugin(plugin).expect("there is space");
        }
        for (at, (instance, generation, what)) in (0..).zip(events) {
            let plugin = "p".into();
            let event = Event { sequence: at, at, plugin, instance, generation, what };
            writer.write(&event).expect("there is space");
        }
        writer.finish().expect("there is space");
    }

    #[test]
    fn the_artifact_that_failed_is_named() {
        #[track_caller]
        fn check(plugins: &[PluginRecord], events: Vec<(u64, u32, What)>, expected: [&str; 3]) {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let path = folder.path().join("a.mcap");
            write(&path, plugins, events);
            let found = find(&path, &Wanted::default()).expect("it is a trace");
            let plugin = found.expect("a call trapped").plugin;
            assert_eq!([&*plugin.version, &*plugin.digest, &*plugin.tier], expected);
        }
        let trapped = || ended(1, trap());
        let one = ["1.0.0", "digest of 1.0.0", "wasm"];
        // Another generation, or another instance, came later.
        check(&[], vec![(0, 1, loaded("1.0.0")), (0, 1, trapped()), (0, 2, loaded("2.0.0"))], one);
        check(&[], vec![(0, 1, loaded("1.0.0")), (1, 1, loaded("2.0.0")), (0, 1, trapped())], one);
        let reloaded = What::Reloaded {
            cause: ReloadCause::Requested,
            from: 1,
            version: "2.0.0".to_owned(),
            digest: "digest of 2.0.0".to_owned(),
            state_version: None,
            took: Default::default(),
        };
        let two = ["2.0.0", "digest of 2.0.0", ""];
        let after = vec![(0, 1, loaded("1.0.0")), (0, 2, reloaded.clone()), (0, 2, trapped())];
        check(&[], after, two);
        // The trace describes both instances, or one that was replaced after the failure.
        let record = |instance, version: &str| InstanceRecord {
            instance,
            version: version.to_owned(),
            digest: format!("digest of {version}"),
            ..InstanceRecord::default()
        };
        let described = |instances| PluginRecord {
            version: "3.0.0".to_owned(),
            digest: "digest of 3.0.0".to_owned(),
            instances,
            ..PluginRecord::of_id("p")
        };
        let both = [described(vec![record(0, "1.0.0"), record(1, "3.0.0")])];
        check(&both, vec![(0, 1, trapped())], ["1.0.0", "digest of 1.0.0", ""]);
        check(&[described(Vec::new())], vec![(0, 1, trapped())], ["3.0.0", "digest of 3.0.0", ""]);
        let later = vec![(0, 1, trapped()), (0, 2, reloaded)];
        check(&[described(vec![record(0, "3.0.0")])], later, ["", "", ""]);
    }

    #[test]
    fn codes_numbers_and_the_file_stay_in_a_bundle_without_words() {
        let limit = Outcome::LimitExceeded {
            limit: glovebox_abi::manifest::LimitKind::OutputBytes,
            asked: 9_437_185,
            allowed: 8 << 20,
            made_up: false,
        };
        let failed = Outcome::Failed { code: 1000, message: "secret".to_owned() };
        for (outcome, stays) in [(trap(), "unreachable"), (failed, "1000"), (limit, "8 MiB")] {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let path = folder.path().join("a.mcap");
            let cause = outcome.to_string();
            let events = vec![Event {
                sequence: 0,
                at: 0,
                plugin: "p".into(),
                instance: 3,
                generation: 1,
                what: ended(1, outcome),
            }];
            let plugin = FailedPlugin {
                id: "p".to_owned(),
                artifact: Some("p.wasm".to_owned()),
                instance: 3,
                ..FailedPlugin::default()
            };
            let bundle = Bundle {
                report: FailureReport { cause, plugin, call: Some(1), ..FailureReport::default() },
                manifest: None,
                events,
                left_out: 0,
                printed: Default::default(),
                frame: None,
            };
            bundle.write(&path, Kept::default(), "0.1.0").expect("there is space");
            let report = read(&path).expect("it is a trace").expect("it is a bundle");
            assert!(report.cause.contains(stays), "{:?}", report.cause);
            assert!(!report.cause.contains("secret"), "{:?}", report.cause);
            let plugins = glovebox_trace::read(&path).expect("it is a trace").plugins;
            let instance = &plugins[0].instances[0];
            assert_eq!((instance.instance, &*instance.file), (3, "p.wasm"));
        }
    }
}
