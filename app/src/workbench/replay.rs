//! Sends the inputs of a trace to plugins again; the window and the command line share it.
//!
//! [`replay`] runs on the caller's thread until the plan is done or [`ReplayControl`] ends it.
//! Frames that plugins emit go their usual way; the calls that these begin are over before the next
//! input is sent, and are not sent from the trace as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use glovebox_events::Outcome;
use glovebox_host::{Host, InstanceId};
use glovebox_inspector::replay::{Inputs, Pace, ReplayInput, TraceAnswers};
use glovebox_trace::TraceError;
use parking_lot::{Condvar, Mutex};

use super::words::count_of;

/// One that gets inputs.
#[derive(Debug, Clone)]
pub struct Target {
    /// The instance.
    pub instance: InstanceId,
    /// Answers to its host calls from the trace, if it gets any.
    pub answers: Option<Arc<TraceAnswers>>,
}

impl From<InstanceId> for Target {
    fn from(instance: InstanceId) -> Target {
        Target { instance, answers: None }
    }
}

impl Target {
    fn send(&self, host: &Host, input: &ReplayInput) -> Outcome {
        if let Some(answers) = &self.answers {
            answers.begin(input.call, &input.plugin);
        }
        let reply = host.call(self.instance, &input.frame);
        if let Some(answers) = &self.answers {
            answers.end();
        }
        reply.outcome
    }
}

/// Which inputs of a trace an instance gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routing {
    /// Those that were recorded for a plugin of its id. A plan about none of the targets' plugins,
    /// such as a capture of network traffic, goes to each target.
    #[default]
    ByPlugin,
    /// All, whichever plugin they were recorded for.
    Everything,
}

/// Which instances get the inputs of which plugin.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    by_plugin: BTreeMap<Arc<str>, Vec<Target>>,
    /// Those that get the inputs of each plugin.
    of_each: Option<Vec<Target>>,
}

impl Targets {
    /// The instances that get the inputs of a plan, such as several versions of one plugin.
    pub fn new(host: &Host, targets: Vec<Target>, plan: &dyn Inputs, routing: Routing) -> Targets {
        let mut by_plugin: BTreeMap<Arc<str>, Vec<Target>> = BTreeMap::new();
        for target in &targets {
            if let Some(status) = host.plugin(target.instance) {
                let id = status.manifest.plugin.id.as_str().into();
                by_plugin.entry(id).or_default().push(target.clone());
            }
        }
        let foreign = !plan.plugins().iter().any(|plugin| by_plugin.contains_key(plugin));
        let of_each = (foreign || routing == Routing::Everything).then_some(targets);
        Targets { by_plugin, of_each }
    }

    /// True if an instance of this plugin gets its inputs.
    pub(crate) fn has(&self, plugin: &str) -> bool {
        self.by_plugin.contains_key(plugin)
    }

    /// All of them.
    fn all(&self) -> impl Iterator<Item = &Target> {
        self.by_plugin.values().flatten()
    }

    /// The id of the plugin that an instance is of.
    fn name_of(&self, instance: InstanceId) -> Option<String> {
        let is_it =
            |targets: &&Vec<Target>| targets.iter().any(|target| target.instance == instance);
        let found = self.by_plugin.iter().find(|(_, targets)| is_it(targets))?;
        Some(found.0.to_string())
    }

    /// Those that get the inputs of this plugin.
    pub fn of(&self, plugin: &str) -> &[Target] {
        let own = || self.by_plugin.get(plugin).map(Vec::as_slice);
        self.of_each.as_deref().or_else(own).unwrap_or_default()
    }
}

/// Steers a replay from another thread: cancel, pause, one step.
#[derive(Debug, Default)]
pub struct ReplayControl {
    /// False as long as every input may go at once, so that most need no lock. Changed with `state`.
    is_held_up: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    paused: bool,
    steps: usize,
    targets: BTreeSet<InstanceId>,
    /// Instances that were unloaded, targets or not.
    gone: BTreeSet<InstanceId>,
}

impl State {
    fn is_deserted(&self) -> bool {
        !self.targets.is_empty() && self.targets.is_subset(&self.gone)
    }

    fn is_over(&self) -> bool {
        self.cancelled || self.is_deserted()
    }
}

impl ReplayControl {
    /// Ends the replay after the call that runs.
    pub fn cancel(&self) {
        self.change(|state| state.cancelled = true);
    }

    /// Holds the replay, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    /// Holds the replay and lets one input through.
    pub fn step(&self) {
        self.change(|state| {
            state.paused = true;
            state.steps += 1;
        });
    }

    /// True if it is held.
    pub fn is_paused(&self) -> bool {
        self.state.lock().paused
    }

    /// True if it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// Tells the replay that an instance was unloaded. Without any target left it ends, also if it is
    /// held.
    pub fn unload(&self, instance: InstanceId) {
        self.change(|state| {
            state.gone.insert(instance);
        });
    }

    fn aim_at(&self, targets: BTreeSet<InstanceId>) {
        self.change(|state| state.targets = targets);
    }

    fn gone(&self) -> BTreeSet<InstanceId> {
        self.state.lock().gone.clone()
    }

