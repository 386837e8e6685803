//! Settings of plugins in TOML, which the plugins get as JSON: what JSON lacks.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// A number in settings that JSON does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{number}` is no number that JSON has, as which a plugin gets it; write a finite one, or a text"
)]
pub struct NotFinite {
    /// The keys that lead to it, with dots between them.
    pub key: String,
    /// The byte of the file at which it stands.
    pub at: usize,
    /// The number as it is written.
    pub number: String,
}

/// Refuses settings with a number that is infinite or none, which `name` leads to.
///
/// # Errors
///
/// The first of them.
pub fn check_settings(name: &str, settings: &DeTable<'_>) -> Result<(), NotFinite> {
    settings.iter().try_for_each(|(key, value)| check(&format!("{name}.{}", key.get_ref()), value))
}

fn check(key: &str, value: &Spanned<DeValue<'_>>) -> Result<(), NotFinite> {
    match value.get_ref() {
        DeValue::Float(number) => {
            let number = number.as_str();
            match number.parse::<f64>() {
                Ok(parsed) if !parsed.is_finite() => {
                    let (key, number) = (key.to_owned(), number.to_owned());
                    Err(NotFinite { key, at: value.span().start, number })
                }
                _ => Ok(()),
            }
        }
        DeValue::Array(items) => items.iter().try_for_each(|item| check(key, item)),
        DeValue::Table(table) => check_settings(key, table),
        _ => Ok(()),
    }
}

/// The same settings with dates and times as texts, which JSON does not have either.
pub fn plain_settings(settings: Table) -> Table {
    settings.into_iter().map(|(key, value)| (key, plain(value))).collect()
}

fn plain(value: Value) -> Value {
    match value {
        Value::Datetime(moment) => Value::String(moment.to_string()),
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::Table(table) => Value::Table(plain_settings(table)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::Manifest;

    #[test]
    fn a_plugin_gets_what_its_manifest_says() {
        fn check(settings: &str, expected: &str) {
            let text = format!("[plugin]\nid = \"a\"\n{settings}");
            let found = match Manifest::parse(&text) {
                Ok(manifest) => {
                    let named = manifest.configurations.into_values().map(|named| named.config);
                    format!(
                        "{} {}",
                        manifest.config,
                        named.map(|one| one.to_string()).collect::<String>()
                    )
                }
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{settings:?}: {found:?} does not say {expected:?}");
        }
        check("[config]\nat = 2026-11-30T08:00:00Z", "at = \"2026-11-30T08:00:00Z\"");
        check("[configurations.b]\nconfig = { all = [[07:32:00]] }", "all = [[\"07:32:00\"]]");
        check("[config]\ndeep = { on = 1979-05-27 }", "on = \"1979-05-27\"");
        check("[config]\nlimit = inf", "`config.limit`: `inf` is no number that JSON has");
        check("[config]\nlimit = inf", "(line 4)");
        check("[configurations.b.config]\na = [nan]", "`configurations.b.config.a`: `nan` is no");
        check("[config]\na = -0.5", "a = -0.5");
    }
}
