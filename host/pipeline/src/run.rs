//! Takes frames through the stages, one input after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use glovebox_abi::{Frame, Header};
use glovebox_events::{CallId, Outcome};
use parking_lot::Mutex;

use super::failure::error_frame;
use super::metrics::StageMeter;
use super::start::{Started, start};
use super::{FailurePolicy, Pipeline, PipelineMetrics, Source, Stage, StagePlugin, StartError};
use glovebox_host::{Host, InstanceId, LoadRequest};

/// A pipeline whose plugins are loaded. Those that were loaded for it end with it.
#[derive(Debug)]
pub struct Running {
    host: Host,
    pipeline: Pipeline,
    /// One per stage; stages that name a loaded plugin may share one.
    instances: Vec<InstanceId>,
    plugins: Vec<Arc<str>>,
    loaded: Vec<InstanceId>,
    /// Held for the whole of an input, which is what keeps them in order.
    turn: Mutex<()>,
    /// Held for moments, so that figures can be read while a plugin works.
    meters: Mutex<Meters>,
}

#[derive(Debug)]
struct Meters {
    inputs: u64,
    unclaimed: u64,
    stopped: u64,
    stages: Vec<StageMeter>,
    /// Of stages that a change took out.
    gone: Vec<StageMeter>,
}

/// The result of one input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// The answers of each output, in the order of the file.
    pub outputs: Vec<StageFrames>,
    /// Error frames that no stage took, in the order in which they came up.
    pub errors: Vec<Frame>,
    /// Every call that was made, in order.
    pub calls: Vec<StageCall>,
    /// Why the input was not taken to the end, if it was not.
    pub stopped: Option<Stopped>,
}

impl Run {
    /// True if every call completed, and no limit was met.
    pub fn is_completed(&self) -> bool {
        self.stopped.is_none() && self.calls.iter().all(|call| call.outcome.is_completed())
    }
}

/// The frames that a stage gave.
#[derive(Debug, Clone, PartialEq)]
pub struct StageFrames {
    /// Name of the stage.
    pub stage: Arc<str>,
    /// Its frames, in order.
    pub frames: Vec<Frame>,
}

/// One call of a stage's plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct StageCall {
    /// Name of the stage.
    pub stage: Arc<str>,
    /// The call, as events name it; 0 if no sink takes events.
    pub call: CallId,
    /// The outcome.
    pub outcome: Outcome,
    /// The treatment of the frame.
    pub action: Action,
    /// How long it took, waiting for others included.
    pub took: Duration,
}

/// The treatment of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The plugin answered, with so many frames.
    Answered(usize),
    /// The call failed; the frame was passed on unchanged.
    Passed,
    /// The call failed; the plugin was reloaded and the frame is tried again.
    Reloaded,
    /// The call failed; the frame was dropped and an error frame given.
    Dropped,
    /// The pipeline's limit was met; the answer was thrown away.
    CutOff,
}

/// Where and why an input was stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "stopped in stage `{stage}`: one input led to {asked} {what}, limit {allowed}; raise `{what}` under [limits] of the pipeline"
)]
pub struct Stopped {
    /// Name of the stage whose answer was too much.
    pub stage: Arc<str>,
    /// `frames` or `bytes`.
    pub what: &'static str,
    /// The amount that the input led to, with that answer.
    pub asked: u64,
    /// The limit.
    pub allowed: u64,
}

impl Running {
    pub(super) fn new(
        host: Host,
        pipeline: Pipeline,
        Started { instances, loaded }: Started,
    ) -> Running {
        let plugins = plugins(&host, &instances);
        let stages = pipeline.stages.iter().zip(&plugins);
        let stages = stages.map(|(stage, plugin)| StageMeter::new(&stage.name, plugin)).collect();
        let gone = Vec::new();
        let meters = Mutex::new(Meters { inputs: 0, unclaimed: 0, stopped: 0, stages, gone });
        Running { host, pipeline, instances, plugins, loaded, turn: Mutex::new(()), meters }
    }

