//! The backends, which execute plugins. [`Backend`] is the one trait; each binding is a file of its
//! own.

#[cfg(target_os = "linux")]
mod container;
pub(crate) mod core;
pub(crate) mod native;
pub(crate) mod outside;
#[cfg(target_os = "linux")]
mod process;
mod roomy;
pub(crate) mod wasm;
#[cfg(target_os = "linux")]
pub(crate) mod worker;

use std::path::Path;
use std::sync::Arc;

use glovebox_abi::manifest::{EngineName, LimitKind};
use glovebox_abi::{Failure, Frame, Health, Kind, State};
use glovebox_events::{CallId, Outcome};
use glovebox_sandbox::SandboxReport;

#[cfg(target_os = "linux")]
pub(crate) use container::{Root, RootFolder};

use crate::frames::Frames;
use crate::guard::caught;
use crate::policy::Enforcement;
use crate::services::CopyServices;
use crate::stop::Stop;
use roomy::Roomy;
use wasm::Setting;

/// True if native plugins can be given processes of their own: on Linux, in a program that asks whether
/// it was started as one.
pub(crate) fn has_workers() -> bool {
    #[cfg(target_os = "linux")]
    {
        worker::main_asks()
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

/// One running copy of a plugin. One thread at a time calls it, not always the same one.
pub(crate) trait Backend: Send {
    /// The services it uses, for counting and stopping.
    fn context(&mut self) -> &mut CopyServices;
    fn initialize(&mut self, config: &str) -> Result<(), Stop>;
    /// Puts the answer into `out`, which is empty. After a failure, `out` is not used.
    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop>;
    fn health(&mut self) -> Result<Health, Stop>;
    fn save_state(&mut self) -> Result<Option<State>, Stop>;
    fn restore_state(&mut self, state: &State) -> Result<(), Stop>;
    /// One whole call: [`process`](Self::process), and the effect of services on its outcome.
    /// Frames that the plugin emitted are put into `emitted`.
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
            None => result.and_then(|()| check_kinds(out)),
            Some(broken) => Err(broke(broken, result)),
        }
    }
    /// True if it has folders or variables that are no longer right, and only another copy can have
    /// others.
    fn is_outdated(&self) -> bool {
        false
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
pub(crate) fn discard(mut backend: Box<dyn Backend>) {
    let context = backend.context();
    let (remains, generation) = (context.shared.remains.clone(), context.generation);
    if let Err(reason) = caught(|| drop(backend)) {
        tracing::error!(reason, "a plugin panicked while it was dropped");
        remains.unfinished(generation, reason);
    }
}

#[cold]
fn panicked(code: &str, reason: String) -> Stop {
    Stop::Dead(Outcome::Trapped { code: code.to_owned(), message: reason })
}

/// Refuses an answer with a frame of a kind that no version of the contract defines, and that is no
/// user's to define: it may mean something some day.
#[inline]
fn check_kinds(frames: &Frames) -> Result<(), Stop> {
    match frames.iter().find(|frame| frame.kind.is_reserved()) {
        None => Ok(()),
        Some(frame) => Err(reserved(frame.kind)),
    }
}

#[cold]
fn reserved(kind: Kind) -> Stop {
    let reason = format!("it answered with a frame of the kind {kind}, which is reserved");
    failed(Failure::INVALID, format!("{reason}; use {}", Kind::USABLE))
}

/// The outcome of a call that a service ended, for any result of the plugin.
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
    Stop::Alive(Outcome::Failed { code: own_code(code), message })
}

/// The code of a failure that a plugin gave itself. 0 would be no failure, and that of a panic belongs
/// to the native table, where it says that the copy cannot go on: no other tier has either.
fn own_code(code: u32) -> u32 {
    match code {
        0 | Failure::PANIC => Failure::GENERIC,
        code => code,
    }
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
    Module(Arc<wasm::ModuleCode>),
    Component(Arc<wasm::component::ComponentCode>),
    Native(Arc<native::NativeCode>),
    #[cfg(target_os = "linux")]
    Worker(Arc<worker::WorkerCode>),
    /// Not compiled before the first frame.
    Asleep,
}

impl Code {
    /// A fresh copy; [`Backend::initialize`] comes next. `function` is the one that a frame means which
    /// names none, for plugins of other hosts.
    pub(crate) fn instantiate(
        &self,
        function: Option<&str>,
        context: CopyServices,
    ) -> Result<Box<dyn Backend>, Outcome> {
        let Some(setting) = self.setting().filter(|setting| setting.needs_room()) else {
            return self.instantiate_here(function, context);
        };
        let make = || self.instantiate_here(function, context);
        Ok(Box::new(Roomy::new(setting.max_stack(), make)?))
    }

    /// The same with the stack of this thread.
    fn instantiate_here(
        &self,
        function: Option<&str>,
        context: CopyServices,
    ) -> Result<Box<dyn Backend>, Outcome> {
        Ok(match self {
            Code::Core(factory) => {
                let made = caught(|| core::CoreBackend::new(factory, context));
                Box::new(made.map_err(|reason| panicked(core::PANIC, reason).into_outcome())?)
            }
            Code::Module(code) => code.instantiate(function, context)?,
            Code::Component(code) => Box::new(code.instantiate(context)?),
            Code::Native(code) => Box::new(native::NativeBackend::new(code.clone(), context)),
            #[cfg(target_os = "linux")]
            Code::Worker(code) => Box::new(code.instantiate(context)?),
            Code::Asleep => {
                let reason = "it is not compiled yet".to_owned();
                return Err(Outcome::Refused { reason });
            }
        })
    }

    /// The functions of an application that it imports, by name; of other bindings the manifest alone
    /// knows.
    pub(crate) fn imported_functions(&self) -> &[String] {
        match self {
            Code::Component(code) => &code.functions,
            Code::Module(code) => code.imported_functions(),
            _ => &[],
        }
    }

    /// The functions that a frame may name, of a plugin that was made for another host.
    pub(crate) fn functions(&self) -> &[String] {
        match self {
            Code::Module(code) => code.functions(),
            _ => &[],
        }
    }

    /// The private copy of the library that it was made of.
    pub(crate) fn library(&self) -> Option<&Path> {
        match self {
            Code::Native(code) => code.copy.as_deref(),
            #[cfg(target_os = "linux")]
            Code::Worker(code) => code.file(),
            _ => None,
        }
    }

    /// The setting of the engine that runs it, if one does.
    fn setting(&self) -> Option<Setting> {
        match self {
            Code::Module(code) => Some(code.setting),
            Code::Component(code) => Some(code.engine.setting),
            _ => None,
        }
    }

    /// True if the quick compiler made it.
    pub(crate) fn is_quick(&self) -> bool {
        self.setting().is_some_and(|setting| setting.quick)
    }

    /// The layers of the sandbox in which its copies run, if they do.
    pub(crate) fn sandbox(&self) -> Option<&Arc<SandboxReport>> {
        match self {
            #[cfg(target_os = "linux")]
            Code::Worker(code) => Some(&code.report),
            _ => None,
        }
    }

    /// The engine of the containers in which its copies run, if they do.
    pub(crate) fn engine(&self) -> Option<EngineName> {
        match self {
            #[cfg(target_os = "linux")]
            Code::Worker(code) => code.engine(),
            _ => None,
        }
    }

    /// Whether the code can be held to a limit.
    pub(crate) fn enforcement(&self, limit: LimitKind) -> Enforcement {
        use LimitKind::{CallDeadline, FileBytes, Fuel, Memory, Resources, Table};
        let machine = matches!(limit, CallDeadline | Memory | Table | Resources | Fuel | FileBytes);
        match self {
            Code::Core(_) if machine => {
                Enforcement::NotAvailable("built into the application, which is trusted code")
            }
            Code::Native(_) if machine => {
                Enforcement::NotAvailable("a native plugin in this process is trusted code")
            }
            #[cfg(target_os = "linux")]
            Code::Worker(_) if matches!(limit, Table | Resources | Fuel) => {
                Enforcement::NotAvailable("machine code has no such thing that could be counted")
            }
            #[cfg(target_os = "linux")]
            Code::Worker(code) if limit == Memory && !code.limits_memory() => {
                Enforcement::NotAvailable("its engine does not limit the memory of its container")
            }
            Code::Module(code) if limit == Fuel => fuel(code.setting.metered),
            Code::Component(code) if limit == Fuel => fuel(code.engine.setting.metered),
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
