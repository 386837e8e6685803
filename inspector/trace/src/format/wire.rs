//! The events of a trace as JSON, and the bodies of host calls as CBOR. NDJSON is made of the same.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::Tier;
use glovebox_abi::{Frame, Permission, ServiceError};
use glovebox_events::{
    AnsweredBy, Binding, CallId, Event, HostCall, LoadStage, NoteKind, Outcome, Phase, ReloadCause,
    Timing, What,
};
use serde::{Deserialize, Serialize};

/// One message on `/workbench/events`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line<'a> {
    #[serde(borrow)]
    Event(Envelope<'a>),
    Gap {
        lost: u64,
        #[serde(default)]
        cause: GapCause,
    },
}

/// Why events are not in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GapCause {
    /// The disk was too slow, and memory was full.
    TooSlow,
    /// The disk was full, and then memory was.
    DiskFull,
    /// The disk refused, and then memory was full.
    DiskFailed,
    /// Somebody removed or shortened the file while it was written.
    FileRemoved,
    /// They do not fit into the format.
    NotEncodable,
    /// They were in a trace that could only be recovered in part.
    Damaged,
    /// They were kept in memory alone, and had to make room before they were saved.
    Evicted,
    /// The file does not say.
    #[default]
    #[serde(other)]
    Unknown,
}

impl GapCause {
    /// For people, after "because".
    pub fn reason(self) -> &'static str {
        match self {
            GapCause::TooSlow => "the disk was too slow",
            GapCause::DiskFull => "the disk was full",
            GapCause::DiskFailed => "the disk failed",
            GapCause::FileRemoved => "the file was removed or shortened",
            GapCause::NotEncodable => "they do not fit into the format",
            GapCause::Damaged => "the trace they were in is damaged",
            GapCause::Evicted => "they had to make room in memory before the rest was saved",
            GapCause::Unknown => "of an unknown cause",
        }
    }
}

/// The fields that all events have.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope<'a> {
    pub(crate) sequence: u64,
    pub(crate) at: u64,
    #[serde(borrow)]
    pub(crate) plugin: Cow<'a, str>,
    pub(crate) instance: u64,
    pub(crate) generation: u32,
    pub(crate) what: Body,
}

/// The body of an event, without frames and values. Durations are in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of `What`")]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Body {
    FrameIn {
        call: CallId,
    },
    FrameOut {
        call: CallId,
        index: u32,
        emitted: bool,
    },
    CallEnded {
        call: CallId,
        outcome: Outcome,
        queue: u64,
        guest: u64,
        host: u64,
        boundary: u64,
        bytes_in: u64,
        bytes_out: u64,
        frames_out: u32,
        memory: Option<u64>,
    },
    HostCall {
        call: Option<CallId>,
    },
    Phase {
        from: Phase,
        to: Phase,
        cause: String,
    },
    Note {
        kind: NoteKind,
        text: String,
    },
    Loaded {
        version: String,
        tier: Tier,
        binding: Binding,
        digest: String,
        took: u64,
        cached: bool,
    },
    LoadFailed {
        stage: LoadStage,
        message: String,
    },
    FramesDropped {
        frames: u64,
        reason: String,
    },
    Reloaded {
        cause: ReloadCause,
        from: u32,
        version: String,
        digest: String,
        state_version: Option<u32>,
        took: u64,
    },
    ReloadFailed {
        cause: ReloadCause,
        stage: LoadStage,
        message: String,
        took: u64,
    },
    PolicyChanged {
        summary: String,
    },
    PolicyAsked {
        permission: Permission,
        parameter: String,
    },
    Unloaded,
}

/// The message that follows the line of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// An encoded frame.
    Frame,
    /// The CBOR of a host call.
    HostCall,
    /// No message of its own.
    Nothing,
}

impl Body {
    /// The message that follows it in a trace.
    pub fn follows(&self) -> Follows {
        match self {
            Body::FrameIn { .. } | Body::FrameOut { .. } => Follows::Frame,
            Body::HostCall { .. } => Follows::HostCall,
            _ => Follows::Nothing,
        }
    }

