//! Executes commands: one exhaustive match. Long work goes on in jobs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_events::Direction;
use glovebox_host::InstanceId;
use glovebox_inspector::diff::RunCall;
use glovebox_inspector::replay::Pace;
use glovebox_inspector::store::{Row, RowId, Store};

use super::consent::policy_text;
use super::doctor::Examination;
use super::finished::Finished;
use super::recording::record_of;
use super::replay::Routing;
use super::replaying::{Purpose, ReplayWork};
use super::words::{file_name, with_causes};
use super::{
    Accepting, Command, JobId, Level, Origin, ReplayHow, ReplayRequest, RowRef, TraceId, Workbench,
    work,
};

impl Workbench {
    /// Executes a command; what takes time goes on in the background.
    pub fn execute(&mut self, command: Command) {
        match command {
            Command::Start { files } => self.start(files, Vec::new()),
            Command::RunExample(example) => match example.files() {
                Some(files) => self.start(files, example.sends()),
                None => self.notices.add(
                    Level::Error,
                    format!("The files of the example \"{}\" are not there", example.title),
                ),
            },
            Command::Load(path) => {
                self.start_load(path, Accepting::default());
            }
            Command::LoadAccepting(path, accepting) => {
                self.start_load(path, accepting);
            }
            Command::TrustNative(trust) => self.outcome.trusts_native = trust,
            Command::SetCompileDeadline(deadline) => self.outcome.compile_deadline = deadline,
            Command::SetCompileMemory(memory) => self.outcome.compile_memory = memory,
            Command::SetLoadDeadline(deadline) => self.outcome.load_deadline = deadline,
            Command::Unload(instance) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Unloading {name}"), move |_| {
                    if host.unload(instance) {
                        Finished::Unloaded(instance, name)
                    } else {
                        Finished::Failed(format!("{name} was gone already"))
                    }
                });
            }
            Command::OpenTrace(path) => {
                self.start_open(path);
            }
            Command::SaveTrace { trace, path, replace } => self.save(trace, path, replace),
            Command::SaveLive { path, replace } => {
                let plugins = self.host.plugins().iter().map(record_of).collect();
                let (fanout, inputs) = (Arc::clone(&self.fanout), self.inputs());
                self.jobs.start("Saving live frames", move |_| {
                    work::save_live(&fanout, plugins, path, replace, &inputs)
                });
            }
            Command::Search(id, wanted) => self.search(id, wanted),
            Command::CloseTrace(id) => {
                self.search(id, None);
                if let Some(job) = self.traces.get(id).and_then(|trace| trace.job) {
                    self.jobs.cancel(job);
                }
                self.traces.remove(id);
                self.findings.remove(id);
            }
            Command::Pin(id) => self.traces.pin(id),
            Command::StartRecording => self.start_recording(),
            Command::StopRecording => self.stop_recording(),
            Command::SetSnapshots(every) => self.outcome.snapshot_every = every,
            Command::ClearLive => {
                self.fanout.store.lock().clear();
                self.fanout.findings.lock().clear();
            }
            Command::Replay(request) => self.replay_for(request, Purpose::Run),
            Command::StepReplay => {
                if let Some(replay) = self.jobs.replay() {
                    replay.step();
                }
            }
            Command::PauseReplay(paused) => {
                if let Some(replay) = self.jobs.replay() {
                    replay.pause(paused);
                }
            }
            Command::Cancel(job) => self.jobs.cancel(job),
            Command::CancelAll => {
                self.starts.clear();
                self.jobs.cancel_all();
            }
            Command::Send(request) => {
                let (host, fanout) = (self.host.clone(), Arc::clone(&self.fanout));
                let name = work::name_of(&host, request.target);
                let builds = self.both_of(request.target);
                self.jobs.start(format!("Sending to {name}"), move |state| match builds {
                    Some(builds) => builds.send(&host, &fanout, request, state),
                    None => work::send(&host, &fanout, request, state),
                });
            }
            Command::ResendAndDiff { target, row } => self.resend_and_diff(target, row),
            Command::Reload { instance, carry_state } => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Reloading {name}"), move |state| {
                    work::reload(&host, instance, carry_state, state)
                });
            }
            Command::Move { instance, to } => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                let job = self.jobs.start(format!("Moving {name}"), move |state| {
                    work::relocate(&host, instance, to, state)
                });
                self.outcome.moves.insert(instance, job);
            }
            Command::Restart(instance) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs
                    .start(format!("Restarting {name}"), move |_| work::restart(&host, instance));
            }
            Command::AcceptOlder(instance) => {
                self.host.accept_older(instance);
                self.look_at_plugins();
            }
            Command::RollBack(instance, generation) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Rolling {name} back"), move |_| {
                    work::roll_back(&host, instance, generation)
                });
            }
            Command::TryBeside(instance, role, file) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Trying another build of {name}"), move |state| {
                    work::try_beside(&host, instance, role, file, state)
                });
            }
            Command::Promote(instance) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Promoting a build of {name}"), move |_| {
                    work::promote(&host, instance)
                });
            }
            Command::Dismiss(instance) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Ending the trial beside {name}"), move |_| {
                    work::dismiss(&host, instance)
                });
            }
            Command::Watch(instance, on) => {
                let host = self.host.clone();
                self.jobs
                    .start("Changing the watched files", move |_| work::watch(&host, instance, on));
            }
            Command::Loop { instance, targets, routing } => {
                self.reload_replay_diff(instance, targets, routing);
            }
            Command::Allow { instance, permission, asks, others, lifetime } => {
                self.allow(instance, permission, &asks, &others, lifetime);
            }
            Command::Decide(instance, permission, decision) => {
                self.decide(instance, permission, decision);
            }
            Command::SetLimits(instance, limits) => {
                // Limits that make no sense are not sent: the field says so.
                if let Err(error) = self.host.set_limits(instance, *limits) {
                    self.notices.add(Level::Error, error.to_string());
                }
                self.outcome.edits.limits += 1;
                self.look_at_plugins();
            }
            Command::SetFaults(instance, faults) => self.set_faults(instance, *faults),
            Command::SetPolicyMode(mode) => {
                self.host.set_policy_mode(mode);
                self.outcome.policy_mode = mode;
                self.outcome.edits.policy += 1;
                self.look_at_plugins();
            }
            Command::Compare { first, path } => self.compare_with(first, path),
            Command::CompareAgain => self.compare_builds(),
            Command::SendToBoth(on) => {
                if let Some(pair) = &mut self.outcome.pair {
                    pair.sends_to_both = on;
                }
            }
            Command::Diff { before, after, options } => {
                let side = |id| {
                    let trace = self.traces.get(id)?;
                    Some((trace.name.clone(), trace.origin.clone()))
                };
                if let (Some(before), Some(after)) = (side(before), side(after)) {
                    let title = format!("Comparing {} with {}", before.0, after.0);
                    self.jobs.start(title, move |_| work::compare(before, after, &options));
                }
            }
            Command::CompareWithBaseline(id) => {
                if let (Some(trace), Some(accepted)) =
                    (self.traces.get(id), self.outcome.accepted.clone())
                {
                    let (name, origin) = (trace.name.clone(), trace.origin.clone());
                    let title = format!("Comparing {name} with {}", accepted.name());
                    self.jobs.start(title, move |_| {
                        work::compare_with_baseline(&accepted, name, &origin)
                    });
                }
            }
            Command::CloseBaseline => self.outcome.accepted = None,
            Command::SaveBaseline { path, replace, decisions } => {
                if let Some(compared) = self.outcome.compared.clone() {
                    let (title, inputs) = (format!("Writing {}", path.display()), self.inputs());
                    self.jobs.start(title, move |_| {
                        work::save_baseline(&compared, path, replace, decisions, &inputs)
                    });
                }
            }
            Command::SavePolicy { path, replace } => {
                let policy = policy_text(self.outcome.policy_mode, &self.host.plugins());
                let (title, inputs) = (format!("Writing {}", path.display()), self.inputs());
                self.jobs.start(title, move |_| work::save_policy(policy, path, replace, &inputs));
            }
            Command::SaveBundle { instance, path, replace } => {
                let (host, inputs) = (self.host.clone(), self.inputs());
                let failed = self.fanout.failures.now(instance.get());
                self.jobs.start(format!("Writing {}", path.display()), move |_| {
                    work::save_bundle(&host, failed, instance, path, replace, &inputs)
                });
            }
            Command::SetSeverities(severities) => self.findings.set_severities(severities),
            Command::Examine => {
                if !self.outcome.examining.is_some_and(|job| self.jobs.is_running(job)) {
                    let job = self.jobs.start_background("Examining this machine", |_| {
                        Finished::Examined(Box::new(Examination::make()))
                    });
                    self.outcome.examining = Some(job);
                }
            }
            Command::Notify(level, text) => self.notices.add(level, text),
        }
    }

    pub(super) fn start_open(&mut self, path: PathBuf) -> JobId {
        let title = format!("Opening {}", file_name(&path));
        self.jobs.start(title, move |state| work::open(path, state))
    }

    fn save(&mut self, id: TraceId, path: PathBuf, replace: bool) {
        let Some(trace) = self.traces.get(id) else {
            return;
        };
        let (origin, lost, plugins) = (trace.origin.clone(), trace.lost, trace.plugins.clone());
        let title = format!("Saving {}", trace.name);
        let inputs = self.inputs();
        self.jobs.start(title, move |_| {
            work::save(id, (&origin, lost, &plugins), path, replace, &inputs)
        });
    }

    /// Files that are open: nothing is written over them.
    fn inputs(&self) -> Vec<PathBuf> {
        let traces = self.traces.all().iter().filter_map(|trace| match &trace.origin {
            Origin::File(path) | Origin::Imported(path, _) => Some(path.clone()),
            Origin::Replay(_) => None,
        });
        let plugins = self.host.plugins().into_iter();
        let plugins = plugins.filter_map(|plugin| plugin.path().map(Path::to_owned));
        traces.chain(plugins).collect()
    }

    pub(super) fn replay_for(&mut self, request: ReplayRequest, purpose: Purpose) {
        if self.jobs.replay().is_some() {
            let text = "A replay is under way; stop it before another one starts";
            return self.notices.add(Level::Warning, text);
        }
        let Some(trace) = self.traces.get(request.trace) else {
            return;
        };
        self.outcome.replayed = Some(request.trace);
        let into = self.view().names_of(&request.targets);
        let title = match purpose {
            Purpose::Run => format!("Replaying {} into {into}", trace.name),
            Purpose::Reload(_) => {
                format!("Reloading, replaying {} into {into} and comparing", trace.name)
            }
            Purpose::Builds(_) => format!("Replaying {} into {into} and comparing", trace.name),
        };
        let name = trace.name.split_once(" of ").filter(|(kind, _)| kind.starts_with("replay"));
        let first = name.map_or(&*trace.name, |(_, first)| first);
        let work = ReplayWork {
            host: self.host.clone(),
            fanout: Arc::clone(&self.fanout),
            request,
            trace_name: trace.name.clone(),
            run_names: self.unused_replays_of(first),
            origin: trace.origin.clone(),
            purpose,
            accepted: self.outcome.accepted.clone(),
        };
        self.jobs.start_replay(title, move |state, control| match work.run(state, control) {
            Ok(replayed) => Finished::Replayed(Box::new(replayed)),
            Err(error) => Finished::Failed(with_causes(&error)),
        });
    }

    fn reload_replay_diff(
        &mut self,
        instance: InstanceId,
        targets: Vec<InstanceId>,
        routing: Routing,
    ) {
        let Some(baseline) = self.traces.baseline() else {
            let text = "Pin a trace first: it is what the new generation is compared with";
            return self.notices.add(Level::Warning, text);
        };
        let request = ReplayRequest {
            trace: baseline.id,
            targets,
            routing,
            pace: Pace::Max,
            filter: None,
            calls: Vec::new(),
            range: None,
            from: None,
            how: ReplayHow::Once,
        };
        self.replay_for(request, Purpose::Reload(instance));
    }

    fn resend_and_diff(&mut self, target: InstanceId, row: RowRef) {
        let recorded = self.reader().read_row(row, |store| call_of(store, row.row));
        let Some(Some(recorded)) = recorded else {
            let text = "The frames of this call are no longer in memory";
            return self.notices.add(Level::Warning, text);
        };
        let before = match recorded.outcome {
            Some(_) => Some((format!("call {}", recorded.id), recorded.clone())),
            None => self.answered_before(target, &recorded),
        };
        let Some((name, before)) = before else {
            let text = format!(
                "Nothing to compare with: {} has no answer to call {}, and no earlier generation of {} \
                 gave one. Send it once, reload, and compare then",
                self.view().source_name(row.source),
                recorded.id,
                work::name_of(&self.host, target)
            );
            return self.notices.add(Level::Warning, text);
        };
        let (host, fanout) = (self.host.clone(), Arc::clone(&self.fanout));
        self.jobs.start("Sending again", move |_| {
            work::resend_and_compare(&host, &fanout, target, name, before)
        });
    }

    /// The last answer of an earlier generation of an instance to an input, with a name for it.
    fn answered_before(
        &self,
        instance: InstanceId,
        recorded: &RunCall,
    ) -> Option<(String, RunCall)> {
        let generation = self.host.plugin(instance)?.generation;
        let store = self.fanout.store.lock();
        let is_earlier = |row: &&Row| {
            row.instance == instance.get()
                && row.generation < generation
                && row.direction == Direction::In
                && row.frame == recorded.input
        };
        let earlier = store.rows().rev().filter(is_earlier);
        let mut calls = earlier.filter_map(|row| Some((row.generation, call_of(&store, row.id)?)));
        let (generation, call) = calls.find(|(_, call)| call.outcome.is_some())?;
        Some((format!("call {} of generation {generation}", call.id), call))
    }

    /// Names that no trace has; their numbers come early, where a narrow list still shows them.
    pub(super) fn unused_replays_of(&self, name: &str) -> [String; 2] {
        let numbered = (2..).map(|number| format!("replay {number} of {name}"));
        let taken = |name: &String| self.traces.all().iter().any(|trace| trace.name == *name);
        let mut unused = std::iter::once(format!("replay of {name}"))
            .chain(numbered)
            .filter(|name| !taken(name));
        std::array::from_fn(|_| unused.next().unwrap_or_default())
    }
}

/// The call a row belongs to, as far as its frames are in memory.
fn call_of(store: &Store, row: RowId) -> Option<RunCall> {
    let id = store.row_by_id(row)?.call;
    let call = store.call(id)?;
    let rows: Vec<_> = call.rows.iter().filter_map(|id| store.row_by_id(*id)).collect();
    let input = rows.iter().find(|row| row.direction == Direction::In)?;
    let outputs = rows.iter().filter(|row| row.direction == Direction::Out && !row.emitted);
    Some(RunCall {
        id,
        plugin: Arc::clone(&call.plugin),
        input: input.frame.clone(),
        outputs: outputs.map(|row| row.frame.clone().into()).collect(),
        host_calls: Vec::new(),
        outcome: call.status.outcome().cloned(),
        latency: call.timing.as_ref().map(glovebox_events::Timing::latency),
    })
}
