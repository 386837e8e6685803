//! Removes e-mail addresses, card numbers and tokens from what passes through.
//!
//! A JSON payload is changed value by value: a number under the key `password` is found as well as
//! an address in the middle of a text, and the result is JSON again. Any other payload is searched
//! as text, so that HTTP messages and log lines with JSON in them are covered. What is not removed
//! passes byte for byte, spaces and the order of keys included.
//!
//! What it deliberately does not do: a length that a message states about itself, such as
//! `Content-Length`, is not adapted.
#![forbid(unsafe_code)]

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
    /// What stands where something was removed.
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
        let is_json = || serde_json::from_slice::<IgnoredAny>(&frame.payload).is_ok();
        let payload = match frame.kind {
            Kind::DATA if is_json() => pass.redact_json(&frame.payload),
            Kind::DATA if self.settings.text => pass.redact_text(&frame.payload),
            _ => None,
        };
        let Some(payload) = payload else {
            return Ok(vec![frame.clone()]);
        };
        let [emails, cards, tokens] = pass.counts;
        // Whoever denies us the log or the metrics still gets redacted frames.
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
    fn redact_json(&mut self, json: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut copied, mut start) = (Vec::new(), 0, 0);
        while start < json.len() {
            let (redacted, end) = match json[start] {
                b'"' => {
                    let (text, end) = read::<String>(json, start)?;
                    let colon = end + find::length(&json[end..], |byte| byte.is_ascii_whitespace());
                    let is_key = json.get(colon) == Some(&b':');
                    if is_key && self.settings.tokens && find::is_secret_key(text.as_bytes()) {
                        self.counts[What::Token as usize] += 1;
                        // The whole value goes, whatever it is.
                        start = colon + 1;
                        start += find::length(&json[start..], |byte| byte.is_ascii_whitespace());
                        let (_, end) = read::<IgnoredAny>(json, start)?;
                        (Some(self.settings.replacement.as_bytes().to_vec()), end)
                    } else if is_key {
                        (None, end)
                    } else {
                        (self.redact_text(text.as_bytes()), end)
                    }
                }
                // Numbers too are looked at as text: a card number is often stored as one.
                b'-' | b'0'..=b'9' => {
                    let (_, end) = read::<IgnoredAny>(json, start)?;
                    (self.redact_text(&json[start..end]), end)
                }
                _ => (None, start + 1),
            };
            if let Some(redacted) = redacted {
                out.extend(&json[copied..start]);
                let text = String::from_utf8_lossy(&redacted);
                serde_json::to_writer(&mut out, &text).ok()?;
                copied = end;
            }
            start = end;
        }
        out.extend(&json[copied..]);
        (copied > 0).then_some(out)
    }

    /// The text without what was found; `None` if nothing was.
    fn redact_text(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut copied = 0;
        for Find { what, range } in find::all(text, |what| self.wants(what)) {
            self.counts[what as usize] += 1;
            out.extend(&text[copied..range.start]);
            out.extend(self.settings.replacement.as_bytes());
            copied = range.end;
        }
        out.extend(&text[copied..]);
        (copied > 0).then_some(out)
    }
}

/// The JSON value that stands at `start`, and where it ends.
fn read<'a, T: Deserialize<'a>>(json: &'a [u8], start: usize) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_slice(&json[start..]).into_iter();
    let value = values.next()?.ok()?;
    Some((value, start + values.byte_offset()))
}

glovebox_sdk::export!(Redact);

#[cfg(test)]
mod tests;
