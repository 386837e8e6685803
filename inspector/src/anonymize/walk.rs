//! The way along paths, through JSON, CBOR, forms and their parts, and through what is a text in one of them.

use std::ops::Range;

use super::form::{self, Field};
use super::multipart::{Multipart, Part, Said};
use super::path::Step;
use crate::decode::document::{Document, Format, Item, Sort};
use crate::decode::encodings::of_form;
use crate::decode::json::unescape;
use crate::decode::splice;
use crate::decode::{looks_like_cbor, looks_like_json};
use memchr::memmem;

/// The text that stands where something was taken out.
pub(super) const REDACTED: &str = "redacted";

/// A body that a path leads through.
#[derive(Debug)]
pub(super) enum Body<'a> {
    Document(Document<'a>),
    Form(Vec<Field>),
    Multipart(Multipart),
}

impl<'a> Body<'a> {
    /// The body that these bytes look like, or are said to be: one value or several, a form, or parts.
    pub(super) fn of(bytes: &'a [u8], said: &Said) -> Option<Body<'a>> {
        if let Some(parts) = said.parts(bytes) {
            return Some(Body::Multipart(parts));
        }
        let format = match bytes {
            bytes if looks_like_json(bytes) => Some(Format::Json),
            bytes if said.is_cbor || looks_like_cbor(bytes) => Some(Format::Cbor),
            _ => None,
        };
        let document = format.and_then(|format| Document::sequence(bytes, format).ok());
        match document {
            Some(document) => Some(Body::Document(document)),
            None => form::fields(bytes, said.is_form).map(Body::Form),
        }
    }
}

/// Bytes that take the place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    range: Range<usize>,
    with: Vec<u8>,
    /// The parts of `with` that stand for values taken out. The rest stays as it was.
    gone: Vec<Range<usize>>,
}

impl Taken {
    /// The same in bytes around these.
    fn moved_by(self, start: usize) -> Taken {
        Taken { range: self.range.start + start..self.range.end + start, ..self }
    }

    fn whole(range: Range<usize>, with: Vec<u8>) -> Taken {
        let gone = std::iter::once(0..with.len()).collect();
        Taken { range, with, gone }
    }
}

/// Parts, texts and strings of bytes inside of each other that are taken apart.
const MAX_DEPTH: usize = 16;

/// Puts other bytes in, and says where those stand that nobody is to look into again.
pub(super) fn apply(bytes: &[u8], mut taken: Vec<Taken>) -> (Vec<u8>, Vec<Range<usize>>) {
    // Of those that begin together the longest first, for what lies inside it is gone with it.
    taken.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
    let (mut out, mut gone, mut copied) = (Vec::with_capacity(bytes.len()), Vec::new(), 0);
    for one in taken {
        if one.range.start >= copied {
            out.extend_from_slice(&bytes[copied..one.range.start]);
            gone.extend(one.gone.iter().map(|gone| gone.start + out.len()..gone.end + out.len()));
            out.extend_from_slice(&one.with);
            copied = one.range.end;
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    (out, gone)
}

/// The rest of a path, and its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want<'p> {
    pub(super) path: usize,
    pub(super) steps: &'p [Step],
}

impl<'p> Want<'p> {
    /// The rest behind its first step, if that leads on; `**` also leads on to itself.
    fn behind(self, leads: impl Fn(&Step) -> bool) -> Option<Want<'p>> {
        let (first, steps) = self.steps.split_first()?;
        let steps = if *first == Step::Deep { self.steps } else { steps };
        leads(first).then_some(Want { steps, ..self })
    }
}

/// The same with those that `**` makes by standing for nothing, each once.
pub(super) fn unfolded<'p>(wants: impl IntoIterator<Item = Want<'p>>) -> Vec<Want<'p>> {
    let mut all: Vec<Want<'p>> = Vec::new();
    for mut want in wants {
        loop {
            let is_known =
                |known: &Want<'_>| (known.path, known.steps.len()) == (want.path, want.steps.len());
            if !all.iter().any(is_known) {
                all.push(want);
            }
            match want.steps {
                [Step::Deep, steps @ ..] => want.steps = steps,
                _ => break,
            }
        }
    }
    all
}

/// Those that are not about what `**` leads over.
fn without_deep<'p>(wants: &[Want<'p>]) -> Vec<Want<'p>> {
    let is_deep = |want: &&Want<'_>| want.steps.first() == Some(&Step::Deep);
    let is_made = |want: &Want<'_>| {
        let mut deep = wants.iter().filter(is_deep);
        deep.any(|deep| deep.path == want.path && deep.steps.len() == want.steps.len() + 1)
    };
    wants.iter().filter(|want| !is_deep(want) && !is_made(want)).copied().collect()
}

