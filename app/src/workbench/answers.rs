//! Joins what a trace knows of host services with the host that asks for it.

use std::sync::Arc;

use glovebox_host::{Answered, Answers, Asked};
use glovebox_inspector::replay::{Answer, TraceAnswers};

/// Answers of a trace, for a [`LoadRequest`](glovebox_host::LoadRequest::answers).
pub(crate) struct FromTrace(pub(crate) Arc<TraceAnswers>);

impl Answers for FromTrace {
    fn answer(&self, asked: &Asked<'_>) -> Answered {
        match self.0.answer(asked.plugin, asked.call, asked.service, asked.arguments) {
            Answer::With(result) => Answered::With(result),
            Answer::ByHost => Answered::ByHost,
        }
    }
}
