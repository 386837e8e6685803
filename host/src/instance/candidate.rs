//! A candidate: a next generation that is tried beside the one that serves, until it takes over or is
//! dismissed.
//!
//! A *shadow* makes the calls of the serving copies again, off their way, with copies of their states and
//! of the store. Its answers and emitted frames are compared and reach nobody; its uses of services have
//! no effect. A *canary* answers some frames in place of the serving copies, for real, in the same order
//! and under the same lock, so that exactly one of the two gets each frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use glovebox_abi::{Frame, Kind};
use glovebox_events::latency::Latencies;
use glovebox_events::{CallId, LoadStage, NoteKind, Outcome};
use parking_lot::Mutex;

use super::Instance;
use super::copy::PluginCopy;
use super::generation::{Coming, Generation};
use super::probation::Calls;
use super::report::{CandidateRole, CandidateStatus, Difference};
use super::start::{check_health, ready, restore};
use crate::backend::{self, Backend};
use crate::frames::Frames;
use crate::guard::caught;
use crate::load::{Prepared, Source};
use crate::policy::CandidateRules;
use crate::problem::{LoadProblem, StageError};
use crate::reply::Reply;
use crate::services::{CopyServices, InstanceServices, SameAnswers, Use};
use crate::stop::Stop;

/// Frames, and bytes of them, that may wait for a shadow. Beyond, it does not get them, and they are
/// counted: the serving copies wait for nothing.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 64 << 20;
/// Differences that are told; all are counted.
const TOLD: usize = 16;

/// See the module.
pub(crate) struct Candidate {
    pub(crate) role: CandidateRole,
    pub(crate) source: Option<Source>,
    generation: Arc<Generation>,
    rules: CandidateRules,
    found: Mutex<Found>,
    /// Frames of the instance so far, by which a canary gets its share.
    frames: AtomicU64,
    shadow: Option<Shadow>,
    /// Lets changes of rights reach a canary.
    _coming: Option<Arc<Coming>>,
}

/// The results of the calls so far.
#[derive(Default)]
struct Found {
    own: Side,
    /// Of a shadow, the same calls; of a canary, the others.
    serving: Side,
    different: u64,
    missed: u64,
    told: Vec<Difference>,
    /// Why it cannot go on.
    over: Option<String>,
}

/// The calls of one of the two.
struct Side {
    ended: u64,
    failed: u64,
    /// For the rules.
    latency: Latencies,
    /// For people.
    exact: Latencies,
}

impl Default for Side {
    fn default() -> Side {
        let (latency, exact) = (Latencies::in_doublings(), Latencies::exact());
        Side { ended: 0, failed: 0, latency, exact }
    }
}

impl Side {
    fn add(&mut self, outcome: &Outcome, took: Option<Duration>) {
        self.ended += 1;
        let is_failure =
            !matches!(outcome, Outcome::Completed | Outcome::Refused { .. } | Outcome::Cancelled);
        self.failed += u64::from(is_failure);
        if let Some(took) = took {
            self.latency.add(took);
            self.exact.add(took);
        }
    }

    fn calls(&self) -> Calls {
        let timed = self.latency.count();
        let at_most = if timed > 0 { self.latency.at_most().collect() } else { Vec::new() };
        Calls { ended: self.ended, failed: self.failed, timed, at_most }
    }
}

/// The next step of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    GoesOn,
    /// It takes over, because so many calls were no worse.
    TakesOver(u64),
    /// It is dismissed, and why.
    Dismissed(String),
}

/// The copies of a shadow, and the calls that wait for them.
struct Shadow {
    waiting: Mutex<Waiting>,
    /// One for each serving copy; taken out when the trial ends.
    copies: Mutex<Vec<Box<dyn Backend>>>,
    shared: Arc<InstanceServices>,
    answers: Arc<SameAnswers>,
}

#[derive(Default)]
struct Waiting {
    calls: VecDeque<Copied>,
    bytes: usize,
    is_at_work: bool,
}

