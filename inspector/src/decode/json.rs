//! JSON as it is written (RFC 8259), token by token, without recursion.
//!
//! Own code, because no library gives the bytes of every token and takes what programs write all the
//! same: unpaired surrogates, keys that stand there twice, numbers of any length, any depth.

use super::document::{Malformed, Sort, Tape};

/// The mark that some programs write at the start of a text in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// The next token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Map,
    List,
    /// The end of the innermost map or list.
    End,
    /// The key of a map; the colon is taken with it.
    Key,
    Text,
    Number,
    /// `true`, `false` or `null`.
    Word,
}

/// The tokens that may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ItemOrEnd,
    KeyOrEnd,
    Key,
    CommaOrEnd,
    Nothing,
}

/// Reads one value. Whether texts are UTF-8 is for the caller to know.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    start: usize,
    end: usize,
    expect: Expect,
    nesting: Nesting,
}

/// Which of the open brackets are braces, one bit each: no allocation up to 64 levels.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    top: u64,
    below: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, is_map: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.top);
        }
        self.top = self.top << 1 | u64::from(is_map);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.top >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.top = self.below.pop().unwrap_or_default();
        }
    }

    fn is_map(&self) -> bool {
        self.top & 1 == 1
    }
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Scanner<'a> {
        let at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let (expect, nesting) = (Expect::Value, Nesting::default());
        Scanner { bytes, at, start: at, end: at, expect, nesting }
    }

    /// Where the last token stands.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// The bytes of the last token.
    pub(crate) fn raw(&self) -> &'a [u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes between the quotes of the last token, a text or key.
    pub(crate) fn inside(&self) -> &'a [u8] {
        &self.bytes[self.start + 1..self.end - 1]
    }

    /// The bytes from `start` to the end of the last token.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.end]
    }

    /// Takes the end of a list, if it comes next.
    pub(crate) fn ends(&mut self) -> Result<bool, Malformed> {
        self.skip_space();
        let ends = self.peek() == Some(b']');
        if ends {
            self.next()?;
        }
        Ok(ends)
    }

    /// True if nothing but spaces is left.
    pub(crate) fn is_over(&mut self) -> bool {
        self.skip_space();
        self.at == self.bytes.len()
    }

    /// Goes on with another value behind the one that was read.
    pub(crate) fn another(&mut self) {
        self.expect = Expect::Value;
    }

    /// The next token; `None` once the value is over.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, Malformed> {
        if self.expect == Expect::Nothing {
            return Ok(None);
        }
        self.skip_space();
        if self.expect == Expect::CommaOrEnd {
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.expect = if self.nesting.is_map() { Expect::Key } else { Expect::Value };
                    self.skip_space();
                }
                Some(b']' | b'}') => {}
                _ => return self.malformed(),
            }
        }
        self.start = self.at;
        let token = match (self.peek(), self.expect) {
            (Some(b'}'), Expect::KeyOrEnd | Expect::CommaOrEnd) if self.nesting.is_map() => {
                self.close()
            }
            (Some(b']'), Expect::ItemOrEnd | Expect::CommaOrEnd) if !self.nesting.is_map() => {
                self.close()
            }
            (Some(b'"'), Expect::KeyOrEnd | Expect::Key) => {
                self.text()?;
                self.skip_space();
                if self.peek() != Some(b':') {
                    return self.malformed();
                }
                self.at += 1;
                self.expect = Expect::Value;
                Token::Key
            }
            (Some(byte), Expect::Value | Expect::ItemOrEnd) => self.value(byte)?,
            _ => return self.malformed(),
        };
        Ok(Some(token))
    }

    /// Takes the rest of a map or list that was just entered.
    pub(crate) fn skip_inside(&mut self) -> Result<(), Malformed> {
        let outside = self.nesting.depth - 1;
        while self.nesting.depth > outside {
            self.next()?;
        }
        Ok(())
    }

    fn value(&mut self, first: u8) -> Result<Token, Malformed> {
        let token = match first {
            b'{' | b'[' => {
                let is_map = first == b'{';
                self.at += 1;
                self.end = self.at;
                self.nesting.push(is_map);
                self.expect = if is_map { Expect::KeyOrEnd } else { Expect::ItemOrEnd };
                return Ok(if is_map { Token::Map } else { Token::List });
            }
            b'"' => {
                self.text()?;
                Token::Text
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Token::Number
            }
            _ => {
                let rest = &self.bytes[self.at..];
                let word =
                    ["true", "false", "null"].iter().find(|word| rest.starts_with(word.as_bytes()));
                let Some(word) = word else { return Err(Malformed { at: self.at }) };
                self.at += word.len();
                self.end = self.at;
                Token::Word
            }
        };
        self.is_done();
        Ok(token)
    }

    fn close(&mut self) -> Token {
        self.at += 1;
        self.end = self.at;
        self.nesting.pop();
        self.is_done();
        Token::End
    }

    /// A value is over.
    fn is_done(&mut self) {
        self.expect = if self.nesting.depth == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    fn malformed<T>(&self) -> Result<T, Malformed> {
        Err(Malformed { at: self.at })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn text(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        loop {
            self.at = plain(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.end = self.at;
                    return Ok(());
                }
                Some(b'\\') => {
                    let length = match self.bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if unit(&self.bytes[self.at..]).is_some() => 6,
                        _ => return self.malformed(),
                    };
                    self.at += length;
                }
                _ => return self.malformed(),
            }
        }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.end = self.at;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.malformed() } else { Ok(()) }
    }
}

