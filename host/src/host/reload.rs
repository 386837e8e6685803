//! The hot swap: a transaction that ends with the new generation running, or the old one untouched.

use std::sync::Arc;
use std::time::Instant;

use glovebox_abi::manifest::Isolation;
use glovebox_events::{LoadStage, ReloadCause, What};

use super::{Host, Reloading, about};
use crate::id::InstanceId;
use crate::instance::{
    AGAIN_WHAT_RUNS, Carry, Growth, Handover, Instance, PreviousGeneration, RefusedGeneration,
    STATE, WaitingGeneration, list,
};
use crate::load::{LoadRequest, Prepared, Source};
use crate::policy::OlderVersion;
use crate::problem::{LoadError, LoadProblem};
use crate::record::{span, unix_nanoseconds};

/// The next generation, and the state it goes on from.
pub(super) struct Plan {
    next: Next,
    carry: Carry,
}

/// The next generation.
enum Next {
    /// The artifact now in the source of the instance.
    Newest,
    /// The same, unless it runs or waits already.
    NewestIfChanged,
    /// The same, unless it ran before: whoever went back from it does not want it by itself.
    NewestIfUnknown,
    /// The artifact of another source, which is the instance's own from then on.
    Other(Source),
    /// The artifact in the source, loaded by another request, which is the instance's own from then on.
    Elsewhere(Box<LoadRequest>),
    /// The artifact in the source, in place of copies that failed.
    AfterFailure,
    /// A fresh copy of the running generation.
    Running,
    /// The running generation, in fresh processes where those that it has may reach something else than
    /// is right now.
    RunningInProcesses,
    /// A generation that is kept: the one of this number, or the latest.
    Earlier(Option<u32>),
    /// The generation that waited for a decision.
    Waiting(WaitingGeneration),
    /// The running generation with better code.
    Optimised(Prepared),
}

impl Plan {
    /// Goes on after a failed call.
    pub(super) fn after_failure(carry: Carry) -> Plan {
        Plan { next: Next::AfterFailure, carry }
    }

    /// Goes back to a generation that is kept: the one of this number, or the latest.
    pub(super) fn back(number: Option<u32>) -> Plan {
        Plan { next: Next::Earlier(number), carry: Carry::Nothing }
    }

    /// Goes on with better code of what runs.
    pub(super) fn optimised(better: Prepared) -> Plan {
        Plan { next: Next::Optimised(better), carry: Carry::Current }
    }

    /// The recorded cause.
    fn cause(&self) -> ReloadCause {
        match &self.next {
            Next::Newest | Next::Other(_) | Next::Elsewhere(_) => ReloadCause::Requested,
            Next::NewestIfChanged | Next::NewestIfUnknown => ReloadCause::FileChanged,
            Next::AfterFailure => ReloadCause::Restart,
            Next::Running | Next::RunningInProcesses => ReloadCause::PolicyChanged,
            Next::Earlier(_) => ReloadCause::RolledBack,
            Next::Waiting(waiting) => waiting.cause,
            Next::Optimised(_) => ReloadCause::Optimised,
        }
    }

    /// True if it may ask for more than was agreed to. Nobody is asked about what ran before, or runs.
    /// `is_as_current` says whether what was prepared is what runs; the source may hold something else
    /// by the time at which it is read.
    fn is_newer(&self, is_as_current: bool) -> bool {
        match &self.next {
            Next::Newest
            | Next::NewestIfChanged
            | Next::NewestIfUnknown
            | Next::Other(_)
            | Next::Elsewhere(_)
            | Next::Waiting(_) => true,
            Next::AfterFailure => !is_as_current,
            Next::Running | Next::RunningInProcesses | Next::Earlier(_) | Next::Optimised(_) => {
                false
            }
        }
    }

    /// True if it makes fresh copies of what runs, so that there is no generation to go back to. One
    /// that is loaded again while it is on probation does not become the one before.
    fn repeats(&self, is_as_current: bool, on_probation: bool) -> bool {
        match &self.next {
            Next::Running | Next::Optimised(_) => true,
            Next::Earlier(_) => false,
            Next::AfterFailure => is_as_current,
            _ => is_as_current && on_probation,
        }
    }