/// A call of a serving copy, which a shadow makes again.
struct Copied {
    copy: usize,
    call: CallId,
    frame: Frame,
    outcome: Outcome,
    frames: Vec<Frame>,
    emitted: Vec<Frame>,
    took: Option<Duration>,
    uses: Vec<Use>,
}

impl Copied {
    fn size(&self) -> usize {
        let frames = [&self.frame].into_iter().chain(&self.frames).chain(&self.emitted);
        frames.map(Frame::size).sum()
    }
}

/// A copy of a canary beside a serving copy.
pub(super) struct CanaryCopy {
    candidate: Arc<Candidate>,
    generation: Arc<Generation>,
    /// `None` if it died.
    backend: Option<Box<dyn Backend>>,
}

impl CanaryCopy {
    /// True if it answers the next frame, which is of this kind.
    fn takes(&mut self, kind: Kind) -> bool {
        let is_its_turn = self.candidate.is_turn_of_canary();
        // Its process cannot have what is right now, and no frame may get there.
        if self.backend.as_ref().is_some_and(|backend| backend.is_outdated()) {
            self.backend.take().into_iter().for_each(backend::discard);
            self.candidate.give_up("what its process may reach has changed".to_owned());
        }
        let generation = &self.generation;
        is_its_turn
            && self.backend.is_some()
            && generation.accepts(kind)
            && generation.rights.receives(kind)
    }

    /// Ends it.
    pub(super) fn end(self) {
        if let Some(mut backend) = self.backend {
            let lifecycle = &self.generation.prepared.manifest.lifecycle;
            backend.context().begin_last_step(lifecycle.stop_deadline);
            backend::end(backend);
        }
    }
}

/// True if the frame of this number, from 0, is for a canary that answers one of `one_in`: exactly one of
/// each row of so many, at a place that the seed chooses for the row.
fn is_turn(number: u64, one_in: u32, seed: u64) -> bool {
    let one_in = u64::from(one_in.max(1));
    // SplitMix64: neighbouring rows get places that have nothing to do with each other.
    let mut mixed = (number / one_in).wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number % one_in == (mixed ^ (mixed >> 31)) % one_in
}

impl Candidate {
    fn is_turn_of_canary(&self) -> bool {
        let CandidateRole::Canary { one_in, seed } = self.role else { return false };
        is_turn(self.frames.fetch_add(1, Ordering::Relaxed), one_in, seed)
    }

    pub(crate) fn number(&self) -> u32 {
        self.generation.number
    }

    pub(crate) fn prepared(&self) -> &Prepared {
        &self.generation.prepared
    }

    /// Its name in notes.
    pub(crate) fn name(&self) -> String {
        let (number, version) = (self.number(), &self.prepared().manifest.plugin.version);
        format!("generation {number}, version {version}, as {}", self.role)
    }

    /// Says that it cannot go on. Only the first reason counts.
    fn give_up(&self, why: String) {
        self.found.lock().over.get_or_insert(why);
    }

    /// Its next step, by the rules.
    pub(crate) fn fate(&self) -> Fate {
        let found = self.found.lock();
        if let Some(why) = &found.over {
            return Fate::Dismissed(why.clone());
        }
        let (own, serving) = (found.own.calls(), found.serving.calls());
        if let Some(worse) = own.are_worse_than(&serving, &self.rules.than_serving()) {
            return Fate::Dismissed(worse);
        }
        let ended = found.own.ended;
        let share = found.different as f64 / ended.max(1) as f64;
        // Where it missed frames, its state is another one.
        let is_judged = found.missed == 0 && ended >= self.rules.calls;
        if let Some(most) = self.rules.differences.filter(|most| is_judged && share > *most) {
            let different = found.different;
            return Fate::Dismissed(format!(
                "{different} of {ended} answers differ, a larger share than {most}"
            ));
        }
        match self.rules.promote_after {
            Some(calls) if ended >= calls.max(self.rules.calls) => Fate::TakesOver(ended),
            _ => Fate::GoesOn,
        }
    }

