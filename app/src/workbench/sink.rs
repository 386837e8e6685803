//! The workbench's sink: every event goes to the live store, the metrics, the recording and the
//! runs that are being captured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_events::{Event, ReloadCause, Sink, What};
use glovebox_inspector::findings::LiveRecorder;
use glovebox_inspector::metrics::LiveMetrics;
use glovebox_inspector::store::LiveStore;
use glovebox_inspector::trace::Recorder;
use glovebox_inspector::weight;
use parking_lot::{Mutex, RwLock};

use super::snapshots::Ticker;
use super::words::count;
use crate::panics::contain;

/// The most memory that captured runs may take, in bytes of events.
const CAPTURE_LIMIT: usize = 64 << 20;

/// Reloads that may wait for the window.
const RELOADS: usize = 256;

/// Wakes the window, at most once per painted frame.
#[derive(Default)]
pub struct Waker {
    asleep: AtomicBool,
    wake: RwLock<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl Waker {
    /// Says whom to wake.
    pub fn connect(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.wake.write() = Some(Box::new(wake));
        self.asleep.store(true, Ordering::Release);
    }

    /// There is something new to show.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::AcqRel)
            && let Some(wake) = &*self.wake.read()
        {
            wake();
        }
    }

    /// The window is about to look; what comes later must wake it again.
    pub fn looked(&self) {
        self.asleep.store(true, Ordering::Release);
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Waker").finish_non_exhaustive()
    }
}

/// The listeners, in the order in which they get events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listener {
    Recording,
    Snapshots,
    Store,
    Metrics,
    Findings,
    Latencies,
    Capture,
    Reloads,
    Window,
}

impl Listener {
    const ALL: [Listener; 9] = [
        Listener::Recording,
        Listener::Snapshots,
        Listener::Store,
        Listener::Metrics,
        Listener::Findings,
        Listener::Latencies,
        Listener::Capture,
        Listener::Reloads,
        Listener::Window,
    ];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Listener::Recording => "the recording",
            Listener::Snapshots => "the snapshots of states",
            Listener::Store => "the live frames",
            Listener::Metrics => "the metrics",
            Listener::Findings => "the findings",
            Listener::Latencies => "the latencies",
            Listener::Capture => "the run that a replay leads to",
            Listener::Reloads => "the list of plugins",
            Listener::Window => "the window",
        }
    }
}

/// Hands events on to whoever wants them.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    /// What the window shows.
    pub store: LiveStore,
    /// Figures per plugin and generation.
    pub metrics: LiveMetrics,
    /// What rules look at.
    pub findings: LiveRecorder,
    /// Histograms of latencies.
    pub latencies: Mutex<Latencies>,
    /// Wakes the window.
    pub waker: Arc<Waker>,
    recorder: RwLock<Option<Arc<Recorder>>>,
    ticker: RwLock<Option<Arc<Ticker>>>,
    capture: Mutex<Option<Capture>>,
    /// What reloads led to, until the window looks.
    reloads: Mutex<Vec<ReloadNews>>,
    /// By who did not get events because of a panic: how many, and why not the first.
    faults: Mutex<BTreeMap<Listener, (u64, String)>>,
}

/// What a reload led to.
#[derive(Debug)]
pub(super) struct ReloadNews {
    pub(super) plugin: Arc<str>,
    /// The generation that runs now.
    pub(super) generation: u32,
    pub(super) cause: ReloadCause,
    /// The version that runs now, or why a new generation was refused.
    pub(super) result: Result<String, String>,
}

impl ReloadNews {
    fn of(event: &Event) -> Option<ReloadNews> {
        let (cause, result) = match &event.what {
            What::Reloaded { cause, version, .. } => (cause, Ok(version.clone())),
            What::ReloadFailed { cause, stage, message, .. } => {
                (cause, Err(format!("{stage}: {message}")))
            }
            _ => return None,
        };
        Some(ReloadNews {
            plugin: Arc::clone(&event.plugin),
            generation: event.generation,
            cause: *cause,
            result,
        })
    }
}

/// The events of a run, while it happens.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// The events, in order.
    pub events: Vec<Event>,
    /// Events beyond the memory limit.
    pub lost: u64,
    bytes: usize,
}

impl Fanout {
    /// One that lets rules look at so many calls.
    pub(super) fn new(calls: usize) -> Fanout {
        Fanout { findings: LiveRecorder::new(calls), ..Fanout::default() }
    }

    /// Starts or ends handing events to a recorder; returns the one before.
    pub(super) fn set_recorder(&self, recorder: Option<Arc<Recorder>>) -> Option<Arc<Recorder>> {
        std::mem::replace(&mut *self.recorder.write(), recorder)
    }

