//! The sinks of the verbs, which listen while plugins run.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_abi::units::show_size;
use glovebox_events::{CallId, Event, Sink, Snapshot, What};
use glovebox_trace::{
    ParentRecord, PluginRecord, Recorder, RecorderOptions, RecorderStatus, Replacing, TraceWriter,
};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::error::Problem;
use super::out::shown;
use crate::workbench::kept_events::{KEPT_LIMIT, KeptEvents};
use crate::workbench::words::count;

/// Hands every event to each of these, in order.
pub(super) struct Sinks(pub(super) Vec<Arc<dyn Sink>>);

impl Sink for Sinks {
    fn record(&self, event: &Event) {
        for sink in &self.0 {
            sink.record(event);
        }
    }
}

/// Hands events on, unless it is shut.
pub(super) struct Gate {
    sinks: Sinks,
    is_shut: AtomicBool,
}

impl Gate {
    pub(super) fn new(sinks: Vec<Arc<dyn Sink>>) -> Gate {
        Gate { sinks: Sinks(sinks), is_shut: AtomicBool::new(false) }
    }

    /// Shuts it, or opens it again.
    pub(super) fn shut(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::Relaxed);
    }
}

impl Sink for Gate {
    fn record(&self, event: &Event) {
        if !self.is_shut.load(Ordering::Relaxed) {
            self.sinks.record(event);
        }
    }
}

/// Counts what figures per generation do not tell.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

/// The counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Answers that are, byte for byte, the frame they answer.
    pub(super) unchanged: u64,
    /// Answers that are not.
    pub(super) changed: u64,
    /// Calls that completed without an answer.
    pub(super) silent: u64,
    /// Frames sent with `emit`.
    pub(super) emitted: u64,
    /// Log lines.
    pub(super) log_lines: u64,
    /// Denied host calls by plugin and permission.
    pub(super) denials: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Calls that ended and left their instance unable to go on, or were stopped.
    pub(super) stopped: u64,
    open: HashMap<CallId, Open>,
}

#[derive(Debug, Clone)]
struct Open {
    input: Frame,
    answers: u64,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        self.0.lock().clone()
    }
}

impl Sink for Tally {
    fn record(&self, event: &Event) {
        let mut counts = self.0.lock();
        let counts = &mut *counts;
        match &event.what {
            What::FrameIn { call, frame } => {
                counts.open.insert(*call, Open { input: frame.clone(), answers: 0 });
            }
            What::FrameOut { emitted: true, .. } => counts.emitted += 1,
            What::FrameOut { call, frame, .. } => {
                if let Some(open) = counts.open.get_mut(call) {
                    open.answers += 1;
                    match open.input == *frame {
                        true => counts.unchanged += 1,
                        false => counts.changed += 1,
                    }
                }
            }
            What::CallEnded { call, outcome, .. } => {
                let open = counts.open.remove(call);
                let answers = open.map_or(0, |open| open.answers);
                counts.silent += u64::from(outcome.is_completed() && answers == 0);
                counts.stopped += u64::from(is_stopped(outcome));
            }
            What::HostCall { host_call, .. } => {
                if host_call.is_denied() {
                    let key = (event.plugin.clone(), host_call.permission.name());
                    *counts.denials.entry(key).or_default() += 1;
                } else if host_call.service == "log" {
                    counts.log_lines += 1;
                }
            }
            _ => {}
        }
    }
}

/// True if the plugin crashed, or had to be stopped.
pub(super) fn is_stopped(outcome: &glovebox_events::Outcome) -> bool {
    use glovebox_events::Outcome::{Crashed, LimitExceeded, TimedOut, Trapped};
    matches!(outcome, Trapped { .. } | TimedOut { .. } | LimitExceeded { .. } | Crashed { .. })
}

/// Keeps the events of a run, to compare it or to list its calls; off until asked for.
#[derive(Debug, Default)]
pub(super) struct KeepEvents(Mutex<Option<KeptEvents>>);

impl KeepEvents {
    /// Starts to keep events.
    pub(super) fn start(&self) {
        *self.0.lock() = Some(KeptEvents::up_to(KEPT_LIMIT));
    }

    /// The events since the last time.
    ///
    /// # Errors
    ///
    /// If it was too much to be kept: to compare a part would show differences that are none.
    pub(super) fn take(&self) -> Result<Vec<Event>, Problem> {
        let Some(kept) = self.0.lock().as_mut().map(KeptEvents::take) else {
            return Ok(Vec::new());
        };
        match kept.lost {
            0 => Ok(kept.events),
            lost => Err(Problem::TooMuchToCompare { lost, limit: KEPT_LIMIT as u64 }),
        }
    }
}

impl Sink for KeepEvents {
    fn record(&self, event: &Event) {
        if let Some(kept) = &mut *self.0.lock() {
            kept.keep(event);
        }
    }
}

/// How long a plugin waits for a slow disk: a verb that records has nothing better to do than to
/// lose nothing.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Records a trace, once asked to.
#[derive(Debug, Default)]
pub(super) struct Recording(Mutex<Option<Arc<Recorder>>>);

