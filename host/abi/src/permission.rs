use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// A named capability that a plugin asks for and a policy grants.
///
/// Traces hold the place of a permission in this list, so that new ones stand at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "manifest", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "manifest", serde(rename_all = "kebab-case"))]
pub enum Permission {
    /// Write lines to the log.
    Log,
    /// Read the clock.
    Now,
    /// Get random bytes.
    Random,
    /// Read its own configuration while running.
    Config,
    /// Keep keys and values in its own store.
    Kv,
    /// Send frames to other plugins.
    Emit,
    /// Publish measurements.
    Metric,
    /// Be given frames, by kind. A manifest asks for it with `accepts` under `[frames]`.
    Receive,
    /// Read or write folders of this machine, through WASI.
    Files,
    /// Reach hosts and ports, through WASI.
    Network,
    /// Read environment variables, through WASI.
    Environment,
    /// Call functions that the application gives to its plugins, by name.
    Functions,
}

impl Permission {
    /// All permissions with their names and what they allow, in the order people should see them.
    pub const ALL: [(Permission, &'static str, &'static str); 12] = [
        (Permission::Log, "log", "write lines to the log"),
        (Permission::Metric, "metric", "publish measurements"),
        (Permission::Config, "config", "read its own configuration while running"),
        (Permission::Now, "now", "read the clock"),
        (Permission::Random, "random", "get random bytes"),
        (Permission::Kv, "kv", "keep keys and values in its own store"),
        (Permission::Emit, "emit", "send frames to other plugins"),
        (Permission::Receive, "receive", "be given frames of the kinds it accepts"),
        (Permission::Functions, "functions", "call the listed functions of the application"),
        (Permission::Files, "files", "read or write the listed folders of this machine"),
        (Permission::Network, "network", "reach the listed hosts and ports"),
        (Permission::Environment, "environment", "read the listed environment variables"),
    ];

    /// The name in manifests and policies.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// The use that it allows, for people.
    pub fn allows(self) -> &'static str {
        self.entry().2
    }

    /// True for what cannot matter to anyone but the plugin: a strict policy grants it.
    pub fn is_harmless(self) -> bool {
        matches!(
            self,
            Permission::Log | Permission::Metric | Permission::Config | Permission::Receive
        )
    }

    /// True for what reaches the machine around Glovebox: a manifest that asks for it is not enough,
    /// a person has to agree.
    pub fn needs_consent(self) -> bool {
        matches!(self, Permission::Files | Permission::Network | Permission::Environment)
    }

    fn entry(self) -> &'static (Permission, &'static str, &'static str) {
        Self::ALL
            .iter()
            .find(|(permission, ..)| *permission == self)
            .expect("ALL lists every permission, which a test checks")
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A text that names no permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPermission(pub String);

impl fmt::Display for UnknownPermission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is not a permission", self.0)
    }
}

impl Error for UnknownPermission {}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.iter().find(|(_, name, _)| *name == text);
        found.map(|(permission, ..)| *permission).ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}
