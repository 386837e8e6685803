//! Text that is written in other ways than UTF-8, with the place of each of its bytes: with `%40`, with
//! the entities of HTML, and in UTF-16.
//!
//! Own code, because libraries decode and do not say where in the source each byte came from.

use std::ops::Range;

use super::json::Unescaped;

/// Takes `%40` (RFC 3986) and the entities of HTML out of bytes; what is neither stays. `None` if there
/// are none, or the bytes are more than 4 GiB.
pub(crate) fn of_web(text: &[u8]) -> Option<Unescaped> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'&')) || u32::try_from(text.len()).is_err() {
        return None;
    }
    let mut found = Unescaped::default();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let escape = match rest[0] {
            b'%' => percent(rest).map(|byte| (Vec::from([byte]), 3)),
            b'&' => entity(rest).map(|(character, length)| (character.to_string().into(), length)),
            _ => None,
        };
        let length = match escape {
            Some((made, length)) => {
                found.push(at, &made);
                length
            }
            None => {
                found.push(at, &rest[..1]);
                1
            }
        };
        at += length;
    }
    found.end(text.len());
    Some(found).filter(|found| found.bytes.len() < text.len())
}

/// Takes `%40` and `+` out of a key or value of a form. `None` if there are none, or the bytes are more
/// than 4 GiB.
pub(crate) fn of_form(text: &[u8]) -> Option<Unescaped> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) || u32::try_from(text.len()).is_err() {
        return None;
    }
    let mut found = Unescaped::default();
    let mut at = 0;
    while at < text.len() {
        let (byte, length) = match text[at] {
            b'+' => (b' ', 1),
            b'%' => percent(&text[at..]).map_or((b'%', 1), |byte| (byte, 3)),
            byte => (byte, 1),
        };
        found.push(at, &[byte]);
        at += length;
    }
    found.end(text.len());
    Some(found)
}

/// Takes the escapes of TOML 1.1 out of the content of a string, and the ends of lines behind a backslash.
/// Anything else stays. `None` if there are none, or the bytes are more than 4 GiB.
pub(crate) fn of_toml(text: &[u8]) -> Option<Unescaped> {
    if !text.contains(&b'\\') || u32::try_from(text.len()).is_err() {
        return None;
    }
    let mut found = Unescaped::default();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let digits = |length: usize| {
            let digits = std::str::from_utf8(rest.get(2..2 + length)?).ok()?;
            let is_one = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_one)?;
            Some((char::from_u32(number)?, 2 + length))
        };
        let escape = match (rest[0], rest.get(1)) {
            (b'\\', Some(escape)) => match escape {
                b'x' => digits(2),
                b'u' => digits(4),
                b'U' => digits(8),
                b'b' => Some(('\x08', 2)),
                b'e' => Some(('\x1B', 2)),
                b'f' => Some(('\x0C', 2)),
                b'n' => Some(('\n', 2)),
                b'r' => Some(('\r', 2)),
                b't' => Some(('\t', 2)),
                b'"' | b'\\' => Some((char::from(*escape), 2)),
                b' ' | b'\t' | b'\r' | b'\n' => {
                    let blank =
                        rest[1..].iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
                    if rest[1..=blank].contains(&b'\n') {
                        at += 1 + blank;
                        continue;
                    }
                    None
                }
                _ => None,
            },
            _ => None,
        };
        match escape {
            Some((character, length)) => {
                found.push(at, character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
            }
            None => {
                found.push(at, &rest[..1]);
                at += 1;
            }
        }
    }
    found.end(text.len());
    Some(found)
}

fn percent(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

/// The character of an entity at the front, and its length. Browsers take numbers without a semicolon.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    let number = |start: usize, radix: u32| {
        let digits = text[start..].iter().map_while(|byte| char::from(*byte).to_digit(radix));
        let length = digits.clone().count();
        let number =
            digits.fold(0u32, |number, digit| number.saturating_mul(radix).saturating_add(digit));
        let end = start + length;
        let is_closed = text.get(end) == Some(&b';');
        let character = char::from_u32(number).filter(|_| length > 0)?;
        Some((character, end + usize::from(is_closed)))
    };
    match text {
        [b'&', b'#', b'x' | b'X', ..] => number(3, 16),
        [b'&', b'#', ..] => number(2, 10),
        _ => {
            let length = text.iter().take(MAX_NAME + 2).position(|byte| *byte == b';')?;
            let name = std::str::from_utf8(text.get(1..length)?).ok()?;
            Some((named(name)?, length + 1))
        }
    }
}

