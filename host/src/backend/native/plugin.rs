//! One copy of a plugin behind the native table, whatever stands behind its services.

use std::borrow::Cow;
use std::ffi::c_void;
use std::sync::Arc;

use bytes::Bytes;
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::native::{HostTable, Output, PluginTable, Receiver, Slice};
use glovebox_abi::{
    Failure, Frame, FrameRef, Header, Health, Kind, LogLevel, ProtocolVersion, ServiceError,
    Services, State,
};
use glovebox_events::Outcome;

use super::super::{failed, message_of};
use super::NativeCode;
use crate::frames::Frames;
use crate::problem::shorten;
use crate::stop::Stop;

/// The services behind a host table, and the bounds on the output of a call.
pub(crate) trait TableServices: Services {
    /// Random bytes, as [`Services::random`] gives them into a buffer: the length comes from the plugin,
    /// and is not believed before the service was asked.
    fn random_bytes(&mut self, length: usize) -> Result<Vec<u8>, ServiceError>;
    /// [`Services::emit`] of so many bytes, which may not be a frame.
    fn emit_read<E>(&mut self, bytes: usize, frame: Result<Frame, E>) -> Result<(), ServiceError>;
    /// The bytes and the frames that a call may put out.
    fn allowed_output(&self) -> (u64, u64);
    /// True if the frame that is too many is kept behind the others, for somebody else to judge.
    fn keeps_excess(&self) -> bool {
        false
    }
    /// Counts that a limit was hit.
    fn hit_limit(&self, limit: LimitKind);
}

/// One copy of a plugin behind the native table, and its services.
pub(crate) struct NativePlugin<S> {
    code: Arc<NativeCode>,
    instance: *mut c_void,
    // Both are boxed because the plugin keeps their addresses for its whole life.
    host: Box<HostTable>,
    services: *mut S,
}

// SAFETY: the contract says that an instance is called by one thread at a time, not always the
// same one; `&mut self` on every method keeps that. The services are owned by this value alone, and
// may be sent themselves.
unsafe impl<S: Send> Send for NativePlugin<S> {}

impl<S: TableServices> NativePlugin<S> {
    /// A copy that is not created yet; [`initialize`](Self::initialize) comes next.
    pub(crate) fn new(code: Arc<NativeCode>, services: S) -> NativePlugin<S> {
        let services = Box::into_raw(Box::new(services));
        let host = Box::new(HostTable {
            abi_version: ProtocolVersion::CURRENT.to_u32(),
            struct_size: size_of::<HostTable>() as u32,
            context: services.cast(),
            log: host_log::<S>,
            now: host_now::<S>,
            random: host_random::<S>,
            config: host_config::<S>,
            kv_get: host_kv_get::<S>,
            kv_set: host_kv_set::<S>,
            kv_delete: host_kv_delete::<S>,
            kv_list: host_kv_list::<S>,
            emit: host_emit::<S>,
            metric: host_metric::<S>,
            call: host_call::<S>,
        });
        NativePlugin { code, instance: std::ptr::null_mut(), host, services }
    }

    /// Its services, for counting and stopping.
    pub(crate) fn services(&mut self) -> &mut S {
        // SAFETY: the pointer came from `Box::into_raw` and is freed by `drop` alone, so that the
        // services live as long as this value. The only other references to them are made by `serve`,
        // which runs inside a call of the plugin, and every call of the plugin is inside a method
        // of this value: while somebody holds the reference that is given here, which borrows this
        // value mutably, no such method runs.
        unsafe { &mut *self.services }
    }

