use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use glovebox_abi::cbor::Value;
use glovebox_abi::manifest::Tier;
use glovebox_abi::{Frame, Permission, ServiceError};
use serde::{Deserialize, Serialize};

use crate::{Binding, LoadStage, NoteKind, Outcome, Phase, ReloadCause};

/// Takes every event of a host, on the thread on which it happened.
///
/// A sink must be quick and must never block on a plugin: it is called before the plugin sees the
/// frame. It counts the events that it cannot keep.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn record(&self, event: &Event);
}

/// Something that happened to one instance of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts the events of a host from 0; a gap means that events were lost.
    pub sequence: u64,
    /// Nanoseconds since the Unix epoch.
    pub at: u64,
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance, by its number in the host; [`NO_INSTANCE`](Self::NO_INSTANCE) if there is none.
    pub instance: u64,
    /// The generation, from 1.
    pub generation: u32,
    /// The event itself.
    pub what: What,
}

impl Event {
    /// The number that stands for no instance, in the event of a plugin that was not loaded.
    pub const NO_INSTANCE: u64 = u64::MAX;

    /// The call it belongs to, if it does to one.
    pub fn call_key(&self) -> Option<CallKey> {
        let call = self.what.call()?;
        let (plugin, instance, generation) = (self.plugin.clone(), self.instance, self.generation);
        Some(CallKey { plugin, instance, generation, call })
    }
}

/// Numbers the calls of a host from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.0)
    }
}

/// Tells a call from all others of a trace. Its number alone does so only if one host made the trace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// Id of the plugin.
    pub plugin: Arc<str>,
    /// The instance.
    pub instance: u64,
    /// The generation.
    pub generation: u32,
    /// The number of the call.
    pub call: CallId,
}

/// The kinds of events, with their facts.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A frame is about to be given to the plugin.
    FrameIn {
        /// The call it starts.
        call: CallId,
        /// The frame.
        frame: Frame,
    },
    /// The plugin gave a frame.
    FrameOut {
        /// The call it belongs to.
        call: CallId,
        /// Counts the outputs of the call from 0.
        index: u32,
        /// True if it was sent with the service `emit`, false if it is part of the answer.
        emitted: bool,
        /// The frame.
        frame: Frame,
    },
    /// A call is over.
    CallEnded {
        /// The call.
        call: CallId,
        /// The outcome.
        outcome: Outcome,
        /// The timing.
        timing: Timing,
        /// Bytes of the encoded input frame.
        bytes_in: u64,
        /// Bytes of the encoded output frames.
        bytes_out: u64,
        /// Number of output frames.
        frames_out: u32,
        /// Bytes of memory the instance holds after the call, where the tier can tell.
        memory: Option<u64>,
    },
    /// The plugin asked the host for something.
    HostCall {
        /// The call in which it asked; `None` outside `process`.
        call: Option<CallId>,
        /// The use of the service and its result.
        host_call: HostCall,
    },
    /// The instance changed its phase.
    Phase {
        /// Before.
        from: Phase,
        /// After.
        to: Phase,
        /// Why.
        cause: String,
    },
    /// The host did something about the instance, or found something out, that people should know.
    Note {
        /// The matter.
        kind: NoteKind,
        /// The note itself, for people.
        text: String,
    },
    /// The instance is loaded and ready.
    Loaded {
        /// Version of the plugin.
        version: String,
        /// The tier that executes it.
        tier: Tier,
        /// The binding.
        binding: Binding,
        /// Hexadecimal BLAKE3 digest of the artifact.
        digest: String,
        /// How long loading took.
        took: Duration,
        /// True if the compiled code came from the cache.
        cached: bool,
    },
    /// Loading stopped; there is no instance.
    LoadFailed {
        /// The stage at which it stopped.
        stage: LoadStage,
        /// Why, and what to do.
        message: String,
    },
    /// Frames that the plugin emitted reached no plugin, or not all that they were for.
    FramesDropped {
        /// How many: one for each frame and each plugin that did not get it.
        frames: u64,
        /// Why.
        reason: String,
    },
    /// A new generation took over.
    Reloaded {
        /// The cause.
        cause: ReloadCause,
        /// Generation before.
        from: u32,
        /// Version of the plugin now.
        version: String,
        /// Digest of the artifact now.
        digest: String,
        /// Version of the state that was carried over, if any.
        state_version: Option<u32>,
        /// From the cause to the switch.
        took: Duration,
    },
    /// A new generation was refused; the one before runs on.
    ReloadFailed {
        /// The cause.
        cause: ReloadCause,
        /// The stage at which it stopped.
        stage: LoadStage,
        /// Why, and what to do.
        message: String,
        /// From the cause to the refusal.
        took: Duration,
    },
    /// The permissions or limits of the plugin were changed.
    PolicyChanged {
        /// The change, for people.
        summary: String,
    },
    /// The plugin used a permission about which a person is to decide. Until then it is denied;
    /// said once for each permission and decision.
    PolicyAsked {
        /// The permission.
        permission: Permission,
        /// On what it was used, for people; empty if on nothing in particular.
        parameter: String,
    },
    /// The instance is gone.
    Unloaded,
}

