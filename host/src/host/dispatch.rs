//! Dispatches frames to plugins: chooses the targets, and puts frames into their queues.

use std::sync::Arc;
use std::time::Instant;

use glovebox_abi::text::{cut, inert};
use glovebox_abi::{Frame, Header, Kind};
use tokio::sync::oneshot;
use tracing::Span;

use super::Host;
use crate::guard::caught;
use crate::id::InstanceId;
use crate::instance::{
    BatchTicket, Chain, Instance, NoRoom, PluginCopy, Refusal, Reservation, Ticket, Work, bytes_of,
};
use crate::record::span;
use crate::reply::Reply;
use crate::task::{Lost, Task};

/// How often a frame may be passed on by `emit` before it is dropped and logged: two plugins that
/// answer each other would go on for ever.
const MAX_HOPS: u32 = 8;

/// How much of the name of a plugin is shown that is not there, in bytes.
const MAX_TARGET_LEN: usize = 128;

impl Host {
    /// Routes a frame: to the plugin that its header's `target` names, otherwise to all that
    /// accept its kind. Waits while a queue is full, then for all answers. One that is draining
    /// refuses. If no plugin is to get it, the answer is empty, the frame is counted as
    /// [`undelivered`](crate::DispatchStats::undelivered), and the log says why.
    pub async fn dispatch(&self, frame: Frame) -> Vec<(InstanceId, Reply)> {
        let receivers = self.receivers(&frame, None);
        if receivers.is_empty() {
            self.undelivered(&frame);
        }
        self.dispatch_among(receivers, frame).await
    }

    /// Sends a frame to all plugins that accept its kind, whatever its header's `target` says.
    /// Waits while a queue is full, then for all answers.
    pub async fn broadcast(&self, frame: Frame) -> Vec<(InstanceId, Reply)> {
        let mut receivers = self.inner.registry.all();
        receivers.retain(|instance| instance.accepts(frame.kind));
        if receivers.is_empty() {
            self.unaccepted(frame.kind);
        }
        self.dispatch_among(receivers, frame).await
    }

    async fn dispatch_among(
        &self,
        receivers: Vec<Arc<Instance>>,
        frame: Frame,
    ) -> Vec<(InstanceId, Reply)> {
        let mut tickets = Vec::with_capacity(receivers.len());
        for instance in receivers {
            let id = instance.id;
            tickets.push(match instance.queue.reserve(&frame).await {
                Some(place) => {
                    (id, Ok(self.enqueue(instance, frame.clone(), Chain::default(), place)))
                }
                None => (id, Err(self.draining(&instance))),
            });
        }
        let mut replies = Vec::with_capacity(tickets.len());
        for (id, ticket) in tickets {
            let reply = match ticket {
                Ok(ticket) => ticket.await,
                Err(reply) => reply,
            };
            replies.push((id, reply));
        }
        replies
    }

    /// Queues a frame for one instance; waits while the queue is full, then for the answer.
    ///
    /// If the instance has several copies, frames of one `source` are handled by the same copy, in
    /// order; frames without a source go to the copies in turn.
    pub async fn dispatch_to(&self, id: InstanceId, frame: Frame) -> Reply {
        let Some(instance) = self.instance(id) else {
            return self.gone();
        };
        match instance.queue.reserve(&frame).await {
            Some(place) => self.enqueue(instance, frame, Chain::default(), place).await,
            None => self.draining(&instance),
        }
    }

    /// The reply to a frame for which the queue has no place any more.
    fn draining(&self, instance: &Instance) -> Reply {
        self.inner.dispatched.refuse();
        self.refused(&Refusal::Draining { plugin: instance.plugin.to_string() })
    }

