//! The native binding: the plugin behind the table that `glovebox_abi::native` describes.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Once;

use bytes::Bytes;
use glovebox_abi::native::{HostTable, Output, Receiver, Slice};
use glovebox_abi::{
    Failure, Frame, Header, Kind, LogLevel, Plugin, ProtocolVersion, ServiceError, Services, State,
};

pub use glovebox_abi::native::PluginTable;

/// The table of a plugin.
pub const fn table<P: Plugin + Default + 'static>() -> PluginTable {
    PluginTable {
        abi_version: ProtocolVersion::CURRENT.to_u32(),
        struct_size: size_of::<PluginTable>() as u32,
        create: create::<P>,
        process: process::<P>,
        health: health::<P>,
        save_state: save_state::<P>,
        restore_state: restore_state::<P>,
        destroy: destroy::<P>,
    }
}

/// The instance behind the host's pointer.
struct Instance<P> {
    plugin: P,
    host: Host,
    /// Why it is not run any more.
    panicked: Option<String>,
}

impl<P: Plugin> Instance<P> {
    /// Runs one call of the plugin; after a panic, none.
    fn run<T>(
        &mut self,
        call: impl FnOnce(&mut P, &mut Host) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(message) = &self.panicked {
            let message = format!("not run, because it panicked earlier: {message}");
            return Err(Failure::new(Failure::PANIC, message));
        }
        // State that the panic left half changed is never looked at again, but for dropping it.
        let own = catch(|| call(&mut self.plugin, &mut self.host).map_err(own));
        own.unwrap_or_else(|message| {
            self.panicked = Some(message.clone());
            Err(Failure::new(Failure::PANIC, message))
        })
    }
}

