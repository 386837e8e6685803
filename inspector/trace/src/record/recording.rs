//! The thread that writes the events of a [`Ring`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_events::{Event, weight};

use super::recorder::ThreadState;
use super::ring::{Batch, Ring, WaitingSnapshot};
use super::segments::{Refused, Segments};
use super::syncer::Lag;
use crate::plugins::loaded_instance;
use crate::{GapCause, PluginRecord, TraceError};

/// How often a recording does what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Events are in the file after this long.
    pub(crate) flush: Duration,
    /// Events are on the disk after this long.
    pub(crate) sync: Duration,
    /// How long after a failure the next try is, at first; each failure in a row doubles it, up to
    /// sixteen times as long.
    pub(crate) retry: Duration,
}

impl Pace {
    /// At most 250 ms are lost when the process dies and 1 s when the power fails; this leaves
    /// some for the work itself.
    pub(crate) const USUAL: Pace = Pace {
        flush: Duration::from_millis(200),
        sync: Duration::from_millis(750),
        retry: Duration::from_millis(100),
    };
}

/// Bytes of events after which callers that wait for room are told.
const RELEASE_EVERY: usize = 256 << 10;

/// The thread's side of a recorder.
pub(crate) struct Recording {
    ring: Arc<Ring>,
    segments: Segments,
    shared: Arc<ThreadState>,
    pace: Pace,
    flushed: Instant,
    /// When the last sync started.
    synced: Instant,
    /// Something was recorded that must survive a loss of power at once, and is not synced yet.
    urgent: bool,
    trouble: Option<Trouble>,
    /// Snapshots written.
    snapshots: u64,
}

/// The last failure.
struct Trouble {
    message: String,
    /// Failures since the last success.
    failures: u32,
    retry: Instant,
}

impl Recording {
    pub(crate) fn new(
        ring: Arc<Ring>,
        segments: Segments,
        shared: Arc<ThreadState>,
        pace: Pace,
    ) -> Recording {
        let now = Instant::now();
        let (flushed, synced) = (now, now);
        let recording = Recording {
            ring,
            segments,
            shared,
            pace,
            flushed,
            synced,
            urgent: false,
            trouble: None,
            snapshots: 0,
        };
        recording.publish();
        recording
    }

    /// Writes until the end is asked for.
    pub(crate) fn run(mut self) {
        loop {
            let closing = self.ring.wait(self.next_look());
            // A refused write is tried again after a pause, like one that fails at once.
            if self.settle(Duration::ZERO) {
                match self.step() {
                    Ok(()) => self.end_trouble(),
                    Err(error) => self.take_note(&error),
                }
            }
            self.publish();
            if !closing {
                continue;
            }
            let is_waiting = self.segments.is_syncing() && !self.segments.is_stuck();
            if self.trouble.is_some() || self.ring.is_empty() && !is_waiting {
                break;
            }
            // The end has to wait for the disk, but what comes meanwhile has not.
            self.settle(self.pace.flush.min(Duration::from_millis(20)));
        }
        self.finish();
    }

    /// When there is something to do although no event comes.
    fn next_look(&self) -> Option<Instant> {
        match &self.trouble {
            Some(trouble) => Some(trouble.retry),
            None if self.segments.is_synced() => {
                self.ring.is_roomy().then(|| self.synced + self.pace.sync)
            }
            None => {
                let flush = (!self.segments.is_flushed()).then(|| self.flushed + self.pace.flush);
                // While the disk is asked, its answer comes by itself.
                let sync = (!self.segments.is_syncing()).then(|| self.synced + self.pace.sync);
                flush.into_iter().chain(sync).min()
            }
        }
    }

    /// Takes in what the disk did meanwhile, and waits so long for it. False if it refused anything.
    fn settle(&mut self, wait: Duration) -> bool {
        let refused = self.segments.settle(wait);
        for Refused { error, lost } in &refused {
            self.take_note(error);
            if let Some((lost, cause)) = *lost {
                self.ring.owe(lost, cause);
            }
        }
        refused.is_empty()
    }

    fn step(&mut self) -> Result<(), TraceError> {
        if self.trouble.is_some() {
            // Nothing is taken out of memory before the disk takes what it refused.
            self.segments.writer()?.flush()?;
            self.segments.retry();
        }
        if self.segments.is_synced() {
            // There was nothing to flush and to sync.
            if self.synced.elapsed() >= self.pace.sync {
                self.ring.shrink();
            }
            (self.flushed, self.synced) = (Instant::now(), Instant::now());
        }
        let batch = self.ring.take();
        self.urgent |= batch.urgent;
        self.write(batch)?;
        let is_due = self.urgent || self.synced.elapsed() >= self.pace.sync;
        if is_due || self.flushed.elapsed() >= self.pace.flush {
            self.segments.flush()?;
            self.flushed = Instant::now();
        }
        // The next one starts as soon as a slow one is over.
        if is_due && !self.segments.is_syncing() {
            self.segments.start_sync();
            self.synced = Instant::now();
            self.urgent = false;
        }
        Ok(())
    }

