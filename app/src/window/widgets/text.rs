//! Text of strangers on its way to the screen: names, log lines, errors, keys, values and files are
//! bounded and made inert here before they are laid out.
//!
//! [`line`] and [`lines`] do it; [`plain`] and [`Hint`] are what panels use in place of egui's own,
//! which lay out whatever they get.

use std::borrow::Cow;

use egui::{Response, RichText};
use glovebox_abi::text::{cut, inert, inert_lines};

/// Bytes of one line that are laid out; wider than any window.
const LINE: usize = 1024;
/// Bytes of a text of several lines.
const LINES: usize = 8 << 10;

/// A text as one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    bounded(text, LINE, |text| inert(text).to_cow())
}

/// A text of several lines.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    bounded(text, LINES, |text| inert_lines(text).to_cow())
}

fn bounded(text: &str, max: usize, inert: fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    match cut(text, max) {
        Cow::Borrowed(whole) => inert(whole),
        Cow::Owned(part) => Cow::Owned(inert(&part).into_owned()),
    }
}

/// A text of which the middle is left out until it fits; more is left of its end than of its start. A number
/// with `#` at its start stays as long as there is room, and after it a number or a version at its end.
pub(crate) fn elided(text: &str, fits: impl Fn(&str) -> bool) -> Cow<'_, str> {
    if fits(text) {
        return Cow::Borrowed(text);
    }
    let letters: Vec<char> = text.chars().collect();
    let (first, last) = ends(text);
    let short = |kept: usize| -> String {
        let most = kept - first.min(kept);
        let of_end = (kept - kept / 3).max(last).min(most);
        let (start, end) = (kept - of_end, letters.len() - of_end);
        let (start, end) = (letters[..start].iter(), letters[end..].iter());
        start.chain(&['…']).chain(end).collect()
    };
    let (mut least, mut most) = (0, letters.len());
    while least + 1 < most {
        let kept = usize::midpoint(least, most);
        match fits(&short(kept)) {
            true => least = kept,
            false => most = kept,
        }
    }
    Cow::Owned(short(least))
}

/// The letters of the number with `#` at the start of a name, and of the number or version at its end.
fn ends(name: &str) -> (usize, usize) {
    let count = |word: &str| word.chars().count();
    let is_number = |word: &&str| {
        word.strip_prefix('v').unwrap_or(word).starts_with(|letter: char| letter.is_ascii_digit())
    };
    let first = name.split(' ').next().filter(|word| word.starts_with('#'));
    let last = name.rsplit(' ').next().filter(is_number);
    (first.map_or(0, count), last.map_or(0, count))
}

/// A text that is cut at its end until it fits, with no number in it cut: what is left of one is another one.
pub(crate) fn cut_between_numbers(text: &str, fits: impl Fn(&str) -> bool) -> Cow<'_, str> {
    if fits(text) {
        return Cow::Borrowed(text);
    }
    let letters: Vec<char> = text.chars().collect();
    let short = |kept: usize| letters[..kept].iter().chain(&['…']).collect::<String>();
    let (mut kept, mut most) = (0, letters.len());
    while kept + 1 < most {
        let middle = usize::midpoint(kept, most);
        match fits(&short(middle)) {
            true => kept = middle,
            false => most = middle,
        }
    }
    let is_digit = |at: usize| letters.get(at).is_some_and(char::is_ascii_digit);
    let is_in_number = |at: usize| {
        let joins = |letter: usize| matches!(letters.get(letter), Some('.' | ','));
        let before = |at: usize| at > 0 && is_digit(at - 1);
        (before(at) && (is_digit(at) || joins(at) && is_digit(at + 1)))
            || (at > 0 && joins(at - 1) && before(at - 1) && is_digit(at))
    };
    while is_in_number(kept) {
        kept -= 1;
    }
    Cow::Owned(short(kept))
}

/// A text as one line, to be given a colour and a font.
#[allow(clippy::disallowed_methods, reason = "this is where it is bounded")]
pub(crate) fn plain(text: impl AsRef<str>) -> RichText {
    RichText::new(line(text.as_ref()))
}

/// A text of several lines, to be given a colour and a font.
#[allow(clippy::disallowed_methods, reason = "this is where it is bounded")]
pub(crate) fn paragraph(text: impl AsRef<str>) -> RichText {
    RichText::new(lines(text.as_ref()))
}

/// Texts beside the pointer.
pub(crate) trait Hint {
    /// Shows a text while the pointer is on it.
    fn hint(self, text: impl AsRef<str>) -> Self;

    /// Shows a text while the pointer is on it and it cannot be used.
    fn hint_when_disabled(self, text: impl AsRef<str>) -> Self;
}

impl Hint for Response {
    #[allow(clippy::disallowed_methods, reason = "this is where it is bounded")]
    fn hint(self, text: impl AsRef<str>) -> Response {
        self.on_hover_text(lines(text.as_ref()))
    }

    #[allow(clippy::disallowed_methods, reason = "this is where it is bounded")]
    fn hint_when_disabled(self, text: impl AsRef<str>) -> Response {
        self.on_disabled_hover_text(lines(text.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ends() {
        fn check(text: &str, letters: usize, expected: &str) {
            assert_eq!(elided(text, |text| text.chars().count() <= letters), expected);
        }
        check("redact", 6, "redact");
        check("redact · v/redact.wasm", 13, "reda…act.wasm");
        check("redact · 1.0.0", 10, "red… 1.0.0");
        check("redact", 1, "…");
        check("redact", 0, "…");
        check("#12 of shop.mcap", 9, "#12….mcap");
        check("#12 of shop.mcap", 4, "#12…");
        check("redact · 10.20.30-beta.1", 16, "…10.20.30-beta.1");
        check("redact · 10.20.30", 12, "red…10.20.30");
        check("redact · v/redact.wasm, instance 12", 14, "reda…stance 12");
    }

    #[test]
    fn numbers_stay_whole_or_go() {
        fn check(text: &str, letters: usize, expected: &str) {
            let fits = |text: &str| text.chars().count() <= letters;
            assert_eq!(cut_between_numbers(text, fits), expected);
        }
        check("frame 1234", 10, "frame 1234");
        check("frame 1234", 9, "frame …");
        check("frame 1234: failed", 11, "frame 1234…");
        check("took 1,234.5 ms", 8, "took …");
        check("took 1,234.5 ms", 11, "took …");
        check("took 1,234.5 ms", 13, "took 1,234.5…");
        check("in 12.", 5, "in …");
        check("failed, twice", 8, "failed,…");
        check("1234", 2, "…");
    }

    #[test]
    fn texts_are_bounded_and_inert() {
        fn check(text: &str, one: &str, several: &str) {
            assert_eq!(line(text), one);
            assert_eq!(lines(text), several);
        }
        check("redact", "redact", "redact");
        check("a\nb\u{202e}c", r"a\u{a}b\u{202e}c", "a\nb\\u{202e}c");
        for (large, bytes) in [("x", 8 << 20), ("\u{7}", 1 << 20), ("ü\n", 3 << 20)] {
            let text = large.repeat(bytes / large.len());
            let (one, several) = (line(&text), lines(&text));
            assert!(one.len() < 8 * LINE && several.len() < 8 * LINES, "{}", one.len());
            let said = format!("({} bytes)", text.len());
            assert!(one.ends_with(&said) && several.ends_with(&said), "{said}");
        }
    }
}
