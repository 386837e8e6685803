//! The rule for sandboxes of workers that lack a layer.

use std::str::FromStr;

/// The fate of a native plugin whose sandbox lacks a layer that was asked for. Without one of those that
/// keep it from files and the ways out of its process, it is refused under every rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MissingLayers {
    /// It runs; its status says which layers are missing.
    #[default]
    Run,
    /// It is refused until somebody accepts it with
    /// [`LoadRequest::accept_missing_layers`](crate::LoadRequest::accept_missing_layers).
    Ask,
    /// It is refused.
    Refuse,
}

impl MissingLayers {
    /// All rules with their names in `policy.toml`.
    pub const ALL: [(MissingLayers, &'static str); 3] = [
        (MissingLayers::Run, "run"),
        (MissingLayers::Ask, "ask"),
        (MissingLayers::Refuse, "refuse"),
    ];
}

/// A text that names no rule for missing layers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no rule for missing layers; use run, ask or refuse")]
pub struct UnknownRule(String);

impl FromStr for MissingLayers {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<MissingLayers, UnknownRule> {
        let found = MissingLayers::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(rule, _)| *rule).ok_or_else(|| UnknownRule(text.to_owned()))
    }
}