unsafe extern "C" fn create<P: Plugin + Default>(
    host: *const HostTable,
    config: Slice,
    out: *const Output,
) -> *mut c_void {
    // SAFETY: the contract lends `config` and `out` for this call, and the host's table for as
    // long as the instance lives.
    let (config, out, host) = unsafe { (bytes(&config), &*out, Host(host)) };
    let result = catch(|| {
        let config = str::from_utf8(config)
            .map_err(|_| Failure::invalid("the configuration is not UTF-8"))?;
        let mut instance = Box::new(Instance { plugin: P::default(), host, panicked: None });
        instance.plugin.initialize(&mut instance.host, config).map_err(own)?;
        Ok(instance)
    });
    match result.unwrap_or_else(|message| Err(Failure::new(Failure::PANIC, message))) {
        Ok(instance) => Box::into_raw(instance).cast(),
        Err(failure) => {
            tell(out, &failure);
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn process<P: Plugin>(
    instance: *mut c_void,
    kind: u8,
    header: Slice,
    payload: Slice,
    out: *const Output,
) -> u32 {
    // SAFETY: the instance is one that `create` made, called by one thread at a time; all others
    // are lent for this call.
    let (instance, header, payload, out) =
        unsafe { (&mut *instance.cast::<Instance<P>>(), bytes(&header), bytes(&payload), &*out) };
    answer(out, || {
        // Copies, because the plugin may keep the frame.
        let header = Header::from_cbor(Bytes::copy_from_slice(header))
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let frame = Frame::new(Kind(kind), header, Bytes::copy_from_slice(payload));
        for frame in instance.run(|plugin, host| plugin.process(host, &frame))? {
            let header = Slice::new(frame.header.as_bytes());
            let payload = Slice::new(&frame.payload);
            // SAFETY: `out` is the host's, and both slices outlive the call.
            unsafe { (out.frame)(out.context, frame.kind.0, header, payload) };
        }
        Ok(())
    })
}

unsafe extern "C" fn health<P: Plugin>(instance: *mut c_void, out: *const Output) -> u32 {
    // SAFETY: as in `process`.
    let (instance, out) = unsafe { (&mut *instance.cast::<Instance<P>>(), &*out) };
    answer(out, || {
        instance.run(|plugin, _| {
            let health = plugin.health();
            if health.is_good() { Ok(()) } else { Err(Failure::new(health.code, health.message)) }
        })
    })
}

unsafe extern "C" fn save_state<P: Plugin>(instance: *mut c_void, out: *const Output) -> u32 {
    // SAFETY: as in `process`.
    let (instance, out) = unsafe { (&mut *instance.cast::<Instance<P>>(), &*out) };
    answer(out, || {
        if let Some(state) = instance.run(|plugin, _| plugin.save_state())? {
            // SAFETY: `out` is the host's, and the slice outlives the call.
            unsafe { (out.state)(out.context, state.version, Slice::new(&state.bytes)) };
        }
        Ok(())
    })
}

unsafe extern "C" fn restore_state<P: Plugin>(
    instance: *mut c_void,
    version: u32,
    state: Slice,
    out: *const Output,
) -> u32 {
    // SAFETY: as in `process`.
    let (instance, state, out) =
        unsafe { (&mut *instance.cast::<Instance<P>>(), bytes(&state), &*out) };
    answer(out, || {
        let bytes = state.to_vec();
        instance.run(|plugin, _| plugin.restore_state(State { version, bytes }))
    })
}

unsafe extern "C" fn destroy<P: Plugin>(instance: *mut c_void) {
    // SAFETY: the instance is one that `create` made, and the host never uses it again.
    let mut instance = unsafe { Box::from_raw(instance.cast::<Instance<P>>()) };
    // A panic here has nobody left to be told to.
    let _ = instance.run(|plugin, _| {
        plugin.cleanup();
        Ok(())
    });
    let _ = catch(|| drop(instance));
}

/// The lent bytes; they live as long as the borrow of the slice that names them.
///
/// # Safety
///
/// The slice must name memory that may be read for the length of the borrow.
unsafe fn bytes(slice: &Slice) -> &[u8] {
    if slice.length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(slice.pointer, slice.length) }
}

/// A failure as the plugin gave it. The code of a panic is this binding's alone: the host throws a
/// copy away that answers with it.
fn own(failure: Failure) -> Failure {
    match failure.code {
        Failure::PANIC => Failure { code: Failure::GENERIC, ..failure },
        _ => failure,
    }
}

/// Turns a result into the number that the table's functions return.
fn answer(out: &Output, call: impl FnOnce() -> Result<(), Failure>) -> u32 {
    match call() {
        Ok(()) => 0,
        Err(failure) => {
            tell(out, &failure);
            // 0 would read as success.
            failure.code.max(1)
        }
    }
}

fn tell(out: &Output, failure: &Failure) {
    let message = Slice::new(failure.message.as_bytes());
    // SAFETY: `out` is the host's, and the message outlives the call.
    unsafe { (out.message)(out.context, failure.code.max(1), message) };
}

thread_local! {
    /// True while this thread runs plugin code whose panic is caught.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The last panic that the hook saw on this thread.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `call`; a panic becomes its message, with the place.
fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if CATCHING.get() {
                LAST_PANIC.set(Some(panic.to_string()));
            } else {
                earlier(panic);
            }
        }));
    });
    let outer = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let message = LAST_PANIC.take().unwrap_or_else(|| what(&*panic).to_owned());
        // The value that was thrown may panic again when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
            LAST_PANIC.take();
        }
        message
    });
    CATCHING.set(outer);
    result
}

/// The text of a panic whose hook did not run, as with `resume_unwind`.
fn what(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panicked without a message")
}

/// The host, reached through its table, of which an older host has less: nothing refers to it as a
/// whole.
struct Host(*const HostTable);

fn checked(code: u32) -> Result<(), ServiceError> {
    match code {
        0 => Ok(()),
        code => Err(ServiceError::from_code(code)),
    }
}

/// Collects what the host hands to a receiver.
fn receive(call: impl FnOnce(Receiver) -> u32) -> Result<Vec<Vec<u8>>, ServiceError> {
    unsafe extern "C" fn push(context: *mut c_void, value: Slice) {
        // SAFETY: the context is the vector below, which outlives the call and which nobody else
        // uses during it; the host lends the bytes for the length of this callback.
        let (values, value) = unsafe { (&mut *context.cast::<Vec<Vec<u8>>>(), bytes(&value)) };
        values.push(value.to_vec());
    }
    let mut values = Vec::<Vec<u8>>::new();
    checked(call(Receiver { context: (&raw mut values).cast(), receive: push }))?;
    Ok(values)
}