    /// Runs one function of the table and collects what it put out: frames into `frames`, and the
    /// state.
    fn run(
        &mut self,
        frames: &mut Frames,
        call: impl FnOnce(&PluginTable, *mut c_void, *const Output) -> u32,
    ) -> Result<Option<State>, Stop> {
        let (allowed_bytes, allowed_frames) = self.services().allowed_output();
        let keeps_excess = self.services().keeps_excess();
        let mut collected = Collected {
            frames,
            state: None,
            message: None,
            bytes: 0,
            allowed_bytes,
            allowed_frames,
            keeps_excess,
            broken: None,
        };
        let output = Output {
            context: (&raw mut collected).cast(),
            frame: output_frame,
            state: output_state,
            message: output_message,
        };
        // No reference to the services or to `collected` lives across this call: in it the plugin
        // calls back, and `serve` and the functions of the output make their own.
        let code = call(self.code.table, self.instance, &raw const output);
        if let Some(broken) = collected.broken.take() {
            if let Outcome::LimitExceeded { limit, .. } = &broken {
                self.services().hit_limit(*limit);
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

    pub(crate) fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        let mut created = std::ptr::null_mut();
        let host: *const HostTable = &raw const *self.host;
        let result = self.run(&mut Frames::new(), |table, _, output| {
            // SAFETY: the host table and the output live through the call; the text is lent.
            created = unsafe { (table.create)(host, Slice::new(config.as_bytes()), output) };
            u32::from(created.is_null())
        });
        // Also if its output was refused: it is there, has the tables, and is to be destroyed.
        self.instance = created;
        result.map(drop)
    }

    pub(crate) fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let result = self.run(out, |table, instance, output| {
            let header = Slice::new(frame.header.as_bytes());
            let payload = Slice::new(&frame.payload);
            // SAFETY: the instance came from `create`; slices and output live through the call.
            unsafe { (table.process)(instance, frame.kind.0, header, payload, output) }
        });
        result.map(drop)
    }

    pub(crate) fn health(&mut self) -> Result<Health, Stop> {
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

    pub(crate) fn save_state(&mut self) -> Result<Option<State>, Stop> {
        self.run(&mut Frames::new(), |table, instance, output| {
            // SAFETY: the instance came from `create`; the output lives through the call.
            unsafe { (table.save_state)(instance, output) }
        })
    }

    pub(crate) fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        self.run(&mut Frames::new(), |table, instance, output| {
            let bytes = Slice::new(&state.bytes);
            // SAFETY: the instance came from `create`; slice and output live through the call.
            unsafe { (table.restore_state)(instance, state.version, bytes, output) }
        })?;
        Ok(())
    }

    /// The last call.
    pub(crate) fn cleanup(&mut self) {
        self.destroy();
    }
}

/// The output of one call.
struct Collected<'a> {
    frames: &'a mut Frames,
    state: Option<State>,
    message: Option<(u32, String)>,
    bytes: u64,
    allowed_bytes: u64,
    allowed_frames: u64,
    keeps_excess: bool,
    broken: Option<Outcome>,
}

impl<S> NativePlugin<S> {
    fn destroy(&mut self) {
        if !self.instance.is_null() {
            let instance = std::mem::replace(&mut self.instance, std::ptr::null_mut());
            // SAFETY: the instance came from `create` and is not used again.
            unsafe { (self.code.table.destroy)(instance) };
        }
    }
}

impl<S> Drop for NativePlugin<S> {
    fn drop(&mut self) {
        self.destroy();
        // SAFETY: the pointer came from `Box::into_raw` and the plugin, which is gone, was the
        // only other holder.
        drop(unsafe { Box::from_raw(self.services) });
    }
}

/// A slice of the plugin's that cannot be: at no address, or longer than memory can be.
struct BadSlice(usize);

impl BadSlice {
    fn into_outcome(self) -> Outcome {
        Failure::invalid(format!("the plugin gave a slice of {} bytes", self.0)).into()
    }
}

impl From<BadSlice> for ServiceError {
    fn from(_: BadSlice) -> ServiceError {
        ServiceError::Invalid
    }
}

/// # Safety
///
/// The bytes must stay valid and unchanged for as long as the result is used.
unsafe fn bytes<'a>(slice: Slice) -> Result<&'a [u8], BadSlice> {
    if slice.length == 0 {
        return Ok(&[]);
    }
    if slice.pointer.is_null() || isize::try_from(slice.length).is_err() {
        return Err(BadSlice(slice.length));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(slice.pointer, slice.length) })
}

