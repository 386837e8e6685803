//! One copy of a plugin, the cell in which it runs, and a call of it.
//!
//! [`CopyCell`] is a lock with room for one [`PluginCopy`]; [`CopyGuard`] is the copy for the
//! holder of the lock. A copy knows the data that all copies of its instance share, and its own
//! cell, but not the instance.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use glovebox_abi::text::cut;
use glovebox_abi::{Frame, Kind, Permission, State};
use glovebox_events::{CallId, NoteKind, Outcome, Timing, What};

use super::back_off::BackOff;
use super::candidate::CanaryCopy;
use super::chain::{Chain, Teller};
use super::copy_status::{CopyStatus, bump};
use super::generation::Generation;
use super::held::{HeldGuard, HeldLock};
use super::support::CopySupport;
use crate::backend::Backend;
use crate::frames::Frames;
use crate::guard::caught;
use crate::id::InstanceId;
use crate::policy::{MAX_PARAMETERS, Parameter};
use crate::record::span::{self, About};
use crate::reply::Reply;
use crate::services::{CopyServices, Rights};
use crate::stop::Stop;

/// A lock with room for one copy.
///
/// It is fair in the long run: whoever waits gets it within about a millisecond, or once the call under
/// way is over, also if another thread calls in a loop.
///
/// The registry keeps cells for its whole life and uses them again, so that a call finds its copy
/// without counting references.
#[derive(Default)]
pub(crate) struct CopyCell(HeldLock<Option<PluginCopy>>);

/// One copy of a plugin, or what is left of one that cannot go on.
pub(crate) struct PluginCopy {
    /// The same as the instance's. Data that every call reads stands here, because each step to
    /// memory elsewhere costs as much as the rest of the way.
    id: InstanceId,
    is_heard: bool,
    /// True if somebody else answers its services, and wants to know of each call.
    is_answered: bool,
    accepts: [u64; 4],
    rights: Arc<Rights>,
    pub(super) support: Arc<CopySupport>,
    pub(super) status: Arc<CopyStatus>,
    /// Where a later attempt to start it finds it again.
    pub(super) cell: Weak<CopyCell>,
    /// `None` if it cannot go on.
    pub(super) backend: Option<Box<dyn Backend>>,
    /// Those in a row.
    pub(super) back_off: BackOff,
    /// The state of a copy that had to go, until a fresh one has it.
    pub(super) carried: Option<State>,
    /// True if each copy has a process of its own.
    pub(super) has_process: bool,
    /// True once the status hears of cancellations.
    pub(super) hears_of_cancellations: bool,
    /// The same as the instance's, for a holder of the lock.
    pub(super) generation: Arc<Generation>,
    /// The last call that had events, 0 before it.
    pub(super) last_call: CallId,
    /// The frames that the plugin sent to others during the last call.
    pub(super) emitted: Vec<Frame>,
    /// A copy of the generation that answers some frames in place of this one.
    pub(super) canary: Option<Box<CanaryCopy>>,
    /// True while that one is what runs.
    pub(super) is_canary: bool,
    /// How long the last call took that was timed.
    pub(super) last_took: Option<Duration>,
}

/// Why a copy is not held.
pub(super) enum Unheld {
    /// Its instance is gone.
    Gone,
    /// The call under way did not end in time.
    Late,
}

/// A copy whose cell is locked.
pub(crate) struct CopyGuard<'a>(HeldGuard<'a, Option<PluginCopy>>);

impl CopyCell {
    /// Puts a copy in that does not run yet.
    pub(super) fn put(
        self: &Arc<Self>,
        support: Arc<CopySupport>,
        status: Arc<CopyStatus>,
        generation: Arc<Generation>,
    ) {
        let shared = &support.shared;
        let copy = PluginCopy {
            id: shared.instance,
            is_heard: shared.journal.is_heard(),
            is_answered: shared.answers.is_some(),
            accepts: generation.accepts,
            rights: generation.rights.clone(),
            support,
            status,
            cell: Arc::downgrade(self),
            backend: None,
            back_off: BackOff::default(),
            carried: None,
            has_process: generation.has_process(),
            hears_of_cancellations: false,
            generation,
            last_call: CallId(0),
            emitted: Vec::new(),
            canary: None,
            is_canary: false,
            last_took: None,
        };
        *self.0.lock() = Some(copy);
    }

