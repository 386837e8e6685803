//! The component binding: the plugin behind the world `glovebox:plugin/plugin@0.1.0`.

use std::sync::Mutex;

use glovebox_abi::{Failure, Frame, Header, Kind, LogLevel, Plugin, ServiceError, Services, State};

use bindings::exports::glovebox::plugin::guest;
use bindings::glovebox::plugin::{host, types};
use functions::glovebox::functions::application;

/// The code that wit-bindgen makes of the world, kept here because to build the generator takes
/// longer than to build a plugin. A test of the workspace compares it, and says how to make it
/// anew.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::undocumented_unsafe_blocks
)]
#[rustfmt::skip]
pub mod bindings;

/// The same for the functions of the application.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::undocumented_unsafe_blocks
)]
#[rustfmt::skip]
pub mod functions;

/// The one instance in a component.
#[derive(Debug)]
pub struct Slot<P>(Mutex<Option<P>>);

impl<P> Slot<P> {
    /// A slot whose plugin is made by the first call.
    #[expect(clippy::new_without_default, reason = "statics need a const function")]
    pub const fn new() -> Slot<P> {
        Slot(Mutex::new(None))
    }
}

impl<P: Plugin + Default> Slot<P> {
    fn with<T>(&self, run: impl FnOnce(&mut P) -> T) -> T {
        let mut plugin = self.0.try_lock().expect("the host never calls in while a call runs");
        run(plugin.get_or_insert_with(|| {
            super::report_panics(|message| {
                let _ = Imports.log(LogLevel::Error, message);
            });
            P::default()
        }))
    }
}

/// Implemented by the type that the macro declares in the plugin's crate.
pub trait Exported {
    /// The plugin.
    type Plugin: Plugin + Default + 'static;

    /// Where it lives.
    fn slot() -> &'static Slot<Self::Plugin>;
}

impl<E: Exported> guest::Guest for E {
    fn initialize(config: String) -> Result<(), guest::Failure> {
        let run = |plugin: &mut E::Plugin| plugin.initialize(&mut Imports, &config);
        E::slot().with(run).map_err(failure_out)
    }

    fn process(frame: guest::Frame) -> Result<Vec<guest::Frame>, guest::Failure> {
        let header = Header::from_cbor(frame.header.into())
            .map_err(|error| failure_out(Failure::invalid(error.to_string())))?;
        let frame = Frame::new(Kind(frame.kind), header, frame.payload);
        let outputs = E::slot().with(|plugin| plugin.process(&mut Imports, &frame));
        drop(frame);
        match outputs {
            Ok(outputs) => Ok(outputs.into_iter().map(frame_out).collect()),
            Err(failure) => Err(failure_out(failure)),
        }
    }

    fn health() -> Result<(), guest::Failure> {
        let health = E::slot().with(Plugin::health);
        if health.is_good() {
            Ok(())
        } else {
            Err(failure_out(Failure::new(health.code, health.message)))
        }
    }

    fn save_state() -> Result<Option<guest::State>, guest::Failure> {
        let state = E::slot().with(Plugin::save_state).map_err(failure_out)?;
        Ok(state.map(|State { version, bytes }| guest::State { version, bytes }))
    }

    fn restore_state(state: guest::State) -> Result<(), guest::Failure> {
        let state = State { version: state.version, bytes: state.bytes };
        E::slot().with(|plugin| plugin.restore_state(state)).map_err(failure_out)
    }

    fn cleanup() {
        E::slot().with(Plugin::cleanup);
    }
}

fn frame_out(frame: Frame) -> types::Frame {
    types::Frame {
        kind: frame.kind.0,
        header: frame.header.as_bytes().to_vec(),
        payload: frame.payload.into(),
    }
}

fn failure_out(failure: Failure) -> types::Failure {
    types::Failure { code: failure.code, message: failure.message }
}

/// The host, reached through the component's imports.
#[derive(Debug)]
struct Imports;

fn checked<T>(result: Result<T, u32>) -> Result<T, ServiceError> {
    result.map_err(ServiceError::from_code)
}

impl Services for Imports {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        checked(host::log(level as u32, message))
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        checked(host::now())
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        let length = u32::try_from(buffer.len()).map_err(|_| ServiceError::Invalid)?;
        let bytes = checked(host::random(length))?;
        if bytes.len() != buffer.len() {
            return Err(ServiceError::Unavailable);
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        checked(host::config(key))
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        checked(host::kv_get(key))
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        checked(host::kv_set(key, value))
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        checked(host::kv_delete(key))
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        checked(host::kv_list(prefix))
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        checked(host::emit(&frame_out(frame.clone())))
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        checked(host::metric(name, value))
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        checked(application::call(function, argument))
    }
}
