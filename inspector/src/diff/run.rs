use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event, Outcome};

/// One call of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCall {
    /// Its number.
    pub id: CallId,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The frame it was given.
    pub input: Frame,
    /// The frames it gave, in order.
    pub outputs: Vec<Frame>,
    /// How it ended; `None` if the run ends before it.
    pub outcome: Option<Outcome>,
    /// How long it took.
    pub latency: Option<Duration>,
}

/// The calls of one execution, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// Name for people, e.g. the name of the trace.
    pub name: String,
    /// Its calls.
    pub calls: Vec<RunCall>,
}

impl Run {
    /// Collects the calls of a run.
    pub fn from_events(name: impl Into<String>, events: impl IntoIterator<Item = Event>) -> Run {
        todo!()
    }
}