    pub(crate) fn status(&self) -> CandidateStatus {
        let found = self.found.lock();
        let exact = [&found.own, &found.serving].map(|side| side.exact.clone());
        let mut status = CandidateStatus {
            generation: self.number(),
            version: self.prepared().manifest.plugin.version.to_string(),
            digest: self.prepared().digest.clone(),
            role: self.role,
            calls: found.own.ended,
            failed: found.own.failed,
            serving_calls: found.serving.ended,
            serving_failed: found.serving.failed,
            different: found.different,
            missed: found.missed,
            differences: found.told.clone(),
            median: None,
            serving_median: None,
        };
        // Calls do not wait while they are sorted.
        drop(found);
        [status.median, status.serving_median] = exact.map(|latency| latency.quantile(0.5));
        status
    }

    /// Keeps a call for the shadow. True if somebody has to work off what waits.
    fn keep(&self, copied: Copied) -> bool {
        let Some(shadow) = &self.shadow else { return false };
        let size = copied.size();
        let mut waiting = shadow.waiting.lock();
        if waiting.calls.len() >= WAITING || waiting.bytes + size > WAITING_BYTES {
            drop(waiting);
            self.found.lock().missed += 1;
            return false;
        }
        waiting.bytes += size;
        waiting.calls.push_back(copied);
        !std::mem::replace(&mut waiting.is_at_work, true)
    }

    /// Makes the calls that wait, one after the other. Gives differences to `tell`.
    fn work_off(&self, tell: impl Fn(&Difference)) {
        let Some(shadow) = &self.shadow else { return };
        loop {
            let next = {
                let mut waiting = shadow.waiting.lock();
                let next = waiting.calls.pop_front();
                waiting.is_at_work = next.is_some();
                waiting.bytes -= next.as_ref().map_or(0, Copied::size);
                next
            };
            let Some(copied) = next else { return };
            match caught(|| self.make_again(shadow, copied)) {
                Ok(None) => {}
                Ok(Some(difference)) => tell(&difference),
                Err(reason) => self.give_up(format!("a fault of the host: {reason}")),
            }
        }
    }

    /// Makes one call again. Gives the difference, if there is one and it is to be told.
    fn make_again(&self, shadow: &Shadow, copied: Copied) -> Option<Difference> {
        let Copied { copy, call, frame, outcome, frames, emitted, took, uses } = copied;
        let mut copies = shadow.copies.lock();
        // The trial is over.
        let backend = copies.get_mut(copy)?;
        shadow.answers.begin(uses);
        let (mut answer, mut sent) = (Frames::new(), Vec::new());
        let started = Instant::now();
        let accepts =
            self.generation.accepts(frame.kind) && self.generation.rights.receives(frame.kind);
        let (ended, is_dead) = match accepts {
            false => {
                let reason = format!("it does not accept {} frames", frame.kind);
                (Outcome::Refused { reason }, false)
            }
            true => match backend.call(call, &frame, &mut answer, &mut sent) {
                Ok(()) => (Outcome::Completed, false),
                Err(stop) => {
                    let is_dead = matches!(stop, Stop::Dead(_));
                    answer.clear();
                    (stop.into_outcome(), is_dead)
                }
            },
        };
        let own_took = took.map(|_| started.elapsed());
        drop(copies);
        if is_dead {
            self.give_up(format!("its copy ended at call {}: it {ended}", call.0));
        }
        let how = differs((&outcome, &frames, &emitted), (&ended, &answer, &sent));
        let mut found = self.found.lock();
        found.serving.add(&outcome, took);
        found.own.add(&ended, own_took);
        let how = how?;
        found.different += 1;
        let difference = Difference { call, how };
        let is_told = found.told.len() < TOLD;
        is_told.then(|| {
            found.told.push(difference.clone());
            difference
        })
    }
}

