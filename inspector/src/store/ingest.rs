//! Events into rows, calls and lists.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::text::cut;
use glovebox_abi::units::show_duration;
use glovebox_abi::{Frame, LogLevel, ServiceError};
use glovebox_events::{CallId, Direction, Event, HostCall, Phase, Timing, What, weight};
use glovebox_trace::index::End;
use glovebox_trace::{Statuses, Versions};

use super::{
    Call, Denial, EndOfCall, HostCallEvent, LogLine, NoticeKind, RefusedReload, Reload, Reloaded,
    Row, RowId, Status, Store,
};

/// The approximate cost of a row beyond its own bytes.
const ROW_OVERHEAD: usize = size_of::<Row>() + size_of::<Call>();

/// The place of a frame among those of its call.
struct Place {
    direction: Direction,
    index: u32,
    emitted: bool,
}

impl Store {
    /// Takes one event.
    pub fn ingest(&mut self, event: &Event) {
        self.counters.version += 1;
        self.counters.start.get_or_insert(event.at);
        self.counters.numbers.count(event.sequence);
        if event.what.is_of_a_plugin() {
            self.plugins.add(&event.plugin);
        }
        match &event.what {
            What::FrameIn { call, frame } => {
                let place = Place { direction: Direction::In, index: 0, emitted: false };
                self.add_row(event, *call, frame, &place);
            }
            What::FrameOut { call, frame, index, emitted } => {
                let place = Place { direction: Direction::Out, index: *index, emitted: *emitted };
                self.add_row(event, *call, frame, &place);
            }
            What::CallEnded { call, outcome, timing, memory, bytes_in, bytes_out, frames_out } => {
                let status = Status::Ended(Arc::new(outcome.clone()));
                self.end_call(*call, status, *timing, *memory);
                if let Some(call) = self.calls.get_mut(call) {
                    let (bytes_in, bytes_out) = (*bytes_in, *bytes_out);
                    let (sequence, at, frames_out) = (event.sequence, event.at, *frames_out);
                    call.end = Some(EndOfCall { sequence, at, bytes_in, bytes_out, frames_out });
                }
            }
            What::HostCall { call, host_call } => self.add_host_call(event, *call, host_call),
            _ => {
                self.versions.take_in(event);
                self.notice(event);
            }
        }
        self.evict();
    }

    /// Counts times from here on, in nanoseconds since the Unix epoch, instead of from the first
    /// event.
    pub(crate) fn start_at(&mut self, at: u64) {
        self.counters.start = Some(at);
    }

    /// Says which versions run, beside what events say.
    pub(crate) fn know(&mut self, versions: Versions) {
        self.versions = versions;
    }

    /// Counts rows from here on instead of from 0.
    pub(crate) fn start_rows_at(&mut self, number: u64) {
        self.counters.gone = number;
    }

    /// Says how a call went of which the end is not among the events.
    pub(crate) fn end_late(&mut self, call: CallId, end: Option<&End>, beside: Statuses) {
        if let Some(End { outcome, timing, memory }) = end {
            self.end_call(call, Status::Ended(Arc::new(outcome.clone())), *timing, *memory);
        }
        self.add_beside(call, beside);
    }

    fn add_row(&mut self, event: &Event, id: CallId, frame: &Frame, place: &Place) {
        let row_id = RowId(self.counters.gone + self.rows.len() as u64);
        let call = self.calls.entry(id).or_insert_with(|| Call {
            id,
            plugin: event.plugin.clone(),
            rows: Vec::new(),
            host_calls: Vec::new(),
            status: Status::Pending,
            timing: None,
            memory: None,
            end: None,
            beside: Statuses::NONE,
            evicted_host_calls: 0,
            host_call_bytes: 0,
        });
        call.rows.push(row_id);
        let start = self.counters.start.unwrap_or(event.at);
        let previous = self.counters.last_row_at.replace(event.at);
        let row = Row {
            id: row_id,
            sequence: event.sequence,
            at: event.at,
            since_start: Duration::from_nanos(event.at.saturating_sub(start)),
            since_previous: previous.map_or(Duration::ZERO, |previous| {
                Duration::from_nanos(event.at.saturating_sub(previous))
            }),
            plugin: event.plugin.clone(),
            instance: event.instance,
            generation: event.generation,
            version: self.versions.of(event.instance, event.generation).cloned(),
            direction: place.direction,
            call: id,
            index: place.index,
            emitted: place.emitted,
            status: call.status.clone(),
            latency: call.timing.map(|timing| timing.latency()),
            beside: call.beside,
            frame: frame.clone(),
        };
        self.counters.bytes += row_cost(&row);
        self.rows.push_back(row);
    }

