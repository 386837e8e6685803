//! Where one copy of a plugin runs, and a call of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glovebox_abi::Frame;
use glovebox_events::{CallId, Outcome, Timing, What};

use crate::Frames;
use crate::backend::{Backend, Stop};
use crate::context::{Context, Rights};
use crate::host::Reply;
use crate::lifecycle::Life;
use crate::lock::{Guard, Locked};
use crate::observe::span::{self, About};
use crate::registry::InstanceId;
use crate::slot::{Generation, Slot};

/// Where one copy of a plugin runs. Whoever holds the lock owns the copy.
///
/// The registry keeps seats for its whole life and uses them again, so that a call finds its copy
/// without counting references.
#[derive(Default)]
pub(crate) struct Seat(Locked<Option<Running>>);

/// A copy, and what it is a copy of.
pub(crate) struct Running {
    /// The same as the slot's. What every call looks at stands here, because each step to memory
    /// elsewhere costs as much as the rest of the way.
    id: InstanceId,
    is_heard: bool,
    /// True if somebody else answers its services, and wants to know of each call.
    is_answered: bool,
    accepts: [u64; 4],
    rights: Arc<Rights>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) life: Arc<Life>,
    /// `None` if it cannot go on.
    pub(crate) backend: Option<Box<dyn Backend>>,
    /// The same as the slot's, for whoever holds the lock anyway.
    pub(crate) generation: Arc<Generation>,
    /// The last call that had events, 0 before it.
    pub(crate) last_call: CallId,
    /// What the plugin sent to others during the last call.
    pub(crate) emitted: Vec<Frame>,
}

/// A seat that is held, with a copy in it.
pub(crate) struct Held<'a>(Guard<'a, Option<Running>>);

impl Seat {
    pub(crate) fn place(&self, running: Running) {
        *self.0.lock() = Some(running);
    }

    /// The copy of this instance; `None` if it is gone. Waits for the call under way.
    #[inline]
    pub(crate) fn hold(&self, id: InstanceId) -> Option<Held<'_>> {
        Held::of(self.0.lock(), id)
    }

    /// The same, if no call is under way.
    pub(crate) fn try_hold(&self, id: InstanceId) -> Option<Held<'_>> {
        Held::of(self.0.try_lock()?, id)
    }

    /// True while somebody holds it: a call, most of the time.
    pub(crate) fn is_held(&self) -> bool {
        self.0.is_locked()
    }

    /// Takes the copy out; the seat is free afterwards.
    pub(crate) fn clear(&self, id: InstanceId) -> Option<Running> {
        let mut lock = self.0.lock();
        if lock.as_ref()?.slot.id == id { lock.take() } else { None }
    }
}