    /// Takes one frame through all stages on this thread and waits for what comes of it.
    ///
    /// Waits for an input that is under way on another thread. Not for asynchronous code, nor for
    /// a thread that draws a window.
    pub fn send(&self, frame: &Frame) -> Run {
        let _turn = self.turn.lock();
        Walk::new(self, frame).run()
    }

    /// Puts another pipeline in place of this one, and waits for its plugins. `prepare` may change how a file is
    /// loaded. A stage of the same name with the same plugin keeps its copy, and its figures.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::start`]; then nothing has changed.
    pub fn change(
        &mut self,
        pipeline: Pipeline,
        prepare: &impl Fn(LoadRequest) -> LoadRequest,
    ) -> Result<(), StartError> {
        let kept = |stage: &Stage| {
            let is_own = matches!(stage.plugin, StagePlugin::File { .. });
            let mut before = self.pipeline.stages.iter().zip(&self.instances);
            let same = before.find(|(one, _)| one.name == stage.name && one.plugin == stage.plugin);
            same.filter(|_| is_own).map(|(_, id)| *id)
        };
        let Started { instances, mut loaded } = start(&self.host, &pipeline, prepare, kept)?;
        let plugins = plugins(&self.host, &instances);
        let meters = self.meters.get_mut();
        let mut before = std::mem::take(&mut meters.stages);
        before.append(&mut meters.gone);
        for (stage, plugin) in pipeline.stages.iter().zip(&plugins) {
            let same = before.iter().position(|meter| meter.is_of(&stage.name, plugin));
            let meter = same.map(|at| before.remove(at));
            meters.stages.push(meter.unwrap_or_else(|| StageMeter::new(&stage.name, plugin)));
        }
        before.retain(|meter| meter.counts.frames_in > 0);
        meters.gone = before;
        let (kept, ended): (Vec<_>, Vec<_>) =
            self.loaded.drain(..).partition(|id| instances.contains(id));
        loaded.extend(kept);
        for id in ended {
            self.host.unload(id);
        }
        (self.pipeline, self.instances, self.plugins, self.loaded) =
            (pipeline, instances, plugins, loaded);
        Ok(())
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The instance of each stage, in the order in which a frame meets them.
    pub fn instances(&self) -> &[InstanceId] {
        &self.instances
    }

    /// The metrics so far; also readable while an input is under way.
    pub fn metrics(&self) -> PipelineMetrics {
        let meters = self.meters.lock();
        PipelineMetrics {
            inputs: meters.inputs,
            unclaimed: meters.unclaimed,
            stopped: meters.stopped,
            stages: meters.stages.iter().chain(&meters.gone).map(StageMeter::snapshot).collect(),
        }
    }
}

/// The ids of the plugins of instances.
fn plugins(host: &Host, instances: &[InstanceId]) -> Vec<Arc<str>> {
    let plugin = |id: &InstanceId| {
        let status = host.plugin(*id);
        status.map_or_else(|| "".into(), |status| status.manifest.plugin.id.as_str().into())
    };
    instances.iter().map(plugin).collect()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Those that get frames first take none any more first; they end at the same time.
        for id in &self.loaded {
            self.host.unload(*id);
        }
    }
}

/// Frames of one source, and which of them somebody took.
#[derive(Default)]
struct Given {
    frames: Vec<Frame>,
    taken: Vec<bool>,
}

impl Given {
    fn push(&mut self, frame: Frame) {
        self.frames.push(frame);
        self.taken.push(false);
    }

    fn unclaimed(&self) -> u64 {
        self.taken.iter().filter(|taken| !**taken).count() as u64
    }
}

/// One input on its way.
struct Walk<'a> {
    running: &'a Running,
    input: Given,
    answers: Vec<Given>,
    errors: Vec<Given>,
    /// Frames and bytes that stages gave so far.
    produced: (u64, u64),
    run: Run,
}

