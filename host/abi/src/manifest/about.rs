//! `[plugin]`: the identity of a plugin, and words about it.

use semver::Version;
use serde::Deserialize;

use crate::text::cut;

/// The identity of a plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// Kebab-case name that identifies it.
    pub id: String,
    /// Version of the plugin, not of the protocol.
    #[serde(default = "unversioned")]
    pub version: Version,
    /// Name for people; the id if empty.
    #[serde(default)]
    pub name: String,
    /// The people who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// SPDX expression.
    #[serde(default)]
    pub license: String,
    /// One sentence.
    #[serde(default)]
    pub description: String,
    /// Where it belongs, e.g. `privacy`.
    #[serde(default)]
    pub category: String,
    /// The type of plugin, e.g. `filter`.
    #[serde(default, rename = "type")]
    pub plugin_type: String,
    /// The things it can do, for discovery.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// More words to be found by.
    #[serde(default)]
    pub keywords: Vec<String>,
}

/// The longest words that a manifest says about its plugin, in bytes; the rest is cut.
pub(super) const MAX_WORDS_LEN: usize = 256;
/// The same for the description.
pub(super) const MAX_DESCRIPTION_LEN: usize = 4096;

impl About {
    /// With texts that a list or a panel can show.
    pub(super) fn shortened(mut self) -> About {
        fn shorten(text: &mut String, max: usize) {
            if text.len() > max {
                *text = cut(text, max).into_owned();
            }
        }
        shorten(&mut self.description, MAX_DESCRIPTION_LEN);
        let single = [&mut self.name, &mut self.license, &mut self.category, &mut self.plugin_type];
        let lists = [&mut self.authors, &mut self.capabilities, &mut self.keywords];
        let words = single.into_iter().chain(lists.into_iter().flatten());
        words.for_each(|text| shorten(text, MAX_WORDS_LEN));
        self
    }
}

pub(super) fn unversioned() -> Version {
    Version::new(0, 0, 0)
}