    /// The recorder, if any.
    pub(super) fn recorder(&self) -> Option<Arc<Recorder>> {
        self.recorder.read().clone()
    }

    /// Starts or ends counting inputs for snapshots.
    pub(super) fn set_ticker(&self, ticker: Option<Arc<Ticker>>) {
        *self.ticker.write() = ticker;
    }

    /// Keeps a copy of every event from now on; `None` if that is under way already.
    pub(super) fn start_capture(&self) -> Option<Capturing<'_>> {
        let mut capture = self.capture.lock();
        if capture.is_some() {
            return None;
        }
        *capture = Some(Capture::default());
        Some(Capturing(self))
    }

    /// Hands an event to one of those who want it.
    fn hand(&self, event: &Event, to: Listener) {
        #[cfg(test)]
        crate::panics::hook::reach(to.name());
        match to {
            // Not under the lock: a recorder whose memory is full holds this thread for a moment, and
            // the window may want to end the recording meanwhile.
            Listener::Recording => {
                if let Some(recorder) = self.recorder() {
                    recorder.record(event);
                }
            }
            Listener::Snapshots => {
                if let What::FrameIn { .. } = &event.what
                    && let Some(ticker) = &*self.ticker.read()
                {
                    ticker.input();
                }
            }
            Listener::Store => self.store.record(event),
            Listener::Metrics => self.metrics.record(event),
            Listener::Findings => self.findings.record(event),
            Listener::Latencies => {
                if matches!(event.what, What::CallEnded { .. }) {
                    self.latencies.lock().ingest(event);
                }
            }
            Listener::Capture => {
                if let Some(capture) = &mut *self.capture.lock() {
                    capture.keep(event);
                }
            }
            Listener::Reloads => {
                if let Some(news) = ReloadNews::of(event) {
                    let mut reloads = self.reloads.lock();
                    // The window takes them in whenever it is painted; the newest count.
                    if reloads.len() == RELOADS {
                        reloads.remove(0);
                    }
                    reloads.push(news);
                }
            }
            Listener::Window => self.waker.wake(),
        }
    }

    /// Who did not get events because of a panic since the last time, in words.
    pub(super) fn take_faults(&self) -> Vec<String> {
        let faults = std::mem::take(&mut *self.faults.lock());
        let in_words = |(to, (events, first)): (Listener, (u64, String))| {
            format!("{} did not reach {}: {first}", count(events, "event"), to.name())
        };
        faults.into_iter().map(in_words).collect()
    }

    /// What reloads led to since the last time, oldest first.
    pub(super) fn take_reloads(&self) -> Vec<ReloadNews> {
        std::mem::take(&mut *self.reloads.lock())
    }
}

/// A copy of every event is kept until this ends or goes.
#[derive(Debug)]
pub(super) struct Capturing<'a>(&'a Fanout);

impl Capturing<'_> {
    /// Ends it, and gives what was kept.
    pub(super) fn finish(self) -> Capture {
        self.0.capture.lock().take().unwrap_or_default()
    }
}

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        self.0.capture.lock().take();
    }
}

impl Sink for Fanout {
    fn record(&self, event: &Event) {
        let mut left = Listener::ALL.as_slice();
        // A panic keeps the event from one of them, not from those after it, and not from the plugin.
        while let Err(fault) = contain(|| {
            while let [to, rest @ ..] = left {
                left = rest;
                self.hand(event, *to);
            }
        }) {
            let at = Listener::ALL.len() - left.len() - 1;
            self.faults.lock().entry(Listener::ALL[at]).or_insert((0, fault)).0 += 1;
        }
    }
}

impl Capture {
    fn keep(&mut self, event: &Event) {
        let size = weight::event(event);
        if self.bytes + size <= CAPTURE_LIMIT {
            self.bytes += size;
            self.events.push(event.clone());
        } else {
            self.lost += 1;
        }
    }
}

/// Latency of calls by plugin and generation.
#[derive(Debug, Default)]
pub(super) struct Latencies(BTreeMap<(Arc<str>, u32), LatencyCounts>);

impl Latencies {
    /// Counts the event if it is the end of a call.
    pub(super) fn ingest(&mut self, event: &Event) {
        if let What::CallEnded { timing, .. } = &event.what {
            let key = (Arc::clone(&event.plugin), event.generation);
            self.0.entry(key).or_default().count(timing.latency());
        }
    }

    /// Those of one generation.
    pub(super) fn of(&self, plugin: &str, generation: u32) -> Option<LatencyCounts> {
        self.0.get(&(plugin.into(), generation)).cloned()
    }
}

