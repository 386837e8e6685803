//! Sends inputs through a pipeline, and compares the run.
//!
//! The calls of the stages are compared, by the id of their plugin, as a trace of the run holds
//! them: a run is the same as the trace that was recorded of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use glovebox_inspector::baseline::SourceTrace;
use glovebox_inspector::diff::Run as DiffRun;
use glovebox_inspector::replay::{Inputs, Pace, ReplayInput};
use glovebox_inspector::report::junit::Suite;
use glovebox_pipeline::{Pipeline, Running};

use super::super::against::{Against, Judged};
use super::super::dependencies::{Needed, Wanted};
use super::super::diff::Reports;
use super::super::error::Problem;
use super::super::lines::{Lines, LinesArgs};
use super::super::load::LoadArgs;
use super::super::observe::Recorded;
use super::super::plugins;
use super::super::replay::{Stage, StageAnswers};
use super::super::report::{Files, Report};
use super::super::surroundings::Surroundings;
use super::super::waiting::wait;
use super::changing::PipelineFile;
use super::found::{Found, Results, name};
use crate::workbench::replay::{send_in_time, wait_for_emitted};

/// How inputs of a trace go through a pipeline; the verbs `run` and `replay` share it.
pub(in super::super) struct Through<'a> {
    pub(in super::super) pipeline: &'a Pipeline,
    /// Its file.
    pub(in super::super) path: &'a Path,
    /// Where the inputs come from.
    pub(in super::super) trace: &'a Path,
    /// Plugins that stages name by their id.
    pub(in super::super) plugins: &'a [PathBuf],
    pub(in super::super) load: &'a LoadArgs,
    /// The trace to write, if one is asked for.
    pub(in super::super) record: Option<&'a Path>,
    /// How that trace was made, for people.
    pub(in super::super) how: &'a str,
    pub(in super::super) pace: Pace,
    /// How often all inputs are sent.
    pub(in super::super) rounds: u32,
    /// The answers for the plugins, if the trace gives them.
    pub(in super::super) answers: Option<Arc<StageAnswers>>,
    /// Whether lines that a person types steer the generations, if they may.
    pub(in super::super) lines: Option<&'a LinesArgs>,
    /// Whether a change of the pipeline's file takes effect with the next input.
    pub(in super::super) follows_file: bool,
    /// The identity of the trace in a baseline.
    pub(in super::super) source: &'a SourceTrace,
    pub(in super::super) against: &'a Against,
    pub(in super::super) reports: &'a Reports,
    pub(in super::super) files: Files<'a>,
}

impl Through<'_> {
    pub(in super::super) fn run(
        &self,
        plan: &dyn Inputs,
        surroundings: &Surroundings,
    ) -> Result<Report, Problem> {
        let needed = self.needed(surroundings)?;
        needed.say();
        let standard = self.against.standard()?;
        self.reports.check(self.against, self.files)?;
        let answer = |request| match &self.answers {
            Some(answers) => answers.answer(request),
            None => request,
        };
        let requests = needed.requests.into_iter().map(answer).collect();
        let stage = Stage::set(requests, Vec::new(), surroundings)?;
        let (load, answers) = (self.load.clone(), self.answers.clone());
        let prepare = move |request| {
            let request = load.place(request);
            match &answers {
                Some(answers) => answers.answer(request),
                None => request,
            }
        };
        let running = self.pipeline.start_with(&stage.host, prepare.clone());
        let mut running = wait(&stage.host, running)?;
        surroundings.say_vain(&stage.host);
        surroundings.watch_files(&stage.host, drop);
        if let Some(path) = self.record {
            let out = self.files.new_trace(path)?;
            stage.record(out, running.instances(), self.trace, self.how)?;
        }
        if standard.is_some() || self.reports.junit.is_some() {
            stage.keep_events();
        }
        let follows = self.follows_file && surroundings.watches();
        let mut file = follows.then(|| PipelineFile::watch(self.path));
        let _lines = self.lines.and_then(|lines| Lines::listen(&stage.host, lines));
        let started = Instant::now();
        let mut results = Results::default();
        let mut queued = stage.host.dispatch_stats().dispatched;
        let mut is_whole = true;
        for _ in 0..self.rounds {
            self.answers.iter().for_each(|answers| answers.begin_round());
            let mut send = |input: &ReplayInput| {
                let changes = |file: &mut PipelineFile<'_>| file.look(&mut running, &prepare);
                if file.as_mut().is_some_and(changes) {
                    stage.describe(running.instances());
                }
                results.add(running.send(&input.frame));
                wait_for_emitted(&stage.host, &mut queued);
            };
            is_whole &= send_in_time(plan, self.pace, stage.control(), &mut send)
                .map_err(Problem::Trace)?;
        }
        let took = started.elapsed();
        let trace = self.trace.display().to_string();
        let run = DiffRun::from_events(format!("replay of {trace}"), stage.events()?);
        let statuses = stage.host.plugins();
        let mut found = Found {
            pipeline: name(running.pipeline(), self.path),
            planned: plan.planned() * self.rounds as usize,
            skipped: plan.skipped(),
            took,
            metrics: running.metrics(),
            crashed: stage.counts().stopped > 0,
            recorded: None,
            answered: self.answers.as_ref().map(|answers| answers.found()),
            judged: None,
            emitted_dropped: plugins::emitted_dropped(&statuses),
            broken: statuses.iter().filter_map(plugins::stopped).collect(),
            along: needed.along,
            missing: needed.missing,
            results,
        };
        found.recorded = self.finish(&stage, running, &found)?;
        // A run of nothing, or one that was ended, must not make everything look gone.
        let is_whole = is_whole && found.metrics.inputs > 0;
        let standard = standard.filter(|_| is_whole || !self.against.decides());
        let run = Arc::new(run);
        let judge = |standard| self.against.judge(&standard, run.clone(), self.source);
        let judged: Option<Judged> =
            standard.map(judge).transpose().map_err(|problem| problem.after(found.sentence()))?;
        let suite = match &judged {
            Some(judged) => Suite::Diff(judged.compared.diff()),
            None => Suite::Run(&run),
        };
        let written = self.reports.write(&[(trace, suite)], self.files);
        written.map_err(|problem| problem.after(found.sentence()))?;
        found.judged = judged;
        let (text, json) = (found.text(), found.json(self.trace));
        let report = Report::new(text, json, found.sentence(), found.exit());
        Ok(report.with_loss(found.recorded.as_ref()))
    }

    /// The plugins that are named, those of the workspace that stages name by their id, and what
    /// all of them depend on.
    fn needed(&self, surroundings: &Surroundings) -> Result<Needed, Problem> {
        let wanted = Wanted {
            names: self.plugins,
            ids: self.pipeline.plugins().collect(),
            files: self.pipeline.files().collect(),
        };
        wanted.find(self.load, surroundings)
    }

    /// Ends the pipeline and then the recording, so that the end is recorded too.
    fn finish(
        &self,
        stage: &Stage,
        running: Running,
        found: &Found,
    ) -> Result<Option<Recorded>, Problem> {
        drop(running);
        stage.finish_recording().map_err(|problem| problem.after(found.sentence()))
    }
}
