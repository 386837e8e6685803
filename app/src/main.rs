//! `glovebox`: the window and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    glovebox_host::worker::run_if_requested();
    glovebox::cli::run(std::env::args_os())
}
