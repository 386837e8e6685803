//! CBOR as it is written (RFC 8949), item by item, without recursion.
//!
//! Own code, because no library gives the bytes of every item and keeps what they say apart: the
//! width of a number, the bits of a NaN, `undefined`.

use std::borrow::Cow;

use super::document::{Malformed, Sort, Tape};

/// The tag that begins CBOR of which nothing else says that it is CBOR (RFC 8949, section 3.4.6).
pub(crate) const SELF_DESCRIBED: &[u8] = &[0xD9, 0xD9, 0xF7];
/// The longest integer in a tag that is read as a number, in bytes: longer ones take long.
const LONGEST_INTEGER: usize = 1 << 10;

/// The start of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Three bits: what it is.
    major: u8,
    /// Five bits: where the argument stands.
    info: u8,
    /// A number, a length or a tag; 0 for an open length.
    pub(crate) argument: u64,
    /// Bytes that it takes.
    pub(crate) length: usize,
}

/// Five bits that stand for an open length.
const OPEN: u8 = 31;
/// Ends what has an open length.
pub(crate) const BREAK: u8 = 0xFF;

impl Head {
    /// The sort of the item that starts here.
    #[inline]
    pub(crate) fn sort(self) -> Sort {
        match (self.major, self.info) {
            (0 | 1, _) | (7, 25..=27) => Sort::Number,
            (2, _) => Sort::Bytes,
            (3, _) => Sort::Text,
            (4, _) => Sort::List,
            (5, _) => Sort::Map,
            (6, _) => Sort::Tag,
            _ => Sort::Word,
        }
    }

    /// True if a break ends it, and nothing says before how long it is.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.info == OPEN
    }

    /// Its value, if it is an integer.
    #[inline]
    pub(crate) fn integer(self) -> Option<i128> {
        match self.major {
            0 => Some(self.argument.into()),
            1 => Some(-1 - i128::from(self.argument)),
            _ => None,
        }
    }

    /// Its value, if it is a float of any width.
    #[inline]
    pub(crate) fn float(self) -> Option<f64> {
        Some(match (self.major, self.info) {
            (7, 25) => half(self.argument as u16),
            (7, 26) => f64::from(f32::from_bits(self.argument as u32)),
            (7, 27) => f64::from_bits(self.argument),
            _ => return None,
        })
    }

    /// Items inside, keys and values each; `None` if a break ends them.
    fn items(self) -> Option<u64> {
        match self.sort() {
            _ if self.is_open() => None,
            Sort::List => Some(self.argument),
            Sort::Map => Some(self.argument.saturating_mul(2)),
            Sort::Tag => Some(1),
            _ => Some(0),
        }
    }
}

/// `None` if the bytes start no item.
#[inline]
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let (first, rest) = bytes.split_first()?;
    let (major, info) = (first >> 5, first & 0x1F);
    let (argument, more) = match info {
        0..=23 => (u64::from(info), 0),
        // A value that has a short form must have it.
        24 if major == 7 && *rest.first()? < 32 => return None,
        24 => (u64::from(*rest.first()?), 1),
        25 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        26 => (u64::from(u32::from_be_bytes(*rest.first_chunk()?)), 4),
        27 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        OPEN if matches!(major, 2..=5) => (0, 0),
        _ => return None,
    };
    Some(Head { major, info, argument, length: 1 + more })
}

/// The number and the length of an integer that is too large for 64 bits, as RFC 8949, section 3.4.3,
/// writes it: a tag around its bytes. `None` of any other item, of one that is written otherwise than
/// it should be, and of one above 127 bits.
fn bignum(bytes: &[u8], found: Head) -> Option<(i128, usize)> {
    if found.major != 6 || !matches!(found.argument, 2 | 3) {
        return None;
    }
    let inner = head(bytes.get(found.length..)?)?;
    let size = usize::try_from(inner.argument).ok()?;
    if inner.sort() != Sort::Bytes || inner.is_open() || !(9..=16).contains(&size) {
        return None;
    }
    let start = found.length + inner.length;
    let digits = bytes.get(start..start + size)?;
    // Less would have been written shorter, as an integer.
    if digits[0] == 0 || found.length != 1 || inner.length != 1 {
        return None;
    }
    let mut whole = [0; 16];
    whole[16 - size..].copy_from_slice(digits);
    let number = i128::try_from(u128::from_be_bytes(whole)).ok()?;
    Some((if found.argument == 2 { number } else { -1 - number }, start + size))
}

