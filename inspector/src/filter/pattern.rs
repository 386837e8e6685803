//! Texts and bytes to search for, compiled once.

use std::fmt;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::FilterProblem;

/// Bytes that one compiled regular expression may take, and its cache per thread.
const REGEX_BYTES: usize = 1 << 20;

/// The pattern to search for, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// A text in any case.
    Contains(String),
    /// A text exactly like this.
    Exact(String),
    /// A regular expression, as between the slashes.
    Regex { source: String, any_case: bool },
    /// Bytes; those that are 0 in the mask do not matter.
    Bytes(Vec<MaskedByte>),
}

/// A byte of which only some digits matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MaskedByte {
    /// Zero where the mask is.
    pub value: u8,
    /// `0xFF`, `0xF0`, `0x0F` or `0`.
    pub mask: u8,
}

impl MaskedByte {
    fn matches(self, byte: u8) -> bool {
        byte & self.mask == self.value
    }
}

/// A [`Pattern`] that is ready to search.
///
/// Equal if the patterns are. Clones for other threads do not share what they search with.
#[derive(Clone)]
pub(super) struct Search {
    pattern: Pattern,
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Regex(Regex),
    Literal(Box<memmem::Finder<'static>>),
    /// The longest part without wildcards, and how many bytes come before it.
    Masked {
        part: Box<memmem::Finder<'static>>,
        before: usize,
    },
}

impl Search {
    pub(super) fn new(pattern: Pattern) -> Result<Search, FilterProblem> {
        let literal = |bytes: &[u8]| Box::new(memmem::Finder::new(bytes).into_owned());
        let engine = match &pattern {
            Pattern::Contains(text) => Engine::Regex(compile(&regex::escape(text), true)?),
            Pattern::Exact(text) => Engine::Literal(literal(text.as_bytes())),
            Pattern::Regex { source, any_case } => Engine::Regex(compile(source, *any_case)?),
            Pattern::Bytes(bytes) => {
                let (before, part) = longest_literal(bytes);
                Engine::Masked { part: literal(&part), before }
            }
        };
        Ok(Search { pattern, engine })
    }

    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// True if it stands anywhere in these bytes.
    pub(super) fn found_in(&self, bytes: &[u8]) -> bool {
        match (&self.engine, &self.pattern) {
            (Engine::Regex(regex), _) => regex.is_match(bytes),
            (Engine::Literal(finder), _) => finder.find(bytes).is_some(),
            (Engine::Masked { part, before }, Pattern::Bytes(wanted)) => {
                find_masked(bytes, wanted, part, *before)
            }
            (Engine::Masked { .. }, _) => false,
        }
    }
}

fn compile(source: &str, any_case: bool) -> Result<Regex, FilterProblem> {
    RegexBuilder::new(source)
        .case_insensitive(any_case)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| FilterProblem::Regex { reason: in_one_line(&error) })
}

/// The library explains errors in several lines, the last of which says what is wrong.
fn in_one_line(error: &regex::Error) -> String {
    let shown = error.to_string();
    let last = shown.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

/// Where the longest run of whole bytes starts, and the run; empty if there is none.
fn longest_literal(bytes: &[MaskedByte]) -> (usize, Vec<u8>) {
    let runs = bytes.split(|byte| byte.mask != 0xFF);
    let mut start = 0;
    let starts = runs.map(|run| {
        let at = start;
        start += run.len() + 1;
        (at, run)
    });
    let longest = starts.max_by_key(|(_, run)| run.len());
    longest.map_or((0, Vec::new()), |(at, run)| (at, run.iter().map(|byte| byte.value).collect()))
}

fn find_masked(
    bytes: &[u8],
    wanted: &[MaskedByte],
    part: &memmem::Finder<'_>,
    before: usize,
) -> bool {
    // Where the pattern could not begin any more, the part need not be looked for.
    let Some(last) = bytes.len().checked_sub(wanted.len()) else {
        return false;
    };
    let mut from = before;
    while let Some(found) = bytes.get(from..).and_then(|rest| part.find(rest)) {
        let start = from + found - before;
        if start > last {
            return false;
        }
        let here = bytes[start..].iter().zip(wanted);
        if here.into_iter().all(|(byte, wanted)| wanted.matches(*byte)) {
            return true;
        }
        from += found + 1;
    }
    false
}

impl PartialEq for Search {
    fn eq(&self, other: &Search) -> bool {
        self.pattern == other.pattern
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::parse::hex_pattern;

    #[test]
    fn bytes_are_found() {
        fn check(pattern: &str, bytes: &[u8], expected: bool) {
            let wanted = Pattern::Bytes(hex_pattern(pattern).expect(pattern));
            let found = Search::new(wanted).expect(pattern).found_in(bytes);
            assert_eq!(found, expected, "{pattern} in {bytes:02x?}");
        }
        check("de ad ?? ef", &[0, 0xDE, 0xAD, 7, 0xEF, 1], true);
        check("de ad ?? ef", &[0xDE, 0xAD, 7, 0xEE, 0xDE, 0xAD, 0xDE, 0xEF], true);
        check("dead??ef", &[0xDE, 0xAD, 0xEF], false);
        check("DE", &[0xDE], true);
        check("?? 01", &[1], false);
        check("?? 01", &[1, 1], true);
        check("01 ??", &[0, 1], false);
        check("??", &[], false);
        check("??", &[0], true);
        check("d? ?d", &[0xD1, 0x1D], true);
        check("d? ?d", &[0xD1, 0xD1], false);
        check("aa ?? aa aa", &[0xAA, 0xAA, 0xAA, 0xAA], true);
        check("aa aa ?? bb", &[0xAA, 0xAA, 0xAA, 0xCC, 0xBB], true);
        check("aa ?? aa bb", &[0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xBB], true);
    }

    proptest::proptest! {
        #[test]
        fn masked_bytes_are_found_where_a_plain_search_finds_them(
            bytes in proptest::collection::vec(0u8..3, 0..12),
            wanted in proptest::collection::vec((0u8..3, proptest::bool::ANY), 1..5),
        ) {
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|(value, known)| match known {
                    true => MaskedByte { value, mask: 0xFF },
                    false => MaskedByte { value: 0, mask: 0 },
                })
                .collect();
            let plain = bytes.windows(wanted.len()).any(|window| {
                window.iter().zip(&wanted).all(|(byte, wanted)| wanted.matches(*byte))
            });
            let search = Search::new(Pattern::Bytes(wanted)).expect("bytes always compile");
            proptest::prop_assert_eq!(search.found_in(&bytes), plain);
        }
    }
}
