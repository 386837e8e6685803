//! The work of the threads of jobs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use glovebox_abi::Frame;
use glovebox_abi::manifest::Isolation;
use glovebox_events::{CallId, Outcome};
use glovebox_files::OutputProblem;
use glovebox_host::{
    CandidateRole, Host, InstanceId, LoadRequest, Lost, Mock, PluginStatus, Policy, Source, Task,
};
use glovebox_inspector::baseline::{Baseline, Decision, SourceTrace};
use glovebox_inspector::diff::{self, DiffOptions, Run, RunCall, RunOutput};
use glovebox_inspector::failure;
use glovebox_inspector::store::{Extraction, SavedEvents};
use glovebox_trace::{PluginRecord, Recorder, Replacing, Statuses, TraceError, TraceIndex};
use glovebox_workspace::Workspace;

use super::accepted::{Accepted, Compared, refuse_inputs_only};
use super::consent::PolicyText;
use super::failures::Failed;
use super::finished::{Finished, OpenedWorkspace};
use super::jobs::JobState;
use super::sink::Fanout;
use super::snapshots::Keeper;
use super::trace::{self, Opened, TraceId};
use super::words::{count, with_causes};
use super::{Accepting, Command, Origin, SendRequest, Sent};

pub(super) fn load(
    host: &Host,
    path: PathBuf,
    request: LoadRequest,
    accepting: Accepting,
    state: &JobState,
) -> Finished {
    // With this extension or another.
    if Baseline::is_one(&path) {
        return open_baseline(path);
    }
    match wait(host, host.load(request), &path, state) {
        Ok(instance) => Finished::Loaded(path, Ok(instance)),
        Err(error) => match accepting.and(error.problem()) {
            Some(more) => Finished::NotAccepted(path, more, error.problem().to_string()),
            None => Finished::Loaded(path, Err(error.to_string())),
        },
    }
}

/// Loads plugins one after another; one that cannot be loaded does not keep those after it.
pub(super) fn load_in_order(
    host: &Host,
    requests: Vec<(PathBuf, LoadRequest)>,
    state: &JobState,
) -> Finished {
    let requests = requests.into_iter();
    let load = |(path, request)| load(host, path, request, Accepting::default(), state);
    Finished::Several(requests.map(load).collect())
}

/// How often a job looks at what the compiler does.
const LOOK: Duration = Duration::from_millis(250);

/// Waits for a load or reload of `file`. Meanwhile the job says what is done, and cancels it if it is asked
/// to end.
fn wait<T: Lost>(host: &Host, mut task: Task<T>, file: &Path, state: &JobState) -> T {
    let folder = if file.is_dir() { Some(file) } else { file.parent() };
    // A folder or manifest names an artifact beside it.
    let names = file.is_dir() || file.extension().is_some_and(|extension| extension == "toml");
    loop {
        if let Some(result) = task.wait_for(LOOK) {
            return result;
        }
        let is_it = |path: Option<&Path>| {
            path.is_some_and(|path| path == file || names && path.parent() == folder)
        };
        for load in host.loads().into_iter().filter(|load| is_it(load.origin.path())) {
            state.say(load.to_string());
            if state.is_cancelled() {
                host.cancel_load(load.id);
            }
        }
        let compiles = host.compiles().into_iter().filter(|compile| !compile.given_up);
        for compile in compiles.filter(|compile| is_it(compile.origin.path())) {
            state.say(compile.to_string());
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            state.progress(millis(compile.elapsed), millis(compile.deadline));
        }
    }
}

/// Reads a workspace and looks for its plugins; nothing is loaded yet.
pub(super) fn open_workspace(path: PathBuf) -> Finished {
    let read = || -> anyhow::Result<Box<OpenedWorkspace>> {
        let workspace = Workspace::read(&path)?;
        Ok(Box::new(OpenedWorkspace {
            profile: workspace.profile(None)?,
            policy: workspace.policy().map(Policy::load).transpose()?,
            mock: workspace.mock().map(Mock::read).transpose()?.map(Arc::new),
            plugins: workspace.plugins()?,
        }))
    };
    let result = read().map_err(|error| with_causes(&error));
    Finished::Workspace(path, result)
}

pub(super) fn open_baseline(path: PathBuf) -> Finished {
    let result = Accepted::read(&path).map(Box::new).map_err(|error| error.to_string());
    Finished::Accepted(path, result)
}

