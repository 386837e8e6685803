//! Bytes as hexadecimal digits, and back.

/// The prefix of bytes in places where a text may stand.
pub const PREFIX: &str = "hex:";

/// A text that is no hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// Half a byte is too much.
    #[error("{digits} hexadecimal digits are half a byte too many")]
    Odd {
        /// How many there are.
        digits: usize,
    },
    /// Something else stands there.
    #[error("`{found}` is not a hexadecimal digit")]
    Digit {
        /// The character in its place.
        found: char,
    },
}

/// Digits in lower case, without spaces.
pub fn encode(bytes: &[u8]) -> String {
    ::hex::encode(bytes)
}

/// The bytes of digits in any case, without spaces.
///
/// # Errors
///
/// If a character is no digit, or one is left over.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    ::hex::decode(text).map_err(|error| match error {
        ::hex::FromHexError::InvalidHexCharacter { index, .. } => {
            // The library counts bytes.
            let found = text.get(index..).and_then(|rest| rest.chars().next());
            HexError::Digit { found: found.unwrap_or(char::REPLACEMENT_CHARACTER) }
        }
        _ => HexError::Odd { digits: text.len() },
    })
}

/// The bytes of digits with spaces between them, as people write them.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_spaced(text: &str) -> Result<Vec<u8>, HexError> {
    decode(&text.split_whitespace().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_survives() {
        fn check(text: &str, expected: Result<&[u8], &str>) {
            let found = decode_spaced(text).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
        check(&encode(&[0, 0xAB, 255]), Ok(&[0, 0xAB, 255]));
        check("00 Ff\n", Ok(&[0, 255]));
        check("", Ok(&[]));
        check("abc", Err("3 hexadecimal digits are half a byte too many"));
        check("zz", Err("`z` is not a hexadecimal digit"));
        check("0ü0", Err("`ü` is not a hexadecimal digit"));
        assert!(decode("00 ff").is_err());
    }
}