    /// Queues frames for one instance as one piece of work, which costs far less than one by one;
    /// waits while the queue is full, then for all answers, which come in the order of the frames.
    ///
    /// If the instance has several copies, the batch goes to one of them. More frames than the
    /// queue has room for are queued in several pieces.
    pub async fn dispatch_batch(&self, id: InstanceId, mut frames: Vec<Frame>) -> Vec<Reply> {
        let Some(instance) = self.instance(id) else {
            return frames.iter().map(|_| self.gone()).collect();
        };
        let Some(first) = frames.first() else { return Vec::new() };
        let lane = instance.queue.lane_for(first);
        let mut replies = Vec::with_capacity(frames.len());
        while !frames.is_empty() {
            let Some((places, count)) = instance.queue.reserve_up_to(&frames).await else {
                replies.extend(frames.iter().map(|_| self.draining(&instance)));
                break;
            };
            let rest = frames.split_off(count);
            replies.extend(self.enqueue_batch(instance.clone(), lane, frames, places).await);
            frames = rest;
        }
        replies
    }

    /// Queues frames for one instance as one piece of work, and does not wait.
    ///
    /// # Errors
    ///
    /// If the queue has no room for all of them, or the instance is gone; then none is queued.
    pub fn try_dispatch_batch(
        &self,
        id: InstanceId,
        frames: Vec<Frame>,
    ) -> Result<BatchTicket, Refusal> {
        let instance = self.instance(id).ok_or(Refusal::Gone)?;
        let limit = instance.queue.limit();
        if frames.len() > limit as usize {
            self.inner.dispatched.refuse();
            let plugin = instance.plugin.to_string();
            let (ceiling, _) = instance.queue_ceilings();
            return Err(Refusal::TooMany { plugin, frames: frames.len(), limit, ceiling });
        }
        let bytes = frames.iter().map(bytes_of).sum();
        let limit = instance.queue.byte_limit();
        if frames.len() > 1 && bytes > limit {
            self.inner.dispatched.refuse();
            let plugin = instance.plugin.to_string();
            let (_, ceiling) = instance.queue_ceilings();
            return Err(Refusal::TooManyBytes { plugin, bytes, limit, ceiling });
        }
        let places = self.try_reserve(&instance, frames.len() as u32, bytes)?;
        let lane = frames.first().map_or(0, |first| instance.queue.lane_for(first));
        Ok(self.enqueue_batch(instance, lane, frames, places))
    }

    /// Queues a frame for each plugin that [`dispatch`](Self::dispatch) would route it to, and does
    /// not wait.
    ///
    /// # Errors
    ///
    /// If a queue is full; then no plugin gets the frame.
    pub fn try_dispatch(&self, frame: &Frame) -> Result<Vec<(InstanceId, Ticket)>, Refusal> {
        let instances = self.receivers(frame, None);
        if instances.is_empty() {
            self.undelivered(frame);
        }
        let mut places = Vec::with_capacity(instances.len());
        for instance in &instances {
            match self.try_reserve(instance, 1, bytes_of(frame)) {
                Ok(place) => places.push(place),
                Err(refusal) => {
                    instances.iter().zip(places).for_each(|(it, place)| it.queue.give_up(place));
                    return Err(refusal);
                }
            }
        }
        let placed = instances.into_iter().zip(places);
        Ok(placed
            .map(|(instance, place)| {
                (instance.id, self.enqueue(instance, frame.clone(), Chain::default(), place))
            })
            .collect())
    }

    /// Queues a frame for one instance and does not wait.
    ///
    /// # Errors
    ///
    /// If its queue is full, or it is draining or gone.
    pub fn try_dispatch_to(&self, id: InstanceId, frame: Frame) -> Result<Ticket, Refusal> {
        let instance = self.instance(id).ok_or(Refusal::Gone)?;
        let place = self.try_reserve(&instance, 1, bytes_of(&frame))?;
        Ok(self.enqueue(instance, frame, Chain::default(), place))
    }

    /// Waits until no frame waits in any queue and none of a queue is being processed, those
    /// included that plugins emit meanwhile. Frames from other threads in the meantime are waited
    /// for as well.
    pub fn wait_idle(&self) -> Task<()> {
        let (done, task) = Task::new();
        let host = self.clone();
        self.runtime().spawn(async move {
            loop {
                let before = host.dispatch_stats().dispatched;
                for instance in host.inner.registry.all() {
                    instance.queue.wait_idle().await;
                }
                // A queue that was found empty may have been given a frame by one looked at later.
                if host.dispatch_stats().dispatched == before {
                    break;
                }
            }
            // A caller that waited may count on its own handle being the last one.
            drop(host);
            // Nobody may be waiting for it.
            let _ = done.send(());
        });
        task
    }