    /// Writes a batch; what cannot be written is in the ring again.
    fn write(&mut self, mut batch: Batch) -> Result<(), TraceError> {
        let mut written = 0;
        let result = loop {
            match self.write_next(&mut batch) {
                Ok(0) => break Ok(()),
                Ok(weight) => written += weight,
                Err(error) => break Err(error),
            }
            if written >= RELEASE_EVERY {
                self.ring.release(std::mem::take(&mut written));
            }
        };
        match &result {
            Ok(()) => self.ring.recycle(batch),
            Err(_) => self.ring.put_back(batch),
        }
        if written > 0 {
            self.ring.release(written);
        }
        result
    }

    /// Writes the first thing of a batch and takes it out; gives the weight of the events, 0 at
    /// the end.
    fn write_next(&mut self, batch: &mut Batch) -> Result<usize, TraceError> {
        while let Some(plugin) = batch.plugins.first() {
            self.segments.describe(plugin)?;
            batch.plugins.remove(0);
        }
        if let Some((lost, cause)) = batch.gap {
            self.segments.writer()?.write_gap(lost, cause)?;
            batch.gap = None;
        }
        self.write_snapshots(batch)?;
        let Some(event) = batch.events.front() else {
            return Ok(0);
        };
        match self.segments.writer()?.write(event) {
            Ok(()) => {}
            Err(TraceError::Encode { .. }) => self.ring.owe(1, GapCause::NotEncodable),
            Err(error) => return Err(error),
        }
        let weight = weight::event(event);
        if let Some(plugin) = described_by(event) {
            self.segments.remember(plugin);
        }
        batch.events.pop_front();
        Ok(weight)
    }

    /// Writes the snapshots that are due before the first event of a batch; at its end, all of them.
    fn write_snapshots(&mut self, batch: &mut Batch) -> Result<(), TraceError> {
        let next = batch.events.front().map(|event| event.sequence);
        while let Some(WaitingSnapshot { after, snapshot }) = batch.snapshots.front() {
            if next.is_some_and(|next| next <= *after) {
                break;
            }
            let written = self.segments.writer()?.write_snapshot(snapshot);
            match &written {
                Ok(()) => self.snapshots += 1,
                Err(TraceError::Encode { .. }) => {}
                Err(_) => return written,
            }
            self.ring.release_snapshot(snapshot, written.is_ok());
            batch.snapshots.pop_front();
        }
        Ok(())
    }

    fn end_trouble(&mut self) {
        if self.trouble.take().is_some() {
            self.ring.set_trouble(None);
        }
    }

    fn take_note(&mut self, error: &TraceError) {
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let after = self.pace.retry.saturating_mul(1 << (failures - 1).min(4));
        let message = error.to_string();
        self.trouble = Some(Trouble { message, failures, retry: Instant::now() + after });
        self.ring.set_trouble(Some(cause_of(error)));
    }

    fn publish(&self) {
        let mut status = self.shared.status.lock();
        status.path = self.segments.newest().to_owned();
        status.segments = self.segments.count();
        status.bytes = self.segments.bytes();
        status.events = self.segments.events();
        status.synced = self.segments.synced();
        let Lag { late, longest } = self.segments.lag();
        (status.late_syncs, status.slowest_sync) = (late, longest);
        status.snapshots = self.snapshots;
        status.trouble = self.trouble.as_ref().map(|trouble| trouble.message.clone());
        if let Some(trouble) = &status.trouble {
            status.last_trouble = Some(trouble.clone());
        }
    }

    fn finish(mut self) {
        let missing = self.ring.close();
        if self.shared.is_unwanted.load(Ordering::Acquire) {
            self.segments.discard();
            self.publish();
            return;
        }
        let told = match missing {
            Some((lost, cause)) => {
                self.segments.writer().and_then(|writer| writer.write_gap(lost, cause))
            }
            None => Ok(()),
        };
        let finished = told.and_then(|()| self.segments.finish());
        match &finished {
            Ok(_) => self.trouble = None,
            Err(error) => self.take_note(error),
        }
        self.publish();
        self.shared.status.lock().finished = finished.is_ok();
    }
}

fn cause_of(error: &TraceError) -> GapCause {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error {
        TraceError::Io { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge) =>
        {
            GapCause::DiskFull
        }
        TraceError::Removed { .. } => GapCause::FileRemoved,
        _ => GapCause::DiskFailed,
    }
}

/// The record of a loaded plugin, which later files repeat.
fn described_by(event: &Event) -> Option<PluginRecord> {
    let instance = loaded_instance(event)?;
    Some(PluginRecord {
        version: instance.version.clone(),
        digest: instance.digest.clone(),
        binding: instance.binding,
        instances: vec![instance],
        ..PluginRecord::of_id(&event.plugin)
    })
}
