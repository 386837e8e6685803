//! Joins the recorded answers of a trace with the host that asks for them.

use std::sync::Arc;

use glovebox_abi::Frame;
use glovebox_host::{Answered, Answers, Asked, Host, InstanceId};
use glovebox_inspector::replay::{Answer, Divergences, Missing, RecordedAnswers, TraceAnswers};

use super::replay::Target;
use super::words::count;

/// Answers of a trace, for a [`LoadRequest`](glovebox_host::LoadRequest::answers).
pub(crate) struct FromTrace(pub(crate) Arc<TraceAnswers>);

impl Answers for FromTrace {
    fn answer(&self, asked: &Asked<'_>) -> Answered {
        match self.0.answer(asked.plugin, asked.call, asked.service, asked.arguments) {
            Answer::With(result) => Answered::With(result),
            Answer::ByHost => Answered::ByHost,
        }
    }

    fn begin(&self, plugin: &str, frame: &Frame) {
        self.0.call_begins(plugin, frame);
    }

    fn end(&self) {
        self.0.call_ends();
    }
}

/// The result of answering from a trace, for the end of a sentence.
pub(crate) fn sentence(found: &[Divergences]) -> String {
    let sum = |figure: fn(&Divergences) -> u64| -> u64 { found.iter().map(figure).sum() };
    let answered = count(sum(|found| found.answered), "host call");
    match (sum(Divergences::count), sum(|found| found.inputs)) {
        (0, _) => format!("{answered} answered from the trace, none diverges"),
        (diverged, inputs) => {
            let verb = if diverged == 1 { "diverges" } else { "diverge" };
            let inputs = count(inputs, "input");
            format!("{answered} answered from the trace, {diverged} {verb} in {inputs}")
        }
    }
}

/// Fresh copies of instances, which a trace answers; they are unloaded in the end.
pub(crate) struct FreshCopies {
    host: Host,
    targets: Vec<Target>,
}

impl FreshCopies {
    /// Loads a copy of each instance.
    pub(crate) fn load(
        host: &Host,
        instances: &[InstanceId],
        recorded: RecordedAnswers,
    ) -> anyhow::Result<FreshCopies> {
        let recorded = Arc::new(recorded);
        let mut copies = FreshCopies { host: host.clone(), targets: Vec::new() };
        for request in instances.iter().filter_map(|instance| host.request(*instance)) {
            let answers = Arc::new(TraceAnswers::new(recorded.clone(), Missing::Fail));
            let request = request.answers(Arc::new(FromTrace(answers.clone())));
            let instance = host.load(request).wait()?;
            copies.targets.push(Target { instance, answers: Some(answers) });
        }
        Ok(copies)
    }

    pub(crate) fn targets(&self) -> Vec<Target> {
        self.targets.clone()
    }

    /// The host calls that diverged from the trace.
    pub(crate) fn divergences(&self) -> Vec<Divergences> {
        let answers = self.targets.iter().filter_map(|target| target.answers.as_ref());
        answers.map(|answers| answers.divergences()).collect()
    }
}

impl Drop for FreshCopies {
    fn drop(&mut self) {
        for target in &self.targets {
            self.host.unload(target.instance);
        }
    }
}
