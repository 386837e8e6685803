//! `glovebox policy`: explains and suggests permissions, and checks policy files.

mod check;
mod explain;
mod suggest;

use std::path::Path;

use clap::{Args, Subcommand};
use glovebox_abi::manifest::Isolation;
use glovebox_host::{Verdict, no_effect};
use serde_json::{Value as Json, json};

use super::error::Problem;
use super::report::{Output, Report};

/// Explain and check policies, and suggest the permissions that a plugin needs
#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    pub verb: PolicyVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    Suggest(Box<suggest::Suggest>),
    Explain(explain::Explain),
    Check(check::Check),
}

impl PolicyVerb {
    pub(super) fn run(&self) -> Result<Report, Problem> {
        match self {
            PolicyVerb::Suggest(verb) => verb.run(),
            PolicyVerb::Explain(verb) => verb.run(),
            PolicyVerb::Check(verb) => verb.run(),
        }
    }

    /// The files that it reads.
    pub(super) fn inputs(&self) -> Vec<&Path> {
        match self {
            PolicyVerb::Suggest(verb) => verb.files(),
            PolicyVerb::Explain(verb) => {
                std::iter::once(&*verb.plugin).chain(verb.policy.as_deref()).collect()
            }
            PolicyVerb::Check(verb) => vec![&verb.file],
        }
    }

    pub(super) fn output(&self) -> &Output {
        match self {
            PolicyVerb::Suggest(verb) => &verb.output,
            PolicyVerb::Explain(verb) => &verb.output,
            PolicyVerb::Check(verb) => &verb.output,
        }
    }

    /// Its name, and what is true if it could do nothing.
    pub(super) fn name(&self) -> (&'static str, &'static str) {
        match self {
            PolicyVerb::Suggest(_) => ("policy suggest", "Suggested 0 permissions"),
            PolicyVerb::Explain(_) => ("policy explain", "Explained 0 permissions"),
            PolicyVerb::Check(_) => ("policy check", "Checked 0 rules"),
        }
    }
}

/// Why what is granted has no effect where the plugin runs, if so.
fn no_effect_of(verdict: &Verdict, isolation: Isolation) -> Option<&'static str> {
    no_effect(verdict.permission, isolation).filter(|_| verdict.is_granted())
}

/// A verdict for programs.
fn verdict_json(verdict: &Verdict, isolation: Isolation) -> Json {
    json!({
        "permission": verdict.permission.name(),
        "asked": verdict.asked,
        "standing": verdict.standing.name(),
        "parameters": verdict.scopes.iter().map(|scope| scope.to_value()).collect::<Vec<_>>(),
        "rule": verdict.rule,
        "explanation": verdict.explanation,
        "asks_more": verdict.asks_more,
        "no_effect": no_effect_of(verdict, isolation),
    })
}
