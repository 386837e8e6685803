//! Parts of `multipart/form-data` and its relatives, by their places
//! (<https://www.rfc-editor.org/rfc/rfc7578>, <https://www.rfc-editor.org/rfc/rfc2046#section-5.1>).

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

/// The facts about a body in its content type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// True of `application/x-www-form-urlencoded`.
    pub(super) is_form: bool,
    /// True of CBOR, and of a sequence of it.
    pub(super) is_cbor: bool,
    /// The line between the parts of a `multipart/…`, without the dashes in front.
    boundary: Option<Vec<u8>>,
    /// True of an encoding of characters in which ASCII is not what it is everywhere else.
    is_wide: bool,
}

/// A body of several parts.
#[derive(Debug)]
pub(super) struct Multipart {
    pub(super) parts: Vec<Part>,
    /// The bytes before the first part, and those behind the last.
    pub(super) around: [Range<usize>; 2],
    /// False if the end is missing, or something stands there that cannot be taken apart.
    pub(super) is_whole: bool,
}

/// A part, by its places in the body.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The name of its field, as it is meant; `None` if it has none.
    pub(super) name: Option<Vec<u8>>,
    /// The names that its file has, as they stand in its head.
    pub(super) file_names: Vec<Range<usize>>,
    pub(super) head: Range<usize>,
    pub(super) content: Range<usize>,
    /// The digits of its length, if its head says it.
    pub(super) length: Option<Range<usize>>,
    /// True if its content is not what it would be by itself: in base64, or in UTF-16.
    pub(super) is_encoded: bool,
    /// True if its name may stand where it was not looked for.
    pub(super) is_odd: bool,
    pub(super) said: Said,
}

impl Said {
    /// Reads a content type, such as `multipart/form-data; boundary=x`.
    pub(super) fn of(content_type: &[u8]) -> Said {
        let lower = content_type.to_ascii_lowercase();
        let has = |word: &[u8]| memmem::find(&lower, word).is_some();
        let mut said = Said {
            is_form: has(b"x-www-form-urlencoded"),
            is_cbor: has(b"cbor"),
            boundary: None,
            is_wide: has(b"utf-16") || has(b"utf-32"),
        };
        if lower.trim_ascii_start().starts_with(b"multipart/") {
            let boundary = parameters(content_type, 0).find(|one| one.is(content_type, "boundary"));
            said.boundary = boundary.map(|one| unquoted(&content_type[one.value]).into_owned());
            said.boundary.take_if(|boundary| boundary.is_empty());
        }
        said
    }

    /// The parts of such a body; `None` if it has none, or is none.
    pub(super) fn parts(&self, body: &[u8]) -> Option<Multipart> {
        match &self.boundary {
            Some(boundary) => parts(body, boundary),
            None => parts(body, guessed(body)?),
        }
    }
}

/// The boundary of a body that begins with a part.
fn guessed(body: &[u8]) -> Option<&[u8]> {
    // RFC 2046: no boundary is longer than 70 characters.
    let first = body.strip_prefix(b"--")?.split(|byte| *byte == b'\n').next()?;
    let head = body.get(first.len() + 3..)?;
    let boundary = first.trim_ascii_end();
    let is_one = (1..=70).contains(&boundary.len());
    let begins = head.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
    (is_one && begins).then_some(boundary)
}

fn parts(body: &[u8], boundary: &[u8]) -> Option<Multipart> {
    let delimiter = [b"--", boundary].concat();
    let mut lines = memmem::find_iter(body, &delimiter).filter_map(|at| {
        let is_first = at == 0 || body[at - 1] == b'\n';
        let behind = at + delimiter.len();
        let is_last = body[behind..].starts_with(b"--");
        let rest = &body[behind + if is_last { 2 } else { 0 }..];
        let end =
            memchr::memchr(b'\n', rest).map_or(body.len(), |end| body.len() - rest.len() + end + 1);
        // Nothing but blanks may follow; another boundary may begin like this one.
        let is_line = rest[..rest.len() - (body.len() - end)].trim_ascii().is_empty();
        (is_first && is_line).then_some((at, end, is_last))
    });
    let (first, mut start, mut is_last) = lines.next()?;
    let mut found = Multipart { parts: Vec::new(), around: [0..first, 0..0], is_whole: true };
    for (at, end, ends) in lines {
        if is_last {
            break;
        }
        match Part::of(body, start..without_line_end(body, at).max(start)) {
            Some(part) => found.parts.push(part),
            None => found.is_whole = false,
        }
        (start, is_last) = (end, ends);
    }
    if !is_last {
        // It goes on elsewhere.
        found.is_whole = false;
        found.parts.extend(Part::of(body, start..body.len()));
        start = body.len();
    }
    found.around[1] = start..body.len();
    Some(found)
}

