//! `glovebox`: the window and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    glovebox::cli::run(std::env::args_os())
}