pub(super) fn open(path: PathBuf, state: &JobState) -> Finished {
    let mut progress = |done, total| state.progress(done, total);
    let result = Opened::read(&path, &mut progress, &state.cancel);
    let result = result.map(Box::new).map_err(|error| with_causes(&error));
    Finished::Opened(path, result)
}

/// Scans a trace and keeps the index beside it.
pub(super) fn index(id: TraceId, path: &Path, state: &JobState) -> Finished {
    let mut progress = |done, total| state.progress(done, total);
    let result = match TraceIndex::open(path, &mut progress, &state.cancel) {
        Ok(index) => Ok(Arc::new(index)),
        Err(TraceError::Cancelled { .. }) => Err(None),
        Err(error) => Err(Some(error.to_string())),
    };
    Finished::Indexed(id, result)
}

fn paths(files: &[PathBuf]) -> Vec<&Path> {
    files.iter().map(PathBuf::as_path).collect()
}

/// Writes a policy.
pub(super) fn save_policy(
    policy: PolicyText,
    path: PathBuf,
    replace: bool,
    inputs: &[PathBuf],
) -> Finished {
    match glovebox_files::write(&path, policy.text.as_bytes(), replace, &paths(inputs)) {
        Ok(()) => Finished::PolicySaved(path, policy.left_out),
        Err(OutputProblem::Exists { .. }) => {
            Finished::Exists(Box::new(Command::SavePolicy { path, replace: true }))
        }
        Err(problem) => Finished::Failed(format!("Not saved: {problem}")),
    }
}

/// Writes a trace to a file of its own.
pub(super) fn save(
    trace: TraceId,
    (origin, lost, plugins): (&Origin, u64, &[PluginRecord]),
    path: PathBuf,
    replace: bool,
    inputs: &[PathBuf],
) -> Finished {
    let again = |path| Command::SaveTrace { trace, path, replace: true };
    if let Some(refused) = refused(&path, replace, inputs, again) {
        return refused;
    }
    match origin.save((lost, plugins), &path, replace, &paths(inputs)) {
        Ok(()) => Finished::TraceSaved(trace, path),
        Err(error) => Finished::Failed(format!("Not saved: {}", with_causes(&error))),
    }
}

/// Writes the live frames that are still in memory to a trace.
pub(super) fn save_live(
    fanout: &Fanout,
    plugins: Vec<PluginRecord>,
    path: PathBuf,
    replace: bool,
    inputs: &[PathBuf],
) -> Finished {
    let again = |path| Command::SaveLive { path, replace: true };
    if let Some(refused) = refused(&path, replace, inputs, again) {
        return refused;
    }
    // Those that come meanwhile may be in the file or not.
    let before = fanout.unkept.lock().next();
    let mut extraction = Extraction::default();
    // Each time the lock is free in between: plugins wait for it.
    while extraction.take(&fanout.store.lock()) {}
    let saved = extraction.finish(&fanout.store.lock());
    let counts = in_words(&saved);
    match trace::save_live(saved, &counts, &plugins, Replacing { path: &path, is_on: replace }) {
        Ok(()) => Finished::LiveSaved(path, before, counts),
        Err(error) => Finished::Failed(format!("Not saved: {error}")),
    }
}

/// How many live frames are saved, and how many could not be.
fn in_words(saved: &SavedEvents) -> String {
    let mut text = count(saved.frames, "live frame");
    if saved.evicted > 0 {
        let earlier = count(saved.evicted, "earlier frame");
        text.push_str(&format!("; {earlier} had to make room in memory before"));
    }
    if saved.others_evicted > 0 {
        text.push_str(&format!("; so had {}", count(saved.others_evicted, "other event")));
    }
    text
}

/// Why a file is not written, if it is not: it is in the way, so that a person is asked whether `again` is
/// meant, or it cannot be written at all.
fn refused(
    path: &Path,
    replace: bool,
    inputs: &[PathBuf],
    again: impl FnOnce(PathBuf) -> Command,
) -> Option<Finished> {
    match glovebox_files::refuse(path, replace, &paths(inputs)) {
        Ok(()) => None,
        Err(OutputProblem::Exists { .. }) => {
            Some(Finished::Exists(Box::new(again(path.to_owned()))))
        }
        Err(problem) => Some(Finished::Failed(format!("Not saved: {problem}"))),
    }
}

pub(super) fn finish_recording(recorder: &Recorder, keeper: Option<Keeper>) -> Finished {
    let snapshots = keeper.map(Keeper::finish);
    let result = recorder.finish();
    let result = result.map(|status| (Box::new(status), snapshots));
    Finished::Recorded(result.map_err(|error| error.to_string()))
}

