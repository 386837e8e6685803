//! The native table in this process: trusted code, for speed and existing libraries.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::native::{Entry, HostTable, Output, PluginTable, Receiver, SYMBOL, Slice};
use glovebox_abi::{
    Failure, Frame, FrameRef, Header, Health, Kind, LogLevel, ProtocolVersion, ServiceError,
    Services, State,
};
use glovebox_events::Outcome;

use super::{Backend, Stop, failed, message_of};
use crate::Frames;
use crate::context::Context;
use crate::load::{Incompatible, LoadProblem, shorten};

/// An opened library. It is never closed: code of a library may run until the process ends
/// (destructors of thread-local values), so closing it is never safe.
///
/// So a reload leaves the old copy mapped, and a process grows by the mapped size of the library for
/// each, of which only the pages that were written to are its own memory: a few hundred KiB for a
/// plugin in Rust. What is promised is that new code runs, not that old code is gone.
pub(crate) struct NativeCode {
    table: &'static PluginTable,
}

impl NativeCode {
    /// Opens a private copy of a library whose sections and symbols were checked before.
    pub(crate) fn open(path: &std::path::Path) -> Result<NativeCode, LoadProblem> {
        let malformed = |error: libloading::Error| LoadProblem::Malformed {
            what: "shared library",
            reason: error.to_string(),
        };
        // SAFETY: opening runs the library's constructors, which is what the person who gave the
        // trust flag agreed to; the file is a private copy that nobody else writes to.
        let library = unsafe { libloading::Library::new(path) }.map_err(malformed)?;
        // SAFETY: the symbol of this name has this type by the contract of the native table.
        let entry = unsafe { library.get::<Entry>(SYMBOL) }.map_err(malformed)?;
        // SAFETY: the entry takes nothing and returns a pointer to a table that stays valid.
        let table = unsafe { entry() };
        std::mem::forget(library);
        // SAFETY: by the contract of the native table, what the entry returns is null or the start
        // of a table that is never freed or written to.
        let table = unsafe { checked(table) }?;
        Ok(NativeCode { table })
    }
}

/// The table, once it is known to be one of this version and as large as one.
///
/// # Safety
///
/// Unless the pointer is null or not aligned, there must be a table behind it that starts with its
/// version and its size, is as long as the size says, and is neither freed nor written to any more.
unsafe fn checked(table: *const PluginTable) -> Result<&'static PluginTable, LoadProblem> {
    let no_table = |what: &str| -> LoadProblem {
        Incompatible::MissingExports(vec![format!("{SYMBOL}, which returned {what}")]).into()
    };
    if table.is_null() {
        return Err(no_table("null"));
    }
    if !table.is_aligned() {
        return Err(no_table("an address that no table can have"));
    }
    // SAFETY: the pointer is aligned for the table, hence for its fields, and the caller promises
    // that the table has these two, whatever its size. Nothing refers to the table as a whole yet:
    // it may be shorter than this version's type.
    let (version, size) = unsafe {
        (
            (&raw const (*table).abi_version).read(),
            (&raw const (*table).struct_size).read() as usize,
        )
    };
    let version = ProtocolVersion::from_u32(version);
    if !ProtocolVersion::CURRENT.supports(version) {
        return Err(Incompatible::Version { found: version }.into());
    }
    let expected = size_of::<PluginTable>();
    if size < expected {
        return Err(Incompatible::TableSize { found: size, expected }.into());
    }
    // SAFETY: not null, aligned, and by its own size, which the caller vouches for, at least as
    // long as the type; nobody writes to it, so that a shared reference may live for ever.
    Ok(unsafe { &*table })
}

pub(crate) struct NativeBackend {
    code: Arc<NativeCode>,
    instance: *mut c_void,
    // Both are boxed because the plugin keeps their addresses for its whole life.
    host: Box<HostTable>,
    context: *mut Context,
}

// SAFETY: the contract says that an instance is called by one thread at a time, not always the
// same one; `&mut self` on every method keeps that. The context is owned by this value alone.
unsafe impl Send for NativeBackend {}

