//! What all verbs share that run plugins: how they are loaded, and what a trace says about them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use glovebox_abi::manifest::Budget;
use glovebox_abi::units::parse_duration;
use glovebox_abi::{MAX_FRAME_LEN, Manifest};
use glovebox_events::Sink;
use glovebox_files::{MAX_TEXT, private_folder, read, read_to_string};
use glovebox_host::{Host, LoadRequest, MAX_ARTIFACT_LEN, PluginStatus};
use glovebox_inspector::trace::PluginRecord;
use serde_json::{Value as Json, json};

use super::error::{Problem, READ_ARGUMENT};
use super::observe::Sinks;
use super::report::shown;
use super::surroundings::Surroundings;
use crate::folders;

/// How plugins are loaded.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LoadArgs {
    /// Configuration, merged over the manifest's: a JSON object, or `@FILE`
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
    /// Load the plugin under this one of its named configurations
    #[arg(long, value_name = "NAME")]
    pub configuration: Option<String>,
    /// Let a native plugin run as trusted code inside this process
    #[arg(long)]
    pub trust_native: bool,
    /// Make WebAssembly plugins repeat: their work is counted in fuel, their clock is made up, and
    /// random bytes come from this number. The same frames give the same bytes each time
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long compiling a plugin may take, e.g. 90s or 5min, instead of what its manifest says or
    /// its size suggests
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub compile_deadline: Option<Duration>,
}

impl LoadArgs {
    /// What the host is asked to load.
    pub(super) fn request(&self, path: &Path) -> Result<LoadRequest, Problem> {
        self.over(LoadRequest::path(path))
    }

    /// A request with what the command line says: it wins over what the request says already.
    pub(super) fn over(&self, mut request: LoadRequest) -> Result<LoadRequest, Problem> {
        if self.trust_native {
            request = request.trust_native(true);
        }
        if let Some(seed) = self.seed {
            request = request.deterministic(seed);
        }
        if let Some(deadline) = self.compile_deadline {
            request = request.compile_deadline(deadline);
        }
        if let Some(name) = &self.configuration {
            request = request.configuration(name);
        }
        if let Some(config) = &self.config {
            request = request.config(json_object("--config", config)?);
        }
        Ok(request)
    }
}

/// A host that hands its events to these sinks and keeps compiled code in the user's cache.
pub(super) fn host(
    sinks: Vec<Arc<dyn Sink>>,
    surroundings: &Surroundings,
) -> Result<Host, Problem> {
    let sinks = sinks.into_iter().chain([surroundings.asked() as Arc<dyn Sink>]).collect();
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
    Ok(builder.build()?)
}

/// The value of an option that is a JSON object, or `@FILE` with one.
pub(super) fn json_object(option: &str, text: &str) -> Result<Json, Problem> {
    match serde_json::from_str(&text_or_file(text)?) {
        Ok(Json::Object(fields)) => Ok(Json::Object(fields)),
        Ok(_) => Err(Problem::Usage(format!("{option} is not a JSON object; write {{…}}"))),
        Err(error) => Err(Problem::Usage(format!("{option} is not JSON: {error}"))),
    }
}

/// The text itself, or the content of the file behind an `@`.
pub(super) fn text_or_file(text: &str) -> Result<String, Problem> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(text.to_owned());
    };
    let path = Path::new(path);
    read_to_string(path, MAX_FRAME_LEN as u64).map_err(Problem::file(READ_ARGUMENT, path))
}

/// What a trace says about an instance.
pub(super) fn record_of(status: &PluginStatus) -> PluginRecord {
    PluginRecord {
        id: status.manifest.plugin.id.clone(),
        version: status.manifest.plugin.version.to_string(),
        digest: status.digest.clone(),
        binding: Some(status.binding),
        manifest: status.path.as_deref().and_then(|path| manifest_text(path, &status.manifest)),
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

/// Which plugin ran, for reports.
pub(super) fn status_json(status: &PluginStatus) -> Json {
    json!({
        "plugin": status.manifest.plugin.id,
        "version": status.manifest.plugin.version.to_string(),
        "tier": status.tier.name(),
        "isolation": status.isolation.name(),
        "binding": status.binding.name(),
        "digest": status.digest,
        "path": status.path.as_ref().map(shown),
        "generation": status.generation,
    })
}
