//! A call on the caller's own thread.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_abi::manifest::OnFailure;
use glovebox_events::{CallId, Outcome, ReloadCause};

use super::Host;
use crate::Frames;
use crate::chain::{Chain, OUTSIDE};
use crate::dispatch::Refusal;
use crate::registry::InstanceId;
use crate::seat::Held;
use crate::slot::{Carry, Slot};

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Which call, as events name it; 0 if no sink takes events.
    pub call: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// What the plugin answered. Empty if it did not complete, unless its manifest says
    /// `on-failure = "fail-open"`: then it is the frame that was given.
    pub frames: Frames,
}

impl Default for Reply {
    /// An empty answer of no call.
    fn default() -> Reply {
        Reply { call: CallId(0), outcome: Outcome::Completed, frames: Frames::new() }
    }
}

impl Host {
    /// Gives a frame to an instance on this thread and waits for its answer: the fast path.
    ///
    /// Waits for a call that is under way on another thread. Not for asynchronous code, nor for a
    /// thread that draws a window: they use [`dispatch_to`](Self::dispatch_to) and
    /// [`try_dispatch_to`](Self::try_dispatch_to).
    pub fn call(&self, id: InstanceId, frame: &Frame) -> Reply {
        // Written in place: a reply is too large to be moved about.
        let mut reply = Reply::default();
        match self.inner.registry.seat(id) {
            Some((seat, false)) => match seat.hold(id) {
                Some(mut held) => {
                    self.call_held(&mut held, frame, Duration::ZERO, &OUTSIDE, &mut reply);
                }
                None => reply = self.gone(),
            },
            Some((_, true)) => self.call_by_slot(id, frame, &mut reply),
            None => reply = self.gone(),
        }
        if !reply.outcome.is_completed()
            && let Some(slot) = self.slot(id)
        {
            self.after_failure(&slot, frame, &OUTSIDE, &mut reply);
        }
        reply
    }

    /// Does what the manifest says about failed calls. No copy may be held.
    #[cold]
    pub(super) fn after_failure(
        &self,
        slot: &Arc<Slot>,
        frame: &Frame,
        chain: &Chain,
        reply: &mut Reply,
    ) {
        if reply.outcome.is_refused() {
            return;
        }
        match slot.current().prepared.manifest.lifecycle.on_failure {
            OnFailure::FailClosed => {}
            OnFailure::FailOpen => reply.frames.push(frame.clone()),
            OnFailure::Reload => {
                // If it cannot be loaded anew, the failure stands, and an event says why.
                if self.replace(slot, ReloadCause::Restart, Carry::Current).is_err() {
                    return;
                }
                if let Some(mut held) = slot.hold_any() {
                    *reply = Reply::default();
                    self.call_held(&mut held, frame, Duration::ZERO, chain, reply);
                }
            }
        }
    }

    #[cold]
    fn call_by_slot(&self, id: InstanceId, frame: &Frame, reply: &mut Reply) {
        let Some(slot) = self.slot(id) else {
            *reply = self.gone();
            return;
        };
        if !slot.queue.is_open() {
            *reply = self.refused(&Refusal::Draining { plugin: slot.plugin.to_string() });
            return;
        }
        // What goes wrong becomes the fault of the instance, and the reason of a refusal.
        let _ = self.wake(&slot);
        match slot.hold_any() {
            Some(mut held) => self.call_held(&mut held, frame, Duration::ZERO, &OUTSIDE, reply),
            None => *reply = self.gone(),
        }
    }

    #[cold]
    pub(super) fn gone(&self) -> Reply {
        self.refused(&Refusal::Gone)
    }

    pub(super) fn refused(&self, refusal: &Refusal) -> Reply {
        let reason = refusal.to_string();
        let call = self.inner.surroundings.journal.next_call();
        Reply { call, outcome: Outcome::Refused { reason }, frames: Frames::new() }
    }

    #[inline]
    pub(super) fn call_held(
        &self,
        held: &mut Held<'_>,
        frame: &Frame,
        queue: Duration,
        chain: &Chain,
        reply: &mut Reply,
    ) {
        let running = held.running();
        running.call(frame, queue, reply);
        if !running.emitted.is_empty() {
            let chain = chain.next();
            for frame in running.emitted.drain(..) {
                self.pass_on(&running.slot, frame, &chain);
            }
        }
    }
}