/// The longest of the names below.
const MAX_NAME: usize = 8;

fn named(name: &str) -> Option<char> {
    let ascii = ASCII.iter().find(|(_, names)| names.split(' ').any(|known| known == name));
    let latin = || {
        let at = LATIN_1.split_ascii_whitespace().position(|known| known == name)?;
        char::from_u32(0xA0 + u32::try_from(at).ok()?)
    };
    ascii.map(|(character, _)| *character).or_else(latin)
}

/// Names of characters of ASCII: <https://html.spec.whatwg.org/multipage/named-characters.html>.
const ASCII: [(char, &str); 33] = [
    ('\t', "Tab"),
    ('\n', "NewLine"),
    ('!', "excl"),
    ('"', "quot QUOT"),
    ('#', "num"),
    ('$', "dollar"),
    ('%', "percnt"),
    ('&', "amp AMP"),
    ('\'', "apos"),
    ('(', "lpar"),
    (')', "rpar"),
    ('*', "ast midast"),
    ('+', "plus"),
    (',', "comma"),
    ('.', "period"),
    ('/', "sol"),
    (':', "colon"),
    (';', "semi"),
    ('<', "lt LT"),
    ('=', "equals"),
    ('>', "gt GT"),
    ('?', "quest"),
    ('@', "commat"),
    ('[', "lsqb lbrack"),
    ('\\', "bsol"),
    (']', "rsqb rbrack"),
    ('^', "Hat"),
    ('_', "lowbar UnderBar"),
    ('`', "grave"),
    ('{', "lcub lbrace"),
    ('|', "verbar vert VerticalLine"),
    ('}', "rcub rbrace"),
    ('\u{2010}', "hyphen dash"),
];

/// Names of the characters from U+00A0 to U+00FF.
const LATIN_1: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg \
    macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 \
    iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute \
    Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml \
    Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml \
    igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute \
    ucirc uuml yacute thorn yuml";

/// The order of the two bytes of a unit of UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        let bytes = |unit: u16| match self {
            Order::Little => unit.to_le_bytes(),
            Order::Big => unit.to_be_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn unit(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Order::Little => u16::from_le_bytes(bytes),
            Order::Big => u16::from_be_bytes(bytes),
        })
    }
}

/// A stretch of text in UTF-16.
#[derive(Debug)]
pub(crate) struct Utf16 {
    pub(crate) order: Order,
    pub(crate) text: Unescaped,
    /// Where the text stands, and how far that is from where this was read.
    span: Range<usize>,
    shift: isize,
}

impl Utf16 {
    /// The bytes that made these bytes of the text. At an end that the other reading lacks, they are
    /// those that were read.
    pub(crate) fn source(&self, range: Range<usize>) -> Range<usize> {
        let read = self.text.source(range);
        let place = |at: usize| {
            let moved = at.saturating_add_signed(self.shift);
            let is_there = self.span.start <= moved && moved <= self.span.end;
            if is_there { moved } else { at }
        };
        place(read.start)..place(read.end)
    }

    /// Gives it the place of the other reading, whose characters have their bytes in the other order.
    fn lies_at(&mut self, span: Range<usize>) {
        (self.order, self.shift) = match self.order {
            Order::Little => (Order::Big, -1),
            Order::Big => (Order::Little, 1),
        };
        self.span = span;
    }

    /// True if this is rather the text than another reading of the same bytes.
    fn is_rather_than(&self, other: &Utf16) -> bool {
        let rank = |one: &Utf16| {
            let ascii = one.text.bytes.iter().filter(|byte| byte.is_ascii()).count();
            (ascii, one.span.len(), one.order == Order::Little)
        };
        let is_around =
            self.span.start <= other.span.start + 1 && other.span.end <= self.span.end + 1;
        is_around && rank(self) > rank(other)
    }
}

