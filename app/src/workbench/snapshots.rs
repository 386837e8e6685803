//! Snapshots of the states of plugins while inputs are sent, so that a later replay can start in
//! the middle. The window and the command line share it.
//!
//! [`Snapshots`] is told of each input and takes them on the caller's thread. [`Keeper`] does that
//! on a thread of its own, for a recording whose inputs come from anywhere.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use glovebox_abi::units::{parse_duration, show_duration};
use glovebox_events::Snapshot;
use glovebox_host::{Host, InstanceId};
use glovebox_trace::Recorder;
use parking_lot::Mutex;

use super::words::count;
use crate::panics::contain;

/// How often snapshots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// After so many inputs.
    Inputs(usize),
    /// After such a time, with the next input.
    Time(Duration),
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Every, String> {
        let number = text.trim().trim_end_matches("inputs").trim_end();
        let every = match number.parse() {
            Ok(inputs) => Some(Every::Inputs(inputs)),
            Err(_) => parse_duration(text).ok().map(Every::Time),
        };
        let is_never = |every: &Every| {
            matches!(every, Every::Inputs(0)) || *every == Every::Time(Duration::ZERO)
        };
        every
            .filter(|every| !is_never(every))
            .ok_or_else(|| "write a number of inputs, e.g. 1000, or a time, e.g. 5s".to_owned())
    }
}

impl fmt::Display for Every {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Inputs(inputs) => write!(formatter, "{inputs} inputs"),
            Every::Time(time) => formatter.write_str(&show_duration(*time)),
        }
    }
}

/// Takes snapshots while inputs are sent.
pub(crate) struct Snapshots<'a> {
    every: Every,
    host: Host,
    instances: Box<dyn Fn() -> Vec<InstanceId> + 'a>,
    keep: Box<dyn Fn(Snapshot) + 'a>,
    /// Since the last ones.
    inputs: usize,
    last: Instant,
    taken: Arc<Mutex<SnapshotsTaken>>,
}

/// Counts of snapshots that were taken and refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct SnapshotsTaken {
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    /// Why the first was refused that was.
    pub(crate) reason: Option<String>,
}

impl<'a> Snapshots<'a> {
    /// Takes the first ones, of the instances there are then, and hands them to `keep`.
    pub(crate) fn start(
        every: Every,
        host: &Host,
        instances: impl Fn() -> Vec<InstanceId> + 'a,
        keep: impl Fn(Snapshot) + 'a,
    ) -> Snapshots<'a> {
        Snapshots::counted(every, host, instances, keep, Arc::default())
    }

    /// The same, counted where others can look, too.
    fn counted(
        every: Every,
        host: &Host,
        instances: impl Fn() -> Vec<InstanceId> + 'a,
        keep: impl Fn(Snapshot) + 'a,
        taken: Arc<Mutex<SnapshotsTaken>>,
    ) -> Snapshots<'a> {
        let mut snapshots = Snapshots {
            every,
            host: host.clone(),
            instances: Box::new(instances),
            keep: Box::new(keep),
            inputs: 0,
            last: Instant::now(),
            taken,
        };
        snapshots.take();
        snapshots
    }

    /// So many inputs were sent.
    pub(crate) fn sent(&mut self, inputs: usize) {
        self.inputs += inputs;
        let is_due = match self.every {
            Every::Inputs(inputs) => self.inputs >= inputs,
            Every::Time(time) => self.inputs > 0 && self.last.elapsed() >= time,
        };
        if is_due {
            self.take();
        }
    }

    fn take(&mut self) {
        for instance in (self.instances)() {
            let host = &self.host;
            // The thread that takes them goes on after a panic, too.
            let taken = contain(|| {
                let snapshot = host.snapshot(instance).wait();
                snapshot.map(&self.keep).map_err(|outcome| outcome.to_string())
            });
            let mut counts = self.taken.lock();
            match taken.flatten() {
                Ok(()) => counts.taken += 1,
                Err(reason) => {
                    counts.refused += 1;
                    counts.reason.get_or_insert(reason);
                }
            }
        }
        self.inputs = 0;
        self.last = Instant::now();
    }

    pub(crate) fn finish(self) -> SnapshotsTaken {
        self.taken.lock().clone()
    }
}

