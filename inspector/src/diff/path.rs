//! Paths into frames, and patterns of paths for rules.

use std::borrow::Cow;
use std::str::FromStr;

use crate::decode::document::{Item, Sort};
use crate::decode::print::key_text;

/// Matches paths such as `/payload/user/email`.
///
/// `*` stands for any one segment or, inside a segment, for any part of it (`*_at`); a segment `**`
/// stands for any number of segments. A pattern matches everything below it too. As in JSON Pointer
/// (RFC 6901), `~1` is a `/` inside a segment and `~0` a `~`. Also, `~u{a}` is a character by its number: a
/// control character, or half of a surrogate pair.
///
/// The segment of a key of CBOR that is no text begins with `~:`, as in `/header/~:1`. A name without it
/// matches each key that reads so, a number and a text alike, as it always did; `~:1` matches the number
/// alone, and `~:"1"` the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(String);

/// A text that is no path pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a path: at character {character}, {reason}")]
pub struct PathPatternError {
    /// The text.
    pub path: String,
    /// Where it is wrong, from 1.
    pub character: usize,
    /// The error there, and the text to write.
    pub reason: &'static str,
}

/// The longest pattern, in bytes, and how often `**` may stand in it: more would only make matching slow.
const MAX_LEN: usize = 1024;
const MAX_STARS: usize = 4;

impl PathPattern {
    /// True if the pattern matches this path or something above it.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        segments_match(&self.0[1..], Some(path))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Matches patterns of segments; `None` is the end of the path.
fn segments_match(pattern: &str, path: Option<&str>) -> bool {
    let (wanted, rest) = match pattern.split_once('/') {
        Some((wanted, rest)) => (wanted, Some(rest)),
        None => (pattern, None),
    };
    let Some(path) = path else {
        return false;
    };
    let (segment, below) = match path.split_once('/') {
        Some((segment, below)) => (segment, Some(below)),
        None => (path, None),
    };
    if wanted == "**" {
        return match rest {
            None => true,
            Some(rest) => segments_match(rest, Some(path)) || segments_match(pattern, below),
        };
    }
    key_matches(wanted, segment) && rest.is_none_or(|rest| segments_match(rest, below))
}

/// Matches one segment, a key of one sort or of any.
fn key_matches(wanted: &str, segment: &str) -> bool {
    let matches = |wanted: &str, key: &str| part_matches(wanted.as_bytes(), key.as_bytes());
    let no_text = segment.strip_prefix(NO_TEXT);
    match wanted.strip_prefix(NO_TEXT) {
        None => matches(wanted, no_text.unwrap_or(segment)),
        Some(wanted) => match wanted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(text) => no_text.is_none() && matches(text, segment),
            None => no_text.is_some_and(|key| matches(wanted, key)),
        },
    }
}

/// Begins the segment of a key that is no text.
const NO_TEXT: &str = "~:";

/// Matches one segment, without going back more than once: the last `*` takes what it must.
fn part_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut wanted, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        if pattern.get(wanted) == Some(&b'*') {
            star = Some((wanted, at));
            wanted += 1;
        } else if pattern.get(wanted) == Some(&text[at]) {
            wanted += 1;
            at += 1;
        } else if let Some((star_at, taken)) = star {
            star = Some((star_at, taken + 1));
            wanted = star_at + 1;
            at = taken + 1;
        } else {
            return false;
        }
    }
    pattern[wanted..].iter().all(|byte| *byte == b'*')
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |at: usize, reason| {
            let character = text[..at].chars().count() + 1;
            Err(PathPatternError { path: text.to_owned(), character, reason })
        };
        let is_escape = |at: usize| match &text.as_bytes()[at + 1..] {
            [b'0' | b'1', ..] => true,
            [b':', ..] => text[..at].ends_with('/'),
            [b'u', b'{', rest @ ..] => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                (1..=6).contains(&digits) && rest.get(digits) == Some(&b'}')
            }
            _ => false,
        };
        let escape = text.match_indices('~').find(|(at, _)| !is_escape(*at));
        match (text.strip_prefix('/'), escape, text.match_indices("**").nth(MAX_STARS)) {
            (None, ..) => wrong(0, "start it with `/`, e.g. \"/header/id\" or \"/payload/*/time\""),
            (Some(""), ..) => wrong(1, "a name is missing, e.g. \"/header/id\""),
            (_, Some((at, _)), _) => {
                wrong(at, "a `~` stands alone; write `~0` for it, and `~1` for a `/` in a name")
            }
            (_, _, Some((at, _))) => wrong(at, "a fifth `**` is one too many"),
            _ if text.len() > MAX_LEN => {
                wrong(text.floor_char_boundary(MAX_LEN), "it is too long; the most are 1024 bytes")
            }
            // Those that are written with the characters themselves mean the same.
            _ => Ok(PathPattern(without_controls(text).into_owned())),
        }
    }
}

/// A place in a frame: where it is, and the same with `*` for positions, which is what differences
/// with one cause have in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) pattern: String,
}

impl Place {
    pub(super) fn new(path: &str) -> Place {
        Place { path: path.to_owned(), pattern: path.to_owned() }
    }

    /// Goes on below the key of a map while `then` runs.
    pub(super) fn entry(&mut self, key: Item<'_>, then: impl FnOnce(&mut Place)) {
        let segment = segment(key);
        self.below(&segment, &segment, then);
    }

    /// Goes on below a name while `then` runs.
    pub(super) fn key(&mut self, key: &str, then: impl FnOnce(&mut Place)) {
        let escaped = escape(key);
        self.below(&escaped, &escaped, then);
    }