/// All text in UTF-16 among bytes, in either order and at any place. If everything is such a text, it
/// may have any characters; in other bytes, those below U+0800, because chance makes the others.
///
/// Most texts can be read in wrong pairs too: of `b 0 o 0 b 0`, the bytes `0 o 0 b` are `ob` in the
/// other order. Both are there, since nobody knows which is meant, with the place of the likelier one.
pub(crate) fn of_utf16(bytes: &[u8]) -> impl Iterator<Item = Utf16> {
    let is_utf8 = !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
    // The last is the first in wrong pairs, and the third the second.
    let views = [(Order::Little, 0), (Order::Big, 0), (Order::Little, 1), (Order::Big, 1)];
    let mut views = views.map(|(order, start)| match is_utf8 || bytes.len() >= u32::MAX as usize {
        true => Vec::new(),
        false => stretches(bytes, order, start),
    });
    let [little, big, little_askew, big_askew] = &mut views;
    for (one, other) in [(little, big_askew), (big, little_askew)] {
        let (one_place, other_place) = (places(one, other), places(other, one));
        one_place.into_iter().for_each(|(at, span)| one[at].lies_at(span));
        other_place.into_iter().for_each(|(at, span)| other[at].lies_at(span));
    }
    views.into_iter().flatten()
}

/// Which stretches are rather those of another reading, and where these stand.
fn places(all: &[Utf16], others: &[Utf16]) -> Vec<(usize, Range<usize>)> {
    let place = |(at, stretch): (usize, &Utf16)| {
        let next = others.partition_point(|other| other.span.end + 1 < stretch.span.end);
        let other = others.get(next).filter(|other| other.is_rather_than(stretch))?;
        Some((at, other.span.clone()))
    };
    all.iter().enumerate().filter_map(place).collect()
}

/// Text in one order whose units begin at even or odd places, from two characters on.
fn stretches(bytes: &[u8], order: Order, start: usize) -> Vec<Utf16> {
    let is_whole = start == 0 && is_all_text(bytes, order);
    let mut all = Vec::new();
    let (mut text, mut from, mut at) = (Unescaped::default(), start, start);
    loop {
        let next = character(bytes, order, at);
        let length = next.map_or(2, |character| 2 * character.len_utf16());
        match next.filter(|next| is_text(*next) && (is_whole || *next < '\u{800}')) {
            Some(next) => text.push(at, next.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                let mut text = std::mem::take(&mut text);
                text.end(at);
                if at > from + 2 {
                    all.push(Utf16 { order, text, span: from..at, shift: 0 });
                }
                from = at + length;
            }
        }
        at += length;
        if at >= bytes.len() + 2 {
            return all;
        }
    }
}

/// True if bytes are UTF-16 in this order: they begin with its mark, or all of their characters are
/// some that texts have, and they look less like it in the other order.
fn is_all_text(bytes: &[u8], order: Order) -> bool {
    let (other, mark) = match order {
        Order::Little => (Order::Big, [0xFF, 0xFE]),
        Order::Big => (Order::Little, [0xFE, 0xFF]),
    };
    if bytes.starts_with(&mark) {
        return true;
    }
    let mut at = 0;
    while let Some(next) = character(bytes, order, at) {
        if !is_text(next) && next != '\0' {
            return false;
        }
        at += 2 * next.len_utf16();
    }
    let latin = |order: Order| {
        let units = (0..bytes.len() / 2).filter_map(|at| order.unit(bytes, 2 * at));
        units.filter(|unit| (0x20..0x100).contains(unit)).count()
    };
    at == bytes.len() && latin(order) >= latin(other)
}

/// True if bytes are UTF-16 of which at least half is Latin.
pub(crate) fn is_wide(bytes: &[u8]) -> bool {
    [Order::Little, Order::Big].into_iter().any(|order| {
        let units = (0..bytes.len() / 2).filter_map(|at| order.unit(bytes, 2 * at));
        let latin = units.filter(|unit| (0x20..0x100).contains(unit)).count();
        is_all_text(bytes, order) && latin > 1 && 4 * latin >= bytes.len()
    })
}