    fn end_call(&mut self, id: CallId, status: Status, timing: Timing, memory: Option<u64>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.status = status.clone();
        call.timing = Some(timing);
        call.memory = memory;
        self.update_rows(id, |row| {
            row.status = status.clone();
            row.latency = Some(timing.latency());
        });
    }

    /// Changes the rows of a call that are still kept.
    fn update_rows(&mut self, call: CallId, mut change: impl FnMut(&mut Row)) {
        let Some(call) = self.calls.get(&call) else {
            return;
        };
        for id in &call.rows {
            let index = id.0.checked_sub(self.counters.gone);
            if let Some(row) = index.and_then(|index| self.rows.get_mut(index as usize)) {
                change(row);
            }
        }
    }

    fn add_host_call(&mut self, event: &Event, id: Option<CallId>, host_call: &HostCall) {
        if host_call.result == Err(ServiceError::Denied) {
            let denial = Denial {
                at: event.at,
                plugin: event.plugin.clone(),
                instance: event.instance,
                call: id,
                service: host_call.service.clone().into_owned(),
                permission: host_call.permission,
                by: host_call.answered_by,
                parameter: first_text(&host_call.arguments),
            };
            self.lists.denials.push(denial, &self.limits);
        }
        if host_call.service == "log" && host_call.result.is_ok() {
            let (level, message) = read_log(&host_call.arguments);
            let (at, plugin) = (event.at, event.plugin.clone());
            let line = LogLine { at, plugin, call: id, level, message };
            self.lists.log.push(line, &self.limits);
        }
        let Some(id) = id else {
            self.lists.outside.push(event.clone(), &self.limits);
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            // All rows of the call are gone already.
            self.counters.evicted_host_calls += 1;
            return;
        };
        let kept = HostCall {
            service: host_call.service.clone(),
            permission: host_call.permission,
            arguments: weight::brief(&host_call.arguments, self.limits.host_call),
            result: match &host_call.result {
                Ok(value) => Ok(weight::brief(value, self.limits.host_call)),
                Err(error) => Err(*error),
            },
            took: host_call.took,
            answered_by: host_call.answered_by,
        };
        let cost = weight::host_call(&kept);
        let (sequence, at) = (event.sequence, event.at);
        call.host_calls.push(HostCallEvent { sequence, at, host_call: kept });
        call.host_call_bytes += cost;
        self.counters.bytes += cost;
        let most = self.limits.bytes / 4;
        if call.host_call_bytes > most {
            let before = call.host_call_bytes;
            // Down to half, so that this does not happen with each further host call.
            let evicted = forget_oldest(call, most / 2);
            self.counters.bytes -= before - call.host_call_bytes;
            self.counters.evicted_host_calls += evicted;
        }
        self.add_beside(id, Statuses::of_host_call(host_call));
    }

    /// Adds to the status of a call what a host call of it adds.
    fn add_beside(&mut self, id: CallId, beside: Statuses) {
        let call = self.calls.get_mut(&id);
        let Some(call) = call.filter(|call| !call.beside.holds(beside)) else { return };
        call.beside = call.beside.with(beside);
        let beside = call.beside;
        self.update_rows(id, |row| row.beside = beside);
    }

    fn notice(&mut self, event: &Event) {
        let (kind, message) = in_words(event);
        self.lists.outside.push(event.clone(), &self.limits);
        if let Some(reload) = reload(event) {
            self.lists.reloads.push(reload, &self.limits);
        }
        let (at, plugin) = (event.at, event.plugin.clone());
        self.lists.notices.push(super::Notice { at, plugin, kind, message }, &self.limits);
    }

    /// Forgets the oldest rows until the rest fits; the latest row always stays.
    fn evict(&mut self) {
        while self.counters.bytes > self.limits.bytes && self.rows.len() > 1 {
            let Some(row) = self.rows.pop_front() else {
                return;
            };
            self.counters.gone += 1;
            self.counters.evicted += 1;
            self.counters.bytes -= row_cost(&row);
            let Some(call) = self.calls.get(&row.call) else {
                continue;
            };
            // A call goes with the last of its rows. One that still runs may lose its first row
            // before the others come; it is made anew by the next row then.
            if call.rows.last() == Some(&row.id) {
                self.counters.bytes -= call.host_call_bytes;
                self.counters.evicted_host_calls += call.host_calls.len() as u64;
                self.calls.remove(&row.call);
            }
        }
    }
}

/// Forgets the oldest host calls of a call, all but the latest if need be, until the rest takes so
/// many bytes; gives how many went.
fn forget_oldest(call: &mut Call, bytes: usize) -> u64 {
    let mut forgotten = 0;
    let latest = call.host_calls.len().saturating_sub(1);
    for HostCallEvent { host_call, .. } in &call.host_calls[..latest] {
        if call.host_call_bytes <= bytes {
            break;
        }
        call.host_call_bytes -= weight::host_call(host_call);
        forgotten += 1;
    }
    call.host_calls.drain(..forgotten);
    call.evicted_host_calls += forgotten as u64;
    forgotten as u64
}

