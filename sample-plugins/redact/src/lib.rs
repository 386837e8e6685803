//! Removes e-mail addresses, card numbers and tokens from frames.
//!
//! A JSON payload, or several behind each other, is changed value by value: a number under the key
//! `password` is found as well as an address in the middle of a text, and the result is JSON again. Any
//! other payload is searched as text, so that HTTP messages, log lines with JSON in them and JSON that is
//! cut off are covered. Texts are searched as they are read, without escapes, however many layers
//! of JSON there are. The rest passes byte for byte, spaces and the order of keys included.
//!
//! A payload that cannot be searched is not passed on: the call fails.
//!
//! Deliberately, keys are not changed, and a length that a message states about itself, such as
//! `Content-Length`, is not adapted.
#![forbid(unsafe_code)]

mod escapes;
mod find;

use glovebox_sdk::{Failure, Frame, Kind, LogLevel, Plugin, Services};
use serde::Deserialize;
use serde::de::IgnoredAny;

use find::{Find, What};

/// `[config]` of the plugin.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    emails: bool,
    cards: bool,
    tokens: bool,
    /// The text in place of a removed one.
    replacement: String,
    /// Whether payloads that are not JSON are searched too.
    text: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            emails: true,
            cards: true,
            tokens: true,
            replacement: "[redacted]".to_owned(),
            text: true,
        }
    }
}

/// The plugin: its settings.
#[derive(Debug, Default)]
pub struct Redact {
    settings: Settings,
}

impl Plugin for Redact {
    fn initialize(&mut self, _services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        self.settings = glovebox_sdk::config(config)?;
        Ok(())
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let mut pass = Pass { settings: &self.settings, counts: [0; 3] };
        let payload = match frame.kind {
            Kind::DATA if is_json(&frame.payload) => pass.redact_json(&frame.payload)?,
            Kind::DATA if self.settings.text => pass.redact_text(&frame.payload, Written::Plainly),
            Kind::DATA if begins_as_json(&frame.payload) => {
                let reason = "the payload begins as JSON and is none, and with text = false it is not \
                              searched as text, so it is not passed on";
                return Err(Failure::invalid(reason));
            }
            _ => None,
        };
        let Some(payload) = payload else {
            return Ok(vec![frame.clone()]);
        };
        let [emails, cards, tokens] = pass.counts;
        // A user who denies us the log or the metrics still gets redacted frames.
        let line =
            format!("removed {emails} e-mail addresses, {cards} card numbers, {tokens} tokens");
        let _ = services.log(LogLevel::Info, &line);
        for (what, count) in What::ALL.iter().zip(pass.counts) {
            if count > 0 {
                let _ = services.metric(what.metric(), count.into());
            }
        }
        Ok(vec![Frame::new(frame.kind, frame.header.clone(), payload)])
    }
}

/// One frame on its way through.
struct Pass<'a> {
    settings: &'a Settings,
    counts: [u32; 3],
}

