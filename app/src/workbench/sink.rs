//! The workbench's sink: every event goes to the live store, the metrics, the recording and the
//! runs whose events are kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use glovebox_events::{Event, ReloadCause, Sink, What};
use glovebox_inspector::findings::LiveRecord;
use glovebox_inspector::store::LiveStore;
use glovebox_trace::Recorder;
use parking_lot::{Mutex, RwLock};

use super::failures::FailureKeeper;
use super::figures::Counting;
use super::kept_events::KeptEvents;
use super::snapshots::Ticker;
use super::unkept::{Numbers, Unkept};
use super::words::count;
use crate::panics::contain;

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
        // Most events come while the window is awake, on several threads: they only read this. The
        // window says that it sleeps before it takes the locks under which it looks.
        if self.asleep.load(Ordering::Acquire)
            && self.asleep.swap(false, Ordering::AcqRel)
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

/// The listeners, in the order in which they get events. The version of the store says if there are
/// new figures and findings, so that it is the last of these: whoever sees an event in the store finds
/// it in the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listener {
    Recording,
    Snapshots,
    Metrics,
    Findings,
    Store,
    KeptEvents,
    Reloads,
    Failures,
}

impl Listener {
    pub(super) const ALL: [Listener; 8] = [
        Listener::Recording,
        Listener::Snapshots,
        Listener::Metrics,
        Listener::Findings,
        Listener::Store,
        Listener::KeptEvents,
        Listener::Reloads,
        Listener::Failures,
    ];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Listener::Recording => "the recording",
            Listener::Snapshots => "the snapshots of states",
            Listener::Store => "the live frames",
            Listener::Metrics => "the metrics",
            Listener::Findings => "the findings",
            Listener::KeptEvents => "the run that a replay leads to",
            Listener::Reloads => "the list of plugins",
            Listener::Failures => "the events before a failure",
        }
    }
}

/// Hands events on to the store, the metrics, the rules, recordings and kept events.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    /// The frames that the window shows.
    pub store: LiveStore,
    /// Figures of each instance.
    pub metrics: Mutex<Counting>,
    /// Wakes the window; after events, the host does that.
    pub waker: Arc<Waker>,
    /// The record that rules judge.
    pub findings: LiveRecord,
    recorder: RwLock<Option<Arc<Recorder>>>,
    ticker: RwLock<Option<Arc<Ticker>>>,
    kept: Mutex<Option<KeptOf>>,
    /// The live frames that neither a recording nor a replay keeps.
    pub unkept: Mutex<Unkept>,
    /// The results of reloads, until the window looks.
    reloads: Mutex<Reloads>,
    /// The result of the last change of the policy's file, until the window looks.
    policy: Mutex<Option<Result<(), String>>>,
    /// The results of the last changes of mock files, by their paths, until the window looks.
    mocks: Mutex<BTreeMap<PathBuf, Result<(), String>>>,
    /// The last events, for failure bundles.
    pub failures: FailureKeeper,
    /// By who did not get events because of a panic: how many, and why not the first.
    faults: Mutex<BTreeMap<Listener, (u64, String)>>,
}

/// The results of reloads since the window looked.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    /// Oldest first.
    pub(super) latest: VecDeque<ReloadNews>,
    /// How many there were before them.
    pub(super) left_out: u64,
}

/// The result of a reload.
#[derive(Debug)]
pub(super) struct ReloadNews {
    pub(super) plugin: Arc<str>,
    pub(super) instance: u64,
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
            instance: event.instance,
            generation: event.generation,
            cause: *cause,
            result,
        })
    }
}

/// The events of a run, while it happens.
#[derive(Debug)]
struct KeptOf {
    /// Instances whose events are kept; all if it is empty.
    of: BTreeSet<u64>,
    events: KeptEvents,
    /// The frames among the events.
    frames: Numbers,
}

