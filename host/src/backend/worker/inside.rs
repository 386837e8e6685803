//! The worker from inside: opens a library, and asks the host for the services of its plugin.

use std::cell::Cell;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use glovebox_abi::manifest::LimitKind;
use glovebox_abi::wire::Load;
use glovebox_abi::{Failure, Frame, Health, LogLevel, Plugin, ServiceError, Services, State};
use glovebox_events::Outcome;
use glovebox_worker::{Handler, LoadFailure};

use super::super::native::{NativeCode, NativePlugin, TableServices};
use super::{BINDING, EXCEEDED, OUTPUT_BYTES, OUTPUT_FRAMES, compiler, trial};
use crate::frames::Frames;
use crate::stop::Stop;

/// The stage at which a plugin fails that was opened.
pub(super) const INITIALIZE: &str = "initialize";

/// The most random bytes that the host is asked for; it says that fewer are too many.
const MAX_RANDOM_LEN: usize = 1 << 20;

/// Opens native plugins in this process, which is a worker, or does one of the other jobs of workers.
pub(super) struct Inside;

impl Handler for Inside {
    fn load(&mut self, load: &Load) -> Result<Box<dyn Plugin>, LoadFailure> {
        let failure = |stage: &str, reason: String| {
            LoadFailure::new(stage, Failure::new(Failure::UNSUPPORTED, reason))
        };
        match load.binding.as_str() {
            BINDING => {}
            compiler::BINDING => return compiler::load(load),
            trial::BINDING => return trial::load(load),
            other => {
                let reason = format!("this worker runs no plugins of the binding `{other}`");
                return Err(failure("sniff", reason));
            }
        }
        let path = load.path.as_deref();
        let path = path.ok_or_else(|| failure("read", "the library has no path".to_owned()))?;
        let code = NativeCode::open(Path::new(path), &AtomicU64::new(0))
            .map_err(|problem| failure("link", format!("{problem}; {}", problem.remedy())))?;
        // A plugin that has handlers of its own installs them later, and these are gone then.
        glovebox_worker::watch_faults(path);
        let limit = |wanted: &str| {
            let found = load.limits.iter().find(|(name, _)| name == wanted);
            found.map_or(u64::MAX, |(_, limit)| *limit)
        };
        let allowed_output = (limit(OUTPUT_BYTES), limit(OUTPUT_FRAMES));
        let lent = Lent { services: Cell::new(None), allowed_output };
        Ok(Box::new(LibraryPlugin(NativePlugin::new(Arc::new(code), lent))))
    }
}

/// The services of the call under way.
///
/// A library keeps one table of services for its whole life, but the host is asked in the name of a
/// call: between two calls, and in those that ask for nothing, there is nobody to ask.
struct Lent {
    services: Cell<Option<NonNull<dyn Services>>>,
    allowed_output: (u64, u64),
}

// SAFETY: the pointer is there during a call alone, which is over before this value can be sent.
unsafe impl Send for Lent {}

impl Lent {
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Services) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let Some(mut services) = self.services.get() else {
            return Err(ServiceError::Unavailable);
        };
        // SAFETY: `LibraryPlugin::lending` puts the pointer here and takes it away again while it holds
        // the reference that it is made of, which nobody else uses meanwhile. `&mut self` keeps a
        // question from being asked inside of another.
        question(unsafe { services.as_mut() })
    }
}

impl Services for Lent {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        self.ask(|services| services.log(level, message))
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        self.ask(|services| services.now())
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        self.ask(|services| services.random(buffer))
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        self.ask(|services| services.config(key))
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        self.ask(|services| services.kv_get(key))
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        self.ask(|services| services.kv_set(key, value))
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        self.ask(|services| services.kv_delete(key))
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        self.ask(|services| services.kv_list(prefix))
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        self.ask(|services| services.emit(frame))
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        self.ask(|services| services.metric(name, value))
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        self.ask(|services| services.call(function, argument))
    }
}