impl What {
    /// False for what may happen to a file that is never loaded: the plugin it is about may not exist.
    pub fn is_of_a_plugin(&self) -> bool {
        !matches!(self, What::LoadFailed { .. } | What::Phase { .. } | What::Note { .. })
    }

    /// The call it belongs to, if it does to one.
    pub fn call(&self) -> Option<CallId> {
        match self {
            What::FrameIn { call, .. }
            | What::FrameOut { call, .. }
            | What::CallEnded { call, .. } => Some(*call),
            What::HostCall { call, .. } => *call,
            _ => None,
        }
    }

    /// The same, to give it another number.
    pub fn call_mut(&mut self) -> Option<&mut CallId> {
        match self {
            What::FrameIn { call, .. }
            | What::FrameOut { call, .. }
            | What::CallEnded { call, .. } => Some(call),
            What::HostCall { call, .. } => call.as_mut(),
            _ => None,
        }
    }
}

/// One use of a host service, with its result, so that a replay can answer it.
#[derive(Debug, Clone, PartialEq)]
pub struct HostCall {
    /// Name of the service, e.g. `kv-get`.
    pub service: Cow<'static, str>,
    /// The permission it needs.
    pub permission: Permission,
    /// The arguments, in the order of the contract. If it failed, texts and bytes that are too long
    /// are cut, see [`evidence`](crate::evidence).
    pub arguments: Value,
    /// The result; `Denied` names the missing permission.
    pub result: Result<Value, ServiceError>,
    /// How long the host took.
    pub took: Duration,
    /// The maker of this result.
    pub answered_by: AnsweredBy,
}

impl HostCall {
    /// True if the policy denied it.
    pub fn is_denied(&self) -> bool {
        self.result == Err(ServiceError::Denied) && self.answered_by == AnsweredBy::Host
    }

    /// True if a fault or a mock made its result.
    pub fn is_injected(&self) -> bool {
        matches!(self.answered_by, AnsweredBy::Fault | AnsweredBy::Mock)
    }
}

/// The maker of the result of a use of a host service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnsweredBy {
    /// The host, and its policy.
    #[default]
    Host,
    /// An injected fault, which somebody switched on: a failure, a delay, a part of the answer, or
    /// the clock that it set.
    Fault,
    /// A mock, which was given when the plugin was loaded.
    Mock,
    /// The application, as with the answers of a run that was recorded.
    Application,
}

impl AnsweredBy {
    /// The name in traces and exports, and in words for people.
    const NAMES: [(AnsweredBy, &str, &str); 4] = [
        (AnsweredBy::Host, "host", "the host"),
        (AnsweredBy::Fault, "fault", "an injected fault"),
        (AnsweredBy::Mock, "mock", "a mock"),
        (AnsweredBy::Application, "application", "the application"),
    ];

    /// The name in traces and exports.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// Its name, for people.
    pub fn words(self) -> &'static str {
        Self::NAMES[self as usize].2
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<AnsweredBy> {
        Self::NAMES.iter().find(|(_, known, _)| *known == name).map(|(one, ..)| *one)
    }
}

/// Where the time of a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Waiting in the queue, before the call.
    pub queue: Duration,
    /// Inside the plugin, host services excluded. Includes the boundary where the binding cannot tell
    /// them apart: all but the frame ABI.
    pub guest: Duration,
    /// Inside host services.
    pub host: Duration,
    /// Carrying frames in and out; zero where it is part of `guest`.
    pub boundary: Duration,
}

impl Timing {
    /// The latency of the call: everything but the queue.
    pub fn latency(&self) -> Duration {
        self.guest + self.host + self.boundary
    }
}
