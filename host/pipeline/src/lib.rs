//! Composes plugins: the next stages take the answers of one.
//!
//! A [`Pipeline`] is read from a file, checked as a whole, and [started](Pipeline::start) on a
//! host; [`Running::send`] then takes one frame through all stages, on the caller's thread.
//!
//! ```toml
//! [pipeline]
//! name = "shop"                    # for people; optional
//! outputs = ["redact", "count"]    # stages whose answers are the result
//!
//! [stage.redact]
//! plugin = "../plugins/redact.wasm" # a file, from the folder of this one; or the id of a loaded plugin
//! from = "input"                    # what comes in
//! on-failure = "fail-closed"        # the default; or "fail-open", "reload"
//! config = { emails = true }        # over the manifest's, for a file
//!
//! [stage.count]
//! plugin = "../plugins/stats.wasm"
//! from = ["redact", "redact.errors"]
//! kinds = ["data", "error"]         # as many as the plugin accepts, if absent
//! when = "size>1k"                  # in the language of the application
//!
//! [limits]
//! frames = 10000                    # that may come of one input
//! bytes = "64 MiB"
//! ```
//!
//! That is the whole grammar. A *sequence* is a stage that takes from one other; a *branch* is
//! `kinds` or `when` in the stages that take from the same one; a *fan-out* is two stages that take
//! from one; a *merge* is a stage that takes from several.
//!
//! # Order
//!
//! Inputs go through one after the other, and a stage sees the frames of an input in the order of
//! its `from`, those of each source in the order in which they were answered. So frames that take
//! the same path keep their order, and what a merge gives is the same every time: by input, then
//! by `from`.
//!
//! # Failures
//!
//! A call that ends with anything but `completed` is a failure, and the stage says what becomes of
//! its frame:
//!
//! | `on-failure` | the frame |
//! |---|---|
//! | `fail-closed` | is dropped and counted; an error frame (kind `0x54`) takes its place |
//! | `fail-open` | is passed on as the stage's answer, unchanged |
//! | `reload` | is tried once more after the plugin was reloaded, with no state; then as `fail-closed` |
//!
//! Error frames go to the stages that take from `NAME.errors`; those that no stage takes are part
//! of the result. Their header names `stage`, `plugin`, `outcome` and, where the input has them, its
//! `id` and the number of the `call`; the payload is the outcome in words.
//!
//! # Bounds
//!
//! The graph has no cycles, so a frame meets each stage at most once for each way to it. `[limits]`
//! bounds the frames and bytes that one input leads to; at the limit the rest is dropped, counted
//! and said in [`Run::stopped`]. Nothing waits between two inputs.
//!
//! # Changes
//!
//! [`Running::change`] puts another pipeline in place of the one that runs, between two inputs and as a whole: if a
//! stage of it cannot start, nothing changes. Stages of the same name with the same plugin keep its copy with
//! its state, and their figures.
//!
//! This module deliberately does not route what plugins send with the service `emit`: that goes to
//! other plugins of the host as ever. And it stores nothing: what happened is in the events of the
//! host.
//!
//! ```
//! use glovebox_abi::{Failure, Frame, Manifest, Plugin, Services};
//! use glovebox_host::{Host, LoadRequest};
//! use glovebox_pipeline::{Pipeline, no_conditions};
//!
//! struct Twice;
//!
//! impl Plugin for Twice {
//!     fn process(&mut self, _: &mut dyn Services, frame: &Frame) -> Result<Vec<Frame>, Failure> {
//!         Ok(vec![frame.clone(), frame.clone()])
//!     }
//! }
//!
//! let host = Host::builder().build()?;
//! host.load(LoadRequest::core(Manifest::bare("twice"), || Box::new(Twice))).wait()?;
//! let text = r#"
//!     [pipeline]
//!     outputs = ["second"]
//!     [stage.first]
//!     plugin = "twice"
//!     from = "input"
//!     [stage.second]
//!     plugin = "twice"
//!     from = "first"
//! "#;
//! let running = Pipeline::parse(text, ".", &no_conditions)?.start(&host).wait()?;
//! let run = running.send(&Frame::data("hello"));
//! assert_eq!(run.outputs[0].frames.len(), 4);
//! assert_eq!(running.metrics().stages[1].frames_in, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod condition;
mod error;
mod failure;
mod file;
mod metrics;
mod plan;
mod run;
mod start;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glovebox_abi::Kind;
use glovebox_files::{MAX_TEXT, read_to_string};