fn row_cost(row: &Row) -> usize {
    row.frame.encoded_len() + ROW_OVERHEAD
}

/// The first text among the arguments of a host call: the key, name or address that it is about.
fn first_text(arguments: &Value) -> String {
    /// Bytes that are kept.
    const KEPT: usize = 200;
    let text = match arguments {
        Value::Text(text) => Some(text),
        Value::Array(items) => items.iter().find_map(as_text),
        Value::Map(entries) => entries.iter().find_map(|(_, value)| as_text(value)),
        _ => None,
    };
    text.map_or_else(String::new, |text| cut(text, KEPT).into_owned())
}

fn as_text(value: &Value) -> Option<&String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Level and message of a log line, in the order of the contract.
fn read_log(arguments: &Value) -> (LogLevel, String) {
    let mut level = LogLevel::Info;
    let mut message = String::new();
    let arguments = match arguments {
        Value::Array(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        other => vec![other],
    };
    for argument in arguments {
        match argument {
            Value::Integer(number) => {
                level = LogLevel::from_u32(u32::try_from(*number).unwrap_or(u32::MAX));
            }
            Value::Text(text) => message.clone_from(text),
            _ => {}
        }
    }
    (level, message)
}

fn reload(event: &Event) -> Option<Reload> {
    let (cause, took, result) = match &event.what {
        What::Reloaded { cause, version, digest, state_version, took, .. } => {
            let reloaded = Reloaded {
                version: version.clone(),
                digest: digest.clone(),
                state_version: *state_version,
            };
            (cause, took, Ok(reloaded))
        }
        What::ReloadFailed { cause, stage, message, took } => {
            let refused = RefusedReload { stage: *stage, message: message.clone() };
            (cause, took, Err(refused))
        }
        _ => return None,
    };
    Some(Reload {
        at: event.at,
        plugin: event.plugin.clone(),
        instance: event.instance,
        cause: *cause,
        took: *took,
        generation: event.generation,
        result,
    })
}

/// An event outside of calls, for people.
fn in_words(event: &Event) -> (NoticeKind, String) {
    match &event.what {
        What::Phase { from, to, cause } => {
            let bad = matches!(to, Phase::Faulted | Phase::Quarantined);
            let kind = if bad { NoticeKind::Failure } else { NoticeKind::Phase };
            let reason = if cause.is_empty() { "" } else { ": " };
            // Quarantine is a folder for frames, to which this need not lead.
            let to = if *to == Phase::Quarantined { "stopped for its failures" } else { to.name() };
            (kind, format!("{from} → {to}{reason}{cause}"))
        }
        What::Note { text, .. } => (NoticeKind::Note, text.clone()),
        What::Loaded { version, binding, took, cached, .. } => {
            let cached = if *cached { ", from the cache" } else { "" };
            let took = show_duration(*took);
            let message = format!("loaded version {version} ({binding}) in {took}{cached}");
            (NoticeKind::Loaded, message)
        }
        What::LoadFailed { stage, message } => {
            let message = format!("could not be loaded, at stage {stage}: {message}");
            (NoticeKind::Refused, message)
        }
        What::Reloaded { cause, from, version, took, .. } => {
            let (now, took) = (event.generation, show_duration(*took));
            let message = format!(
                "reloaded ({cause}): generation {from} → {now}, version {version}, in {took}"
            );
            (NoticeKind::Loaded, message)
        }
        What::ReloadFailed { cause, stage, message, .. } => {
            let now = event.generation;
            let message = format!(
                "reload ({cause}) was refused at stage {stage}, generation {now} runs on: {message}"
            );
            (NoticeKind::Refused, message)
        }
        What::FramesDropped { frames, reason } => {
            let frames = match frames {
                1 => "emitted frame dropped".to_owned(),
                frames => format!("{frames} emitted frames dropped"),
            };
            (NoticeKind::Refused, format!("{frames}: {reason}"))
        }
        What::PolicyChanged { summary } => {
            (NoticeKind::Policy, format!("policy changed: {summary}"))
        }
        What::PolicyAsked { permission, parameter } => {
            let on = if parameter.is_empty() { "" } else { " " };
            let message =
                format!("asks for `{permission}`{on}{parameter}: denied until somebody decides");
            (NoticeKind::Policy, message)
        }
        What::Unloaded => (NoticeKind::Loaded, "unloaded".to_owned()),
        // Rows, not notices; `ingest` never brings them here.
        What::FrameIn { .. }
        | What::FrameOut { .. }
        | What::CallEnded { .. }
        | What::HostCall { .. } => (NoticeKind::Phase, String::new()),
    }
}