impl NativeBackend {
    pub(crate) fn new(code: Arc<NativeCode>, context: Context) -> NativeBackend {
        let context = Box::into_raw(Box::new(context));
        let host = Box::new(HostTable {
            abi_version: ProtocolVersion::CURRENT.to_u32(),
            struct_size: size_of::<HostTable>() as u32,
            context: context.cast(),
            log: host_log,
            now: host_now,
            random: host_random,
            config: host_config,
            kv_get: host_kv_get,
            kv_set: host_kv_set,
            kv_delete: host_kv_delete,
            kv_list: host_kv_list,
            emit: host_emit,
            metric: host_metric,
        });
        NativeBackend { code, instance: std::ptr::null_mut(), host, context }
    }

    /// Runs one function of the table and collects what it put out: frames into `frames`, and the
    /// state.
    fn run(
        &mut self,
        frames: &mut Frames,
        call: impl FnOnce(&PluginTable, *mut c_void, *const Output) -> u32,
    ) -> Result<Option<State>, Stop> {
        let hot = &self.context().rights.hot;
        let allowed_bytes = hot.output_bytes.load(Ordering::Relaxed);
        let allowed_frames = hot.output_frames.load(Ordering::Relaxed);
        let mut collected = Collected {
            frames,
            state: None,
            message: None,
            bytes: 0,
            allowed_bytes,
            allowed_frames,
            broken: None,
        };
        let output = Output {
            context: (&raw mut collected).cast(),
            frame: output_frame,
            state: output_state,
            message: output_message,
        };
        // No reference to the context or to `collected` lives across this call: in it the plugin
        // calls back, and `serve` and the functions of the output make their own.
        let code = call(self.code.table, self.instance, &raw const output);
        if let Some(broken) = collected.broken.take() {
            if let Outcome::LimitExceeded { limit, .. } = &broken {
                self.context().shared.counters.hit_limit(*limit);
            }
            return Err(Stop::Alive(broken));
        }
        if code == 0 {
            return Ok(collected.state);
        }
        let (code, message) = collected.message.take().unwrap_or_else(|| {
            (code, format!("the plugin returned code {code} without a message"))
        });
        if code == Failure::PANIC {
            // The macro caught it inside the plugin, and runs this copy no more.
            let code = "plugin-panic".to_owned();
            return Err(Stop::Dead(Outcome::Trapped { code, message: shorten(&message) }));
        }
        Err(failed(code, message))
    }
}

/// What one call put out.
struct Collected<'a> {
    frames: &'a mut Frames,
    state: Option<State>,
    message: Option<(u32, String)>,
    bytes: u64,
    allowed_bytes: u64,
    allowed_frames: u64,
    broken: Option<Outcome>,
}

impl Backend for NativeBackend {
    fn context(&mut self) -> &mut Context {
        // SAFETY: the pointer came from `Box::into_raw` and is freed by `drop` alone, so that the
        // context lives as long as this value. The only other references to it are made by `serve`,
        // which runs inside a call of the plugin, and every call of the plugin is inside a method
        // of this value: while somebody holds the reference that is given here, which borrows this
        // value mutably, no such method runs.
        unsafe { &mut *self.context }
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        let mut created = std::ptr::null_mut();
        let host: *const HostTable = &raw const *self.host;
        self.run(&mut Frames::new(), |table, _, output| {
            // SAFETY: the host table and the output live through the call; the text is lent.
            created = unsafe { (table.create)(host, Slice::new(config.as_bytes()), output) };
            u32::from(created.is_null())
        })?;
        self.instance = created;
        Ok(())
    }

    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let result = self.run(out, |table, instance, output| {
            let header = Slice::new(frame.header.as_bytes());
            let payload = Slice::new(&frame.payload);
            // SAFETY: the instance came from `create`; slices and output live through the call.
            unsafe { (table.process)(instance, frame.kind.0, header, payload, output) }
        });
        result.map(drop)
    }

    fn health(&mut self) -> Result<Health, Stop> {
        let result = self.run(&mut Frames::new(), |table, instance, output| {
            // SAFETY: the instance came from `create`; the output lives through the call.
            unsafe { (table.health)(instance, output) }
        });
        match result {
            Ok(_) => Ok(Health::good()),
            Err(Stop::Alive(Outcome::Failed { code, message })) => Ok(Health::bad(code, message)),
            Err(stop) => Err(stop),
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        self.run(&mut Frames::new(), |table, instance, output| {
            // SAFETY: the instance came from `create`; the output lives through the call.
            unsafe { (table.save_state)(instance, output) }
        })
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        self.run(&mut Frames::new(), |table, instance, output| {
            let bytes = Slice::new(&state.bytes);
            // SAFETY: the instance came from `create`; slice and output live through the call.
            unsafe { (table.restore_state)(instance, state.version, bytes, output) }
        })?;
        Ok(())
    }

    fn cleanup(&mut self) {
        if !self.instance.is_null() {
            let instance = std::mem::replace(&mut self.instance, std::ptr::null_mut());
            // SAFETY: the instance came from `create` and is not used again.
            unsafe { (self.code.table.destroy)(instance) };
        }
    }

    fn memory(&mut self) -> Option<u64> {
        None
    }
}