    /// Field by field, because a clone of everything would cost most of the time of a recording.
    pub fn of(what: &What) -> Body {
        match what {
            What::FrameIn { call, .. } => Body::FrameIn { call: *call },
            What::FrameOut { call, index, emitted, .. } => {
                Body::FrameOut { call: *call, index: *index, emitted: *emitted }
            }
            What::CallEnded { call, outcome, timing, bytes_in, bytes_out, frames_out, memory } => {
                Body::CallEnded {
                    call: *call,
                    outcome: outcome.clone(),
                    queue: nanos(timing.queue),
                    guest: nanos(timing.guest),
                    host: nanos(timing.host),
                    boundary: nanos(timing.boundary),
                    bytes_in: *bytes_in,
                    bytes_out: *bytes_out,
                    frames_out: *frames_out,
                    memory: *memory,
                }
            }
            What::HostCall { call, .. } => Body::HostCall { call: *call },
            What::Phase { from, to, cause } => {
                Body::Phase { from: *from, to: *to, cause: cause.clone() }
            }
            What::Note { kind, text } => Body::Note { kind: *kind, text: text.clone() },
            What::Loaded { version, tier, binding, digest, took, cached } => Body::Loaded {
                version: version.clone(),
                tier: *tier,
                binding: *binding,
                digest: digest.clone(),
                took: nanos(*took),
                cached: *cached,
            },
            What::LoadFailed { stage, message } => {
                Body::LoadFailed { stage: *stage, message: message.clone() }
            }
            What::FramesDropped { frames, reason } => {
                Body::FramesDropped { frames: *frames, reason: reason.clone() }
            }
            What::Reloaded { cause, from, version, digest, state_version, took } => {
                Body::Reloaded {
                    cause: *cause,
                    from: *from,
                    version: version.clone(),
                    digest: digest.clone(),
                    state_version: *state_version,
                    took: nanos(*took),
                }
            }
            What::ReloadFailed { cause, stage, message, took } => Body::ReloadFailed {
                cause: *cause,
                stage: *stage,
                message: message.clone(),
                took: nanos(*took),
            },
            What::PolicyChanged { summary } => Body::PolicyChanged { summary: summary.clone() },
            What::PolicyAsked { permission, parameter } => {
                Body::PolicyAsked { permission: *permission, parameter: parameter.clone() }
            }
            What::Unloaded => Body::Unloaded,
        }
    }

    /// Joins a body with what followed it.
    ///
    /// # Errors
    ///
    /// Says what is missing, or does not fit.
    pub fn join(self, part: Part) -> Result<What, String> {
        Ok(match (self, part) {
            (Body::FrameIn { call }, Part::Frame(frame)) => What::FrameIn { call, frame },
            (Body::FrameOut { call, index, emitted }, Part::Frame(frame)) => {
                What::FrameOut { call, index, emitted, frame }
            }
            (Body::HostCall { call }, Part::HostCall(host_call)) => {
                What::HostCall { call, host_call }
            }
            (body, Part::Nothing) => body.alone()?,
            _ => return Err("an event and what follows it do not fit".to_owned()),
        })
    }

