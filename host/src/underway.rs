//! The loads that are under way, and a way to end each of them wherever it is.
//!
//! A load [begins](Underway), [enters](Underway::enters) one stage after the other, and says of each
//! piece of work that takes long [what ends it](Underway::ended_by). It deliberately ends nothing by force:
//! what a stage does in this process, such as reading a file, is done before the load looks again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_events::LoadStage;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::guard::caught;
use crate::problem::{LoadError, LoadProblem, Origin, shorten};

/// A load or reload that is under way; see [`Host::loads`](crate::Host::loads).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadStatus {
    /// Names it in [`Host::cancel_load`](crate::Host::cancel_load).
    pub id: u64,
    /// Where the artifact comes from, as it was asked for.
    pub origin: Origin,
    /// The stage that it is in; [`LoadStage::Read`] also while it waits for its turn.
    pub stage: LoadStage,
    /// How long it has been under way.
    pub elapsed: Duration,
    /// True if it was cancelled, and ends soon.
    pub is_cancelled: bool,
}

/// `loading a.so: link, 3 s`.
impl fmt::Display for LoadStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, elapsed) = (shorten(&self.origin.name()), self.elapsed.as_secs());
        write!(formatter, "loading {name}: {}, {elapsed} s", self.stage)
    }
}

/// All loads of a host that are under way.
#[derive(Default)]
pub(crate) struct Loads(Arc<Mutex<Listed>>);

#[derive(Default)]
struct Listed {
    last_id: u64,
    /// True once all were cancelled.
    is_over: bool,
    loads: BTreeMap<u64, Load>,
}

struct Load {
    origin: Origin,
    started: Instant,
    stage: LoadStage,
    is_cancelled: bool,
    /// The ways to end the work that it waits for, by their numbers.
    ends: BTreeMap<u64, End>,
    cancelled: Arc<Notify>,
}

type End = Arc<dyn Fn() + Send + Sync>;

impl Load {
    /// Cancels it, and gives what is to be called for that without the lock.
    fn cancel(&mut self) -> Vec<End> {
        self.is_cancelled = true;
        // Somebody who comes to wait for it later is not kept either.
        self.cancelled.notify_one();
        self.ends.values().cloned().collect()
    }
}

impl Loads {
    pub(crate) fn begin(&self, origin: Origin) -> Underway {
        let mut listed = self.0.lock();
        listed.last_id += 1;
        let id = listed.last_id;
        let mut load = Load {
            origin,
            started: Instant::now(),
            stage: LoadStage::Read,
            is_cancelled: false,
            ends: BTreeMap::new(),
            cancelled: Arc::default(),
        };
        if listed.is_over {
            load.cancel();
        }
        let (started, cancelled) = (load.started, load.cancelled.clone());
        listed.loads.insert(id, load);
        Underway { listed: self.0.clone(), id, started, cancelled }
    }

    /// Ends a load. `false` if it is done, or was cancelled before.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let ends = match self.0.lock().loads.get_mut(&id) {
            Some(load) if !load.is_cancelled => load.cancel(),
            _ => return false,
        };
        call(ends);
        true
    }

    /// Ends all of them, and those that begin later.
    pub(crate) fn cancel_all(&self) {
        let ends: Vec<End> = {
            let mut listed = self.0.lock();
            listed.is_over = true;
            listed.loads.values_mut().flat_map(Load::cancel).collect()
        };
        call(ends);
    }

    pub(crate) fn list(&self) -> Vec<LoadStatus> {
        let listed = self.0.lock();
        let status = |(id, load): (&u64, &Load)| LoadStatus {
            id: *id,
            origin: load.origin.clone(),
            stage: load.stage,
            elapsed: load.started.elapsed(),
            is_cancelled: load.is_cancelled,
        };
        listed.loads.iter().map(status).collect()
    }
}

fn call(ends: Vec<End>) {
    for end in ends {
        if let Err(reason) = caught(|| end()) {
            tracing::error!(reason, "the end of a load panicked");
        }
    }
}

/// One load, for the threads that do it. It is under way until this goes.
pub(crate) struct Underway {
    listed: Arc<Mutex<Listed>>,
    id: u64,
    started: Instant,
    cancelled: Arc<Notify>,
}

