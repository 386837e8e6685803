//! Calls as a trace for Perfetto and `chrome://tracing`, in the JSON Trace Event Format of Chrome.
//!
//! A plugin is a process and an instance a thread of it. A call is a slice with its split, a host
//! call one inside it, a reload or a denial a mark; memory is a counter. Times are in microseconds
//! since the first moment of the trace, which need not be that of its first event, with three digits behind
//! the point, and so exact. Slices of a thread must lie in each other: where the clock says that a host call
//! began before its call or ended after it, it begins with the call, and the call goes on until it ends.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallKey, Event, What};
use glovebox_trace::recorded_len;
use serde_json::{Value as Json, json};

/// Writes events one after the other; [`finish`](Self::finish) ends the file. Only calls that run
/// are in memory.
#[derive(Debug)]
pub struct PerfettoWriter<W: Write> {
    out: W,
    start: u64,
    plugins: Vec<Arc<str>>,
    open: HashMap<CallKey, Open>,
    /// Names of instances that were not announced yet.
    names: HashMap<(String, u64), String>,
    first: bool,
}

#[derive(Debug)]
struct Open {
    at: u64,
    /// When its last host call ended, or it began.
    asked_until: u64,
    name: String,
    place: (usize, u64),
}

impl<W: Write> PerfettoWriter<W> {
    /// Starts the file. `start` is the smallest time of all events, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// If `out` refuses.
    pub fn new(mut out: W, start: u64) -> io::Result<PerfettoWriter<W>> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let (plugins, open, names) = (Vec::new(), HashMap::new(), HashMap::new());
        Ok(PerfettoWriter { out, start, plugins, open, names, first: true })
    }

    /// Gives instances names, by the id of their plugin and their number.
    #[must_use]
    pub fn with_names(mut self, names: HashMap<(String, u64), String>) -> PerfettoWriter<W> {
        self.names = names;
        self
    }

    /// Takes one event.
    ///
    /// # Errors
    ///
    /// If `out` refuses.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let process = self.process(event)?;
        let place = (process, event.instance);
        if let Some(name) = self.names.remove(&(event.plugin.to_string(), event.instance)) {
            let arguments = json!({ "args": { "name": name } });
            self.entry("M", place, "thread_name", event.at, arguments)?;
        }
        match &event.what {
            What::FrameIn { frame, .. } => {
                let (at, asked_until) = (event.at, event.at);
                let open = Open { at, asked_until, name: name_of(frame), place };
                self.open.extend(event.call_key().map(|key| (key, open)));
                Ok(())
            }
            What::CallEnded { call, outcome, timing, bytes_in, bytes_out, frames_out, memory } => {
                let took = timing.latency();
                // A call whose beginning was not recorded began so long before its end.
                let began = event.at.saturating_sub(nanos(took));
                let open = event.call_key().and_then(|key| self.open.remove(&key));
                let at = open.as_ref().map_or(began, |open| open.at);
                let asked = open.as_ref().map_or(0, |open| open.asked_until.saturating_sub(at));
                let arguments = json!({
                    "call": call.0,
                    "generation": event.generation,
                    "outcome": outcome.name(),
                    "bytes_in": bytes_in,
                    "bytes_out": bytes_out,
                    "frames_out": frames_out,
                    "queue_ns": nanos(timing.queue),
                    "guest_ns": nanos(timing.guest),
                    "host_ns": nanos(timing.host),
                    "boundary_ns": (!timing.boundary.is_zero()).then(|| nanos(timing.boundary)),
                });
                let name = open.map_or_else(|| "call".to_owned(), |open| open.name);
                self.slice(place, &name, at, nanos(took).max(asked), &arguments)?;
                match memory {
                    None => Ok(()),
                    Some(bytes) => {
                        let value = json!({ "bytes": bytes });
                        self.entry("C", place, "memory", event.at, json!({ "args": value }))
                    }
                }
            }
            What::HostCall { host_call, .. } => {
                let mut at = event.at.saturating_sub(nanos(host_call.took));
                if let Some(open) = event.call_key().and_then(|key| self.open.get_mut(&key)) {
                    at = at.max(open.asked_until);
                    open.asked_until = open.asked_until.max(event.at);
                }
                let took = event.at.saturating_sub(at);
                let arguments = json!({ "permission": host_call.permission.name() });
                self.slice(place, &host_call.service, at, took, &arguments)?;
                let service = &host_call.service;
                match (host_call.is_denied(), host_call.is_injected()) {
                    (true, _) => self.mark(place, &format!("{service} denied"), event.at),
                    (_, true) => {
                        let by = host_call.answered_by.words();
                        self.mark(place, &format!("{service} answered by {by}"), event.at)
                    }
                    _ => Ok(()),
                }
            }
            What::Reloaded { .. } => {
                self.mark(place, &format!("generation {}", event.generation), event.at)
            }
            What::ReloadFailed { .. } => self.mark(place, "reload refused", event.at),
            What::Phase { to, .. } => self.mark(place, to.name(), event.at),
            What::Note { text, .. } => self.mark(place, text, event.at),
            _ => Ok(()),
        }
    }

    /// Ends the file; calls that never ended are marks at their beginning.
    ///
    /// # Errors
    ///
    /// If the file refuses.
    pub fn finish(mut self) -> io::Result<W> {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by(|(one, _), (other, _)| (one.call, one).cmp(&(other.call, other)));
        for (CallKey { call, .. }, open) in open {
            self.mark(open.place, &format!("{} {call} never ended", open.name), open.at)?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// The number of a plugin's process; a new one is announced.
    fn process(&mut self, event: &Event) -> io::Result<usize> {
        if let Some(index) = self.plugins.iter().position(|plugin| *plugin == event.plugin) {
            return Ok(index + 1);
        }
        self.plugins.push(event.plugin.clone());
        let place = (self.plugins.len(), event.instance);
        let arguments = json!({ "args": { "name": *event.plugin } });
        self.entry("M", place, "process_name", event.at, arguments)?;
        Ok(place.0)
    }

    fn slice(
        &mut self,
        place: (usize, u64),
        name: &str,
        at: u64,
        took: u64,
        arguments: &Json,
    ) -> io::Result<()> {
        self.timed("X", place, name, (at, Some(took)), json!({ "args": arguments }))
    }

    fn mark(&mut self, place: (usize, u64), name: &str, at: u64) -> io::Result<()> {
        self.entry("i", place, name, at, json!({ "s": "t" }))
    }

    fn entry(
        &mut self,
        phase: &str,
        place: (usize, u64),
        name: &str,
        at: u64,
        entry: Json,
    ) -> io::Result<()> {
        self.timed(phase, place, name, (at, None), entry)
    }

    /// Writes an entry with its time and how long it took.
    fn timed(
        &mut self,
        phase: &str,
        (process, thread): (usize, u64),
        name: &str,
        (at, took): (u64, Option<u64>),
        mut entry: Json,
    ) -> io::Result<()> {
        let since = at.saturating_sub(self.start);
        entry["ph"] = phase.into();
        entry["pid"] = process.into();
        entry["tid"] = thread.into();
        entry["name"] = name.into();
        let entry = entry.to_string();
        // A float would round the times of today.
        let times = took.map_or_else(String::new, |took| format!("\"dur\":{},", micros(took)));
        let start = if self.first { "\n" } else { ",\n" };
        self.first = false;
        let rest = entry.strip_prefix('{').unwrap_or_default();
        write!(self.out, "{start}{{{times}\"ts\":{},{rest}", micros(since))
    }
}

fn name_of(frame: &Frame) -> String {
    format!("{} {} B", frame.kind, recorded_len(frame))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}
