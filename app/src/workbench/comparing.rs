//! Two builds of one plugin side by side: both get the same inputs, and their answers are compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::Frame;
use glovebox_events::Event;
use glovebox_host::{Host, InstanceId};
use glovebox_inspector::diff::{self, DiffOptions, Run, RunCall, RunOutput};

use super::accepted::Compared;
use super::finished::{Finished, Sent};
use super::jobs::JobState;
use super::sink::Fanout;
use super::words::count_of;
use super::{Accepting, Level, ReplayRequest, SendRequest, Workbench, work};

/// Two builds that get the same inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The one that was there.
    pub first: InstanceId,
    /// The one that was loaded beside it.
    pub second: InstanceId,
    /// True if a composed frame for one of them goes to both.
    pub sends_to_both: bool,
}

impl Pair {
    /// The one beside this one, if it is one of them.
    pub fn beside(&self, one: InstanceId) -> Option<InstanceId> {
        match one {
            one if one == self.first => Some(self.second),
            one if one == self.second => Some(self.first),
            _ => None,
        }
    }
}

/// Two builds, each with its name in a comparison.
#[derive(Debug, Clone)]
pub(super) struct Builds([(InstanceId, String); 2]);

impl Builds {
    fn instances(&self) -> [InstanceId; 2] {
        [self.0[0].0, self.0[1].0]
    }

    /// Lets the second go on from the state of the first, store included: what differs afterwards is not
    /// left from before.
    ///
    /// # Errors
    ///
    /// In words, if the builds do not begin in one state.
    pub(super) fn begin_alike(&self, host: &Host) -> Result<(), String> {
        let [(first, before), (second, after)] = &self.0;
        // One that sleeps has no state yet, as the one that was just loaded.
        if host.plugin(*first).is_some_and(|plugin| plugin.generation == 0) {
            return Ok(());
        }
        let snapshot = host.snapshot(*first).wait();
        let snapshot = snapshot.map_err(|why| format!("{before} gives no state: {why}"))?;
        host.restore(*second, snapshot).wait().map_err(|error| {
            // It may have taken a part of the state.
            let fresh = match host.reload_cold(*second).wait() {
                Ok(_) => "it begins without one",
                Err(_) => "it goes on with a part of it",
            };
            format!("{after} takes no state of {before}, and {fresh}: {error}")
        })
    }

    /// Compares what the builds did.
    pub(super) fn compare(&self, events: &[Event]) -> Compared {
        let run = |(instance, name): &(InstanceId, String)| {
            let own = events.iter().filter(|event| event.instance == instance.get());
            Arc::new(Run::from_events(name.clone(), own.cloned()))
        };
        let [before, after] = [run(&self.0[0]), run(&self.0[1])];
        Compared::runs(diff::diff(before, after, &DiffOptions::default()))
    }

    fn compare_calls(&self, calls: [Vec<RunCall>; 2]) -> Compared {
        let names = [&self.0[0].1, &self.0[1].1];
        let mut runs = names.into_iter().zip(calls);
        let mut run = || {
            let (name, calls) = runs.next().expect("there are two of each");
            Arc::new(Run::from_calls(name.clone(), calls))
        };
        let (before, after) = (run(), run());
        Compared::runs(diff::diff(before, after, &DiffOptions::default()))
    }

    /// Sends frames to both, one after the other, and compares the answers.
    pub(super) fn send_all(
        &self,
        host: &Host,
        fanout: &Fanout,
        frames: &[Frame],
        state: &JobState,
    ) -> Finished {
        let mut said = Vec::new();
        if let Err(why) = self.begin_alike(host) {
            said.push(Finished::Partly(why));
        }
        let mut calls = [Vec::new(), Vec::new()];
        for (sent, frame) in frames.iter().enumerate() {
            if state.is_cancelled() {
                return Finished::Partly("Not compared: it was stopped".to_owned());
            }
            for (instance, calls) in self.instances().into_iter().zip(&mut calls) {
                let request = SendRequest {
                    target: instance,
                    frame: frame.clone(),
                    payload_file: None,
                    times: 1,
                };
                if let Finished::Sent(sent) = work::send(host, fanout, request, state) {
                    calls.push(call_of(&sent));
                }
            }
            state.progress(sent as u64 + 1, frames.len() as u64);
        }
        said.push(Finished::Compared(Ok(self.compare_calls(calls))));
        Finished::Several(said)
    }

