//! Paths into frames, and patterns of paths for rules.

use std::str::FromStr;

use crate::decode::document::{Item, Sort};
use crate::decode::print::key_text;

/// Matches paths such as `/payload/user/email`.
///
/// `*` stands for any one segment or, inside a segment, for any part of it (`*_at`); a segment `**`
/// stands for any number of segments. A pattern matches everything below it too. As in JSON Pointer
/// (RFC 6901), `~1` is a `/` inside a segment and `~0` a `~`.
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
    part_matches(wanted.as_bytes(), segment.as_bytes())
        && rest.is_none_or(|rest| segments_match(rest, below))
}

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
        let escape = text
            .match_indices('~')
            .find(|(at, _)| !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')));
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
            _ => Ok(PathPattern(text.to_owned())),
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

    /// Goes on below a key while `then` runs.
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
            entries
                .map(|(key, value)| (value, format!("{path}/{}", escape(&key_text(key)))))
                .collect()
        }
        Sort::List => {
            let items = item.children().enumerate();
            items.map(|(at, item)| (item, format!("{path}/{at}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// As in JSON Pointer (RFC 6901).
fn escape(key: &str) -> std::borrow::Cow<'_, str> {
    match key.contains(['~', '/']) {
        true => key.replace('~', "~0").replace('/', "~1").into(),
        false => key.into(),
    }
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
        check(&"/**".repeat(5), 14, "a fifth `**` is one too many");
        check(&"/x".repeat(600), 1025, "it is too long");
    }
}
