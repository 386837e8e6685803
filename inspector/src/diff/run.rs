//! The calls of one execution, kept small.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::{Frame, MAX_FRAME_LEN};
use glovebox_events::{CallId, Event, HostCall, Outcome, What};

use glovebox_trace::format::wire;

/// One call of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCall {
    /// Its number.
    pub id: CallId,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The frame it was given.
    pub input: Frame,
    /// The frames it gave, in order.
    pub outputs: Vec<RunOutput>,
    /// The host calls that it made, in order. How long the host took is not kept.
    pub host_calls: Vec<HostCall>,
    /// How it ended; `None` if the run ends before it.
    pub outcome: Option<Outcome>,
    /// How long it took.
    pub latency: Option<Duration>,
}

/// A frame that a call gave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunOutput {
    /// The frame.
    pub frame: Frame,
    /// True if it was sent with the service `emit`, false if it is part of the answer.
    pub emitted: bool,
}

/// A frame of the answer.
impl From<Frame> for RunOutput {
    fn from(frame: Frame) -> RunOutput {
        RunOutput { frame, emitted: false }
    }
}

/// The calls of one execution, in order.
///
/// A run of a million frames takes little more memory than the frames themselves: calls are kept
/// encoded, and [`call`](Self::call) decodes one.
#[derive(Clone, Default)]
pub struct Run {
    /// Name for people, e.g. the name of the trace.
    pub name: String,
    /// Events that could not be kept: of calls that began before the run or were over already, and
    /// frames larger than a frame may be.
    pub left_out: u64,
    calls: Vec<Call>,
    records: Vec<Record>,
    segments: Vec<Bytes>,
    plugins: Vec<Arc<str>>,
    outcomes: Vec<Outcome>,
}

/// Stands for "none" where an `Option` would double the size.
const NONE: u32 = u32::MAX;
/// Bytes of a segment, unless a single record is larger.
const SEGMENT: usize = 4 << 20;

#[derive(Debug, Clone, Copy)]
struct Call {
    id: CallId,
    /// Nanoseconds; `u64::MAX` if it did not end.
    latency: u64,
    plugin: u32,
    outcome: u32,
    first: u32,
    last: u32,
}

/// Something encoded that belongs to a call.
#[derive(Debug, Clone, Copy)]
struct Record {
    segment: u32,
    start: u32,
    length: u32,
    /// The next record of the same call.
    next: u32,
    sort: Sort,
}

/// The sort of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Input,
    Answer,
    Emitted,
    HostCall,
}

impl Sort {
    fn of_output(emitted: bool) -> Sort {
        if emitted { Sort::Emitted } else { Sort::Answer }
    }
}

impl Run {
    /// Collects the calls of a run.
    pub fn from_events(name: impl Into<String>, events: impl IntoIterator<Item = Event>) -> Run {
        let mut builder = Builder::default();
        events.into_iter().for_each(|event| builder.event(event));
        builder.finish(name.into())
    }

    /// A run of these calls, in this order.
    pub fn from_calls(name: impl Into<String>, calls: impl IntoIterator<Item = RunCall>) -> Run {
        let mut builder = Builder::default();
        for call in calls {
            let at = builder.begin(call.id, call.plugin, &call.input);
            let Some(at) = at else { continue };
            for RunOutput { frame, emitted } in &call.outputs {
                builder.frame(at, Sort::of_output(*emitted), frame);
            }
            call.host_calls.iter().for_each(|host_call| builder.host_call(at, host_call));
            builder.end(at, call.outcome, call.latency);
        }
        builder.finish(name.into())
    }

    /// Number of calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// True if there is no call.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// True if the run says how any call ended: one that does not is of inputs only, such as a capture.
    pub fn has_answers(&self) -> bool {
        (0..self.len()).any(|at| self.outcome(at).is_some())
    }

    /// True if there are calls, and nothing says what became of any: a capture, for instance.
    pub fn is_of_inputs_only(&self) -> bool {
        let has_output =
            |at| self.records(at).any(|(sort, _)| matches!(sort, Sort::Answer | Sort::Emitted));
        !self.is_empty() && !self.has_answers() && !(0..self.len()).any(has_output)
    }

    /// The call at this position, from 0.
    pub fn call(&self, at: usize) -> Option<RunCall> {
        let call = self.calls.get(at)?;
        let mut found = RunCall {
            id: call.id,
            plugin: self.plugin(at)?.clone(),
            input: Frame::data(Bytes::new()),
            outputs: Vec::new(),
            host_calls: Vec::new(),
            outcome: self.outcome(at).cloned(),
            latency: self.latency(at),
        };
        for (sort, bytes) in self.records(at) {
            match sort {
                Sort::Input => found.input = frame_of(bytes),
                Sort::Answer | Sort::Emitted => {
                    let emitted = sort == Sort::Emitted;
                    found.outputs.push(RunOutput { frame: frame_of(bytes), emitted });
                }
                Sort::HostCall => found.host_calls.push(host_call_of(bytes)),
            }
        }
        Some(found)
    }

