//! The errors of manifests, with lines and nearest keys.

use super::about::MAX_WORDS_LEN;
use crate::nearest::meant_or_known;
use crate::text::cut;

/// Why a text is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The text is not TOML, a value has the wrong type, or a needed key is missing.
    #[error("line {line}: {reason}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// The error there.
        reason: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in [{section}]{}{meant}", at_line(*.line))]
    UnknownKey {
        /// The key.
        key: String,
        /// The section it stands in.
        section: String,
        /// Line, from 1, if known.
        line: Option<usize>,
        /// The known key that looks most like it, or all of them, in words.
        meant: String,
    },
    /// A value that makes no sense.
    #[error("`{key}`: {reason}")]
    Value {
        /// Section and key.
        key: String,
        /// The error in the value.
        reason: String,
    },
    /// The source of the plugin and its manifest want different things.
    #[error(
        "`{key}` is {attribute} in the attribute `#[budget]` of the source, but {manifest} in \
         plugin.toml; remove one of the two, or make them the same"
    )]
    Contradiction {
        /// Section and key.
        key: String,
        /// The value in the manifest, with its unit.
        manifest: String,
        /// The value in the source, with its unit.
        attribute: String,
    },
    /// An id that is not kebab-case.
    #[error(
        "`{id}` is not a plugin id; use lower-case letters, digits and single `-`, e.g. \"redact-mail\""
    )]
    Id {
        /// The id.
        id: String,
    },
}

impl ManifestError {
    /// The error of `toml` about `text`, with the line.
    pub fn from_toml(text: &str, error: &toml::de::Error) -> ManifestError {
        let offset = error.span().map_or(0, |span| span.start.min(text.len()));
        let reason = error.message().lines().collect::<Vec<_>>().join(" ");
        ManifestError::Toml { line: line_of(text, offset), reason }
    }

    /// An unknown key, with the known one that looks most like it.
    pub fn unknown<'a>(
        key: &str,
        section: &str,
        line: Option<usize>,
        known: impl Iterator<Item = &'a str>,
    ) -> ManifestError {
        let key = &*cut(key, MAX_WORDS_LEN);
        let known: Vec<&str> = known.collect();
        ManifestError::UnknownKey {
            key: key.to_owned(),
            section: section.to_owned(),
            line,
            meant: meant_or_known(key, &known),
        }
    }
}

/// Refuses more entries than a manifest may have there.
pub(super) fn at_most(key: &str, found: usize, limit: usize) -> Result<(), ManifestError> {
    if found <= limit {
        return Ok(());
    }
    let reason = format!("{found} entries are too many, limit {limit}");
    Err(ManifestError::Value { key: key.to_owned(), reason })
}

/// The line of a place in a text, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" on line {line}"))
}
