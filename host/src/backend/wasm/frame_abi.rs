//! The frame ABI on the host's side; [`glovebox_abi::frame_abi`] is its specification.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use glovebox_abi::frame_abi::{self, Output};
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{
    FRAME_PREFIX_LEN, Failure, Frame, FrameRef, Health, LogLevel, Permission, ProtocolVersion,
    ServiceError, Services, State,
};
use glovebox_events::Outcome;
use wasmtime::{
    Caller, Engine, Extern, ExternType, Instance, Linker, Memory, Module, Store, TypedFunc, ValType,
};

use super::engine::WasmEngine;
use super::ticker::Pulse;
use super::wasi::preview1::{self, HasWasi, Wasi};
use super::{Stop, died};
use crate::Frames;
use crate::backend::{Backend, failed, message_of};
use crate::context::Context;
use crate::load::{Incompatible, LoadProblem, shorten};

/// The functions that a module may import.
const IMPORTS: [&str; 10] = [
    "log",
    "now",
    "random",
    "config",
    "kv_get",
    "kv_set",
    "kv_delete",
    "kv_list",
    "emit",
    "metric",
];

/// What host functions see: the services, and WASI if the module imports any of it.
pub(crate) struct Data {
    context: Context,
    wasi: Option<Box<Wasi>>,
}

