//! A call on the caller's own thread.

use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_abi::manifest::OnFailure;
use glovebox_events::Outcome;

use super::Host;
use super::plan::Plan;
use crate::frames::Frames;
use crate::id::InstanceId;
use crate::instance::{Carry, Chain, CopyGuard, Instance, OUTSIDE, Refusal};
use crate::reply::Reply;

impl Host {
    /// Gives a frame to an instance on this thread and waits for its answer: the fast path.
    ///
    /// Waits for a call that is under way on another thread. One from inside of a call of the same
    /// instance on this thread, as by a function of the application or a sink, is refused
    /// ([`Refusal::CalledFromInside`]). Not for asynchronous code, nor for a
    /// thread that draws a window: they use [`dispatch_to`](Self::dispatch_to) and
    /// [`try_dispatch_to`](Self::try_dispatch_to).
    pub fn call(&self, id: InstanceId, frame: &Frame) -> Reply {
        // Written in place: a reply is too large to be moved about.
        let mut reply = Reply::default();
        match self.inner.registry.cell(id) {
            Some((cell, false)) if cell.is_held_here() => reply = self.called_from_inside(id),
            Some((cell, false)) => match cell.hold(id) {
                Some(mut held) => {
                    self.call_held(&mut held, frame, Duration::ZERO, &OUTSIDE, &mut reply);
                }
                None => reply = self.gone(),
            },
            Some((_, true)) => self.call_through_instance(id, frame, &mut reply),
            None => reply = self.gone(),
        }
        if !reply.outcome.is_completed()
            && let Some(instance) = self.instance(id)
        {
            self.after_failure(&instance, frame, &OUTSIDE, &mut reply);
        }
        reply
    }

    /// Does what the manifest says about failed calls. No copy may be held.
    #[cold]
    pub(super) fn after_failure(
        &self,
        instance: &Arc<Instance>,
        frame: &Frame,
        chain: &Chain,
        reply: &mut Reply,
    ) {
        if reply.outcome.is_refused() {
            return;
        }
        match instance.current().prepared.manifest.lifecycle.on_failure {
            OnFailure::FailClosed => {}
            OnFailure::FailOpen => reply.frames.push(frame.clone()),
            OnFailure::Reload => {
                // If it cannot be loaded anew, the failure stands, and an event says why.
                let plan = |_: &Instance| Some(Plan::after_failure(Carry::Current));
                if self.replace(instance, plan).is_err() {
                    return;
                }
                if let Some(mut held) = instance.hold_any() {
                    *reply = Reply::default();
                    self.call_held(&mut held, frame, Duration::ZERO, chain, reply);
                }
            }
        }
    }

    #[cold]
    fn call_through_instance(&self, id: InstanceId, frame: &Frame, reply: &mut Reply) {
        let Some(instance) = self.instance(id) else {
            *reply = self.gone();
            return;
        };
        if !instance.queue.is_open() {
            *reply = self.refused(&Refusal::Draining { plugin: instance.plugin.to_string() });
            return;
        }
        if instance.is_held_here() {
            *reply = self.called_from_inside(id);
            return;
        }
        // A failure becomes the fault of the instance, and the reason of a refusal.
        let _ = self.wake(&instance);
        match instance.hold_any() {
            Some(mut held) => self.call_held(&mut held, frame, Duration::ZERO, &OUTSIDE, reply),
            None => *reply = self.gone(),
        }
    }

    #[cold]
    fn called_from_inside(&self, id: InstanceId) -> Reply {
        match self.instance(id) {
            Some(instance) => {
                let plugin = instance.plugin.to_string();
                self.refused(&Refusal::CalledFromInside { plugin })
            }
            None => self.gone(),
        }
    }

    #[cold]
    pub(super) fn gone(&self) -> Reply {
        self.refused(&Refusal::Gone)
    }

    pub(super) fn refused(&self, refusal: &Refusal) -> Reply {
        let reason = refusal.to_string();
        let call = self.inner.resources.journal.next_call();
        Reply { call, outcome: Outcome::Refused { reason }, frames: Frames::new() }
    }

    #[inline]
    pub(super) fn call_held(
        &self,
        held: &mut CopyGuard<'_>,
        frame: &Frame,
        queue: Duration,
        chain: &Chain,
        reply: &mut Reply,
    ) {
        let copy = held.copy();
        copy.call(frame, queue, reply);
        if copy.has_emitted() {
            let chain = chain.next();
            for frame in copy.take_emitted() {
                self.pass_on(copy, frame, &chain);
            }
        }
    }
}