/// True if the next step of a path is named in a text that cannot be taken apart: as a word, or in
/// front of `=` if it may be any.
pub(super) fn is_named(text: &[u8], wants: &[Want<'_>]) -> bool {
    let decoded = of_form(text);
    let decoded = decoded.as_ref().map(|decoded| &decoded.bytes[..]);
    wants.iter().filter_map(|want| want.steps.first()).any(|step| match step {
        Step::Any => text.contains(&b'='),
        // The step behind it is there too.
        Step::Deep => false,
        Step::Key(name) => {
            has_word(text, name.as_bytes(), b"")
                || decoded.is_some_and(|text| has_word(text, name.as_bytes(), b""))
        }
    })
}

/// True if a text has a word, with this behind it.
pub(super) fn has_word(text: &[u8], word: &[u8], behind: &[u8]) -> bool {
    let ends = |byte: Option<&u8>| {
        byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"_-".contains(byte))
    };
    !word.is_empty()
        && memmem::find_iter(text, word).any(|at| {
            let rest = &text[at + word.len()..];
            ends(at.checked_sub(1).map(|at| &text[at]))
                && rest.starts_with(behind)
                && ends(rest.first())
        })
}

/// The values found on the way.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The paths that led to a value, as often as they did.
    pub(super) found: Vec<usize>,
    /// True if a path led into what looks like JSON and is none, or into text that names its next step.
    pub(super) is_blocked: bool,
    /// How many parts, texts and strings of bytes lie around what is looked at.
    depth: usize,
}

