//! What can execute a plugin. [`Backend`] is the one trait; each binding is a file of its own.

pub(crate) mod core;
pub(crate) mod native;
pub(crate) mod wasm;

use std::sync::Arc;

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{Failure, Frame, Health, State};
use glovebox_events::{CallId, Outcome};

use crate::Frames;
use crate::context::Context;
use crate::guard::caught;
use crate::status::Enforcement;

/// One running copy of a plugin. One thread at a time calls it, not always the same one.
pub(crate) trait Backend: Send {
    /// The services it uses, for counting and stopping.
    fn context(&mut self) -> &mut Context;
    fn initialize(&mut self, config: &str) -> Result<(), Stop>;
    /// Puts the answer into `out`, which is empty. What stands there after a failure is not used.
    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop>;
    fn health(&mut self) -> Result<Health, Stop>;
    fn save_state(&mut self) -> Result<Option<State>, Stop>;
    fn restore_state(&mut self, state: &State) -> Result<(), Stop>;
    /// One whole call: [`process`](Self::process), and what the services made of it meanwhile. What
    /// the plugin emitted is put into `emitted`.
    ///
    /// Stands here so that a call finds its backend once, and the rest of the way is known.
    fn call(
        &mut self,
        call: CallId,
        frame: &Frame,
        out: &mut Frames,
        emitted: &mut Vec<Frame>,
    ) -> Result<(), Stop> {
        self.context().begin_call(call);
        let result = caught(|| self.process(frame, out))
            .unwrap_or_else(|reason| Err(panicked(self.panic_code(), reason)));
        let context = self.context();
        if !context.emitted.is_empty() {
            *emitted = std::mem::take(&mut context.emitted);
        }
        match context.broken.take() {
            None => result,
            Some(broken) => Err(broke(broken, result)),
        }
    }
    /// The last call.
    fn cleanup(&mut self);
    /// Bytes of memory it holds, where that can be told.
    fn memory(&mut self) -> Option<u64>;
    /// The code of a trap that stands for a panic inside one of these methods: of the host, unless the
    /// plugin runs as part of it.
    fn panic_code(&self) -> &'static str {
        "host-panic"
    }
}

/// One step of a copy other than a call; a panic in it ends the copy.
pub(crate) fn step<T>(
    backend: &mut Box<dyn Backend>,
    work: impl FnOnce(&mut dyn Backend) -> Result<T, Stop>,
) -> Result<T, Stop> {
    caught(|| work(&mut **backend))
        .unwrap_or_else(|reason| Err(panicked(backend.panic_code(), reason)))
}

/// Lets a copy clean up, and drops it. A plugin of the application that panics in either has ended
/// all the same; the log says why.
pub(crate) fn end(mut backend: Box<dyn Backend>) {
    if let Err(reason) = caught(|| backend.cleanup()) {
        tracing::error!(reason, "a plugin panicked while it cleaned up");
    }
    discard(backend);
}

/// Drops a copy that cannot go on.
pub(crate) fn discard(backend: Box<dyn Backend>) {
    if let Err(reason) = caught(|| drop(backend)) {
        tracing::error!(reason, "a plugin panicked while it was dropped");
    }
}

#[cold]
fn panicked(code: &str, reason: String) -> Stop {
    Stop::Dead(Outcome::Trapped { code: code.to_owned(), message: reason })
}

/// Why a call did not complete.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The copy goes on.
    Alive(Outcome),
    /// The copy must be thrown away.
    Dead(Outcome),
}

impl Stop {
    pub(crate) fn into_outcome(self) -> Outcome {
        match self {
            Stop::Alive(outcome) | Stop::Dead(outcome) => outcome,
        }
    }
}

/// What a call comes to in which a service ended it, whatever the plugin made of that.
///
/// A WebAssembly plugin stops in the middle then, and its copy is lost. The other tiers cannot stop
/// theirs, but treat it the same: a plugin must not depend on what runs it.
#[cold]
fn broke(broken: Outcome, result: Result<(), Stop>) -> Stop {
    match (broken, result) {
        (_, Err(Stop::Dead(outcome))) => Stop::Dead(outcome),
        (Outcome::Cancelled, _) => Stop::Alive(Outcome::Cancelled),
        (broken, _) => Stop::Dead(broken),
    }
}

/// The longest message of a failure that is kept, in bytes: it goes into every event about the call.
const MAX_MESSAGE_LEN: usize = 16 << 10;

/// The message of a failure, cut before it is copied.
fn message_of(bytes: &[u8]) -> String {
    if bytes.len() <= MAX_MESSAGE_LEN {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let is_boundary = |at: &usize| bytes[*at] & 0xC0 != 0x80;
    let end = (MAX_MESSAGE_LEN - 3..=MAX_MESSAGE_LEN).rev().find(is_boundary);
    let end = end.unwrap_or(MAX_MESSAGE_LEN);
    let head = String::from_utf8_lossy(&bytes[..end]);
    format!("{head}… ({} bytes left out)", bytes.len() - end)
}

/// How a call ended that the plugin says failed.
fn failed(code: u32, message: String) -> Stop {
    // 0 would be no failure; the native table cannot carry it.
    Stop::Alive(Outcome::Failed { code: code.max(1), message })
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        failed(failure.code, message_of(failure.message.as_bytes()))
    }
}

/// Checked, compiled code from which copies are made.
#[derive(Clone)]
pub(crate) enum Code {
    Core(core::Factory),
    FrameAbi(Arc<wasm::frame_abi::FrameAbiCode>),
    Component(Arc<wasm::component::ComponentCode>),
    Native(Arc<native::NativeCode>),
    /// Not compiled before the first frame.
    Asleep,
}

impl Code {
    /// A fresh copy; [`Backend::initialize`] comes next.
    pub(crate) fn instantiate(&self, context: Context) -> Result<Box<dyn Backend>, Outcome> {
        Ok(match self {
            Code::Core(factory) => {
                let made = caught(|| core::CoreBackend::new(factory, context));
                Box::new(made.map_err(|reason| panicked(core::PANIC, reason).into_outcome())?)
            }
            Code::FrameAbi(code) => Box::new(code.instantiate(context)?),
            Code::Component(code) => Box::new(code.instantiate(context)?),
            Code::Native(code) => Box::new(native::NativeBackend::new(code.clone(), context)),
            Code::Asleep => {
                let reason = "it is not compiled yet".to_owned();
                return Err(Outcome::Refused { reason });
            }
        })
    }

    /// Whether the code can be held to a limit; `None` asks about the call deadline.
    pub(crate) fn enforcement(&self, limit: Option<LimitKind>) -> Enforcement {
        let machine = match limit {
            None => true,
            Some(limit) => matches!(
                limit,
                LimitKind::Memory | LimitKind::Table | LimitKind::Resources | LimitKind::Fuel
            ),
        };
        match self {
            Code::Core(_) if machine => {
                Enforcement::NotAvailable("built into the application, which is trusted code")
            }
            Code::Native(_) if machine => {
                Enforcement::NotAvailable("a native plugin in this process is trusted code")
            }
            Code::FrameAbi(code) if limit == Some(LimitKind::Fuel) => fuel(code.engine.metered),
            Code::Component(code) if limit == Some(LimitKind::Fuel) => fuel(code.engine.metered),
            _ => Enforcement::Enforced,
        }
    }
}

/// Whether an engine holds its plugins to a limit of fuel.
fn fuel(metered: bool) -> Enforcement {
    if metered {
        return Enforcement::Enforced;
    }
    Enforcement::NotAvailable(
        "its work is not counted; write `fuel` under [limits] of the manifest and load it again",
    )
}
