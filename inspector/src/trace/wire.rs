//! The events of a trace as JSON, and the bodies of host calls as CBOR. Also what NDJSON is made of.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::Tier;
use glovebox_abi::{Frame, Permission, ServiceError};
use glovebox_events::{
    Binding, CallId, Event, HostCall, LoadStage, Outcome, Phase, ReloadCause, Timing, What,
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
pub enum GapCause {
    /// The disk was too slow, and memory was full.
    TooSlow,
    /// The disk was full, and then memory was.
    DiskFull,
    /// The disk refused, and then memory was full.
    DiskFailed,
    /// Somebody removed the file while it was written.
    FileRemoved,
    /// They do not fit into the format.
    NotEncodable,
    /// They were in a trace that could only be recovered in part.
    Damaged,
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
            GapCause::FileRemoved => "the file was removed",
            GapCause::NotEncodable => "they do not fit into the format",
            GapCause::Damaged => "the trace they were in is damaged",
            GapCause::Unknown => "of an unknown cause",
        }
    }
}

/// What all events have in common.
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

/// What happened, without frames and values. Durations are in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Body {
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

/// What follows an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follows {
    Frame,
    HostCall,
    Nothing,
}

impl Body {
    pub(crate) fn follows(&self) -> Follows {
        match self {
            Body::FrameIn { .. } | Body::FrameOut { .. } => Follows::Frame,
            Body::HostCall { .. } => Follows::HostCall,
            _ => Follows::Nothing,
        }
    }

    /// Field by field, because a clone of everything would cost most of the time of a recording.
    pub(crate) fn of(what: &What) -> Body {
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

    /// Joins a body with what followed it; `Err` says what is missing.
    pub(crate) fn join(self, part: Part) -> Result<What, String> {
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
            Body::Phase { from, to, cause } => What::Phase { from, to, cause },
            Body::Loaded { version, tier, binding, digest, took, cached } => What::Loaded {
                version,
                tier,
                binding,
                digest,
                took: Duration::from_nanos(took),
                cached,
            },
            Body::LoadFailed { stage, message } => What::LoadFailed { stage, message },
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
pub(crate) enum Part {
    Frame(Frame),
    HostCall(HostCall),
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn host_call_value(host_call: &HostCall) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let result = match &host_call.result {
        Ok(value) => (text("result"), value.clone()),
        Err(error) => (text("error"), Value::Integer(error.code().into())),
    };
    Value::Map(vec![
        (text("service"), text(&host_call.service)),
        (text("permission"), text(host_call.permission.name())),
        (text("arguments"), host_call.arguments.clone()),
        result,
        (text("took"), Value::Integer(nanos(host_call.took).into())),
    ])
}

fn decode_host_call(bytes: &Bytes) -> Result<HostCall, String> {
    let value = Value::decode(bytes).map_err(|error| error.to_string())?;
    host_call_from_value(value)
}

pub(crate) fn host_call_from_value(value: Value) -> Result<HostCall, String> {
    let Value::Map(entries) = value else {
        return Err("a host call is no map".to_owned());
    };
    let mut service = None;
    let mut permission = None;
    let mut arguments = Value::Null;
    let mut result = None;
    let mut took = Duration::ZERO;
    for (key, value) in entries {
        match (key, value) {
            (Value::Text(key), Value::Text(text)) if key == "service" => service = Some(text),
            (Value::Text(key), Value::Text(text)) if key == "permission" => {
                permission = text.parse::<Permission>().ok();
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
    })
}
