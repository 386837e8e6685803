//! Takes texts and bytes apart into leaves, each of which can be replaced by itself, so that all around
//! them stays valid: texts, keys, numbers and words.

mod base64;
mod cbor;
mod json;
mod toml;

use std::ops::Range;

use super::form;
use super::multipart::Said;
use super::walk::REDACTED;
use crate::decode::document::{Format, Sort};
use crate::decode::encodings::{is_wide, of_form};
use crate::decode::json::Unescaped;
use crate::decode::splice::{self, Splice};

/// The facts that are known about bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Kind {
    pub(super) form: Form,
    /// The facts in their content type.
    pub(super) said: Said,
    pub(super) is_cbor: bool,
    pub(super) is_toml: bool,
    /// No string of bytes, but all that a payload or body has: if it is no text, it may hold anything.
    pub(super) is_whole: bool,
    /// The head of a message of HTTP.
    pub(super) is_head: bool,
    /// A number or word, in which nothing else stands.
    pub(super) is_word: bool,
    /// A text in which nothing else stands but base64.
    pub(super) is_plain: bool,
}

impl Kind {
    pub(super) fn bytes(said: Said) -> Kind {
        let is_cbor = said.is_cbor;
        Kind { form: Form::Bytes, is_cbor, said, is_whole: true, ..Kind::default() }
    }
}

/// How a text stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Form {
    /// It says what it is.
    #[default]
    Text,
    /// It has escapes of JSON, so that it says something else.
    Escaped,
    /// It is bytes, so that what takes the place of UTF-16 is UTF-16.
    Bytes,
    /// It was UTF-16, in which there is no more of it.
    Utf16,
}

/// Bytes taken apart.
#[derive(Debug, Default)]
pub(super) struct Apart {
    pub(super) leaves: Vec<Leaf>,
    /// The text that a match over several leaves is looked for in, if that is not the bytes themselves: CBOR as
    /// JSON.
    pub(super) seen: Option<Vec<u8>>,
    /// The other thing that the bytes may be.
    pub(super) otherwise: Otherwise,
    /// True if escapes of JSON are no part of what the text says.
    pub(super) is_escaped: bool,
    /// True if what stands between the leaves is text as well.
    pub(super) is_text: bool,
}

/// The other thing that bytes may be that were taken apart by what they look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Otherwise {
    #[default]
    Nothing,
    Text,
    /// Bytes with text among them.
    Bytes,
}

/// A leaf, by its places.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Where it stands, with quotes or its head.
    pub(super) span: Range<usize>,
    /// Where its content stands in the bytes.
    pub(super) inside: Range<usize>,
    /// Where its content stands in what is seen.
    pub(super) seen: Range<usize>,
    content: Content,
    pub(super) kind: Kind,
    way: Way,
    /// The number of the map that it is a key of.
    pub(super) key_of: Option<usize>,
    /// Of a key, where it stands with its value in what is seen. The value is the next leaf.
    pub(super) pair: Option<Range<usize>>,
    /// Digits elsewhere that say how long its content is.
    length: Option<Range<usize>>,
    /// Places inside of its content that are not looked into.
    pub(super) kept: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Content {
    /// It is what stands inside.
    Itself,
    Unescaped(Unescaped),
    /// It belongs to all that stands inside.
    Made(Vec<u8>),
}

/// How other content is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In its place, as it is.
    Plain,
    /// In its place, with escapes of JSON; those of TOML are the same.
    Json,
    /// In its place, with `%40` and `+`.
    Form,
    /// As base64.
    Base64(base64::Base64),
    /// A string of CBOR, of which so many bytes are elsewhere.
    Cbor(Sort, u64),
    /// A number or word, which goes as a whole.
    Blank(Blank),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blank {
    JsonNumber,
    JsonWord,
    TomlWord,
    CborNumber,
    CborFloat,
    CborWord,
}

impl Leaf {
    fn new(span: Range<usize>, inside: Range<usize>, way: Way) -> Leaf {
        Leaf {
            span,
            seen: inside.clone(),
            inside,
            content: Content::Itself,
            kind: Kind::default(),
            way,
            key_of: None,
            pair: None,
            length: None,
            kept: Vec::new(),
        }
    }

    /// A number or word.
    fn blank(span: Range<usize>, word: Option<String>, blank: Blank) -> Leaf {
        Leaf {
            content: word.map_or(Content::Itself, |word| Content::Made(word.into_bytes())),
            kind: Kind { is_word: true, ..Kind::default() },
            ..Leaf::new(span.clone(), span, Way::Blank(blank))
        }
    }

