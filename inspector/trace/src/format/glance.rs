//! Reads the line of an event without building an event of it.
//!
//! A trace has as many lines as events, and a scan needs five numbers of each. [`Glance::of`] reads
//! the layout that our own writer gives without allocating; any other layout goes through the
//! decoder that the reader uses, so both always see the same.

use std::borrow::Cow;
use std::time::Duration;

use glovebox_events::{CallId, Outcome, Timing};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::wire::{Body, Follows, Line};

/// An event as a scan sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Glance<'a> {
    Event(EventGlance<'a>),
    /// So many events were not recorded.
    Gap {
        lost: u64,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventGlance<'a> {
    pub(crate) sequence: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) plugin: Cow<'a, str>,
    pub(crate) instance: u64,
    pub(crate) generation: u32,
    pub(crate) what: WhatGlance,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WhatGlance {
    FrameIn {
        call: CallId,
    },
    FrameOut {
        call: CallId,
    },
    HostCall {
        call: Option<CallId>,
    },
    Ended {
        call: CallId,
        end: End,
    },
    /// Something outside of calls.
    Outside,
}

/// How a call ended, and where its time went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The outcome. As JSON, because the format of an index cannot hold an enum that is tagged inside.
    #[serde(serialize_with = "to_json", deserialize_with = "from_json")]
    pub outcome: Outcome,
    /// The timing.
    pub timing: Timing,
    /// Bytes of memory of the instance afterwards, if that is known.
    pub memory: Option<u64>,
}

fn to_json<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_string(outcome).map_err(ser::Error::custom)?.serialize(serializer)
}

fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    serde_json::from_str(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl WhatGlance {
    pub(crate) fn is_frame(&self) -> bool {
        self.follows() == Follows::Frame
    }

    pub(crate) fn follows(&self) -> Follows {
        match self {
            WhatGlance::FrameIn { .. } | WhatGlance::FrameOut { .. } => Follows::Frame,
            WhatGlance::HostCall { .. } => Follows::HostCall,
            WhatGlance::Ended { .. } | WhatGlance::Outside => Follows::Nothing,
        }
    }
}

impl<'a> Glance<'a> {
    /// Looks at one message of `/workbench/events`.
    pub(crate) fn of(line: &'a [u8]) -> Result<Glance<'a>, String> {
        match Cursor(line).event() {
            Some(event) => Ok(Glance::Event(event)),
            None => Glance::decode(line),
        }
    }

    /// True if the line is that of a frame. By its last bytes in our layout, else by all of it.
    pub(crate) fn is_of_frame(line: &[u8]) -> bool {
        if let Some(rest) = line.strip_suffix(b"}}}}") {
            let rest = without_number(rest);
            if rest.ends_with(br#""what":{"frame-in":{"call":"#) {
                return true;
            }
            if rest.ends_with(br#""what":{"host-call":{"call":"#) {
                return false;
            }
            let emitted = |emitted: &[u8]| rest.strip_suffix(emitted);
            let out = emitted(br#","emitted":false"#).or_else(|| emitted(br#","emitted":true"#));
            if out.is_some_and(is_of_output) {
                return true;
            }
        }
        match Glance::of(line) {
            Ok(Glance::Event(event)) => event.what.is_frame(),
            _ => false,
        }
    }

    /// The call that the line is about, by its first bytes in our layout; `None` if all of it must
    /// be looked at to know.
    pub(crate) fn call_of(line: &[u8]) -> Option<CallId> {
        Cursor(line).call()
    }

    fn decode(line: &'a [u8]) -> Result<Glance<'a>, String> {
        let envelope = match serde_json::from_slice(line).map_err(|error| error.to_string())? {
            Line::Gap { lost, .. } => return Ok(Glance::Gap { lost }),
            Line::Event(envelope) => envelope,
        };
        let what = match envelope.what {
            Body::FrameIn { call } => WhatGlance::FrameIn { call },
            Body::FrameOut { call, .. } => WhatGlance::FrameOut { call },
            Body::HostCall { call } => WhatGlance::HostCall { call },
            Body::CallEnded { call, outcome, queue, guest, host, boundary, memory, .. } => {
                let timing = timing(queue, guest, host, boundary);
                WhatGlance::Ended { call, end: End { outcome, timing, memory } }
            }
            _ => WhatGlance::Outside,
        };
        Ok(Glance::Event(EventGlance {
            sequence: envelope.sequence,
            at: envelope.at,
            plugin: envelope.plugin,
            instance: envelope.instance,
            generation: envelope.generation,
            what,
        }))
    }
}

/// True if a line that ends here is that of an output.
fn is_of_output(line: &[u8]) -> bool {
    without_number(line)
        .strip_suffix(br#","index":"#)
        .is_some_and(|rest| without_number(rest).ends_with(br#""what":{"frame-out":{"call":"#))
}

/// The line up to the digits at its end.
fn without_number(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    &line[..end]
}

fn timing(queue: u64, guest: u64, host: u64, boundary: u64) -> Timing {
    Timing {
        queue: Duration::from_nanos(queue),
        guest: Duration::from_nanos(guest),
        host: Duration::from_nanos(host),
        boundary: Duration::from_nanos(boundary),
    }
}

/// The rest of a line. Every step gives `None` if something else stands there.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn call(mut self) -> Option<CallId> {
        self.eat(br#"{"event":{"sequence":"#)?;
        self.number()?;
        self.eat(br#","at":"#)?;
        self.number()?;
        self.eat(br#","plugin":""#)?;
        self.text()?;
        self.eat(br#","instance":"#)?;
        self.number()?;
        self.eat(br#","generation":"#)?;
        self.number()?;
        self.eat(br#","what":{""#)?;
        let kinds: [&[u8]; 4] = [b"frame-in", b"frame-out", b"call-ended", b"host-call"];
        kinds.into_iter().find_map(|kind| self.eat(kind))?;
        self.eat(br#"":{"call":"#)?;
        self.number().map(CallId)
    }

    fn event(mut self) -> Option<EventGlance<'a>> {
        self.eat(br#"{"event":{"sequence":"#)?;
        let sequence = self.number()?;
        self.eat(br#","at":"#)?;
        let at = self.number()?;
        self.eat(br#","plugin":""#)?;
        let plugin = self.text()?;
        self.eat(br#","instance":"#)?;
        let instance = self.number()?;
        self.eat(br#","generation":"#)?;
        let generation = u32::try_from(self.number()?).ok()?;
        self.eat(br#","what":{""#)?;
        let what = self.what()?;
        (self.0 == b"}}}}").then_some(())?;
        Some(EventGlance {
            sequence,
            at,
            plugin: Cow::Borrowed(plugin),
            instance,
            generation,
            what,
        })
    }

    fn what(&mut self) -> Option<WhatGlance> {
        if self.eat(br#"frame-in":{"call":"#).is_some() {
            let call = CallId(self.number()?);
            return Some(WhatGlance::FrameIn { call });
        }
        if self.eat(br#"frame-out":{"call":"#).is_some() {
            let call = CallId(self.number()?);
            self.eat(br#","index":"#)?;
            u32::try_from(self.number()?).ok()?;
            self.eat(br#","emitted":"#)?;
            self.eat(b"false").or_else(|| self.eat(b"true"))?;
            return Some(WhatGlance::FrameOut { call });
        }
        if self.eat(br#"host-call":{"call":"#).is_some() {
            let call = match self.eat(b"null") {
                Some(()) => None,
                None => Some(CallId(self.number()?)),
            };
            return Some(WhatGlance::HostCall { call });
        }
        self.eat(br#"call-ended":{"call":"#)?;
        let call = CallId(self.number()?);
        // Anything but `completed` has texts of its own, and is rare.
        self.eat(br#","outcome":{"outcome":"completed"},"queue":"#)?;
        let queue = self.number()?;
        self.eat(br#","guest":"#)?;
        let guest = self.number()?;
        self.eat(br#","host":"#)?;
        let host = self.number()?;
        self.eat(br#","boundary":"#)?;
        let boundary = self.number()?;
        self.eat(br#","bytes-in":"#)?;
        self.number()?;
        self.eat(br#","bytes-out":"#)?;
        self.number()?;
        self.eat(br#","frames-out":"#)?;
        u32::try_from(self.number()?).ok()?;
        self.eat(br#","memory":"#)?;
        let memory = match self.eat(b"null") {
            Some(()) => None,
            None => Some(self.number()?),
        };
        let timing = timing(queue, guest, host, boundary);
        Some(WhatGlance::Ended { call, end: End { outcome: Outcome::Completed, timing, memory } })
    }

    #[inline]
    fn eat(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// An integer as JSON has it: no sign, no leading zero.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        let mut digits = 0;
        while let Some(digit) = self.0.get(digits).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            // Nineteen digits always fit.
            value = match digits {
                0..19 => value * 10 + u64::from(digit),
                _ => value.checked_mul(10)?.checked_add(u64::from(digit))?,
            };
            digits += 1;
        }
        if digits == 0 || (digits > 1 && self.0[0] == b'0') {
            return None;
        }
        self.0 = &self.0[digits..];
        Some(value)
    }

    /// A text up to its closing quote, without escapes.
    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use glovebox_events::What;

    use super::super::wire::Envelope;
    use super::*;
    use crate::sample;

    /// The quick look, and the same through the decoder.
    fn check(line: &str, is_quick: bool) {
        let quick = Cursor(line.as_bytes()).event();
        assert_eq!(quick.is_some(), is_quick, "{line}");
        if let Some(quick) = quick {
            let decoded = Glance::decode(line.as_bytes()).expect(line);
            assert_eq!(Glance::Event(quick), decoded, "{line}");
        }
    }

    #[test]
    fn lines_of_our_writer_are_read_at_a_glance() {
        let mut quick = 0;
        for event in sample::events() {
            let line = serde_json::to_string(&Line::Event(Envelope::of(&event))).expect("no maps");
            let is_quick = Cursor(line.as_bytes()).event().is_some();
            quick += usize::from(is_quick);
            check(&line, is_quick);
            let call = event.what.call();
            // Numbers alone: a host call outside of calls is looked at in full.
            assert_eq!(Glance::call_of(line.as_bytes()), call, "{line}");
            let is_frame = matches!(event.what, What::FrameIn { .. } | What::FrameOut { .. });
            assert_eq!(Glance::is_of_frame(line.as_bytes()), is_frame, "{line}");
            assert!(Glance::of(line.as_bytes()).is_ok(), "{line}");
        }
        // Three frames, two host calls and a call that completed.
        assert_eq!(quick, 6);
    }

    #[test]
    fn other_layouts_are_left_to_the_decoder() {
        let line = |sequence: &str, plugin: &str, end: &str| {
            format!(
                r#"{{"event":{{"sequence":{sequence},"at":2,"plugin":"{plugin}","instance":0,"generation":1,"what":{{"frame-in":{{"call":3}}{end}"#
            )
        };
        check(&line("1", "echo", "}}}"), true);
        check(&line("18446744073709551615", "echo", "}}}"), true);
        check(&line("18446744073709551616", "echo", "}}}"), false);
        check(&line("01", "echo", "}}}"), false);
        check(&line("-1", "echo", "}}}"), false);
        check(&line("", "echo", "}}}"), false);
        check(&line("1", "ec\\u0068o", "}}}"), false);
        check(&line("1", "ech\u{7}o", "}}}"), false);
        check(&line("1", "écho", "}}}"), true);
        check(&line("1", "echo", "}}} "), false);
        check(&line("1", "echo", "}}"), false);
        check(r#"{"gap":{"lost":3}}"#, false);
        assert_eq!(Glance::of(br#"{"gap":{"lost":3}}"#), Ok(Glance::Gap { lost: 3 }));
        let escaped = line("1", "ec\\u0068o", "}}}");
        assert!(matches!(
            Glance::of(escaped.as_bytes()),
            Ok(Glance::Event(EventGlance { plugin, .. })) if plugin == "echo"
        ));
        assert!(Glance::of(b"{").is_err());
    }
}
