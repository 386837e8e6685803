use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use glovebox_abi::nearest::{did_you_mean, nearest};
use serde::Serialize;

use super::RULES;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look.
    Warning,
    /// Something is broken.
    Error,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Error];

    /// The name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Severity, SeverityError> {
        let found = Severity::ALL.into_iter().find(|severity| severity.name() == text);
        found.ok_or_else(|| SeverityError::Severity { text: text.to_owned() })
    }
}

/// How severe the findings of each rule are: as the rules say, unless something else was set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Severities(BTreeMap<&'static str, Option<Severity>>);

impl Severities {
    /// How severe the findings of this rule are; `None` if it is off.
    pub fn of(&self, rule: &dyn super::Rule) -> Option<Severity> {
        self.0.get(rule.id()).copied().unwrap_or(Some(rule.severity()))
    }

    /// Takes a setting such as `slow-frame=error` or `slow-frame=off`; the last about a rule counts.
    ///
    /// # Errors
    ///
    /// If there is no such rule or severity.
    pub fn set(&mut self, text: &str) -> Result<(), SeverityError> {
        let (id, severity) = text
            .split_once('=')
            .ok_or_else(|| SeverityError::NoSetting { text: text.to_owned() })?;
        let rule = RULES.iter().find(|rule| rule.id() == id).ok_or_else(|| {
            let ids = RULES.iter().map(|rule| rule.id());
            SeverityError::Rule { id: id.to_owned(), nearest: nearest(id, ids) }
        })?;
        let severity = match severity {
            "off" => None,
            severity => Some(severity.parse()?),
        };
        self.0.insert(rule.id(), severity);
        Ok(())
    }

    /// The setting of this rule, if there is one: a severity, or `None` for off.
    pub fn setting(&self, rule: &dyn super::Rule) -> Option<Option<Severity>> {
        self.0.get(rule.id()).copied()
    }

    /// Sets the severity of a rule or, with `None`, goes back to what the rule says.
    pub fn put(&mut self, rule: &dyn super::Rule, setting: Option<Option<Severity>>) {
        match setting {
            Some(severity) => self.0.insert(rule.id(), severity),
            None => self.0.remove(rule.id()),
        };
    }

    /// All settings, as [`set`](Self::set) takes them.
    pub fn settings(&self) -> Vec<String> {
        let name = |severity: &Option<Severity>| severity.map_or("off", Severity::name);
        self.0.iter().map(|(id, severity)| format!("{id}={}", name(severity))).collect()
    }
}

/// Why a text sets no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeverityError {
    /// It is no setting at all.
    #[error("`{text}` sets no severity; write for example slow-frame=error or slow-frame=off")]
    NoSetting {
        /// The text.
        text: String,
    },
    /// There is no such rule.
    #[error("there is no rule `{id}`; `glovebox findings` lists them{}", did_you_mean(*nearest))]
    Rule {
        /// The id that was given.
        id: String,
        /// The rule whose id looks most like it, if one does.
        nearest: Option<&'static str>,
    },
    /// There is no such severity.
    #[error("`{text}` is no severity; write info, warning or error, or off for a rule")]
    Severity {
        /// The text that was given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_said_as_they_are_set() {
        fn check(settings: &[&str]) {
            let mut severities = Severities::default();
            settings.iter().try_for_each(|setting| severities.set(setting)).unwrap();
            assert_eq!(severities.settings(), settings);
            RULES.iter().for_each(|rule| severities.put(*rule, None));
            assert_eq!(severities, Severities::default());
        }
        check(&[]);
        check(&["denied-call=off", "slow-frame=error"]);
    }

    #[test]
    fn severities_are_set_by_rule() {
        fn check(settings: &[&str], id: &str, expected: Result<Option<Severity>, &str>) {
            let mut severities = Severities::default();
            let set = settings.iter().try_for_each(|setting| severities.set(setting));
            let rule = RULES.iter().find(|rule| rule.id() == id).unwrap();
            let found = set.map(|()| severities.of(*rule)).map_err(|error| error.to_string());
            match (found, expected) {
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
            }
        }
        check(&[], "slow-frame", Ok(Some(Severity::Warning)));
        check(&["slow-frame=error"], "slow-frame", Ok(Some(Severity::Error)));
        check(&["slow-frame=error"], "denied-call", Ok(Some(Severity::Warning)));
        check(&["slow-frame=error", "slow-frame=off"], "slow-frame", Ok(None));
        check(&["slow-frame"], "slow-frame", Err("write for example slow-frame=error"));
        check(&["slow-frme=off"], "slow-frame", Err("did you mean `slow-frame`?"));
        check(&["slow-frame=bad"], "slow-frame", Err("`bad` is no severity; write info, warning"));
    }
}