    fn is_held_up(&self) -> bool {
        self.is_held_up.load(Ordering::Acquire)
    }

    fn is_deserted(&self) -> bool {
        self.is_held_up() && self.state.lock().is_deserted()
    }

    fn is_over(&self) -> bool {
        self.is_held_up() && self.state.lock().is_over()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        self.is_held_up.store(state.paused || state.is_over(), Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until an input may go; says how long it was held, `None` if the replay is over.
    fn admit(&self) -> Option<Duration> {
        if !self.is_held_up() {
            return Some(Duration::ZERO);
        }
        let started = Instant::now();
        let mut state = self.state.lock();
        loop {
            if state.is_over() {
                return None;
            }
            if !state.paused {
                return Some(started.elapsed());
            }
            if state.steps > 0 {
                state.steps -= 1;
                return Some(started.elapsed());
            }
            self.changed.wait(&mut state);
        }
    }

    /// Waits for a time, or until something changes.
    fn rest(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.is_over() {
            self.changed.wait_for(&mut state, time);
        }
    }
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayProgress {
    /// Inputs sent, or left out for want of a target.
    pub done: usize,
    /// Inputs in all.
    pub total: usize,
}

/// The counts of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplaySummary {
    /// Inputs of the plan.
    pub planned: usize,
    /// Inputs taken from the plan, in order.
    pub done: usize,
    /// Calls made: one per input and target.
    pub sent: usize,
    /// Inputs that were recorded for plugins that are no targets.
    pub unrouted: usize,
    /// Inputs that were not sent, because another plugin of the replay emits them.
    pub emitted: usize,
    /// Calls by the name of their outcome.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// True if it was ended before the plan was.
    pub cancelled: bool,
    /// Plugins that were unloaded while they should get inputs. Nothing was sent to them from then
    /// on; if nobody was left, the replay ended.
    pub unloaded: BTreeSet<String>,
    /// Why the inputs could not be read to the end.
    pub broken: Option<String>,
    /// From the first input to the last answer.
    pub took: Duration,
}

impl ReplaySummary {
    /// Calls that ended with anything but `completed`.
    pub fn failures(&self) -> usize {
        self.sent - self.outcomes.get("completed").copied().unwrap_or(0)
    }

    /// True if another round of the same would lead to nothing: it was ended, or no plugin did
    /// anything with an input.
    pub fn is_last_round(&self) -> bool {
        let refused = self.outcomes.get("refused").copied().unwrap_or(0);
        self.cancelled || self.broken.is_some() || self.sent == refused
    }

    /// Adds what another replay did after this one.
    pub fn add(&mut self, other: ReplaySummary) {
        self.planned += other.planned;
        self.done += other.done;
        self.sent += other.sent;
        self.unrouted += other.unrouted;
        self.emitted += other.emitted;
        for (name, count) in other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        self.cancelled |= other.cancelled;
        self.unloaded.extend(other.unloaded);
        self.broken = self.broken.take().or(other.broken);
        self.took += other.took;
    }

    /// One true sentence with counts.
    pub fn sentence(&self) -> String {
        let frames = |count| count_of(count, "frame");
        let took = glovebox_abi::units::show_duration(self.took);
        let mut text = format!("Replayed {} in {took}", frames(self.sent));
        match self.failures() {
            0 if self.sent > 0 => text.push_str(", all completed"),
            0 => {}
            _ => {
                let parts = self.outcomes.iter();
                let parts = parts.map(|(name, count)| format!("{count} {name}"));
                text.push_str(&format!(": {}", parts.collect::<Vec<_>>().join(", ")));
            }
        }
        if self.emitted > 0 {
            text.push_str(&format!("; {} left to those that emit them", frames(self.emitted)));
        }
        if self.unrouted > 0 {
            let were = if self.unrouted == 1 { "was" } else { "were" };
            let unrouted = frames(self.unrouted);
            text.push_str(&format!("; {unrouted} {were} recorded for other plugins"));
        }
        let left = frames(self.planned - self.done);
        if self.cancelled {
            text.push_str(&format!("; stopped with {left} left"));
        }
        if let Some(broken) = &self.broken {
            text.push_str(&format!("; ended with {left} left: {broken}"));
        }
        if !self.unloaded.is_empty() {
            let names = self.unloaded.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let were = if self.unloaded.len() == 1 { "was" } else { "were" };
            match self.cancelled || self.broken.is_some() || self.planned == self.done {
                true => text.push_str(&format!("; {names} {were} unloaded meanwhile")),
                false => {
                    text.push_str(&format!("; ended with {left} left: {names} {were} unloaded"))
                }
            }
        }
        text
    }
}

/// Sends every input of `plan` to its target, one after the other, on this thread; those that
/// another target emits are left to it.
pub fn replay(
    host: &Host,
    targets: &Targets,
    plan: &dyn Inputs,
    pace: Pace,
    control: &ReplayControl,
    progress: &mut dyn FnMut(ReplayProgress),
) -> ReplaySummary {
    let mut summary = ReplaySummary { planned: plan.planned(), ..ReplaySummary::default() };
    let answers: Vec<_> = targets.all().filter_map(|target| target.answers.as_ref()).collect();
    control.aim_at(targets.all().map(|target| target.instance).collect());
    let mut started = Instant::now();
    let mut send = || -> Result<bool, TraceError> {
        let by_themselves = plan.by_themselves(&|plugin| targets.has(plugin))?;
        if !by_themselves.is_empty() && !answers.is_empty() {
            plan.each(&mut |input| {
                if by_themselves.contains(&input.call) {
                    let targets = targets.of(&input.plugin).iter();
                    let answers = targets.filter_map(|target| target.answers.as_ref());
                    answers.for_each(|one| one.expect(input.call, &input.plugin, &input.frame));
                }
                true
            })?;
        }
        let mut queued = host.dispatch_stats().dispatched;
        started = Instant::now();
        send_in_time(plan, pace, control, &mut |input| {
            let targets = targets.of(&input.plugin);
            let is_emitted = by_themselves.contains(&input.call);
            summary.emitted += usize::from(is_emitted);
            summary.unrouted += usize::from(targets.is_empty());
            for target in targets.iter().filter(|_| !is_emitted) {
                let outcome = target.send(host, input);
                wait_for_emitted(host, &mut queued);
                if outcome.is_refused() && host.plugin(target.instance).is_none() {
                    control.unload(target.instance);
                    continue;
                }
                summary.sent += 1;
                *summary.outcomes.entry(outcome.name()).or_default() += 1;
            }
            if control.is_deserted() {
                // This input went to nobody.
                return;
            }
            summary.done += 1;
            progress(ReplayProgress { done: summary.done, total: summary.planned });
        })
    };
    let sent = send();
    let is_whole = matches!(sent, Ok(true));
    answers.iter().for_each(|answers| answers.expect_no_more(is_whole));
    summary.cancelled = matches!(sent, Ok(false)) && control.is_cancelled();
    summary.broken = sent.err().map(|error| error.to_string());
    summary.unloaded = control.gone().iter().filter_map(|gone| targets.name_of(*gone)).collect();
    summary.took = started.elapsed();
    summary
}

/// Waits for the calls that emitted frames began, if any were queued beyond `queued`, and counts them.
pub(crate) fn wait_for_emitted(host: &Host, queued: &mut u64) {
    if host.dispatch_stats().dispatched != *queued {
        host.wait_idle().wait();
        *queued = host.dispatch_stats().dispatched;
    }
}

/// Hands every input of `plan` to `send` when it is due, on this thread. `false` if it was ended
/// before all were sent, or cancelled while the last one was under way.
///
/// # Errors
///
/// If the inputs cannot be read to the end.
pub fn send_in_time(
    plan: &dyn Inputs,
    pace: Pace,
    control: &ReplayControl,
    send: &mut dyn FnMut(&ReplayInput),
) -> Result<bool, TraceError> {
    if pace == Pace::Step {
        control.pause(true);
    }
    let started = Instant::now();
    let (mut held, mut first, mut goes_on) = (Duration::ZERO, None, true);
    plan.each(&mut |input| {
        let first = *first.get_or_insert(input.offset);
        let due = pace.due(input.offset.saturating_sub(first));
        // An input that is due at once needs no clock.
        while !due.is_zero() && !control.is_over() {
            let early = due.saturating_sub(started.elapsed().saturating_sub(held));
            if early.is_zero() {
                break;
            }
            control.rest(early);
        }
        match control.admit() {
            Some(waited) => {
                held += waited;
                send(input);
                goes_on = !control.is_deserted();
            }
            None => goes_on = false,
        }
        goes_on
    })?;
    Ok(goes_on && !control.is_cancelled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_tell_the_truth() {
        fn check(summary: ReplaySummary, expected: &str) {
            assert_eq!(summary.sentence(), expected);
        }
        check(
            ReplaySummary {
                planned: 2,
                done: 2,
                sent: 2,
                outcomes: [("completed", 2)].into(),
                took: Duration::from_millis(3),
                ..ReplaySummary::default()
            },
            "Replayed 2 frames in 3 ms, all completed",
        );
        check(
            ReplaySummary {
                planned: 12,
                done: 6,
                sent: 3,
                unrouted: 1,
                emitted: 2,
                outcomes: [("completed", 2), ("trapped", 1)].into(),
                cancelled: true,
                took: Duration::from_millis(3),
                ..ReplaySummary::default()
            },
            "Replayed 3 frames in 3 ms: 2 completed, 1 trapped; 2 frames left to those that emit \
             them; 1 frame was recorded for other plugins; \
             stopped with 6 frames left",
        );
        let unloaded = |done| ReplaySummary {
            planned: 4,
            done,
            sent: 3,
            outcomes: [("completed", 3)].into(),
            unloaded: ["redact".to_owned()].into(),
            took: Duration::from_millis(3),
            ..ReplaySummary::default()
        };
        check(
            unloaded(3),
            "Replayed 3 frames in 3 ms, all completed; ended with 1 frame left: redact was unloaded",
        );
        check(
            unloaded(4),
            "Replayed 3 frames in 3 ms, all completed; redact was unloaded meanwhile",
        );
    }
}
