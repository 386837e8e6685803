//! `glovebox` without a verb: the window.

use std::process::ExitCode;

use glovebox_workspace::Workspace;

use super::error::{Exit, Problem};
use super::report::{Report, say};
use crate::window::{self, WindowOptions};

/// Opens the window, and says in one sentence why it cannot.
pub(super) fn open(mut options: WindowOptions) -> ExitCode {
    if options.files.is_empty() {
        options.files.extend(Workspace::find("."));
    }
    if let Some(missing) = options.files.iter().find(|file| !file.exists()) {
        let name = missing.display();
        say(&format!(
            "Opened 0 files: there is no file or verb `{name}`; check the path, or see `glovebox --help` for the verbs"
        ));
        return Exit::Usage.into();
    }
    match window::run(options) {
        Ok(code) => code,
        Err(error) => {
            let report = Report::of_problem("Opened no window", &Problem::Window(error));
            say(&report.sentence);
            report.exit.into()
        }
    }
}