/// An outcome, the frames of an answer, and those that were emitted.
type Came<'a> = (&'a Outcome, &'a [Frame], &'a [Frame]);

/// How what came of one call is another than what came of the same call of the serving copy.
fn differs(serving: Came<'_>, own: Came<'_>) -> Option<String> {
    if serving.0 != own.0 {
        return Some(format!("it {}, and the serving one {}", own.0, serving.0));
    }
    for (what, serving, own) in [("frames", serving.1, own.1), ("emitted frames", serving.2, own.2)]
    {
        if serving.len() != own.len() {
            let (own, serving) = (own.len(), serving.len());
            return Some(format!("it gave {own} {what}, and the serving one {serving}"));
        }
        if let Some(at) = serving.iter().zip(own).position(|(serving, own)| serving != own) {
            return Some(format!("number {} of its {what} is another one", at + 1));
        }
    }
    None
}

impl PluginCopy {
    /// Hands the call that just ended to the shadow.
    #[cold]
    pub(super) fn hand_to_shadow(&mut self, frame: &Frame, reply: &Reply) {
        let Some(candidate) = self.support.candidate.load_full() else { return };
        // Nothing of the plugin ran.
        if reply.outcome.is_refused() {
            return;
        }
        let context = self.backend.as_mut().map(|backend| backend.context());
        let Some(uses) = context.and_then(|context| context.uses.replace(Vec::new())) else {
            let why = "a serving copy was replaced, and its state is another one since";
            return candidate.give_up(why.to_owned());
        };
        let is_alone = candidate.keep(Copied {
            copy: self.status.copy as usize,
            call: reply.call,
            frame: frame.clone(),
            outcome: reply.outcome.clone(),
            frames: reply.frames.to_vec(),
            emitted: self.emitted.clone(),
            took: self.last_took,
            uses,
        });
        if is_alone {
            let (shared, number) = (self.support.shared.clone(), self.generation.number);
            self.support.runtime.spawn_blocking(move || {
                candidate.work_off(|Difference { call, how }| {
                    let name = candidate.name();
                    shared.note(number, format!("{name} differs at call {}: {how}", call.0));
                });
            });
        }
    }

    /// Makes a call by the canary or by the serving copy, whoever's turn it is.
    #[cold]
    pub(super) fn call_beside_canary(&mut self, frame: &Frame, queue: Duration, reply: &mut Reply) {
        let Some(mut canary) = self.canary.take() else { return };
        let is_its_turn = canary.takes(frame.kind);
        if is_its_turn {
            self.exchange(&mut canary);
            self.is_canary = true;
        }
        self.call_own(frame, queue, reply);
        if is_its_turn {
            self.is_canary = false;
            self.exchange(&mut canary);
        }
        let candidate = &canary.candidate;
        let took = self.last_took.filter(|_| !reply.outcome.is_refused());
        let mut found = candidate.found.lock();
        match is_its_turn {
            true => found.own.add(&reply.outcome, took),
            false => found.serving.add(&reply.outcome, took),
        }
        drop(found);
        if canary.backend.is_none() {
            let outcome = &reply.outcome;
            candidate.give_up(format!("its copy ended at call {}: it {outcome}", reply.call.0));
        }
        self.canary = Some(canary);
    }

    /// Lets the canary be what runs, or no longer.
    fn exchange(&mut self, canary: &mut CanaryCopy) {
        std::mem::swap(&mut self.backend, &mut canary.backend);
        std::mem::swap(&mut self.generation, &mut canary.generation);
        self.run_as_generation();
    }

    /// The copy of the canary died of a call: it is not replaced.
    pub(super) fn lose_canary(&mut self, cause: &str) {
        self.keep_evidence(cause);
        if let Some(backend) = self.backend.take() {
            backend::discard(backend);
        }
    }
}