impl Drop for NativeBackend {
    fn drop(&mut self) {
        self.cleanup();
        // SAFETY: the pointer came from `Box::into_raw` and the plugin, which is gone, was the
        // only other holder.
        drop(unsafe { Box::from_raw(self.context) });
    }
}

/// # Safety
///
/// The bytes must stay valid and unchanged for as long as the result is used.
unsafe fn bytes<'a>(slice: Slice) -> &'a [u8] {
    if slice.length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(slice.pointer, slice.length) }
}

unsafe extern "C" fn output_frame(out: *mut c_void, kind: u8, header: Slice, payload: Slice) {
    // SAFETY: `out` is the `Collected` of the call under way; the plugin lends the slices.
    let (out, header, payload) =
        unsafe { (&mut *out.cast::<Collected<'_>>(), bytes(header), bytes(payload)) };
    if out.broken.is_some() {
        return;
    }
    let size = (glovebox_abi::FRAME_PREFIX_LEN + header.len() + payload.len()) as u64;
    let asked = out.bytes + size;
    let frames = out.frames.len() as u64 + 1;
    let (limit, asked, allowed) = if asked > out.allowed_bytes {
        (LimitKind::OutputBytes, asked, out.allowed_bytes)
    } else if frames > out.allowed_frames {
        (LimitKind::OutputFrames, frames, out.allowed_frames)
    } else {
        out.bytes = asked;
        match FrameRef::new(Kind(kind), header, payload) {
            Ok(frame) => out.frames.push_copy(frame),
            Err(error) => {
                let message = format!("the plugin gave a frame with a bad header: {error}");
                out.broken = Some(Failure::invalid(message).into());
            }
        }
        return;
    };
    out.broken = Some(Outcome::LimitExceeded { limit, asked, allowed });
}

unsafe extern "C" fn output_state(out: *mut c_void, version: u32, state: Slice) {
    // SAFETY: `out` is the `Collected` of the call under way; the plugin lends the slice.
    let (out, state) = unsafe { (&mut *out.cast::<Collected<'_>>(), bytes(state)) };
    out.state = Some(State { version, bytes: state.to_vec() });
}

unsafe extern "C" fn output_message(out: *mut c_void, code: u32, message: Slice) {
    // SAFETY: `out` is the `Collected` of the call under way; the plugin lends the slice.
    let (out, message) = unsafe { (&mut *out.cast::<Collected<'_>>(), bytes(message)) };
    out.message = Some((code, message_of(message)));
}

/// Runs a service and turns its result into a code, handing values to `give`.
///
/// # Safety
///
/// `context` must be the context of the instance whose call is under way.
unsafe fn serve<T>(
    context: *mut c_void,
    service: impl FnOnce(&mut Context) -> Result<T, ServiceError>,
    give: impl FnOnce(T),
) -> u32 {
    // SAFETY: by the caller's promise, this is the context of a `NativeBackend` one of whose calls is
    // under way on this thread. `NativeBackend::run` holds no reference to it meanwhile, and a
    // `serve` further up the stack none either: its reference is used by `service` alone, which does
    // not call the plugin. `give` does, by a callback, and comes after the last use.
    let context = unsafe { &mut *context.cast::<Context>() };
    match service(context) {
        Ok(value) => {
            give(value);
            0
        }
        Err(error) => error.code(),
    }
}

/// # Safety
///
/// The bytes must stay valid for as long as the result is used.
unsafe fn text<'a>(slice: Slice) -> Result<&'a str, ServiceError> {
    // SAFETY: the caller's promise.
    std::str::from_utf8(unsafe { bytes(slice) }).map_err(|_| ServiceError::Invalid)
}

/// # Safety
///
/// The receiver must be one that the plugin passed to the call under way.
unsafe fn receive(receiver: Receiver, bytes: &[u8]) {
    // SAFETY: the caller's promise; the bytes are lent for the length of the callback.
    unsafe { (receiver.receive)(receiver.context, Slice::new(bytes)) }
}

// The functions of the host table. SAFETY, for all of them: the plugin passes back the context it
// was given, during a call, and lends its slices for the length of the call.

unsafe extern "C" fn host_log(context: *mut c_void, level: u32, message: Slice) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |context| {
                let message = String::from_utf8_lossy(bytes(message));
                context.log(LogLevel::from_u32(level), &message)
            },
            drop,
        )
    }
}

unsafe extern "C" fn host_now(context: *mut c_void, nanoseconds: *mut u64) -> u32 {
    // SAFETY: see above; the plugin lends the number.
    unsafe { serve(context, |context| context.now(), |now| *nanoseconds = now) }
}

unsafe extern "C" fn host_random(context: *mut c_void, buffer: *mut u8, length: usize) -> u32 {
    // SAFETY: see above; the plugin lends `length` bytes, which are only written to. Where the
    // length is 0, the pointer is not looked at.
    unsafe {
        serve(
            context,
            |context| context.random_bytes(length),
            |bytes| {
                if !bytes.is_empty() {
                    buffer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                }
            },
        )
    }
}

unsafe extern "C" fn host_config(context: *mut c_void, key: Slice, receiver: Receiver) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |context| context.config(text(key)?),
            |value| value.iter().for_each(|value| receive(receiver, value.as_bytes())),
        )
    }
}