    pub(super) fn try_reserve(
        &self,
        instance: &Instance,
        count: u32,
        bytes: u64,
    ) -> Result<Reservation, Refusal> {
        instance.queue.try_reserve(count, bytes).map_err(|no_room| {
            self.inner.dispatched.refuse();
            let plugin = instance.plugin.to_string();
            let (frames_ceiling, bytes_ceiling) = instance.queue_ceilings();
            match no_room {
                _ if !instance.queue.is_open() => Refusal::Draining { plugin },
                NoRoom::Places => {
                    let limit = instance.queue.limit();
                    Refusal::Full { plugin, limit, ceiling: frames_ceiling }
                }
                NoRoom::Bytes => {
                    let limit = instance.queue.byte_limit();
                    Refusal::FullOfBytes { plugin, bytes, limit, ceiling: bytes_ceiling }
                }
            }
        })
    }

    pub(super) fn enqueue(
        &self,
        instance: Arc<Instance>,
        frame: Frame,
        chain: Chain,
        place: Reservation,
    ) -> Ticket {
        let lane = instance.queue.lane_for(&frame);
        let (answer, ticket) = Task::new();
        self.push(instance, lane, Work::One(frame, answer), 1, chain, place);
        ticket
    }

    fn enqueue_batch(
        &self,
        instance: Arc<Instance>,
        lane: usize,
        frames: Vec<Frame>,
        places: Reservation,
    ) -> BatchTicket {
        let (answer, ticket) = Task::of(frames.len());
        let count = frames.len() as u64;
        self.push(instance, lane, Work::Batch(frames, answer), count, Chain::default(), places);
        ticket
    }

    pub(super) fn push(
        &self,
        instance: Arc<Instance>,
        lane: usize,
        work: Work,
        count: u64,
        chain: Chain,
        places: Reservation,
    ) {
        self.inner.dispatched.dispatch(count);
        let queued = self.inner.resources.journal.is_heard().then(Instant::now);
        let span = match span::calls_are_traced() {
            true => span::dispatch(&instance.about(), count),
            false => Span::none(),
        };
        // Works the lane off on a thread of the pool: idle instances cost none, and a hung one
        // holds only its own.
        if instance.queue.push(lane, work, queued, span, chain, places) {
            let host = self.clone();
            self.run_blocking(move || host.work(&instance, lane));
        }
    }

    pub(super) fn work(&self, instance: &Arc<Instance>, lane: usize) {
        if instance.is_asleep() {
            // A failure becomes the fault of the instance, and the reason of a refusal.
            let woken = caught(|| self.wake(instance).map_err(|error| error.to_string()));
            if let Err(reason) = woken {
                instance.fault_with(&format!("the host panicked: {reason}"));
            }
        }
        instance.queue.work_off(lane, |job| {
            let span = job.span;
            let entered = span.enter();
            let mut errors = 0;
            let waited = job.queued.map(|queued| queued.elapsed()).unwrap_or_default();
            // Held for the whole job, and given up after it, so that direct calls, reloads and checks
            // get their turn.
            let mut held = instance.hold_copy(lane);
            let mut call = |frame: &Frame| {
                let mut reply = Reply::default();
                let called = caught(|| match &mut held {
                    Some(held) => self.call_held(held, frame, waited, &job.chain, &mut reply),
                    None => reply = self.gone(),
                });
                if let Err(reason) = called {
                    reply = Reply::lost(reason);
                }
                if !reply.outcome.is_completed() {
                    errors += 1;
                    held = None;
                    self.after_failure(instance, frame, &job.chain, &mut reply);
                    held = instance.hold_copy(lane);
                }
                reply
            };
            // Failures are counted, the span ends and the copy is free before anybody has the answers, whose
            // wakers may do anything; nobody may be waiting.
            match job.work {
                Work::One(frame, answer) => {
                    let reply = call(&frame);
                    self.inner.dispatched.fail(errors);
                    drop((held, entered));
                    drop(span);
                    give(answer, reply);
                }
                Work::Batch(frames, answer) => {
                    let replies = frames.iter().map(call).collect();
                    self.inner.dispatched.fail(errors);
                    drop((held, entered));
                    drop(span);
                    give(answer, replies);
                }
            }
        });
    }

