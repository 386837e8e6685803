//! Which keys `plugin.toml` has. One table, so that unknown keys are found with their line before
//! any value is looked at.

use toml::de::{DeTable, DeValue};

use super::{ManifestError, line_of};

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
    ("artifact", &["wasm", "native", "digest"]),
    ("runtime", &["tier", "isolation", "instances", "deterministic", "seed"]),
    ("frames", &["accepts", "emits"]),
    (
        "limits",
        &[
            "memory",
            "table",
            "resources",
            "call-deadline",
            "fuel",
            "output-bytes",
            "output-frames",
            "host-calls",
            "host-call-bytes",
            "log-bytes",
            "kv-bytes",
            "queue",
            "rate",
            "burst",
        ],
    ),
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
            "on-failure",
        ],
    ),
    ("budget", &["p50", "p99", "memory", "cpu"]),
    ("state", &["version", "persist", "keep", "checkpoint"]),
    ("permissions", &["log", "metric", "config", "now", "random", "kv", "emit"]),
];

/// A section whose keys are names, each with a section of its own under it, and the keys of those.
const CONFIGURATIONS: (&str, &[&str]) = ("configurations", &["description", "config"]);

/// Sections whose keys are the plugin's own.
const OPEN_SECTIONS: [&str; 3] = ["dependencies", "config", "config-schema"];

pub(super) fn check(text: &str) -> Result<(), ManifestError> {
    let table = DeTable::parse(text).map_err(|error| ManifestError::from_toml(text, &error))?;
    for (name, value) in table.get_ref() {
        let line = Some(line_of(text, name.span().start));
        let name = name.get_ref().as_ref();
        if OPEN_SECTIONS.contains(&name) {
            continue;
        }
        if name == CONFIGURATIONS.0 {
            check_configurations(text, value.get_ref())?;
            continue;
        }
        let Some((_, known)) = SECTIONS.iter().find(|(section, _)| *section == name) else {
            let sections = SECTIONS.iter().map(|(section, _)| *section).chain(OPEN_SECTIONS);
            let sections = sections.chain([CONFIGURATIONS.0]);
            return Err(ManifestError::unknown(name, "the top level", line, sections));
        };
        let DeValue::Table(entries) = value.get_ref() else {
            continue;
        };
        for key in entries.keys() {
            let line = Some(line_of(text, key.span().start));
            let key = key.get_ref().as_ref();
            if !known.contains(&key) {
                return Err(ManifestError::unknown(key, name, line, known.iter().copied()));
            }
        }
    }
    Ok(())
}

fn check_configurations(text: &str, section: &DeValue<'_>) -> Result<(), ManifestError> {
    // What is not a table is found, with its line, when the values are read.
    let DeValue::Table(configurations) = section else {
        return Ok(());
    };
    for (name, configuration) in configurations {
        let DeValue::Table(entries) = configuration.get_ref() else {
            continue;
        };
        for key in entries.keys() {
            let line = Some(line_of(text, key.span().start));
            let key = key.get_ref().as_ref();
            if !CONFIGURATIONS.1.contains(&key) {
                let section = format!("{}.{}", CONFIGURATIONS.0, name.get_ref());
                let known = CONFIGURATIONS.1.iter().copied();
                return Err(ManifestError::unknown(key, &section, line, known));
            }
        }
    }
    Ok(())
}