unsafe extern "C" fn host_kv_get(context: *mut c_void, key: Slice, receiver: Receiver) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |context| context.kv_get(text(key)?),
            |value| value.iter().for_each(|value| receive(receiver, value)),
        )
    }
}

unsafe extern "C" fn host_kv_set(context: *mut c_void, key: Slice, value: Slice) -> u32 {
    // SAFETY: see above.
    unsafe { serve(context, |context| context.kv_set(text(key)?, bytes(value)), drop) }
}

unsafe extern "C" fn host_kv_delete(context: *mut c_void, key: Slice, existed: *mut u32) -> u32 {
    // SAFETY: see above; the plugin lends the number.
    unsafe {
        serve(
            context,
            |context| context.kv_delete(text(key)?),
            |was_there| *existed = u32::from(was_there),
        )
    }
}

unsafe extern "C" fn host_kv_list(context: *mut c_void, prefix: Slice, receiver: Receiver) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |context| context.kv_list(text(prefix)?),
            |keys| keys.iter().for_each(|key| receive(receiver, key.as_bytes())),
        )
    }
}

unsafe extern "C" fn host_emit(
    context: *mut c_void,
    kind: u8,
    header: Slice,
    payload: Slice,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |context| {
                let header = Header::from_cbor(Bytes::copy_from_slice(bytes(header)))
                    .map_err(|_| ServiceError::Invalid)?;
                let payload = Bytes::copy_from_slice(bytes(payload));
                context.emit(&Frame::new(Kind(kind), header, payload))
            },
            drop,
        )
    }
}

unsafe extern "C" fn host_metric(context: *mut c_void, name: Slice, value: f64) -> u32 {
    // SAFETY: see above.
    unsafe { serve(context, |context| context.metric(text(name)?, value), drop) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field but the first two is missing: reading any further would be reading what is not
    /// there, which Miri and valgrind would find.
    #[test]
    fn a_table_is_not_believed_before_its_size_is_known() {
        #[repr(C, align(16))]
        struct Short {
            version: u32,
            size: u32,
        }
        fn check(version: u32, size: u32, expected: &str) {
            let table: &'static Short = Box::leak(Box::new(Short { version, size }));
            // SAFETY: it starts with its version and its size, and lives for ever.
            let problem = unsafe { checked(std::ptr::from_ref(table).cast()) }.unwrap_err();
            assert!(problem.to_string().contains(expected), "{problem} lacks {expected}");
        }
        let current = ProtocolVersion::CURRENT.to_u32();
        check(current, 8, "8");
        check(current, size_of::<PluginTable>() as u32 - 1, "bytes");
        check(current + (1 << 16), 8, "version");
        // SAFETY: null and what is not aligned are not read.
        let null = unsafe { checked(std::ptr::null()) };
        assert!(null.unwrap_err().to_string().contains("null"));
        // SAFETY: the same.
        let crooked = unsafe { checked(std::ptr::without_provenance(1)) };
        assert!(crooked.unwrap_err().to_string().contains("address"));
    }
}