    /// Sends a composed frame to both, to the one that it names first, and compares the last answers.
    pub(super) fn send(
        &self,
        host: &Host,
        fanout: &Fanout,
        request: SendRequest,
        state: &JobState,
    ) -> Finished {
        let target = request.target;
        let first = match work::send(host, fanout, request, state) {
            Finished::Sent(sent) => sent,
            refused => return refused,
        };
        let [before, after] = self.instances();
        let other = if target == before { after } else { before };
        // A file that holds the payload may be another one by now.
        let frame = first.frame.clone();
        let again = SendRequest { target: other, frame, payload_file: None, times: first.times };
        match work::send(host, fanout, again, state) {
            Finished::Sent(second) => {
                let both = [vec![call_of(&first)], vec![call_of(&second)]];
                let both = match target == before {
                    true => both,
                    false => {
                        let [first, second] = both;
                        [second, first]
                    }
                };
                let compared = Finished::Compared(Ok(self.compare_calls(both)));
                // The answer of the one that was named is the last.
                Finished::Several(vec![Finished::Sent(second), Finished::Sent(first), compared])
            }
            refused => Finished::Several(vec![Finished::Sent(first), refused]),
        }
    }
}

/// The call that a composed frame led to, as far as a comparison looks at it.
fn call_of(sent: &Sent) -> RunCall {
    RunCall {
        id: sent.call,
        plugin: sent.plugin.as_str().into(),
        input: sent.frame.clone(),
        outputs: sent.frames.iter().cloned().map(RunOutput::from).collect(),
        // They are at hand of neither.
        host_calls: Vec::new(),
        outcome: Some(sent.outcome.clone()),
        latency: sent.latency,
    }
}

impl Workbench {
    /// Loads another build beside an instance, and compares the two once it is there.
    pub(super) fn compare_with(&mut self, first: InstanceId, path: PathBuf) {
        self.outcome.awaited_build = Some((first, path.clone()));
        self.start_load(path, Accepting::default());
    }

    /// Compares with what was loaded, if that was wanted of it.
    pub(super) fn pair_up(&mut self, second: InstanceId, path: &Path) {
        let awaited = self.outcome.awaited_build.take_if(|(_, awaited)| awaited == path);
        let Some((first, _)) = awaited else { return };
        let view = self.view();
        let id = |instance| Some(view.plugin(instance)?.manifest.plugin.id.clone());
        match (id(first), id(second)) {
            (Some(before), Some(after)) if before == after => {
                self.outcome.pair = Some(Pair { first, second, sends_to_both: true });
                self.compare_builds();
            }
            (Some(before), Some(after)) => {
                let text = format!(
                    "Not compared: {after} is another plugin than {before}; choose a build of {before}"
                );
                self.notices.add(Level::Error, text);
            }
            (None, _) | (_, None) => {
                let text = "Not compared: the first build was unloaded meanwhile";
                self.notices.add(Level::Warning, text);
            }
        }
    }

    /// No longer waits for a build that was not loaded.
    pub(super) fn forget_awaited_build(&mut self, path: &Path) {
        self.outcome.awaited_build.take_if(|(_, awaited)| awaited == path);
    }

    /// Sends both builds the inputs of the pinned trace, or what was composed for the first, and compares
    /// them.
    pub(super) fn compare_builds(&mut self) {
        let Some((pair, builds)) = self.builds() else {
            let text = "There are no two builds to compare: choose Plugin → Compare… first";
            return self.notices.add(Level::Warning, text);
        };
        if let Some(baseline) = self.traces.baseline() {
            let request = ReplayRequest::whole(baseline.id, vec![pair.first, pair.second]);
            return self.replay_for(request, super::replaying::Purpose::Builds(builds));
        }
        let sent = self.outcome.sent.iter().filter(|sent| sent.instance == pair.first);
        let frames: Vec<Frame> = sent.map(|sent| sent.frame.clone()).collect();
        if frames.is_empty() {
            let text = "Both builds are there: what you send in Compose goes to both from now on; pin a \
                        trace and choose Plugin → Compare again to send them its inputs";
            return self.notices.add(Level::Info, text);
        }
        let title = format!("Sending {} to both builds", count_of(frames.len(), "composed frame"));
        let (host, fanout) = (self.host.clone(), Arc::clone(&self.fanout));
        self.jobs.start(title, move |state| builds.send_all(&host, &fanout, &frames, state));
    }

    /// The pair, if both are loaded, with their names.
    fn builds(&self) -> Option<(Pair, Builds)> {
        let view = self.view();
        let pair = view.pair()?;
        let named = |instance| Some((instance, view.name_of(view.plugin(instance)?)));
        Some((pair, Builds([named(pair.first)?, named(pair.second)?])))
    }

    /// The builds that a composed frame for this instance goes to, if it goes to two.
    pub(super) fn both_of(&self, target: InstanceId) -> Option<Builds> {
        let (pair, builds) = self.builds()?;
        (pair.sends_to_both && pair.beside(target).is_some()).then_some(builds)
    }
}
