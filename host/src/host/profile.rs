use std::fmt;

use glovebox_abi::LogLevel;

/// The purpose of a host: a bundle of settings with a name.
///
/// | | `development` | `production` |
/// |---|---|---|
/// | a changed artifact is reloaded by itself | yes | no |
/// | log lines of the host, from | `debug` | `info` |
/// | mocks of host services | allowed | refused |
///
/// A host takes the first and the third from its profile; writing log lines is the application's
/// business. A host without a profile reloads nothing by itself and allows mocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    name: String,
    reloads: Reloads,
    log: LogLevel,
    mocks: Mocks,
}

/// Whether a changed artifact is reloaded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reloads {
    /// As soon as its file has changed.
    ByItself,
    /// When somebody says so.
    WhenAsked,
}

/// Whether host services may be mocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mocks {
    /// They may.
    Allowed,
    /// A plugin with a mock is not loaded.
    Refused,
}

impl Profile {
    /// The names of the profiles that are always there.
    pub const NAMES: [&'static str; 2] = ["development", "production"];

    /// For authors of plugins.
    pub fn development() -> Profile {
        let name = Profile::NAMES[0].to_owned();
        Profile { name, reloads: Reloads::ByItself, log: LogLevel::Debug, mocks: Mocks::Allowed }
    }

    /// For users that rely on them.
    pub fn production() -> Profile {
        let name = Profile::NAMES[1].to_owned();
        Profile { name, reloads: Reloads::WhenAsked, log: LogLevel::Info, mocks: Mocks::Refused }
    }

    /// One of those that are always there.
    pub fn named(name: &str) -> Option<Profile> {
        [Profile::development(), Profile::production()]
            .into_iter()
            .find(|profile| profile.name == name)
    }

    /// The same settings under another name, to be changed.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Profile {
        self.name = name.into();
        self
    }

    /// Whether a changed artifact is reloaded by itself.
    #[must_use]
    pub fn with_reloads(mut self, reloads: Reloads) -> Profile {
        self.reloads = reloads;
        self
    }

    /// The least important log lines that are written.
    #[must_use]
    pub fn with_log(mut self, log: LogLevel) -> Profile {
        self.log = log;
        self
    }

    /// Whether host services may be mocked.
    #[must_use]
    pub fn with_mocks(mut self, mocks: Mocks) -> Profile {
        self.mocks = mocks;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a changed artifact is reloaded by itself.
    pub fn reloads(&self) -> Reloads {
        self.reloads
    }

    /// The least important log lines that are written.
    pub fn log(&self) -> LogLevel {
        self.log
    }

    /// Whether host services may be mocked.
    pub fn mocks(&self) -> Mocks {
        self.mocks
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.name)
    }
}