    /// Carries an emitted frame to the plugin it names, or to all others that accept its kind, as
    /// far as the call allows that it goes back to. The frame names its source.
    pub(super) fn pass_on(&self, from: &PluginCopy, mut frame: Frame, chain: &Chain) {
        if chain.hops() > MAX_HOPS {
            let reason = || format!("it was passed on more than {MAX_HOPS} times");
            self.drop_emitted(from, chain, reason);
            return;
        }
        let receivers = self.receivers(&frame, Some(from.id()));
        if receivers.is_empty() {
            let is_addressed = target(&frame).is_some();
            let reason = self.undelivered(&frame);
            // A frame for whoever accepts its kind may well find nobody; one with an address may not.
            if is_addressed {
                from.count_dropped();
            }
            from.tell_dropped(&reason);
            return;
        }
        frame.header = frame.header.with_text(Header::SOURCE, from.plugin());
        let allowed = from.caused_calls();
        for instance in receivers {
            if !chain.cause(allowed) {
                let reason = || {
                    format!(
                        "limit exceeded: one call may cause {allowed} calls of plugins by `emit`; \
                         further frames that go back to it are dropped; raise `caused-calls` under \
                         [ceilings] of the policy if that is not enough"
                    )
                };
                self.drop_emitted(from, chain, reason);
                continue;
            }
            match self.try_reserve(&instance, 1, bytes_of(&frame)) {
                // Nobody waits for the answer.
                Ok(place) => drop(self.enqueue(instance, frame.clone(), chain.clone(), place)),
                Err(refusal) => {
                    from.count_dropped();
                    from.tell_dropped(&refusal.to_string());
                }
            }
        }
    }

    /// Counts a frame that reaches nobody: not the plugin that it names, nor any that accepts its kind
    /// if it names none. Says why.
    fn undelivered(&self, frame: &Frame) -> String {
        let Some(target) = target(frame) else { return self.unaccepted(frame.kind) };
        let target = cut(&target, MAX_TARGET_LEN);
        self.lost(format!("no plugin `{}` is loaded", inert(&target)))
    }

    /// Counts a frame of a kind that no plugin accepts; says so.
    fn unaccepted(&self, kind: Kind) -> String {
        self.lost(format!("no plugin accepts {kind} frames"))
    }

    fn lost(&self, reason: String) -> String {
        self.inner.dispatched.lose();
        tracing::warn!(reason, "a frame reached nobody");
        reason
    }

    /// Counts an emitted frame that goes too far, and says so once for all that go back to the same
    /// call.
    #[cold]
    fn drop_emitted(&self, from: &PluginCopy, chain: &Chain, reason: impl FnOnce() -> String) {
        self.inner.dispatched.exceed_budget();
        from.count_dropped();
        if from.is_told(chain) {
            let reason = reason();
            tracing::warn!(plugin = from.plugin(), reason, "emitted frame dropped");
            from.tell_dropped(&reason);
        }
    }

    pub(super) fn receivers(&self, frame: &Frame, from: Option<InstanceId>) -> Vec<Arc<Instance>> {
        if let Some(target) = target(frame) {
            return self.find(&target).and_then(|id| self.instance(id)).into_iter().collect();
        }
        let mut instances = self.inner.registry.all();
        instances.retain(|instance| Some(instance.id) != from && instance.accepts(frame.kind));
        instances
    }
}

/// The plugin that a frame names.
fn target(frame: &Frame) -> Option<String> {
    let has_header = !frame.header.as_bytes().is_empty();
    has_header.then(|| frame.header.get_text(Header::TARGET)).flatten()
}

/// Gives an answer to whoever waits for it. Nobody may be; and their waker may panic.
pub(super) fn give<T>(answer: oneshot::Sender<T>, reply: T) {
    if let Err(reason) = caught(|| drop(answer.send(reply))) {
        tracing::error!(reason, "the waker of somebody who waits for an answer panicked");
    }
}