impl Walk {
    /// The values in a body that paths lead to.
    pub(super) fn body(&mut self, bytes: &[u8], body: &Body<'_>, wants: &[Want<'_>]) -> Vec<Taken> {
        match body {
            Body::Document(document) => self.document(document, wants),
            Body::Form(fields) => self.form(bytes, fields, wants),
            Body::Multipart(parts) => self.multipart(bytes, parts, wants),
        }
    }

    /// The same in a document.
    pub(super) fn document(&mut self, document: &Document<'_>, wants: &[Want<'_>]) -> Vec<Taken> {
        let mut taken = Vec::new();
        if !wants.is_empty() {
            document.roots().for_each(|root| self.item(root, wants, &mut taken));
        }
        taken
    }

    /// Without recursion, because nothing limits how deeply items nest.
    fn item(&mut self, item: Item<'_>, wants: &[Want<'_>], taken: &mut Vec<Taken>) {
        let mut todo = vec![(item, wants.to_vec())];
        while let Some((item, wants)) = todo.pop() {
            let here = wants.iter().filter(|want| want.steps.is_empty());
            let before = self.found.len();
            self.found.extend(here.map(|want| want.path));
            if self.found.len() > before {
                taken.push(Taken::whole(item.span(), blank(item)));
            }
            let item = item.untagged();
            let mut next = |value, leads: &dyn Fn(&Step) -> bool| {
                let wants = unfolded(wants.iter().filter_map(|want| want.behind(leads)));
                if !wants.is_empty() {
                    todo.push((value, wants));
                }
            };
            match item.sort() {
                Sort::Map => {
                    item.entries().for_each(|(key, value)| next(value, &|step| step.is_key(key)));
                }
                Sort::List => {
                    let items = item.children().enumerate();
                    items.for_each(|(at, value)| next(value, &|step| step.is_position(at)));
                }
                Sort::Text | Sort::Bytes => {
                    let more = wants.iter().filter(|want| !want.steps.is_empty()).copied();
                    self.within(item, &more.collect::<Vec<_>>(), taken);
                }
                _ => {}
            }
        }
    }

    /// Goes on in what stands in a text or in a string of bytes.
    fn within(&mut self, item: Item<'_>, wants: &[Want<'_>], taken: &mut Vec<Taken>) {
        if wants.is_empty() {
            return;
        }
        let content = item.content();
        let inner = self.inside(&content, wants);
        if inner.is_empty() {
            return;
        }
        match item.format() {
            Format::Json => {
                let escapes = unescape(item.inside());
                let start = item.span().start + 1;
                taken.extend(inner.into_iter().map(|one| {
                    let range = match &escapes {
                        Some(text) => text.source(one.range),
                        None => one.range,
                    };
                    let quoted = splice::text(Format::Json, &one.with);
                    let with = quoted[1..quoted.len() - 1].to_vec();
                    Taken::whole(start + range.start..start + range.end, with)
                }));
            }
            Format::Cbor => {
                let (new, gone) = apply(&content, inner);
                let with = splice::string(item.sort(), &new);
                let head = with.len() - new.len();
                let gone = gone.into_iter().map(|gone| gone.start + head..gone.end + head);
                taken.push(Taken { range: item.span(), with, gone: gone.collect() });
            }
        }
    }

    /// The values in what stands in something else, as it is meant.
    fn inside(&mut self, content: &[u8], wants: &[Want<'_>]) -> Vec<Taken> {
        if wants.is_empty() {
            return Vec::new();
        }
        match Body::of(content, &Said::default()) {
            Some(body) if self.depth < MAX_DEPTH => {
                self.depth += 1;
                let found = self.body(content, &body, wants);
                self.depth -= 1;
                found
            }
            body => {
                self.is_blocked |=
                    body.is_some() || looks_like_json(content) || is_named(content, wants);
                Vec::new()
            }
        }
    }

    fn form(&mut self, text: &[u8], fields: &[Field], wants: &[Want<'_>]) -> Vec<Taken> {
        let mut taken = Vec::new();
        for field in fields {
            let key = &text[field.key.clone()];
            let key = of_form(key).map_or_else(|| key.to_vec(), |key| key.bytes);
            let wants = wants.iter().filter_map(|want| want.behind(|step| step.is_named(&key)));
            let (here, more): (Vec<_>, Vec<_>) =
                unfolded(wants).into_iter().partition(|want| want.steps.is_empty());
            self.found.extend(here.iter().map(|want| want.path));
            let value = &text[field.value.clone()];
            if !here.is_empty() && !value.is_empty() {
                taken.push(Taken::whole(field.value.clone(), REDACTED.as_bytes().to_vec()));
            }
            if !more.is_empty() {
                self.within_field(value, field.value.start, &more, &mut taken);
            }
        }
        taken
    }

    fn multipart(&mut self, text: &[u8], body: &Multipart, wants: &[Want<'_>]) -> Vec<Taken> {
        let mut taken = Vec::new();
        if wants.is_empty() {
            return taken;
        }
        // Any part may stand in the rest.
        self.is_blocked |= !body.is_whole;
        let around = body.around.iter().map(|around| &text[around.clone()]);
        self.is_blocked |= around.into_iter().any(|text| is_named(text, wants));
        for (at, part) in body.parts.iter().enumerate() {
            self.is_blocked |= part.is_odd;
            let leads = |step: &Step| match &part.name {
                Some(name) => step.is_named(name),
                None => step.is_position(at),
            };
            let wants = unfolded(wants.iter().filter_map(|want| want.behind(leads)));
            let (here, more): (Vec<_>, Vec<_>) =
                wants.into_iter().partition(|want| want.steps.is_empty());
            self.found.extend(here.iter().map(|want| want.path));
            let content = &text[part.content.clone()];
            let mut inner = Vec::new();
            if !here.is_empty() {
                let names = part.file_names.iter().cloned();
                let places = names.chain([part.content.clone()]).filter(|place| !place.is_empty());
                inner.extend(places.map(|place| Taken::whole(place, REDACTED.as_bytes().to_vec())));
            } else if !more.is_empty() {
                inner = self.within_part(content, part, &more);
            }
            if let Some(digits) = part.length.clone()
                && !inner.is_empty()
            {
                let inside = inner.iter().filter(|one| one.range.start >= part.content.start);
                let (new, _) = apply(text, inside.cloned().collect());
                let length = content.len() + new.len() - text.len();
                let with = length.to_string().into_bytes();
                inner.push(Taken { range: digits, with, gone: Vec::new() });
            }
            taken.extend(inner);
        }
        taken
    }

    fn within_part(&mut self, content: &[u8], part: &Part, wants: &[Want<'_>]) -> Vec<Taken> {
        self.depth += 1;
        let body = match part.is_encoded || self.depth > MAX_DEPTH {
            true => None,
            false => Body::of(content, &part.said),
        };
        let found = match &body {
            Some(body) => self.body(content, body, wants),
            None => {
                self.is_blocked |= part.is_encoded
                    || self.depth > MAX_DEPTH
                    || std::str::from_utf8(content).is_err()
                    || looks_like_json(content)
                    || is_named(content, wants);
                Vec::new()
            }
        };
        self.depth -= 1;
        let start = part.content.start;
        found.into_iter().map(|one| one.moved_by(start)).collect()
    }

    fn within_field(
        &mut self,
        value: &[u8],
        start: usize,
        wants: &[Want<'_>],
        taken: &mut Vec<Taken>,
    ) {
        let decoded = of_form(value);
        let content = decoded.as_ref().map_or(value, |decoded| &decoded.bytes);
        let inner = match &decoded {
            Some(_) => self.inside(content, wants),
            // The fields of one that stands there as it is were found with the field around it.
            None => self.inside(content, &without_deep(wants)),
        };
        taken.extend(inner.into_iter().map(|one| {
            let range = match &decoded {
                Some(decoded) => decoded.source(one.range),
                None => one.range,
            };
            let with = form::encode(&one.with);
            Taken::whole(start + range.start..start + range.end, with)
        }));
    }
}

/// The text that takes the place of a whole item.
pub(super) fn blank(item: Item<'_>) -> Vec<u8> {
    let (json, cbor): (&[u8], &[u8]) = match item.sort() {
        Sort::Text => return splice::text(item.format(), REDACTED.as_bytes()),
        Sort::Map => (b"{}", &[0xA0]),
        Sort::List => (b"[]", &[0x80]),
        Sort::Bytes => (b"null", &[0x40]),
        // The integer 0, or the shortest float.
        Sort::Number if item.raw().first().is_some_and(|first| first >> 5 == 7) => {
            (b"0", &[0xF9, 0, 0])
        }
        Sort::Number => (b"0", &[0]),
        Sort::Tag | Sort::Word => (b"null", &[0xF6]),
    };
    match item.format() {
        Format::Json => json.to_vec(),
        Format::Cbor => cbor.to_vec(),
    }
}
