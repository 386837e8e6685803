//! `glovebox policy check`: reads a policy and shows its content.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use glovebox_host::Policy;
use serde_json::json;

use crate::cli::error::{Exit, Problem};
use crate::cli::report::{Output, Report, count_of, shown};

/// Check a policy file, and show what is in it
///
/// The exit code is 2 if it cannot be read; the message names the line and the nearest known key.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// A policy.toml
    pub file: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

impl Check {
    pub(in crate::cli) fn run(&self) -> Result<Report, Problem> {
        let policy = Policy::load(&self.file)?;
        let mode = policy.mode();
        let plugins: Vec<&str> = policy.plugins().collect();
        let mut text = String::new();
        let named = mode.map_or("consent, for the file says nothing", |mode| mode.name());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "mode     {named}");
        let _ = writeln!(text, "plugins  {}", plugins.join(", "));
        for setting in policy.settings() {
            let _ = writeln!(text, "setting  {setting}");
        }
        let settings = match policy.settings().len() {
            0 => String::new(),
            settings => format!(", and {}", count_of(settings, "setting")),
        };
        let sentence = format!(
            "Checked {} for {}{settings}: all of them make sense",
            count_of(policy.rules(), "rule"),
            count_of(plugins.len(), "plugin")
        );
        let json = json!({
            "file": shown(&self.file),
            "mode": mode.map(|mode| mode.name()),
            "rules": policy.rules(),
            "plugins": plugins,
            "settings": policy.settings(),
        });
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}
