use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::{CallId, Event, Outcome, What};

/// One call of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCall {
    /// Its number.
    pub id: CallId,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The frame it was given.
    pub input: Frame,
    /// The frames it gave, in order, those it emitted too.
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
    /// Collects the calls of a run; frames of calls that started before it are left out.
    pub fn from_events(name: impl Into<String>, events: impl IntoIterator<Item = Event>) -> Run {
        let mut calls: Vec<RunCall> = Vec::new();
        let mut positions: HashMap<CallId, usize> = HashMap::new();
        for event in events {
            match event.what {
                What::FrameIn { call, frame } => {
                    positions.insert(call, calls.len());
                    calls.push(RunCall {
                        id: call,
                        plugin: event.plugin,
                        input: frame,
                        outputs: Vec::new(),
                        outcome: None,
                        latency: None,
                    });
                }
                What::FrameOut { call, frame, .. } => {
                    if let Some(index) = positions.get(&call) {
                        calls[*index].outputs.push(frame);
                    }
                }
                What::CallEnded { call, outcome, timing, .. } => {
                    if let Some(index) = positions.get(&call) {
                        calls[*index].outcome = Some(outcome);
                        calls[*index].latency = Some(timing.latency());
                    }
                }
                _ => {}
            }
        }
        Run { name: name.into(), calls }
    }
}
