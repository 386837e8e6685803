//! `glovebox`: opens the workbench.

use std::process::ExitCode;

use clap::Parser;
use glovebox::window::{self, WindowOptions};

/// A workbench for plugins
#[derive(Debug, Parser)]
#[command(name = "glovebox", version)]
struct Arguments {
    #[command(flatten)]
    window: WindowOptions,
}

fn main() -> anyhow::Result<ExitCode> {
    window::run(Arguments::parse().window)
}
