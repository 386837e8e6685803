//! Replaces the code of the quick compiler by that of the optimising one, in the background: one plugin
//! after the other, each on one core.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::plan::Plan;
use super::{Host, Inner};
use crate::guard::caught;
use crate::instance::Instance;
use crate::load::{Prepared, Preparer};
use crate::problem::{LoadProblem, Origin};
use crate::underway::Underway;

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

    /// Lets better code take over, if the instance still runs what it was made for.
    fn take_optimised(
        &self,
        instance: &Arc<Instance>,
        ran: &Prepared,
        optimised: Result<Prepared, LoadProblem>,
    ) {
        let result = optimised.map_err(|problem| problem.to_string()).and_then(|better| {
            let plan = |instance: &Instance| {
                let current = &instance.current().prepared;
                let is_wanted = current.waits_for_better() && current.is_as(&better);
                is_wanted.then(|| Plan::optimised(better))
            };
            self.replace(instance, plan).map_err(|error| error.to_string())?;
            // Nothing of a plugin is lost for code that nobody asked for.
            match instance.current().prepared.waits_for_better() {
                true => {
                    Err("it gives no state, and has the better code from its next start on"
                        .to_owned())
                }
                false => Ok(()),
            }
        });
        if let Err(reason) = result {
            ran.give_up_better();
            instance.note(&format!("it keeps the code of the quick compiler: {reason}"));
        }
    }
}

/// Compiles for one instance after the other, until none waits.
fn work(inner: &Weak<Inner>, preparer: &Preparer) {
    while let Some((instance, load)) = next(inner) {
        let (ran, request) = match instance.upgrade() {
            Some(instance) => (instance.current().prepared.clone(), instance.request()),
            None => continue,
        };
        let Some(optimised) = preparer.optimised(&ran, &request, &load) else { continue };
        drop(load);
        let (Some(inner), Some(instance)) = (inner.upgrade(), instance.upgrade()) else { continue };
        let taken = caught(|| Host { inner }.take_optimised(&instance, &ran, optimised));
        if let Err(reason) = taken {
            tracing::error!(plugin = &*instance.plugin, reason, "better code was not taken");
        }
    }
}

/// The next instance, and the load that is under way for it.
fn next(inner: &Weak<Inner>) -> Option<(Weak<Instance>, Underway)> {
    let inner = inner.upgrade()?;
    let mut waiting = inner.optimiser.waiting.lock();
    let next = waiting.instances.pop_front();
    waiting.is_at_work = next.is_some();
    drop(waiting);
    let instance = next?;
    let origin = instance.upgrade().map(|instance| instance.request().source.origin());
    let load = inner.loads.begin(origin.unwrap_or(Origin::Application));
    Some((instance, load))
}