impl Deref for Data {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl DerefMut for Data {
    fn deref_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

impl HasWasi for Data {
    fn wasi(&mut self) -> Option<&mut Wasi> {
        self.wasi.as_deref_mut()
    }
}

/// A module that keeps to the frame ABI.
pub(crate) struct FrameAbiCode {
    pub(crate) engine: Arc<WasmEngine>,
    linked: wasmtime::InstancePre<Data>,
    uses_wasi: bool,
}

impl FrameAbiCode {
    pub(super) fn new(engine: Arc<WasmEngine>, module: &Module) -> Result<Self, LoadProblem> {
        let names: Vec<&str> = module.exports().map(|export| export.name()).collect();
        check_version(&names)?;
        let needed = ["memory", frame_abi::BUFFER, frame_abi::PROCESS];
        let missing: Vec<String> = needed
            .into_iter()
            .filter(|name| !names.contains(name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !missing.is_empty() {
            return Err(Incompatible::MissingExports(missing).into());
        }
        check_types(module)?;
        let is_known = |import: &wasmtime::ImportType<'_>| match import.module() {
            frame_abi::IMPORT_MODULE => IMPORTS.contains(&import.name()),
            preview1::MODULE => true,
            _ => false,
        };
        let unknown: Vec<String> = module
            .imports()
            .filter(|import| !is_known(import))
            .map(|import| format!("`{}::{}`", shorten(import.module()), shorten(import.name())))
            .collect();
        if !unknown.is_empty() {
            return Err(Incompatible::UnknownImports(unknown).into());
        }
        let linked = engine
            .core_linker
            .instantiate_pre(module)
            .map_err(|error| Incompatible::Import { reason: shorten(&format!("{error:#}")) })?;
        let uses_wasi = module.imports().any(|import| import.module() == preview1::MODULE);
        Ok(FrameAbiCode { engine, linked, uses_wasi })
    }

    pub(crate) fn instantiate(self: &Arc<Self>, context: Context) -> Result<FrameAbi, Outcome> {
        let pulse = self.engine.ticker.pulse();
        let wasi = self.uses_wasi.then(|| Wasi::new(&context, &pulse).map(Box::new)).transpose();
        let wasi = wasi.map_err(|reason| Outcome::Refused { reason })?;
        let mut store = Store::new(&self.engine.engine, Data { context, wasi });
        store.limiter(|data| &mut data.context);
        let at_epochs = pulse.clone();
        store.epoch_deadline_callback(move |mut store| at_epochs.tick(store.data_mut()));
        let mut machine =
            Machine { store, buffer: Buffer { pointer: 0, size: 0 }, metered: self.engine.metered };
        let exports = machine.start(self, &pulse).map_err(Stop::into_outcome)?;
        Ok(FrameAbi { exports: Some(exports), pulse, machine })
    }
}

/// Checks that every export of the contract has its type, so that a call cannot fail for it.
fn check_types(module: &Module) -> Result<(), LoadProblem> {
    for export in module.exports() {
        let expected = match export.name() {
            "memory" => "a 32-bit memory",
            "_initialize" | frame_abi::CLEANUP => "() -> ()",
            frame_abi::BUFFER => "(i32) -> (i32)",
            frame_abi::PROCESS | frame_abi::INITIALIZE | frame_abi::RESTORE_STATE => {
                "(i32) -> (i64)"
            }
            frame_abi::HEALTH | frame_abi::SAVE_STATE => "() -> (i64)",
            _ => continue,
        };
        let found = match export.ty() {
            ExternType::Memory(memory) if !memory.is_64() => "a 32-bit memory".to_owned(),
            ExternType::Memory(_) => "a 64-bit memory".to_owned(),
            ExternType::Func(function) => {
                let list = |types: &mut dyn Iterator<Item = ValType>| {
                    types.map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
                };
                let (parameters, results) =
                    (list(&mut function.params()), list(&mut function.results()));
                format!("({parameters}) -> ({results})")
            }
            ExternType::Global(_) => "a global".to_owned(),
            ExternType::Table(_) => "a table".to_owned(),
            ExternType::Tag(_) => "a tag".to_owned(),
        };
        if found != expected {
            let found = shorten(&found);
            let reason = format!("`{}` is {found}, expected {expected}", export.name());
            return Err(Incompatible::Export { reason }.into());
        }
    }
    Ok(())
}

fn check_version(exports: &[&str]) -> Result<(), LoadProblem> {
    let marked = exports.iter().filter_map(|name| {
        name.strip_prefix(frame_abi::MARKER_PREFIX).and_then(ProtocolVersion::from_suffix)
    });
    let versions: Vec<ProtocolVersion> = marked.collect();
    if versions.iter().any(|version| ProtocolVersion::CURRENT.supports(*version)) {
        return Ok(());
    }
    if exports.iter().any(|name| name.starts_with(super::component::GUEST)) {
        return Err(Incompatible::NotEncoded.into());
    }
    Err(match versions.first() {
        Some(version) => Incompatible::Version { found: *version }.into(),
        None => Incompatible::MissingExports(vec![format!("`{}`", frame_abi::MARKER)]).into(),
    })
}

/// One running copy of a module.
pub(crate) struct FrameAbi {
    /// `None` after cleanup.
    exports: Option<Exports>,
    pulse: Arc<Pulse>,
    machine: Machine,
}

struct Exports {
    instance: Instance,
    memory: Memory,
    buffer: TypedFunc<i32, i32>,
    process: TypedFunc<i32, i64>,
}

/// The module's memory, and what is known of it.
struct Machine {
    store: Store<Data>,
    buffer: Buffer,
    /// True if the engine counts work.
    metered: bool,
}

/// The input buffer that the module handed out last.
struct Buffer {
    pointer: usize,
    size: usize,
}

impl Machine {
    fn start(&mut self, code: &FrameAbiCode, pulse: &Pulse) -> Result<Exports, Stop> {
        let _running = pulse.run();
        self.arm();
        let started = (|| {
            let instance = code.linked.instantiate(&mut self.store)?;
            let memory = instance
                .get_memory(&mut self.store, "memory")
                .ok_or_else(|| wasmtime::Error::msg("the export `memory` is not a memory"))?;
            let buffer = instance.get_typed_func(&mut self.store, frame_abi::BUFFER)?;
            let process = instance.get_typed_func(&mut self.store, frame_abi::PROCESS)?;
            if let Some(initialize) = instance.get_func(&mut self.store, "_initialize") {
                initialize.typed::<(), ()>(&self.store)?.call(&mut self.store, ())?;
            }
            Ok(Exports { instance, memory, buffer, process })
        })();
        started.map_err(|error| self.died(&error))
    }

    /// Makes the engine ask at every epoch whether the call that comes next may go on, and sets its
    /// fuel.
    #[inline]
    fn arm(&mut self) {
        self.store.set_epoch_deadline(1);
        if self.metered {
            super::refuel(&mut self.store, |data| &data.context);
        }
        let data = self.store.data_mut();
        if let Some(wasi) = &mut data.wasi {
            wasi.begin(&data.context);
        }
    }

