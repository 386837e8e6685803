//! `glovebox inspect`: everything about a plugin.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use glovebox_abi::Permission;
use glovebox_abi::manifest::BudgetKind;
use glovebox_abi::units::{show_duration, show_size};
use glovebox_files::open_own;
use glovebox_host::worker::LayerState;
use glovebox_host::{
    Enforcement, Inspection, LoadError, LoadProblem, PluginStatus, Precaution, Provision,
    ServiceUse,
};
use glovebox_inspector::failure;
use glovebox_trace::format::MAGIC;
use serde_json::{Value as Json, json};

use super::error::{Exit, Problem};
use super::load::LoadArgs;
use super::plugins;
use super::report::{Output, Report, count, count_of, named, one_line, shown};
use super::surroundings::Surroundings;
use super::waiting::wait;

/// Show manifest, binding, imports, exports, permissions, limits, digest, and what is missing
///
/// This also loads the plugin once, inside the sandbox. If that fails, the output shows what can be
/// read, and the exit code is 3. A native plugin is loaded in a sandboxed process of its own, and in
/// this one only with --trust-native. Of a failure bundle, the output is the report in it, and the exit
/// code is 0.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// An artifact, a plugin.toml, a folder with one, or a failure bundle
    pub plugin: PathBuf,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: Output,
}

impl Inspect {
    pub(super) fn inputs(&self) -> Vec<&Path> {
        std::iter::once(&*self.plugin).chain(self.load.inputs()).collect()
    }

    pub(super) fn run(&self) -> Result<Report, Problem> {
        if is_trace(&self.plugin) {
            return self.bundle();
        }
        let inspection = glovebox_host::inspect(&self.plugin)?;
        let host = plugins::host(Vec::new(), &Surroundings::default())?;
        let request = self.load.request(&self.plugin)?;
        let loaded = wait(&host, host.load(request)).map(|id| host.plugin(id));
        let status = loaded.as_ref().ok().and_then(Option::as_ref);
        let refusal = loaded.as_ref().err();
        let missing = missing(&inspection, refusal);
        let id = &inspection.manifest.plugin.id;
        let imports = count_of(inspection.imports.len(), "import");
        let exports = count_of(inspection.exports.len(), "export");
        let (sentence, exit) = match refusal {
            None => {
                (format!("Inspected {id}: {imports}, {exports}, and it can be loaded"), Exit::Good)
            }
            Some(error) if needs_trust(error) => {
                (format!("Inspected {id}: {imports}, {exports}; not loaded: {error}"), Exit::Good)
            }
            Some(error) => (
                format!("Inspected {id}: {imports}, {exports}; it cannot be loaded: {error}"),
                Exit::NotLoaded,
            ),
        };
        Ok(Report::new(
            text(&inspection, status, &missing),
            json_of(&inspection, status, refusal, &missing),
            sentence,
            exit,
        ))
    }
}

/// True for a trace, which a failure bundle is.
fn is_trace(path: &Path) -> bool {
    let mut start = [0; 8];
    let mut options = File::options();
    let mut read = || open_own(path, options.read(true))?.read_exact(&mut start);
    read().is_ok() && start == *MAGIC
}

impl Inspect {
    /// The report of a failure bundle.
    fn bundle(&self) -> Result<Report, Problem> {
        let report = failure::read(&self.plugin).map_err(Problem::Trace)?;
        let Some(report) = report else {
            let trace = named(&self.plugin);
            return Err(Problem::Usage(format!(
                "this trace is no failure bundle; see it with `glovebox trace info`, or make one of \
                 it with `glovebox trace bundle`: {trace}"
            )));
        };
        let printed = failure::printed(&self.plugin).map_err(Problem::Trace)?;
        let mut text = report.to_text();
        for (name, printed) in ["stdout", "stderr"].into_iter().zip(&printed) {
            for line in String::from_utf8_lossy(printed).lines() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name:<12} {}", one_line(line));
            }
        }
        let json = json!({
            "failure": report,
            "stdout": String::from_utf8_lossy(&printed[0]),
            "stderr": String::from_utf8_lossy(&printed[1]),
        });
        let events = count(report.events, "event");
        let sentence = format!(
            "Inspected a failure of {} with {events}: {}",
            report.plugin.id,
            one_line(&report.cause)
        );
        Ok(Report::new(text, json, sentence, Exit::Good))
    }
}

fn needs_trust(error: &LoadError) -> bool {
    use LoadProblem::{ContainerNotAccepted, NativeNotTrusted};
    matches!(error.problem(), NativeNotTrusted | ContainerNotAccepted { .. })
}

