//! The way of a host's events to its sinks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use glovebox_abi::text::cut;
use glovebox_events::{CallId, Event, Sink, What};

use super::Hooks;
use crate::guard::caught;
use crate::id::InstanceId;

/// Where the events of a host go.
pub(crate) struct Journal {
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) wake: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) hooks: Hooks,
    /// True if calls are timed also without a sink.
    times_calls: bool,
    sequence: AtomicU64,
    calls: AtomicU64,
    /// Events on which the sink panicked.
    unheard: AtomicU64,
    /// Events after which the waker panicked.
    failed_wakes: AtomicU64,
}

impl Journal {
    pub(crate) fn new(
        sink: Option<Arc<dyn Sink>>,
        wake: Option<Box<dyn Fn() + Send + Sync>>,
        hooks: Hooks,
        times_calls: bool,
    ) -> Journal {
        Journal {
            sink,
            wake,
            hooks,
            times_calls,
            sequence: AtomicU64::new(0),
            calls: AtomicU64::new(1),
            unheard: AtomicU64::new(0),
            failed_wakes: AtomicU64::new(0),
        }
    }

    /// Events on which the sink panicked.
    pub(crate) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    /// Events after which the waker panicked.
    pub(crate) fn failed_wakes(&self) -> u64 {
        self.failed_wakes.load(Ordering::Relaxed)
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// True if anybody wants to know of calls, so that counting and timing them is worth it.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_told() || self.times_calls
    }

    /// True if anybody is told of events, so that making them is worth it.
    pub(crate) fn is_told(&self) -> bool {
        self.sink.is_some() || self.wake.is_some()
    }

    pub(crate) fn record(
        &self,
        plugin: &Arc<str>,
        instance: Option<InstanceId>,
        generation: u32,
        what: What,
    ) {
        if let Some(sink) = &self.sink {
            let what = shortened(what);
            let event = Event {
                sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
                at: unix_nanoseconds(),
                plugin: plugin.clone(),
                instance: instance.map_or(Event::NO_INSTANCE, InstanceId::get),
                generation,
                what,
            };
            // A broken sink must not take the call, or the thread of an instance, with it.
            if let Err(reason) = caught(|| sink.record(&event))
                && self.unheard.fetch_add(1, Ordering::Relaxed) == 0
            {
                tracing::error!(reason, "the sink panicked; further panics are only counted");
            }
        }
        if let Some(wake) = &self.wake
            && let Err(reason) = caught(wake)
            && self.failed_wakes.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::error!(reason, "the waker panicked; further panics are only counted");
        }
    }
}

/// The longest sentence of an event, in bytes.
const MAX_SENTENCE_LEN: usize = 16 << 10;
/// The longest version.
const MAX_VERSION_LEN: usize = 256;

/// With texts short enough to be laid out.
fn shortened(mut what: What) -> What {
    let (text, max) = match &mut what {
        What::Phase { cause: text, .. }
        | What::Note { text, .. }
        | What::LoadFailed { message: text, .. }
        | What::ReloadFailed { message: text, .. }
        | What::PolicyChanged { summary: text }
        | What::FramesDropped { reason: text, .. }
        | What::PolicyAsked { parameter: text, .. } => (text, MAX_SENTENCE_LEN),
        What::Loaded { version: text, .. } | What::Reloaded { version: text, .. } => {
            (text, MAX_VERSION_LEN)
        }
        What::FrameIn { .. }
        | What::FrameOut { .. }
        | What::CallEnded { .. }
        | What::HostCall { .. }
        | What::Unloaded => return what,
    };
    if text.len() > max {
        *text = cut(text, max).into_owned();
    }
    what
}

pub(crate) fn unix_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use glovebox_events::{LoadStage, Phase};

    use super::*;

    #[test]
    fn sentences_of_events_are_cut_and_say_how_long_they_were() {
        fn check(what: What, longest: usize) {
            let shown = format!("{:?}", shortened(what));
            assert!(shown.len() < longest + 256, "{} bytes", shown.len());
            assert!(shown.contains("… (1000000 bytes)"));
        }
        let long = || "x".repeat(1_000_000);
        let (from, to) = (Phase::Ready, Phase::Ready);
        check(What::Phase { from, to, cause: long() }, MAX_SENTENCE_LEN);
        check(What::PolicyChanged { summary: long() }, MAX_SENTENCE_LEN);
        check(What::LoadFailed { stage: LoadStage::Read, message: long() }, MAX_SENTENCE_LEN);
        let summary = "short".to_owned();
        let what = What::PolicyChanged { summary };
        assert_eq!(shortened(what.clone()), what);
    }
}