/// Reads one value, and more behind it if `is_sequence`.
pub(super) fn read(bytes: &[u8], is_sequence: bool, tape: &mut Tape) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(bytes);
    loop {
        while let Some(token) = scanner.next()? {
            let span = scanner.span();
            match token {
                Token::Map => tape.open(Sort::Map, span.start),
                Token::List => tape.open(Sort::List, span.start),
                Token::End => tape.close(span.end),
                Token::Key | Token::Text => tape.leaf(Sort::Text, span),
                Token::Number => tape.leaf(Sort::Number, span),
                Token::Word => tape.leaf(Sort::Word, span),
            }
        }
        if scanner.is_over() {
            return Ok(());
        }
        if !is_sequence {
            return scanner.malformed();
        }
        scanner.another();
    }
}

/// True if the bytes are one JSON value.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let mut scanner = Scanner::new(bytes);
    loop {
        match scanner.next() {
            Ok(Some(_)) => {}
            Ok(None) => return scanner.is_over() && std::str::from_utf8(bytes).is_ok(),
            Err(_) => return false,
        }
    }
}

/// Where the next quote, backslash or control character stands, from `at` on.
fn plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Eight bytes at a time. Of the high bits that stay, the lowest belongs to the first byte that is
    // smaller than a limit, or zero; those above it may be wrong because of borrows.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let found = is(b'"') | is(b'\\') | below(word, 0x20);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes[at..].iter();
    at + rest.take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

/// The UTF-16 unit of `\uXXXX` at the front.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = (*digit as char).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}

/// A text without its escapes, and where in the text each byte of it came from.
#[derive(Debug, Default)]
pub(crate) struct Unescaped {
    /// UTF-8, but for unpaired surrogates, which are three bytes as if they were characters.
    pub(crate) bytes: Vec<u8>,
    /// Where in the text each of the bytes begins, and the end of the text.
    starts: Vec<u32>,
}

impl Unescaped {
    /// Adds bytes that come from what begins at `start`.
    pub(super) fn push(&mut self, start: usize, made: &[u8]) {
        self.bytes.extend_from_slice(made);
        self.starts.extend(std::iter::repeat_n(start as u32, made.len()));
    }

    /// Says where the last of it ends. Without that, nothing can be asked of it.
    pub(super) fn end(&mut self, end: usize) {
        self.starts.push(end as u32);
    }

    /// The bytes of the text that made these bytes; an escape belongs to all that it made.
    pub(crate) fn source(&self, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let start = self.starts[range.start];
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return start as usize..start as usize;
        };
        let end = self.starts[last..].iter().find(|next| **next != self.starts[last]);
        start as usize..end.map_or(start, |end| *end) as usize
    }

    /// The bytes that these bytes of the text made, or had a part in.
    pub(crate) fn made(&self, source: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let starts = &self.starts[..self.bytes.len()];
        let at = starts.partition_point(|start| *start as usize <= source.start);
        let first = at.checked_sub(1).map_or(0, |at| starts[at]);
        let start = starts.partition_point(|start| *start < first);
        start..starts.partition_point(|start| (*start as usize) < source.end).max(start)
    }
}

/// Takes the escapes of JSON out of bytes that need not be JSON; what is no escape stays. `None` if
/// there are none, or the bytes are more than 4 GiB.
pub(crate) fn unescape(text: &[u8]) -> Option<Unescaped> {
    if !text.contains(&b'\\') || u32::try_from(text.len()).is_err() {
        return None;
    }
    let mut found = Unescaped::default();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let mut buffer = [0; 4];
        let (made, length): (&[u8], usize) = match (rest[0], rest.get(1)) {
            (b'\\', Some(b'u')) => match unit(rest) {
                None => (&rest[..1], 1),
                Some(high) => {
                    let low = rest.get(6..).and_then(unit);
                    let pair = low.and_then(|low| {
                        char::decode_utf16([high, low]).next()?.ok().filter(|c| *c > '\u{FFFF}')
                    });
                    match (pair, char::from_u32(high.into())) {
                        (Some(character), _) => (character.encode_utf8(&mut buffer).as_bytes(), 12),
                        (None, Some(character)) => {
                            (character.encode_utf8(&mut buffer).as_bytes(), 6)
                        }
                        (None, None) => {
                            buffer[0] = 0xE0 | (high >> 12) as u8;
                            buffer[1] = 0x80 | (high >> 6 & 0x3F) as u8;
                            buffer[2] = 0x80 | (high & 0x3F) as u8;
                            (&buffer[..3], 6)
                        }
                    }
                }
            },
            (b'\\', Some(escape)) => match escape {
                b'"' => (b"\"", 2),
                b'\\' => (b"\\", 2),
                b'/' => (b"/", 2),
                b'b' => (b"\x08", 2),
                b'f' => (b"\x0C", 2),
                b'n' => (b"\n", 2),
                b'r' => (b"\r", 2),
                b't' => (b"\t", 2),
                _ => (&rest[..1], 1),
            },
            _ => (&rest[..1], 1),
        };
        found.push(at, made);
        at += length;
    }
    found.end(text.len());
    Some(found)
}

/// Writes bytes of [`Unescaped`] as a JSON string, as short as it can be.
pub(crate) fn write_text(mut text: &[u8], out: &mut String) {
    out.push('"');
    loop {
        let error = match std::str::from_utf8(text) {
            Ok(rest) => {
                write_escaped(rest, out);
                break;
            }
            Err(error) => error,
        };
        let (valid, rest) = text.split_at(error.valid_up_to());
        write_escaped(&String::from_utf8_lossy(valid), out);
        text = match rest {
            [0xED, second @ 0xA0..=0xBF, third, rest @ ..] => {
                let unit = 0xD000 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
                out.push_str(&format!("\\u{unit:04x}"));
                rest
            }
            rest => {
                out.push(char::REPLACEMENT_CHARACTER);
                &rest[1..]
            }
        };
    }
    out.push('"');
}

fn write_escaped(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{C}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1F}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
}