impl<'a> Held<'a> {
    #[inline]
    fn of(lock: Guard<'a, Option<Running>>, id: InstanceId) -> Option<Held<'a>> {
        match &*lock {
            Some(running) if running.id == id => Some(Held(lock)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn running(&mut self) -> &mut Running {
        self.0.as_mut().expect("`of` has looked, and the lock is held since")
    }
}

impl Running {
    /// The place of a copy that does not run yet.
    pub(crate) fn new(slot: Arc<Slot>, life: Arc<Life>, generation: Arc<Generation>) -> Running {
        Running {
            id: slot.id,
            is_heard: slot.shared.journal.is_heard(),
            is_answered: slot.shared.answers.is_some(),
            accepts: generation.accepts,
            rights: generation.rights.clone(),
            slot,
            life,
            backend: None,
            generation,
            last_call: CallId(0),
            emitted: Vec::new(),
        }
    }

    /// Belongs to another generation from now on.
    pub(crate) fn adopt(&mut self, generation: Arc<Generation>) {
        self.accepts = generation.accepts;
        self.rights = generation.rights.clone();
        self.generation = generation;
    }

    /// Makes one call on this thread, and puts what came of it into `reply`, which is fresh. The
    /// frames that the plugin emitted are in [`emitted`](Self::emitted) afterwards.
    #[inline]
    pub(crate) fn call(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        if span::calls_are_traced() {
            self.call_traced(frame, queue, reply);
        } else if self.is_heard {
            self.call_heard(frame, queue, reply);
        } else {
            self.call_unheard(frame, reply);
        }
    }

    /// What its spans say about it.
    pub(crate) fn about(&self) -> About<'_> {
        self.slot.about_generation(&self.generation)
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
            self.fail(&reply.outcome.to_string());
        }
        self.life.count(frame, reply);
    }

    /// With its events and timing.
    fn call_heard(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        let shared = self.slot.shared.clone();
        let number = self.generation.number;
        let call = shared.journal.next_call();
        reply.call = call;
        self.last_call = call;
        shared.record(number, What::FrameIn { call, frame: frame.clone() });
        let started = Instant::now();
        let result = self.process(call, frame, &mut reply.frames);
        let total = started.elapsed();
        let dead = result.is_err_and(|stop| self.stopped(stop, reply));
        self.life.count(frame, reply);
        let (timing, memory) = match &mut self.backend {
            Some(backend) if !reply.outcome.is_refused() => {
                let timing = timing(backend.context(), total, queue);
                let memory = backend.memory();
                self.life.time(timing.latency(), memory);
                (timing, memory)
            }
            _ => (Timing::default(), None),
        };
        let mut bytes_out = 0;
        let mut frames_out = 0;
        let out = self.emitted.iter().map(|frame| (true, frame));
        for (emitted, frame) in out.chain(reply.frames.iter().map(|frame| (false, frame))) {
            let what = What::FrameOut { call, index: frames_out, emitted, frame: frame.clone() };
            shared.record(number, what);
            bytes_out += frame.encoded_len() as u64;
            frames_out += 1;
        }
        let bytes_in = frame.encoded_len() as u64;
        let outcome = reply.outcome.clone();
        shared.record(
            number,
            What::CallEnded { call, outcome, timing, bytes_in, bytes_out, frames_out, memory },
        );
        if dead {
            self.fail(&reply.outcome.to_string());
        }
    }

    #[inline(always)]
    fn process(&mut self, call: CallId, frame: &Frame, frames: &mut Frames) -> Result<(), Stop> {
        let kind = usize::from(frame.kind.0);
        let accepts = self.accepts[kind >> 6] & (1 << (kind & 63)) != 0;
        if !accepts || !self.rights.receives(frame.kind) {
            return Err(self.refuse(frame));
        }
        if self.rights.hot.rate.load(Ordering::Relaxed) != 0 {
            self.slot.take_token().map_err(Stop::Alive)?;
        }
        let Some(backend) = &mut self.backend else {
            return Err(self.refuse(frame));
        };
        if self.is_answered {
            self.slot.begin_answered(frame);
        }
        let result = backend.call(call, frame, frames, &mut self.emitted);
        if self.is_answered {
            self.slot.end_answered();
        }
        result
    }

    #[cold]
    fn refuse(&self, frame: &Frame) -> Stop {
        let reason = if !self.generation.accepts(frame.kind) {
            format!(
                "the plugin does not accept {} frames; add the kind to `accepts` under [frames]",
                frame.kind
            )
        } else if !self.generation.rights.receives(frame.kind) {
            self.slot.refuse_kind(&self.generation, frame.kind)
        } else {
            let fault = self.life.fault().unwrap_or_else(|| "it was unloaded".to_owned());
            format!("the plugin cannot go on ({fault}); restart or reload it")
        };
        Stop::Alive(Outcome::Refused { reason })
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

fn timing(context: &Context, total: Duration, queue: Duration) -> Timing {
    let host = context.host_time;
    let plugin = context.plugin_time.unwrap_or(total);
    Timing {
        queue,
        guest: plugin.saturating_sub(host),
        host,
        boundary: total.saturating_sub(plugin),
    }
}
