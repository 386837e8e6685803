//! The hot swap: a transaction that ends with the new generation running, or the old one untouched.
//!
//! [`Plan`] decides. Here is done what it decided, and recorded what came of it; the generations are
//! exchanged by [`Instance::take_over`].

use std::sync::Arc;
use std::time::Instant;

use glovebox_events::{LoadStage, NoteKind, ReloadCause, What};

use super::plan::{Facts, Next, Plan, Verdict};
use super::{Host, about};
use crate::instance::{
    Carry, Growth, Handover, Instance, RefusedGeneration, STATE, WaitingGeneration, list,
};
use crate::load::{LoadRequest, Prepared};
use crate::problem::{LoadError, LoadProblem};
use crate::record::{span, unix_nanoseconds};

/// The result of a plan that did not fail.
enum Done {
    /// There was nothing to do.
    Nothing,
    /// It took over, with a state of this version.
    TookOver(Option<u32>),
}

impl Plan {
    /// Lets later reloads of the instance be made as this one.
    pub(super) fn take_effect(&self, instance: &Instance) {
        if let Some(source) = self.source() {
            instance.set_source(source.clone());
        }
        if let Some(request) = self.request() {
            instance.set_request(request.clone());
        }
    }
}

impl Host {
    /// Does as planned, and records what came of it.
    pub(super) fn swap(&self, instance: &Arc<Instance>, plan: &Plan) -> Result<u32, LoadError> {
        let (started, cause) = (Instant::now(), plan.cause());
        let before = instance.current();
        let span = span::reload(&before.about(&instance.shared), cause);
        let _entered = span.enter();
        let mut rejected = Rejected::default();
        let result = self.carry_out(instance, plan, &mut rejected);
        let now = instance.current();
        let what = match &result {
            Ok(Done::Nothing) => return Ok(before.number),
            Ok(Done::TookOver(state_version)) => {
                if plan.settles() {
                    instance.forget_rejected();
                }
                let loaded = instance.request();
                plan.take_effect(instance);
                // One that goes on with the same file is told of no change twice.
                if loaded.source.file() != instance.request().source.file() {
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
                // Before the event: whoever hears of it looks up the reason.
                if plan.is_told(rejected.is_newer, instance.waiting().is_some()) {
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
        let origin = prepared.origin.clone();
        instance.check_id(&prepared).map_err(|error| error.about(origin.clone()))?;
        let current = instance.current();
        let is_as_current = prepared.is_as(&current.prepared);
        rejected.is_newer = plan.is_newer(is_as_current);
        let grown = match rejected.is_newer {
            true => instance.growth(&prepared, plan.keeps_once(true)),
            false => Vec::new(),
        };
        let version = &prepared.manifest.plugin.version;
        let is_older = *version < current.prepared.manifest.plugin.version;
        let found = version.to_string();
        let facts = Facts {
            is_as_current,
            on_probation: instance.proven().is_some(),
            asks_for_more: !grown.is_empty(),
            older: is_older.then(|| instance.swap_rules().older),
            waits_already: instance.waiting().is_some_and(|it| it.prepared.is_as(&prepared)),
        };
        let is_older = match plan.decide(&facts) {
            Verdict::Nothing => return Ok(Done::Nothing),
            Verdict::TakeOver { keeps_once, repeats, needs_state } => {
                let handover = Handover { carry, keeps_once, repeats, needs_state };
                let _runtime = self.runtime().enter();
                let carried = instance.take_over(prepared, handover, rejected.is_newer);
                return match carried {
                    Err(error) if matches!(error.problem, LoadProblem::Nothing(STATE)) => {
                        Ok(Done::Nothing)
                    }
                    carried => carried.map(Done::TookOver).map_err(|error| error.about(origin)),
                };
            }
            Verdict::RefuseOlder => {
                let problem = older_than(instance, &found, false);
                return Err(about(instance)(problem.at(LoadStage::Policy)));
            }
            Verdict::Wait { is_older } => is_older,
        };
        // The generation that waits is prepared by it already.
        if let Some(request) = plan.request() {
            instance.set_request(request.clone());
        }
        let problem = match is_older {
            true => older_than(instance, &found, true),
            false => LoadProblem::AsksForMore { asks: in_words(&grown) },
        };
        let (cause, source) = (plan.cause(), plan.source().cloned());
        rejected.grown = grown;
        rejected.waits = Some(WaitingGeneration { prepared, cause, carry, source });
        rejected.older = is_older.then_some(found);
        Err(about(instance)(problem.at(LoadStage::Policy)))
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
                        let text =
                            "the source holds again what runs; what was refused is forgotten";
                        instance.note(NoteKind::Mended, text);
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
            Next::Earlier(number, _) => {
                let previous = instance.kept(*number).ok_or_else(|| {
                    let problem = match *number {
                        None => LoadProblem::Nothing("generation to go back to"),
                        Some(asked) => {
                            let kept = instance.previous().iter().map(|kept| kept.number).collect();
                            LoadProblem::NotKept { asked, kept }
                        }
                    };
                    about(instance)(problem.at(LoadStage::Read))
                })?;
                let prepared = preparer.in_place(previous.prepared, &request, &load)?;
                return Ok(Some((prepared, Carry::These(previous.states))));
            }
            Next::Waiting(WaitingGeneration { prepared, .. }) | Next::Candidate(prepared, _) => {
                preparer.in_place(prepared.clone(), &request, &load)?
            }
        };
        Ok(Some((prepared, carry)))
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

pub(super) fn in_words(grown: &[Growth]) -> String {
    let asks = grown.iter().map(|it| format!("`{}` for {}", it.permission, list(&it.asks)));
    asks.collect::<Vec<_>>().join(", ")
}
