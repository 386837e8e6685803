use std::fmt;

/// The version of the contract, apart from the version of the application.
///
/// Before 1.0 two sides fit when major *and* minor are equal; from 1.0 on, when the majors are
/// equal and the host's minor is at least the plugin's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// Changes when old plugins stop working.
    pub major: u16,
    /// Changes when something was added.
    pub minor: u16,
}

impl ProtocolVersion {
    /// The version this crate defines.
    pub const CURRENT: ProtocolVersion = ProtocolVersion { major: 0, minor: 1 };

    /// True if a host of this version can run a plugin of version `plugin`.
    pub fn supports(self, plugin: ProtocolVersion) -> bool {
        self.major == plugin.major
            && if self.major == 0 { self.minor == plugin.minor } else { self.minor >= plugin.minor }
    }

    /// `major << 16 | minor`, as the native table carries it.
    pub const fn to_u32(self) -> u32 {
        ((self.major as u32) << 16) | self.minor as u32
    }

    /// The reverse of [`to_u32`](Self::to_u32).
    pub const fn from_u32(packed: u32) -> ProtocolVersion {
        ProtocolVersion { major: (packed >> 16) as u16, minor: packed as u16 }
    }

    /// Reads the suffix of a marker name such as `0_1`.
    pub fn from_suffix(suffix: &str) -> Option<ProtocolVersion> {
        let (major, minor) = suffix.split_once('_')?;
        Some(ProtocolVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_or_not() {
        fn check(host: (u16, u16), plugin: (u16, u16), expected: bool) {
            let version = |(major, minor)| ProtocolVersion { major, minor };
            assert_eq!(version(host).supports(version(plugin)), expected, "{host:?} {plugin:?}");
        }
        check((0, 1), (0, 1), true);
        check((0, 2), (0, 1), false);
        check((0, 1), (0, 2), false);
        check((1, 3), (1, 2), true);
        check((1, 2), (1, 3), false);
        check((1, 0), (0, 1), false);
        assert_eq!(
            ProtocolVersion::from_u32(ProtocolVersion::CURRENT.to_u32()),
            ProtocolVersion::CURRENT
        );
        assert_eq!(ProtocolVersion::from_suffix("0_1"), Some(ProtocolVersion::CURRENT));
        assert_eq!(ProtocolVersion::from_suffix("1"), None);
    }
}
