//! `glovebox run`: a trace, through a pipeline.

mod changing;
mod found;
mod through;

use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_inspector::baseline::SourceTrace;
use glovebox_inspector::filter::{Filter, FrameFilter};
use glovebox_inspector::replay::{Pace, TraceInputs};
use glovebox_pipeline::{FrameTest, Pipeline};

use super::against::Against;
use super::diff::Reports;
use super::error::Problem;
use super::lines::LinesArgs;
use super::plugins::PluginArgs;
use super::report::{Files, Report, paths};
use super::surroundings::Surroundings;
pub(super) use through::Through;

/// Send the inputs of a trace through a pipeline, and count the results
///
/// All inputs enter in the order of the trace, whichever plugin they were recorded for; --filter
/// selects some of them. Dependencies of plugins are loaded first if --plugin or the workspace
/// names them. A change of the pipeline's file takes effect with the next input. On a terminal, `help` and
/// Enter list what can be done with generations meanwhile. The exit code is 1 if a call fails or a limit of
/// the pipeline stops an input. It is 4 if a plugin crashes or has to be stopped.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The pipeline, a TOML file. The default is the pipeline of the workspace
    pub pipeline: Option<PathBuf>,
    /// The trace with the inputs
    #[arg(long)]
    pub trace: PathBuf,
    /// Send only the inputs that match, e.g. 'kind:data size>1k'
    #[arg(long, value_name = "FILTER", value_parser = super::filter::parse)]
    pub filter: Option<Filter>,
    /// A plugin that stages refer to by id: an artifact, a plugin.toml, or a folder with one. May
    /// be repeated. Other ids refer to plugins of the workspace
    #[arg(long = "plugin", value_name = "PLUGIN")]
    pub plugins: Vec<PathBuf>,
    /// Record the run in a new trace
    #[arg(long, value_name = "OUT")]
    pub record: Option<PathBuf>,
    #[command(flatten)]
    pub lines: LinesArgs,
    #[command(flatten)]
    pub with: PluginArgs,
}

impl Run {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        let mut inputs = paths(&self.plugins);
        inputs.push(&self.trace);
        inputs.extend(self.pipeline.as_deref());
        inputs.extend(self.with.inputs());
        inputs
    }

    pub(super) fn run(&self, surroundings: &Surroundings) -> Result<Report, Problem> {
        let path = self.pipeline.as_deref().or(surroundings.pipeline()).ok_or_else(|| {
            let remedy = "name its file, or use a workspace with `pipeline = \"…\"`";
            Problem::Usage(format!("there is no pipeline to run; {remedy}"))
        })?;
        let filter = self.filter.as_ref();
        let through = Through {
            pipeline: &Pipeline::read(path, &condition)?,
            path,
            trace: &self.trace,
            plugins: &self.plugins,
            load: &self.with.load,
            record: self.record.as_deref(),
            how: "sent through a pipeline",
            pace: Pace::Max,
            rounds: 1,
            answers: None,
            lines: Some(&self.lines),
            follows_file: true,
            // It is compared with nothing.
            source: &SourceTrace::default(),
            against: &Against::default(),
            reports: &Reports::default(),
            files: Files { output: &self.with.output, inputs: &self.inputs() },
        };
        let plan = TraceInputs::read(&self.trace, filter, &mut |_| {}).map_err(Problem::Trace)?;
        through.run(&plan, surroundings)
    }
}

/// The language of `when` is that of all other filters, as far as it is about frames.
pub(super) fn condition(text: &str) -> Result<Box<dyn FrameTest>, String> {
    let filter = FrameFilter::parse(text).map_err(|error| error.to_string())?;
    Ok(Box::new(move |frame: &glovebox_abi::Frame| filter.matches(frame)))
}
