//! Reads the TOML files that people write for a host: pipelines, workspaces, mocks.
//!
//! A [`Section`] gives one typed value after the other, and every error says on which line and what
//! was meant. The manifest has its own reader, because it is part of the contract.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::time::Duration;

use glovebox_abi::manifest::{check_settings, plain_settings};
use glovebox_abi::nearest::meant_or_known;
use glovebox_abi::units;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// Why a text is not the file it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not TOML.
    #[error("line {line}: {reason}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// The error there.
        reason: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {section} on line {line}{meant}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it stands: a section in brackets, or the top level.
        section: String,
        /// Line, from 1.
        line: usize,
        /// The known key that looks most like it, or all of them, in words.
        meant: String,
    },
    /// A key that is needed.
    #[error("{section} on line {line} lacks `{key}`; {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// Where it should stand.
        section: String,
        /// Line of the section, from 1.
        line: usize,
        /// The text to write.
        remedy: &'static str,
    },
    /// A value that makes no sense.
    #[error("line {line}: `{key}`: {reason}")]
    Value {
        /// Sections and key.
        key: String,
        /// Line, from 1.
        line: usize,
        /// The error in the value, and the text to write.
        reason: String,
    },
}

/// The whole file, to be read through [`Section::top`].
pub fn parse(source: &str) -> Result<DeTable<'_>, DocumentError> {
    let table = DeTable::parse(source).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let reason = error.message().lines().collect::<Vec<_>>().join(" ");
        DocumentError::Toml { line: line_at(source, offset), reason }
    })?;
    Ok(table.into_inner())
}

