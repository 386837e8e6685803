//! Tries a next generation beside the one that serves.

use std::sync::Arc;
use std::time::Duration;

use glovebox_events::{LoadStage, NoteKind};

use super::plan::Plan;
use super::swap::in_words;
use super::{Host, Reloading, about, gone};
use crate::id::InstanceId;
use crate::instance::{CandidateRole, Fate, Instance};
use crate::load::{LoadRequest, Source};
use crate::problem::{LoadError, LoadProblem};
use crate::task::Task;

/// How often a candidate is judged, at least.
const LOOK: Duration = Duration::from_millis(100);

impl Host {
    /// Tries what the source of an instance holds now beside the generation that serves; ends with its
    /// number. [`promote`](Self::promote) lets it take over, [`dismiss`](Self::dismiss) ends the trial, and
    /// so do the rules of the policy ([`CandidateRules`](crate::CandidateRules)), a reload and a candidate
    /// before it. [`PluginStatus::candidate`](crate::PluginStatus::candidate) tells how it is doing; each step
    /// is an event.
    ///
    /// Its copies begin with copies of the states of the serving ones, one for each. From then on:
    ///
    /// | | shadow | canary |
    /// |---|---|---|
    /// | frames | all that reach a serving copy, after it and off its way; those that come while more than 1,024 wait are counted as missed | one of so many, which no serving copy gets |
    /// | answers, emitted frames | compared, and thrown away | given and passed on |
    /// | store | a copy, made when it began | that of the instance |
    /// | `now`, `random`, functions of the application | as the serving copy was answered in the same call; other functions are denied | as ever |
    /// | clock and chance of WASI | the host's | as ever |
    /// | files, network | denied | as ever |
    /// | log, metrics, events of the call | none | as ever, with its generation |
    /// | a copy that dies | ends the trial | ends the trial; the call failed |
    /// | state when it takes over | dropped: it goes on from that of the serving generation | dropped, too |
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload). A canary that asks for more than was agreed to is refused: reload, and
    /// decide, first.
    pub fn try_beside(&self, id: InstanceId, role: CandidateRole) -> Reloading {
        self.run(move |host| host.try_now(id, None, role))
    }

    /// The same with the artifact of another source, which is the instance's own once it takes over.
    pub fn try_beside_with(
        &self,
        id: InstanceId,
        source: impl Into<Source>,
        role: CandidateRole,
    ) -> Reloading {
        let source = source.into();
        self.run(move |host| host.try_now(id, Some(source), role))
    }

    /// Lets the candidate of an instance take over, as [`reload`](Self::reload) would: with the state of the
    /// serving generation, its probes, its consent. The trial is over in any case.
    pub fn promote(&self, id: InstanceId) -> Reloading {
        self.run(move |host| {
            let instance = host.instance(id).ok_or_else(gone)?;
            if instance.candidate().is_none() {
                let problem = LoadProblem::Nothing("candidate that is tried");
                return Err(about(&instance)(problem.at(LoadStage::Read)));
            }
            host.reload_now(id, |instance| {
                let candidate = instance.end_candidate("it is to take over")?;
                Some(Plan::promoted(candidate.prepared().clone(), candidate.source.clone()))
            })
        })
    }

    /// Ends the trial of the candidate of an instance. `false` if none is tried.
    pub fn dismiss(&self, id: InstanceId) -> Task<bool> {
        self.run(move |host| {
            let instance = host.instance(id);
            instance.is_some_and(|instance| instance.end_candidate("it was dismissed").is_some())
        })
    }

    fn try_now(
        &self,
        id: InstanceId,
        source: Option<Source>,
        role: CandidateRole,
    ) -> Result<u32, LoadError> {
        let instance = self.instance(id).ok_or_else(gone)?;
        if instance.is_at_work_here() {
            return Err(about(&instance)(LoadProblem::FromInside.at(LoadStage::Read)));
        }
        self.wake(&instance)?;
        let _one_at_a_time = instance.reloading.lock();
        if !instance.queue.is_open() {
            return Err(gone());
        }
        let tried = self.prepare_candidate(&instance, source, role);
        match &tried {
            Ok(_) => self.follow_candidate(&instance),
            Err(error) => {
                instance.note(NoteKind::Generation, &format!("nothing is tried as {role}: {error}"))
            }
        }
        tried
    }

    fn prepare_candidate(
        &self,
        instance: &Arc<Instance>,
        source: Option<Source>,
        role: CandidateRole,
    ) -> Result<u32, LoadError> {
        let _runtime = self.runtime().enter();
        let mut request = LoadRequest::clone(&instance.request());
        if let Some(source) = &source {
            request = request.with_source(source.clone());
        }
        let load = self.inner.loads.begin(request.source.origin());
        let turn = self.inner.turns.take(&load);
        let prepared = self.inner.preparer.prepare(&request, &load)?;
        drop(turn);
        if let CandidateRole::Canary { .. } = role {
            let grown = instance.growth(&prepared, true);
            if !grown.is_empty() {
                let problem = LoadProblem::AsksForMore { asks: in_words(&grown) };
                return Err(about(instance)(problem.at(LoadStage::Policy)));
            }
        }
        let origin = prepared.origin.clone();
        instance.try_beside(prepared, source, role).map_err(|error| error.about(origin))
    }

    /// Judges the candidate from time to time, as long as it is tried.
    fn follow_candidate(&self, instance: &Arc<Instance>) {
        let Some(number) = instance.candidate().map(|candidate| candidate.number()) else { return };
        let (host, instance) = (self.downgrade(), Arc::downgrade(instance));
        self.runtime().spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let (Some(instance), Some(inner)) = (instance.upgrade(), host.upgrade()) else {
                    return;
                };
                let candidate = instance.candidate();
                let Some(candidate) = candidate.filter(|candidate| candidate.number() == number)
                else {
                    return;
                };
                let host = Host { inner };
                match candidate.fate() {
                    Fate::GoesOn => {}
                    Fate::Dismissed(why) => {
                        drop(host.run(move |_| drop(instance.end_candidate(&why))));
                        return;
                    }
                    Fate::TakesOver(calls) => {
                        let name = candidate.name();
                        instance.note(
                            NoteKind::Generation,
                            &format!("{name} was no worse in {calls} calls"),
                        );
                        drop(host.promote(instance.id));
                        return;
                    }
                }
            }
        });
    }
}
