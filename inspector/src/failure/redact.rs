//! Events and reports without the bytes and the words that people and plugins wrote: their lengths and
//! digests stay.

use std::path::Path;

use glovebox_abi::cbor::Value;
use glovebox_events::{Event, HostCall, MADE_UP, Outcome, What};
use glovebox_trace::placeholder;

use super::{FailureReport, Kept, StackFrame};

/// The service whose arguments are words: a log is written to be read.
const LOG: &str = "log";

/// A copy of an event in which what is not kept gives way to its length and its BLAKE3 digest: each
/// payload, each header and each text or bytes of a host call; the words of outcomes, of lines of the
/// log, of changes of the policy, and of what the host says about the plugin.
pub fn redact(event: &Event, kept: Kept) -> Event {
    let what = match &event.what {
        What::FrameIn { call, frame } if !kept.payloads => {
            What::FrameIn { call: *call, frame: placeholder(frame) }
        }
        What::FrameOut { call, index, emitted, frame } if !kept.payloads => What::FrameOut {
            call: *call,
            index: *index,
            emitted: *emitted,
            frame: placeholder(frame),
        },
        What::HostCall { call, host_call } if !keeps(kept, host_call) => What::HostCall {
            call: *call,
            host_call: HostCall {
                arguments: value_of(&host_call.arguments),
                result: host_call.result.as_ref().map(value_of).map_err(Clone::clone),
                ..host_call.clone()
            },
        },
        what if !kept.words => wordless(what.clone()),
        what => what.clone(),
    };
    Event { what, ..event.clone() }
}

fn keeps(kept: Kept, host_call: &HostCall) -> bool {
    match &*host_call.service {
        LOG => kept.words,
        _ => kept.payloads,
    }
}

/// The same event without its words.
fn wordless(what: What) -> What {
    match what {
        What::CallEnded { call, outcome, timing, bytes_in, bytes_out, frames_out, memory } => {
            let outcome = outcome_of(outcome);
            What::CallEnded { call, outcome, timing, bytes_in, bytes_out, frames_out, memory }
        }
        What::Phase { from, to, cause } => What::Phase { from, to, cause: named(&cause) },
        What::LoadFailed { stage, message } => What::LoadFailed { stage, message: words(&message) },
        What::ReloadFailed { cause, stage, message, took } => {
            What::ReloadFailed { cause, stage, message: words(&message), took }
        }
        What::Note { kind, text } => What::Note { kind, text: words(&text) },
        What::FramesDropped { frames, reason } => {
            What::FramesDropped { frames, reason: words(&reason) }
        }
        What::PolicyChanged { summary } => What::PolicyChanged { summary: words(&summary) },
        What::PolicyAsked { permission, parameter } => {
            What::PolicyAsked { permission, parameter: words(&parameter) }
        }
        // These have no words: what they name is the plugin.
        what @ (What::FrameIn { .. }
        | What::FrameOut { .. }
        | What::HostCall { .. }
        | What::Loaded { .. }
        | What::Reloaded { .. }
        | What::Unloaded) => what,
    }
}

fn outcome_of(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed { code, message } => Outcome::Failed { code, message: words(&message) },
        Outcome::Trapped { code, message } => Outcome::Trapped { code, message: words(&message) },
        Outcome::Crashed { cause, made_up } => Outcome::Crashed { cause: words(&cause), made_up },
        Outcome::Refused { reason } => Outcome::Refused { reason: words(&reason) },
        outcome @ (Outcome::Completed
        | Outcome::Cancelled
        | Outcome::TimedOut { .. }
        | Outcome::LimitExceeded { .. }) => outcome,
    }
}

/// The report without words, and without the folders of the machine that it was written on.
pub(super) fn wordless_report(report: FailureReport, outcome: Option<&Outcome>) -> FailureReport {
    let cause = outcome.map_or_else(|| named(&report.cause), cause_of);
    let mut report = FailureReport { cause, ..report };
    for permission in &mut report.permissions {
        permission.within = words(&permission.within);
        permission.rule = words(&permission.rule);
    }
    for missing in report.sandbox.iter_mut().flat_map(|sandbox| &mut sandbox.missing) {
        missing.reason = words(&missing.reason);
        missing.remedy = words(&missing.remedy);
    }
    for StackFrame { module, place, .. } in &mut report.backtrace {
        *module = name_of(module);
        *place = place.as_deref().map(name_of);
    }
    report
}

/// The name of the outcome, and what is left of the words behind it.
fn named(cause: &str) -> String {
    let is_name = |said: &str| {
        let name = said.strip_suffix(MADE_UP).unwrap_or(said).replace(' ', "-");
        Outcome::NAMES.contains(&&*name)
    };
    match cause.split_once(": ") {
        Some((name, said)) if is_name(name) => format!("{name}: {}", words(said)),
        _ if Outcome::NAMES.contains(&cause) => cause.to_owned(),
        _ => words(cause),
    }
}

/// The outcome in words, with what is left of them; its numbers and codes stay.
fn cause_of(outcome: &Outcome) -> String {
    outcome_of(outcome.clone()).to_string()
}

/// The name of a file without its folders.
fn name_of(path: &str) -> String {
    Path::new(path).file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned())
}

/// The length and the digest in place of a text; nothing stays nothing.
pub(super) fn words(text: &str) -> String {
    gone(text.as_bytes())
}

/// The same of bytes.
pub(super) fn gone(bytes: &[u8]) -> String {
    match bytes {
        [] => String::new(),
        bytes => format!("redacted: {} bytes, blake3 {}", bytes.len(), digest(bytes)),
    }
}