    /// Goes on below a position.
    pub(super) fn position(&mut self, at: usize, then: impl FnOnce(&mut Place)) {
        self.below(&at.to_string(), "*", then);
    }

    fn below(&mut self, name: &str, pattern: &str, then: impl FnOnce(&mut Place)) {
        let lengths = (self.path.len(), self.pattern.len());
        self.path.push('/');
        self.path.push_str(name);
        self.pattern.push('/');
        self.pattern.push_str(pattern);
        then(self);
        self.path.truncate(lengths.0);
        self.pattern.truncate(lengths.1);
    }
}

/// The values in a map or list, with their places below `path`; a scalar has none.
pub(crate) fn children<'a>(item: Item<'a>, path: &str) -> Vec<(Item<'a>, String)> {
    match item.sort() {
        Sort::Map => {
            let entries = item.entries();
            entries.map(|(key, value)| (value, format!("{path}/{}", segment(key)))).collect()
        }
        Sort::List => {
            let items = item.children().enumerate();
            items.map(|(at, item)| (item, format!("{path}/{at}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// The key of a map as a segment of a path; no two keys have the same.
fn segment(key: Item<'_>) -> String {
    if key.sort() != Sort::Text {
        return format!("{NO_TEXT}{}", escape(&key_text(key)));
    }
    let content = key.content();
    let mut rest = &content[..];
    let mut out = String::new();
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(&escape(text));
                return out;
            }
            Err(error) => error,
        };
        let (valid, wrong) = rest.split_at(error.valid_up_to());
        out.push_str(&escape(&String::from_utf8_lossy(valid)));
        // Half of a surrogate pair, as JSON may have it; nothing else is no UTF-8 in a key.
        rest = match wrong {
            [0xED, second @ 0xA0..=0xBF, third, rest @ ..] => {
                let unit = 0xD000 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
                out.push_str(&format!("~u{{{unit:x}}}"));
                rest
            }
            wrong => {
                out.push(char::REPLACEMENT_CHARACTER);
                &wrong[1..]
            }
        };
    }
}

/// As in JSON Pointer (RFC 6901), and without control characters.
fn escape(key: &str) -> Cow<'_, str> {
    match key.contains(['~', '/']) {
        true => without_controls(&key.replace('~', "~0").replace('/', "~1")).into_owned().into(),
        false => without_controls(key),
    }
}

/// The same with control characters by their numbers.
fn without_controls(path: &str) -> Cow<'_, str> {
    if !path.contains(char::is_control) {
        return path.into();
    }
    let mut out = String::new();
    for character in path.chars() {
        match character.is_control() {
            true => out.push_str(&format!("~u{{{:x}}}", u32::from(character))),
            false => out.push(character),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match() {
        fn check(pattern: &str, path: &str, expected: bool) {
            let parsed: PathPattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.matches(path), expected, "{pattern} {path}");
        }
        check("/payload/user", "/payload/user", true);
        check("/payload/user", "/payload/user/id", true);
        check("/payload/user", "/payload", false);
        check("/payload/user", "/payload/users", false);
        check("/payload/*/time", "/payload/3/time", true);
        check("/payload/*/time", "/payload/3/date", false);
        check("/payload/*/time", "/payload/a/b/time", false);
        check("/*/id", "/header/id", true);
        check("/payload/*_at", "/payload/created_at", true);
        check("/payload/*_at", "/payload/created_at/x", true);
        check("/payload/*_at", "/payload/at", false);
        check("/payload/x*y*z", "/payload/x1y2y3z", true);
        check("/payload/x*y*z", "/payload/x1y2y3", false);
        check("/**/time", "/payload/a/b/time", true);
        check("/**/time", "/time", true);
        check("/**/time", "/payload/timer", false);
        check("/payload/**", "/payload/a", true);
        check("/payload/**/id/*", "/payload/a/id/b/id", true);
        check("/payload/**/id/*", "/payload/a/id", false);
        check("/payload/1", "/payload/1", true);
        check("/payload/1", "/payload/~:1", true);
        check("/payload/~:1", "/payload/~:1/x", true);
        check("/payload/~:1", "/payload/1", false);
        check("/payload/~:\"1\"", "/payload/1", true);
        check("/payload/~:\"1\"", "/payload/~:1", false);
        check("/payload/~:*", "/payload/~:1", true);
        check("/payload/~:*", "/payload/1", false);
        check("/payload/b\nc", "/payload/b~u{a}c", true);
        check("/payload/b~u{a}c", "/payload/b~u{a}c", true);
    }

    #[test]
    fn other_texts_are_no_patterns() {
        #[track_caller]
        fn check(text: &str, place: usize, expected: &str) {
            let error = text.parse::<PathPattern>().unwrap_err().to_string();
            let start = format!("`{text}` is not a path: at character {place}, {expected}");
            assert!(error.starts_with(&start), "{error}");
        }
        check("payload", 1, "start it with `/`");
        check("/", 2, "a name is missing");
        check("", 1, "start it with `/`");
        check("/payload/ü~2/x", 11, "a `~` stands alone");
        check("/payload/a~", 11, "a `~` stands alone");
        check("/payload/a~:1", 11, "a `~` stands alone");
        check("/payload/a~u{x}", 11, "a `~` stands alone");
        check("/payload/a~ua", 11, "a `~` stands alone");
        check(&"/**".repeat(5), 14, "a fifth `**` is one too many");
        check(&"/x".repeat(600), 1025, "it is too long");
    }
}
