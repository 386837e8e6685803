//! The decisions of a reload, without its effects: which generation comes next, whether anybody has to
//! agree to it, and how it takes over.

use glovebox_events::ReloadCause;

use crate::instance::{Carry, Instance, WaitingGeneration};
use crate::load::{LoadRequest, Prepared, Source};
use crate::policy::OlderVersion;

/// The next generation, and the state it goes on from.
pub(super) struct Plan {
    pub(super) next: Next,
    pub(super) carry: Carry,
}

/// The next generation.
pub(super) enum Next {
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
    /// A generation that is kept: the one of this number, or the latest; and its source, if it is kept.
    Earlier(Option<u32>, Option<Source>),
    /// The generation that waited for a decision.
    Waiting(WaitingGeneration),
    /// The running generation with better code.
    Optimised(Prepared),
    /// The one that was tried beside the running one; its source, if that is another one.
    Candidate(Prepared, Option<Source>),
}

impl Plan {
    /// Goes on after a failed call.
    pub(super) fn after_failure(carry: Carry) -> Plan {
        Plan { next: Next::AfterFailure, carry }
    }

    /// Goes back to a generation that is kept: the one of this number, or the latest.
    pub(super) fn back(instance: &Instance, number: Option<u32>) -> Plan {
        let source = instance.kept(number).map(|kept| kept.source);
        Plan { next: Next::Earlier(number, source), carry: Carry::Nothing }
    }

    /// Goes on with better code of what runs.
    pub(super) fn optimised(better: Prepared) -> Plan {
        Plan { next: Next::Optimised(better), carry: Carry::Current }
    }

    /// Goes on with what was tried beside the running generation, and with the state of that.
    pub(super) fn promoted(candidate: Prepared, source: Option<Source>) -> Plan {
        Plan { next: Next::Candidate(candidate, source), carry: Carry::Current }
    }

    /// The recorded cause.
    pub(super) fn cause(&self) -> ReloadCause {
        match &self.next {
            Next::Newest | Next::Other(_) | Next::Elsewhere(_) | Next::Candidate(..) => {
                ReloadCause::Requested
            }
            Next::NewestIfChanged | Next::NewestIfUnknown => ReloadCause::FileChanged,
            Next::AfterFailure => ReloadCause::Restart,
            Next::Running | Next::RunningInProcesses => ReloadCause::PolicyChanged,
            Next::Earlier(..) => ReloadCause::RolledBack,
            Next::Waiting(waiting) => waiting.cause,
            Next::Optimised(_) => ReloadCause::Optimised,
        }
    }

    /// True if it may ask for more than was agreed to. Nobody is asked about what ran before, or runs.
    /// `is_as_current` says whether what was prepared is what runs; the source may hold something else
    /// by the time at which it is read.
    pub(super) fn is_newer(&self, is_as_current: bool) -> bool {
        match &self.next {
            Next::Newest
            | Next::NewestIfChanged
            | Next::NewestIfUnknown
            | Next::Other(_)
            | Next::Elsewhere(_)
            | Next::Candidate(..)
            | Next::Waiting(_) => true,
            Next::AfterFailure => !is_as_current,
            Next::Running | Next::RunningInProcesses | Next::Earlier(..) | Next::Optimised(_) => {
                false
            }
        }
    }

    /// True if it makes fresh copies of what runs, so that there is no generation to go back to. One
    /// that is loaded again while it is on probation does not become the one before.
    fn repeats(&self, is_as_current: bool, on_probation: bool) -> bool {
        match &self.next {
            Next::Running | Next::Optimised(_) => true,
            Next::Earlier(..) => false,
            Next::AfterFailure => is_as_current,
            _ => is_as_current && on_probation,
        }
    }

    /// True if it settles what became of an attempt before it.
    pub(super) fn settles(&self) -> bool {
        !matches!(self.next, Next::Running | Next::Optimised(_))
    }

    /// The request of the instance once it runs or waits, if it is another one.
    pub(super) fn request(&self) -> Option<&LoadRequest> {
        match &self.next {
            Next::Elsewhere(request) => Some(request),
            _ => None,
        }
    }

    /// The source of the instance once it runs, if it is another one.
    pub(super) fn source(&self) -> Option<&Source> {
        match &self.next {
            Next::Other(source) => Some(source),
            Next::Waiting(waiting) => waiting.source.as_ref(),
            Next::Candidate(_, source) | Next::Earlier(_, source) => source.as_ref(),
            _ => None,
        }
    }

    /// True if the instance is loaded otherwise after it.
    pub(super) fn changes_request(&self) -> bool {
        self.source().is_some() || self.request().is_some()
    }

    /// True if what was allowed once holds for the next generation: nobody is asked about it again.
    pub(super) fn keeps_once(&self, is_newer: bool) -> bool {
        // A person has seen what waited already.
        !is_newer || matches!(self.next, Next::Waiting(_))
    }