fn text(bytes: Vec<u8>) -> Result<String, ServiceError> {
    String::from_utf8(bytes).map_err(|_| ServiceError::Unavailable)
}

// SAFETY, for every call below: the table and its context live as long as the instance, which owns
// this value; slices are borrowed for the whole call; out-pointers name locals or, in `random`, the
// caller's buffer, which is borrowed for the whole call too and as long as is said.
impl Services for Host {
    fn log(&mut self, level: LogLevel, message: &str) -> Result<(), ServiceError> {
        let message = Slice::new(message.as_bytes());
        // SAFETY: see above.
        checked(unsafe { ((*self.0).log)((*self.0).context, level as u32, message) })
    }

    fn now(&mut self) -> Result<u64, ServiceError> {
        let mut nanoseconds = 0;
        // SAFETY: see above.
        checked(unsafe { ((*self.0).now)((*self.0).context, &raw mut nanoseconds) })?;
        Ok(nanoseconds)
    }

    fn random(&mut self, buffer: &mut [u8]) -> Result<(), ServiceError> {
        // SAFETY: see above.
        checked(unsafe { ((*self.0).random)((*self.0).context, buffer.as_mut_ptr(), buffer.len()) })
    }

    fn config(&mut self, key: &str) -> Result<Option<String>, ServiceError> {
        let key = Slice::new(key.as_bytes());
        // SAFETY: see above.
        let values = receive(|to| unsafe { ((*self.0).config)((*self.0).context, key, to) })?;
        values.into_iter().next().map(text).transpose()
    }

    fn kv_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        let key = Slice::new(key.as_bytes());
        // SAFETY: see above.
        let values = receive(|to| unsafe { ((*self.0).kv_get)((*self.0).context, key, to) })?;
        Ok(values.into_iter().next())
    }

    fn kv_set(&mut self, key: &str, value: &[u8]) -> Result<(), ServiceError> {
        let key = Slice::new(key.as_bytes());
        // SAFETY: see above.
        checked(unsafe { ((*self.0).kv_set)((*self.0).context, key, Slice::new(value)) })
    }

    fn kv_delete(&mut self, key: &str) -> Result<bool, ServiceError> {
        let mut existed = 0;
        let key = Slice::new(key.as_bytes());
        // SAFETY: see above.
        checked(unsafe { ((*self.0).kv_delete)((*self.0).context, key, &raw mut existed) })?;
        Ok(existed != 0)
    }

    fn kv_list(&mut self, prefix: &str) -> Result<Vec<String>, ServiceError> {
        let prefix = Slice::new(prefix.as_bytes());
        // SAFETY: see above.
        let keys = receive(|to| unsafe { ((*self.0).kv_list)((*self.0).context, prefix, to) })?;
        keys.into_iter().map(text).collect()
    }

    fn emit(&mut self, frame: &Frame) -> Result<(), ServiceError> {
        let header = Slice::new(frame.header.as_bytes());
        let payload = Slice::new(&frame.payload);
        // SAFETY: see above.
        checked(unsafe { ((*self.0).emit)((*self.0).context, frame.kind.0, header, payload) })
    }

    fn metric(&mut self, name: &str, value: f64) -> Result<(), ServiceError> {
        let name = Slice::new(name.as_bytes());
        // SAFETY: see above.
        checked(unsafe { ((*self.0).metric)((*self.0).context, name, value) })
    }

    fn call(&mut self, function: &str, argument: &[u8]) -> Result<Vec<u8>, ServiceError> {
        // SAFETY: every table has its size.
        let size = unsafe { (*self.0).struct_size } as usize;
        if size < offset_of!(HostTable, call) + size_of::<usize>() {
            return Err(ServiceError::Unavailable);
        }
        let (function, argument) = (Slice::new(function.as_bytes()), Slice::new(argument));
        // SAFETY: see above, and the table reaches as far as this function.
        let call = |to| unsafe { ((*self.0).call)((*self.0).context, function, argument, to) };
        Ok(receive(call)?.into_iter().next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