/// Missing properties that a user of the plugin would want.
fn missing(inspection: &Inspection, refusal: Option<&LoadError>) -> Vec<String> {
    let about = &inspection.manifest.plugin;
    let keys = [
        (about.version.to_string() == "0.0.0", "version"),
        (about.name.is_empty(), "name"),
        (about.description.is_empty(), "description"),
        (about.license.is_empty(), "license"),
        (about.authors.is_empty(), "authors"),
    ];
    // A file of another host lacks more than a manifest, or needs none.
    let keys = keys.iter().filter(|(is_missing, _)| *is_missing && inspection.foreign.is_none());
    let mut missing: Vec<String> =
        keys.map(|(_, key)| format!("`{key}` under [plugin] in the manifest")).collect();
    for used in &inspection.services {
        if let Provision::Nobody(why) = used.provision {
            missing.extend(used.imports.iter().map(|import| format!("`{import}`: {why}")));
        }
    }
    if let Some(error) = refusal {
        missing.insert(0, format!("{}: {}; {}", error.stage(), error.problem(), error.remedy()));
    }
    missing
}

fn text(inspection: &Inspection, status: Option<&PluginStatus>, missing: &[String]) -> String {
    let manifest = &inspection.manifest;
    let about = &manifest.plugin;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {}", one_line(&value));
        }
    };
    line("plugin", format!("{} {}", about.id, about.version));
    line("name", manifest.title().to_owned());
    line("description", about.description.clone());
    line("category", about.category.clone());
    line("type", about.plugin_type.clone());
    line("capabilities", about.capabilities.join(", "));
    line("license", about.license.clone());
    line("authors", about.authors.join(", "));
    line("artifact", inspection.origin.path().map(super::report::named).unwrap_or_default());
    line("is", format!("{}, {}", inspection.kind.describe(), show_size(inspection.size)));
    line("image", manifest.artifact.image.clone().unwrap_or_default());
    line("root folder", manifest.artifact.rootfs.clone().unwrap_or_default());
    line("command", manifest.runtime.command.join(" "));
    if let Some(foreign) = inspection.foreign {
        let runs = if inspection.is_adapted { ", and Glovebox runs it" } else { "" };
        line("made for", format!("{}: it is {}{runs}", foreign.made_for(), foreign.name()));
    }
    line("digest", inspection.digest.clone());
    if let Some(status) = status {
        line("binding", status.binding.to_string());
        line("tier", format!("{}, {}", status.tier.name(), status.isolation.name()));
        line("engine", status.engine.map_or_else(String::new, |engine| engine.name().to_owned()));
        if status.precaution != Precaution::NotNeeded {
            line("code", status.precaution.to_string());
        }
        if let Some(compiler) = &status.compiler {
            line("compiler", compiler.to_string());
        }
    }
    if inspection.foreign.is_none() || inspection.is_adapted {
        line("accepts", kinds(&manifest.frames.accepts));
        line("emits", kinds(&manifest.frames.emits));
    }
    line("state", manifest.state.version.map_or_else(String::new, |v| format!("version {v}")));
    let budgets = BudgetKind::ALL.into_iter();
    let budgets =
        budgets.filter_map(|kind| Some(format!("{kind} {}", manifest.budget.show(kind)?)));
    line("budget", budgets.collect::<Vec<_>>().join(", "));
    let dependencies = manifest.dependencies.iter();
    line("needs", dependencies.map(|(id, v)| format!("{id} {v}")).collect::<Vec<_>>().join(", "));
    if !manifest.config.is_empty() {
        line("config", json!(manifest.config).to_string());
    }
    let names: Vec<&str> = manifest.configurations.keys().map(String::as_str).collect();
    line("configured", names.join(", "));
    let mut section = |title: &str, lines: Vec<String>| {
        let _ = writeln!(text, "\n{title} ({})", lines.len());
        for line in lines {
            let _ = writeln!(text, "  {}", one_line(&line));
        }
    };
    if inspection.is_adapted {
        section("functions", inspection.functions.clone());
        section("services", inspection.services.iter().map(service).collect());
    }
    section("imports", inspection.imports.clone());
    section("exports", inspection.exports.clone());
    if let Some(status) = status {
        let permissions = status.permissions.iter().map(|permission| {
            let granted = permission.standing.name();
            let name = permission.permission.name();
            let no_effect =
                permission.no_effect.map_or_else(String::new, |why| format!("; no effect: {why}"));
            format!("{name:<11} {granted:<8} {}{no_effect}", permission.explanation)
        });
        section("permissions", permissions.collect());
        let limits = status.limit_status.iter().map(|limit| {
            let value = limit.limit.show_limit(limit.value);
            let line = format!("{:<15} {value:<10} {}", limit.limit.name(), limit.explanation());
            match limit.enforcement {
                Enforcement::Enforced => line,
                Enforcement::NotAvailable(why) => format!("{line} (not enforced: {why})"),
            }
        });
        section("limits", limits.collect());
        if let Some(sandbox) = &status.sandbox {
            let layers = sandbox.layers.iter().map(|entry| {
                let state = match &entry.state {
                    LayerState::Enforced => "enforced".to_owned(),
                    LayerState::Missing(missing) => {
                        format!("missing: {}; {}", missing.reason, missing.remedy)
                    }
                    LayerState::NotRequested => "not requested".to_owned(),
                };
                format!("{:<18} {state}", entry.layer.name())
            });
            section("sandbox", layers.collect());
        }
    }
    section("missing", missing.to_vec());
    text
}