    /// True if it settles what became of an attempt before it.
    fn settles(&self) -> bool {
        !matches!(self.next, Next::Running | Next::Optimised(_))
    }

    /// The request of the instance once it runs or waits, if it is another one.
    fn request(&self) -> Option<&LoadRequest> {
        match &self.next {
            Next::Elsewhere(request) => Some(request),
            _ => None,
        }
    }

    /// The source of the instance once it runs, if it is another one.
    fn source(&self) -> Option<&Source> {
        match &self.next {
            Next::Other(source) => Some(source),
            Next::Waiting(waiting) => waiting.source.as_ref(),
            _ => None,
        }
    }

    /// True if the instance is loaded otherwise after it.
    fn changes_request(&self) -> bool {
        self.source().is_some() || self.request().is_some()
    }

    /// Lets later reloads of the instance be made as this one.
    fn change_request(&self, instance: &Instance) {
        if let Some(source) = self.source() {
            instance.set_source(source.clone());
        }
        if let Some(request) = self.request() {
            instance.set_request(request.clone());
        }
    }
}

/// The result of a plan that did not fail.
enum Done {
    /// There was nothing to do.
    Nothing,
    /// It took over, with a state of this version.
    TookOver(Option<u32>),
}

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

    /// Goes back to the artifact before, with the state it had when it was replaced. The source of the
    /// instance stays: a later [`reload`](Self::reload) loads what that holds.
    pub fn roll_back(&self, id: InstanceId) -> Reloading {
        self.reload_by(id, |_| Some(Plan::back(None)))
    }

    /// The same to any generation that is [kept](crate::PluginStatus::kept).
    pub fn roll_back_to(&self, id: InstanceId, generation: u32) -> Reloading {
        self.reload_by(id, move |_| Some(Plan::back(Some(generation))))
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

    fn reload_now(
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
        if instance.is_asleep() && !matches!(plan.next, Next::Earlier(_)) {
            let (request, fault) = (instance.request(), instance.fault());
            plan.change_request(instance);
            instance.forget_fault();
            let woken = self.wake_locked(instance, &one_at_a_time);
            if woken.is_err() && plan.changes_request() {
                // It sleeps on as it was.
                instance.set_request(LoadRequest::clone(&request));
                match fault {
                    Some(fault) => instance.fault_with(&fault),
                    None => instance.forget_fault(),
                }
            }
            return woken.map(|()| instance.current().number);
        }
        let (started, cause) = (Instant::now(), plan.cause());
        let before = instance.current();
        let span = span::reload(&before.about(&instance.shared), cause);
        let _entered = span.enter();
        let mut rejected = Rejected::default();
        let result = self.carry_out(instance, &plan, &mut rejected);
        let now = instance.current();
        let what = match &result {
            Ok(Done::Nothing) => return Ok(before.number),
            Ok(Done::TookOver(state_version)) => {
                if plan.settles() {
                    instance.forget_rejected();
                }
                plan.change_request(instance);
                if plan.source().is_some() {
                    self.watch_anew(instance);
                }
                // Fresh copies of what runs change nothing about its probation.
                if rejected.is_newer && instance.serves_since() == now.number {
                    self.begin_probation(instance, cause);
                }
                self.optimise_later(instance);
                span.record("next_generation", now.number);
                tracing::info!(plugin = &*instance.plugin, %cause, generation = now.number, "reloaded");
                What::Reloaded {
                    cause,
                    from: before.number,
                    version: now.prepared.manifest.plugin.version.to_string(),
                    digest: now.prepared.digest.clone(),
                    state_version: *state_version,
                    took: started.elapsed(),
                }
            }
            // Half a file says nothing about the plugin: the watch looks again.
            Err(error)
                if cause == ReloadCause::FileChanged
                    && matches!(error.problem(), LoadProblem::Unsteady) =>
            {
                return result.map(|_| before.number);
            }
            Err(error) => {
                tracing::warn!(plugin = &*instance.plugin, %cause, %error, "not reloaded");
                // A fresh copy that cannot be made must not hide what waits, and going back is no
                // newer generation.
                let is_told = rejected.is_newer
                    || matches!(plan.next, Next::Running) && instance.waiting().is_none();
                // Before the event: whoever hears of it looks up the reason.
                if is_told {
                    let told = RefusedGeneration {
                        cause,
                        stage: error.stage(),
                        message: error.to_string(),
                        at: unix_nanoseconds(),
                        waits_for: rejected.grown,
                        older: rejected.older,
                    };
                    instance.reject(told, rejected.waits);
                }
                What::ReloadFailed {
                    cause,
                    stage: error.stage(),
                    message: error.to_string(),
                    took: started.elapsed(),
                }
            }
        };
        instance.shared.record(now.number, what);
        result.map(|_| now.number)
    }

    fn carry_out(
        &self,
        instance: &Arc<Instance>,
        plan: &Plan,
        rejected: &mut Rejected,
    ) -> Result<Done, LoadError> {
        rejected.is_newer = plan.is_newer(true);
        if matches!(plan.next, Next::RunningInProcesses) {
            instance.keep_up();
        }
        let Some((prepared, carry)) = self.find_next(instance, plan)? else {
            return Ok(Done::Nothing);
        };
        // Nobody is asked about another plugin.
        let origin = || prepared.origin.clone();
        instance.check_id(&prepared).map_err(|error| error.about(origin()))?;
        let is_as_current = prepared.is_as(&instance.current().prepared);
        rejected.is_newer = plan.is_newer(is_as_current);
        // A person has seen what waited already.
        let keeps_once = !rejected.is_newer || matches!(plan.next, Next::Waiting(_));
        let grown = match rejected.is_newer {
            true => instance.growth(&prepared, keeps_once),
            false => Vec::new(),
        };
        let older = self.older(instance, plan, &prepared, rejected.is_newer)?;
        if grown.is_empty() && older.is_none() {
            let on_probation = instance.proven().is_some();
            let repeats = plan.repeats(is_as_current, on_probation);
            let needs_state = matches!(plan.next, Next::Optimised(_));
            let handover = Handover { carry, keeps_once, repeats, needs_state };
            return match self.take_over(instance, prepared, handover, rejected.is_newer) {
                Err(error) if matches!(error.problem(), LoadProblem::Nothing(STATE)) => {
                    Ok(Done::Nothing)
                }
                carried => carried.map(Done::TookOver),
            };
        }
        if matches!(plan.next, Next::NewestIfChanged | Next::NewestIfUnknown)
            && instance.waiting().is_some_and(|waiting| waiting.prepared.is_as(&prepared))
        {
            return Ok(Done::Nothing);
        }
        let asks = grown
            .iter()
            .map(|growth| format!("`{}` for {}", growth.permission, list(&growth.asks)));
        let asks = asks.collect::<Vec<_>>().join(", ");
        // The generation that waits is prepared by it already.
        if let Some(request) = plan.request() {
            instance.set_request(request.clone());
        }
        let (cause, source) = (plan.cause(), plan.source().cloned());
        rejected.grown = grown;
        rejected.waits = Some(WaitingGeneration { prepared, cause, carry, source });
        let problem = match &older {
            Some(older) => older_than(instance, older, true),
            None => LoadProblem::AsksForMore { asks },
        };
        rejected.older = older;
        Err(about(instance)(problem.at(LoadStage::Policy)))
    }

    /// The version of what was prepared, if somebody has to accept it because it is older.
    fn older(
        &self,
        instance: &Instance,
        plan: &Plan,
        prepared: &Prepared,
        is_newer: bool,
    ) -> Result<Option<String>, LoadError> {
        let (found, current) = (&prepared.manifest.plugin.version, instance.current());
        // The waiting generation was accepted.
        let is_decided = !is_newer || matches!(plan.next, Next::Waiting(_));
        if is_decided || *found >= current.prepared.manifest.plugin.version {
            return Ok(None);
        }
        match instance.swap_rules().older {
            OlderVersion::Run => Ok(None),
            OlderVersion::Ask => Ok(Some(found.to_string())),
            OlderVersion::Refuse => {
                let problem = older_than(instance, &found.to_string(), false);
                Err(about(instance)(problem.at(LoadStage::Policy)))
            }
        }
    }

    /// The next generation, and the state it goes on from; `None` if there is nothing to do.
    fn find_next(
        &self,
        instance: &Instance,
        plan: &Plan,
    ) -> Result<Option<(Prepared, Carry)>, LoadError> {
        let _runtime = self.runtime().enter();
        let (preparer, request) = (&self.inner.preparer, instance.request());
        let carry = plan.carry.clone();
        let load = self.inner.loads.begin(request.source.origin());
        let in_turn = |request: &LoadRequest| {
            let _turn = self.inner.turns.take(&load);
            preparer.prepare(request, &load)
        };
        let prepared = match &plan.next {
            Next::Newest => in_turn(&request)?,
            // A caller waits for it, who does not queue up behind the compiles of others.
            Next::AfterFailure => preparer.prepare(&request, &load)?,
            Next::NewestIfChanged | Next::NewestIfUnknown => {
                // Before anything is compiled.
                let glanced = preparer.glance(&request, &load)?;
                if glanced.is_as(&instance.current().prepared) {
                    if instance.forget_rejected() {
                        instance.note(AGAIN_WHAT_RUNS);
                    }
                    return Ok(None);
                }
                let ran = || instance.previous().iter().any(|it| it.prepared.is_as(&glanced));
                if matches!(plan.next, Next::NewestIfUnknown) && ran() {
                    return Ok(None);
                }
                in_turn(&request)?
            }
            Next::Other(source) => in_turn(&request.with_source(source.clone()))?,
            Next::Elsewhere(request) => in_turn(request)?,
            Next::Running => instance.current().prepared.clone(),
            // No generation takes over.
            Next::RunningInProcesses => return Ok(None),
            Next::Optimised(better) => better.clone(),
            // Both may have been prepared for another place than the one that was decided on since.
            Next::Earlier(number) => {
                let kept = instance.previous();
                let is_it = |kept: &&PreviousGeneration| number.is_none_or(|it| it == kept.number);
                let previous = kept.iter().rev().find(is_it).cloned().ok_or_else(|| {
                    let problem = match *number {
                        None => LoadProblem::Nothing("generation to go back to"),
                        Some(asked) => {
                            let kept = kept.iter().map(|kept| kept.number).collect();
                            LoadProblem::NotKept { asked, kept }
                        }
                    };
                    about(instance)(problem.at(LoadStage::Read))
                })?;
                let prepared = preparer.in_place(previous.prepared, &request, &load)?;
                return Ok(Some((prepared, Carry::These(previous.states))));
            }
            Next::Waiting(waiting) => {
                preparer.in_place(waiting.prepared.clone(), &request, &load)?
            }
        };
        Ok(Some((prepared, carry)))
    }

    /// Gives the version of the state that was carried over.
    fn take_over(
        &self,
        instance: &Arc<Instance>,
        prepared: Prepared,
        handover: Handover,
        is_newer: bool,
    ) -> Result<Option<u32>, LoadError> {
        let _runtime = self.runtime().enter();
        let origin = prepared.origin.clone();
        let carried = instance
            .next(prepared, handover.keeps_once)
            .and_then(|fresh| {
                if is_newer {
                    instance.probe(&fresh, &handover.carry)?;
                }
                instance.switch(fresh, handover)
            })
            .map_err(|error| error.about(origin))?;
        instance.tend();
        instance.ask_again();
        Ok(carried)
    }
}

/// The kept part of a generation that did not take over.
#[derive(Default)]
struct Rejected {
    is_newer: bool,
    older: Option<String>,
    grown: Vec<Growth>,
    waits: Option<WaitingGeneration>,
}

fn older_than(instance: &Instance, found: &str, is_asked: bool) -> LoadProblem {
    let runs = instance.current().prepared.manifest.plugin.version.to_string();
    LoadProblem::Older { found: found.to_owned(), runs, is_asked }
}

pub(crate) fn gone() -> LoadError {
    LoadError::new(LoadStage::Read, None, LoadProblem::Nothing("such instance"))
}
