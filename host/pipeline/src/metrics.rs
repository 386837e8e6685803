//! The metrics of stages, in numbers that add up.

use std::collections::BTreeMap;
use std::time::Duration;

use glovebox_abi::Frame;
use glovebox_events::Outcome;
use glovebox_events::latency::{Latencies, LatencySummary};

/// The metrics of a pipeline so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PipelineMetrics {
    /// Frames that were sent in.
    pub inputs: u64,
    /// Of those, the ones that no stage took.
    pub unclaimed: u64,
    /// Inputs that were stopped at a limit of the pipeline.
    pub stopped: u64,
    /// The stages, in the order in which a frame meets them; then those that a change took out of the pipeline
    /// after they got frames.
    pub stages: Vec<StageMetrics>,
}

/// The metrics of a stage so far.
///
/// `frames_in + filtered` frames reached it. `frames_in` of them were answered, passed on or
/// dropped after a failure, or cut off: each frame once, however often it was tried. `calls` has
/// the tries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StageMetrics {
    /// Name of the stage.
    pub stage: String,
    /// Id of its plugin.
    pub plugin: String,
    /// Frames that were for it.
    pub frames_in: u64,
    /// Frames that reached it and were not for it, by `kinds` or `when`.
    pub filtered: u64,
    /// Frames it gave: answers, and frames passed on after a failure.
    pub frames_out: u64,
    /// Frames passed on unchanged after a failure.
    pub passed: u64,
    /// Frames dropped after a failure; each led to one error frame.
    pub dropped: u64,
    /// Frames that were not tried, and answers that were thrown away, because the input was stopped
    /// at a limit of the pipeline.
    pub cut_off: u64,
    /// Frames it gave that no stage took, where it is no output.
    pub unclaimed: u64,
    /// Calls, tries after a reload included.
    pub calls: u64,
    /// Calls by the name of their outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Reloads after a failure.
    pub reloads: u64,
    /// Reloads after a failure that were refused.
    pub reloads_refused: u64,
    /// Bytes of encoded frames that were given to the plugin.
    pub bytes_in: u64,
    /// Bytes of encoded frames that it gave.
    pub bytes_out: u64,
    /// How long calls took, waiting for others included.
    pub latency: LatencySummary,
}

impl StageMetrics {
    /// Calls that ended with anything but `completed`.
    pub fn errors(&self) -> u64 {
        self.calls - self.outcomes.get(Outcome::Completed.name()).copied().unwrap_or(0)
    }
}

/// Counts for one stage.
#[derive(Debug)]
pub(super) struct StageMeter {
    pub(super) counts: StageMetrics,
    latencies: Latencies,
}

impl StageMeter {
    pub(super) fn new(stage: &str, plugin: &str) -> StageMeter {
        StageMeter {
            counts: StageMetrics {
                stage: stage.to_owned(),
                plugin: plugin.to_owned(),
                ..StageMetrics::default()
            },
            latencies: Latencies::exact(),
        }
    }

    /// True if it counts for this stage with this plugin.
    pub(super) fn is_of(&self, stage: &str, plugin: &str) -> bool {
        self.counts.stage == stage && self.counts.plugin == plugin
    }

    pub(super) fn call(&mut self, frame: &Frame, outcome: &Outcome, took: Duration) {
        self.counts.calls += 1;
        *self.counts.outcomes.entry(outcome.name()).or_default() += 1;
        self.counts.bytes_in += frame.encoded_len() as u64;
        self.latencies.add(took);
    }

    pub(super) fn snapshot(&self) -> StageMetrics {
        StageMetrics { latency: self.latencies.summary(), ..self.counts.clone() }
    }
}