pub(super) fn reload(
    host: &Host,
    instance: InstanceId,
    carry_state: bool,
    state: &JobState,
) -> Finished {
    let name = name_of(host, instance);
    let status = host.plugin(instance);
    let file = status.as_ref().and_then(PluginStatus::path).map(Path::to_owned).unwrap_or_default();
    let reloading = if carry_state { host.reload(instance) } else { host.reload_cold(instance) };
    match wait(host, reloading, &file, state) {
        Ok(generation) => Finished::Done(format!("{name} runs generation {generation}")),
        Err(error) => Finished::Failed(format!("{name} was not reloaded: {error}")),
    }
}

/// Runs a native plugin elsewhere.
pub(super) fn relocate(
    host: &Host,
    instance: InstanceId,
    to: Isolation,
    state: &JobState,
) -> Finished {
    let name = name_of(host, instance);
    let status = host.plugin(instance);
    let file = status.as_ref().and_then(PluginStatus::path).map(Path::to_owned).unwrap_or_default();
    let (moving, place) = match to {
        Isolation::InProcess => (host.trust_and_move_here(instance), "in this process"),
        _ => (host.move_to_workers(instance), "in a worker"),
    };
    match wait(host, moving, &file, state) {
        Ok(generation) => {
            Finished::Done(format!("{name} runs {place}, as generation {generation}"))
        }
        Err(error) => Finished::Failed(format!("{name} was not moved: {error}")),
    }
}

pub(super) fn roll_back(host: &Host, instance: InstanceId, generation: Option<u32>) -> Finished {
    let name = name_of(host, instance);
    let going = match generation {
        Some(generation) => host.roll_back_to(instance, generation),
        None => host.roll_back(instance),
    };
    match going.wait() {
        Ok(generation) => Finished::Done(format!("{name} went back, as generation {generation}")),
        Err(error) => Finished::Failed(format!("{name} was not rolled back: {error}")),
    }
}

/// Tries another build beside the one that serves.
pub(super) fn try_beside(
    host: &Host,
    instance: InstanceId,
    role: CandidateRole,
    file: Option<PathBuf>,
    state: &JobState,
) -> Finished {
    let name = name_of(host, instance);
    let own = || host.plugin(instance).and_then(|plugin| plugin.path().map(Path::to_owned));
    let path = file.clone().or_else(own).unwrap_or_default();
    let trying = match file {
        Some(file) => host.try_beside_with(instance, Source::path(file), role),
        None => host.try_beside(instance, role),
    };
    match wait(host, trying, &path, state) {
        Ok(generation) => {
            Finished::Done(format!("Generation {generation} of {name} is tried as {role}"))
        }
        Err(error) => Finished::Failed(format!("Nothing is tried beside {name}: {error}")),
    }
}

/// Lets what is tried take over.
pub(super) fn promote(host: &Host, instance: InstanceId) -> Finished {
    let name = name_of(host, instance);
    match host.promote(instance).wait() {
        Ok(generation) => Finished::Done(format!("{name} runs generation {generation}")),
        Err(error) => Finished::Failed(format!("{name} was not promoted: {error}")),
    }
}

/// Ends the trial of what is tried.
pub(super) fn dismiss(host: &Host, instance: InstanceId) -> Finished {
    let name = name_of(host, instance);
    match host.dismiss(instance).wait() {
        true => Finished::Done(format!("Nothing is tried beside {name} any more")),
        false => Finished::Partly(format!("Nothing was tried beside {name}")),
    }
}

/// Writes failure bundles one after the other.
pub(super) fn keep_failures(host: &Host, failed: Vec<Failed>, folder: &Path) -> Finished {
    let failed = failed.into_iter();
    Finished::Several(failed.map(|failed| keep_failure(host, failed, folder)).collect())
}

/// Writes a failure bundle where frames are kept that crashed a process.
fn keep_failure(host: &Host, failed: Failed, folder: &Path) -> Finished {
    match failed.keep(host, folder, failure::Kept::default(), manifest_beside) {
        Ok(Some(path)) => {
            Finished::Partly(format!("The failure is described in {}", path.display()))
        }
        Ok(None) => Finished::Nothing,
        Err(error) => Finished::Failed(format!("No failure bundle was written: {error}")),
    }
}