    fn alone(self) -> Result<What, String> {
        Ok(match self {
            Body::FrameIn { .. } | Body::FrameOut { .. } => {
                return Err("an event lacks its frame".to_owned());
            }
            Body::HostCall { .. } => return Err("an event lacks its host call".to_owned()),
            Body::CallEnded {
                call,
                outcome,
                queue,
                guest,
                host,
                boundary,
                bytes_in,
                bytes_out,
                frames_out,
                memory,
            } => What::CallEnded {
                call,
                outcome,
                timing: Timing {
                    queue: Duration::from_nanos(queue),
                    guest: Duration::from_nanos(guest),
                    host: Duration::from_nanos(host),
                    boundary: Duration::from_nanos(boundary),
                },
                bytes_in,
                bytes_out,
                frames_out,
                memory,
            },
            // As notes were written before they were events of their own.
            Body::Phase { from, to, cause } if from == to => {
                What::Note { kind: NoteKind::Unknown, text: cause }
            }
            Body::Phase { from, to, cause } => What::Phase { from, to, cause },
            Body::Note { kind, text } => What::Note { kind, text },
            Body::Loaded { version, tier, binding, digest, took, cached } => What::Loaded {
                version,
                tier,
                binding,
                digest,
                took: Duration::from_nanos(took),
                cached,
            },
            Body::LoadFailed { stage, message } => What::LoadFailed { stage, message },
            Body::FramesDropped { frames, reason } => What::FramesDropped { frames, reason },
            Body::Reloaded { cause, from, version, digest, state_version, took } => {
                What::Reloaded {
                    cause,
                    from,
                    version,
                    digest,
                    state_version,
                    took: Duration::from_nanos(took),
                }
            }
            Body::ReloadFailed { cause, stage, message, took } => {
                What::ReloadFailed { cause, stage, message, took: Duration::from_nanos(took) }
            }
            Body::PolicyChanged { summary } => What::PolicyChanged { summary },
            Body::PolicyAsked { permission, parameter } => {
                What::PolicyAsked { permission, parameter }
            }
            Body::Unloaded => What::Unloaded,
        })
    }
}

/// The part of an event that is no JSON.
#[derive(Debug)]
pub enum Part {
    /// A frame.
    Frame(Frame),
    /// A host call.
    HostCall(HostCall),
    /// The line says all.
    Nothing,
}

impl Part {
    pub(crate) fn decode(follows: Follows, bytes: &Bytes) -> Result<Part, String> {
        match follows {
            Follows::Frame => {
                Frame::decode(bytes).map(Part::Frame).map_err(|error| error.to_string())
            }
            Follows::HostCall => decode_host_call(bytes).map(Part::HostCall),
            Follows::Nothing => Ok(Part::Nothing),
        }
    }
}

impl Envelope<'_> {
    pub(crate) fn of(event: &Event) -> Envelope<'_> {
        Envelope {
            sequence: event.sequence,
            at: event.at,
            plugin: Cow::Borrowed(&event.plugin),
            instance: event.instance,
            generation: event.generation,
            what: Body::of(&event.what),
        }
    }

    pub(crate) fn join(self, plugin: Arc<str>, part: Part) -> Result<Event, String> {
        Ok(Event {
            sequence: self.sequence,
            at: self.at,
            plugin,
            instance: self.instance,
            generation: self.generation,
            what: self.what.join(part)?,
        })
    }
}

/// Writes the line of an event. Those of frames and of calls that completed, which are nearly all,
/// are put together here: that takes a third of the time, and a recording has the same again left
/// for its index.
pub(crate) fn write_line(event: &Event, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = out.len();
    if write_quickly(event, out).is_none() {
        out.truncate(start);
        serde_json::to_writer(out, &Line::Event(Envelope::of(event)))?;
    }
    Ok(())
}

