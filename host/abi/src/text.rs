//! Text from strangers: shown so that it can neither act on a terminal nor fill the screen.
//!
//! Use [`inert`] before printing, and [`cut`] before keeping.
//!
//! ```
//! use glovebox_abi::text::{cut, inert};
//!
//! assert_eq!(inert("\u{1b}[31mred").to_string(), "\\u{1b}[31mred");
//! assert_eq!(cut("abcdef", 3), "abc… (6 bytes)");
//! ```
//!
//! This module deliberately changes no text that a program reads: JSON, files and pipes stay exact.

use std::borrow::Cow;
use std::fmt;

/// A text that can be printed anywhere: what would act or be invisible stands there as `\u{1b}`.
///
/// Changed are the control characters (C0, DEL, C1), those that change the direction of writing, and
/// those that are invisible, such as zero-width spaces. The notation is for people and cannot be
/// turned back: a text may contain it already. That of [`inert_json`] can.
#[derive(Debug, Clone, Copy)]
pub struct Inert<'a> {
    text: &'a str,
    keeps_lines: bool,
    is_json: bool,
}

/// Makes a text harmless on one line: line feeds and tabs are shown as well.
pub fn inert(text: &str) -> Inert<'_> {
    Inert { text, keeps_lines: false, is_json: false }
}

/// Makes a text of several lines harmless: line feeds and tabs stay what they are.
pub fn inert_lines(text: &str) -> Inert<'_> {
    Inert { text, keeps_lines: true, is_json: false }
}

/// Makes JSON harmless: what acts or hides can stand inside texts only, and becomes an escape of JSON
/// there, so that programs read the same values.
pub fn inert_json(json: &str) -> Inert<'_> {
    Inert { text: json, keeps_lines: true, is_json: true }
}

impl<'a> Inert<'a> {
    /// The text as a whole; borrowed if nothing in it had to be changed.
    pub fn to_cow(self) -> Cow<'a, str> {
        match self.text.chars().any(|c| self.is_shown(c)) {
            true => Cow::Owned(self.to_string()),
            false => Cow::Borrowed(self.text),
        }
    }

    fn is_shown(self, c: char) -> bool {
        let is_kept = self.keeps_lines && matches!(c, '\n' | '\t');
        !is_kept && acts_or_hides(c)
    }
}

impl fmt::Display for Inert<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| self.is_shown(*c)) {
            formatter.write_str(&rest[..at])?;
            match self.is_json {
                true => {
                    let mut units = [0; 2];
                    let units = c.encode_utf16(&mut units).iter();
                    units.copied().try_for_each(|unit| write!(formatter, "\\u{unit:04x}"))?;
                }
                false => write!(formatter, "{}", c.escape_unicode())?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        formatter.write_str(rest)
    }
}

/// True for what a terminal obeys, what changes the order of what is read, and what is not seen: the
/// categories Cc and Cf of Unicode that are not drawn, separators of lines, and letters without ink.
/// Selectors of variants stay, which only choose how the character before them is drawn.
fn acts_or_hides(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(
        c,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Keeps at most `max` bytes of a text, whole characters, and says how long it was.
///
/// The note about the length comes on top of `max`: at most 32 bytes.
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}… ({} bytes)", &text[..text.floor_char_boundary(max)], text.len()))
}

/// A text as one word of a command that people copy into a shell (POSIX): nothing in it acts there.
///
/// ```
/// use glovebox_abi::text::shell_word;
///
/// assert_eq!(shell_word("/a/b.so"), "/a/b.so");
/// assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
/// ```
pub fn shell_word(text: &str) -> Cow<'_, str> {
    // A `~` or `=` at the begin means something to some shells.
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%,:=".contains(letter);
    let begins_plain = text.starts_with(|letter: char| is_plain(letter) && letter != '=');
    match begins_plain && text.chars().all(is_plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("'{}'", text.replace('\'', r"'\''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_made_inert() {
        fn check(text: &str, line: &str, lines: &str) {
            assert_eq!(inert(text).to_string(), line, "{text:?}");
            assert_eq!(inert(text).to_cow(), line, "{text:?}");
            assert_eq!(inert_lines(text).to_string(), lines, "{text:?}");
            let shown = inert(text).to_string();
            assert!(!shown.chars().any(acts_or_hides), "{shown:?}");
            assert_eq!(inert(&shown).to_string(), shown);
        }
        check("", "", "");
        check(
            "plain ünï 漢字 🧤 \\ ❤\u{fe0f}",
            "plain ünï 漢字 🧤 \\ ❤\u{fe0f}",
            "plain ünï 漢字 🧤 \\ ❤\u{fe0f}",
        );
        check("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}");
        check("a\r\nb\tc", r"a\u{d}\u{a}b\u{9}c", "a\\u{d}\nb\tc");
        check("\u{8}\u{7f}\0\u{9b}31m", r"\u{8}\u{7f}\u{0}\u{9b}31m", r"\u{8}\u{7f}\u{0}\u{9b}31m");
        check(
            "\u{202e}RTL\u{2066}\u{200b}",
            r"\u{202e}RTL\u{2066}\u{200b}",
            r"\u{202e}RTL\u{2066}\u{200b}",
        );
        check(
            "\u{2028}\u{feff}\u{e0041}",
            r"\u{2028}\u{feff}\u{e0041}",
            r"\u{2028}\u{feff}\u{e0041}",
        );
    }

    #[test]
    fn json_stays_the_same_value() {
        fn check(json: &str, expected: &str) {
            assert_eq!(inert_json(json).to_string(), expected);
        }
        check("{\n\t\"a\": \"\\u001b ü 🧤\"\n}", "{\n\t\"a\": \"\\u001b ü 🧤\"\n}");
        check("\"\u{9b}1m\u{202e}\u{7f}\"", r#""\u009b1m\u202e\u007f""#);
        check("\"\u{e0041}\"", r#""\udb40\udc41""#);
    }

    #[test]
    fn every_control_character_is_shown() {
        let all = (0..=0x10_FFFF).filter_map(char::from_u32).filter(|c| c.is_control());
        for c in all {
            assert!(acts_or_hides(c), "{c:?}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        fn check(text: &str, max: usize, expected: &str) {
            assert_eq!(cut(text, max), expected, "{text:?} to {max}");
        }
        check("abc", 3, "abc");
        check("abcd", 3, "abc… (4 bytes)");
        check("üü", 3, "ü… (4 bytes)");
        check("🧤", 3, "… (4 bytes)");
        check("a", 0, "… (1 bytes)");
        check("", 0, "");
    }
}