unsafe extern "C" fn output_frame(out: *mut c_void, kind: u8, header: Slice, payload: Slice) {
    // SAFETY: `out` is the `Collected` of the call under way; the plugin lends the slices.
    let (out, header, payload) =
        unsafe { (&mut *out.cast::<Collected<'_>>(), bytes(header), bytes(payload)) };
    if out.broken.is_some() {
        return;
    }
    let (header, payload) = match (header, payload) {
        (Ok(header), Ok(payload)) => (header, payload),
        (Err(bad), _) | (_, Err(bad)) => {
            out.broken = Some(bad.into_outcome());
            return;
        }
    };
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
    if out.keeps_excess
        && size <= glovebox_abi::MAX_FRAME_LEN as u64
        && let Ok(frame) = FrameRef::new(Kind(kind), header, payload)
    {
        out.frames.push_copy(frame);
    }
    out.broken = Some(Outcome::LimitExceeded { limit, asked, allowed, made_up: false });
}

unsafe extern "C" fn output_state(out: *mut c_void, version: u32, state: Slice) {
    // SAFETY: `out` is the `Collected` of the call under way; the plugin lends the slice.
    let (out, state) = unsafe { (&mut *out.cast::<Collected<'_>>(), bytes(state)) };
    match state {
        Ok(state) => out.state = Some(State { version, bytes: state.to_vec() }),
        Err(bad) => out.broken = Some(bad.into_outcome()),
    }
}

unsafe extern "C" fn output_message(out: *mut c_void, code: u32, message: Slice) {
    // SAFETY: `out` is the `Collected` of the call under way; the plugin lends the slice.
    let (out, message) = unsafe { (&mut *out.cast::<Collected<'_>>(), bytes(message)) };
    match message {
        Ok(message) => out.message = Some((code, message_of(message))),
        Err(bad) => out.broken = Some(bad.into_outcome()),
    }
}

/// Runs a service and turns its result into a code, handing values to `give`.
///
/// # Safety
///
/// `context` must be the services, of this type, of the instance whose call is under way.
unsafe fn serve<S: TableServices, T>(
    context: *mut c_void,
    service: impl FnOnce(&mut S) -> Result<T, ServiceError>,
    give: impl FnOnce(T),
) -> u32 {
    // SAFETY: by the caller's promise, these are the services of a `NativePlugin` one of whose calls is
    // under way on this thread. `NativePlugin::run` holds no reference to them meanwhile, and a
    // `serve` further up the stack none either: its reference is used by `service` alone, which does
    // not call the plugin. `give` does, by a callback, and comes after the last use.
    let services = unsafe { &mut *context.cast::<S>() };
    match service(services) {
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
unsafe fn text<'a>(slice: Slice) -> Result<Cow<'a, str>, BadSlice> {
    // As in the frame ABI: what is no UTF-8 is a use of the service too.
    // SAFETY: the caller's promise.
    unsafe { bytes(slice) }.map(String::from_utf8_lossy)
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

unsafe extern "C" fn host_log<S: TableServices>(
    context: *mut c_void,
    level: u32,
    message: Slice,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |services: &mut S| services.log(LogLevel::from_u32(level), &text(message)?),
            drop,
        )
    }
}

unsafe extern "C" fn host_now<S: TableServices>(
    context: *mut c_void,
    nanoseconds: *mut u64,
) -> u32 {
    // SAFETY: see above; the plugin lends the number.
    unsafe { serve(context, |services: &mut S| services.now(), |now| *nanoseconds = now) }
}

unsafe extern "C" fn host_random<S: TableServices>(
    context: *mut c_void,
    buffer: *mut u8,
    length: usize,
) -> u32 {
    // SAFETY: see above; the plugin lends `length` bytes, which are only written to. Where the
    // length is 0, the pointer is not looked at.
    unsafe {
        serve(
            context,
            |services: &mut S| services.random_bytes(length),
            |bytes| {
                if !bytes.is_empty() {
                    buffer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                }
            },
        )
    }
}

unsafe extern "C" fn host_config<S: TableServices>(
    context: *mut c_void,
    key: Slice,
    receiver: Receiver,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |services: &mut S| services.config(&text(key)?),
            |value| value.iter().for_each(|value| receive(receiver, value.as_bytes())),
        )
    }
}

unsafe extern "C" fn host_kv_get<S: TableServices>(
    context: *mut c_void,
    key: Slice,
    receiver: Receiver,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |services: &mut S| services.kv_get(&text(key)?),
            |value| value.iter().for_each(|value| receive(receiver, value)),
        )
    }
}

unsafe extern "C" fn host_kv_set<S: TableServices>(
    context: *mut c_void,
    key: Slice,
    value: Slice,
) -> u32 {
    // SAFETY: see above.
    unsafe { serve(context, |services: &mut S| services.kv_set(&text(key)?, bytes(value)?), drop) }
}

unsafe extern "C" fn host_kv_delete<S: TableServices>(
    context: *mut c_void,
    key: Slice,
    existed: *mut u32,
) -> u32 {
    // SAFETY: see above; the plugin lends the number.
    unsafe {
        serve(
            context,
            |services: &mut S| services.kv_delete(&text(key)?),
            |was_there| *existed = u32::from(was_there),
        )
    }
}

unsafe extern "C" fn host_kv_list<S: TableServices>(
    context: *mut c_void,
    prefix: Slice,
    receiver: Receiver,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |services: &mut S| services.kv_list(&text(prefix)?),
            |keys| keys.iter().for_each(|key| receive(receiver, key.as_bytes())),
        )
    }
}

unsafe extern "C" fn host_emit<S: TableServices>(
    context: *mut c_void,
    kind: u8,
    header: Slice,
    payload: Slice,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |services: &mut S| {
                let (header, payload) = (bytes(header)?, bytes(payload)?);
                let read = Header::from_cbor(Bytes::copy_from_slice(header));
                let read = read
                    .map(|header| Frame::new(Kind(kind), header, Bytes::copy_from_slice(payload)));
                services.emit_read(header.len() + payload.len(), read)
            },
            drop,
        )
    }
}

unsafe extern "C" fn host_metric<S: TableServices>(
    context: *mut c_void,
    name: Slice,
    value: f64,
) -> u32 {
    // SAFETY: see above.
    unsafe { serve(context, |services: &mut S| services.metric(&text(name)?, value), drop) }
}

unsafe extern "C" fn host_call<S: TableServices>(
    context: *mut c_void,
    function: Slice,
    argument: Slice,
    receiver: Receiver,
) -> u32 {
    // SAFETY: see above.
    unsafe {
        serve(
            context,
            |services: &mut S| services.call(&text(function)?, bytes(argument)?),
            |given| receive(receiver, &given),
        )
    }
}