    /// The copy of this instance; `None` if it is gone. Waits for the call under way.
    #[inline]
    pub(crate) fn hold(&self, id: InstanceId) -> Option<CopyGuard<'_>> {
        CopyGuard::of(self.0.lock(), id)
    }

    /// The same, if the call under way ends by then.
    pub(super) fn hold_until(
        &self,
        id: InstanceId,
        until: Instant,
    ) -> Result<CopyGuard<'_>, Unheld> {
        let lock = self.0.lock_until(until).ok_or(Unheld::Late)?;
        CopyGuard::of(lock, id).ok_or(Unheld::Gone)
    }

    /// The same, if no call is under way.
    pub(super) fn try_hold(&self, id: InstanceId) -> Option<CopyGuard<'_>> {
        CopyGuard::of(self.0.try_lock()?, id)
    }

    /// True while somebody holds it: a call, most of the time.
    pub(super) fn is_held(&self) -> bool {
        self.0.is_locked()
    }

    /// True if this thread holds it, and would wait for itself.
    #[inline]
    pub(crate) fn is_held_here(&self) -> bool {
        self.0.is_held_here()
    }

    /// Takes the copy of this instance out; the cell is free afterwards.
    pub(super) fn take(&self, id: InstanceId) -> Option<PluginCopy> {
        self.0.lock().take_if(|copy| copy.id == id)
    }
}

