//! HTTP/1 messages: their targets and bodies, with chunks put together, and whether all of a body is
//! there (<https://www.rfc-editor.org/rfc/rfc9112>).

use std::borrow::Cow;
use std::ops::Range;

use super::multipart::Said;

/// A part of a payload that begins with a message.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Message(Message<'a>),
    /// Bytes behind the last message.
    Rest(&'a [u8]),
}

#[derive(Debug)]
pub(super) struct Message<'a> {
    /// All of it, as it stands there.
    pub(super) raw: &'a [u8],
    /// With the empty line.
    pub(super) head: &'a [u8],
    /// The first line of the head.
    pub(super) first_line: Range<usize>,
    pub(super) body: Cow<'a, [u8]>,
    /// The type of the body, by the head.
    pub(super) said: Said,
    pub(super) extent: Extent,
    framing: Framing<'a>,
}

/// How much of a message is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// The head says no length: it may go on elsewhere.
    Open,
    /// Some of its head or body is elsewhere.
    Cut,
}

#[derive(Debug)]
enum Framing<'a> {
    /// The head says the length.
    Length,
    Chunks {
        /// Bytes of the last chunk that are elsewhere.
        missing: usize,
        /// The bytes behind the last byte of the body: the end of its chunk, the last chunk, and the
        /// trailer, as far as they are there.
        tail: &'a [u8],
    },
    /// As long as there is something, or longer than what is there.
    Open,
}

impl Message<'_> {
    /// Writes the message with another head and body, and its length if the head says it; chunks
    /// become one. The place of the body in what was written.
    pub(super) fn write_with(&self, head: &[u8], body: &[u8], out: &mut Vec<u8>) -> Range<usize> {
        match &self.framing {
            Framing::Length => match length_of(head) {
                Some(digits) => {
                    out.extend_from_slice(&head[..digits.start]);
                    out.extend_from_slice(body.len().to_string().as_bytes());
                    out.extend_from_slice(&head[digits.end..]);
                }
                None => out.extend_from_slice(head),
            },
            Framing::Chunks { .. } | Framing::Open => out.extend_from_slice(head),
        }
        let chunk = match self.framing {
            Framing::Chunks { missing, .. } => body.len().saturating_add(missing),
            _ => 0,
        };
        if chunk > 0 {
            out.extend(format!("{chunk:x}\r\n").into_bytes());
        }
        let start = out.len();
        out.extend_from_slice(body);
        let end = out.len();
        if let Framing::Chunks { tail, .. } = self.framing {
            let has_chunk = chunk > 0 || self.body.is_empty();
            let end_of_chunk =
                if has_chunk { 0 } else { line(tail).map_or(0, |(_, length)| length) };
            out.extend_from_slice(&tail[end_of_chunk..]);
        }
        start..end
    }

    pub(super) fn is_chunked(&self) -> bool {
        matches!(self.framing, Framing::Chunks { .. })
    }

    /// The bytes behind the last chunk.
    pub(super) fn trailer(&self) -> &[u8] {
        let Framing::Chunks { tail, .. } = self.framing else { return &[] };
        let tail = match line(tail) {
            Some(([], length)) => &tail[length..],
            _ => tail,
        };
        match chunk_line(tail) {
            Some((0, length)) => &tail[length..],
            _ => tail,
        }
    }
}

/// Where the digits stand in a head that say the length of the body.
pub(super) fn length_of(head: &[u8]) -> Option<Range<usize>> {
    Head::of(head)?.length.map(|(_, digits)| digits)
}

/// The line at the front without its end, and its length with it. Some programs write no `\r`.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1))
}

/// Where the body begins, behind an empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (line, length) = line(&bytes[at..])?;
        at += length;
        if line.is_empty() && at > length {
            return Some(at);
        }
    }
}

/// The facts about a body in its head.
#[derive(Debug, Default)]
struct Head {
    /// The length of the first line.
    first: usize,
    is_response: bool,
    /// True of a response that has no body, whatever else it says.
    is_bare: bool,
    /// With the place of its digits.
    length: Option<(usize, Range<usize>)>,
    is_chunked: bool,
    has_type: bool,
    said: Said,
}

