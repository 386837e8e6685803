//! Executes commands and takes in what their work led to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::{Frame, Permission};
use glovebox_host::workspace::Workspace;
use glovebox_host::{
    Allowance, Decision, InstanceId, Lifetime, LoadRequest, PluginStatus, PolicyMode,
};
use glovebox_inspector::diff::{DiffOptions, RunCall};
use glovebox_inspector::replay::Pace;
use glovebox_inspector::store::{Direction, Store};

use super::accepted::{self, Accepted, Compared};
use super::answers;
use super::replaying::{ReplayWork, Replayed, level_of};
use super::work::{self, Finished, OpenedWorkspace};
use super::{
    Command, JobId, Level, Origin, ReplayHow, ReplayRequest, RowRef, SENT_KEPT, TraceId, Workbench,
    trace,
};

/// Files that are being loaded, to be joined in a replay once they are there.
#[derive(Debug, Default)]
pub(super) struct Start {
    waiting: BTreeSet<JobId>,
    instances: Vec<InstanceId>,
    /// By the job that opened them, which is the order in which they were named.
    traces: BTreeMap<JobId, TraceId>,
    replay: bool,
    sends: Vec<Frame>,
}

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
                self.start_load(path);
            }
            Command::TrustNative(trust) => self.outcome.trusts_native = trust,
            Command::SetCompileDeadline(deadline) => self.outcome.compile_deadline = deadline,
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
            Command::Replay(request) => self.replay(request, None),
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
                self.start = None;
                self.jobs.cancel_all();
            }
            Command::Send(request) => {
                let host = self.host.clone();
                let name = work::name_of(&host, request.target);
                self.jobs.start(format!("Sending to {name}"), move |state| {
                    work::send(&host, request, state)
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
            Command::RollBack(instance) => {
                let host = self.host.clone();
                let name = work::name_of(&host, instance);
                self.jobs.start(format!("Rolling {name} back"), move |_| {
                    work::roll_back(&host, instance)
                });
            }
            Command::Watch(instance, on) => {
                let host = self.host.clone();
                self.jobs
                    .start("Changing what is watched", move |_| work::watch(&host, instance, on));
            }
            Command::Loop(instance) => self.reload_replay_diff(instance),
            Command::Allow { instance, permission, asks, others, lifetime } => {
                self.allow(instance, permission, &asks, &others, lifetime);
            }
            Command::Decide(instance, permission, decision) => {
                self.host.set_decision(instance, permission, decision);
                self.outcome.edits.policy += 1;
                self.look_at_plugins();
            }
            Command::SetLimits(instance, limits) => {
                self.host.set_limits(instance, *limits);
                self.outcome.edits.limits += 1;
                self.look_at_plugins();
            }
            Command::SetPolicyMode(mode) => {
                self.host.set_policy_mode(mode);
                self.outcome.policy_mode = mode;
                self.outcome.edits.policy += 1;
                self.look_at_plugins();
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
                let text = policy_text(self.outcome.policy_mode, &self.host.plugins());
                let (title, inputs) = (format!("Writing {}", path.display()), self.inputs());
                self.jobs.start(title, move |_| work::save_policy(&text, path, replace, &inputs));
            }
            Command::SetSeverities(severities) => self.findings.set_severities(severities),
            Command::Notify(level, text) => self.notices.add(level, text),
        }
    }

    /// Says that a plugin asks for files, network or environment, which it does not have yet.
    pub(super) fn note_what_is_asked(&mut self, instance: InstanceId) {
        let Some(plugin) = self.host.plugin(instance) else { return };
        let asks: Vec<&str> = plugin.asking().map(Permission::name).collect();
        if !asks.is_empty() {
            let (id, asks) = (&plugin.manifest.plugin.id, asks.join(" and "));
            let text = format!("{id} asks for {asks}: allow or deny it in the panel Policy");
            self.notices.add(Level::Warning, text);
        }
    }

    fn allow(
        &mut self,
        instance: InstanceId,
        permission: Permission,
        asks: &[Allowance],
        others: &[InstanceId],
        lifetime: Lifetime,
    ) {
        let Some(chosen) = self.host.plugin(instance) else {
            let text = "The plugin is gone; nothing was allowed".to_owned();
            return self.notices.add(Level::Warning, text);
        };
        if asked_of(&chosen, permission) != asks {
            let text = format!(
                "{} asks for something else now; look again before you allow it",
                chosen.manifest.plugin.id
            );
            return self.notices.add(Level::Warning, text);
        }
        let plugins = self.host.plugins();
        let others: Vec<_> = asking_no_more(&plugins, &chosen, permission)
            .filter(|other| others.contains(&other.instance))
            .collect();
        for plugin in [&chosen].into_iter().chain(others.iter().copied()) {
            self.host.allow(plugin.instance, permission, lifetime);
        }
        let names: Vec<_> = [&chosen]
            .into_iter()
            .chain(others)
            .map(|one| one.manifest.plugin.id.as_str())
            .collect();
        let (names, name, means) = (names.join(", "), lifetime.name(), lifetime.means());
        let text = format!("{permission} is allowed to {names}, {name}: {means}");
        self.notices.add(Level::Success, text);
        self.look_at_plugins();
    }

    /// Loads plugins and opens traces; with both, the traces are replayed into the plugins.
    fn start(&mut self, files: Vec<PathBuf>, sends: Vec<Frame>) {
        let (workspaces, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| path.ends_with(Workspace::FILE));
        let (baselines, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| accepted::is_baseline(path));
        let (traces, plugins): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| trace::is_trace_or_capture(path));
        let with_plugins = !plugins.is_empty() || !workspaces.is_empty();
        let mut start =
            Start { replay: !traces.is_empty() && with_plugins, sends, ..Start::default() };
        for path in workspaces {
            let title = format!("Reading {}", file_name(&path));
            let job = self.jobs.start(title, move |_| work::open_workspace(path));
            start.waiting.insert(job);
        }
        for path in baselines {
            let title = format!("Opening {}", file_name(&path));
            start.waiting.insert(self.jobs.start(title, move |_| work::open_baseline(path)));
        }
        for path in plugins {
            start.waiting.insert(self.start_load(path));
        }
        for path in traces {
            start.waiting.insert(self.start_open(path));
        }
        if !start.waiting.is_empty() {
            self.start = Some(start);
        }
    }

    fn start_load(&mut self, path: PathBuf) -> JobId {
        let mut request = LoadRequest::path(&path).trust_native(self.outcome.trusts_native);
        if let Some(deadline) = self.outcome.compile_deadline {
            request = request.compile_deadline(deadline);
        }
        let host = self.host.clone();
        let title = format!("Loading {}", file_name(&path));
        self.jobs.start(title, move |state| work::load(&host, path, request, state))
    }

    /// Loads what a workspace asks for, as it asks for it.
    fn take_in_workspace(&mut self, path: &Path, opened: OpenedWorkspace) {
        let OpenedWorkspace { profile, policy, mock, plugins } = opened;
        let on = profile.as_ref().map_or_else(String::new, |profile| format!(" on {profile}"));
        let found = plugins.plugins.len();
        let count = if found == 1 { "1 plugin".to_owned() } else { format!("{found} plugins") };
        self.notices.add(Level::Info, format!("{}: {count}{on}", path.display()));
        for unreadable in &plugins.unreadable {
            let text = format!("{} is no plugin that can be read", unreadable.display());
            self.notices.add(Level::Warning, text);
        }
        if let Some(policy) = policy {
            self.host.set_policy(policy);
            self.outcome.policy_mode = self.host.policy_mode();
        }
        if let Some(profile) = profile {
            self.host.set_profile(profile);
        }
        let requests = plugins.plugins.into_iter().map(|plugin| {
            let mut request = plugin.request;
            if self.outcome.trusts_native {
                request = request.trust_native(true);
            }
            if let Some(deadline) = self.outcome.compile_deadline {
                request = request.compile_deadline(deadline);
            }
            if let Some(mock) = &mock {
                request = request.mock(mock.clone());
            }
            (plugin.path, request)
        });
        let (host, requests) = (self.host.clone(), requests.collect());
        let title = format!("Loading {count}");
        let job = self.jobs.start(title, move |state| work::load_in_order(&host, requests, state));
        if let Some(start) = &mut self.start {
            start.waiting.insert(job);
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
        let origin = trace.origin.clone();
        let title = format!("Saving {}", trace.name);
        let inputs = self.inputs();
        self.jobs.start(title, move |_| work::save(id, &origin, path, replace, &inputs));
    }

    /// Files that are open: nothing is written over them.
    fn inputs(&self) -> Vec<PathBuf> {
        let traces = self.traces.all().iter().filter_map(|trace| match &trace.origin {
            Origin::File(path) | Origin::Imported(path, _) => Some(path.clone()),
            Origin::Replay(_) => None,
        });
        traces.chain(self.host.plugins().into_iter().filter_map(|plugin| plugin.path)).collect()
    }

    fn replay(&mut self, request: ReplayRequest, reload_and_diff: Option<InstanceId>) {
        if self.jobs.replay().is_some() {
            let text = "A replay is under way; stop it before another one starts";
            return self.notices.add(Level::Warning, text);
        }
        let Some(trace) = self.traces.get(request.trace) else {
            return;
        };
        let title = match reload_and_diff {
            None => format!("Replaying {}", trace.name),
            Some(_) => format!("Reloading, replaying {} and comparing", trace.name),
        };
        let name = trace.name.split_once(" of ").filter(|(kind, _)| kind.starts_with("replay"));
        let first = name.map_or(&*trace.name, |(_, first)| first);
        let work = ReplayWork {
            host: self.host.clone(),
            fanout: Arc::clone(&self.fanout),
            request,
            trace_name: trace.name.clone(),
            run_name: self.unused_replay_of(first),
            origin: trace.origin.clone(),
            reload_and_diff,
            accepted: self.outcome.accepted.clone(),
        };
        self.jobs.start_replay(title, move |state, control| work.run(state, control));
    }

    fn reload_replay_diff(&mut self, instance: InstanceId) {
        let Some(baseline) = self.traces.baseline() else {
            let text = "Pin a trace first: it is what the new generation is compared with";
            return self.notices.add(Level::Warning, text);
        };
        let request = ReplayRequest {
            trace: baseline.id,
            targets: vec![instance],
            pace: Pace::Max,
            filter: None,
            calls: Vec::new(),
            range: None,
            from: None,
            how: ReplayHow::Once,
        };
        self.replay(request, Some(instance));
    }

    fn resend_and_diff(&mut self, target: InstanceId, row: RowRef) {
        let recorded = self.view().read_row(row, |store| call_of(store, row));
        let Some(Some(recorded)) = recorded else {
            let text = "The frames of this call are no longer in memory";
            return self.notices.add(Level::Warning, text);
        };
        let host = self.host.clone();
        self.jobs
            .start("Sending again", move |_| work::resend_and_compare(&host, target, recorded));
    }

    pub(super) fn take_in_finished_work(&mut self) {
        for (job, finished) in self.jobs.finished() {
            self.take_in(job, finished);
            self.go_on_with_start();
        }
    }

    fn take_in(&mut self, job: JobId, finished: Finished) {
        if let Some(start) = &mut self.start {
            start.waiting.remove(&job);
        }
        match finished {
            Finished::Nothing => {}
            Finished::Several(all) => all.into_iter().for_each(|one| self.take_in(job, one)),
            Finished::Done(text) => self.notices.add(Level::Success, text),
            Finished::TraceSaved(trace, path) => {
                if let Some(trace) = self.traces.get_mut(trace) {
                    trace.unsaved = false;
                }
                self.notices.add(Level::Success, format!("Saved {}", path.display()));
            }
            Finished::Partly(text) => self.notices.add(Level::Warning, text),
            Finished::Failed(text) => self.notices.add(Level::Error, text),
            Finished::Unloaded(instance, name) => {
                if let Some(replay) = self.jobs.replay() {
                    replay.unload(instance);
                }
                self.notices.add(Level::Success, format!("{name} is unloaded"));
            }
            Finished::Panicked(text) => {
                self.notices.add(Level::Error, text);
                self.forget_job(job);
            }
            Finished::Loaded(path, Ok(instance)) => {
                self.look_at_plugins();
                if let Some(start) = &mut self.start {
                    start.instances.push(instance);
                }
                let name = work::name_of(&self.host, instance);
                let text = format!("{name} is loaded from {}", file_name(&path));
                self.notices.add(Level::Success, text);
                self.note_what_is_asked(instance);
            }
            Finished::Loaded(path, Err(error)) => {
                self.outcome.loads_failed += 1;
                let text = format!("{} was not loaded: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::Workspace(path, Ok(opened)) => self.take_in_workspace(&path, *opened),
            Finished::Workspace(path, Err(error)) => {
                self.outcome.loads_failed += 1;
                // A problem in the file names it; one about what the file asks for may not.
                let text = format!("{} was not opened: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::Opened(_, Ok(opened)) => {
                for damage in &opened.damage {
                    self.notices.add(Level::Warning, damage.clone());
                }
                let text = format!("{} is open, {} frames", opened.name, opened.frames());
                let id = self.traces.add(*opened, &self.fanout.waker);
                self.look_over(id);
                if self.traces.baseline().is_none() {
                    self.traces.pin(Some(id));
                }
                if let Some(start) = &mut self.start {
                    start.traces.insert(job, id);
                }
                self.notices.add(Level::Info, text);
            }
            Finished::Opened(path, Err(error)) => {
                self.outcome.loads_failed += 1;
                let text = format!("{} was not opened: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::Indexed(id, result) => self.take_in_index(id, result),
            Finished::Digested(id, digest) => self.take_in_digest(id, *digest),
            Finished::Searched(id, revision, result) => {
                self.take_in_search(id, revision, result);
            }
            Finished::LookedOver(trace, look) => self.take_in_look(trace, *look),
            Finished::Recorded(Ok((status, snapshots))) => {
                self.take_in_recording(*status, snapshots);
            }
            Finished::Recorded(Err(error)) => {
                let text = format!("The recording is incomplete: {error}");
                self.notices.add(Level::Error, text);
            }
            Finished::Replayed(replayed) => self.take_in_replay(*replayed),
            Finished::Compared(Ok(compared)) => self.take_in_diff(compared),
            Finished::Compared(Err(error)) => {
                let text = format!("Cannot compare: {error}");
                self.notices.add(Level::Error, text);
            }
            Finished::Accepted(_, Ok(accepted)) => self.take_in_baseline(*accepted),
            Finished::Accepted(path, Err(error)) => {
                self.outcome.loads_failed += 1;
                let text = format!("{} was not opened: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::PolicySaved(path) => {
                self.outcome.edits.policy = 0;
                let text = format!("The policy is saved: {}", path.display());
                self.notices.add(Level::Success, text);
            }
            Finished::Exists(command) => self.outcome.in_the_way = Some(*command),
            Finished::BaselineSaved(saved, decisions) => {
                self.outcome.saved = Some(decisions);
                let (calls, path) = (saved.calls(), saved.path.display());
                let text = format!("{calls} calls are the baseline now: {path}");
                self.notices.add(Level::Success, text);
                if let Some(open) = &mut self.outcome.accepted
                    && open.path == saved.path
                {
                    *open = *saved;
                }
            }
            Finished::Sent(sent) => {
                if self.outcome.sent.len() == SENT_KEPT {
                    self.outcome.sent.pop_front();
                }
                self.outcome.sent.push_back(*sent);
            }
        }
    }

    fn take_in_replay(&mut self, mut replayed: Replayed) {
        let mut level = level_of(&replayed.summary);
        let mut text = replayed.summary.sentence();
        let before = replayed.started.as_ref().map_or(0, |started| started.position);
        let left_out = replayed.skipped.saturating_sub(before);
        if left_out > 0 {
            text.push_str(&format!("; {left_out} inputs of the trace were left out"));
        }
        if let Some(started) = &replayed.started {
            text.push_str(&format!("; started at {}", started.line()));
        }
        if let Some(divergences) = &replayed.divergences {
            text.push_str(&format!("; {}", answers::sentence(divergences)));
            if divergences.iter().any(|found| found.count() > 0) {
                level = Level::Warning;
            }
        }
        if let (None, Some(accepted)) = (&replayed.compared, &self.outcome.accepted) {
            let name = accepted.name();
            text.push_str(&format!("; not compared with {name}: not every call was made once"));
        }
        self.notices.add(level, text);
        self.outcome.frames_replayed += replayed.summary.sent as u64;
        replayed.run.lost = replayed.lost;
        let is_unasked = self.outcome.unasked.as_ref() == Some(&replayed.run.name);
        let run = self.traces.add(replayed.run, &self.fanout.waker);
        if let Some(trace) = self.traces.get_mut(run) {
            trace.unsaved = !is_unasked;
        }
        self.look_over(run);
        // A capture has no answers to compare with; the first run of it does.
        let baseline = self.traces.baseline().map(|trace| &trace.origin);
        if let None | Some(Origin::Imported(..)) = baseline {
            self.traces.pin(Some(run));
        }
        if let Some(compared) = replayed.compared {
            self.take_in_diff(compared);
        }
    }

    /// Replays are compared with it from now on.
    fn take_in_baseline(&mut self, accepted: Accepted) {
        let text = format!("{} is the baseline: {}", accepted.name(), accepted.summary());
        self.notices.add(Level::Info, text);
        self.outcome.accepted = Some(accepted);
    }

    fn take_in_diff(&mut self, compared: Compared) {
        let diff = compared.diff();
        let names = format!("{} and {}", diff.before.name, diff.after.name);
        let warning = compared.warning();
        let is_good = diff.is_same() && warning.is_none();
        let level = if is_good { Level::Success } else { Level::Warning };
        let mut text = format!("{names}: {}", diff.summary());
        let rejected = compared.rejected_before().len();
        if rejected > 0 {
            text.push_str(&format!(", {rejected} rejected before"));
        }
        if let Some(warning) = warning {
            text.push_str(&format!("; {warning}"));
        }
        self.notices.add(level, text);
        self.outcome.diffs += 1;
        self.outcome.saved = None;
        self.outcome.compared = Some(Arc::new(compared));
    }

    /// A name that no trace has; its number comes early, where a narrow list still shows it.
    fn unused_replay_of(&self, name: &str) -> String {
        let first = format!("replay of {name}");
        let numbered = (2..).map(|number| format!("replay {number} of {name}"));
        let taken = |name: &String| self.traces.all().iter().any(|trace| trace.name == *name);
        std::iter::once(first.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(first)
    }

    fn go_on_with_start(&mut self) {
        let ready = self.start.as_ref().is_some_and(|start| start.waiting.is_empty());
        let Some(start) = self.start.take_if(|_| ready) else {
            return;
        };
        if let (Some(target), false) = (start.instances.first().copied(), start.sends.is_empty()) {
            let host = self.host.clone();
            self.jobs.start("Sending the frames of the example", move |state| {
                work::send_all(&host, target, &start.sends, state)
            });
        }
        let traces: Vec<TraceId> = start.traces.into_values().collect();
        if let (true, [before, after]) = (start.instances.is_empty(), &*traces) {
            self.traces.pin(Some(*before));
            let options = DiffOptions::default();
            self.execute(Command::Diff { before: *before, after: *after, options });
        }
        if let (true, [trace, ..]) = (start.replay && !start.instances.is_empty(), &*traces) {
            let name = self.traces.get(*trace).map(|trace| trace.name.clone());
            self.outcome.unasked = name.map(|name| self.unused_replay_of(&name));
            self.replay(
                ReplayRequest {
                    trace: *trace,
                    targets: start.instances,
                    pace: Pace::Max,
                    filter: None,
                    calls: Vec::new(),
                    range: None,
                    from: None,
                    how: ReplayHow::Once,
                },
                None,
            );
        }
    }
}

/// All that an instance asks for of a permission: the generation that waits, else the one that runs.
pub fn asked_of(plugin: &PluginStatus, permission: Permission) -> &[Allowance] {
    let waits = plugin.refused.iter().flat_map(|refused| &refused.waits_for);
    let mut waits = waits.filter(|growth| growth.permission == permission);
    if let Some(growth) = waits.next() {
        return &growth.asks;
    }
    let mut statuses = plugin.permissions.iter();
    let status = statuses.find(|status| status.permission == permission);
    status.map_or(&[], |status| &status.asks)
}

/// The other instances that ask for a permission, do not have it, and would be given nothing by it
/// that is not given to `chosen`.
pub fn asking_no_more<'a>(
    plugins: &'a [PluginStatus],
    chosen: &PluginStatus,
    permission: Permission,
) -> impl Iterator<Item = &'a PluginStatus> {
    plugins.iter().filter(move |other| {
        let mut statuses = other.permissions.iter();
        let lacks = statuses
            .any(|status| status.permission == permission && status.asked && !status.granted);
        other.instance != chosen.instance && lacks && other.asks_no_more_than(chosen, permission)
    })
}

/// The mode and what a person decided about permissions, as a `policy.toml`.
fn policy_text(mode: PolicyMode, plugins: &[PluginStatus]) -> String {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for plugin in plugins {
        let section = sections.entry(&plugin.manifest.plugin.id).or_default();
        for status in &plugin.permissions {
            let decision = match status.decision {
                Decision::Allow => "allow",
                Decision::Deny => "deny",
                Decision::AsDeclared => continue,
            };
            section.insert(status.permission.name(), decision);
        }
    }
    let mut modes = PolicyMode::ALL.iter();
    let name = modes.find(|(known, _)| *known == mode).map_or("", |(_, name)| name);
    let mut text = format!("mode = \"{name}\"\n");
    for (id, rules) in sections.iter().filter(|(_, rules)| !rules.is_empty()) {
        text.push_str(&format!("\n[plugins.{id}]\n"));
        let lines = rules.iter().map(|(permission, rule)| format!("{permission} = \"{rule}\"\n"));
        text.extend(lines);
    }
    text
}

/// The call a row belongs to, as far as its frames are in memory.
fn call_of(store: &Store, row: RowRef) -> Option<RunCall> {
    let id = store.row_by_id(row.row)?.call;
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

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