    /// All calls, decoded one by one.
    pub fn iter(&self) -> impl Iterator<Item = RunCall> + '_ {
        (0..self.len()).filter_map(|at| self.call(at))
    }

    /// The number of the call at this position.
    pub fn id(&self, at: usize) -> Option<CallId> {
        self.calls.get(at).map(|call| call.id)
    }

    /// The plugin of the call at this position.
    pub fn plugin(&self, at: usize) -> Option<&Arc<str>> {
        self.plugins.get(self.calls.get(at)?.plugin as usize)
    }

    /// How the call at this position ended.
    pub fn outcome(&self, at: usize) -> Option<&Outcome> {
        self.outcomes.get(self.calls.get(at)?.outcome as usize)
    }

    /// How long the call at this position took.
    pub fn latency(&self, at: usize) -> Option<Duration> {
        let nanos = self.calls.get(at)?.latency;
        (nanos != u64::MAX).then(|| Duration::from_nanos(nanos))
    }

    /// Ids of the plugins, in order of appearance.
    pub fn plugins(&self) -> &[Arc<str>] {
        &self.plugins
    }

    /// The encoded input of a call.
    pub(super) fn input(&self, at: usize) -> &[u8] {
        let first = self.calls.get(at).map_or(NONE, |call| call.first);
        self.records
            .get(first as usize)
            .map_or(&[], |record| &self.segments[record.segment as usize][record.range()])
    }

    /// Everything that belongs to a call, encoded; the input first.
    pub(super) fn records(&self, at: usize) -> impl Iterator<Item = (Sort, Bytes)> + '_ {
        self.chain(at).map(|record| {
            (record.sort, self.segments[record.segment as usize].slice(record.range()))
        })
    }

    /// True if two calls are the same to the byte, latency apart.
    pub(super) fn is_same(&self, at: usize, other: &Run, other_at: usize) -> bool {
        let (mut here, mut there) = (self.chain(at), other.chain(other_at));
        loop {
            match (here.next(), there.next()) {
                (None, None) => return self.outcome(at) == other.outcome(other_at),
                (Some(a), Some(b)) if a.sort == b.sort && a.length == b.length => {
                    let a = &self.segments[a.segment as usize][a.range()];
                    let b = &other.segments[b.segment as usize][b.range()];
                    if a != b {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    fn chain(&self, at: usize) -> impl Iterator<Item = &Record> + '_ {
        let mut next = self.calls.get(at).map_or(NONE, |call| call.first);
        std::iter::from_fn(move || {
            let record = self.records.get(next as usize)?;
            next = record.next;
            Some(record)
        })
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Run");
        shown.field("name", &self.name).field("calls", &self.len()).finish_non_exhaustive()
    }
}

impl Record {
    fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

fn frame_of(bytes: Bytes) -> Frame {
    Frame::decode(&bytes).expect("the run encoded a frame there that is not too large")
}

fn host_call_of(bytes: Bytes) -> HostCall {
    let value = Value::decode(&bytes).map_err(|error| error.to_string());
    value
        .and_then(wire::host_call_from_value)
        .expect("the run read this host call back when it encoded it")
}

/// Encodes what happens, call by call.
#[derive(Default)]
struct Builder {
    run: Run,
    segment: Vec<u8>,
    /// Calls that are not over, by their position.
    open: HashMap<CallId, usize>,
    plugins: HashMap<Arc<str>, u32>,
    outcomes: HashMap<Outcome, u32>,
}

impl Builder {
    fn event(&mut self, event: Event) {
        match event.what {
            What::FrameIn { call, frame } => {
                if let Some(at) = self.begin(call, event.plugin, &frame) {
                    self.open.insert(call, at);
                }
            }
            What::FrameOut { call, frame, emitted, .. } => match self.open.get(&call) {
                Some(at) => self.frame(*at, Sort::of_output(emitted), &frame),
                None => self.run.left_out += 1,
            },
            What::HostCall { call: Some(call), host_call } => match self.open.get(&call) {
                Some(at) => self.host_call(*at, &host_call),
                None => self.run.left_out += 1,
            },
            What::CallEnded { call, outcome, timing, .. } => match self.open.remove(&call) {
                Some(at) => {
                    // A call that was not made took no time.
                    let latency = (!outcome.is_refused()).then(|| timing.latency());
                    self.end(at, Some(outcome), latency);
                }
                None => self.run.left_out += 1,
            },
            _ => {}
        }
    }

    /// `None` if the frame is too large to be one.
    fn begin(&mut self, id: CallId, plugin: Arc<str>, input: &Frame) -> Option<usize> {
        if input.encoded_len() > MAX_FRAME_LEN {
            self.run.left_out += 1;
            return None;
        }
        let plugin = number(&mut self.plugins, &mut self.run.plugins, plugin);
        let at = self.run.calls.len();
        let (first, last, outcome) = (NONE, NONE, NONE);
        self.run.calls.push(Call { id, latency: u64::MAX, plugin, outcome, first, last });
        self.frame(at, Sort::Input, input);
        Some(at)
    }

    fn frame(&mut self, at: usize, sort: Sort, frame: &Frame) {
        if frame.encoded_len() > MAX_FRAME_LEN {
            self.run.left_out += 1;
            return;
        }
        self.record(at, sort, frame.encoded_len(), |out| frame.encode_into(out));
    }

    fn host_call(&mut self, at: usize, host_call: &HostCall) {
        let timeless = HostCall { took: Duration::ZERO, ..host_call.clone() };
        let bytes = wire::host_call_value(&timeless).to_bytes();
        let is_read_back =
            Value::decode(&bytes).is_ok_and(|value| wire::host_call_from_value(value).is_ok());
        if !is_read_back || bytes.len() > MAX_FRAME_LEN {
            self.run.left_out += 1;
            return;
        }
        self.record(at, Sort::HostCall, bytes.len(), |out| out.extend_from_slice(&bytes));
    }

    fn record(&mut self, at: usize, sort: Sort, length: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.segment.is_empty() && self.segment.len() + length > SEGMENT {
            self.seal();
        }
        if self.segment.is_empty() {
            self.segment.reserve_exact(SEGMENT.max(length));
        }
        let start = self.segment.len();
        write(&mut self.segment);
        let index = self.run.records.len() as u32;
        self.run.records.push(Record {
            segment: self.run.segments.len() as u32,
            start: start as u32,
            length: (self.segment.len() - start) as u32,
            next: NONE,
            sort,
        });
        let call = &mut self.run.calls[at];
        match self.run.records.get_mut(call.last as usize) {
            Some(last) => last.next = index,
            None => call.first = index,
        }
        call.last = index;
    }

    fn seal(&mut self) {
        let mut segment = std::mem::take(&mut self.segment);
        segment.shrink_to_fit();
        self.run.segments.push(segment.into());
    }

    fn end(&mut self, at: usize, outcome: Option<Outcome>, latency: Option<Duration>) {
        let outcome =
            outcome.map(|outcome| number(&mut self.outcomes, &mut self.run.outcomes, outcome));
        let call = &mut self.run.calls[at];
        call.outcome = outcome.unwrap_or(NONE);
        let nanos =
            latency.map(|latency| u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX - 1));
        call.latency = nanos.unwrap_or(u64::MAX);
    }

    fn finish(mut self, name: String) -> Run {
        self.seal();
        self.run.name = name;
        self.run.calls.shrink_to_fit();
        self.run.records.shrink_to_fit();
        self.run
    }
}

/// The position of a value that is kept once.
fn number<T: Clone + Eq + std::hash::Hash>(
    known: &mut HashMap<T, u32>,
    values: &mut Vec<T>,
    value: T,
) -> u32 {
    if let Some(number) = known.get(&value) {
        return *number;
    }
    let number = values.len() as u32;
    values.push(value.clone());
    known.insert(value, number);
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn runs_hold_what_happened() {
        let run = Run::from_events("sample", sample::events());
        let call = run.call(0).expect("the sample has two calls");
        assert_eq!((call.id, &*call.plugin), (CallId(1), "echo"));
        assert_eq!((call.outputs.len(), call.host_calls.len()), (1, 1));
        assert_eq!(call.host_calls[0].service, "kv-set");
        assert_eq!(call.outcome, Some(Outcome::Completed));
        assert_eq!(call.latency, Some(Duration::from_nanos(9)));
        // The second call of the sample ends four times.
        assert_eq!((run.len(), run.left_out), (2, 3));
        let again = Run::from_calls("again", run.iter());
        assert_eq!(again.iter().collect::<Vec<_>>(), run.iter().collect::<Vec<_>>());
        let third = Run::from_calls("third", again.iter());
        assert!(again.is_same(0, &third, 0) && !again.is_same(0, &third, 1));
    }

    #[test]
    fn frames_too_large_are_counted() {
        let call = |size| RunCall {
            id: CallId(1),
            plugin: "a".into(),
            input: Frame::data(vec![0; size]),
            outputs: Vec::new(),
            host_calls: Vec::new(),
            outcome: None,
            latency: None,
        };
        let run = Run::from_calls("large", [call(MAX_FRAME_LEN), call(SEGMENT * 2), call(3)]);
        assert_eq!((run.len(), run.left_out), (2, 1));
        assert_eq!(run.call(0).map(|call| call.input.payload.len()), Some(SEGMENT * 2));
    }
}
