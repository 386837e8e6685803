//! Finds the frames of a trace that plugins emitted to each other.
//!
//! Frames are known by their digests, so that a long trace does not stay in memory.

use std::collections::HashMap;
use std::sync::Arc;

use glovebox_abi::{Frame, Header};
use glovebox_events::{CallId, Event, What};
use roaring::RoaringTreemap;

type Digest = [u8; blake3::OUT_LEN];

/// The emitted frames of a trace, and the inputs that may have come of them.
#[derive(Default)]
pub(super) struct Emits {
    /// By the frame as it arrives: the host writes its source.
    emitters: HashMap<Digest, Emitters>,
    /// By the frame as it was emitted, for traces from before the host did so.
    unnamed: HashMap<Digest, Emitters>,
    candidates: Vec<Candidate>,
    /// Calls that did not wait in a queue, as those for emitted frames do. Only calls that ended
    /// after the first frame was emitted.
    direct: RoaringTreemap,
}

/// An input with a frame that was emitted before.
struct Candidate {
    position: u64,
    call: CallId,
    instance: u64,
    plugin: Arc<str>,
    target: Option<Box<str>>,
    frame: Digest,
    /// How many had emitted it then, with and without their names.
    emitters: usize,
    unnamed: usize,
}

/// The emitters of the same frame, in order.
#[derive(Default)]
struct Emitters {
    calls: Vec<(CallId, u64)>,
    /// How many of them each instance got already, or cannot have got.
    taken: HashMap<u64, usize>,
}

impl Emits {
    /// Takes one event, before which so many inputs began.
    pub(super) fn add(&mut self, event: &Event, inputs: usize) {
        match &event.what {
            What::FrameOut { call, emitted: true, frame, .. } => {
                let emitter = (*call, event.instance);
                self.unnamed.entry(digest(frame)).or_default().calls.push(emitter);
                let mut frame = frame.clone();
                frame.header = frame.header.with_text(Header::SOURCE, &event.plugin);
                self.emitters.entry(digest(&frame)).or_default().calls.push(emitter);
            }
            What::FrameIn { call, frame } if !self.emitters.is_empty() => {
                let digest = digest(frame);
                let count = |emitters: &HashMap<Digest, Emitters>| {
                    emitters.get(&digest).map_or(0, |emitters| emitters.calls.len())
                };
                let (emitters, unnamed) = (count(&self.emitters), count(&self.unnamed));
                if emitters.max(unnamed) == 0 {
                    return;
                }
                self.candidates.push(Candidate {
                    position: inputs as u64,
                    call: *call,
                    instance: event.instance,
                    plugin: event.plugin.clone(),
                    target: frame.header.get_text(Header::TARGET).map(|target| (*target).into()),
                    frame: digest,
                    emitters,
                    unnamed,
                });
            }
            What::CallEnded { call, timing, .. }
                if !self.emitters.is_empty() && timing.queue.is_zero() =>
            {
                self.direct.insert(call.0);
            }
            _ => {}
        }
    }

    /// By the position of each input that was emitted: the call in which it was.
    pub(super) fn causes(mut self) -> HashMap<u64, CallId> {
        let mut causes = HashMap::new();
        // A host that writes the source does so in each frame.
        let are_named = self.candidates.iter().any(|candidate| candidate.emitters > 0);
        for candidate in &self.candidates {
            if self.direct.contains(candidate.call.0) {
                continue;
            }
            let (emitters, count) = match are_named {
                true => (&mut self.emitters, candidate.emitters),
                false => (&mut self.unnamed, candidate.unnamed),
            };
            let emitters = emitters.get_mut(&candidate.frame);
            if let Some(cause) = emitters.and_then(|emitters| emitters.next_for(candidate, count)) {
                causes.insert(candidate.position, cause);
            }
        }
        causes
    }
}

fn digest(frame: &Frame) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[frame.kind.0]);
    let header = frame.header.as_bytes();
    hasher.update(&(header.len() as u64).to_le_bytes());
    hasher.update(header);
    hasher.update(&frame.payload);
    *hasher.finalize().as_bytes()
}