impl Head {
    /// `None` if it is none of HTTP/1.
    fn of(bytes: &[u8]) -> Option<Head> {
        if !begins(bytes) {
            return None;
        }
        let (first, mut at) = line(bytes).unwrap_or((bytes, bytes.len()));
        let is_response = first.starts_with(RESPONSE);
        let status = first.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let is_bare =
            is_response && (status.starts_with(b"1") || matches!(status, b"204" | b"304"));
        let mut head = Head { first: first.len(), is_response, is_bare, ..Head::default() };
        while let Some((line, length)) = line(&bytes[at..]) {
            head.take(line, at);
            at += length;
        }
        Some(head)
    }

    fn take(&mut self, line: &[u8], at: usize) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let value = &line[colon + 1..];
        let start = at + line.len() - value.trim_ascii_start().len();
        let value = value.trim_ascii();
        let has = |word: &[u8]| memchr::memmem::find(&value.to_ascii_lowercase(), word).is_some();
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"content-length" => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.length = number.map(|number| (number, start..start + value.len()));
            }
            b"transfer-encoding" => self.is_chunked = has(b"chunked"),
            b"content-type" => {
                self.has_type = true;
                self.said = Said::of(value);
            }
            _ => {}
        }
    }
}

const RESPONSE: &[u8] = b"HTTP/1.";

/// True of the status of a response, and of a method, a target and a version.
fn begins(bytes: &[u8]) -> bool {
    if bytes.starts_with(RESPONSE) {
        return true;
    }
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let line = line(bytes).map_or(bytes, |(line, _)| line);
    let mut words = line.split(|byte| *byte == b' ');
    let is_method = |word: &[u8]| word.len() > 2 && word.iter().all(u8::is_ascii_uppercase);
    words.next().is_some_and(is_method)
        && words.next_back().is_some_and(|version| version.starts_with(RESPONSE))
        && words.next().is_some()
}

/// The parts of a payload that begins with a message; `None` of any other.
pub(super) fn parts(payload: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = vec![Part::Message(message(payload)?)];
    let mut at = match &parts[0] {
        Part::Message(message) => message.raw.len(),
        Part::Rest(rest) => rest.len(),
    };
    while at < payload.len() {
        let rest = &payload[at..];
        match message(rest) {
            Some(message) => {
                at += message.raw.len();
                parts.push(Part::Message(message));
            }
            None => {
                parts.push(Part::Rest(rest));
                break;
            }
        }
    }
    Some(parts)
}

/// The message at the front.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    if !begins(bytes) {
        return None;
    }
    let whole_head = end_of_head(bytes);
    let end = whole_head.unwrap_or(bytes.len());
    let (head, rest) = bytes.split_at(end);
    let Head { first, is_response, is_bare, length, is_chunked, has_type, said } = Head::of(head)?;
    let nothing = (Cow::Borrowed(&rest[..0]), Framing::Open, 0);
    let mut extent = if whole_head.is_some() { Extent::Whole } else { Extent::Cut };
    let (body, framing, taken) = match length {
        _ if whole_head.is_none() || is_bare => nothing,
        _ if is_chunked => {
            let chunks = joined(rest);
            if !chunks.is_whole {
                extent = Extent::Cut;
            }
            let tail = &rest[chunks.end..chunks.end_of_tail];
            let framing = Framing::Chunks { missing: chunks.missing, tail };
            (Cow::Owned(chunks.body), framing, chunks.end_of_tail)
        }
        Some((length, _)) => {
            let taken = length.min(rest.len());
            let framing = match taken == length {
                true => Framing::Length,
                // Of a body that goes on elsewhere, the new length is not known.
                false => {
                    extent = Extent::Cut;
                    Framing::Open
                }
            };
            (Cow::Borrowed(&rest[..taken]), framing, taken)
        }
        // A request that says nothing of a body has none, but some programs send one.
        None if !is_response && !has_type && rest.trim_ascii().is_empty() => nothing,
        None if !is_response && begins(rest) => nothing,
        None => {
            extent = Extent::Open;
            (Cow::Borrowed(rest), Framing::Open, rest.len())
        }
    };
    let raw = &bytes[..end + taken];
    Some(Message { raw, head, first_line: 0..first, body, said, extent, framing })
}

/// Chunks without what stands between them.
#[derive(Debug, Default)]
struct Chunks {
    body: Vec<u8>,
    /// Where the last byte of the body ends.
    end: usize,
    /// Where the chunks end, as far as they are there.
    end_of_tail: usize,
    /// Bytes of the last chunk that are elsewhere.
    missing: usize,
    is_whole: bool,
}

