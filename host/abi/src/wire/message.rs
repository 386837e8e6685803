use std::fmt;

use bytes::Bytes;

use super::body::{Fields, Put};
use super::{ServiceAnswer, ServiceCall, WireError};
use crate::{Failure, Frame, Health, ProtocolVersion, ServiceError, State};

/// One of the two that talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The host: it makes calls and answers for services.
    Host,
    /// The plugin, or the worker that runs it: it answers calls and asks for services.
    Plugin,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Side::Host => "host",
            Side::Plugin => "plugin",
        })
    }
}

/// One thing that is said. The table in the [module's documentation](super) has who says it, and
/// how it is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Opens the conversation.
    Hello {
        /// The version of the contract that this side speaks.
        protocol: ProtocolVersion,
        /// The longest body that this side accepts, in bytes.
        longest: u32,
        /// The name of the speaker, for people.
        name: String,
    },
    /// Asks whether the other side is alive, or says so.
    Heartbeat {
        /// Repeated by the answer.
        number: u64,
    },
    /// Ends the conversation.
    Bye {
        /// Why, for people.
        reason: String,
    },
    /// Says what to run, and gets it ready.
    Load {
        /// Names the call.
        call: u64,
        /// The plugin to run.
        load: Load,
    },
    /// Gives a frame to the plugin.
    Process {
        /// Names the call.
        call: u64,
        /// The frame.
        frame: Frame,
    },
    /// Asks for the plugin's state.
    SaveState {
        /// Names the call.
        call: u64,
    },
    /// Gives the plugin a state to go on from.
    RestoreState {
        /// Names the call.
        call: u64,
        /// The state.
        state: State,
    },
    /// Asks how the plugin is.
    Health {
        /// Names the call.
        call: u64,
    },
    /// Ends the plugin.
    Cleanup {
        /// Names the call.
        call: u64,
    },
    /// Asks to end a call early.
    Cancel {
        /// The call to end.
        call: u64,
    },
    /// Answers a [`Message::Service`].
    Answer {
        /// The call during which the question was asked.
        call: u64,
        /// The answer.
        result: Result<ServiceAnswer, ServiceError>,
    },
    /// The plugin was loaded and initialized.
    Ready {
        /// The call that is answered.
        call: u64,
    },
    /// The plugin cannot be loaded.
    LoadFailed {
        /// The call that is answered.
        call: u64,
        /// Where loading stopped.
        stage: String,
        /// Why.
        failure: Failure,
    },
    /// The frames that the plugin gives back.
    Reply {
        /// The call that is answered.
        call: u64,
        /// Any number of frames.
        frames: Vec<Frame>,
    },
    /// The plugin says that it cannot do this.
    Failed {
        /// The call that is answered.
        call: u64,
        /// Why.
        failure: Failure,
    },
    /// The plugin's state.
    State {
        /// The call that is answered.
        call: u64,
        /// The state, if it has one.
        state: Option<State>,
    },
    /// It was done, and there is nothing to say about it.
    Done {
        /// The call that is answered.
        call: u64,
    },
    /// How the plugin is.
    Condition {
        /// The call that is answered.
        call: u64,
        /// How it is.
        health: Health,
    },
    /// Asks for a service of the host.
    Service {
        /// The call under way.
        call: u64,
        /// The question.
        ask: ServiceCall,
    },
    /// Output that the plugin printed.
    Output {
        /// Where it was printed.
        to: PrintedTo,
        /// The bytes, which need not be text.
        bytes: Bytes,
    },
}

/// Where a plugin prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrintedTo {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// The plugin to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Which binding of the contract the artifact has, such as `native`.
    pub binding: String,
    /// The file descriptor under which the receiver was given the artifact, if it was.
    pub descriptor: Option<u32>,
    /// The path under which the receiver sees the artifact, if it is opened by one: a shared library.
    pub path: Option<String>,
    /// The digest of the artifact; empty if there is nothing to compare.
    pub digest: Bytes,
    /// The configuration as JSON text, `{}` where nothing is configured.
    pub config: String,
    /// Limits by the names that they have in a manifest; durations are in nanoseconds.
    pub limits: Vec<(String, u64)>,
}

impl Message {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const HEARTBEAT: u8 = 0x02;
    pub(super) const BYE: u8 = 0x03;
    pub(super) const LOAD: u8 = 0x41;
    pub(super) const PROCESS: u8 = 0x42;
    pub(super) const SAVE_STATE: u8 = 0x43;
    pub(super) const RESTORE_STATE: u8 = 0x44;
    pub(super) const HEALTH: u8 = 0x45;
    pub(super) const CLEANUP: u8 = 0x46;
    pub(super) const CANCEL: u8 = 0x47;
    pub(super) const ANSWER: u8 = 0x48;
    pub(super) const READY: u8 = 0x81;
    pub(super) const LOAD_FAILED: u8 = 0x82;
    pub(super) const REPLY: u8 = 0x83;
    pub(super) const FAILED: u8 = 0x84;
    pub(super) const STATE: u8 = 0x85;
    pub(super) const DONE: u8 = 0x86;
    pub(super) const CONDITION: u8 = 0x87;
    pub(super) const SERVICE: u8 = 0x88;
    pub(super) const OUTPUT: u8 = 0x89;

