//! The common part of verbs that run plugins: arguments, a host, and records of plugins in a trace.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use glovebox_abi::Manifest;
use glovebox_abi::manifest::Budget;
use glovebox_events::Sink;
use glovebox_files::{MAX_TEXT, private_folder, read, read_to_string};
use glovebox_host::worker::{LayerState, SandboxReport};
use glovebox_host::{Host, MAX_ARTIFACT_LEN, PluginStatus, Supervision};
use glovebox_inspector::failure::Kept;
use glovebox_trace::{PluginRecord, TraceError};
use serde_json::{Value as Json, json};

use super::error::Problem;
use super::load::LoadArgs;
use super::observe::Sinks;
use super::report::{Output, count, named, say, shown};
use super::surroundings::{Surroundings, SurroundingsArgs};
use crate::ending::{Waking, on_end};
use crate::folders;
use crate::workbench::failures::FailureKeeper;
use crate::workbench::instance_record;

/// How plugins are loaded, what they run in, and where the result goes.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PluginArgs {
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub surroundings: SurroundingsArgs,
    #[command(flatten)]
    pub output: Output,
}

impl PluginArgs {
    /// The files that are named.
    pub(super) fn inputs(&self) -> Vec<&Path> {
        self.surroundings.inputs().into_iter().chain(self.load.inputs()).collect()
    }
}

/// A host whose work is cancelled when a signal asks for the end.
pub(super) struct CancellableHost {
    // Goes before the host, so that it never holds the last handle.
    _waking: Waking,
    host: Host,
    failures: Arc<FailureKeeper>,
    /// The parts of what people and plugins wrote that failure bundles have.
    bundled: Kept,
}

impl Drop for CancellableHost {
    fn drop(&mut self) {
        self.keep_failures();
    }
}

impl CancellableHost {
    /// Writes what is known of failures beside the frames that led to them, and says where.
    fn keep_failures(&self) {
        let (failed, left_out) = self.failures.take();
        let Some(folder) = folders::quarantine() else { return };
        for failed in failed {
            let manifest = |status: &PluginStatus| record_of(status).manifest;
            match failed.keep(&self.host, &folder, self.bundled, manifest) {
                Ok(Some(path)) => {
                    say(&format!("The failure is described in {}", named(&path)));
                }
                // It is in the file of the failure before.
                Ok(None) | Err(TraceError::InUse { .. }) => {}
                Err(error) => say(&format!("No failure bundle was written: {error}")),
            }
        }
        if left_out > 0 {
            say(&format!("No failure bundle was written of {} more", count(left_out, "failure")));
        }
    }
}

impl Deref for CancellableHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// A host that hands its events to these sinks and keeps compiled code in the user's cache.
pub(super) fn host(
    sinks: Vec<Arc<dyn Sink>>,
    surroundings: &Surroundings,
) -> Result<CancellableHost, Problem> {
    let failures = Arc::<FailureKeeper>::default();
    let own = [surroundings.asked() as Arc<dyn Sink>, failures.clone()];
    let sinks = sinks.into_iter().chain(own).collect();
    let builder = surroundings.prepare(Host::builder()).sink(Arc::new(Sinks(sinks)));
    // A machine without a home still runs plugins; it compiles them each time.
    let builder = match folders::compiled_code().filter(|folder| private_folder(folder).is_ok()) {
        Some(folder) => builder.cache_folder(folder),
        None => builder,
    };
    let builder = match folders::scratch() {
        Some(folder) => builder.scratch_folder(folder),
        None => builder,
    };
    let builder = match folders::quarantine() {
        Some(folder) => builder.quarantine_folder(folder),
        None => builder,
    };
    let host = builder.build()?;
    let cancelled = host.clone();
    let _waking = on_end(move || cancelled.cancel_all());
    Ok(CancellableHost { _waking, host, failures, bundled: surroundings.bundled() })
}

/// The record of an instance in a trace.
pub(super) fn record_of(status: &PluginStatus) -> PluginRecord {
    PluginRecord {
        id: status.manifest.plugin.id.clone(),
        version: status.manifest.plugin.version.to_string(),
        digest: status.digest.clone(),
        binding: Some(status.binding),
        manifest: status.path().and_then(|path| manifest_text(path, &status.manifest)),
        instances: vec![instance_record(status)],
    }
}