fn joined(bytes: &[u8]) -> Chunks {
    let mut chunks = Chunks { end_of_tail: bytes.len(), ..Chunks::default() };
    let mut at = 0;
    while let Some((said, start)) = chunk_line(&bytes[at..]) {
        at += start;
        if said == 0 {
            while let Some((trailer, length)) = line(&bytes[at..]) {
                at += length;
                if trailer.is_empty() {
                    (chunks.end_of_tail, chunks.is_whole) = (at, true);
                    break;
                }
            }
            break;
        }
        let there = said.min(bytes.len() - at);
        chunks.body.extend_from_slice(&bytes[at..at + there]);
        at += there;
        (chunks.end, chunks.missing) = (at, said - there);
        match line(&bytes[at..]) {
            Some(([], length)) => at += length,
            _ => break,
        }
    }
    chunks
}

/// The length of a chunk, and that of the line that says it.
fn chunk_line(bytes: &[u8]) -> Option<(usize, usize)> {
    let (line, length) = line(bytes)?;
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    Some((usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart_and_put_together() {
        /// The bodies, and the payload if each body that is there becomes `x` twice.
        #[track_caller]
        fn check(payload: &str, bodies: &[&str], expected: &str) {
            let parts = parts(payload.as_bytes()).unwrap();
            let (mut out, mut found) = (Vec::new(), Vec::new());
            for part in &parts {
                match part {
                    Part::Message(message) => {
                        found.push(String::from_utf8_lossy(&message.body).into_owned());
                        match message.body.is_empty() {
                            true => out.extend_from_slice(message.raw),
                            false => drop(message.write_with(message.head, b"xx", &mut out)),
                        }
                    }
                    Part::Rest(bytes) => out.extend_from_slice(bytes),
                }
            }
            assert_eq!(found, bodies);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        check(get, &[""], get);
        let post = |length: &str, body: &str| {
            format!("POST /a HTTP/1.1\r\ncontent-Length:  {length} \r\nA: b\r\n\r\n{body}")
        };
        check(&post("3", "abc"), &["abc"], &post("2", "xx"));
        check(
            &format!("{get}{}", post("3", "abc")),
            &["", "abc"],
            &format!("{get}{}", post("2", "xx")),
        );
        check(&format!("{}more", post("3", "abc")), &["abc"], &format!("{}more", post("2", "xx")));
        // The rest is in another packet.
        check(&post("9", "abc"), &["abc"], &post("9", "xx"));
        let chunked =
            |chunks: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        check(
            &chunked("3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n"),
            &["abcd"],
            &chunked("2\r\nxx\r\n0\r\nT: u\r\n\r\n"),
        );
        // Of chunks that go on elsewhere, all that is there is one.
        check(&chunked("3\r\nabc\r\n"), &["abc"], &chunked("2\r\nxx\r\n"));
        check(&chunked("1\r\na\r\n9\r\nbc"), &["abc"], &chunked("9\r\nxx"));
        check(&chunked("3\r\nabc\r\n1"), &["abc"], &chunked("2\r\nxx\r\n1"));
        check(&chunked("5\r\n"), &[""], &chunked("5\r\n"));
        check(&chunked("3\nabc\n0\n\n"), &["abc"], &chunked("2\r\nxx\n0\n\n"));
        check(
            "HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\n\nab",
            &["", "", "ab"],
            "HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\n\nxx",
        );
        check(
            "POST / HTTP/1.1\nContent-Length: 3\n\nabc",
            &["abc"],
            "POST / HTTP/1.1\nContent-Length: 2\n\nxx",
        );
        check("POST / HTTP/1.1\r\n\r\nabc", &["abc"], "POST / HTTP/1.1\r\n\r\nxx");
        check("GET / HTTP/1.1\r\n", &[""], "GET / HTTP/1.1\r\n");
        check("HTTP/1.1 200 OK\r\n\r\nabc", &["abc"], "HTTP/1.1 200 OK\r\n\r\nxx");
        for other in ["", "I love HTTP/1.1\r\n\r\n", "hello\r\n\r\n", "{\"a\":1}\r\n\r\n"] {
            assert!(super::parts(other.as_bytes()).is_none(), "{other}");
        }
    }
}