impl SnapshotsTaken {
    /// For people.
    pub(crate) fn line(&self) -> String {
        let mut text = format!("{} of states taken", count(self.taken, "snapshot"));
        if let Some(reason) = &self.reason {
            text.push_str(&format!("; {} not, the first: {reason}", self.refused));
        }
        text
    }
}

/// Counts inputs for a [`Keeper`], on the threads of plugins.
#[derive(Debug)]
pub(super) struct Ticker {
    every: Every,
    inputs: AtomicUsize,
    is_over: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Ticker {
    /// An input went to a plugin.
    pub(super) fn input(&self) {
        let inputs = self.inputs.fetch_add(1, Ordering::Relaxed) + 1;
        if matches!(self.every, Every::Inputs(every) if inputs >= every) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.wake();
    }
}

/// Takes snapshots into a recording until it is finished or dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) ticker: Arc<Ticker>,
    taken: Arc<Mutex<SnapshotsTaken>>,
    /// Gone once the thread is.
    thread: Receiver<()>,
}

/// How long the end of a recording waits for the snapshot that is being taken, and thus for the call of
/// a plugin, which may never return.
const PATIENCE: Duration = Duration::from_secs(2);

impl Keeper {
    /// Starts the thread, which takes snapshots of all instances.
    ///
    /// # Errors
    ///
    /// If there can be no thread.
    pub(super) fn start(
        every: Every,
        host: Host,
        recorder: Arc<Recorder>,
    ) -> std::io::Result<Keeper> {
        let ticker = Arc::new(Ticker {
            every,
            inputs: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let counted = Arc::clone(&ticker);
        let taken: Arc<Mutex<SnapshotsTaken>> = Arc::default();
        let counts = Arc::clone(&taken);
        let (lives, thread) = sync_channel(1);
        let builder = std::thread::Builder::new().name("glovebox snapshots".to_owned());
        builder.spawn(move || {
            let _lives: SyncSender<()> = lives;
            counted.thread.get_or_init(std::thread::current);
            let all = || host.plugins().iter().map(|plugin| plugin.instance).collect();
            let keep = |snapshot| recorder.keep_snapshot(snapshot);
            let mut snapshots = Snapshots::counted(every, &host, all, keep, counts);
            while !counted.is_over.load(Ordering::Acquire) {
                snapshots.sent(counted.inputs.swap(0, Ordering::Relaxed));
                match every {
                    Every::Inputs(_) => std::thread::park(),
                    Every::Time(time) => std::thread::park_timeout(time),
                }
            }
        })?;
        Ok(Keeper { ticker, taken, thread })
    }

    /// Ends the thread; waits for the snapshot that is being taken, but not for long.
    pub(super) fn finish(self) -> SnapshotsTaken {
        self.ticker.end();
        // Nothing is ever sent: it waits for the end of the thread.
        let is_stuck = self.thread.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        let mut taken = self.taken.lock().clone();
        if is_stuck {
            taken.refused += 1;
            taken.reason.get_or_insert_with(|| "a call did not return".to_owned());
        }
        taken
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.ticker.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_one_is_taken_ends_no_recording() {
        let host = Host::builder().build().unwrap();
        let path = crate::assets::plugin("stats").unwrap();
        let instance = host.load(glovebox_host::LoadRequest::path(path)).wait().unwrap();
        let keep = |_| panic!("no room");
        let mut snapshots = Snapshots::start(Every::Inputs(1), &host, || vec![instance], keep);
        snapshots.sent(1);
        let expected = "0 snapshots of states taken; 2 not, the first: a fault of Glovebox itself: \
                        no room";
        assert_eq!(snapshots.finish().line(), expected);
    }

    #[test]
    fn settings_are_read_and_shown() {
        fn check(text: &str, expected: Option<(Every, &str)>) {
            let every = text.parse::<Every>().ok();
            assert_eq!(every, expected.map(|(every, _)| every), "{text}");
            if let Some((every, shown)) = expected {
                assert_eq!(every.to_string(), shown);
                assert_eq!(shown.parse(), Ok(every));
            }
        }
        check("1000", Some((Every::Inputs(1000), "1000 inputs")));
        check("5s", Some((Every::Time(Duration::from_secs(5)), "5 s")));
        check("0", None);
        check("0 s", None);
        check("often", None);
        check("", None);
    }
}
