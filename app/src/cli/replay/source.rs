//! What is read of the trace before anything is sent.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use glovebox_inspector::baseline::SourceTrace;
use glovebox_inspector::replay::{RecordedAnswers, ReplayPlan, Start, StartFinder};

use super::super::against::Standard;
use super::super::diff;
use super::super::error::Problem;
use super::answers::AnswersArgs;
use super::selection::Selection;
use super::start::StartArgs;

/// Inputs, and all that is needed to send them.
pub(super) struct Source {
    /// What the trace is known by.
    pub(super) trace: SourceTrace,
    /// What is sent.
    pub(super) plan: ReplayPlan,
    /// Where it starts in the middle, with all inputs of the trace.
    pub(super) start: Option<(Start, ReplayPlan)>,
    /// What host services answered, if the trace is to answer them.
    pub(super) recorded: Option<Arc<RecordedAnswers>>,
}

impl Source {
    pub(super) fn read(
        trace: &Path,
        selection: &Selection,
        start: &StartArgs,
        answers: &AnswersArgs,
    ) -> Result<Source, Problem> {
        let mut recorded = answers.are_recorded().then(RecordedAnswers::default);
        let mut finder = StartFinder::default();
        let name = trace.file_name().unwrap_or(trace.as_os_str());
        let mut source = SourceTrace::new(name.to_string_lossy());
        let from_start = start.from.is_none();
        // A start counts all inputs, whatever is chosen of them afterwards.
        let filter = selection.filter.as_ref();
        let first = filter.filter(|_| from_start);
        let mut plan = diff::read(trace, |events| {
            let events = events.inspect(|event| {
                source.add(event);
                if let Some(recorded) = &mut recorded {
                    recorded.add(event);
                }
                if !from_start {
                    finder.add(event);
                }
            });
            ReplayPlan::from_events(events, first)
        })?;
        let start = match start.find(trace, &finder, &plan)? {
            None => None,
            Some(start) => {
                let whole = plan;
                let chosen = match filter {
                    None => whole.clone(),
                    filter => diff::read(trace, |events| ReplayPlan::from_events(events, filter))?,
                };
                plan = chosen.starting_at(&whole, start.position);
                Some((start, whole))
            }
        };
        let plan = selection.of(plan)?;
        Ok(Source { trace: source, plan, start, recorded: recorded.map(Arc::new) })
    }

    /// Of a run that is the trace itself, only what is sent is compared.
    pub(super) fn cut(&self, standard: Standard, trace: &Path, against: Option<&Path>) -> Standard {
        let is_same = against.is_some_and(|against| {
            let whole = |path: &Path| path.canonicalize().ok();
            whole(against).is_some() && whole(against) == whole(trace)
        });
        if !is_same || self.plan.skipped == 0 {
            return standard;
        }
        let sent: HashSet<_> = self.plan.inputs.iter().map(|input| input.call).collect();
        standard.only(|call| sent.contains(&call))
    }
}