    /// What the plugin printed during a call becomes log lines.
    #[inline]
    fn log_printed(&mut self, level: LogLevel) {
        let data = self.store.data_mut();
        if let Some(printed) = data.wasi.as_ref().and_then(|wasi| wasi.printed()) {
            data.context.log_on_behalf(level, &printed);
        }
    }

    fn died(&mut self, error: &wasmtime::Error) -> Stop {
        self.log_printed(LogLevel::Error);
        died(self.store.data_mut(), error)
    }

    /// Asks the module for an input buffer of `size` bytes.
    #[cold]
    fn reserve(&mut self, exports: &Exports, size: usize) -> Result<(), Stop> {
        let size = size.next_power_of_two().max(4096);
        let asked = i32::try_from(size).unwrap_or(i32::MAX);
        let pointer =
            exports.buffer.call(&mut self.store, asked).map_err(|error| self.died(&error))?;
        let pointer = pointer as u32 as usize;
        let end = pointer.checked_add(size);
        let fits = end.is_some_and(|end| end <= exports.memory.data_size(&self.store));
        if pointer == 0 || !fits {
            let message = format!(
                "`{}({size})` returned {pointer}, which is not a buffer inside the memory",
                frame_abi::BUFFER
            );
            return Err(Failure::invalid(message).into());
        }
        self.buffer = Buffer { pointer, size };
        Ok(())
    }

    /// The first `size` bytes of the input buffer.
    #[inline]
    fn input(&mut self, exports: &Exports, size: usize) -> Result<&mut [u8], Stop> {
        if size > self.buffer.size {
            self.reserve(exports, size)?;
        }
        let memory = exports.memory.data_mut(&mut self.store);
        // `reserve` checked the buffer against the memory, which never shrinks.
        Ok(&mut memory[self.buffer.pointer..self.buffer.pointer + size])
    }

    fn write(&mut self, exports: &Exports, bytes: &[u8]) -> Result<i32, Stop> {
        self.input(exports, bytes.len())?.copy_from_slice(bytes);
        Ok(bytes.len() as i32)
    }

    #[inline]
    fn write_frame(&mut self, exports: &Exports, frame: &Frame) -> Result<i32, Stop> {
        let (header, payload) = (frame.header.as_bytes(), &frame.payload);
        let size = FRAME_PREFIX_LEN + header.len() + payload.len();
        let input = self.input(exports, size)?;
        let (prefix, rest) = input.split_at_mut(FRAME_PREFIX_LEN);
        prefix.copy_from_slice(&Frame::prefix(frame.kind, header.len(), payload.len()));
        let (for_header, for_payload) = rest.split_at_mut(header.len());
        // Most headers are empty, and to copy nothing costs a call too.
        if !header.is_empty() {
            for_header.copy_from_slice(header);
        }
        for_payload.copy_from_slice(payload);
        Ok(size as i32)
    }

    /// The bytes of an output; a failure record is an error.
    #[inline(always)]
    fn output(&self, exports: &Exports, packed: i64) -> Result<&[u8], Stop> {
        let output = Output::unpack(packed);
        let memory = exports.memory.data(&self.store);
        let start = output.pointer as usize;
        let bytes = memory.get(start..start + output.length as usize).ok_or_else(|| {
            let message = format!(
                "output at {start} with {} bytes lies outside the memory of {} bytes",
                output.length,
                memory.len()
            );
            Stop::from(Failure::invalid(message))
        })?;
        if !output.failed {
            return Ok(bytes);
        }
        let (code, message) = bytes.split_first_chunk().unwrap_or((&[0; 4], bytes));
        Err(failed(u32::from_le_bytes(*code), message_of(message)))
    }

    #[inline]
    fn process(&mut self, exports: &Exports, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        self.arm();
        let length = self.write_frame(exports, frame)?;
        let started = self.store.data().shared.journal.is_heard().then(Instant::now);
        let result = exports.process.call(&mut self.store, length);
        if let Some(started) = started {
            self.store.data_mut().plugin_time = Some(started.elapsed());
        }
        match result {
            Ok(packed) => {
                self.log_printed(LogLevel::Info);
                self.frames(exports, packed, out)
            }
            Err(error) => Err(self.died(&error)),
        }
    }