/// A service of another host that a plugin uses, and who provides it here.
fn service(used: &ServiceUse) -> String {
    let count = count_of(used.imports.len(), "import");
    let provided = match &used.provision {
        Provision::Here(None) => "provided".to_owned(),
        Provision::Here(Some(permission)) => {
            format!("provided, with the permission `{permission}`")
        }
        Provision::Function(name) => {
            format!("from the application, or a mock, as the function `{name}`")
        }
        Provision::Nobody(why) => format!("not provided: {why}"),
    };
    format!("{:<26} {count:<10} {provided}", used.service)
}

fn kinds(kinds: &[glovebox_abi::Kind]) -> String {
    kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn json_of(
    inspection: &Inspection,
    status: Option<&PluginStatus>,
    refusal: Option<&LoadError>,
    missing: &[String],
) -> Json {
    let manifest = &inspection.manifest;
    let about = &manifest.plugin;
    let budget = &manifest.budget;
    let duration = |duration: Option<std::time::Duration>| duration.map(show_duration);
    json!({
        "artifact": {
            "path": inspection.origin.path().map(shown),
            "is": inspection.kind.describe(),
            "size": inspection.size,
            "digest": inspection.digest,
        },
        "manifest": {
            "id": about.id,
            "version": about.version.to_string(),
            "name": manifest.title(),
            "description": about.description,
            "category": about.category,
            "type": about.plugin_type,
            "capabilities": about.capabilities,
            "keywords": about.keywords,
            "license": about.license,
            "authors": about.authors,
            "accepts": manifest.frames.accepts.iter().map(|k| k.to_string()).collect::<Vec<_>>(),
            "emits": manifest.frames.emits.iter().map(|k| k.to_string()).collect::<Vec<_>>(),
            "permissions": manifest.permissions,
            "limits": manifest.limits,
            "budget": {
                "p50": duration(budget.p50),
                "p99": duration(budget.p99),
                "memory": budget.memory,
                "cpu": budget.cpu,
                "load_time": duration(budget.load_time),
            },
            "state_version": manifest.state.version,
            "image": manifest.artifact.image,
            "rootfs": manifest.artifact.rootfs,
            "engine": manifest.runtime.engine,
            "command": manifest.runtime.command,
            "dependencies": manifest.dependencies.iter()
                .map(|(id, version)| (id.clone(), version.to_string().into()))
                .collect::<serde_json::Map<String, Json>>(),
            "config": manifest.config,
            "config_schema": manifest.config_schema,
            "configurations": manifest.configurations.iter()
                .map(|(name, configuration)| (name.clone(), json!({
                    "description": configuration.description,
                    "config": configuration.config,
                })))
                .collect::<serde_json::Map<String, Json>>(),
        },
        "foreign": inspection.foreign.map(|foreign| json!({
            "is": foreign.name(),
            "made_for": foreign.made_for(),
            "runs": inspection.is_adapted,
        })),
        "functions": inspection.functions,
        "services": inspection.services.iter().map(|used| {
            let (provision, detail) = match &used.provision {
                Provision::Here(permission) => ("here", permission.map(Permission::name)),
                Provision::Function(name) => ("function", Some(name.as_str())),
                Provision::Nobody(why) => ("nobody", Some(*why)),
            };
            json!({
                "service": used.service,
                "provision": provision,
                "detail": detail,
                "imports": used.imports,
            })
        }).collect::<Vec<_>>(),
        "imports": inspection.imports,
        "exports": inspection.exports,
        "loads": refusal.is_none(),
        "refusal": refusal.map(|error| json!({
            "stage": error.stage().name(),
            "problem": error.problem().to_string(),
            "remedy": error.remedy(),
        })),
        "instance": status.map(plugins::status_json),
        "permissions": status.map(|status| status.permissions.iter().map(|permission| json!({
            "permission": permission.permission.name(),
            "asked": permission.asked,
            "granted": permission.granted,
            "explanation": permission.explanation,
            "no_effect": permission.no_effect,
        })).collect::<Vec<_>>()),
        "limits": status.map(|status| status.limit_status.iter().map(|limit| json!({
            "limit": limit.limit.name(),
            "value": limit.limit.show_limit(limit.value),
            "origin": limit.origin.name(),
            "asked": limit.is_lowered().then(|| limit.limit.show_limit(limit.asked)),
            "ceiling": limit.ceiling.map(|ceiling| limit.limit.show(ceiling)),
            "enforced": limit.enforcement == Enforcement::Enforced,
        })).collect::<Vec<_>>()),
        "missing": missing,
    })
}