/// Writes a failure bundle about what an instance did last.
pub(super) fn save_bundle(
    host: &Host,
    failed: Failed,
    instance: InstanceId,
    path: PathBuf,
    replace: bool,
    inputs: &[PathBuf],
) -> Finished {
    let again = |path| Command::SaveBundle { instance, path, replace: true };
    if let Some(refused) = refused(&path, replace, inputs, again) {
        return refused;
    }
    let Some(status) = host.plugin(instance) else {
        return Finished::Failed("Not saved: the plugin was unloaded".to_owned());
    };
    let out = Replacing { path: &path, is_on: replace };
    match failed.write(host, &status, manifest_beside(&status), out, failure::Kept::default()) {
        Ok(()) => Finished::Done(format!("Saved {}", path.display())),
        Err(error) => Finished::Failed(format!("Not saved: {error}")),
    }
}

/// The manifest that lies beside an artifact.
fn manifest_beside(status: &PluginStatus) -> Option<String> {
    let file = status.path()?.with_file_name("plugin.toml");
    let text = glovebox_files::read_to_string(&file, glovebox_files::MAX_TEXT).ok()?;
    // Another plugin may lie there.
    let is_it = glovebox_abi::Manifest::parse(&text).is_ok_and(|found| found == *status.manifest);
    is_it.then_some(text)
}

pub(super) fn restart(host: &Host, instance: InstanceId) -> Finished {
    let name = name_of(host, instance);
    match host.restart(instance).wait() {
        Ok(()) => Finished::Done(format!("{name} was restarted")),
        Err(error) => Finished::Failed(format!("{name} was not restarted: {error}")),
    }
}

pub(super) fn watch(host: &Host, instance: InstanceId, on: bool) -> Finished {
    let name = name_of(host, instance);
    if !on {
        host.unwatch(instance);
        return Finished::Done(format!("{name} no longer reloads by itself"));
    }
    match host.watch(instance) {
        Ok(()) => Finished::Done(format!("{name} reloads when its artifact changes")),
        Err(error) => Finished::Failed(format!("{name} cannot be watched: {error}")),
    }
}

pub(super) fn compare(
    before: (String, Origin),
    after: (String, Origin),
    options: &DiffOptions,
) -> Finished {
    let run = |(name, origin): (String, Origin)| -> anyhow::Result<(Run, SourceTrace)> {
        let events = origin.whole_events()?;
        let trace = SourceTrace::of_events(&name, &events);
        Ok((Run::from_events(name, events), trace))
    };
    let compared = run(before).and_then(|(before, _)| {
        let (after, trace) = run(after)?;
        refuse_inputs_only(&before, &after)?;
        let diff = diff::diff(Arc::new(before), Arc::new(after), options);
        Ok(Compared::runs(diff).of_trace(trace))
    });
    Finished::Compared(compared.map_err(|error| with_causes(&error)))
}

pub(super) fn compare_with_baseline(accepted: &Accepted, name: String, run: &Origin) -> Finished {
    let compared = run.whole_events().and_then(|events| {
        let trace = SourceTrace::of_events(&name, &events);
        let run = Run::from_events(name, events);
        refuse_inputs_only(accepted.run(), &run)?;
        Ok(accepted.compare(&run).of_trace(trace))
    });
    Finished::Compared(compared.map_err(|error| with_causes(&error)))
}

/// Writes the baseline that decisions lead to.
pub(super) fn save_baseline(
    compared: &Compared,
    path: PathBuf,
    replace: bool,
    decisions: BTreeMap<usize, Decision>,
    inputs: &[PathBuf],
) -> Finished {
    let again = |path| Command::SaveBaseline { path, replace: true, decisions: decisions.clone() };
    if let Some(refused) = refused(&path, replace, inputs, again) {
        return refused;
    }
    let decision = |at: usize| decisions.get(&at).copied().unwrap_or_default();
    let baseline = compared.decide(decision);
    match baseline.write(&path) {
        Ok(()) => Finished::BaselineSaved(Box::new(Accepted::new(path, baseline)), decisions),
        Err(error) => Finished::Failed(error.to_string()),
    }
}