impl Instance {
    /// Lets a next generation be tried beside the one that serves. Gives its number.
    pub(crate) fn try_beside(
        &self,
        prepared: Prepared,
        source: Option<Source>,
        role: CandidateRole,
    ) -> Result<u32, StageError> {
        self.check_id(&prepared)?;
        self.check_layers(&prepared)?;
        drop(self.end_candidate("another one is tried"));
        let rules = self.swap_rules().candidate;
        let number = self.generations.last.fetch_add(1, Ordering::Relaxed) + 1;
        let coming = self.announce(prepared, true);
        let (prepared, tier) = (coming.prepared.clone(), coming.prepared.tier);
        let lifecycle = prepared.manifest.lifecycle.clone();
        let (shared, rights, answers) = match role {
            CandidateRole::Canary { .. } => (self.shared.clone(), coming.rights.clone(), None),
            CandidateRole::Shadow => {
                let answers = Arc::new(SameAnswers::new(self.shared.answers.is_some()));
                let shared = self.shared.shadow(answers.clone());
                let grants = coming.rights.grants.load().without_effects();
                (shared, Arc::new(coming.rights.with_grants(grants)), Some(answers))
            }
        };
        let fresh = |_| {
            let context = CopyServices::new(shared.clone(), rights.clone(), number, tier);
            let mut backend = ready(&prepared.code, &prepared.manifest, context, &rights)?;
            check_health(&mut backend, &lifecycle)?;
            Ok(backend)
        };
        let mut backends: Vec<_> =
            (0..self.copies()).map(fresh).collect::<Result<_, StageError>>()?;
        let mut held = self.hold_all_in_time()?;
        for (held, backend) in held.iter_mut().zip(&mut backends) {
            let Some(state) = held.copy().state()? else { continue };
            restore(backend, &state, &lifecycle).map_err(|stop| {
                LoadProblem::Call(stop.into_outcome()).at(LoadStage::RestoreState)
            })?;
            check_health(backend, &lifecycle)?;
        }
        let generation = Arc::new(Generation::new(number, prepared, rights));
        let is_shadow = role == CandidateRole::Shadow;
        let mut canaries = Vec::new();
        let shadow = answers.map(|answers| {
            // As it is while no call runs.
            *shared.kv.lock() = self.shared.kv.lock().entries().clone().into();
            let copies = Mutex::new(std::mem::take(&mut backends));
            Shadow { waiting: Mutex::default(), copies, shared, answers }
        });
        canaries.append(&mut backends);
        let candidate = Arc::new(Candidate {
            role,
            source,
            generation: generation.clone(),
            rules,
            found: Mutex::default(),
            frames: AtomicU64::new(0),
            shadow,
            _coming: (!is_shadow).then_some(coming),
        });
        let mut canaries = canaries.into_iter();
        for held in &mut held {
            let copy = held.copy();
            copy.canary = canaries.next().map(|backend| {
                let (candidate, generation) = (candidate.clone(), generation.clone());
                Box::new(CanaryCopy { candidate, generation, backend: Some(backend) })
            });
            if let Some(backend) = copy.backend.as_mut().filter(|_| is_shadow) {
                backend.context().uses = Some(Vec::new());
            }
            copy.status.shadow_calls(is_shadow);
        }
        self.support.candidate.store(Some(candidate.clone()));
        drop(held);
        let serving = self.current().number;
        self.note(
            NoteKind::Generation,
            &format!("{} is tried beside generation {serving}", candidate.name()),
        );
        Ok(number)
    }

    /// The candidate, if one is tried.
    pub(crate) fn candidate(&self) -> Option<Arc<Candidate>> {
        self.support.candidate.load_full()
    }