    /// Copies the frames of an output.
    #[inline(always)]
    fn frames(&self, exports: &Exports, packed: i64, out: &mut Frames) -> Result<(), Stop> {
        let context = self.store.data();
        let hot = &context.rights.hot;
        let exceeded = |limit, asked, allowed| {
            context.shared.counters.hit_limit(limit);
            Stop::Alive(Outcome::LimitExceeded { limit, asked, allowed })
        };
        let mut rest = self.output(exports, packed)?;
        let (asked, allowed) = (rest.len() as u64, hot.output_bytes.load(Ordering::Relaxed));
        if asked > allowed {
            return Err(exceeded(LimitKind::OutputBytes, asked, allowed));
        }
        let allowed = hot.output_frames.load(Ordering::Relaxed);
        while !rest.is_empty() {
            let frame = FrameRef::read(rest).map_err(|error| {
                Stop::from(Failure::invalid(format!("the plugin gave a bad frame: {error}")))
            })?;
            out.push_copy(frame);
            rest = &rest[frame.encoded_len()..];
            let asked = out.len() as u64;
            if asked > allowed {
                return Err(exceeded(LimitKind::OutputFrames, asked, allowed));
            }
        }
        Ok(())
    }
}

impl FrameAbi {
    /// Calls an optional export with `bytes` in the buffer; `None` if the module lacks it.
    fn call_optional(&mut self, name: &str, bytes: Option<&[u8]>) -> Result<Option<Vec<u8>>, Stop> {
        let FrameAbi { exports: Some(exports), pulse, machine } = self else { return Err(ended()) };
        let Some(function) = exports.instance.get_func(&mut machine.store, name) else {
            return Ok(None);
        };
        let _running = pulse.run();
        machine.arm();
        let result = match bytes {
            Some(bytes) => {
                let length = machine.write(exports, bytes)?;
                let typed = function.typed::<i32, i64>(&machine.store);
                typed.and_then(|function| function.call(&mut machine.store, length))
            }
            None => {
                let typed = function.typed::<(), i64>(&machine.store);
                typed.and_then(|function| function.call(&mut machine.store, ()))
            }
        };
        let packed = result.map_err(|error| machine.died(&error))?;
        machine.log_printed(LogLevel::Info);
        machine.output(exports, packed).map(|bytes| Some(bytes.to_vec()))
    }
}

fn ended() -> Stop {
    Stop::Dead(Outcome::Refused { reason: "the instance was cleaned up".to_owned() })
}

impl Backend for FrameAbi {
    fn context(&mut self) -> &mut Context {
        self.machine.store.data_mut()
    }

    fn initialize(&mut self, config: &str) -> Result<(), Stop> {
        self.call_optional(frame_abi::INITIALIZE, Some(config.as_bytes())).map(drop)
    }

    #[inline]
    fn process(&mut self, frame: &Frame, out: &mut Frames) -> Result<(), Stop> {
        let FrameAbi { exports: Some(exports), pulse, machine } = self else { return Err(ended()) };
        let _running = pulse.run();
        machine.process(exports, frame, out)
    }

    fn health(&mut self) -> Result<Health, Stop> {
        match self.call_optional(frame_abi::HEALTH, None) {
            Ok(_) => Ok(Health::good()),
            Err(Stop::Alive(Outcome::Failed { code, message })) => Ok(Health::bad(code, message)),
            Err(stop) => Err(stop),
        }
    }

    fn save_state(&mut self) -> Result<Option<State>, Stop> {
        let Some(saved) = self.call_optional(frame_abi::SAVE_STATE, None)? else {
            return Ok(None);
        };
        match saved.split_first_chunk() {
            Some((version, bytes)) => {
                Ok(Some(State { version: u32::from_le_bytes(*version), bytes: bytes.to_vec() }))
            }
            None if saved.is_empty() => Ok(None),
            None => Err(Failure::invalid("the saved state is shorter than its version").into()),
        }
    }

    fn restore_state(&mut self, state: &State) -> Result<(), Stop> {
        let saved = [&state.version.to_le_bytes()[..], &state.bytes].concat();
        match self.call_optional(frame_abi::RESTORE_STATE, Some(&saved))? {
            Some(_) => Ok(()),
            None => {
                let message = format!("the module has no `{}`", frame_abi::RESTORE_STATE);
                Err(Failure::new(Failure::UNSUPPORTED, message).into())
            }
        }
    }