    pub(super) fn tag(&self) -> u8 {
        match self {
            Message::Hello { .. } => Self::HELLO,
            Message::Heartbeat { .. } => Self::HEARTBEAT,
            Message::Bye { .. } => Self::BYE,
            Message::Load { .. } => Self::LOAD,
            Message::Process { .. } => Self::PROCESS,
            Message::SaveState { .. } => Self::SAVE_STATE,
            Message::RestoreState { .. } => Self::RESTORE_STATE,
            Message::Health { .. } => Self::HEALTH,
            Message::Cleanup { .. } => Self::CLEANUP,
            Message::Cancel { .. } => Self::CANCEL,
            Message::Answer { .. } => Self::ANSWER,
            Message::Ready { .. } => Self::READY,
            Message::LoadFailed { .. } => Self::LOAD_FAILED,
            Message::Reply { .. } => Self::REPLY,
            Message::Failed { .. } => Self::FAILED,
            Message::State { .. } => Self::STATE,
            Message::Done { .. } => Self::DONE,
            Message::Condition { .. } => Self::CONDITION,
            Message::Service { .. } => Self::SERVICE,
            Message::Output { .. } => Self::OUTPUT,
        }
    }

    /// The name in the table of the module's documentation.
    pub fn name(&self) -> &'static str {
        Self::name_of(self.tag()).unwrap_or("unknown")
    }

    pub(super) fn name_of(tag: u8) -> Option<&'static str> {
        Some(match tag {
            Self::HELLO => "hello",
            Self::HEARTBEAT => "heartbeat",
            Self::BYE => "bye",
            Self::LOAD => "load",
            Self::PROCESS => "process",
            Self::SAVE_STATE => "save-state",
            Self::RESTORE_STATE => "restore-state",
            Self::HEALTH => "health",
            Self::CLEANUP => "cleanup",
            Self::CANCEL => "cancel",
            Self::ANSWER => "answer",
            Self::READY => "ready",
            Self::LOAD_FAILED => "load-failed",
            Self::REPLY => "reply",
            Self::FAILED => "failed",
            Self::STATE => "state",
            Self::DONE => "done",
            Self::CONDITION => "condition",
            Self::SERVICE => "service",
            Self::OUTPUT => "output",
            _ => return None,
        })
    }

    /// The call that the message is about, if it is about one.
    pub fn call(&self) -> Option<u64> {
        match self {
            Message::Hello { .. }
            | Message::Heartbeat { .. }
            | Message::Bye { .. }
            | Message::Output { .. } => None,
            Message::Load { call, .. }
            | Message::Process { call, .. }
            | Message::SaveState { call }
            | Message::RestoreState { call, .. }
            | Message::Health { call }
            | Message::Cleanup { call }
            | Message::Cancel { call }
            | Message::Answer { call, .. }
            | Message::Ready { call }
            | Message::LoadFailed { call, .. }
            | Message::Reply { call, .. }
            | Message::Failed { call, .. }
            | Message::State { call, .. }
            | Message::Done { call }
            | Message::Condition { call, .. }
            | Message::Service { call, .. } => Some(*call),
        }
    }

    /// The size of its longest frame when encoded, in bytes; 0 if it has none.
    pub(super) fn longest_frame(&self) -> usize {
        match self {
            Message::Process { frame, .. }
            | Message::Service { ask: ServiceCall::Emit { frame }, .. } => frame.encoded_len(),
            Message::Reply { frames, .. } => {
                frames.iter().map(Frame::encoded_len).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Refuses a tag that means nothing, or that this side does not send.
    pub(super) fn check_tag(tag: u8, from: Side) -> Result<(), WireError> {
        let message = Self::name_of(tag).ok_or(WireError::Tag { found: tag })?;
        let fits = match from {
            Side::Host => tag & 0x80 == 0,
            Side::Plugin => tag & 0x40 == 0,
        };
        if fits { Ok(()) } else { Err(WireError::Direction { from, message }) }
    }

    /// Appends the body.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut put = Put(out);
        if let Some(call) = self.call() {
            put.u64(call);
        }
        match self {
            Message::Hello { protocol, longest, name } => {
                put.u32(protocol.to_u32()).u32(*longest).text(name);
            }
            Message::Heartbeat { number } => {
                put.u64(*number);
            }
            Message::Bye { reason } => {
                put.text(reason);
            }
            Message::Load { load, .. } => {
                put.text(&load.binding)
                    .optional(load.descriptor, |put, number| {
                        put.u32(number);
                    })
                    .optional(load.path.as_deref(), |put, path| {
                        put.text(path);
                    })
                    .bytes(&load.digest)
                    .text(&load.config)
                    .list(&load.limits, |put, (name, number)| {
                        put.text(name).u64(*number);
                    });
            }
            Message::Process { frame, .. } => {
                put.frame(frame);
            }
            Message::RestoreState { state, .. } => {
                put_state(&mut put, state);
            }
            Message::Answer { result: Err(error), .. } => {
                put.u32(error.code());
            }
            Message::Answer { result: Ok(answer), .. } => answer.put(put.u32(0)),
            Message::LoadFailed { stage, failure, .. } => {
                put.text(stage).u32(failure.code).text(&failure.message);
            }
            Message::Reply { frames, .. } => {
                put.list(frames, |put, frame| {
                    put.frame(frame);
                });
            }
            Message::Failed { failure, .. } => {
                put.u32(failure.code).text(&failure.message);
            }
            Message::State { state, .. } => {
                put.optional(state.as_ref(), put_state);
            }
            Message::Condition { health, .. } => {
                put.u32(health.code).text(&health.message);
            }
            Message::Service { ask, .. } => ask.put(&mut put),
            Message::Output { to, bytes } => {
                put.u8(match to {
                    PrintedTo::Output => 1,
                    PrintedTo::Error => 2,
                });
                put.bytes(bytes);
            }
            Message::SaveState { .. }
            | Message::Health { .. }
            | Message::Cleanup { .. }
            | Message::Cancel { .. }
            | Message::Ready { .. }
            | Message::Done { .. } => {}
        }
    }

    /// Reads the body of a message whose tag was checked.
    pub(super) fn take(tag: u8, fields: &mut Fields<'_>) -> Result<Message, WireError> {
        match tag {
            Self::HELLO => {
                return Ok(Message::Hello {
                    protocol: ProtocolVersion::from_u32(fields.u32()?),
                    longest: fields.u32()?,
                    name: fields.text()?,
                });
            }
            Self::HEARTBEAT => return Ok(Message::Heartbeat { number: fields.u64()? }),
            Self::BYE => return Ok(Message::Bye { reason: fields.text()? }),
            Self::OUTPUT => {
                let to = match fields.u8()? {
                    1 => PrintedTo::Output,
                    2 => PrintedTo::Error,
                    found => {
                        return Err(WireError::Value { field: "printed to", found: found.into() });
                    }
                };
                return Ok(Message::Output { to, bytes: fields.bytes()? });
            }
            _ => {}
        }
        let call = fields.u64()?;
        Ok(match tag {
            Self::LOAD => {
                let load = Load {
                    binding: fields.text()?,
                    descriptor: fields.optional("descriptor", Fields::u32)?,
                    path: fields.optional("path", Fields::text)?,
                    digest: fields.bytes()?,
                    config: fields.text()?,
                    limits: fields.list(12, |fields| Ok((fields.text()?, fields.u64()?)))?,
                };
                Message::Load { call, load }
            }
            Self::PROCESS => Message::Process { call, frame: fields.frame()? },
            Self::SAVE_STATE => Message::SaveState { call },
            Self::RESTORE_STATE => Message::RestoreState { call, state: take_state(fields)? },
            Self::HEALTH => Message::Health { call },
            Self::CLEANUP => Message::Cleanup { call },
            Self::CANCEL => Message::Cancel { call },
            Self::ANSWER => {
                let result = match fields.u32()? {
                    0 => Ok(ServiceAnswer::take(fields)?),
                    code => {
                        let error = ServiceError::from_code(code);
                        if error.code() != code {
                            let found = code.into();
                            return Err(WireError::Value { field: "service error", found });
                        }
                        Err(error)
                    }
                };
                Message::Answer { call, result }
            }
            Self::READY => Message::Ready { call },
            Self::LOAD_FAILED => {
                let stage = fields.text()?;
                Message::LoadFailed { call, stage, failure: take_failure(fields)? }
            }
            Self::REPLY => {
                let frames = fields.list(crate::FRAME_PREFIX_LEN, Fields::frame)?;
                Message::Reply { call, frames }
            }
            Self::FAILED => Message::Failed { call, failure: take_failure(fields)? },
            Self::STATE => Message::State { call, state: fields.optional("state", take_state)? },
            Self::DONE => Message::Done { call },
            Self::CONDITION => {
                let (code, message) = (fields.u32()?, fields.text()?);
                Message::Condition { call, health: Health { code, message } }
            }
            Self::SERVICE => Message::Service { call, ask: ServiceCall::take(fields)? },
            found => return Err(WireError::Tag { found }),
        })
    }
}

fn put_state(put: &mut Put<'_>, state: &State) {
    put.u32(state.version).bytes(&state.bytes);
}

fn take_state(fields: &mut Fields<'_>) -> Result<State, WireError> {
    Ok(State { version: fields.u32()?, bytes: fields.vector()? })
}

fn take_failure(fields: &mut Fields<'_>) -> Result<Failure, WireError> {
    Ok(Failure { code: fields.u32()?, message: fields.text()? })
}