    /// True if the event of a failure is kept as the fate of the newest generation: a fresh copy that
    /// cannot be made must not hide what waits, and going back is no newer generation.
    pub(super) fn is_told(&self, is_newer: bool, waits: bool) -> bool {
        is_newer || matches!(self.next, Next::Running) && !waits
    }

    /// Decides about a generation that was prepared.
    pub(super) fn decide(&self, facts: &Facts) -> Verdict {
        let is_newer = self.is_newer(facts.is_as_current);
        // The waiting generation was accepted.
        let is_decided = !is_newer || matches!(self.next, Next::Waiting(_));
        let asks_for_older = match facts.older {
            Some(OlderVersion::Refuse) if !is_decided => return Verdict::RefuseOlder,
            Some(OlderVersion::Ask) => !is_decided,
            _ => false,
        };
        if !facts.asks_for_more && !asks_for_older {
            return Verdict::TakeOver {
                keeps_once: self.keeps_once(is_newer),
                repeats: self.repeats(facts.is_as_current, facts.on_probation),
                needs_state: matches!(self.next, Next::Optimised(_)),
            };
        }
        let by_itself = matches!(self.next, Next::NewestIfChanged | Next::NewestIfUnknown);
        match by_itself && facts.waits_already {
            true => Verdict::Nothing,
            false => Verdict::Wait { is_older: asks_for_older },
        }
    }
}

/// The facts about a generation that was prepared.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts {
    /// True if it is what runs.
    pub(super) is_as_current: bool,
    /// True if what runs is on probation.
    pub(super) on_probation: bool,
    /// True if it asks for permissions that nobody decided.
    pub(super) asks_for_more: bool,
    /// The rule of the policy, if its version is older than that which runs.
    pub(super) older: Option<OlderVersion>,
    /// True if it waits for a decision already.
    pub(super) waits_already: bool,
}

/// The fate of a generation that was prepared.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is nothing to do.
    Nothing,
    /// It takes over, if it gets ready and its probes pass: see [`Handover`](crate::instance::Handover).
    TakeOver { keeps_once: bool, repeats: bool, needs_state: bool },
    /// A person has to agree before it takes over.
    Wait {
        /// Also because it is older.
        is_older: bool,
    },
    /// The policy refuses versions that are older.
    RefuseOlder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_decides_who_is_asked_and_how_a_generation_takes_over() {
        #[track_caller]
        fn check(next: Next, facts: Facts, expected: Verdict) {
            let plan = Plan { next, carry: Carry::Current };
            assert_eq!(plan.decide(&facts), expected);
        }
        let takes_over =
            |keeps_once, repeats| Verdict::TakeOver { keeps_once, repeats, needs_state: false };
        let nothing = Facts::default();
        check(Next::Newest, nothing, takes_over(false, false));
        check(Next::Running, nothing, takes_over(true, true));
        check(Next::Earlier(None, None), nothing, takes_over(true, false));
        check(Next::AfterFailure, nothing, takes_over(false, false));
        let same = Facts { is_as_current: true, ..nothing };
        check(Next::Newest, same, takes_over(false, false));
        check(Next::AfterFailure, same, takes_over(true, true));
        check(Next::Newest, Facts { on_probation: true, ..same }, takes_over(false, true));
        let asks = Facts { asks_for_more: true, ..nothing };
        check(Next::Newest, asks, Verdict::Wait { is_older: false });
        check(Next::NewestIfChanged, asks, Verdict::Wait { is_older: false });
        let waits = Facts { waits_already: true, ..asks };
        check(Next::NewestIfChanged, waits, Verdict::Nothing);
        check(Next::NewestIfUnknown, waits, Verdict::Nothing);
        check(Next::Newest, waits, Verdict::Wait { is_older: false });
        let older = |rule| Facts { older: Some(rule), ..nothing };
        check(Next::Newest, older(OlderVersion::Run), takes_over(false, false));
        check(Next::Newest, older(OlderVersion::Ask), Verdict::Wait { is_older: true });
        check(Next::Newest, older(OlderVersion::Refuse), Verdict::RefuseOlder);
        // Nobody is asked about what ran before.
        check(Next::Earlier(None, None), older(OlderVersion::Refuse), takes_over(true, false));
    }

    #[test]
    fn the_fate_of_fresh_copies_hides_no_generation_that_waits() {
        fn check(next: Next, is_newer: bool, waits: bool, expected: bool) {
            let plan = Plan { next, carry: Carry::Current };
            assert_eq!(plan.is_told(is_newer, waits), expected);
        }
        check(Next::Newest, true, true, true);
        check(Next::Running, false, true, false);
        check(Next::Running, false, false, true);
        check(Next::Earlier(None, None), false, false, false);
    }
}
