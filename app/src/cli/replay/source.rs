//! The source of a replay: the parts of the trace that are read before anything is sent.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use glovebox_inspector::baseline::SourceTrace;
use glovebox_inspector::replay::{
    Inputs, RecordedAnswers, ReplayPlan, Start, StartFinder, TraceInputs,
};
use glovebox_trace::TraceError;

use super::super::against::{Against, Standard};
use super::super::error::Problem;
use super::answers::AnswersArgs;
use super::selection::Selection;
use super::start::StartArgs;

/// Inputs, and all that is needed to send them.
pub(super) struct Source {
    /// The identity of the trace, whatever is chosen of it, if a baseline may want to know it.
    pub(super) trace: SourceTrace,
    /// The inputs to send; their frames stay in the file.
    pub(super) plan: TraceInputs,
    /// Where it starts in the middle, with all inputs of the trace, which are in memory for that.
    pub(super) start: Option<(Start, ReplayPlan)>,
    /// The recorded answers of host services, if the trace is to answer.
    pub(super) recorded: Option<Arc<RecordedAnswers>>,
}

impl Source {
    pub(super) fn read(
        trace: &Path,
        selection: &Selection,
        start: &StartArgs,
        answers: &AnswersArgs,
        against: &Against,
    ) -> Result<Source, Problem> {
        let mut recorded = answers.are_recorded().then(RecordedAnswers::default);
        let mut finder = StartFinder::default();
        let mut plan = TraceInputs::read(trace, selection.filter.as_ref(), &mut |event| {
            if let Some(recorded) = &mut recorded {
                recorded.add(event);
            }
            if start.from.is_some() {
                finder.add(event);
            }
        })
        .map_err(Problem::Trace)?;
        let identity = match against.is_asked_for() {
            false => SourceTrace::default(),
            true => identity(trace, &plan).map_err(Problem::Trace)?,
        };
        let start = match start.from {
            None => None,
            // A start counts all inputs, whatever is chosen of them.
            Some(_) => {
                let whole = TraceInputs::read(trace, None, &mut |_| {}).map_err(Problem::Trace)?;
                let whole = whole.hold().map_err(Problem::Trace)?;
                start.find(trace, &finder, &whole)?.map(|start| (start, whole))
            }
        };
        if let Some((start, _)) = &start {
            plan.starting_at(start.position).map_err(Problem::Trace)?;
        }
        selection.choose(&mut plan)?;
        Ok(Source { trace: identity, plan, start, recorded: recorded.map(Arc::new) })
    }

    /// Of a run that is the trace itself, only what is sent is compared.
    pub(super) fn cut(
        &self,
        standard: Standard,
        trace: &Path,
        against: Option<&Path>,
    ) -> Result<Standard, Problem> {
        let is_same = against.is_some_and(|against| {
            let whole = |path: &Path| path.canonicalize().ok();
            whole(against).is_some() && whole(against) == whole(trace)
        });
        if !is_same || self.plan.skipped() == 0 {
            return Ok(standard);
        }
        let mut sent = HashSet::new();
        let read = self.plan.each(&mut |input| {
            sent.insert(input.call);
            true
        });
        read.map_err(Problem::Trace)?;
        Ok(standard.only(|call| sent.contains(&call)))
    }
}

/// The identity of a trace, of which a filter has chosen these inputs.
fn identity(trace: &Path, plan: &TraceInputs) -> Result<SourceTrace, TraceError> {
    let name = trace.file_name().unwrap_or(trace.as_os_str()).to_string_lossy();
    match plan.skipped() {
        0 => SourceTrace::of_inputs(name, plan),
        _ => SourceTrace::of_inputs(name, &TraceInputs::read(trace, None, &mut |_| {})?),
    }
}