    fn unescaped(self, text: Option<Unescaped>) -> Leaf {
        Leaf { content: text.map_or(Content::Itself, Content::Unescaped), ..self }
    }

    pub(super) fn content<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        match &self.content {
            Content::Itself => &bytes[self.inside.clone()],
            Content::Unescaped(text) => &text.bytes,
            Content::Made(content) => content,
        }
    }

    /// The part of its content that a range around it or in it takes, counted from where `place`
    /// begins, at which the content stands.
    pub(super) fn part(&self, range: &Range<usize>, place: &Range<usize>) -> Option<Range<usize>> {
        let (start, end) = (range.start.max(place.start), range.end.min(place.end));
        let part = start.checked_sub(place.start)?..end.checked_sub(place.start)?;
        if part.is_empty() {
            return None;
        }
        Some(match &self.content {
            Content::Unescaped(text) => text.made(part),
            // The content itself is seen.
            Content::Itself => part,
            Content::Made(content) if place.len() == content.len() => part,
            Content::Made(content) => 0..content.len(),
        })
    }

    /// Whether it holds a number or a word, of which nothing is left if a part goes.
    pub(super) fn is_blanked(&self) -> bool {
        matches!(self.way, Way::Blank(_))
    }

    /// The bytes that take the place of the leaf, where pieces of its content change. A number tells keys apart
    /// that would be the same.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        mut pieces: Vec<Splice>,
        number: usize,
    ) -> Vec<Splice> {
        let content = self.content(bytes);
        if number > 0 && !self.is_blanked() {
            let end = content.len();
            pieces.push((end..end, suffix(number)));
        }
        match self.way {
            Way::Blank(blank) => vec![(self.span.clone(), blank.write(number))],
            Way::Cbor(sort, missing) => {
                let new = splice::splice(content, pieces);
                let head = splice::head(sort, new.len() as u64 + missing);
                vec![(self.span.clone(), [head, new].concat())]
            }
            Way::Base64(way) => {
                vec![(self.span.clone(), way.encode(&splice::splice(content, pieces)))]
            }
            Way::Plain | Way::Json | Way::Form => {
                let mut changed = 0;
                let mut splices = Vec::new();
                for (range, with) in pieces {
                    changed += with.len() as isize - range.len() as isize;
                    let source = match &self.content {
                        Content::Unescaped(text) => text.source(range),
                        _ => range,
                    };
                    let start = self.inside.start;
                    splices.push((source.start + start..source.end + start, self.encoded(with)));
                }
                if let Some(digits) = &self.length
                    && !splices.is_empty()
                {
                    let length = content.len().saturating_add_signed(changed);
                    splices.push((digits.clone(), length.to_string().into_bytes()));
                }
                splices
            }
        }
    }

    fn encoded(&self, with: Vec<u8>) -> Vec<u8> {
        match self.way {
            Way::Json => {
                let quoted = splice::text(Format::Json, &with);
                quoted[1..quoted.len() - 1].to_vec()
            }
            Way::Form => form::encode(&with),
            _ => with,
        }
    }
}

/// The ending of a key that would be the same as another one.
pub(super) fn suffix(number: usize) -> Vec<u8> {
    format!("-{}", number + 1).into_bytes()
}

impl Blank {
    fn write(self, number: usize) -> Vec<u8> {
        match self {
            _ if number > 0 => splice::integer(number as u64),
            Blank::JsonNumber => b"0".to_vec(),
            Blank::JsonWord => b"null".to_vec(),
            Blank::TomlWord => b"false".to_vec(),
            Blank::CborNumber => vec![0],
            Blank::CborFloat => vec![0xF9, 0, 0],
            Blank::CborWord => vec![0xF6],
        }
    }
}

/// The leaves of bytes; `None` of a plain text, and of bytes that are no format that is known.
pub(super) fn take_apart(bytes: &[u8], kind: &Kind) -> Option<Apart> {
    if kind.is_word || kind.form == Form::Utf16 {
        return None;
    }
    if kind.is_toml {
        return toml::leaves(bytes);
    }
    if kind.is_plain {
        return base64::leaves(bytes);
    }
    if kind.is_head {
        return Some(head(bytes));
    }
    if let Some(parts) = multipart(bytes, &kind.said) {
        return Some(parts);
    }
    let cbor =
        || (kind.form == Form::Bytes || kind.is_cbor).then(|| cbor::leaves(bytes, kind.is_cbor));
    json::leaves(bytes)
        .or_else(|| cbor().flatten())
        .or_else(|| fields(bytes, &kind.said))
        .or_else(|| base64::leaves(bytes))
}

