//! Takes in the results of jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use glovebox_events::What;
use glovebox_host::PluginStatus;

use super::accepted::{Accepted, Compared};
use super::finished::Finished;
use super::recording::record_of;
use super::replaying::{OpenedRun, Replayed, level_of};
use super::words::file_name;
use super::{JobId, Level, Origin, TraceId, Workbench, answers, work};

/// Answers kept in the compose history.
const SENT_KEPT: usize = 200;

/// Plugins of a replay that are named with their versions; of more it is said how many.
const NAMED: usize = 2;

/// The plugins that got the inputs of a replay, with their versions as far as they are known.
fn ran_in(origin: &Origin, plugins: &[PluginStatus]) -> Option<String> {
    let Origin::Replay(events) = origin else { return None };
    let inputs = events.iter().filter(|event| matches!(event.what, What::FrameIn { .. }));
    let ran: BTreeSet<_> =
        inputs.map(|event| (&*event.plugin, event.instance, event.generation)).collect();
    let name = |(id, instance, generation): (&str, u64, u32)| {
        let plugin = plugins.iter().find(|plugin| plugin.instance.get() == instance);
        let version = plugin.and_then(|plugin| {
            let mut kept = plugin.kept.iter();
            match plugin.generation == generation {
                true => Some(plugin.manifest.plugin.version.to_string()),
                false => Some(kept.find(|one| one.generation == generation)?.version.clone()),
            }
        });
        version.map_or_else(|| id.to_owned(), |version| format!("{id} {version}"))
    };
    let names: BTreeSet<String> = ran.into_iter().map(name).collect();
    match names.len() {
        0 => None,
        1..=NAMED => Some(names.into_iter().collect::<Vec<_>>().join(", ")),
        count => Some(format!("{count} plugins")),
    }
}

impl Workbench {
    /// Takes in what jobs brought back; true if any did.
    pub(super) fn take_in_finished_work(&mut self) -> bool {
        let finished = self.jobs.finished();
        let has_finished = !finished.is_empty();
        for (job, finished) in finished {
            let start = self.starts.iter_mut().position(|start| start.waiting.remove(&job));
            self.take_in(job, finished, start);
            self.go_on_with_starts();
        }
        has_finished
    }