/// A histogram of latencies: four bars per power of two, from 64 ns to over a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyCounts([u64; LatencyCounts::BARS]);

impl LatencyCounts {
    const BARS: usize = 128;
    const SHIFT: u32 = 6;

    /// Counts one call.
    pub fn count(&mut self, latency: std::time::Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1 << Self::SHIFT);
        let power = nanos.ilog2();
        let quarter = (nanos >> (power - 2)) & 3;
        let bar = ((power - Self::SHIFT) as usize) * 4 + quarter as usize;
        self.0[bar.min(Self::BARS - 1)] += 1;
    }

    /// Start of the bar in nanoseconds and its count, from the first to the last that is not
    /// empty.
    pub fn bars(&self) -> impl Iterator<Item = (u64, u64)> {
        let first = self.0.iter().position(|count| *count > 0);
        let last = self.0.iter().rposition(|count| *count > 0);
        let range = match (first, last) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        };
        range.map(|bar| (Self::start(bar), self.0[bar]))
    }

    /// Where a bar starts, in nanoseconds.
    fn start(bar: usize) -> u64 {
        let power = Self::SHIFT + (bar / 4) as u32;
        (4 + (bar % 4) as u64) << (power - 2)
    }
}

impl Default for LatencyCounts {
    fn default() -> Self {
        LatencyCounts([0; Self::BARS])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use glovebox_abi::Permission;
    use glovebox_abi::cbor::Value;
    use glovebox_events::HostCall;

    use super::*;

    #[test]
    fn latencies_fall_into_their_bar() {
        fn check(nanos: u64, expected_start: u64) {
            let mut counts = LatencyCounts::default();
            counts.count(Duration::from_nanos(nanos));
            assert_eq!(counts.bars().collect::<Vec<_>>(), [(expected_start, 1)]);
        }
        check(1, 64);
        check(64, 64);
        check(127, 112);
        check(1024, 1024);
        check(1300, 1280);
        check(1_000_000, 917_504);
    }

    #[test]
    fn a_panic_of_one_listener_keeps_the_event_from_no_other() {
        use glovebox_abi::Frame;
        use glovebox_events::CallId;
        for to in Listener::ALL {
            let fanout = Fanout::new(8);
            let woken = Arc::new(AtomicBool::new(false));
            let wakes = Arc::clone(&woken);
            fanout.waker.connect(move || wakes.store(true, Ordering::Relaxed));
            let capturing = fanout.start_capture().expect("nothing else is captured");
            let event = Event {
                sequence: 0,
                at: 1,
                plugin: "a".into(),
                instance: 0,
                generation: 1,
                what: What::FrameIn { call: CallId(1), frame: Frame::data("x") },
            };
            crate::panics::hook::panic_at(Some(to.name()));
            fanout.record(&event);
            crate::panics::hook::panic_at(None);
            let found = [
                (Listener::Store, fanout.store.lock().len() == 1),
                (Listener::Metrics, !fanout.metrics.lock().snapshot().generations.is_empty()),
                (Listener::Capture, capturing.finish().events.len() == 1),
                (Listener::Window, woken.load(Ordering::Relaxed)),
            ];
            for (listener, got_it) in found {
                assert_eq!(got_it, listener != to, "{listener:?} while {to:?} panics");
            }
            let said = fanout.take_faults();
            let expected = format!("1 event did not reach {}: a fault of Glovebox", to.name());
            assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");
        }
    }

    #[test]
    fn a_capture_counts_everything_that_it_keeps() {
        fn check(bytes: usize, expected_kept: usize) {
            let host_call = HostCall {
                service: "kv-set".into(),
                permission: Permission::Kv,
                arguments: Value::Bytes(vec![0; bytes]),
                result: Ok(Value::Null),
                took: Duration::ZERO,
            };
            let event = Event {
                sequence: 0,
                at: 0,
                plugin: "a".into(),
                instance: 0,
                generation: 1,
                what: What::HostCall { call: None, host_call },
            };
            let mut capture = Capture::default();
            (0..20).for_each(|_| capture.keep(&event));
            assert_eq!(
                (capture.events.len(), capture.lost),
                (expected_kept, 20 - expected_kept as u64)
            );
            assert!(capture.bytes <= CAPTURE_LIMIT);
        }
        check(1000, 20);
        check(8 << 20, 7);
        check(CAPTURE_LIMIT, 0);
    }

    #[test]
    fn a_waker_wakes_once_per_look() {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let waker = Waker::default();
        waker.wake();
        let counter = Arc::clone(&count);
        waker.connect(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        waker.wake();
        waker.wake();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        waker.looked();
        waker.wake();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
