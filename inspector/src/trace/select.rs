use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use glovebox_abi::{Frame, ServiceError};
use glovebox_events::{CallId, Event, Outcome, What};

use serde::Serialize;

use super::{TraceError, TraceReader, TraceWriter};
use crate::filter::{Filter, Statuses, Subject};
use crate::store::Direction;

/// What [`select`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SelectReport {
    /// Calls that are in the new trace.
    pub calls: u64,
    /// Calls that are not.
    pub skipped: u64,
    /// Events in the new trace.
    pub events: u64,
    /// Bytes that could not be read.
    pub damaged_bytes: u64,
}

/// Writes the calls of which any frame matches to a new trace, whole, and all that happened
/// outside of calls.
///
/// # Errors
///
/// If the trace cannot be opened or the new one cannot be written. Damage is counted, not an
/// error.
pub fn select(
    path: impl AsRef<Path>,
    filter: &Filter,
    out: impl AsRef<Path>,
) -> Result<SelectReport, TraceError> {
    let mut report = SelectReport::default();
    let mut calls = Calls::new(filter);
    let mut first = TraceReader::open(&path)?;
    each_event(&mut first, |event| {
        calls.look_at(event);
        Ok(())
    })?;
    calls.finish();
    report.calls = calls.wanted.len() as u64;
    report.skipped = calls.seen - report.calls;

    let mut writer = TraceWriter::create(out, first.app_version())?;
    for plugin in first.plugins() {
        writer.describe_plugin(plugin)?;
    }
    let mut second = TraceReader::open(&path)?;
    report.damaged_bytes = each_event(&mut second, |event| match call_of(event) {
        Some(call) if !calls.wanted.contains(&call) => Ok(()),
        _ => writer.write(event),
    })?;
    report.events = writer.events();
    writer.finish()?;
    Ok(report)
}

/// Hands on every event that can be read; gives the number of damaged bytes.
fn each_event(
    reader: &mut TraceReader,
    mut each: impl FnMut(&Event) -> Result<(), TraceError>,
) -> Result<u64, TraceError> {
    let mut damaged = 0;
    for item in reader {
        match item {
            Ok(event) => each(&event)?,
            Err(TraceError::Damaged { lost, .. } | TraceError::CutShort { lost, .. }) => {
                damaged += lost;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(damaged)
}

fn call_of(event: &Event) -> Option<CallId> {
    match &event.what {
        What::FrameIn { call, .. } | What::FrameOut { call, .. } | What::CallEnded { call, .. } => {
            Some(*call)
        }
        What::HostCall { call, .. } => *call,
        _ => None,
    }
}

/// Decides about each call when it ends, so that only calls that run are in memory.
struct Calls<'a> {
    filter: &'a Filter,
    open: HashMap<CallId, Open>,
    wanted: HashSet<CallId>,
    seen: u64,
    /// Time of the first event, in nanoseconds since the Unix epoch.
    start: Option<u64>,
}

#[derive(Default)]
struct Open {
    frames: Vec<(Event, Direction)>,
    denied: bool,
}

impl<'a> Calls<'a> {
    fn new(filter: &'a Filter) -> Calls<'a> {
        Calls { filter, open: HashMap::new(), wanted: HashSet::new(), seen: 0, start: None }
    }

    fn look_at(&mut self, event: &Event) {
        self.start.get_or_insert(event.at);
        match &event.what {
            What::FrameIn { call, .. } => {
                let frame = (event.clone(), Direction::In);
                self.open.entry(*call).or_default().frames.push(frame);
            }
            What::FrameOut { call, .. } => {
                let frame = (event.clone(), Direction::Out);
                self.open.entry(*call).or_default().frames.push(frame);
            }
            What::HostCall { call: Some(call), host_call }
                if host_call.result == Err(ServiceError::Denied) =>
            {
                self.open.entry(*call).or_default().denied = true;
            }
            What::CallEnded { call, outcome, timing, .. } => {
                if let Some(open) = self.open.remove(call) {
                    self.decide(*call, &open, Some(outcome), Some(timing.latency()));
                }
            }
            _ => {}
        }
    }

    /// Decides about calls that never ended.
    fn finish(&mut self) {
        for (call, open) in std::mem::take(&mut self.open) {
            self.decide(call, &open, None, None);
        }
    }

    fn decide(
        &mut self,
        call: CallId,
        open: &Open,
        outcome: Option<&Outcome>,
        latency: Option<Duration>,
    ) {
        self.seen += 1;
        let start = self.start.unwrap_or(0);
        let matches = open.frames.iter().any(|(event, direction)| {
            frame_of(event).is_some_and(|frame| {
                self.filter.matches(&Subject {
                    plugin: &event.plugin,
                    direction: *direction,
                    call,
                    generation: event.generation,
                    time: Duration::from_nanos(event.at.saturating_sub(start)),
                    status: Statuses::of(outcome, open.denied),
                    latency,
                    ..Subject::of_frame(frame)
                })
            })
        });
        if matches {
            self.wanted.insert(call);
        }
    }
}

fn frame_of(event: &Event) -> Option<&Frame> {
    match &event.what {
        What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => Some(frame),
        _ => None,
    }
}
