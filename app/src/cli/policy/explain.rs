//! `glovebox policy explain`: the permissions of a plugin, and why.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use glovebox_abi::manifest::{Isolation, Tier};
use glovebox_host::{Allowance, ArtifactKind, Policy, Standing, Verdict, inspect};
use serde_json::json;

use super::{no_effect_of, verdict_json};
use crate::cli::asked::remedy;
use crate::cli::error::{Exit, Problem};
use crate::cli::report::{Output, Report, count_of, shown};
use crate::cli::surroundings::{AllowArgs, saved_consents};

/// Show what a plugin may do, and why, without running any of it
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// An artifact, a plugin.toml, or a folder with one
    pub plugin: PathBuf,
    /// Apply this policy. Without one, the plugin gets what its manifest asks for, except files,
    /// network and environment
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    #[command(flatten)]
    pub allow: AllowArgs,
    #[command(flatten)]
    pub output: Output,
}

impl Explain {
    pub(in crate::cli) fn run(&self) -> Result<Report, Problem> {
        let policy = self.policy.as_ref().map(Policy::load).transpose()?.unwrap_or_default();
        let inspection = inspect(&self.plugin)?;
        let saved = saved_consents();
        let verdicts = policy.explain(&inspection, &self.allow.allow, saved.as_deref());
        let count = |standing| verdicts.iter().filter(|found| found.standing == standing).count();
        let id = &inspection.manifest.plugin.id;
        let sentence = format!(
            "Explained {} of {id}: {} granted, {} denied, {} asking",
            count_of(verdicts.len(), "permission"),
            count(Standing::Granted),
            count(Standing::Denied),
            count(Standing::Asking)
        );
        let runtime = &inspection.manifest.runtime;
        let is_boxed = runtime.isolation == Some(Isolation::Container);
        let tier = match inspection.kind {
            ArtifactKind::Component | ArtifactKind::CoreModule => Tier::Wasm,
            ArtifactKind::Rootfs | ArtifactKind::Image => Tier::Container,
            ArtifactKind::FramedProgram if is_boxed => Tier::Container,
            _ => Tier::Native,
        };
        // Where it runs unless the load says otherwise.
        let isolation = runtime.isolation.unwrap_or(match tier {
            Tier::Native => Isolation::Process,
            Tier::Container => Isolation::Container,
            _ => Isolation::InProcess,
        });
        let named = policy.engine().map(|name| (name, "the policy"));
        let engine = named.or(runtime.engine.map(|name| (name, "its manifest")));
        let lowered = policy.lowered(&inspection.manifest.limits, tier);
        let json = json!({
            "plugin": id,
            "policy": self.policy.as_ref().map(shown),
            "digest": inspection.digest,
            "permissions": verdicts.iter().map(|it| verdict_json(it, isolation)).collect::<Vec<_>>(),
            "limits_lowered": lowered,
            "tier": tier.name(),
            "isolation": isolation.name(),
            "engine": engine.map(|(name, _)| name.name()),
        });
        let mut text = text(id, &verdicts, isolation);
        if isolation == Isolation::Container {
            let named = match engine {
                Some((name, who)) => format!("{}, which {who} names", name.name()),
                None => "the first that this machine has; none is named".to_owned(),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<12} {named}", "engine");
        }
        for sentence in &lowered {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{sentence}; raise it under [ceilings] of the policy");
        }
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}

fn text(plugin: &str, verdicts: &[Verdict], isolation: Isolation) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let name = verdict.permission.name();
        let standing = verdict.standing.name();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {standing:<8} {}", verdict.explanation);
        if let Some(why) = no_effect_of(verdict, isolation) {
            let _ = writeln!(text, "{:<21} no effect: {why}", "");
        }
        let parameters = verdict.parameters();
        if !parameters.is_empty() {
            let _ = writeln!(text, "{:<21} within {parameters}", "");
        }
        if verdict.asked
            && verdict.permission.needs_consent()
            && (verdict.standing == Standing::Asking || verdict.asks_more)
        {
            let asks: Vec<_> = verdict.lacks.iter().map(Allowance::parameter).collect();
            let in_part = verdict.asks_more;
            let remedy = remedy(plugin, verdict.permission, &asks.join(", "), in_part);
            let _ = writeln!(text, "{:<21} {remedy}", "");
        }
    }
    text
}