/// True if bytes hold what cannot be seen in them: they are compressed, or all of a payload and no text.
pub(super) fn is_hidden(bytes: &[u8], kind: &Kind) -> bool {
    if kind.form != Form::Bytes {
        return false;
    }
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let is_odd = |byte: &u8| byte.is_ascii_control() && !b"\n\r\t".contains(byte);
    is_compressed(bytes) || kind.is_whole && bytes[..end].iter().any(is_odd) && !is_wide(bytes)
}

/// True of bytes that begin as gzip, zlib, Zstandard, ZIP, bzip2, xz and LZ4 do.
fn is_compressed(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 10] = [
        &[0x1F, 0x8B, 8],
        &[0x78, 0x01],
        &[0x78, 0x5E],
        &[0x78, 0x9C],
        &[0x78, 0xDA],
        &[0x28, 0xB5, 0x2F, 0xFD],
        b"PK\x03\x04",
        b"BZh9",
        b"\xFD7zXZ",
        &[0x04, 0x22, 0x4D, 0x18],
    ];
    // `x^` begins texts too.
    STARTS.iter().any(|start| bytes.starts_with(start)) && std::str::from_utf8(bytes).is_err()
}

/// The target of a message of HTTP, and what is around it. A response has none.
fn head(bytes: &[u8]) -> Apart {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = bytes[..end].trim_ascii_end();
    let place = |at: Option<usize>| at.unwrap_or(line.len());
    let is_request = !line.starts_with(b"HTTP/");
    let start = if is_request { place(memchr::memchr(b' ', line).map(|at| at + 1)) } else { 0 };
    let end = if is_request { place(memchr::memrchr(b' ', line)).max(start) } else { start };
    let leaf = |place: Range<usize>, is_plain| Leaf {
        kind: Kind { is_plain, form: Form::Bytes, ..Kind::default() },
        ..Leaf::new(place.clone(), place, Way::Plain)
    };
    let leaves = vec![leaf(0..start, true), leaf(start..end, false), leaf(end..bytes.len(), true)];
    Apart { leaves, ..Apart::default() }
}

/// The keys and values of a form.
fn fields(bytes: &[u8], said: &Said) -> Option<Apart> {
    // The padding of base64 is no `=` behind a key.
    let end = bytes.iter().rposition(|byte| *byte != b'=' && !byte.is_ascii_whitespace());
    let before = &bytes[..end.map_or(0, |end| end + 1)];
    let has_fields = said.is_form || before.iter().any(|byte| b"=&?".contains(byte));
    if !has_fields || bytes.starts_with(b"data:") {
        return None;
    }
    form::fields(bytes, said.is_form)?;
    let mut apart = Apart::default();
    let end = bytes.trim_ascii_end().len();
    let mut at = end - bytes[..end].trim_ascii_start().len();
    for field in bytes[at..end].split(|byte| b"&?#;".contains(byte)) {
        let next = at + field.len();
        let equals = field.iter().position(|byte| *byte == b'=').map(|equals| at + equals);
        let leaf = |place: Range<usize>| {
            let text = of_form(&bytes[place.clone()]);
            Leaf::new(place.clone(), place, Way::Form).unescaped(text)
        };
        let mut key = leaf(at..equals.unwrap_or(next));
        if let Some(equals) = equals {
            key.key_of = Some(0);
            key.pair = Some(at..next);
            apart.leaves.extend([key, leaf(equals + 1..next)]);
        } else {
            apart.leaves.push(key);
        }
        at = next + 1;
    }
    Some(apart)
}

/// The parts of a multipart body and their heads.
fn multipart(bytes: &[u8], said: &Said) -> Option<Apart> {
    let found = said.parts(bytes)?;
    let text = |place: Range<usize>| Leaf::new(place.clone(), place, Way::Plain);
    let [before, behind] = found.around;
    let mut apart = Apart::default();
    apart.leaves.push(text(before));
    for part in found.parts {
        let start = part.head.start;
        let kept = part.length.iter().map(|digits| digits.start - start..digits.end - start);
        apart.leaves.push(Leaf { kept: kept.collect(), ..text(part.head) });
        apart.leaves.push(Leaf {
            kind: match part.is_encoded {
                true => Kind { is_plain: true, ..Kind::bytes(Said::default()) },
                false => Kind::bytes(part.said),
            },
            length: part.length,
            ..text(part.content)
        });
    }
    apart.leaves.push(text(behind));
    Some(apart)
}

/// The text that takes the place of a match.
pub(super) fn redacted() -> Vec<u8> {
    REDACTED.as_bytes().to_vec()
}