fn line_at(source: &str, offset: usize) -> usize {
    let before = &source.as_bytes()[..offset.min(source.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// One table of a file, with its entries in the order in which they were written.
#[derive(Debug)]
pub struct Section<'a> {
    source: &'a str,
    /// As in the file, e.g. `stage.redact`; empty at the top.
    name: String,
    line: usize,
    entries: Vec<(&'a str, usize, &'a Spanned<DeValue<'a>>)>,
}

impl<'a> Section<'a> {
    /// The top level of a file.
    pub fn top(source: &'a str, table: &'a DeTable<'a>) -> Section<'a> {
        Section::new(source, String::new(), 1, table)
    }

    fn new(source: &'a str, name: String, line: usize, table: &'a DeTable<'a>) -> Section<'a> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key.get_ref().as_ref(), line_at(source, key.span().start), value))
            .collect();
        Section { source, name, line, entries }
    }

    /// Refuses keys other than these.
    ///
    /// # Errors
    ///
    /// If there is another one.
    pub fn only(&self, known: &[&str]) -> Result<(), DocumentError> {
        match self.entries.iter().find(|(key, ..)| !known.contains(key)) {
            None => Ok(()),
            Some((key, line, _)) => Err(DocumentError::UnknownKey {
                key: (*key).to_owned(),
                section: self.shown(),
                line: *line,
                meant: meant_or_known(key, known),
            }),
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.entries.iter().map(|(key, ..)| *key)
    }

    /// The line on which the section starts.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The line of a key; that of the section if the key is not there.
    pub fn line_of(&self, key: &str) -> usize {
        self.entry(key).map_or(self.line, |(line, _)| line)
    }

    /// The error of a key that is needed.
    pub fn missing(&self, key: &'static str, remedy: &'static str) -> DocumentError {
        DocumentError::Missing { key, section: self.shown(), line: self.line, remedy }
    }

    /// The error of a value that makes no sense.
    pub fn wrong(&self, key: &str, reason: impl Into<String>) -> DocumentError {
        let line = self.line_of(key);
        DocumentError::Value { key: self.path(key), line, reason: reason.into() }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<String>, DocumentError> {
        match self.value(key) {
            None => Ok(None),
            Some(DeValue::String(text)) => Ok(Some(text.to_string())),
            Some(other) => Err(self.mistyped(key, other, "a text")),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>, DocumentError> {
        let item = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Ok(text.to_string()),
            other => Err(self.mistyped(key, other, "a text, or a list of texts")),
        };
        match self.value(key) {
            None => Ok(None),
            Some(DeValue::Array(items)) => {
                items.iter().map(|value| item(value.get_ref())).collect::<Result<_, _>>().map(Some)
            }
            Some(single) => Ok(Some(vec![item(single)?])),
        }
    }

    /// A flag: true or false.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, DocumentError> {
        match self.value(key) {
            None => Ok(None),
            Some(DeValue::Boolean(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.mistyped(key, other, "true or false")),
        }
    }

    /// A whole number of at least `least`.
    pub fn number(&self, key: &str, least: u64) -> Result<Option<u64>, DocumentError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let DeValue::Integer(integer) = value else {
            return Err(self.mistyped(key, value, "a whole number"));
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| *number >= least);
        number
            .ok_or_else(|| {
                self.wrong(key, format!("{integer} is out of range; write {least} or more"))
            })
            .map(Some)
    }

    /// A size in bytes: a number, or a text with a unit.
    pub fn size(&self, key: &str) -> Result<Option<u64>, DocumentError> {
        match self.value(key) {
            Some(DeValue::String(text)) => units::parse_size(text)
                .map(Some)
                .map_err(|error| self.wrong(key, error.to_string())),
            _ => self.number(key, 0),
        }
    }

    /// A duration: a text with a unit.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>, DocumentError> {
        let parse = |text: String| units::parse_duration(&text);
        let duration = self.text(key)?.map(parse).transpose();
        duration.map_err(|error| self.wrong(key, error.to_string()))
    }

    /// A table below this one.
    pub fn section(&self, key: &str) -> Result<Option<Section<'a>>, DocumentError> {
        let Some((line, value)) = self.entry(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::Table(table) => {
                Ok(Some(Section::new(self.source, self.path(key), line, table)))
            }
            other => Err(self.mistyped(key, other, "a table")),
        }
    }

    /// A list of tables below this one.
    pub fn sections(&self, key: &str) -> Result<Vec<Section<'a>>, DocumentError> {
        let Some((_, value)) = self.entry(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.mistyped(key, value.get_ref(), "a list of tables"));
        };
        let section = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => {
                let line = line_at(self.source, item.span().start);
                Ok(Section::new(self.source, self.path(key), line, table))
            }
            other => Err(self.mistyped(key, other, "a list of tables")),
        };
        items.iter().map(section).collect()
    }

    /// A table as it is, for values that are somebody else's.
    pub fn table(&self, key: &str) -> Result<Option<toml::Table>, DocumentError> {
        let Some((_, value)) = self.entry(key) else {
            return Ok(None);
        };
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            return Err(self.mistyped(key, value.get_ref(), "a table"));
        }
        let table = toml::Table::deserialize(ValueDeserializer::from(value.clone()));
        table.map(Some).map_err(|error| self.wrong(key, error.message().to_owned()))
    }

    /// Settings of a plugin, which it gets as JSON: dates and times become texts.
    ///
    /// # Errors
    ///
    /// If it is no table, or there is a number in it that JSON does not have.
    pub fn settings(&self, key: &str) -> Result<Option<toml::Table>, DocumentError> {
        if let Some(DeValue::Table(table)) = self.value(key) {
            check_settings(&self.path(key), table).map_err(|error| {
                let (line, reason) = (line_at(self.source, error.at), error.to_string());
                DocumentError::Value { key: error.key, line, reason }
            })?;
        }
        Ok(self.table(key)?.map(plain_settings))
    }

    /// The value itself, for types that only one file has.
    pub fn value(&self, key: &str) -> Option<&'a DeValue<'a>> {
        self.entry(key).map(|(_, value)| value.get_ref())
    }

    /// The error of a value of another type.
    pub fn mistyped(&self, key: &str, found: &DeValue<'_>, wanted: &str) -> DocumentError {
        self.wrong(key, format!("expected {wanted}, found {}", article(found.type_str())))
    }

    fn entry(&self, key: &str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        let found = self.entries.iter().find(|(name, ..)| *name == key);
        found.map(|(_, line, value)| (*line, *value))
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn shown(&self) -> String {
        match self.name.as_str() {
            "" => "the top level".to_owned(),
            name => format!("[{name}]"),
        }
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_what_json_can_hold() {
        fn check(text: &str, expected: &str) {
            let found = parse(text).and_then(|table| {
                let top = Section::top(text, &table);
                Ok(top.settings("config")?.unwrap_or_default().to_string().replace('\n', " "))
            });
            let found = found.unwrap_or_else(|error| error.to_string());
            assert!(found.contains(expected), "{text:?}: {found:?} does not say {expected:?}");
        }
        check("[config]\nat = 2026-11-30T08:00:00Z", "at = \"2026-11-30T08:00:00Z\"");
        check("[config]\nall = [{ at = 07:32:00 }, 1979-05-27]", "\"07:32:00\"");
        check("[config]\nall = [{ at = 07:32:00 }, 1979-05-27]", "\"1979-05-27\"");
        check("[config]\na = 1.5\nb = 1e3\nc = true", "a = 1.5");
        check("[config]\n\na = nan", "line 3: `config.a`: `nan` is no number that JSON has");
        check("[config.deep]\na = [1.0, -inf]", "line 2: `config.deep.a`: `-inf` is no number");
        check("[config]\na = 1e999", "line 2: `config.a`: ");
        check("config = 1", "expected a table");
    }

    #[test]
    fn values_are_read_with_their_lines() {
        fn check(text: &str, expected: &str) {
            let read = || -> Result<String, DocumentError> {
                let table = parse(text)?;
                let top = Section::top(text, &table);
                top.only(&["a", "list"])?;
                let Some(a) = top.section("a")? else {
                    return Err(top.missing("a", "write [a]"));
                };
                a.only(&["name", "tags", "on", "times", "size", "pause"])?;
                Ok(format!(
                    "{:?} {:?} {:?} {:?} {:?} {:?} {}",
                    a.text("name")?,
                    a.texts("tags")?,
                    a.flag("on")?,
                    a.number("times", 1)?,
                    a.size("size")?,
                    a.duration("pause")?,
                    top.sections("list")?.len(),
                ))
            };
            let found = read().unwrap_or_else(|error| error.to_string());
            assert!(found.contains(expected), "{text:?}: {found:?} does not say {expected:?}");
        }
        check("[a]\nname = 'x'\ntags = 't'", r#"Some("x") Some(["t"]) None"#);
        check("[a]\ntags = ['t', 'u']\non = true", r#"None Some(["t", "u"]) Some(true)"#);
        check("[a]\ntimes = 0x10\nsize = '1 KiB'\npause = '2ms'", "Some(16) Some(1024) Some(2ms)");
        check("[a]\n[[list]]\n[[list]]", "None 2");
        check("[a", "line 1: ");
        check("[b]", "unknown key `b` in the top level on line 1; did you mean `a`?");
        check("\n[a]\nnmae = 1", "unknown key `nmae` in [a] on line 3; did you mean `name`?");
        check("[a]\nzzzzzzzz = 1", "unknown key `zzzzzzzz` in [a] on line 2; there are name");
        check("", "the top level on line 1 lacks `a`; write [a]");
        check("[a]\n\nname = 1", "line 3: `a.name`: expected a text, found an integer");
        check("[a]\ntags = [1]", "expected a text, or a list of texts, found an integer");
        check("[a]\ntimes = 0", "line 2: `a.times`: 0 is out of range; write 1 or more");
        check("[a]\nsize = 'big'", "line 2: `a.size`: `big` is not a size");
        check("[a]\npause = 'soon'", "`soon` is not a duration");
        check("a = 1", "line 1: `a`: expected a table, found an integer");
        check("list = [1]\n[a]", "line 1: `list`: expected a list of tables, found an integer");
    }
}