/// The end of what stands before a boundary, to which the end of the line in front belongs.
fn without_line_end(body: &[u8], at: usize) -> usize {
    let before = &body[..at];
    let before = before.strip_suffix(b"\n").unwrap_or(before);
    before.strip_suffix(b"\r").unwrap_or(before).len()
}

impl Part {
    /// `None` if its head does not end.
    fn of(body: &[u8], place: Range<usize>) -> Option<Part> {
        let mut part = Part::default();
        let mut at = place.start;
        loop {
            let line = &body[at..place.end];
            let length = memchr::memchr(b'\n', line).map(|end| end + 1)?;
            // Such a line belongs to the one before.
            part.is_odd |= line.first().is_some_and(|first| b" \t".contains(first));
            let field = line[..length].trim_ascii_end();
            if field.is_empty() {
                part.head = place.start..at;
                part.content = at + length..place.end;
                return Some(part);
            }
            part.take(body, at..at + field.len());
            at += length;
        }
    }

    /// Takes in a line of its head.
    fn take(&mut self, body: &[u8], line: Range<usize>) {
        let text = &body[line.clone()];
        let Some(colon) = text.iter().position(|byte| *byte == b':') else { return };
        let value = line.start + colon + 1..line.end;
        let content = body[value.clone()].trim_ascii();
        match text[..colon].to_ascii_lowercase().as_slice() {
            b"content-disposition" => {
                for one in parameters(&body[value.clone()], value.start) {
                    if one.is(body, "name") {
                        self.name = Some(meant(&unquoted(&body[one.value])));
                    } else if one.is(body, "name*") {
                        self.is_odd = true;
                    } else if one.is(body, "filename") || one.is(body, "filename*") {
                        let quotes = usize::from(body[one.value.clone()].starts_with(b"\""));
                        self.file_names.push(one.value.start + quotes..one.value.end - quotes);
                    }
                }
            }
            b"content-type" => {
                self.said = Said::of(content);
                self.is_encoded |= self.said.is_wide;
            }
            b"content-transfer-encoding" => {
                let plain: [&[u8]; 3] = [b"7bit", b"8bit", b"binary"];
                self.is_encoded |= !plain.contains(&content.to_ascii_lowercase().as_slice());
            }
            b"content-length" if content.iter().all(u8::is_ascii_digit) => {
                let start = value.end - body[value.clone()].trim_ascii_start().len();
                self.length = Some(start..start + content.len());
            }
            _ => {}
        }
    }
}

/// A parameter of a field, such as `name="a"`, by its places.
struct Parameter {
    key: Range<usize>,
    /// With its quotes.
    value: Range<usize>,
}

impl Parameter {
    fn is(&self, text: &[u8], key: &str) -> bool {
        text[self.key.clone()].eq_ignore_ascii_case(key.as_bytes())
    }
}

/// The parameters behind the first word of a field that begins at `start`.
fn parameters(field: &[u8], start: usize) -> impl Iterator<Item = Parameter> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += field.get(at..)?.iter().position(|byte| *byte == b';')? + 1;
        let rest = &field[at..];
        let equals = rest.iter().position(|byte| b"=;".contains(byte)).unwrap_or(rest.len());
        let key = rest[..equals].trim_ascii();
        let key_at = at + equals - rest[..equals].trim_ascii_start().len();
        let value_at = (at + equals + 1).min(field.len());
        let value = &field[value_at..];
        let blanks = value.len() - value.trim_ascii_start().len();
        let length = match &value[blanks..] {
            quoted @ [b'"', ..] => end_of_quotes(quoted).unwrap_or(quoted.len()),
            word => word.iter().position(|byte| *byte == b';').unwrap_or(word.len()),
        };
        let length = if rest.get(equals) == Some(&b'=') { length } else { 0 };
        let from = value_at + if length > 0 { blanks } else { 0 };
        let word = field[from..from + length].trim_ascii_end().len();
        at = (from + length).min(field.len()).max(at);
        Some(Parameter {
            key: start + key_at..start + key_at + key.len(),
            value: start + from..start + from + word,
        })
    })
}