    fn cleanup(&mut self) {
        let Some(exports) = self.exports.take() else { return };
        let FrameAbi { pulse, machine, .. } = self;
        let function = exports.instance.get_func(&mut machine.store, frame_abi::CLEANUP);
        let typed = function.and_then(|function| function.typed::<(), ()>(&machine.store).ok());
        let Some(function) = typed else { return };
        let _running = pulse.run();
        machine.arm();
        if let Err(error) = function.call(&mut machine.store, ()) {
            let message = format!("cleanup {}", machine.died(&error).into_outcome());
            machine.store.data_mut().log_on_behalf(LogLevel::Warn, &message);
        }
    }

    fn memory(&mut self) -> Option<u64> {
        Some(self.machine.store.data().memory)
    }
}

/// What a host function may do to the module's memory.
struct Guest<'a> {
    memory: &'a mut [u8],
    context: &'a mut Context,
    service: &'static str,
    permission: Permission,
}

impl<'a> Guest<'a> {
    fn of(
        caller: &'a mut Caller<'_, Data>,
        (service, permission): (&'static str, Permission),
    ) -> wasmtime::Result<Guest<'a>> {
        let memory = match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => memory,
            _ => return Err(wasmtime::Error::msg("the module has no export `memory`")),
        };
        let (memory, context) = memory.data_and_store_mut(caller);
        Ok(Guest { memory, context, service, permission })
    }

    /// Ends the call if two arguments together are more than it may carry, before they are copied.
    fn room(&mut self, first: i32, second: i32) -> wasmtime::Result<()> {
        let bytes = (first as u32 as usize).saturating_add(second as u32 as usize);
        if self.context.may_carry(bytes) {
            return Ok(());
        }
        let error = self.context.refuse_carried(self.service, self.permission, bytes);
        Err(wasmtime::Error::new(error))
    }

    /// Bytes of the module's memory, lent, beside the services that get them.
    fn bytes(&mut self, pointer: i32, length: i32) -> wasmtime::Result<(&[u8], &mut Context)> {
        self.room(length, 0)?;
        Ok((slice(self.memory, pointer, length)?, self.context))
    }

    /// The same for a text. What is not UTF-8 is replaced.
    fn text(
        &mut self,
        pointer: i32,
        length: i32,
    ) -> wasmtime::Result<(Cow<'_, str>, &mut Context)> {
        let (bytes, context) = self.bytes(pointer, length)?;
        Ok((String::from_utf8_lossy(bytes), context))
    }

    /// Writes `bytes` if they fit in `length`; the length they need is what the plugin gets.
    fn give(&mut self, bytes: &[u8], pointer: i32, length: i32) -> wasmtime::Result<i64> {
        if bytes.len() <= length as u32 as usize {
            let start = pointer as u32 as usize;
            let target = self.memory.get_mut(start..start + bytes.len()).ok_or_else(outside)?;
            target.copy_from_slice(bytes);
        }
        Ok(bytes.len() as i64)
    }