    /// Ends the trial of a candidate, if there is one, and gives it. Waits for the calls under way.
    pub(crate) fn end_candidate(&self, why: &str) -> Option<Arc<Candidate>> {
        let candidate = self.support.candidate.swap(None)?;
        for copy in 0..self.copies() {
            let Some(mut held) = self.pool.hold(copy) else { continue };
            let canary = held.copy().leave_candidate();
            drop(held);
            if let Some(canary) = canary {
                canary.end();
            }
        }
        self.forget_candidate(&candidate, why);
        Some(candidate)
    }

    /// The same for whoever holds the copies and has let them leave it.
    pub(super) fn forget_candidate(&self, candidate: &Candidate, why: &str) {
        if let Some(shadow) = &candidate.shadow {
            // Nobody waits for what a call of it would give.
            shadow.shared.cancellations.cancel_for_good();
            let lifecycle = &candidate.prepared().manifest.lifecycle;
            for mut backend in std::mem::take(&mut *shadow.copies.lock()) {
                backend.context().begin_last_step(lifecycle.stop_deadline);
                backend::end(backend);
            }
        }
        self.note(
            NoteKind::Generation,
            &format!("the trial of {} is over: {why}; {}", candidate.name(), candidate.status()),
        );
    }
}

impl PluginCopy {
    /// Has no candidate beside it any more; gives the copy of a canary.
    pub(super) fn leave_candidate(&mut self) -> Option<CanaryCopy> {
        self.status.shadow_calls(false);
        if let Some(backend) = &mut self.backend {
            backend.context().uses = None;
        }
        self.canary.take().map(|canary| *canary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_gets_exactly_its_share() {
        fn check(one_in: u32, seed: u64, rows: u64) {
            let length = u64::from(one_in);
            let turns: Vec<u64> =
                (0..rows * length).filter(|number| is_turn(*number, one_in, seed)).collect();
            let rows_with_one: Vec<u64> = turns.iter().map(|number| number / length).collect();
            assert_eq!(rows_with_one, (0..rows).collect::<Vec<_>>(), "{one_in} {seed}");
            let again: Vec<u64> =
                (0..rows * length).filter(|number| is_turn(*number, one_in, seed)).collect();
            assert_eq!(turns, again);
            let places: std::collections::BTreeSet<u64> =
                turns.iter().map(|number| number % length).collect();
            assert!(rows < 100 || places.len() as u64 == length, "{places:?}");
        }
        check(1, 0, 10);
        check(2, 7, 100);
        check(10, 7, 1000);
    }

    #[test]
    fn a_median_is_that_of_the_calls_and_no_bound_of_a_step() {
        fn check(micros: &[u64], expected: Option<u64>) {
            let mut side = Side::default();
            let times = micros.iter().map(|micros| Duration::from_micros(*micros));
            times.for_each(|took| side.add(&Outcome::Completed, Some(took)));
            assert_eq!(side.exact.quantile(0.5), expected.map(Duration::from_micros));
        }
        check(&[], None);
        check(&[299], Some(299));
        check(&[11, 14, 20], Some(14));
    }

    #[test]
    fn what_differs_is_named() {
        let one = [Frame::data("a")];
        let two = [Frame::data("a"), Frame::data("b")];
        let other = [Frame::data("a"), Frame::data("c")];
        let failed = Outcome::Failed { code: 1, message: "no".to_owned() };
        let done = Outcome::Completed;
        #[track_caller]
        fn check(serving: Came<'_>, own: Came<'_>, expected: Option<&str>) {
            let found = differs(serving, own);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(found.is_none_or(|found| found.contains(expected.unwrap_or_default())));
        }
        check((&done, &one, &[]), (&done, &one, &[]), None);
        check((&done, &one, &[]), (&failed, &[], &[]), Some("and the serving one completed"));
        check((&done, &one, &[]), (&done, &two, &[]), Some("2 frames, and the serving one 1"));
        check((&done, &two, &[]), (&done, &other, &[]), Some("number 2 of its frames"));
        check((&done, &one, &two), (&done, &one, &other), Some("number 2 of its emitted frames"));
    }
}
