//! Replaces the code of the quick compiler by that of the optimising one, in the background: one plugin
//! after the other, each on one core.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use glovebox_events::NoteKind;
use parking_lot::Mutex;

use super::plan::Plan;
use super::{Host, Inner};
use crate::guard::caught;
use crate::instance::Instance;
use crate::load::{LoadRequest, Prepared, Preparer};
use crate::problem::StageError;

/// The instances whose code waits for that.
#[derive(Default)]
pub(super) struct Optimiser {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    instances: VecDeque<Weak<Instance>>,
    is_at_work: bool,
}

#[cfg(test)]
impl Optimiser {
    /// Leaves to a test when there is [`work`].
    pub(super) fn set_at_work(&self) {
        self.waiting.lock().is_at_work = true;
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.waiting.lock().is_at_work
    }
}

impl Host {
    /// Has the code of an instance compiled again, if it waits for that.
    pub(super) fn optimise_later(&self, instance: &Arc<Instance>) {
        if !instance.current().prepared.waits_for_better() {
            return;
        }
        let mut waiting = self.inner.optimiser.waiting.lock();
        waiting.instances.push_back(Arc::downgrade(instance));
        let is_at_work = std::mem::replace(&mut waiting.is_at_work, true);
        drop(waiting);
        if !is_at_work {
            // A compile may take longer than anybody keeps the host.
            let (inner, preparer) = (self.downgrade(), self.inner.preparer.clone());
            self.run_blocking(move || work(&inner, &preparer));
        }
    }

    /// Lets better code take over, if the instance still runs what it was made for. Copies that start afresh have
    /// it in any case.
    pub(super) fn take_optimised(
        &self,
        instance: &Arc<Instance>,
        ran: &Prepared,
        optimised: Result<Prepared, StageError>,
    ) {
        let better = match optimised {
            Ok(better) => better,
            Err(error) => return keep_quick(instance, ran, &error.problem.to_string()),
        };
        let code = better.code.clone();
        let is_current = |instance: &Instance| instance.current().prepared.waits_as(ran);
        let mut was_current = false;
        let taken = self.replace(instance, |instance| {
            was_current = is_current(instance);
            was_current.then(|| Plan::optimised(better))
        });
        match taken {
            Err(error) if was_current => keep_quick(instance, ran, &error.to_string()),
            Err(_) => ran.give_up_better(),
            Ok(_) => {
                ran.keep_better(code);
                // Nothing of a plugin is lost for code that nobody asked for.
                if was_current && is_current(instance) {
                    tell(
                        instance,
                        "it gives no state, and has the better code from its next start on",
                    );
                }
            }
        }
    }
}

/// There will be no better code of what runs.
fn keep_quick(instance: &Instance, ran: &Prepared, reason: &str) {
    ran.give_up_better();
    tell(instance, reason);
}

fn tell(instance: &Instance, reason: &str) {
    let text = format!("it keeps the code of the quick compiler: {reason}");
    instance.note(NoteKind::Code, &text);
}

/// Compiles for one instance after the other, until none waits.
pub(super) fn work(inner: &Weak<Inner>, preparer: &Preparer) {
    while let Some(instance) = next(inner) {
        let Some(running) = instance.upgrade() else { continue };
        let (ran, request) = (running.current().prepared.clone(), running.request());
        // A compile may take longer than anybody keeps the instance.
        drop(running);
        let done = caught(|| optimise(inner, preparer, &instance, &ran, &request));
        if let (Err(reason), Some(instance)) = (done, instance.upgrade()) {
            tracing::error!(plugin = &*instance.plugin, reason, "to make better code panicked");
            keep_quick(&instance, &ran, &format!("to make better code panicked: {reason}"));
        }
    }
}

/// The next instance.
fn next(inner: &Weak<Inner>) -> Option<Weak<Instance>> {
    let inner = inner.upgrade()?;
    let mut waiting = inner.optimiser.waiting.lock();
    let next = waiting.instances.pop_front();
    waiting.is_at_work = next.is_some();
    next
}

/// Makes better code of what an instance ran, and lets it take over.
fn optimise(
    inner: &Weak<Inner>,
    preparer: &Preparer,
    instance: &Weak<Instance>,
    ran: &Prepared,
    request: &LoadRequest,
) {
    let Some(load) = inner.upgrade().map(|it| it.loads.begin(request.source.origin())) else {
        return;
    };
    let Some(optimised) = preparer.optimised(ran, request, &load) else { return };
    drop(load);
    let (Some(inner), Some(instance)) = (inner.upgrade(), instance.upgrade()) else { return };
    Host { inner }.take_optimised(&instance, ran, optimised);
}
