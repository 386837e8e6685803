//! Probe frames: a next generation has to answer them before it takes over.

use glovebox_abi::{Frame, State};
use glovebox_events::{CallId, LoadStage};

use super::Instance;
use super::generation::{Carry, NextGeneration};
use super::start::{ready, restore};
use crate::backend::{self, Backend};
use crate::frames::Frames;
use crate::policy::SwapRules;
use crate::problem::{LoadProblem, StageError};
use crate::services::CopyServices;

/// A frame, and what its answer must be.
struct Probe {
    name: String,
    frame: Frame,
    expected: Expected,
}

enum Expected {
    Anything,
    Payloads(Vec<String>),
    Frames(Vec<Frame>),
}

impl Instance {
    /// Sends the probe frames to a copy of the next generation, which has a copy of the state and of the
    /// store, and is thrown away afterwards. Frames that it emits reach nobody, and nothing is counted
    /// or recorded. Gives the number of frames.
    pub(crate) fn probe(&self, next: &NextGeneration, carry: &Carry) -> Result<usize, StageError> {
        let probes = self.probes(&self.swap_rules());
        if probes.is_empty() {
            return Ok(0);
        }
        let state = self.state_for_probes(carry)?;
        let (prepared, rights) = (&next.generation.prepared, &next.generation.rights);
        let lifecycle = &prepared.manifest.lifecycle;
        let shared = self.shared.aside();
        let context =
            CopyServices::new(shared, rights.clone(), next.generation.number, prepared.tier);
        let mut backend = ready(&prepared.code, &prepared.manifest, context, rights)?;
        let restored = state.as_ref().map_or(Ok(()), |state| {
            restore(&mut backend, state, lifecycle)
                .map_err(|stop| LoadProblem::Call(stop.into_outcome()).at(LoadStage::RestoreState))
        });
        let passed = restored
            .and_then(|()| probes.iter().try_for_each(|probe| probe.send(backend.as_mut())));
        backend.context().begin_last_step(lifecycle.stop_deadline);
        backend::end(backend);
        passed.map(|()| probes.len())
    }

    fn probes(&self, rules: &SwapRules) -> Vec<Probe> {
        let named = rules.probes.iter().filter(|probe| probe.plugin == *self.plugin);
        let named = named.map(|probe| Probe {
            name: probe.name.clone(),
            frame: probe.frame.clone(),
            expected: probe.answers.clone().map_or(Expected::Anything, Expected::Payloads),
        });
        let last = self.support.recent.all();
        let count = last.len();
        let last = last.into_iter().enumerate().map(|(number, call)| Probe {
            name: format!("{} of the last {count} frames", number + 1),
            frame: call.frame,
            expected: match rules.same_answers {
                true => Expected::Frames(call.answer),
                false => Expected::Anything,
            },
        });
        named.chain(last).collect()
    }

    fn state_for_probes(&self, carry: &Carry) -> Result<Option<State>, StageError> {
        match carry {
            Carry::Nothing => Ok(None),
            Carry::These(states) => Ok(states.first().cloned().flatten()),
            Carry::Current => self.hold_in_time(0)?.copy().state(),
        }
    }
}

impl Probe {
    fn send(&self, backend: &mut dyn Backend) -> Result<(), StageError> {
        let (mut answer, mut emitted) = (Frames::new(), Vec::new());
        let failed = match backend.call(CallId(0), &self.frame, &mut answer, &mut emitted) {
            Ok(()) => self.expected.differs(&answer),
            Err(stop) => Some(format!("the plugin {}", stop.into_outcome())),
        };
        failed.map_or(Ok(()), |reason| {
            let probe = self.name.clone();
            Err(LoadProblem::Probe { probe, reason }.at(LoadStage::Probe))
        })
    }
}

impl Expected {
    /// Says how an answer is another one.
    fn differs(&self, answer: &[Frame]) -> Option<String> {
        let is_same = match self {
            Expected::Anything => true,
            Expected::Payloads(payloads) => {
                let expected = payloads.iter().map(|payload| payload.as_bytes());
                answer.iter().map(|frame| &*frame.payload).eq(expected)
            }
            Expected::Frames(frames) => answer == frames,
        };
        (!is_same).then(|| "the answer is another one than expected".to_owned())
    }
}