    /// `start` awaits it, by position.
    fn take_in(&mut self, job: JobId, finished: Finished, start: Option<usize>) {
        match finished {
            Finished::Nothing => {}
            Finished::Several(all) => {
                all.into_iter().for_each(|one| self.take_in(job, one, start));
            }
            Finished::Done(text) => self.notices.add(Level::Success, text),
            Finished::TraceSaved(trace, path) => {
                if let Some(trace) = self.traces.get_mut(trace) {
                    trace.unsaved = false;
                }
                self.notices.add(Level::Success, format!("Saved {}", path.display()));
            }
            Finished::LiveSaved(path, before, counts) => {
                self.fanout.unkept.lock().saved(before);
                self.outcome.live_saves += 1;
                // Quitting looks at these.
                self.count_live();
                let text = format!("Saved {counts}: {}", path.display());
                self.notices.add(Level::Success, text);
            }
            Finished::Partly(text) => self.notices.add(Level::Warning, text),
            Finished::Failed(text) => self.notices.add(Level::Error, text),
            Finished::Unloaded(instance, name) => {
                if let Some(replay) = self.jobs.replay() {
                    replay.unload(instance);
                }
                self.outcome.faults.remove(&instance);
                self.notices.add(Level::Success, format!("{name} is unloaded"));
            }
            Finished::Panicked(text) => {
                self.notices.add(Level::Error, text);
                self.forget_job(job);
            }
            Finished::Loaded(path, Ok(instance)) => {
                self.look_at_plugins();
                if let Some(start) = start.and_then(|at| self.starts.get_mut(at)) {
                    start.instances.push(instance);
                }
                if let (Some(recorder), Some(plugin)) =
                    (self.fanout.recorder(), self.host.plugin(instance))
                {
                    recorder.describe_plugin(record_of(&plugin));
                }
                let name = work::name_of(&self.host, instance);
                let text = format!("{name} is loaded from {}", file_name(&path));
                self.notices.add(Level::Success, text);
                self.note_what_is_asked(instance);
                self.pair_up(instance, &path);
                self.outcome.opened.push(path);
            }
            Finished::Loaded(path, Err(error)) => {
                self.forget_awaited_build(&path);
                self.outcome.loads_failed += 1;
                let text = format!("{} was not loaded: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::NotAccepted(path, accepting, why) => {
                self.outcome.loads_failed += 1;
                let text = format!("{} was not loaded: {why}", file_name(&path));
                self.notices.add(Level::Warning, text);
                self.outcome.not_accepted = Some((path, accepting, why));
            }
            Finished::Workspace(path, Ok(opened)) => {
                self.take_in_workspace(&path, *opened, start);
                self.outcome.opened.push(path);
            }
            Finished::Workspace(path, Err(error)) => {
                self.outcome.loads_failed += 1;
                // A problem in the file names it; one about what the file asks for may not.
                let text = format!("{} was not opened: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::Opened(path, Ok(opened)) => {
                self.outcome.opened.push(path);
                for damage in &opened.damage {
                    self.notices.add(Level::Warning, damage.clone());
                }
                let text = format!("{} is open, {} frames", opened.name, opened.frames());
                let is_bundle = opened.report.is_some();
                let id = self.traces.add(*opened, &self.fanout.waker);
                self.outcome.bundle = is_bundle.then_some(id).or(self.outcome.bundle);
                self.look_over(id);
                if self.traces.baseline().is_none() {
                    self.traces.pin(Some(id));
                }
                if let Some(start) = start.and_then(|at| self.starts.get_mut(at)) {
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
            Finished::Accepted(path, Ok(accepted)) => {
                self.take_in_baseline(*accepted);
                self.outcome.opened.push(path);
            }
            Finished::Accepted(path, Err(error)) => {
                self.outcome.loads_failed += 1;
                let text = format!("{} was not opened: {error}", file_name(&path));
                self.notices.add(Level::Error, text);
            }
            Finished::PolicySaved(path, left_out) => {
                self.outcome.edits.policy = 0;
                let mut text = format!("The policy is saved: {}", path.display());
                let mut level = Level::Success;
                if !left_out.is_empty() {
                    level = Level::Warning;
                    text.push_str(&format!(
                        "; it leaves out what is not allowed alike to all artifacts of one id: {}",
                        left_out.join(", ")
                    ));
                }
                self.notices.add(level, text);
            }
            Finished::Exists(command) => self.outcome.in_the_way = Some(*command),
            Finished::BaselineSaved(saved, decisions) => {
                self.outcome.saved = Some(decisions);
                let (calls, path) = (saved.calls(), saved.path.display());
                let text = format!(
                    "{calls} calls are the baseline now, which replays are compared with: {path}"
                );
                self.notices.add(Level::Success, text);
                self.outcome.accepted = Some(*saved);
            }
            Finished::Examined(examination) => {
                let level = if examination.holds() { Level::Info } else { Level::Warning };
                let text = format!("This machine is examined: {}", examination.sentence());
                self.notices.add(level, text);
                self.outcome.examination = Some(examination);
            }
            Finished::Sent(sent) => {
                if self.outcome.sent.len() == SENT_KEPT {
                    self.outcome.sent.pop_front();
                }
                self.outcome.sent.push_back(*sent);
            }
        }
    }

    fn take_in_replay(&mut self, replayed: Replayed) {
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
        if let Some(why) = &replayed.unalike {
            text.push_str(&format!("; {why}"));
            level = Level::Warning;
        }
        if let Some(Err(why)) = &replayed.compared {
            text.push_str(&format!("; {why}"));
            level = Level::Warning;
        }
        self.outcome.frames_replayed += replayed.summary.sent as u64;
        let earlier = replayed.earlier.map(|earlier| self.add_run(earlier));
        let run = self.add_run(replayed.run);
        // Quitting looks at these.
        self.count_live();
        // A trace of inputs only has no answers to compare with; the first run of it does.
        let first = earlier.unwrap_or(run);
        match self.traces.baseline() {
            // A replay of it would send each input twice.
            None if !replayed.is_single => {}
            None => {
                text.push_str("; it is pinned, and later runs are compared with it");
                self.traces.pin(Some(first));
            }
            Some(baseline) if replayed.answers == Some(baseline.id) => {
                text.push_str(&format!(
                    "; it is pinned in place of {}, which has no answers",
                    baseline.name
                ));
                self.traces.pin(Some(first));
            }
            Some(_) => {}
        }
        self.notices.add(level, text);
        if let Some(Ok(compared)) = replayed.compared {
            self.take_in_diff(compared);
        }
    }

    /// Adds the run of a replay to the traces.
    fn add_run(&mut self, run: OpenedRun) -> TraceId {
        let OpenedRun { trace: mut run, lost, frames } = run;
        self.fanout.unkept.lock().keep(frames);
        run.lost = lost;
        run.plugins = self.host.plugins().iter().map(record_of).collect();
        let ran = ran_in(&run.origin, &self.host.plugins());
        let is_unasked = self.outcome.unasked.as_ref() == Some(&run.name);
        let id = self.traces.add(run, &self.fanout.waker);
        if let Some(trace) = self.traces.get_mut(id) {
            trace.unsaved = !is_unasked;
            trace.ran = ran;
        }
        self.look_over(id);
        id
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
        // Two builds have names of their own.
        let trace = compared.trace().filter(|trace| !names.contains(&*trace.name));
        let inputs = trace.map_or_else(String::new, |trace| format!(", inputs of {}", trace.name));
        let mut text = format!("{names}{inputs}: {}", diff.summary());
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
}
