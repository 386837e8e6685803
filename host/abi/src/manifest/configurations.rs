//! `[configurations.NAME]`: a plugin as a factory, one artifact under several named configurations.
//!
//! [`Manifest::configured`] gives the manifest of one of them. It deliberately changes nothing but
//! id, description and configuration: permissions and limits are those of the artifact, so that a
//! name never grants more.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::error::at_most;
use super::{MAX_CONFIGURATIONS, Manifest, ManifestError, is_kebab_case, plain_settings};

/// One named configuration of a plugin.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, expecting = "a table with `description` and `config`")]
pub struct Configuration {
    /// One sentence; that of the plugin if empty.
    pub description: String,
    /// Keys that replace those of the plugin's own `[config]`; the others stay.
    pub config: Table,
}

/// A name that the manifest gives to none of its configurations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}` has no configuration `{name}`{}", list(.known))]
pub struct UnknownConfiguration {
    /// Id of the plugin.
    pub plugin: String,
    /// The name.
    pub name: String,
    /// The names that it has, in order.
    pub known: Vec<String>,
}

fn list(known: &[String]) -> String {
    match known {
        [] => ", nor any other".to_owned(),
        [one] => format!(", only `{one}`"),
        names => format!(", only `{}`", names.join("`, `")),
    }
}

impl Manifest {
    /// The manifest of an instance that runs under a named configuration: its id is the plugin's,
    /// `-`, and the name; the configuration's keys replace those of `[config]`.
    ///
    /// # Errors
    ///
    /// If the manifest has no configuration of this name.
    pub fn configured(&self, name: &str) -> Result<Manifest, UnknownConfiguration> {
        let Some(chosen) = self.configurations.get(name) else {
            return Err(UnknownConfiguration {
                plugin: self.plugin.id.clone(),
                name: name.to_owned(),
                known: self.configurations.keys().cloned().collect(),
            });
        };
        // Without a copy of the other configurations, of which each would have one then.
        let mut manifest = Manifest {
            plugin: self.plugin.clone(),
            artifact: self.artifact.clone(),
            runtime: self.runtime.clone(),
            frames: self.frames.clone(),
            permissions: self.permissions.clone(),
            limits: self.limits.clone(),
            budget: self.budget,
            lifecycle: self.lifecycle.clone(),
            state: self.state.clone(),
            dependencies: self.dependencies.clone(),
            config: self.config.clone(),
            config_schema: self.config_schema.clone(),
            configurations: BTreeMap::new(),
        };
        manifest.plugin.id = format!("{}-{name}", self.plugin.id);
        if !self.plugin.name.is_empty() {
            manifest.plugin.name = format!("{} ({name})", self.plugin.name);
        }
        if !chosen.description.is_empty() {
            manifest.plugin.description = chosen.description.clone();
        }
        manifest.config.extend(chosen.config.clone());
        Ok(manifest)
    }
}

/// Refuses names that make no id, and keys that the plugin's own schema does not have.
pub(super) fn check(
    id: &str,
    configurations: &BTreeMap<String, Configuration>,
    schema: Option<&Table>,
) -> Result<(), ManifestError> {
    at_most("configurations", configurations.len(), MAX_CONFIGURATIONS)?;
    for (name, configuration) in configurations {
        if !is_kebab_case(&format!("{id}-{name}")) {
            return Err(ManifestError::Value {
                key: format!("configurations.{name}"),
                reason: format!(
                    "`{id}-{name}` is not a plugin id; name it with lower-case letters, digits \
                     and single `-`"
                ),
            });
        }
        let Some(properties) = schema.and_then(closed_properties) else {
            continue;
        };
        for key in configuration.config.keys() {
            if !properties.contains_key(key) {
                let section = format!("configurations.{name}.config");
                let known = properties.keys().map(String::as_str);
                return Err(ManifestError::unknown(key, &section, None, known));
            }
        }
    }
    Ok(())
}

/// A configuration with its settings as a plugin gets them.
pub(super) fn plain((name, configuration): (String, Configuration)) -> (String, Configuration) {
    let config = plain_settings(configuration.config);
    (name, Configuration { config, ..configuration })
}

/// The properties of a schema that allows no others.
fn closed_properties(schema: &Table) -> Option<&Table> {
    let closed = schema.get("additionalProperties").and_then(Value::as_bool) == Some(false);
    schema.get("properties").and_then(Value::as_table).filter(|_| closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTORY: &str = r#"
        [plugin]
        id = "redact"
        name = "Redact"
        description = "Removes secrets"
        [config]
        mails = true
        text = true
        [config-schema]
        additionalProperties = false
        properties = { mails = {}, text = {} }
        [configurations.strict]
        description = "Removes everything"
        [configurations.json-only]
        config = { text = false }
    "#;

    #[test]
    fn a_factory_makes_configured_plugins() {
        fn check(name: &str, expected: Result<(&str, &str, &str, &str), &str>) {
            let configured = Manifest::parse(FACTORY).unwrap().configured(name);
            let configured = configured.map_err(|error| error.to_string());
            let shown = configured.as_ref().map(|manifest| {
                let about = &manifest.plugin;
                let config = manifest.config.to_string().trim().replace('\n', ", ");
                (about.id.as_str(), about.name.as_str(), about.description.as_str(), config)
            });
            let shown = shown
                .as_ref()
                .map(|(id, name, about, config)| (*id, *name, *about, config.as_str()));
            assert_eq!(shown.map_err(|error| error.as_str()), expected);
        }
        let config = "mails = true, text = true";
        check("strict", Ok(("redact-strict", "Redact (strict)", "Removes everything", config)));
        let config = "mails = true, text = false";
        check(
            "json-only",
            Ok(("redact-json-only", "Redact (json-only)", "Removes secrets", config)),
        );
        check(
            "loose",
            Err("plugin `redact` has no configuration `loose`, only `json-only`, `strict`"),
        );
    }

    #[test]
    fn configurations_with_mistakes() {
        fn check(more: &str, expected: &str) {
            let error = Manifest::parse(&format!("{FACTORY}{more}")).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
        check(
            "[configurations.a]\ndescripton = \"x\"",
            "unknown key `descripton` in [configurations.a] on line 17; did you mean `description`?",
        );
        check(
            "[configurations.a.config]\nmials = false",
            "unknown key `mials` in [configurations.a.config]; did you mean `mails`?",
        );
        check(
            "[configurations.\"A b\"]",
            "`configurations.A b`: `redact-A b` is not a plugin id; name it with lower-case \
             letters, digits and single `-`",
        );
        check(
            "[configurations]\nx = 1",
            "line 17: invalid type: integer `1`, expected a table with `description` and `config`",
        );
    }
}