pub(super) fn send(
    host: &Host,
    fanout: &Fanout,
    request: SendRequest,
    state: &JobState,
) -> Finished {
    let plugin = name_of(host, request.target);
    let mut request = request;
    if let Some(path) = &request.payload_file {
        match read_payload(path) {
            Ok(payload) => request.frame.payload = payload,
            Err(error) => return Finished::Failed(format!("Not sent: {}", with_causes(&error))),
        }
    }
    let started = Instant::now();
    let mut completed = 0;
    let mut times = 0;
    let mut last = None;
    while times < request.times.max(1) && !state.cancel.load(Ordering::Relaxed) {
        let reply = host.call(request.target, &request.frame);
        let is_gone = is_gone(host, request.target, &reply.outcome);
        times += 1;
        completed += usize::from(reply.outcome.is_completed());
        last = Some(reply);
        if is_gone {
            break;
        }
        if times.is_multiple_of(64) {
            state.progress(times as u64, request.times as u64);
        }
    }
    let took = started.elapsed();
    let Some(reply) = last else {
        return Finished::Nothing;
    };
    Finished::Sent(Box::new(Sent {
        at: SystemTime::now(),
        plugin,
        instance: request.target,
        frame: request.frame,
        wanted: request.times.max(1),
        times,
        completed,
        generation: generation_of(fanout, reply.call),
        call: reply.call,
        latency: latency_of(fanout, reply.call),
        beside: beside_of(fanout, reply.call),
        outcome: reply.outcome,
        frames: reply.frames.into_vec(),
        took,
    }))
}

/// True if a call was refused because there is nobody any more: further ones would be, too.
fn is_gone(host: &Host, target: InstanceId, outcome: &Outcome) -> bool {
    outcome.is_refused() && host.plugin(target).is_none()
}

/// Reads a payload that fits into a frame.
fn read_payload(path: &Path) -> anyhow::Result<Bytes> {
    let name = || path.display().to_string();
    let limit = glovebox_abi::MAX_FRAME_LEN as u64;
    Ok(glovebox_files::read(path, limit).with_context(name)?.into())
}

/// Sends frames one after the other; says how many completed.
pub(super) fn send_all(
    host: &Host,
    target: InstanceId,
    frames: &[Frame],
    state: &JobState,
) -> Finished {
    let mut completed = 0;
    let mut sent = 0;
    for frame in frames {
        if state.cancel.load(Ordering::Relaxed) {
            break;
        }
        let outcome = host.call(target, frame).outcome;
        completed += usize::from(outcome.is_completed());
        sent += 1;
        if is_gone(host, target, &outcome) {
            break;
        }
        state.progress(sent as u64, frames.len() as u64);
    }
    let name = name_of(host, target);
    let (all, failed) = (frames.len(), sent - completed);
    match (sent < all, failed) {
        (true, _) => Finished::Partly(format!(
            "Sent {sent} of {all} frames to {name}, stopped: {completed} calls completed"
        )),
        (false, 0) => Finished::Done(format!("Sent {sent} frames to {name}, all calls completed")),
        (false, failed) => Finished::Partly(format!(
            "Sent {sent} frames to {name}: {completed} calls completed, {failed} failed"
        )),
    }
}

/// The latency of a call that is over, which is the one that its row has.
fn latency_of(fanout: &Fanout, call: CallId) -> Option<Duration> {
    Some(fanout.store.lock().call(call)?.timing?.latency())
}

/// The generation that a call reached, if it did.
fn generation_of(fanout: &Fanout, call: CallId) -> Option<u32> {
    let store = fanout.store.lock();
    let rows = &store.call(call)?.rows;
    Some(store.row_by_id(*rows.first()?)?.generation)
}

/// The statuses that the host calls of a call add; nothing if it is no longer in memory.
fn beside_of(fanout: &Fanout, call: CallId) -> Statuses {
    fanout.store.lock().call(call).map_or(Statuses::NONE, |call| call.beside)
}

/// Sends the input of an answered call again and compares the answers.
pub(super) fn resend_and_compare(
    host: &Host,
    fanout: &Fanout,
    target: InstanceId,
    name: String,
    recorded: RunCall,
) -> Finished {
    let reply = host.call(target, &recorded.input);
    let latency = latency_of(fanout, reply.call);
    let again = RunCall {
        id: reply.call,
        plugin: name_of(host, target).into(),
        input: recorded.input.clone(),
        outputs: reply.frames.into_vec().into_iter().map(RunOutput::from).collect(),
        // Those of the recorded call are not at hand either.
        host_calls: Vec::new(),
        outcome: Some(reply.outcome),
        latency,
    };
    let before = Run::from_calls(name, [recorded]);
    let after = Run::from_calls(format!("sent again as {}", again.id), [again]);
    let diff = diff::diff(Arc::new(before), Arc::new(after), &DiffOptions::default());
    Finished::Compared(Ok(Compared::runs(diff)))
}

pub(super) fn name_of(host: &Host, instance: InstanceId) -> String {
    match host.plugin(instance) {
        Some(plugin) => plugin.manifest.plugin.id.clone(),
        None => format!("instance {instance}"),
    }
}