impl TableServices for Lent {
    fn random_bytes(&mut self, length: usize) -> Result<Vec<u8>, ServiceError> {
        let mut bytes = vec![0; length.min(MAX_RANDOM_LEN)];
        self.random(&mut bytes)?;
        if bytes.len() == length { Ok(bytes) } else { Err(ServiceError::Invalid) }
    }

    fn emit_read<E>(&mut self, _: usize, frame: Result<Frame, E>) -> Result<(), ServiceError> {
        // Bytes that are no frame cannot be sent, so that the host does not hear of them.
        frame.map_or(Err(ServiceError::Invalid), |frame| self.emit(&frame))
    }

    fn allowed_output(&self) -> (u64, u64) {
        self.allowed_output
    }

    fn keeps_excess(&self) -> bool {
        // The host counts again, and refuses it with its own numbers.
        true
    }

    fn hit_limit(&self, _: LimitKind) {}
}

/// A plugin of a library.
struct LibraryPlugin(NativePlugin<Lent>);

impl LibraryPlugin {
    /// Makes a call during which the plugin may ask for services.
    fn lending<T>(
        &mut self,
        services: &mut dyn Services,
        call: impl FnOnce(&mut NativePlugin<Lent>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let pointer = NonNull::from(services);
        // SAFETY: only the lifetime changes. `Returned` takes the pointer away below, also if something
        // unwinds, before the reference that it is made of ends.
        let pointer = unsafe {
            std::mem::transmute::<NonNull<dyn Services + '_>, NonNull<dyn Services + 'static>>(
                pointer,
            )
        };
        self.0.services().services.set(Some(pointer));
        let lent = Returned(self);
        call(&mut lent.0.0)
    }
}

/// A plugin during a call, after which it has no services any more, however the call ends.
struct Returned<'a>(&'a mut LibraryPlugin);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.0.0.services().services.set(None);
    }
}

impl Plugin for LibraryPlugin {
    fn initialize(&mut self, services: &mut dyn Services, config: &str) -> Result<(), Failure> {
        self.lending(services, |plugin| plugin.initialize(config)).map_err(failure_of)
    }

    fn process(
        &mut self,
        services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        let mut out = Frames::new();
        let process = |plugin: &mut NativePlugin<Lent>| plugin.process(frame, &mut out);
        let stopped = self.lending(services, process).err();
        let mut frames = out.into_vec();
        match stopped {
            None => Ok(frames),
            Some(Stop::Alive(Outcome::LimitExceeded {
                limit: LimitKind::OutputFrames, ..
            })) => {
                // The host counts them. The content of the last one may be more than it takes.
                if let Some(excess) = frames.last_mut() {
                    *excess = Frame::data(Vec::new());
                }
                Ok(frames)
            }
            Some(stop) => Err(failure_of(stop)),
        }
    }

    fn health(&mut self) -> Health {
        self.0.health().unwrap_or_else(|stop| {
            let Failure { code, message } = failure_of(stop);
            Health::bad(code, message)
        })
    }

    fn save_state(&mut self) -> Result<Option<State>, Failure> {
        self.0.save_state().map_err(failure_of)
    }

    fn restore_state(&mut self, state: State) -> Result<(), Failure> {
        self.0.restore_state(&state).map_err(failure_of)
    }

    fn cleanup(&mut self) {
        self.0.cleanup();
    }
}

/// The words for it on the wire.
fn failure_of(stop: Stop) -> Failure {
    match stop.into_outcome() {
        Outcome::Failed { code, message } => Failure::new(code, message),
        // The only trap here is a panic that the plugin caught itself.
        Outcome::Trapped { message, .. } => Failure::new(Failure::PANIC, message),
        Outcome::LimitExceeded { limit: LimitKind::OutputBytes, asked, .. } => {
            Failure::new(EXCEEDED, asked.to_string())
        }
        other => Failure::invalid(other.to_string()),
    }
}