impl<'a> Walk<'a> {
    fn new(running: &'a Running, frame: &Frame) -> Walk<'a> {
        let stages = running.pipeline.stages.len();
        let mut input = Given::default();
        input.push(frame.clone());
        Walk {
            running,
            input,
            answers: (0..stages).map(|_| Given::default()).collect(),
            errors: (0..stages).map(|_| Given::default()).collect(),
            produced: (0, 0),
            run: Run::default(),
        }
    }

    fn run(mut self) -> Run {
        for stage in 0..self.running.pipeline.stages.len() {
            for frame in self.gather(stage) {
                if self.run.stopped.is_some() {
                    self.running.meters.lock().stages[stage].counts.cut_off += 1;
                } else {
                    self.step(stage, &frame);
                }
            }
        }
        self.finish()
    }

    /// The frames that are for a stage, in order.
    fn gather(&mut self, position: usize) -> Vec<Frame> {
        let stage = &self.running.pipeline.stages[position];
        let mut frames = Vec::new();
        let mut filtered = 0;
        for source in &stage.from {
            let given = match source {
                Source::Input => &mut self.input,
                Source::Answers(from) => &mut self.answers[*from],
                Source::Errors(from) => &mut self.errors[*from],
            };
            for (frame, taken) in given.frames.iter().zip(&mut given.taken) {
                if self.running.is_for(position, frame) {
                    *taken = true;
                    frames.push(frame.clone());
                } else {
                    filtered += 1;
                }
            }
        }
        let mut meters = self.running.meters.lock();
        let counts = &mut meters.stages[position].counts;
        counts.frames_in += frames.len() as u64;
        counts.filtered += filtered;
        frames
    }

    /// Makes the call, and a second one where the stage reloads.
    fn step(&mut self, position: usize, frame: &Frame) {
        let stage = &self.running.pipeline.stages[position];
        let instance = self.running.instances[position];
        let host = &self.running.host;
        let mut may_reload = stage.on_failure == FailurePolicy::Reload;
        loop {
            let started = Instant::now();
            let reply = host.call(instance, frame);
            let took = started.elapsed();
            let mut meters = self.running.meters.lock();
            meters.stages[position].call(frame, &reply.outcome, took);
            drop(meters);
            let action = if reply.outcome.is_completed() {
                let plugin = &self.running.plugins[position];
                let frames = reply.frames.into_iter().map(|frame| of_its_own(frame, plugin));
                let frames: Vec<Frame> = frames.collect();
                let count = frames.len();
                match self.give(position, frames) {
                    true => Action::Answered(count),
                    false => Action::CutOff,
                }
            } else if stage.on_failure == FailurePolicy::FailOpen {
                self.pass(position, frame)
            } else if std::mem::take(&mut may_reload) && self.reload(position) {
                Action::Reloaded
            } else {
                self.drop_failed(position, frame, reply.call, &reply.outcome);
                Action::Dropped
            };
            if !reply.outcome.is_completed() {
                let outcome = &reply.outcome;
                tracing::debug!(stage = &*stage.name, %outcome, ?action, "a call failed");
            }
            let name = stage.name.clone();
            let (call, outcome) = (reply.call, reply.outcome);
            self.run.calls.push(StageCall { stage: name, call, outcome, action, took });
            if action != Action::Reloaded {
                break;
            }
        }
    }

    /// Takes frames of a stage, all of them or, beyond the limit of the pipeline, none.
    fn give(&mut self, position: usize, frames: Vec<Frame>) -> bool {
        let limits = self.running.pipeline.limits;
        let count = frames.len() as u64;
        let bytes: u64 = frames.iter().map(|frame| frame.encoded_len() as u64).sum();
        let produced = (self.produced.0 + count, self.produced.1 + bytes);
        let broken = if produced.0 > limits.frames {
            Some(("frames", produced.0, limits.frames))
        } else if produced.1 > limits.bytes {
            Some(("bytes", produced.1, limits.bytes))
        } else {
            None
        };
        let mut meters = self.running.meters.lock();
        let counts = &mut meters.stages[position].counts;
        if let Some((what, asked, allowed)) = broken {
            counts.cut_off += count;
            meters.stopped += 1;
            let stage = self.running.pipeline.stages[position].name.clone();
            self.run.stopped = Some(Stopped { stage, what, asked, allowed });
            return false;
        }
        counts.frames_out += count;
        counts.bytes_out += bytes;
        self.produced = produced;
        for frame in frames {
            self.answers[position].push(frame);
        }
        true
    }

    fn pass(&mut self, position: usize, frame: &Frame) -> Action {
        if !self.give(position, vec![frame.clone()]) {
            return Action::CutOff;
        }
        self.running.meters.lock().stages[position].counts.passed += 1;
        Action::Passed
    }

    /// A fresh copy of what the plugin's file holds now, without the state that may be the trouble.
    fn reload(&self, position: usize) -> bool {
        let instance = self.running.instances[position];
        let reloaded = self.running.host.start_over(instance).wait();
        let mut meters = self.running.meters.lock();
        let counts = &mut meters.stages[position].counts;
        match reloaded {
            Ok(_) => counts.reloads += 1,
            // Why is an event of the host.
            Err(_) => counts.reloads_refused += 1,
        }
        reloaded.is_ok()
    }

    fn drop_failed(&mut self, position: usize, frame: &Frame, call: CallId, outcome: &Outcome) {
        let stage = &self.running.pipeline.stages[position];
        let plugin = &self.running.plugins[position];
        self.errors[position].push(error_frame(&stage.name, plugin, frame, call, outcome));
        self.running.meters.lock().stages[position].counts.dropped += 1;
    }

    /// Collects the results and counts what nobody took.
    fn finish(mut self) -> Run {
        let pipeline = &self.running.pipeline;
        let mut meters = self.running.meters.lock();
        meters.inputs += 1;
        meters.unclaimed += self.input.unclaimed();
        for (position, given) in self.answers.iter().enumerate() {
            if !pipeline.outputs.contains(&position) {
                meters.stages[position].counts.unclaimed += given.unclaimed();
            }
        }
        drop(meters);
        for given in self.errors {
            let left = given.frames.into_iter().zip(given.taken).filter(|(_, taken)| !taken);
            self.run.errors.extend(left.map(|(frame, _)| frame));
        }
        for position in &pipeline.outputs {
            let stage = pipeline.stages[*position].name.clone();
            let frames = std::mem::take(&mut self.answers[*position].frames);
            self.run.outputs.push(StageFrames { stage, frames });
        }
        self.run
    }
}

/// A frame that names no source but its plugin: none speaks for another one.
fn of_its_own(mut frame: Frame, plugin: &str) -> Frame {
    // Most frames name no source.
    let is_empty = frame.header.as_bytes().is_empty();
    if !is_empty && frame.header.get(Header::SOURCE).is_some() {
        frame.header = frame.header.with_text(Header::SOURCE, plugin);
    }
    frame
}

impl Running {
    /// True if a frame that reaches a stage is for it.
    fn is_for(&self, position: usize, frame: &Frame) -> bool {
        let stage = &self.pipeline.stages[position];
        let right_kind = match &stage.kinds {
            Some(kinds) => kinds.contains(&frame.kind),
            // Asked anew, because a reload may change it. An instance that is gone refuses the call,
            // which is counted.
            None => self.host.accepts(self.instances[position], frame.kind).unwrap_or(true),
        };
        right_kind && stage.condition.as_ref().is_none_or(|condition| condition.matches(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stage_speaks_for_another_one() {
        /// Checks the source that an answer names against the one that goes on.
        #[track_caller]
        fn check(named: Option<&str>, expected: Option<&str>) {
            let mut frame = Frame::data("x");
            if let Some(named) = named {
                frame.header = frame.header.with_text(Header::SOURCE, named);
            }
            let frame = of_its_own(frame, "redact");
            assert_eq!(frame.header.get_text(Header::SOURCE).as_deref(), expected);
        }
        check(None, None);
        check(Some("redact"), Some("redact"));
        check(Some("auth"), Some("redact"));
        check(Some(""), Some("redact"));
    }
}
