//! `glovebox build`: an artifact of a plugin's folder.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use glovebox_abi::units::{show_duration, show_size};
use serde_json::json;

use super::error::{Exit, Problem};
use super::report::{Output, Report, say, shown};
use super::timing::nanos;
use crate::build::{self, Binding, BuildOptions};
use crate::ending;

/// Build the plugin in a folder: a Cargo project, one .wat file, or one .c file
///
/// Wasm needs `rustup target add wasm32-unknown-unknown`. The variable GLOVEBOX_CARGO names another
/// cargo, and CC another C compiler.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// Folder of the plugin
    pub folder: PathBuf,
    #[command(flatten)]
    pub how: BuildArgs,
    #[command(flatten)]
    pub output: Output,
}

/// How a plugin is built.
#[derive(Debug, Clone, Args)]
pub(super) struct BuildArgs {
    /// Binding of the artifact. A folder with WAT or C has only one
    #[arg(long, default_value = "component")]
    pub binding: BindingArg,
    /// Folder for the artifact [default: target/glovebox in the plugin's folder]
    #[arg(short, long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Name of the artifact without its extension [default: the folder's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Cargo features to enable, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub features: Vec<String>,
    /// Compile for this target instead of the usual one, e.g. wasm32-wasip1
    #[arg(long)]
    pub target: Option<String>,
    /// Folder that holds glovebox.h, for C
    #[arg(long, value_name = "FOLDER")]
    pub include: Option<PathBuf>,
}

impl BuildArgs {
    /// Over a file that no build made, the artifact goes by `force` alone.
    pub(super) fn options(&self, force: bool) -> BuildOptions {
        BuildOptions {
            binding: self.binding.0,
            target: self.target.clone(),
            features: self.features.clone(),
            name: self.name.clone(),
            out: self.out.clone(),
            include: self.include.clone(),
            force,
        }
    }
}

/// A binding, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BindingArg(Binding);

const BINDINGS: [BindingArg; 3] =
    [BindingArg(Binding::Component), BindingArg(Binding::FrameAbi), BindingArg(Binding::Native)];

impl ValueEnum for BindingArg {
    fn value_variants<'a>() -> &'a [BindingArg] {
        &BINDINGS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

impl Build {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let options = self.how.options(self.output.force);
        let built = build::build(&self.folder, &options, ending::flag(), &mut |line| say(line));
        let built = built.map_err(Problem::Build)?;
        let manifest = if built.has_manifest { "with" } else { "without" };
        Ok(Report::new(
            format!("{}\n", built.artifact.display()),
            json!({
                "artifact": shown(&built.artifact),
                "binding": built.binding.name(),
                "size": built.size,
                "has_manifest": built.has_manifest,
                "took_ns": nanos(built.took),
            }),
            format!(
                "Built 1 artifact of {} {manifest} a manifest in {}: {}",
                show_size(built.size),
                show_duration(built.took),
                built.artifact.display()
            ),
            Exit::Good,
        ))
    }
}