    /// The number for the plugin, unless a limit was broken: then the call ends here.
    fn answer(&self, result: Result<i64, ServiceError>) -> wasmtime::Result<i64> {
        match &self.context.broken {
            Some(broken) => Err(wasmtime::Error::msg(broken.to_string())),
            None => Ok(result.unwrap_or_else(|error| -i64::from(error.code()))),
        }
    }
}

fn slice(memory: &[u8], pointer: i32, length: i32) -> wasmtime::Result<&[u8]> {
    let start = pointer as u32 as usize;
    memory.get(start..start + length as u32 as usize).ok_or_else(outside)
}

fn outside() -> wasmtime::Error {
    wasmtime::Trap::MemoryOutOfBounds.into()
}

/// The imports of the frame ABI.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    let module = frame_abi::IMPORT_MODULE;
    linker.func_wrap(
        module,
        "log",
        |mut caller: Caller<'_, Data>, level: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("log", Permission::Log))?;
            let (message, context) = guest.text(ptr, len)?;
            let result = context.log(LogLevel::from_u32(level as u32), &message);
            guest.answer(result.map(|()| 0)).map(|code| code as i32)
        },
    )?;
    linker.func_wrap(module, "now", |mut caller: Caller<'_, Data>| {
        let guest = Guest::of(&mut caller, ("now", Permission::Now))?;
        let result = guest.context.now();
        guest.answer(result.map(|now| now as i64))
    })?;
    linker.func_wrap(module, "random", |mut caller: Caller<'_, Data>, ptr: i32, len: i32| {
        let mut guest = Guest::of(&mut caller, ("random", Permission::Random))?;
        let result = guest.context.random_bytes(len as u32 as usize);
        if let Ok(bytes) = &result {
            guest.give(bytes, ptr, len)?;
        }
        guest.answer(result.map(|_| 0)).map(|code| code as i32)
    })?;
    linker.func_wrap(
        module,
        "config",
        |mut caller: Caller<'_, Data>, key: i32, key_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("config", Permission::Config))?;
            let (key, context) = guest.text(key, key_len)?;
            let result = match context.config(&key) {
                Ok(None) => Ok(0),
                Ok(Some(value)) => Ok(guest.give(value.as_bytes(), ptr, len)?),
                Err(error) => Err(error),
            };
            guest.answer(result).map(|length| length as i32)
        },
    )?;
    linker.func_wrap(
        module,
        "kv_get",
        |mut caller: Caller<'_, Data>, key: i32, key_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("kv-get", Permission::Kv))?;
            let (key, context) = guest.text(key, key_len)?;
            let result = match context.kv_get(&key) {
                Ok(None) => Ok(0),
                Ok(Some(value)) => Ok(guest.give(&value, ptr, len)? + 1),
                Err(error) => Err(error),
            };
            guest.answer(result)
        },
    )?;
    linker.func_wrap(
        module,
        "kv_set",
        |mut caller: Caller<'_, Data>, key: i32, key_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("kv-set", Permission::Kv))?;
            guest.room(key_len, len)?;
            let key = String::from_utf8_lossy(slice(guest.memory, key, key_len)?);
            let value = slice(guest.memory, ptr, len)?;
            let result = guest.context.kv_set(&key, value);
            guest.answer(result.map(|()| 0)).map(|code| code as i32)
        },
    )?;
    linker.func_wrap(module, "kv_delete", |mut caller: Caller<'_, Data>, key: i32, len: i32| {
        let mut guest = Guest::of(&mut caller, ("kv-delete", Permission::Kv))?;
        let (key, context) = guest.text(key, len)?;
        let result = context.kv_delete(&key);
        guest.answer(result.map(i64::from)).map(|code| code as i32)
    })?;
    linker.func_wrap(
        module,
        "kv_list",
        |mut caller: Caller<'_, Data>, prefix: i32, prefix_len: i32, ptr: i32, len: i32| {
            let mut guest = Guest::of(&mut caller, ("kv-list", Permission::Kv))?;
            let (prefix, context) = guest.text(prefix, prefix_len)?;
            let result = match context.kv_list(&prefix) {
                Ok(keys) => {
                    let mut list = Vec::new();
                    for key in keys {
                        list.extend((key.len() as u32).to_le_bytes());
                        list.extend(key.as_bytes());
                    }
                    Ok(guest.give(&list, ptr, len)?)
                }
                Err(error) => Err(error),
            };
            guest.answer(result)
        },
    )?;
    linker.func_wrap(module, "emit", |mut caller: Caller<'_, Data>, ptr: i32, len: i32| {
        let mut guest = Guest::of(&mut caller, ("emit", Permission::Emit))?;
        let (bytes, context) = guest.bytes(ptr, len)?;
        let result = match Frame::decode(&Bytes::copy_from_slice(bytes)) {
            Ok(frame) => context.emit(&frame),
            Err(_) => Err(ServiceError::Invalid),
        };
        guest.answer(result.map(|()| 0)).map(|code| code as i32)
    })?;
    linker.func_wrap(
        module,
        "metric",
        |mut caller: Caller<'_, Data>, name: i32, name_len: i32, value: f64| {
            let mut guest = Guest::of(&mut caller, ("metric", Permission::Metric))?;
            let (name, context) = guest.text(name, name_len)?;
            let result = context.metric(&name, value);
            guest.answer(result.map(|()| 0)).map(|code| code as i32)
        },
    )?;
    preview1::add_to_linker(&mut linker)?;
    Ok(linker)
}
