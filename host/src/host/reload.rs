//! Reloads, as embedders ask for them: each is a plan, made once no other reload of the instance is under
//! way.

use std::sync::Arc;

use glovebox_abi::manifest::Isolation;
use glovebox_events::LoadStage;

use super::plan::{Next, Plan};
use super::{Host, Reloading, about};
use crate::id::InstanceId;
use crate::instance::{Carry, HeldGuard, Instance};
use crate::load::{LoadRequest, Source};
use crate::problem::{LoadError, LoadProblem};

impl Host {
    /// Replaces the artifact of an instance by what its source holds now: a fresh copy is built
    /// beside the running one, given a copy of its state, tried, and switched in between two calls.
    /// Any failure leaves the running generation as it was.
    pub fn reload(&self, id: InstanceId) -> Reloading {
        self.reload_by(id, |_| Some(Plan { next: Next::Newest, carry: Carry::Current }))
    }

    /// The same without the state: a cold start.
    pub fn reload_cold(&self, id: InstanceId) -> Reloading {
        self.reload_by(id, |_| Some(Plan { next: Next::Newest, carry: Carry::Nothing }))
    }

    /// As [`reload`](Self::reload), and does nothing if neither the artifact nor its manifest are
    /// others than those that run.
    pub fn reload_if_changed(&self, id: InstanceId) -> Reloading {
        self.reload_by(id, |_| Some(Plan { next: Next::NewestIfChanged, carry: Carry::Current }))
    }

    /// As [`reload_if_changed`](Self::reload_if_changed), for whoever watches the files. The `first`
    /// look goes back to no artifact that ran before. If a file changed while it was read, there is
    /// no event of it; every error is told.
    pub(super) fn reload_by_itself(
        &self,
        id: InstanceId,
        first: bool,
        told: impl FnOnce(&LoadError) + Send + 'static,
    ) -> Reloading {
        self.run(move |host| {
            let next = if first { Next::NewestIfUnknown } else { Next::NewestIfChanged };
            let result = host.reload_now(id, |instance| {
                // One that sleeps reads the file when it wakes up.
                let is_needed = !(first && instance.is_asleep());
                is_needed.then_some(Plan { next, carry: Carry::Current })
            });
            if let Err(error) = &result {
                told(error);
            }
            result
        })
    }

    /// As [`reload`](Self::reload), with the artifact of another source, which is the instance's own
    /// as soon as it runs: a new version that was downloaded, for example. It must be the same plugin
    /// by its id. All else that the instance was loaded with stays.
    pub fn reload_with(&self, id: InstanceId, source: impl Into<Source>) -> Reloading {
        let next = Next::Other(source.into());
        self.reload_by(id, |_| Some(Plan { next, carry: Carry::Current }))
    }

    /// Runs a native plugin in processes of its own from now on, one for each copy, with a copy of its
    /// state. As [`reload`](Self::reload), it waits for the call under way, and a failure leaves
    /// everything as it was.
    pub fn move_to_workers(&self, id: InstanceId) -> Reloading {
        self.move_by(id, LoadRequest::distrusted)
    }

    /// Runs a native plugin in this process from now on, with a copy of its state: somebody trusts it,
    /// and it can do whatever the process can. Otherwise as [`reload`](Self::reload).
    pub fn trust_and_move_here(&self, id: InstanceId) -> Reloading {
        self.move_by(id, |request| request.trust_native().isolation(Isolation::InProcess))
    }

    fn move_by(
        &self,
        id: InstanceId,
        change: impl FnOnce(LoadRequest) -> LoadRequest + Send + 'static,
    ) -> Reloading {
        self.reload_by(id, |instance| {
            let request = change(LoadRequest::clone(&instance.request()));
            Some(Plan { next: Next::Elsewhere(Box::new(request)), carry: Carry::Current })
        })
    }

    /// Gives an instance whose call failed fresh copies of the artifact in its source, without the
    /// state with which it failed, as `on-failure = "reload"` of a pipeline does.
    pub fn start_over(&self, id: InstanceId) -> Reloading {
        self.reload_by(id, |_| Some(Plan::after_failure(Carry::Nothing)))
    }

