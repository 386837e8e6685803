//! The frame ABI on the host's side; [`glovebox_abi::frame_abi`] is its specification.

mod check;
mod imports;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use glovebox_abi::frame_abi::{self, Output};
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{FRAME_PREFIX_LEN, Failure, Frame, FrameRef, Health, LogLevel, State};
use glovebox_events::Outcome;
use wasmtime::{Instance, Memory, Module, Store, TypedFunc};

use super::died;
use super::engine::WasmEngine;
use super::ticker::Pulse;
use super::wasi::preview1::{self, HasWasi, Wasi};
use crate::backend::{Backend, failed, message_of};
use crate::frames::Frames;
use crate::problem::{Incompatible, LoadProblem, shorten};
use crate::services::CopyServices;
use crate::stop::Stop;
pub(super) use imports::linker;

/// The state for host functions: the services, and WASI if the module imports any of it.
pub(crate) struct Data {
    context: CopyServices,
    wasi: Option<Box<Wasi>>,
}

impl Deref for Data {
    type Target = CopyServices;

    fn deref(&self) -> &CopyServices {
        &self.context
    }
}

impl DerefMut for Data {
    fn deref_mut(&mut self) -> &mut CopyServices {
        &mut self.context
    }
}

impl HasWasi for Data {
    fn wasi(&mut self) -> Option<&mut Wasi> {
        self.wasi.as_deref_mut()
    }

    fn count_call(&mut self) -> Result<(), String> {
        self.context.count_wasi().map_err(ToString::to_string)
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
        check::module(module)?;
        let linked = engine
            .core_linker
            .instantiate_pre(module)
            .map_err(|error| Incompatible::Import { reason: shorten(&format!("{error:#}")) })?;
        let uses_wasi = module.imports().any(|import| import.module() == preview1::MODULE);
        Ok(FrameAbiCode { engine, linked, uses_wasi })
    }

    pub(crate) fn instantiate(
        self: &Arc<Self>,
        context: CopyServices,
    ) -> Result<FrameAbi, Outcome> {
        let pulse = self.engine.ticker.pulse();
        let wasi = self.uses_wasi.then(|| Wasi::new(&context, &pulse).map(Box::new)).transpose();
        let wasi = wasi.map_err(|reason| Outcome::Refused { reason })?;
        let mut store = Store::new(&self.engine.engine, Data { context, wasi });
        store.limiter(|data| &mut data.context);
        let at_epochs = pulse.clone();
        store.epoch_deadline_callback(move |mut store| at_epochs.tick(store.data_mut()));
        let mut machine = Machine {
            store,
            buffer: Buffer { pointer: 0, size: 0 },
            metered: self.engine.setting.metered,
        };
        let exports = machine.start(self, &pulse).map_err(Stop::into_outcome)?;
        Ok(FrameAbi { exports: Some(exports), pulse, machine })
    }
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
    fn start(&mut self, code: &FrameAbiCode, pulse: &Arc<Pulse>) -> Result<Exports, Stop> {
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

    /// Text that the plugin printed during a call becomes log lines.
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
    fn context(&mut self) -> &mut CopyServices {
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