impl Pass<'_> {
    fn wants(&self, what: What) -> bool {
        match what {
            What::Email => self.settings.emails,
            What::Card => self.settings.cards,
            What::Token => self.settings.tokens,
        }
    }

    /// The JSON without what was found; `None` if nothing was.
    fn redact_json(&mut self, json: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let replacement = serde_json::to_vec(&self.settings.replacement).map_err(unsearched)?;
        let mut out = Vec::new();
        let (mut copied, mut start) = (0, 0);
        while start < json.len() {
            let (redacted, end) = match json[start] {
                b'"' => {
                    let end = value_end(json, start)?;
                    let inside = start + 1..end - 1;
                    let key = escapes::layers(&json[inside.clone()]);
                    let key = key.first().map_or(&json[inside.clone()], |key| &key.bytes);
                    let colon = end + find::length(&json[end..], |byte| byte.is_ascii_whitespace());
                    let is_key = json.get(colon) == Some(&b':');
                    if is_key && self.settings.tokens && find::is_secret_key(key) {
                        self.counts[What::Token as usize] += 1;
                        // The whole value goes, whatever it is.
                        start = colon + 1;
                        start += find::length(&json[start..], |byte| byte.is_ascii_whitespace());
                        (Some(replacement.clone()), value_end(json, start)?)
                    } else if is_key {
                        (None, end)
                    } else {
                        let text = self.redact_text(&json[inside], Written::InQuotes);
                        (text.map(|text| [b"\"", &text[..], b"\""].concat()), end)
                    }
                }
                // Numbers too are looked at as text: a card number is often stored as one.
                b'-' | b'0'..=b'9' => {
                    let end = value_end(json, start)?;
                    let found = self.redact_text(&json[start..end], Written::Plainly);
                    (found.map(|_| replacement.clone()), end)
                }
                _ => (None, start + 1),
            };
            if let Some(redacted) = redacted {
                out.extend(&json[copied..start]);
                out.extend(redacted);
                copied = end;
            }
            start = end;
        }
        out.extend(&json[copied..]);
        Ok((copied > 0).then_some(out))
    }

    /// The text without what was found; `None` if nothing was.
    fn redact_text(&mut self, text: &[u8], written: Written) -> Option<Vec<u8>> {
        let layers = escapes::layers(text);
        let mut finds: Vec<Find> = Vec::new();
        for depth in 0..=layers.len() {
            // Text in quotes says nothing until its escapes are taken out.
            if depth == 0 && written == Written::InQuotes && !layers.is_empty() {
                continue;
            }
            let below = &layers[..depth];
            let seen = below.last().map_or(text, |layer| &layer.bytes);
            for Find { what, range } in find::all(seen, |what| self.wants(what)) {
                finds.push(Find { what, range: escapes::source(below, range) });
            }
        }
        finds.sort_by_key(|find| find.range.start);
        let replacement = match written {
            Written::Plainly => self.settings.replacement.clone(),
            Written::InQuotes => escaped(&self.settings.replacement),
        };
        let (mut out, mut copied) = (Vec::new(), 0);
        for Find { what, range } in finds {
            // Otherwise it was found in another layer already; perhaps not all of it.
            if range.start >= copied {
                self.counts[what as usize] += 1;
                out.extend(&text[copied..range.start]);
                out.extend(replacement.as_bytes());
            }
            copied = copied.max(range.end);
        }
        out.extend(&text[copied..]);
        (copied > 0).then_some(out)
    }
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Plainly,
    /// Between the quotes of JSON, where some characters are escaped.
    InQuotes,
}

/// A text as it stands between the quotes of JSON.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// True if the bytes are one JSON value, or begin with a map or list and are several.
fn is_json(bytes: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    let first = matches!(values.next(), Some(Ok(_)));
    let many = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
    first && (many || values.next().is_none()) && values.all(|value| value.is_ok())
}

/// True if the bytes look like JSON that is cut off or broken, and not like `[INFO] started`.
fn begins_as_json(bytes: &[u8]) -> bool {
    let mut begin = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    match begin.next() {
        Some(b'{') => true,
        Some(b'[') => matches!(begin.next(), Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9') | None),
        _ => false,
    }
}

/// Where the JSON value ends that stands at `start`.
fn value_end(json: &[u8], start: usize) -> Result<usize, Failure> {
    let mut values = serde_json::Deserializer::from_slice(&json[start..]).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(start + values.byte_offset()),
        Some(Err(error)) => Err(unsearched(error)),
        None => Err(Failure::invalid("the payload ends before a value; it is not passed on")),
    }
}

/// Nothing of the payload is passed on.
fn unsearched(error: serde_json::Error) -> Failure {
    Failure::invalid(format!("the payload could not be searched and is not passed on: {error}"))
}

glovebox_sdk::export!(Redact);

#[cfg(test)]
mod tests;