/// Where a text in quotes ends, behind its last quote.
fn end_of_quotes(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

/// Without quotes around it, and backslashes before what stands for itself.
fn unquoted(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(inside) = text.strip_prefix(b"\"") else { return Cow::Borrowed(text) };
    let inside = inside.strip_suffix(b"\"").unwrap_or(inside);
    let mut out = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            byte => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// A name as it was before a browser wrote it: quotes and ends of lines have three characters there.
fn meant(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = [(&b"%22"[..], b'"'), (b"%0D", b'\r'), (b"%0A", b'\n')];
        let found = escaped.iter().find(|(written, _)| rest.starts_with(written));
        match found {
            Some((written, byte)) => {
                out.push(*byte);
                rest = &rest[written.len()..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names, files and contents of the parts, and whether it is whole; `None` without parts.
    #[track_caller]
    fn check(content_type: &str, body: &str, expected: Option<(&[&str], bool)>) {
        let found = Said::of(content_type.as_bytes()).parts(body.as_bytes()).map(|found| {
            let parts = found.parts.iter().map(|part| {
                let name = part.name.as_deref().map(String::from_utf8_lossy);
                let files =
                    part.file_names.iter().map(|range| format!("({})", &body[range.clone()]));
                let encoded = if part.is_encoded { "!" } else { "" };
                let content = &body[part.content.clone()];
                let name = name.unwrap_or("-".into());
                format!("{name}{}{encoded}={content}", files.collect::<String>())
            });
            (parts.collect::<Vec<_>>(), found.is_whole)
        });
        let expected = expected.map(|(parts, is_whole)| {
            (parts.iter().map(|part| (*part).to_owned()).collect(), is_whole)
        });
        assert_eq!(found, expected, "{body:?}");
    }

    #[test]
    fn parts_are_found() {
        let kind = "multipart/form-data; boundary=x";
        let field = "Content-Disposition: form-data; name=";
        let two =
            format!("--x\r\n{field}\"a\"\r\n\r\n1\r\n--x\r\n{field}b\r\n\r\n2\r\n3\r\n--x--\r\n");
        check(kind, &two, Some((&["a=1", "b=2\r\n3"], true)));
        check(
            "Multipart/Mixed; charset=a;Boundary = \"x\"",
            &two,
            Some((&["a=1", "b=2\r\n3"], true)),
        );
        // It says itself what stands between its parts.
        check("", &two, Some((&["a=1", "b=2\r\n3"], true)));
        check(kind, &two.replace("\r\n", "\n"), Some((&["a=1", "b=2\n3"], true)));
        check(kind, &two[..two.len() - 9], Some((&["a=1", "b=2\r\n3"], false)));
        check(kind, &format!("before\r\n{two}after"), Some((&["a=1", "b=2\r\n3"], true)));
        check(kind, "--x--", Some((&[], true)));
        check(kind, "--x\r\nno head", Some((&[], false)));
        // A line that only begins like a boundary is content.
        check(
            kind,
            &format!("--x\r\n{field}a\r\n\r\n--xy\r\n -- --x\r\n--x--"),
            Some((&["a=--xy\r\n -- --x"], true)),
        );
        check(
            kind,
            &format!("--x\r\n{field}\"a\\\"%22%0Db\"; filename=\"c;d.txt\"\r\n\r\n\r\n--x--"),
            Some((&["a\"\"\rb(c;d.txt)="], true)),
        );
        let encoded = "Content-Transfer-Encoding: base64\r\n";
        check(kind, &format!("--x\r\n{encoded}\r\nYQ==\r\n--x--"), Some((&["-!=YQ=="], true)));
        let plain = "content-transfer-encoding: Binary\r\n";
        check(kind, &format!("--x\r\n{plain}\r\nYQ==\r\n--x--"), Some((&["-=YQ=="], true)));
        for other in ["", "--", "--x", "--x\r\nhello", "a--x\r\n", "-- a\r\n"] {
            check("", other, None);
        }
        check("multipart/form-data", "--x\r\nhello", None);
        check(kind, "a --x", None);
    }

    #[test]
    fn any_bytes_are_taken_apart_without_a_panic() {
        let whole = b"--x\r\nContent-Disposition: form-data; name=\"a\\\"; filename=;;= \"\r\n\
            Content-Type: multipart/mixed; boundary=\r\nContent-Length: 1\r\n\r\n1\r\n--x--";
        for start in 0..whole.len() {
            for end in start..=whole.len() {
                let said = Said::of(&whole[start..end]);
                let _ = (said.parts(whole), Said::default().parts(&whole[start..end]));
                let _ = parts(&whole[start..end], b"x");
            }
        }
    }
}
