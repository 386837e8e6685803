//! Finds secrets in bytes that are mostly text.
//!
//! Everything is looked for where a word begins, so a text is read once from left to right. All
//! patterns are ASCII: whatever stands between them, UTF-8 or not, is left alone.

use std::ops::Range;

/// The kinds of secrets that can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Email,
    Card,
    Token,
}

impl What {
    pub(crate) const ALL: [What; 3] = [What::Email, What::Card, What::Token];

    /// The name of the measurement that counts it.
    pub(crate) fn metric(self) -> &'static str {
        match self {
            What::Email => "redacted-emails",
            What::Card => "redacted-cards",
            What::Token => "redacted-tokens",
        }
    }
}

/// Something found, and the bytes to replace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Find {
    pub(crate) what: What,
    pub(crate) range: Range<usize>,
}

/// Looks at the front of a text; the range is what to replace.
type Finder = fn(&[u8]) -> Option<Range<usize>>;

/// Everything in the text that is wanted, in order and without overlaps.
pub(crate) fn all(text: &[u8], wanted: impl Fn(What) -> bool) -> Vec<Find> {
    let finders: [(What, Finder); 3] =
        [(What::Token, token), (What::Card, card), (What::Email, email)];
    let mut finds = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let word_begins = start == 0 || !text[start - 1].is_ascii_alphanumeric();
        let here = word_begins && text[start].is_ascii_alphanumeric();
        let found =
            finders.iter().filter(|(what, _)| here && wanted(*what)).find_map(|(what, find)| {
                let range = find(&text[start..])?;
                Some(Find { what: *what, range: start + range.start..start + range.end })
            });
        start = found.as_ref().map_or(start + 1, |find| find.range.end);
        finds.extend(found);
    }
    finds
}

/// True for the names under which secrets are kept, in any case and with any word separator.
pub(crate) fn is_secret_key(key: &[u8]) -> bool {
    let name: Vec<u8> = key
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    // With the ending, so that `access_token` and `X-Api-Key` are known but `tokens_used` is not.
    let endings: [&[u8]; 5] = [b"token", b"authorization", b"apikey", b"password", b"secret"];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// How many bytes at the front fulfil the condition.
pub(crate) fn length(text: &[u8], condition: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !condition(*byte)).unwrap_or(text.len())
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// `Bearer …`, three dotted parts that begin like a JSON Web Token (RFC 7519), or the value of a
/// secret key, as in `token=…`, `"password": "…"` and `Authorization: Basic …`.
fn token(text: &[u8]) -> Option<Range<usize>> {
    if text.len() > 7 && text[..7].eq_ignore_ascii_case(b"bearer ") {
        let length = length(&text[7..], is_token_byte);
        return (length >= 8).then_some(7..7 + length);
    }
    if text.starts_with(b"eyJ") {
        let length = length(text, is_token_byte);
        let dots = text[..length].iter().filter(|byte| **byte == b'.').count();
        return (length >= 20 && dots == 2).then_some(0..length);
    }
    let key = length(text, |byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !is_secret_key(&text[..key]) {
        return None;
    }
    // Between key and value: a quote that ends the key, the sign, spaces, a quote.
    let mut start = key + length(&text[key..], |byte| byte == b'"');
    start += matches!(text.get(start), Some(b':' | b'=')).then_some(1)?;
    start += length(&text[start..], |byte| byte == b' ');
    // A map or list, in a text that is no JSON: where it ends cannot be known.
    if matches!(text.get(start), Some(b'{' | b'[')) {
        return Some(start..text.len());
    }
    let quoted = text.get(start) == Some(&b'"');
    start += usize::from(quoted);
    for scheme in [b"bearer ".as_slice(), b"basic "] {
        let value = &text[start..];
        if value.len() > scheme.len() && value[..scheme.len()].eq_ignore_ascii_case(scheme) {
            start += scheme.len();
        }
    }
    let end = start
        + length(&text[start..], |byte| match byte {
            b'"' | b'\r' | b'\n' => false,
            b' ' | b'\t' | b'&' | b',' | b';' | b'}' | b'\'' => quoted,
            _ => true,
        });
    (end > start).then_some(start..end)
}

/// 13 to 19 digits in groups, with the check digit of ISO/IEC 7812-1 (Luhn's algorithm), that begin
/// as payment cards do: times in milliseconds or nanoseconds begin with 1.
fn card(text: &[u8]) -> Option<Range<usize>> {
    let (mut digits, mut end) = (Vec::new(), 0);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits.push(u32::from(byte - b'0'));
                end = index + 1;
            }
            // One separator at a time, and only between digits.
            b' ' | b'-' if end == index => {}
            _ => break,
        }
    }
    if text.get(end).is_some_and(u8::is_ascii_alphanumeric) || !(13..=19).contains(&digits.len()) {
        return None;
    }
    if !matches!(digits[0], 2..=6) {
        return None;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| if index % 2 == 0 { *digit } else { digit * 2 % 10 + digit / 5 })
        .sum();
    sum.is_multiple_of(10).then_some(0..end)
}

/// An address as people write them, not all that RFC 5322 allows.
fn email(text: &[u8]) -> Option<Range<usize>> {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte);
    let at = length(&text[..text.len().min(65)], is_local);
    if text.get(at) != Some(&b'@') {
        return None;
    }
    let domain = &text[at + 1..];
    let mut end = length(domain, |byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    // A full stop after the address belongs to the sentence.
    end -= domain[..end].iter().rev().take_while(|byte| b".-".contains(byte)).count();
    let dot = domain[..end].iter().rposition(|byte| *byte == b'.')?;
    (dot > 0 && end - dot > 2).then_some(0..at + 1 + end)
}
