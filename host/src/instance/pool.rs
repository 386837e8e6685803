//! The copies of one instance: a pool from which each call takes one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use glovebox_events::Phase;

use super::copy::{CopyCell, CopyGuard, PluginCopy, Unheld};
use super::copy_status::{Care, CopyStatus};
use super::generation::Generation;
use super::support::CopySupport;
use crate::id::InstanceId;

/// See the module.
pub(super) struct Pool {
    id: InstanceId,
    /// Where the copies run; the first is the one that the registry knows.
    cells: Box<[Arc<CopyCell>]>,
    /// The status of each copy, for those who do not hold it.
    statuses: Box<[Arc<CopyStatus>]>,
    /// The index of the copy whose turn it is.
    turn: AtomicUsize,
}

impl Pool {
    /// As many copies as asked for, none of which runs yet; the first in a cell of the registry.
    pub(super) fn new(
        first: Arc<CopyCell>,
        copies: u32,
        support: &Arc<CopySupport>,
        generation: &Arc<Generation>,
    ) -> Pool {
        let others = (1..copies).map(|_| Arc::default());
        let cells: Box<[Arc<CopyCell>]> = [first].into_iter().chain(others).collect();
        let statuses: Box<[_]> = (0..copies).map(|copy| Arc::new(CopyStatus::new(copy))).collect();
        for (cell, status) in cells.iter().zip(&statuses) {
            cell.put(support.clone(), status.clone(), generation.clone());
        }
        Pool { id: support.shared.instance, cells, statuses, turn: AtomicUsize::new(0) }
    }

    /// The number of copies.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = &CopyStatus> {
        self.statuses.iter().map(|status| &**status)
    }

    /// A copy for the next call: the first free one, from the one whose turn it is. If none is
    /// free, waits for the first one that this thread does not hold itself. `None` if the instance is
    /// gone, or it holds them all.
    pub(super) fn hold_any(&self) -> Option<CopyGuard<'_>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let cell = |offset: usize| &self.cells[turn.wrapping_add(offset) % self.cells.len()];
        let free = (0..self.cells.len()).find_map(|offset| cell(offset).try_hold(self.id));
        free.or_else(|| {
            (0..self.cells.len()).map(cell).find(|cell| !cell.is_held_here())?.hold(self.id)
        })
    }

    /// True if this thread holds all copies.
    pub(super) fn is_held_here(&self) -> bool {
        self.cells.iter().all(|cell| cell.is_held_here())
    }

    /// True if this thread holds any copy.
    pub(super) fn is_one_held_here(&self) -> bool {
        self.cells.iter().any(|cell| cell.is_held_here())
    }

    /// One certain copy. `None` if the instance is gone.
    pub(super) fn hold(&self, copy: usize) -> Option<CopyGuard<'_>> {
        self.cells[copy].hold(self.id)
    }

    /// One certain copy, if the call under way ends by then.
    pub(super) fn hold_until(&self, copy: usize, until: Instant) -> Result<CopyGuard<'_>, Unheld> {
        self.cells[copy].hold_until(self.id, until)
    }

    /// All copies at once, in order, so that they stand still, if the calls under way end by then.
    pub(super) fn hold_all_until(&self, until: Instant) -> Result<Vec<CopyGuard<'_>>, Unheld> {
        self.cells.iter().map(|cell| cell.hold_until(self.id, until)).collect()
    }

    /// All copies at once, in order, so that they stand still. `None` if the instance is gone.
    pub(super) fn hold_all(&self) -> Option<Vec<CopyGuard<'_>>> {
        self.cells.iter().map(|cell| cell.hold(self.id)).collect()
    }

    /// Gives each copy some care: one that is free now, and one that works after its call.
    pub(super) fn care(&self, care: Care) {
        for (cell, status) in self.cells.iter().zip(&self.statuses) {
            status.is_due(care);
            if let Some(mut held) = cell.try_hold(self.id) {
                held.copy().care();
            }
        }
    }

    /// Takes the copies out, one after the other; waits for the call under way of each.
    pub(super) fn take_all(&self) -> impl Iterator<Item = PluginCopy> {
        self.cells.iter().filter_map(|cell| cell.take(self.id))
    }

    /// Lets no frame wait for a restart any longer: the copies are about to end for good.
    pub(super) fn end_waits(&self) {
        self.statuses().for_each(CopyStatus::end_waits);
    }

    /// Starts fresh copies now for frames that wait for them.
    pub(super) fn hurry(&self) {
        self.statuses().for_each(CopyStatus::hurry);
    }

    /// True while somebody holds a copy.
    pub(super) fn is_held(&self) -> bool {
        self.cells.iter().any(|cell| cell.is_held())
    }

    /// Why a copy cannot go on.
    pub(super) fn fault(&self) -> Option<String> {
        self.statuses().find_map(CopyStatus::fault)
    }

    /// The phase of the copy that is worst off.
    pub(super) fn phase(&self) -> Phase {
        let worst = [
            Phase::Quarantined,
            Phase::Faulted,
            Phase::Restarting,
            Phase::Found,
            Phase::Loaded,
            Phase::Initializing,
            Phase::Draining,
            Phase::Ready,
        ];
        let phases: Vec<Phase> = self.statuses().map(CopyStatus::phase).collect();
        let phase = worst.into_iter().find(|phase| phases.contains(phase)).unwrap_or(phases[0]);
        let is_busy = phase == Phase::Ready && self.is_held();
        if is_busy { Phase::Busy } else { phase }
    }
}