impl Fanout {
    /// One that lets rules look at so many calls.
    pub(super) fn new(calls: usize) -> Fanout {
        let (findings, failures) = (LiveRecord::new(calls), FailureKeeper::of_all());
        Fanout { findings, failures, ..Fanout::default() }
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

    /// Keeps copies of the events of these instances from now on, of all if there are none, and of so
    /// many bytes at most; `None` if that is under way already.
    pub(super) fn start_keeping(&self, of: BTreeSet<u64>, limit: usize) -> Option<Keeping<'_>> {
        let mut kept = self.kept.lock();
        if kept.is_some() {
            return None;
        }
        *kept = Some(KeptOf { of, events: KeptEvents::up_to(limit), frames: Numbers::default() });
        Some(Keeping(self))
    }

    /// Hands an event to one of those who want it.
    pub(super) fn hand(&self, event: &Event, to: Listener) {
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
            Listener::Failures => self.failures.record(event),
            Listener::Store => self.store.record(event),
            Listener::Metrics => self.metrics.lock().ingest(event),
            Listener::Findings => self.findings.record(event),
            Listener::KeptEvents => {
                // Under the lock, so that the numbers come in order.
                let mut kept = self.kept.lock();
                let is_frame = matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. });
                let number =
                    is_frame.then(|| self.unkept.lock().count(self.recorder.read().is_some()));
                if let Some(KeptOf { of, events, frames }) = &mut *kept
                    && (of.is_empty() || of.contains(&event.instance))
                    && events.keep(event)
                    && let Some(number) = number
                {
                    frames.add(number);
                }
            }
            Listener::Reloads => {
                if let Some(news) = ReloadNews::of(event) {
                    let mut reloads = self.reloads.lock();
                    // The window takes them in whenever it is painted; the newest count.
                    if reloads.latest.len() == RELOADS {
                        reloads.latest.pop_front();
                        reloads.left_out += 1;
                    }
                    reloads.latest.push_back(news);
                }
            }
        }
    }

    /// The listeners that missed events because of a panic since the last time, in words.
    pub(super) fn take_faults(&self) -> Vec<String> {
        let faults = std::mem::take(&mut *self.faults.lock());
        let in_words = |(to, (events, first)): (Listener, (u64, String))| {
            format!("{} did not reach {}: {first}", count(events, "event"), to.name())
        };
        faults.into_iter().map(in_words).collect()
    }

    /// Says what became of the policy when its file changed.
    pub(super) fn tell_policy(&self, changed: Result<(), String>) {
        *self.policy.lock() = Some(changed);
        self.waker.wake();
    }

    /// The result of the last change of the policy's file since the window looked.
    pub(super) fn take_policy(&self) -> Option<Result<(), String>> {
        self.policy.lock().take()
    }

    /// Says what became of a mock when its file changed.
    pub(super) fn tell_mock(&self, file: &Path, changed: Result<(), String>) {
        self.mocks.lock().insert(file.to_owned(), changed);
        self.waker.wake();
    }

    /// The results of the last changes of mock files since the window looked.
    pub(super) fn take_mocks(&self) -> BTreeMap<PathBuf, Result<(), String>> {
        std::mem::take(&mut *self.mocks.lock())
    }

    /// The results of reloads since the last time.
    pub(super) fn take_reloads(&self) -> Reloads {
        std::mem::take(&mut *self.reloads.lock())
    }
}

/// Copies of events are kept until this goes.
#[derive(Debug)]
pub(super) struct Keeping<'a>(&'a Fanout);

impl Keeping<'_> {
    /// Everything that was kept since the last time, and the numbers of the frames in it. Until the
    /// events stand elsewhere, nobody else [has](Unkept::keep) these.
    pub(super) fn take(&self) -> (KeptEvents, Numbers) {
        let mut kept = self.0.kept.lock();
        let taken =
            kept.as_mut().map(|kept| (kept.events.take(), std::mem::take(&mut kept.frames)));
        taken.unwrap_or_else(|| (KeptEvents::up_to(0), Numbers::default()))
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.kept.lock().take();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_one_listener_keeps_the_event_from_no_other() {
        use glovebox_abi::Frame;
        use glovebox_events::CallId;
        for to in Listener::ALL {
            let fanout = Fanout::new(8);
            let keeping =
                fanout.start_keeping(BTreeSet::new(), 1 << 20).expect("nothing else is kept");
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
                (Listener::Metrics, !fanout.metrics.lock().figures().instances.is_empty()),
                (Listener::KeptEvents, keeping.take().0.events.len() == 1),
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