/// A value inside of a host call without what was said; its shape and its numbers stay.
fn value_of(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(words(text)),
        Value::Bytes(bytes) => Value::Text(gone(bytes)),
        Value::Array(items) => Value::Array(items.iter().map(value_of).collect()),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| (value_of(key), value_of(value));
            Value::Map(entries.iter().map(entry).collect())
        }
        Value::Tag(tag, inner) => Value::Tag(*tag, Box::new(value_of(inner))),
        other => other.clone(),
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Kept = Kept { payloads: false, words: false };

    /// The texts and bytes of an event that people and plugins wrote.
    fn written(event: &Event) -> Vec<u8> {
        match &event.what {
            What::FrameIn { frame, .. } | What::FrameOut { frame, .. } => frame.to_bytes().to_vec(),
            What::HostCall { host_call, .. } => {
                let mut bytes = host_call.arguments.to_bytes();
                bytes.extend(host_call.result.iter().flat_map(Value::to_bytes));
                bytes
            }
            what => format!("{what:?}").into_bytes(),
        }
    }

    fn is_in(secret: &[u8], bytes: &[u8]) -> bool {
        bytes.windows(secret.len()).any(|window| window == secret)
    }

    #[test]
    fn nothing_that_was_sent_or_said_is_left() {
        // Every sort of event, searched for every text and every run of bytes that somebody wrote.
        let sent: [&[u8]; 4] = [b"hello", b"key", &[0xFF, 0x00], b"\x63raw"];
        for event in crate::sample::events() {
            let redacted = redact(&event, NOTHING);
            for secret in sent {
                assert!(!is_in(secret, &written(&redacted)), "{secret:?} in {event:?}");
            }
        }
        // Each text that an event can have.
        let said = |text: &str| text.to_owned();
        let ended = |outcome| What::CallEnded {
            call: glovebox_events::CallId(1),
            outcome,
            timing: Default::default(),
            bytes_in: 0,
            bytes_out: 0,
            frames_out: 0,
            memory: None,
        };
        let log = HostCall {
            service: LOG.into(),
            permission: glovebox_abi::Permission::Log,
            arguments: Value::Array(vec![Value::Integer(2), Value::Text(said("secret"))]),
            result: Ok(Value::Null),
            took: Default::default(),
            answered_by: glovebox_events::AnsweredBy::Host,
        };
        let (from, to) = (glovebox_events::Phase::Ready, glovebox_events::Phase::Ready);
        let stage = glovebox_events::LoadStage::Link;
        let reload = glovebox_events::ReloadCause::Requested;
        let all = [
            ended(Outcome::Failed { code: 7, message: said("secret") }),
            ended(Outcome::Trapped { code: said("unreachable"), message: said("secret") }),
            ended(Outcome::Crashed { cause: said("secret"), made_up: false }),
            ended(Outcome::Refused { reason: said("secret") }),
            What::HostCall { call: None, host_call: log },
            What::Phase { from, to, cause: said("secret") },
            What::LoadFailed { stage, message: said("secret") },
            What::ReloadFailed {
                cause: reload,
                stage,
                message: said("secret"),
                took: Default::default(),
            },
            What::PolicyChanged { summary: said("secret") },
            What::PolicyAsked {
                permission: glovebox_abi::Permission::Files,
                parameter: said("secret"),
            },
        ];
        for what in all {
            let event = crate::sample::events().swap_remove(0);
            let event = Event { what, ..event };
            assert!(is_in(b"secret", &written(&event)));
            assert!(!is_in(b"secret", &written(&redact(&event, NOTHING))), "{event:?}");
            // Words and payloads are kept apart.
            let words = Kept { payloads: false, words: true };
            assert_eq!(redact(&event, words), event);
        }
    }

    #[test]
    fn a_report_keeps_no_words_and_no_folders() {
        use super::super::{GivenPermission, MissingLayer, Sandboxed};
        let secret = || "/home/ada/secret".to_owned();
        let report = FailureReport {
            cause: format!("crashed: {}", secret()),
            backtrace: vec![StackFrame {
                module: "/home/ada/lib.so".to_owned(),
                place: Some("/home/ada/src/main.rs:5".to_owned()),
                ..StackFrame::default()
            }],
            permissions: vec![GivenPermission {
                within: secret(),
                rule: secret(),
                ..GivenPermission::default()
            }],
            sandbox: Some(Sandboxed {
                enforced: Vec::new(),
                missing: vec![MissingLayer {
                    layer: "landlock".to_owned(),
                    reason: secret(),
                    remedy: secret(),
                }],
            }),
            ..FailureReport::default()
        };
        let json = serde_json::to_string(&wordless_report(report, None)).unwrap();
        assert!(!json.contains("ada") && !json.contains("secret"), "{json}");
        for stays in ["crashed: redacted: 16 bytes", "lib.so", "main.rs:5", "landlock"] {
            assert!(json.contains(stays), "{json} lacks {stays:?}");
        }
    }

    #[test]
    fn lengths_and_digests_stay() {
        let event = crate::sample::events().into_iter().find_map(|event| match event.what {
            What::FrameIn { ref frame, .. } if frame.payload == "hello" => Some(event),
            _ => None,
        });
        let What::FrameIn { frame, .. } = redact(&event.expect("it is there"), NOTHING).what else {
            panic!("it is a frame");
        };
        assert_eq!(frame.header.get_integer("payload-bytes"), Some(5));
        assert_eq!(frame.header.get_text("payload-blake3"), Some(digest(b"hello")));
    }
}