impl<'a> CopyGuard<'a> {
    #[inline]
    fn of(lock: HeldGuard<'a, Option<PluginCopy>>, id: InstanceId) -> Option<CopyGuard<'a>> {
        match &*lock {
            Some(copy) if copy.id == id => Some(CopyGuard(lock)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn copy(&mut self) -> &mut PluginCopy {
        self.0.as_mut().expect("`of` has looked, and the lock is held since")
    }
}

impl PluginCopy {
    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }

    /// Id of the plugin.
    pub(crate) fn plugin(&self) -> &str {
        &self.support.shared.plugin
    }

    /// How many calls a call may cause by frames that are emitted.
    pub(crate) fn caused_calls(&self) -> u64 {
        self.rights.hot.caused_calls.load(Ordering::Relaxed)
    }

    /// True if the last call emitted frames that nobody has taken.
    #[inline]
    pub(crate) fn has_emitted(&self) -> bool {
        !self.emitted.is_empty()
    }

    /// The frames that the last call emitted.
    pub(crate) fn take_emitted(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.emitted)
    }

    /// Belongs to another generation from now on, and runs `backend`; gives back the one before.
    pub(super) fn adopt(
        &mut self,
        generation: Arc<Generation>,
        backend: Box<dyn Backend>,
    ) -> Option<Box<dyn Backend>> {
        self.status.set_better_code(false);
        self.generation = generation;
        self.run_as_generation();
        self.carried = None;
        self.forget_failures();
        self.backend.replace(backend)
    }

    /// Takes in what every call reads of its generation.
    pub(super) fn run_as_generation(&mut self) {
        self.accepts = self.generation.accepts;
        self.rights = self.generation.rights.clone();
        self.has_process = self.generation.has_process();
    }

    /// Its description in spans.
    pub(super) fn about(&self) -> About<'_> {
        self.generation.about(&self.support.shared)
    }

    /// Counts a frame that it emitted and that is dropped on the way to a plugin.
    pub(crate) fn count_dropped(&self) {
        bump(&self.status.counters().dropped, 1);
    }

    /// True if the reason for that is to be told. Otherwise, as many as go back to the same call are told
    /// of together, later.
    pub(crate) fn is_told(&self, chain: &Chain) -> bool {
        let (shared, generation) = (&self.support.shared, self.generation.number);
        chain.is_told(|| Teller { shared: shared.clone(), generation })
    }

    /// Tells of one frame that it emitted and that was dropped.
    pub(crate) fn tell_dropped(&self, reason: &str) {
        let what = What::FramesDropped { frames: 1, reason: reason.to_owned() };
        self.support.shared.record(self.generation.number, what);
    }

    /// Tells the log about something that the host did to this plugin's frames or state.
    pub(crate) fn note(&self, kind: NoteKind, text: &str) {
        self.record(What::Note { kind, text: text.to_owned() });
    }

    /// Makes one call on this thread, and puts what came of it into `reply`, which is fresh.
    /// Afterwards [`take_emitted`](Self::take_emitted) has what the plugin emitted.
    #[inline]
    pub(crate) fn call(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        match self.canary {
            None => self.call_own(frame, queue, reply),
            Some(_) => self.call_beside_canary(frame, queue, reply),
        }
    }

    /// The same, whoever runs here.
    #[inline]
    pub(super) fn call_own(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        if span::calls_are_traced() {
            self.call_traced(frame, queue, reply);
        } else if self.is_heard {
            self.call_heard(frame, queue, reply);
        } else {
            self.call_unheard(frame, reply);
        }
        if self.status.wants_more() {
            self.after_call(frame, reply);
        }
    }

    /// Keeps the frame, hands the call on, and sees to the care that the copy is due.
    #[cold]
    fn after_call(&mut self, frame: &Frame, reply: &Reply) {
        if self.status.is_shadowed() {
            self.hand_to_shadow(frame, reply);
        }
        if self.status.keeps_frames() {
            self.support.recent.add(frame, reply);
        }
        self.care_later();
    }

    /// One call in a span of its own.
    #[cold]
    fn call_traced(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        let span = span::call(&self.about()).entered();
        match self.is_heard {
            true => self.call_heard(frame, queue, reply),
            false => self.call_unheard(frame, reply),
        }
        span.record("call", reply.call.0).record("outcome", reply.outcome.name());
    }

    /// Without events and timing.
    #[inline(always)]
    fn call_unheard(&mut self, frame: &Frame, reply: &mut Reply) {
        if let Err(stop) = self.process(reply.call, frame, &mut reply.frames)
            && self.stopped(stop, reply)
        {
            self.fail(&reply.outcome);
        }
        self.status.count(frame, reply);
    }

    /// With its events and timing.
    fn call_heard(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        let journal = &self.support.shared.journal;
        let is_told = journal.is_told();
        let call = journal.next_call();
        reply.call = call;
        self.last_call = call;
        if is_told {
            self.record(What::FrameIn { call, frame: frame.clone() });
        }
        let started = Instant::now();
        self.status.begin(started);
        let result = self.process(call, frame, &mut reply.frames);
        let total = started.elapsed();
        self.last_took = Some(total);
        self.status.end();
        let dead = result.is_err_and(|stop| self.stopped(stop, reply));
        self.status.count(frame, reply);
        let (timing, memory) = match &mut self.backend {
            Some(backend) if !reply.outcome.is_refused() => {
                let timing = timing(backend.context(), total, queue);
                let memory = backend.memory();
                self.status.time(timing.latency(), memory);
                (timing, memory)
            }
            _ if reply.outcome.is_refused() => (Timing::default(), None),
            // The parts of the time ended with the plugin.
            _ => {
                self.status.time(total, None);
                (Timing { queue, guest: total, ..Timing::default() }, None)
            }
        };
        if is_told {
            self.record_end(frame, reply, timing, memory);
        }
        if dead {
            self.fail(&reply.outcome);
        }
    }

    /// Records what came of a call.
    fn record_end(&self, frame: &Frame, reply: &Reply, timing: Timing, memory: Option<u64>) {
        let call = reply.call;
        let (mut bytes_out, mut frames_out) = (0, 0);
        let out = self.emitted.iter().map(|frame| (true, frame));
        for (emitted, frame) in out.chain(reply.frames.iter().map(|frame| (false, frame))) {
            self.record(What::FrameOut { call, index: frames_out, emitted, frame: frame.clone() });
            bytes_out += frame.encoded_len() as u64;
            frames_out += 1;
        }
        let bytes_in = frame.encoded_len() as u64;
        let outcome = reply.outcome.clone();
        self.record(What::CallEnded {
            call,
            outcome,
            timing,
            bytes_in,
            bytes_out,
            frames_out,
            memory,
        });
    }

    fn record(&self, what: What) {
        self.support.shared.record(self.generation.number, what);
    }

    #[inline(always)]
    fn process(&mut self, call: CallId, frame: &Frame, frames: &mut Frames) -> Result<(), Stop> {
        let kind = usize::from(frame.kind.0);
        let accepts = self.accepts[kind >> 6] & (1 << (kind & 63)) != 0;
        if !accepts || !self.rights.receives(frame.kind) {
            return Err(self.refuse(frame));
        }
        if self.rights.hot.rate.load(Ordering::Relaxed) != 0 {
            self.support.take_token(&self.rights.limits.load()).map_err(Stop::Alive)?;
        }
        if self.has_process && !self.is_canary {
            self.keep_up();
        }
        if self.backend.is_none() {
            self.wait_for_fresh()
                .map_err(|cancelled| cancelled.unwrap_or_else(|| self.refuse(frame)))?;
        }
        if self.is_answered {
            self.begin_answered(frame);
        }
        let Some(backend) = &mut self.backend else {
            return Err(self.refuse(frame));
        };
        let mut result = backend.call(call, frame, frames, &mut self.emitted);
        if !self.is_canary
            && let Err(Stop::Dead(crash @ Outcome::Crashed { .. })) = result
        {
            result = self.after_crash(crash, call, frame, frames);
        }
        if self.is_answered {
            self.end_answered();
        }
        if self.back_off.is_open() && !self.is_canary {
            self.after_failures(&result);
        }
        result
    }

    /// Tells the application's answers that a call with this frame begins on this thread.
    #[cold]
    fn begin_answered(&self, frame: &Frame) {
        let shared = &self.support.shared;
        if let Some(answers) = &shared.answers
            && let Err(reason) = caught(|| answers.begin(&shared.plugin, frame))
        {
            let text = format!("the application's answers panicked at the begin: {reason}");
            self.note(NoteKind::Application, &text);
        }
    }

    /// Tells the application's answers that the call is over.
    #[cold]
    fn end_answered(&self) {
        if let Some(answers) = &self.support.shared.answers
            && let Err(reason) = caught(|| answers.end())
        {
            let text = format!("the application's answers panicked at the end: {reason}");
            self.note(NoteKind::Application, &text);
        }
    }

    #[cold]
    fn refuse(&self, frame: &Frame) -> Stop {
        let reason = if !self.generation.accepts(frame.kind) {
            format!(
                "the plugin does not accept {} frames; add the kind to `accepts` under [frames]",
                frame.kind
            )
        } else if !self.rights.receives(frame.kind) {
            self.refuse_kind(frame.kind)
        } else {
            let fault = self.status.fault().unwrap_or_else(|| "it was unloaded".to_owned());
            format!("the plugin cannot go on ({fault}); restart or reload it")
        };
        Stop::Alive(Outcome::Refused { reason })
    }

    /// Counts a frame of a kind that the policy does not let the plugin receive; says why.
    fn refuse_kind(&self, kind: Kind) -> String {
        let grants = self.rights.grants.load();
        let parameter = Parameter::Kind(kind);
        let shared = &self.support.shared;
        shared.access(&grants, self.generation.number, Permission::Receive, &parameter);
        let verdict = grants.verdict(Permission::Receive);
        let why = verdict.map(|verdict| match verdict.is_granted() {
            true => {
                let within = verdict.parameters();
                format!("`receive` is granted within {}", cut(&within, MAX_PARAMETERS))
            }
            false => verdict.explanation.clone(),
        });
        format!("the plugin may not receive {kind} frames: {}", why.unwrap_or_default())
    }

    /// Says how the call ended; `true` if the copy cannot go on.
    #[cold]
    fn stopped(&mut self, stop: Stop, reply: &mut Reply) -> bool {
        reply.frames.clear();
        let dead = matches!(stop, Stop::Dead(_));
        reply.outcome = stop.into_outcome();
        dead
    }
}

fn timing(context: &CopyServices, total: Duration, queue: Duration) -> Timing {
    let host = context.host_time;
    let plugin = context.plugin_time.unwrap_or(total);
    Timing {
        queue,
        guest: plugin.saturating_sub(host),
        host,
        boundary: total.saturating_sub(plugin),
    }
}
