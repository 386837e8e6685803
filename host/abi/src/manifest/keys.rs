//! The keys of `plugin.toml`. One table, so that unknown keys are found with their line before any
//! value is looked at.

use toml::de::{DeTable, DeValue};

use super::{ManifestError, check_settings, line_of, scope};
use crate::Permission;

/// Sections with a fixed set of keys.
const SECTIONS: [(&str, &[&str]); 9] = [
    (
        "plugin",
        &[
            "id",
            "version",
            "name",
            "authors",
            "license",
            "description",
            "category",
            "type",
            "capabilities",
            "keywords",
        ],
    ),
    ("artifact", &["wasm", "native", "program", "rootfs", "image", "digest"]),
    (
        "runtime",
        &[
            "tier",
            "isolation",
            "engine",
            "command",
            "instances",
            "deterministic",
            "seed",
            "compile-deadline",
            "load-deadline",
            "compile-memory",
            "compiler",
            "function",
        ],
    ),
    ("frames", &["accepts", "emits"]),
    ("limits", LIMITS),
    (
        "lifecycle",
        &[
            "start-deadline",
            "stop-deadline",
            "health-interval",
            "restart",
            "back-off",
            "back-off-max",
            "breaker",
            "crash-window",
            "on-failure",
        ],
    ),
    ("budget", BUDGET),
    ("state", &["version", "persist", "keep", "checkpoint"]),
    (
        PERMISSIONS,
        &[
            "log",
            "metric",
            "config",
            "now",
            "random",
            "kv",
            "emit",
            "files",
            "network",
            "environment",
            "functions",
        ],
    ),
];

/// A section whose keys are names, each with a section of its own under it, and the keys of those.
const CONFIGURATIONS: (&str, &[&str]) = ("configurations", &["description", "config"]);
/// The section whose entries may be tables of their own.
const PERMISSIONS: &str = "permissions";
/// The keys of `[limits]`.
pub(super) const LIMITS: &[&str] = &[
    "memory",
    "table",
    "resources",
    "call-deadline",
    "fuel",
    "output-bytes",
    "output-frames",
    "host-calls",
    "host-call-bytes",
    "carried-bytes",
    "log-bytes",
    "kv-bytes",
    "file-bytes",
    "queue",
    "queue-bytes",
    "rate",
    "burst",
];
/// The keys of `[budget]`.
pub(super) const BUDGET: &[&str] = &["p50", "p99", "memory", "cpu", "load-time"];

/// Sections whose keys are the plugin's own.
const OPEN_SECTIONS: [&str; 3] = ["dependencies", CONFIG, "config-schema"];
/// Settings of the plugin, which it gets as JSON.
const CONFIG: &str = "config";

pub(super) fn check(text: &str) -> Result<(), ManifestError> {
    let table = DeTable::parse(text).map_err(|error| ManifestError::from_toml(text, &error))?;
    for (name, value) in table.get_ref() {
        // Lines are counted for errors alone: counting all of them takes the square of the text.
        let line = || Some(line_of(text, name.span().start));
        let name = name.get_ref().as_ref();
        if OPEN_SECTIONS.contains(&name) {
            if let (CONFIG, DeValue::Table(settings)) = (name, value.get_ref()) {
                settings_of(text, name, settings)?;
            }
            continue;
        }
        if name == CONFIGURATIONS.0 {
            check_configurations(text, value.get_ref())?;
            continue;
        }
        let Some((_, known)) = SECTIONS.iter().find(|(section, _)| *section == name) else {
            let sections = SECTIONS.iter().map(|(section, _)| *section).chain(OPEN_SECTIONS);
            let sections = sections.chain([CONFIGURATIONS.0]);
            return Err(ManifestError::unknown(name, "the top level", line(), sections));
        };
        let DeValue::Table(entries) = value.get_ref() else {
            continue;
        };
        for key in entries.keys() {
            let line = || Some(line_of(text, key.span().start));
            let key = key.get_ref().as_ref();
            if !known.contains(&key) {
                // Asked for elsewhere, and a likely mistake of people who know policies.
                if name == PERMISSIONS && key == Permission::Receive.name() {
                    return Err(ManifestError::Value {
                        key: "permissions.receive".to_owned(),
                        reason: "a manifest asks for frames with `accepts` under [frames]"
                            .to_owned(),
                    });
                }
                return Err(ManifestError::unknown(key, name, line(), known.iter().copied()));
            }
        }
        if name == PERMISSIONS {
            check_permissions(text, name, entries, &[])?;
        }
    }
    Ok(())
}

/// Checks the keys of permissions that are given as tables, as manifests and policies do, with `more`
/// keys beside the parameters. `text` is what was parsed, for lines; `section` is named in errors.
///
/// # Errors
///
/// The first unknown key, with its line and the nearest known one.
pub fn check_permissions(
    text: &str,
    section: &str,
    entries: &DeTable<'_>,
    more: &[&'static str],
) -> Result<(), ManifestError> {
    for (name, value) in entries {
        let name = name.get_ref().as_ref();
        let Ok(permission) = name.parse::<Permission>() else { continue };
        let section = format!("{section}.{name}");
        let parameters = scope::parameters(permission);
        if let DeValue::Table(keys) = value.get_ref() {
            let known = || parameters.iter().chain(more).copied();
            check_keys(text, &section, keys, known)?;
        }
        let folders = match value.get_ref() {
            DeValue::Array(folders) => Some(folders),
            DeValue::Table(keys) => {
                keys.get("folders").and_then(|value| value.get_ref().as_array())
            }
            _ => None,
        };
        if permission == Permission::Files {
            for folder in folders.into_iter().flatten() {
                if let DeValue::Table(keys) = folder.get_ref() {
                    check_keys(text, &section, keys, || scope::FOLDER.into_iter())?;
                }
            }
        }
    }
    Ok(())
}

fn check_keys<I: Iterator<Item = &'static str>>(
    text: &str,
    section: &str,
    keys: &DeTable<'_>,
    known: impl Fn() -> I,
) -> Result<(), ManifestError> {
    for key in keys.keys() {
        let line = || Some(line_of(text, key.span().start));
        let key = key.get_ref().as_ref();
        if !known().any(|known| known == key) {
            return Err(ManifestError::unknown(key, section, line(), known()));
        }
    }
    Ok(())
}

fn settings_of(text: &str, name: &str, settings: &DeTable<'_>) -> Result<(), ManifestError> {
    check_settings(name, settings).map_err(|error| {
        let reason = format!("{error} (line {})", line_of(text, error.at));
        ManifestError::Value { key: error.key, reason }
    })
}

fn check_configurations(text: &str, section: &DeValue<'_>) -> Result<(), ManifestError> {
    // A configuration that is no table is refused, with its line, when the values are read.
    let DeValue::Table(configurations) = section else {
        return Ok(());
    };
    for (name, configuration) in configurations {
        let DeValue::Table(entries) = configuration.get_ref() else {
            continue;
        };
        for key in entries.keys() {
            let line = || Some(line_of(text, key.span().start));
            let key = key.get_ref().as_ref();
            if !CONFIGURATIONS.1.contains(&key) {
                let section = format!("{}.{}", CONFIGURATIONS.0, name.get_ref());
                let known = CONFIGURATIONS.1.iter().copied();
                return Err(ManifestError::unknown(key, &section, line(), known));
            }
        }
        if let Some(DeValue::Table(settings)) = entries.get(CONFIG).map(|value| value.get_ref()) {
            let name = format!("{}.{}.{CONFIG}", CONFIGURATIONS.0, name.get_ref());
            settings_of(text, &name, settings)?;
        }
    }
    Ok(())
}