    /// Goes back to the artifact before, with the state it had when it was replaced. Its source is that of
    /// the instance again: a later [`reload`](Self::reload) loads what that holds by then.
    pub fn roll_back(&self, id: InstanceId) -> Reloading {
        self.reload_by(id, |instance| Some(Plan::back(instance, None)))
    }

    /// The same to any generation that is [kept](crate::PluginStatus::kept).
    pub fn roll_back_to(&self, id: InstanceId, generation: u32) -> Reloading {
        self.reload_by(id, move |instance| Some(Plan::back(instance, Some(generation))))
    }

    /// Switches to the generation that waited for decisions, once all of them are made. Otherwise, if
    /// it `renews`, gives the instance fresh copies of the artifact that runs, with a copy of their
    /// states.
    pub(super) fn take_up_decisions(&self, id: InstanceId, renews: bool) -> Reloading {
        self.reload_by(id, move |instance| {
            if let Some(waiting) = instance.decided() {
                let carry = waiting.carry.clone();
                return Some(Plan { next: Next::Waiting(waiting), carry });
            }
            // One that sleeps is given what is right when it wakes up.
            if !renews || instance.is_asleep() {
                return None;
            }
            // A process is replaced by the next call otherwise, and should not be twice.
            let next = match instance.current().has_process() {
                true => Next::RunningInProcesses,
                false => Next::Running,
            };
            Some(Plan { next, carry: Carry::Current })
        })
    }

    /// As [`replace`](Self::replace), on a thread of the pool.
    pub(super) fn reload_by(
        &self,
        id: InstanceId,
        plan: impl FnOnce(&Instance) -> Option<Plan> + Send + 'static,
    ) -> Reloading {
        self.run(move |host| host.reload_now(id, plan))
    }

    pub(super) fn reload_now(
        &self,
        id: InstanceId,
        plan: impl FnOnce(&Instance) -> Option<Plan>,
    ) -> Result<u32, LoadError> {
        let instance = self.instance(id).ok_or_else(gone)?;
        self.replace(&instance, plan)
    }

    /// Makes a plan, does as planned, and records what came of it. The plan is made once no other reload
    /// of the instance is under way, so that it is about what runs and waits then; without one there is
    /// nothing to do.
    pub(super) fn replace(
        &self,
        instance: &Arc<Instance>,
        plan: impl FnOnce(&Instance) -> Option<Plan>,
    ) -> Result<u32, LoadError> {
        if instance.is_at_work_here() {
            return Err(about(instance)(LoadProblem::FromInside.at(LoadStage::Read)));
        }
        let one_at_a_time = instance.reloading.lock();
        if !instance.queue.is_open() {
            return Err(gone());
        }
        let Some(plan) = plan(instance) else { return Ok(instance.current().number) };
        match instance.is_asleep() && !matches!(plan.next, Next::Earlier(..)) {
            true => self.wake_otherwise(instance, &plan, &one_at_a_time),
            false => self.swap(instance, &plan),
        }
    }

    /// Wakes an instance that sleeps as it is planned; if that fails, it sleeps on as it was.
    fn wake_otherwise(
        &self,
        instance: &Arc<Instance>,
        plan: &Plan,
        one_at_a_time: &HeldGuard<'_, ()>,
    ) -> Result<u32, LoadError> {
        let (request, fault) = (instance.request(), instance.fault());
        plan.take_effect(instance);
        instance.forget_fault();
        let woken = self.wake_locked(instance, one_at_a_time);
        if woken.is_err() && plan.changes_request() {
            instance.set_request(LoadRequest::clone(&request));
            match fault {
                Some(fault) => instance.fault_with(&fault),
                None => instance.forget_fault(),
            }
        }
        woken.map(|()| instance.current().number)
    }
}

pub(crate) fn gone() -> LoadError {
    LoadError::new(LoadStage::Read, None, LoadProblem::Nothing("such instance"))
}