/// The character at a place, if there is one.
fn character(bytes: &[u8], order: Order, at: usize) -> Option<char> {
    let first = order.unit(bytes, at)?;
    let second = order.unit(bytes, at + 2);
    char::decode_utf16(std::iter::once(first).chain(second)).next()?.ok()
}

/// True of a character that stands in texts.
fn is_text(character: char) -> bool {
    let is_space = matches!(character, '\t' | '\n' | '\r');
    let is_private = matches!(character, '\u{E000}'..='\u{F8FF}' | '\u{FDD0}'..='\u{FDEF}');
    let is_mark = matches!(character, '\u{FEFF}' | '\u{FFFE}'..='\u{FFFF}');
    is_space || !(character.is_control() || is_private || is_mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_web_are_taken_out() {
        /// A text, what it says, and where `@` came from in it.
        #[track_caller]
        fn check(text: &str, expected: &str, source: &str) {
            let found = of_web(text.as_bytes()).expect(text);
            assert_eq!(String::from_utf8_lossy(&found.bytes), expected);
            let at = expected.find('@').expect(expected);
            assert_eq!(&text[found.source(at..at + 1)], source, "{text}");
        }
        check("a%40b", "a@b", "%40");
        check("%c3%BC%40", "ü@", "%40");
        check("a&#64;b", "a@b", "&#64;");
        check("a&#0064b", "a@b", "&#0064");
        check("a&#x40;&#X40;", "a@@", "&#x40;");
        check("a&commat;&uuml;&yuml;&nbsp;", "a@üÿ\u{A0}", "&commat;");
        check("&amp;#64;@", "&#64;@", "@");
        check(
            "%26@ %4 %zz && &; &#; &#x; &nosuch; &#xFFFFFFFF;",
            "&@ %4 %zz && &; &#; &#x; &nosuch; &#xFFFFFFFF;",
            "@",
        );
        for nothing in ["plain", "100%", "a & b", "&commat", "%4"] {
            assert!(of_web(nothing.as_bytes()).is_none(), "{nothing}");
        }
    }

    #[test]
    fn latin_names_are_in_order() {
        for (name, character) in
            [("nbsp", '\u{A0}'), ("iquest", '¿'), ("szlig", 'ß'), ("yuml", 'ÿ')]
        {
            assert_eq!(named(name), Some(character));
        }
        assert_eq!(LATIN_1.split_ascii_whitespace().count(), 96);
    }

    #[test]
    fn utf_16_is_found_among_bytes() {
        /// The texts that are found in bytes, each with its place.
        #[track_caller]
        fn check(bytes: &[u8], expected: &[(&str, Range<usize>)]) {
            let found: Vec<(String, Range<usize>)> = of_utf16(bytes)
                .map(|found| {
                    let text = String::from_utf8(found.text.bytes.clone()).expect("it is text");
                    (text, found.source(0..found.text.bytes.len()))
                })
                .collect();
            for (text, span) in expected {
                let is_it = |found: &&(String, _)| found.0 == *text && found.1 == *span;
                assert!(found.iter().any(|one| is_it(&one)), "{text} is not in {found:?}");
            }
            assert_eq!(found.is_empty(), expected.is_empty(), "{found:?}");
        }
        for order in [Order::Little, Order::Big] {
            check(&order.encode("bob@a, ü"), &[("bob@a, ü", 0..16)]);
            let text = order.encode("bob@a, u");
            check(&[&[0xFF][..], &text, &[0xFF, 0xFF]].concat(), &[("bob@a, u", 1..17)]);
            check(&order.encode("\u{FEFF}李 🧤"), &[("李 🧤", 2..10)]);
        }
        let little = Order::Little.encode("bob\0eve");
        check(&little, &[("bob", 0..6), ("eve", 8..14)]);
        check("bob and 李".as_bytes(), &[]);
        check(b"", &[]);
        check(&[0, 0, 0, 1], &[]);
    }
}