/// The digits of an integer in a tag, as [`bignum`], but in any form and up to 1 KiB long.
pub(crate) fn integer_in_tag(raw: &[u8]) -> Option<String> {
    let found = head(raw).filter(|found| found.major == 6 && matches!(found.argument, 2 | 3))?;
    let inner = raw.get(found.length..)?;
    let bytes = content(inner);
    if head(inner)?.sort() != Sort::Bytes || bytes.len() > LONGEST_INTEGER {
        return None;
    }
    // Groups of nine digits, the smallest first.
    const GROUP: u64 = 1_000_000_000;
    let mut groups: Vec<u32> = Vec::new();
    let mut add = |factor: u64, more: u64| {
        let mut carry = more;
        for group in &mut groups {
            let sum = u64::from(*group) * factor + carry;
            *group = (sum % GROUP) as u32;
            carry = sum / GROUP;
        }
        if carry > 0 {
            groups.push(carry as u32);
        }
    };
    bytes.iter().for_each(|byte| add(256, u64::from(*byte)));
    let is_negative = found.argument == 3;
    if is_negative {
        // -1 - n, without its sign.
        add(1, 1);
    }
    let mut text = String::from(if is_negative { "-" } else { "" });
    text.push_str(&groups.last().copied().unwrap_or_default().to_string());
    groups.iter().rev().skip(1).for_each(|group| text.push_str(&format!("{group:09}")));
    Some(text)
}

/// A map, list or tag that is not over.
struct Open {
    /// Items to come; `None` until a break.
    left: Option<u64>,
    /// Items that came.
    seen: u64,
    is_map: bool,
}

/// Reads one item, and more behind it if `is_sequence`.
pub(super) fn read(bytes: &[u8], is_sequence: bool, tape: &mut Tape) -> Result<(), Malformed> {
    let extent = if is_sequence { Extent::Sequence } else { Extent::One };
    scan(bytes, extent, &mut |step| match step {
        Step::Open(sort, start) => tape.open(sort, start),
        Step::Leaf(sort, span) => tape.leaf(sort, span),
        Step::Close(end) => tape.close(end),
    })
}

/// True if the bytes are one CBOR item whose texts are UTF-8.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    scan(bytes, Extent::One, &mut |_| {}).is_ok()
}

/// A thing that a reader comes by.
#[derive(Debug)]
pub(crate) enum Step {
    Open(Sort, usize),
    Leaf(Sort, std::ops::Range<usize>),
    Close(usize),
}

/// How much there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    One,
    Sequence,
    /// As much as can be read, though lists end early and texts are no UTF-8.
    Anything,
}

/// Hands on what can be read of values that stand side by side. The error is where that ends.
pub(crate) fn read_on(bytes: &[u8], mut each: impl FnMut(Step)) -> Result<(), Malformed> {
    scan(bytes, Extent::Anything, &mut each)
}

fn scan(bytes: &[u8], extent: Extent, each: &mut impl FnMut(Step)) -> Result<(), Malformed> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        let start = at;
        let malformed = || Malformed { at: start };
        let rest = &bytes[at..];
        if rest.first() == Some(&BREAK) {
            let last = open.pop().filter(|last| last.left.is_none());
            // A key without a value is no entry.
            last.filter(|last| !last.is_map || last.seen % 2 == 0).ok_or_else(malformed)?;
            at += 1;
            each(Step::Close(at));
        } else {
            let found = head(rest).ok_or_else(malformed)?;
            at += found.length;
            let bignum = bignum(rest, found);
            let sort = if bignum.is_some() { Sort::Number } else { found.sort() };
            match sort {
                Sort::Number => at = bignum.map_or(at, |(_, length)| start + length),
                Sort::Text | Sort::Bytes => {
                    let is_any = sort == Sort::Bytes || extent == Extent::Anything;
                    let is_good = |part: &[u8]| is_any || std::str::from_utf8(part).is_ok();
                    at = start + string_end(rest, found, is_good).ok_or_else(malformed)?;
                }
                // Every item takes a byte at least.
                Sort::Map | Sort::List
                    if extent != Extent::Anything
                        && found.items().is_some_and(|items| items > (bytes.len() - at) as u64) =>
                {
                    return Err(malformed());
                }
                _ => {}
            }
            if matches!(sort, Sort::Map | Sort::List | Sort::Tag) {
                each(Step::Open(sort, start));
                let left = found.items();
                open.push(Open { left, seen: 0, is_map: sort == Sort::Map });
                if left != Some(0) {
                    continue;
                }
                open.pop();
                each(Step::Close(at));
            } else {
                each(Step::Leaf(sort, start..at));
            }
        }
        // An item is over, and perhaps what it is in.
        loop {
            let Some(last) = open.last_mut() else {
                if at == bytes.len() {
                    return Ok(());
                }
                if extent == Extent::One {
                    return Err(Malformed { at });
                }
                break;
            };
            last.seen += 1;
            match &mut last.left {
                Some(1) => {
                    open.pop();
                    each(Step::Close(at));
                }
                Some(left) => {
                    *left -= 1;
                    break;
                }
                None => break,
            }
        }
    }
}

/// Where the item in front ends. Whether texts are UTF-8 and keys have values is for others to know.
#[inline]
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    // Most items are short strings and small integers.
    let first = *bytes.first()?;
    let end = match first {
        0x00..=0x17 | 0x20..=0x37 => 1,
        0x18 | 0x38 => 2,
        0x40..=0x57 | 0x60..=0x77 => 1 + usize::from(first & 0x1F),
        _ => return end_of_any(bytes),
    };
    (end <= bytes.len()).then_some(end)
}

