//! Opens files that are given together, and joins them in a replay once all are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::Frame;
use glovebox_host::{LoadRequest, Mock, Profile, Reloads};
use glovebox_inspector::diff::DiffOptions;
use glovebox_workspace::Workspace;

use super::finished::OpenedWorkspace;
use super::replaying::Purpose;
use super::state::Start;
use super::words::file_name;
use super::{
    Accepting, Command, JobId, Level, ReplayRequest, Source, TraceId, Workbench, accepted, trace,
    work,
};

impl Workbench {
    /// Loads plugins and opens traces; with both, the traces are replayed into the plugins.
    pub(super) fn start(&mut self, files: Vec<PathBuf>, sends: Vec<Frame>) {
        let (workspaces, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| path.ends_with(Workspace::FILE));
        let (baselines, files): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| accepted::is_baseline(path));
        let (traces, plugins): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| trace::is_trace_or_capture(path));
        let with_plugins = !plugins.is_empty() || !workspaces.is_empty();
        self.started += 1;
        let (number, replay) = (self.started, !traces.is_empty() && with_plugins);
        let mut start = Start { number, replay, sends, ..Start::default() };
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
            start.waiting.insert(self.start_load(path, Accepting::default()));
        }
        for path in traces {
            start.waiting.insert(self.start_open(path));
        }
        if !start.waiting.is_empty() {
            self.starts.push(start);
        }
    }

    pub(super) fn start_load(&mut self, path: PathBuf, accepting: Accepting) -> JobId {
        let mut request = self.as_chosen(LoadRequest::path(&path));
        if accepting.missing_layers {
            request = request.accept_missing_layers();
        }
        if accepting.container {
            request = request.accept_container();
        }
        let host = self.host.clone();
        let title = format!("Loading {}", file_name(&path));
        self.jobs.start(title, move |state| work::load(&host, path, request, accepting, state))
    }

    /// A request to load, with what a person chose for all.
    fn as_chosen(&self, mut request: LoadRequest) -> LoadRequest {
        if self.outcome.trusts_native {
            request = request.trust_native();
        }
        if let Some(deadline) = self.outcome.compile_deadline {
            request = request.compile_deadline(deadline);
        }
        if let Some(memory) = self.outcome.compile_memory {
            request = request.compile_memory(memory);
        }
        if let Some(deadline) = self.outcome.load_deadline {
            request = request.load_deadline(deadline);
        }
        request
    }

    /// Applies the policy again whenever its file changes.
    fn watch_policy(&mut self) {
        let fanout = Arc::downgrade(&self.fanout);
        let watched = self.host.watch_policy(move |changed| {
            if let Some(fanout) = fanout.upgrade() {
                fanout.tell_policy(changed);
            }
        });
        if let Err(error) = watched {
            self.notices.add(Level::Warning, format!("The policy file is not watched: {error}"));
        }
    }

    /// Takes over what the file of a mock holds whenever that changes.
    fn watch_mock(&mut self, mock: &Arc<Mock>) {
        let (fanout, file) = (Arc::downgrade(&self.fanout), mock.file().map(Path::to_owned));
        let watched = self.host.watch_mock(mock, move |changed| {
            if let (Some(fanout), Some(file)) = (fanout.upgrade(), &file) {
                fanout.tell_mock(file, changed);
            }
        });
        if let Err(error) = watched {
            self.notices.add(Level::Warning, format!("The mock file is not watched: {error}"));
        }
    }

    /// Loads what a workspace asks for, as it asks for it; `start` awaits it, by position.
    pub(super) fn take_in_workspace(
        &mut self,
        path: &Path,
        opened: OpenedWorkspace,
        start: Option<usize>,
    ) {
        let OpenedWorkspace { profile, policy, mock, plugins } = opened;
        let on = profile.as_ref().map_or_else(String::new, |profile| format!(" on {profile}"));
        let found = plugins.plugins.len();
        let count = if found == 1 { "1 plugin".to_owned() } else { format!("{found} plugins") };
        self.notices.add(Level::Info, format!("{}: {count}{on}", path.display()));
        for unreadable in &plugins.unreadable {
            let text = format!("{} is no plugin that can be read", unreadable.display());
            self.notices.add(Level::Warning, text);
        }
        let reloads = profile.as_ref().map(Profile::reloads);
        let watches = reloads != Some(Reloads::WhenAsked);
        if let Some(policy) = policy {
            self.host.set_policy(policy);
            self.outcome.policy_mode = self.host.policy_mode();
            if watches {
                self.watch_policy();
            }
        }
        if let Some(mock) = mock.as_ref().filter(|_| watches) {
            self.watch_mock(mock);
        }
        if let Some(profile) = profile {
            self.host.set_profile(profile);
        }
        let requests = plugins.plugins.into_iter().map(|plugin| {
            let mut request = self.as_chosen(plugin.request);
            if let Some(mock) = &mock {
                request = request.mock(mock.clone());
            }
            (plugin.path, request)
        });
        let (host, requests) = (self.host.clone(), requests.collect());
        let title = format!("Loading {count}");
        let job = self.jobs.start(title, move |state| work::load_in_order(&host, requests, state));
        if let Some(start) = start.and_then(|at| self.starts.get_mut(at)) {
            start.waiting.insert(job);
        }
    }

    /// Goes on where all files are there.
    pub(super) fn go_on_with_starts(&mut self) {
        while let Some(at) = self.starts.iter().position(|start| start.waiting.is_empty()) {
            let start = self.starts.remove(at);
            self.go_on_with(start);
        }
    }

    fn go_on_with(&mut self, start: Start) {
        let number = start.number;
        let mut led_to = None;
        if let (Some(target), false) = (start.instances.first().copied(), start.sends.is_empty()) {
            led_to = Some(Source::Live);
            let host = self.host.clone();
            self.jobs.start("Sending the frames of the example", move |state| {
                work::send_all(&host, target, &start.sends, state)
            });
        }
        let traces: Vec<TraceId> = start.traces.into_values().collect();
        led_to = led_to.or(traces.first().map(|trace| Source::Trace(*trace)));
        if let (true, [before, after]) = (start.instances.is_empty(), &*traces) {
            self.traces.pin(Some(*before));
            let options = DiffOptions::default();
            self.execute(Command::Diff { before: *before, after: *after, options });
        }
        if let (true, [trace, ..]) = (start.replay && !start.instances.is_empty(), &*traces) {
            led_to = Some(Source::Live);
            let name = self.traces.get(*trace).map(|trace| trace.name.clone());
            self.outcome.unasked = name.map(|name| {
                let [first, _] = self.unused_replays_of(&name);
                first
            });
            self.replay_for(ReplayRequest::whole(*trace, start.instances), Purpose::Run);
        }
        if led_to.is_some() && number > self.outcome.led_to.0 {
            self.outcome.led_to = (number, led_to);
        }
    }
}