/// A recording that is finished.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) path: PathBuf,
    pub(super) events: u64,
    /// Events the disk did not take, even after a while.
    pub(super) dropped: u64,
    pub(super) bytes: u64,
    /// Snapshots of states in it.
    pub(super) snapshots: u64,
    /// Snapshots that the file does not hold, because they are too large or the disk was too slow.
    pub(super) snapshots_dropped: u64,
    /// The events that the file lacks, and the reason, for people.
    pub(super) loss: Option<String>,
    /// How far the disk was behind, for people.
    pub(super) lag: Option<String>,
}

impl Recorded {
    /// For people.
    pub(super) fn sentence(&self) -> String {
        let (events, bytes) = (count(self.events, "event"), show_size(self.bytes));
        let dropped = match self.dropped {
            0 => String::new(),
            dropped => format!(" ({dropped} dropped)"),
        };
        let snapshots = match (self.snapshots, self.snapshots_dropped) {
            (0, 0) => String::new(),
            (kept, 0) => format!(", {}", count(kept, "snapshot")),
            (kept, dropped) => format!(", {} ({dropped} dropped)", count(kept, "snapshot")),
        };
        let lag = self.lag.as_ref().map_or_else(String::new, |lag| format!(" ({lag})"));
        format!("{events}{dropped}{snapshots}, {bytes}{lag}: {}", self.path.display())
    }

    /// For programs.
    pub(super) fn json(&self) -> Json {
        json!({
            "path": shown(&self.path),
            "events": self.events,
            "dropped": self.dropped,
            "loss": self.loss,
            "sync_lag": self.lag,
            "bytes": self.bytes,
            "snapshots": self.snapshots,
            "snapshots_dropped": self.snapshots_dropped,
        })
    }
}

impl Recording {
    /// Starts the file, and says from which trace it is made.
    pub(super) fn start(
        &self,
        out: Replacing<'_>,
        parent: Option<ParentRecord>,
    ) -> Result<(), Problem> {
        let options = RecorderOptions {
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            patience: PATIENCE,
            parent,
            replaces: out.is_on,
            ..RecorderOptions::default()
        };
        let recorder = Recorder::start(out.path, &options).map_err(Problem::Record)?;
        *self.0.lock() = Some(Arc::new(recorder));
        Ok(())
    }

    /// Says which plugins it is about, if there is a file.
    pub(super) fn describe(&self, plugins: impl Iterator<Item = PluginRecord>) {
        if let Some(recorder) = &*self.0.lock() {
            plugins.for_each(|plugin| recorder.describe_plugin(plugin));
        }
    }

    /// Takes the file back, if there is one: nothing happened that is worth it.
    pub(super) fn discard(&self) {
        if let Some(recorder) = self.0.lock().take() {
            recorder.discard();
        }
    }

    /// Keeps a snapshot, if there is a file.
    pub(super) fn keep_snapshot(&self, snapshot: Snapshot) {
        if let Some(recorder) = &*self.0.lock() {
            recorder.keep_snapshot(snapshot);
        }
    }

    /// Closes the file; `None` if there is none.
    pub(super) fn finish(&self) -> Result<Option<Recorded>, Problem> {
        let Some(recorder) = self.0.lock().take() else {
            return Ok(None);
        };
        match recorder.finish() {
            Ok(status) => {
                let (loss, lag) = (status.loss(), status.lag());
                let RecorderStatus { path, events, dropped, bytes, .. } = status;
                let RecorderStatus { snapshots, snapshots_dropped, .. } = status;
                Ok(Some(Recorded {
                    path,
                    events,
                    dropped,
                    bytes,
                    snapshots,
                    snapshots_dropped,
                    loss,
                    lag,
                }))
            }
            Err(error) => {
                let done = format!("Recorded {}", count(recorder.status().events, "event"));
                Err(Problem::Record(error).after(done))
            }
        }
    }
}

impl Sink for Recording {
    fn record(&self, event: &Event) {
        // Not under the lock: the recorder may hold this thread.
        let recorder = self.0.lock().clone();
        if let Some(recorder) = recorder {
            recorder.record(event);
        }
    }
}

/// Starts a trace of this version.
pub(super) fn create(out: Replacing<'_>) -> Result<TraceWriter, Problem> {
    TraceWriter::create(out, env!("CARGO_PKG_VERSION")).map_err(Problem::Record)
}

/// Closes a trace; if it cannot be closed, nothing is left of it.
pub(super) fn finish(writer: TraceWriter) -> Result<Recorded, Problem> {
    let events = writer.events();
    let path = writer.finish_or_discard().map_err(Problem::Record)?;
    let bytes = path.metadata().map_or(0, |found| found.len());
    Ok(Recorded {
        path,
        events,
        dropped: 0,
        bytes,
        snapshots: 0,
        snapshots_dropped: 0,
        loss: None,
        lag: None,
    })
}