impl Underway {
    /// Goes on to the next stage.
    ///
    /// # Errors
    ///
    /// [`LoadProblem::Cancelled`] if somebody cancelled the load.
    pub(crate) fn enters(&self, stage: LoadStage) -> Result<(), LoadProblem> {
        let mut listed = self.listed.lock();
        let Some(load) = listed.loads.get_mut(&self.id) else { return Ok(()) };
        load.stage = stage;
        if load.is_cancelled { Err(self.problem()) } else { Ok(()) }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.listed.lock().loads.get(&self.id).is_some_and(|load| load.is_cancelled)
    }

    fn problem(&self) -> LoadProblem {
        LoadProblem::Cancelled { elapsed: self.started.elapsed() }
    }

    /// Calls `end` when the load is cancelled, or at once if it was, until what is returned goes. It may
    /// be called on any thread, and more than once.
    pub(crate) fn ended_by(&self, end: impl Fn() + Send + Sync + 'static) -> Ending<'_> {
        let end: End = Arc::new(end);
        let number = {
            let mut listed = self.listed.lock();
            listed.last_id += 1;
            let number = listed.last_id;
            if let Some(load) = listed.loads.get_mut(&self.id) {
                load.ends.insert(number, end.clone());
            }
            number
        };
        if self.is_cancelled() {
            call(vec![end]);
        }
        Ending { load: self, number }
    }

    /// Waits until the load is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }

    /// The error of a load that did not get further: that it was cancelled, if it was.
    pub(crate) fn explain(&self, error: LoadError) -> LoadError {
        let is_told = matches!(
            error.problem(),
            LoadProblem::CompileCancelled { .. } | LoadProblem::Cancelled { .. }
        );
        match self.is_cancelled() && !is_told {
            true => LoadError::new(error.stage(), error.origin().cloned(), self.problem()),
            false => error,
        }
    }

    /// The load is done, and nobody can cancel it from here on.
    ///
    /// # Errors
    ///
    /// [`LoadProblem::Cancelled`] if somebody did before.
    pub(crate) fn finish(self) -> Result<(), LoadProblem> {
        let load = self.listed.lock().loads.remove(&self.id);
        match load.is_some_and(|load| load.is_cancelled) {
            true => Err(self.problem()),
            false => Ok(()),
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.listed.lock().loads.remove(&self.id);
    }
}

/// Work that a cancellation ends.
#[must_use]
pub(crate) struct Ending<'a> {
    load: &'a Underway,
    number: u64,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(load) = self.load.listed.lock().loads.get_mut(&self.load.id) {
            load.ends.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_cancellation_ends_what_is_at_work_and_what_comes_later() {
        let loads = Loads::default();
        let ended = Arc::new(AtomicU32::new(0));
        let end = |ended: &Arc<AtomicU32>| {
            let ended = ended.clone();
            move || {
                ended.fetch_add(1, Ordering::Relaxed);
            }
        };
        let count = || ended.load(Ordering::Relaxed);
        let load = loads.begin(Origin::Application);
        // Work that is done by then is left alone.
        drop(load.ended_by(end(&ended)));
        let work = load.ended_by(end(&ended));
        assert!(load.enters(LoadStage::Link).is_ok());
        let [status] = &loads.list()[..] else { panic!("one is under way") };
        assert_eq!((status.stage, status.is_cancelled), (LoadStage::Link, false));
        assert!(loads.cancel(status.id) && !loads.cancel(status.id));
        assert_eq!(count(), 1);
        drop(work);
        drop(load.ended_by(end(&ended)));
        assert_eq!(count(), 2);
        assert!(matches!(load.enters(LoadStage::Probe), Err(LoadProblem::Cancelled { .. })));
        assert!(load.finish().is_err() && loads.list().is_empty());
        // One that is done cannot be cancelled.
        let load = loads.begin(Origin::Application);
        let id = loads.list()[0].id;
        assert!(load.finish().is_ok() && !loads.cancel(id));
        // Nothing begins after the end of all.
        loads.cancel_all();
        assert!(loads.begin(Origin::Application).enters(LoadStage::Read).is_err());
    }
}