/// The text that says what `manifest` says: beside the artifact, or inside it.
fn manifest_text(artifact: &Path, manifest: &Manifest) -> Option<String> {
    let beside = || read_to_string(&artifact.with_file_name("plugin.toml"), MAX_TEXT).ok();
    let inside = || crate::build::embedded_manifest(&read(artifact, MAX_ARTIFACT_LEN).ok()?);
    // The source may have added to the budget, which stands in no text then.
    let is_it = |text: &String| {
        Manifest::parse(text).is_ok_and(|parsed| {
            let parsed = Manifest { budget: manifest.budget, ..parsed };
            let mut names = parsed.configurations.keys();
            parsed == *manifest
                || names.any(|name| parsed.configured(name).as_ref() == Ok(manifest))
        })
    };
    let text = beside().filter(is_it).or_else(|| inside().filter(is_it))?;
    Some(with_budget(&text, manifest.budget).unwrap_or(text))
}

/// The text with the whole budget in it; `None` if it has that already, or cannot be written anew.
fn with_budget(text: &str, budget: Budget) -> Option<String> {
    if Manifest::parse(text).ok()?.budget == budget {
        return None;
    }
    let mut table: toml::Table = text.parse().ok()?;
    let budget: toml::Table = budget.to_toml().parse().ok()?;
    table.insert("budget".to_owned(), budget.into());
    toml::to_string(&table).ok()
}

/// The layers of a sandbox: requested ones, and which of them hold.
fn sandbox_json(sandbox: &SandboxReport) -> Json {
    let requested = sandbox.layers.iter().filter(|entry| entry.state != LayerState::NotRequested);
    let requested: Vec<&str> = requested.map(|entry| entry.layer.name()).collect();
    let enforced = sandbox.layers.iter().filter(|entry| entry.state == LayerState::Enforced);
    json!({
        "requested": requested,
        "enforced": enforced.map(|entry| entry.layer.name()).collect::<Vec<_>>(),
        "missing": sandbox.missing().map(|(layer, missing)| json!({
            "layer": layer.name(),
            "reason": missing.reason,
            "remedy": missing.remedy,
        })).collect::<Vec<_>>(),
    })
}

/// Says of a plugin that it was stopped for its failures, if it was.
/// Frames that plugins emitted and that were dropped on the way to others.
pub(super) fn emitted_dropped<'a>(statuses: impl IntoIterator<Item = &'a PluginStatus>) -> u64 {
    statuses.into_iter().map(|status| status.stats.emitted_dropped).sum()
}

/// The part of a sentence about them; nothing if there are none.
pub(super) fn dropped_sentence(dropped: u64) -> String {
    match dropped {
        0 => String::new(),
        dropped => format!("; {} dropped", count(dropped, "emitted frame")),
    }
}

pub(super) fn stopped(status: &PluginStatus) -> Option<String> {
    let Supervision { is_stopped, failures, .. } = status.supervision;
    let id = &status.manifest.plugin.id;
    is_stopped.then(|| {
        format!(
            "{id} was stopped after {} in a row: mend it, or raise `breaker` under [lifecycle]",
            count(u64::from(failures), "failure")
        )
    })
}

/// Which plugin ran, for reports.
pub(super) fn status_json(status: &PluginStatus) -> Json {
    json!({
        "plugin": status.manifest.plugin.id,
        "version": status.manifest.plugin.version.to_string(),
        "tier": status.tier.name(),
        "isolation": status.isolation.name(),
        "engine": status.engine.map(|engine| engine.name()),
        "precaution": status.precaution.to_string(),
        "compiler": status.compiler.as_ref().map(ToString::to_string),
        "sandbox": status.sandbox.as_deref().map(sandbox_json),
        "binding": status.binding.name(),
        "digest": status.digest,
        "path": status.path().map(shown),
        "generation": status.generation,
        "no_effect": status.permissions.iter()
            .filter_map(|permission| Some((permission.permission.name().to_owned(), permission.no_effect?.into())))
            .collect::<serde_json::Map<String, Json>>(),
        "candidate": status.candidate.as_ref().map(|tried| json!({
            "generation": tried.generation,
            "version": tried.version,
            "role": tried.role.to_string(),
            "calls": tried.calls,
            "failed": tried.failed,
            "serving_calls": tried.serving_calls,
            "serving_failed": tried.serving_failed,
            "different": tried.different,
            "missed": tried.missed,
        })),
        "remains": {
            "live": status.remains.live.iter()
                .map(|live| json!({ "generation": live.generation, "copies": live.copies }))
                .collect::<Vec<_>>(),
            "mapped_libraries": status.remains.libraries,
            "memory": status.remains.memory.iter()
                .map(|swap| json!({
                    "generation": swap.generation, "before": swap.before, "after": swap.after,
                }))
                .collect::<Vec<_>>(),
            "left_behind": status.remains.left_behind.iter()
                .map(|left| json!({
                    "generation": left.generation, "kind": left.kind.name(), "reason": left.reason,
                }))
                .collect::<Vec<_>>(),
        },
        "supervision": {
            "failures_in_a_row": status.supervision.failures,
            "breaker": status.supervision.breaker,
            "stopped": status.supervision.is_stopped,
        },
    })
}
