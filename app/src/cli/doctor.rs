//! `glovebox doctor`: what this machine has for Glovebox.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value as Json, json};

use super::error::{Exit, Problem};
use super::report::{Output, Report, one_line};
use crate::workbench::doctor::{Check, Examination, Section};

/// Examine this machine: sandbox layers, folders, tools and display, each tried
///
/// Each layer of the sandbox is entered by a child process, which then tries what the layer forbids.
/// The exit code is 0 if all that is promised about native plugins in processes of their own holds
/// here, and 1 if not.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    pub output: Output,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        let examination = Examination::make();
        let exit = if examination.holds() { Exit::Good } else { Exit::Different };
        let sentence = format!("Examined this machine: {}", examination.sentence());
        Ok(Report::new(text(&examination), json_of(&examination), sentence, exit))
    }
}

/// Aligned in columns: result, subject, what was found; a remedy stands below.
fn text(examination: &Examination) -> String {
    let mut text = String::new();
    let checks = examination.sections.iter().flat_map(|section| &section.checks);
    let width = checks.map(|check| check.name.chars().count()).max().unwrap_or_default();
    for (at, Section { name, about, checks }) in examination.sections.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{gap}{name}: {about}");
        for Check { name, result, found, remedy, .. } in checks {
            let (result, found) = (result.name(), one_line(found));
            let _ = writeln!(text, "  {result:<9}  {name:<width$}  {found}");
            if !remedy.is_empty() {
                let _ = writeln!(text, "  {:9}  {:width$}  → {}", "", "", one_line(remedy));
            }
        }
    }
    text
}

fn json_of(examination: &Examination) -> Json {
    let one = |check: &Check| {
        json!({
            "check": check.name,
            "result": check.result.name(),
            "found": check.found,
            "remedy": check.remedy,
            "promised": check.is_promised,
        })
    };
    let sections = examination.sections.iter().map(|section| {
        json!({
            "section": section.name,
            "about": section.about,
            "checks": section.checks.iter().map(one).collect::<Vec<_>>(),
        })
    });
    json!({ "holds": examination.holds(), "sections": sections.collect::<Vec<_>>() })
}