pub use condition::{CompileCondition, FrameTest, no_conditions};
pub use error::{PipelineError, StageProblem, StartError};
pub use failure::FailurePolicy;
pub use metrics::{PipelineMetrics, StageMetrics};
pub use run::{Action, Run, Running, StageCall, StageFrames, Stopped};
pub use start::Starting;

use condition::Condition;

/// Stages that form a graph without cycles, checked as far as that goes without plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    name: String,
    limits: RunLimits,
    /// In an order in which every stage comes after those it takes from.
    stages: Vec<Stage>,
    outputs: Vec<usize>,
}

/// The bounds of one input's consequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RunLimits {
    /// Frames that stages give.
    frames: u64,
    /// Bytes of those frames, encoded.
    bytes: u64,
}

/// One plugin and its place in the graph.
#[derive(Debug, Clone, PartialEq)]
struct Stage {
    name: Arc<str>,
    plugin: StagePlugin,
    /// In the order of the file, which is the order of a merge.
    from: Vec<Source>,
    kinds: Option<Vec<Kind>>,
    condition: Option<Condition>,
    on_failure: FailurePolicy,
}

/// Where the plugin of a stage comes from.
#[derive(Debug, Clone, PartialEq)]
enum StagePlugin {
    /// The instance of this id that was loaded last.
    Loaded(String),
    /// A copy of its own.
    File { path: PathBuf, config: Option<toml::Table> },
}

/// Where frames come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Input,
    /// The answers of a stage.
    Answers(usize),
    /// The error frames of a stage.
    Errors(usize),
}

impl Pipeline {
    /// Reads a pipeline. Paths in it are relative to `folder`, and `compile` turns the text of a
    /// `when` into a test.
    ///
    /// # Errors
    ///
    /// If it is not TOML, has an unknown key or a value of the wrong type, names stages that do not
    /// exist, has a cycle, or has a stage that nothing reaches or whose answers nobody takes.
    pub fn parse(
        text: &str,
        folder: impl AsRef<Path>,
        compile: CompileCondition<'_>,
    ) -> Result<Pipeline, PipelineError> {
        plan::plan(file::read(text, folder.as_ref())?, compile)
    }

    /// Reads a pipeline from a file; paths in it are relative to the file's folder.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, and as [`parse`](Self::parse), with the file's path.
    pub fn read(
        path: impl AsRef<Path>,
        compile: CompileCondition<'_>,
    ) -> Result<Pipeline, PipelineError> {
        let path = path.as_ref();
        let text = read_to_string(path, MAX_TEXT)
            .map_err(|source| PipelineError::Io { source, path: path.to_owned() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Pipeline::parse(&text, folder, compile)
            .map_err(|problem| PipelineError::In { problem: Box::new(problem), path: path.into() })
    }

    /// The name for people; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the stages, in the order in which a frame meets them.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| &*stage.name)
    }

    /// Ids of the plugins that must be loaded before the pipeline can start; each once, in the order
    /// of the stages.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        let mut seen = BTreeSet::new();
        self.stages
            .iter()
            .filter_map(|stage| match &stage.plugin {
                StagePlugin::Loaded(id) => Some(id.as_str()),
                StagePlugin::File { .. } => None,
            })
            .filter(move |id| seen.insert(*id))
    }

    /// The files of which stages have copies of their own, in the order of the stages.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.stages.iter().filter_map(|stage| match &stage.plugin {
            StagePlugin::Loaded(_) => None,
            StagePlugin::File { path, .. } => Some(path.as_path()),
        })
    }

    /// Names of the stages whose answers are the result, in the order of the file.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|stage| &*self.stages[*stage].name)
    }
}