fn end_of_any(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Items to come; `None` until a break.
    let mut left = Some(1);
    // The same of what is around that.
    let mut around: Vec<Option<u64>> = Vec::new();
    loop {
        let rest = bytes.get(at..)?;
        if left.is_none() && rest.first() == Some(&BREAK) {
            at += 1;
            left = around.pop()?;
        } else {
            let found = head(rest)?;
            let is_string = matches!(found.sort(), Sort::Text | Sort::Bytes);
            at += if is_string { string_end(rest, found, |_| true)? } else { found.length };
            left = left.map(|left| left - 1);
            match (found.items(), left) {
                _ if is_string => {}
                (Some(items), Some(others)) => left = Some(others.checked_add(items)?),
                (Some(0), None) => {}
                (items, _) => around.push(std::mem::replace(&mut left, items)),
            }
        }
        while left == Some(0) {
            match around.pop() {
                Some(outer) => left = outer,
                None => return Some(at),
            }
        }
    }
}

/// Where a string ends that starts at the front, if all its parts are good.
fn string_end(bytes: &[u8], found: Head, is_good: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let mut end = found.length;
    parts(bytes, found, |part| {
        end += part.len();
        is_good(part).then_some(())
    })
    .map(|heads| end + heads)
}

/// Hands on the parts of a string; gives the bytes that stand around them, without the first head.
fn parts<'a>(
    bytes: &'a [u8],
    found: Head,
    mut each: impl FnMut(&'a [u8]) -> Option<()>,
) -> Option<usize> {
    let part = |at: usize, length: u64| {
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        bytes.get(at..end)
    };
    if found.info != OPEN {
        each(part(found.length, found.argument)?)?;
        return Some(0);
    }
    let (mut at, mut around) = (found.length, 0);
    loop {
        if bytes.get(at) == Some(&BREAK) {
            return Some(around + 1);
        }
        let inner = head(bytes.get(at..)?)?;
        if inner.major != found.major || inner.info == OPEN {
            return None;
        }
        let inside = part(at + inner.length, inner.argument)?;
        each(inside)?;
        at += inner.length + inside.len();
        around += inner.length;
    }
}

/// The content of a string of well-formed bytes.
pub(crate) fn content(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(found) = head(raw) else {
        return Cow::Borrowed(&[]);
    };
    if found.info != OPEN {
        return Cow::Borrowed(&raw[found.length..]);
    }
    let mut content = Vec::new();
    parts(raw, found, |part| {
        content.extend_from_slice(part);
        Some(())
    });
    content.into()
}

/// A number or word in the notation of RFC 8949, section 8; a NaN that is not the usual one with its
/// bits.
pub(crate) fn word(raw: &[u8]) -> Cow<'_, str> {
    let Some(found) = head(raw) else {
        return Cow::Borrowed("");
    };
    let argument = found.argument;
    let text = match (found.major, found.info) {
        (0, _) => argument.to_string(),
        (1, _) => (-1 - i128::from(argument)).to_string(),
        (6, _) => bignum(raw, found).map_or_else(String::new, |(number, _)| number.to_string()),
        (7, 20) => return Cow::Borrowed("false"),
        (7, 21) => return Cow::Borrowed("true"),
        (7, 22) => return Cow::Borrowed("null"),
        (7, 23) => return Cow::Borrowed("undefined"),
        (7, 25..=27) => return float_text(found),
        _ => format!("simple({argument})"),
    };
    Cow::Owned(text)
}

fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

fn float_text(found: Head) -> Cow<'static, str> {
    let number = found.float().unwrap_or_default();
    let usual = match found.info {
        25 => 0x7E00,
        26 => 0x7FC0_0000,
        _ => 0x7FF8_0000_0000_0000,
    };
    if number.is_nan() {
        return match found.argument == usual {
            true => Cow::Borrowed("NaN"),
            false => Cow::Owned(format!("NaN(0x{:x})", found.argument)),
        };
    }
    if number.is_infinite() {
        return Cow::Borrowed(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // The shortest text that means this number, as JSON has it.
    Cow::Owned(serde_json::Number::from_f64(number).map_or_else(String::new, |n| n.to_string()))
}

/// The start of a string, list or map of this length, or an integer.
pub(super) fn head_of(sort: Sort, length: u64) -> Vec<u8> {
    let major = match sort {
        Sort::Number => 0,
        Sort::Bytes => 2 << 5,
        Sort::Text => 3 << 5,
        Sort::List => 4 << 5,
        _ => 5 << 5,
    };
    let wide = |info: u8, bytes: &[u8]| [&[major | info], bytes].concat();
    match length {
        0..=23 => vec![major | length as u8],
        24..=0xFF => wide(24, &[length as u8]),
        0x100..=0xFFFF => wide(25, &(length as u16).to_be_bytes()),
        0x1_0000..=0xFFFF_FFFF => wide(26, &(length as u32).to_be_bytes()),
        _ => wide(27, &length.to_be_bytes()),
    }
}
