use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// The kind of a frame's message: one byte on the wire.
///
/// `0x51..=0x54` are named here, `0x60..=0xFF` belong to users, the rest is reserved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// Opens a conversation: who speaks, which versions.
    pub const HANDSHAKE: Kind = Kind(0x51);
    /// Carries the data that plugins work on.
    pub const DATA: Kind = Kind(0x52);
    /// Steers a plugin: flush, report, change mode.
    pub const CONTROL: Kind = Kind(0x53);
    /// Reports that something went wrong with an earlier frame.
    pub const ERROR: Kind = Kind(0x54);
    /// The first kind that users may define for themselves.
    pub const FIRST_USER: Kind = Kind(0x60);

    /// The kinds that have a name, in order.
    pub const NAMED: [(Kind, &'static str); 4] = [
        (Kind::HANDSHAKE, "handshake"),
        (Kind::DATA, "data"),
        (Kind::CONTROL, "control"),
        (Kind::ERROR, "error"),
    ];

    /// The kinds that are not reserved, in words.
    pub const USABLE: &str = "handshake, data, control, error, or a number from 0x60 to 0xFF";

    /// The name from the word list, if this kind has one.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|(kind, _)| *kind == self).map(|(_, name)| *name)
    }

    /// True for `0x60..=0xFF`.
    pub fn is_user_defined(self) -> bool {
        self >= Self::FIRST_USER
    }

    /// True for a kind that no version of the protocol defines and users may not take.
    #[inline]
    pub fn is_reserved(self) -> bool {
        !self.is_user_defined() && !(Self::HANDSHAKE..=Self::ERROR).contains(&self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.pad(name),
            None => formatter.pad(&format!("0x{:02X}", self.0)),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A text that names no kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind(pub String);

impl fmt::Display for UnknownKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` is not a frame kind; use {}", self.0, Kind::USABLE)
    }
}

impl Error for UnknownKind {}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads a name (`data`) or a number (`0x61`, `97`); reserved numbers are refused.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let named = Self::NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
        if let Some((kind, _)) = named {
            return Ok(*kind);
        }
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u8::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        number
            .map(Kind)
            .filter(|kind| !kind.is_reserved())
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_and_print() {
        fn check(text: &str, expected: Option<(Kind, &str)>) {
            let kind = text.parse::<Kind>().ok();
            assert_eq!(kind, expected.map(|(kind, _)| kind), "{text}");
            assert_eq!(
                kind.map(|kind| kind.to_string()),
                expected.map(|(_, shown)| shown.to_owned())
            );
        }
        check("data", Some((Kind::DATA, "data")));
        check("Control", Some((Kind::CONTROL, "control")));
        check("0x51", Some((Kind::HANDSHAKE, "handshake")));
        check("0x61", Some((Kind(0x61), "0x61")));
        check("255", Some((Kind(255), "0xFF")));
        check("0x50", None);
        check("0x5F", None);
        check("datum", None);
        check("", None);
    }

    #[test]
    fn what_is_neither_named_nor_a_users_is_reserved() {
        for kind in (0..=u8::MAX).map(Kind) {
            let is_known = kind.name().is_some() || kind.is_user_defined();
            assert_eq!(kind.is_reserved(), !is_known, "{kind}");
        }
    }
}