/// `None` if the line has anything in it that is not put together here.
fn write_quickly(event: &Event, out: &mut Vec<u8>) -> Option<()> {
    let is_plain = |byte: u8| (0x20..0x7F).contains(&byte) && byte != b'"' && byte != b'\\';
    event.plugin.bytes().all(is_plain).then_some(())?;
    let mut line = QuickLine(out);
    line.text(r#"{"event":{"sequence":"#).number(event.sequence);
    line.text(r#","at":"#).number(event.at);
    line.text(r#","plugin":""#).text(&event.plugin);
    line.text(r#"","instance":"#).number(event.instance);
    line.text(r#","generation":"#).number(event.generation.into()).text(r#","what":{""#);
    match &event.what {
        What::FrameIn { call, .. } => line.text(r#"frame-in":{"call":"#).number(call.0),
        What::FrameOut { call, index, emitted, .. } => {
            line.text(r#"frame-out":{"call":"#).number(call.0);
            line.text(r#","index":"#).number((*index).into());
            line.text(if *emitted { r#","emitted":true"# } else { r#","emitted":false"# })
        }
        What::CallEnded {
            call,
            outcome: Outcome::Completed,
            timing,
            bytes_in,
            bytes_out,
            frames_out,
            memory,
        } => {
            line.text(r#"call-ended":{"call":"#).number(call.0);
            line.text(r#","outcome":{"outcome":"completed"},"queue":"#).number(nanos(timing.queue));
            line.text(r#","guest":"#).number(nanos(timing.guest));
            line.text(r#","host":"#).number(nanos(timing.host));
            line.text(r#","boundary":"#).number(nanos(timing.boundary));
            line.text(r#","bytes-in":"#).number(*bytes_in);
            line.text(r#","bytes-out":"#).number(*bytes_out);
            line.text(r#","frames-out":"#).number((*frames_out).into()).text(r#","memory":"#);
            match memory {
                Some(memory) => line.number(*memory),
                None => line.text("null"),
            }
        }
        _ => return None,
    };
    line.text("}}}}");
    Some(())
}

/// The numbers below a hundred, each in two digits: twice as fast as digit by digit.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Puts a line together.
struct QuickLine<'a>(&'a mut Vec<u8>);

impl QuickLine<'_> {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, mut number: u64) -> &mut Self {
        // The largest has twenty digits.
        let mut digits = [0; 20];
        let mut first = digits.len();
        while number >= 10 {
            first -= 2;
            digits[first..first + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
            number /= 100;
        }
        if number > 0 || first == digits.len() {
            first -= 1;
            digits[first] = b'0' + number as u8;
        }
        self.0.extend_from_slice(&digits[first..]);
        self
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A host call as a CBOR map.
pub fn host_call_value(host_call: &HostCall) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let result = match &host_call.result {
        Ok(value) => (text("result"), value.clone()),
        Err(error) => (text("error"), Value::Integer(error.code().into())),
    };
    let mut entries = vec![
        (text("service"), text(&host_call.service)),
        (text("permission"), text(host_call.permission.name())),
        (text("arguments"), host_call.arguments.clone()),
        result,
        (text("took"), Value::Integer(nanos(host_call.took).into())),
    ];
    // Nearly all are answered by the host, and readers of before know no other.
    if host_call.answered_by != AnsweredBy::Host {
        entries.push((text("answered_by"), text(host_call.answered_by.name())));
    }
    Value::Map(entries)
}

fn decode_host_call(bytes: &Bytes) -> Result<HostCall, String> {
    let value = Value::decode(bytes).map_err(|error| error.to_string())?;
    host_call_from_value(value)
}

/// A host call from its CBOR map.
///
/// # Errors
///
/// Says what is missing.
pub fn host_call_from_value(value: Value) -> Result<HostCall, String> {
    let Value::Map(entries) = value else {
        return Err("a host call is no map".to_owned());
    };
    let mut service = None;
    let mut permission = None;
    let mut arguments = Value::Null;
    let mut result = None;
    let mut took = Duration::ZERO;
    let mut answered_by = AnsweredBy::Host;
    for (key, value) in entries {
        match (key, value) {
            (Value::Text(key), Value::Text(text)) if key == "service" => service = Some(text),
            (Value::Text(key), Value::Text(text)) if key == "permission" => {
                permission = text.parse::<Permission>().ok();
            }
            // A name that a later version gave is not the host's.
            (Value::Text(key), Value::Text(text)) if key == "answered_by" => {
                answered_by = AnsweredBy::named(&text).unwrap_or(AnsweredBy::Application);
            }
            (Value::Text(key), value) if key == "arguments" => arguments = value,
            (Value::Text(key), value) if key == "result" => result = Some(Ok(value)),
            (Value::Text(key), Value::Integer(code)) if key == "error" => {
                let code = u32::try_from(code).unwrap_or(u32::MAX);
                result = Some(Err(ServiceError::from_code(code)));
            }
            (Value::Text(key), Value::Integer(nanos)) if key == "took" => {
                took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
            }
            _ => {}
        }
    }
    let lacks = |what| format!("a host call lacks its {what}");
    Ok(HostCall {
        service: Cow::Owned(service.ok_or_else(|| lacks("service"))?),
        permission: permission.ok_or_else(|| lacks("permission"))?,
        arguments,
        result: result.ok_or_else(|| lacks("result"))?,
        took,
        answered_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn who_answered_a_host_call_is_read_back() {
        /// Checks what stands in the map, beside what always does.
        #[track_caller]
        fn check(written: Option<&str>, expected: AnsweredBy) {
            let text = |text: &str| Value::Text(text.to_owned());
            let mut entries = vec![
                (text("service"), text("kv-get")),
                (text("permission"), text("kv")),
                (text("arguments"), Value::Null),
                (text("error"), Value::Integer(ServiceError::Denied.code().into())),
                (text("took"), Value::Integer(0.into())),
            ];
            entries.extend(written.map(|by| (text("answered_by"), text(by))));
            let value = Value::Map(entries);
            let beside = crate::index::beside(&value.to_bytes());
            let read = host_call_from_value(value.clone()).expect("it is one");
            assert_eq!(read.answered_by, expected);
            assert_eq!(beside, crate::Statuses::of_host_call(&read));
            if written == Some(expected.name()) || written.is_none() {
                assert_eq!(host_call_value(&read), value);
            }
        }
        check(None, AnsweredBy::Host);
        check(Some("fault"), AnsweredBy::Fault);
        check(Some("mock"), AnsweredBy::Mock);
        check(Some("application"), AnsweredBy::Application);
        check(Some("of a later version"), AnsweredBy::Application);
    }

    #[test]
    fn notes_of_other_versions_are_read() {
        fn check(body: &str, expected: What) {
            let body: Body = serde_json::from_str(body).expect("it is a body");
            assert_eq!(body.join(Part::Nothing), Ok(expected));
        }
        let note = |kind| What::Note { kind, text: "t".into() };
        check(r#"{"note":{"kind":"mended","text":"t"}}"#, note(NoteKind::Mended));
        check(r#"{"note":{"kind":"of-tomorrow","text":"t"}}"#, note(NoteKind::Unknown));
        // Before they were events of their own, notes were changes from a phase to itself.
        let old = r#"{"phase":{"from":"restarting","to":"restarting","cause":"t"}}"#;
        check(old, note(NoteKind::Unknown));
        let (from, to) = (Phase::Ready, Phase::Restarting);
        let phase = r#"{"phase":{"from":"ready","to":"restarting","cause":"t"}}"#;
        check(phase, What::Phase { from, to, cause: "t".into() });
    }

    #[test]
    fn lines_are_the_same_however_they_are_written() {
        let mut events = sample::events();
        for number in [9, 10, u64::MAX] {
            let mut event = events[2].clone();
            (event.sequence, event.at, event.instance) = (number, number, number);
            events.push(event);
        }
        for plugin in ["a\"b", "a\\b", "h\u{e9}", "a\nb", ""] {
            let mut event = events[2].clone();
            event.plugin = plugin.into();
            events.push(event);
        }
        let mut quick = 0;
        for event in events {
            let expected = serde_json::to_string(&Line::Event(Envelope::of(&event)));
            let mut line = b"before ".to_vec();
            write_line(&event, &mut line).expect("it has no maps");
            let line = String::from_utf8(line).expect("it is a text");
            assert_eq!(line, format!("before {}", expected.expect("it has no maps")));
            quick += usize::from(write_quickly(&event, &mut Vec::new()).is_some());
        }
        // Three frames and a call that completed, three numbers, and a plugin without a name.
        assert_eq!(quick, 8);
    }
}