impl Emitters {
    /// The first of the first so many that emitted to an instance and from which it has nothing yet.
    fn next_for(&mut self, candidate: &Candidate, count: usize) -> Option<CallId> {
        // A frame with a target goes there, also to the emitter itself; others go to all others.
        let Candidate { instance, plugin, target, .. } = candidate;
        if target.as_ref().is_some_and(|target| **target != **plugin) {
            return None;
        }
        let taken = self.taken.entry(*instance).or_default();
        let rest = self.calls.get(*taken..count)?;
        let is_for = |(_, emitter): &(CallId, u64)| target.is_some() || emitter != instance;
        let found = rest.iter().position(is_for)?;
        *taken += found + 1;
        Some(rest[found].0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use glovebox_abi::Kind;
    use glovebox_events::{Outcome, Timing};

    use super::*;
    use crate::replay::{Inputs, ReplayPlan};

    /// The events of a run: `a1 in x` begins a call of instance 1 of `a`, `a1 emits x` is in the
    /// last call of that instance, and `x@b` is a frame with a target. A call that is `called` did
    /// not wait. A fourth word is the source of the frame.
    fn events(lines: &[&str]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (number, line) in lines.iter().enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            let (who, does, text) = (words[0], words[1], words[2]);
            let target = text.split_once('@').map(|(_, target)| target);
            let header = target.map(|target| Header::build().text(Header::TARGET, target).finish());
            let mut frame = Frame::new(Kind::DATA, header.unwrap_or_default(), text.to_owned());
            if let Some(source) = words.get(3) {
                frame.header = frame.header.with_text(Header::SOURCE, source);
            }
            let mut push = |what| {
                let (plugin, instance) = (who[..1].into(), who[1..].parse().unwrap());
                let at = number as u64;
                events.push(Event { sequence: at, at, plugin, instance, generation: 1, what });
            };
            if does == "emits" {
                let call = CallId(last[who]);
                push(What::FrameOut { call, index: 0, emitted: true, frame });
                continue;
            }
            let call = CallId(number as u64);
            last.insert(who, call.0);
            push(What::FrameIn { call, frame });
            let queue = Duration::from_micros(u64::from(does != "called"));
            push(What::CallEnded {
                call,
                outcome: Outcome::Completed,
                timing: Timing { queue, ..Timing::default() },
                bytes_in: 0,
                bytes_out: 0,
                frames_out: 0,
                memory: None,
            });
        }
        events
    }

    #[test]
    fn causes_are_found() {
        /// Checks events against the calls with their causes, by the number of their line.
        #[track_caller]
        fn check(lines: &[&str], expected: &[(u64, u64)]) {
            let plan = ReplayPlan::from_events(events(lines), None);
            let found: Vec<(u64, u64)> = plan
                .inputs
                .iter()
                .filter_map(|input| Some((input.call.0, input.cause?.0)))
                .collect();
            assert_eq!(found, expected, "{lines:?}");
        }
        check(&["a1 in x", "a1 emits y", "b2 in y"], &[(2, 0)]);
        check(&["a1 in x", "a1 emits y", "b2 in z"], &[]);
        check(&["b2 in y", "a1 in x", "a1 emits y"], &[]);
        // Each emitted frame begins one call of each instance.
        check(&["a1 in x", "a1 emits y", "b2 in y", "c3 in y", "b2 in y"], &[(2, 0), (3, 0)]);
        check(
            &["a1 in x", "a1 emits y", "a1 in x", "a1 emits y", "b2 in y", "b2 in y"],
            &[(4, 0), (5, 2)],
        );
        // A direct call is not for an emitted frame.
        check(&["a1 in x", "a1 emits y", "b2 called y", "b2 in y"], &[(3, 0)]);
        // To others, unless it names its target.
        check(&["a1 in x", "a1 emits y", "a1 in y", "a2 in y"], &[(3, 0)]);
        check(&["a1 in x", "a1 emits y@a", "b2 in y@a", "a1 in y@a"], &[(3, 0)]);
        // One of the same bytes from outside has no source, where the host writes it.
        check(&["a1 in x", "a1 emits y", "b2 in y", "b2 in y a"], &[(3, 0)]);
        check(&["a1 in x", "a1 emits y@b", "b2 in y@b a", "b2 in y@b"], &[(2, 0)]);
        check(&["a1 in x", "a1 emits y", "b2 in y c"], &[]);
        // On and on.
        check(&["a1 in x", "a1 emits y", "b2 in y", "b2 emits z", "c3 in z"], &[(2, 0), (4, 2)]);
    }

    #[test]
    fn what_comes_by_itself_depends_on_who_is_there() {
        /// Plugins that are there, calls that are sent, and those of them that come by themselves.
        #[track_caller]
        fn check(there: &str, calls: &[u64], expected: &[u64]) {
            let lines = ["a1 in x", "a1 emits y", "b2 in y", "b2 emits z", "c3 in z", "c3 in y"];
            let plan = ReplayPlan::from_events(events(&lines), None);
            let calls: Vec<CallId> = calls.iter().map(|call| CallId(*call)).collect();
            let found = plan.calls(&calls).by_themselves(&|plugin: &str| there.contains(plugin));
            let found = found.expect("it is in memory");
            let mut found: Vec<u64> = found.into_iter().map(|call| call.0).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{there} {calls:?}");
        }
        let all = [0, 2, 4, 5];
        check("abc", &all, &[2, 4, 5]);
        check("ab", &all, &[2]);
        check("bc", &all, &[4]);
        check("ac", &all, &[5]);
        check("b", &all, &[]);
        check("abc", &[2, 4, 5], &[4]);
        check("abc", &[4, 5], &[]);
    }
}
