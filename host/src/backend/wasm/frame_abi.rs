//! The frame ABI on the host's side; [`glovebox_abi::frame_abi`] is its specification.

mod check;
mod imports;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use glovebox_abi::frame_abi::{self, Output};
use glovebox_abi::manifest::LimitKind;
use glovebox_abi::{FRAME_PREFIX_LEN, Failure, Frame, FrameRef, Health, LogLevel, State};
use glovebox_events::Outcome;
use wasmtime::{Instance, InstancePre, Memory, Module, TypedFunc};

use super::engine::WasmEngine;
use super::module::{Data, ModuleStore};
use super::ticker::Pulse;
use super::wasi::preview1;
use crate::backend::{Backend, failed, message_of};
use crate::frames::Frames;
use crate::problem::{Incompatible, LoadProblem, shorten};
use crate::services::CopyServices;
use crate::stop::Stop;
pub(super) use imports::linker;

/// A module that keeps to the frame ABI.
pub(crate) struct FrameAbiCode {
    pub(crate) engine: Arc<WasmEngine>,
    linked: InstancePre<Data>,
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

    pub(super) fn instantiate(&self, context: CopyServices) -> Result<FrameAbi, Outcome> {
        let pulse = self.engine.ticker.pulse();
        let running = ModuleStore::new(&self.engine, context, self.uses_wasi, &pulse, ())?;
        let mut machine = Machine { running, buffer: Buffer { pointer: 0, size: 0 } };
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
    running: ModuleStore,
    buffer: Buffer,
}

/// The input buffer that the module handed out last.
struct Buffer {
    pointer: usize,
    size: usize,
}

impl Machine {
    fn start(&mut self, code: &FrameAbiCode, pulse: &Arc<Pulse>) -> Result<Exports, Stop> {
        let _running = pulse.run();
        self.running.arm();
        let started = (|| {
            let instance = code.linked.instantiate(&mut self.running.store)?;
            let memory = instance
                .get_memory(&mut self.running.store, "memory")
                .ok_or_else(|| wasmtime::Error::msg("the export `memory` is not a memory"))?;
            let buffer = instance.get_typed_func(&mut self.running.store, frame_abi::BUFFER)?;
            let process = instance.get_typed_func(&mut self.running.store, frame_abi::PROCESS)?;
            if let Some(initialize) = instance.get_func(&mut self.running.store, "_initialize") {
                initialize
                    .typed::<(), ()>(&self.running.store)?
                    .call(&mut self.running.store, ())?;
            }
            Ok(Exports { instance, memory, buffer, process })
        })();
        started.map_err(|error| self.running.died(&error))
    }

    /// Asks the module for an input buffer of `size` bytes.
    #[cold]
    fn reserve(&mut self, exports: &Exports, size: usize) -> Result<(), Stop> {
        let size = size.next_power_of_two().max(4096);
        let asked = i32::try_from(size).unwrap_or(i32::MAX);
        let pointer = exports
            .buffer
            .call(&mut self.running.store, asked)
            .map_err(|error| self.running.died(&error))?;
        let pointer = pointer as u32 as usize;
        let end = pointer.checked_add(size);
        let fits = end.is_some_and(|end| end <= exports.memory.data_size(&self.running.store));
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
        let memory = exports.memory.data_mut(&mut self.running.store);
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
        let memory = exports.memory.data(&self.running.store);
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
        self.running.arm();
        let length = self.write_frame(exports, frame)?;
        let started = self.running.store.data().shared.journal.is_heard().then(Instant::now);
        let result = exports.process.call(&mut self.running.store, length);
        if let Some(started) = started {
            self.running.store.data_mut().plugin_time = Some(started.elapsed());
        }
        match result {
            Ok(packed) => {
                self.running.log_printed(LogLevel::Info);
                self.frames(exports, packed, out)
            }
            Err(error) => Err(self.running.died(&error)),
        }
    }

    /// Copies the frames of an output.
    #[inline(always)]
    fn frames(&self, exports: &Exports, packed: i64, out: &mut Frames) -> Result<(), Stop> {
        let context = self.running.store.data();
        let hot = &context.rights.hot;
        let exceeded = |limit, asked, allowed| {
            context.shared.counters.hit_limit(limit);
            Stop::Alive(Outcome::LimitExceeded { limit, asked, allowed, made_up: false })
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
        let Some(function) = exports.instance.get_func(&mut machine.running.store, name) else {
            return Ok(None);
        };
        let _running = pulse.run();
        machine.running.arm();
        let result = match bytes {
            Some(bytes) => {
                let length = machine.write(exports, bytes)?;
                let typed = function.typed::<i32, i64>(&machine.running.store);
                typed.and_then(|function| function.call(&mut machine.running.store, length))
            }
            None => {
                let typed = function.typed::<(), i64>(&machine.running.store);
                typed.and_then(|function| function.call(&mut machine.running.store, ()))
            }
        };
        let packed = result.map_err(|error| machine.running.died(&error))?;
        machine.running.log_printed(LogLevel::Info);
        machine.output(exports, packed).map(|bytes| Some(bytes.to_vec()))
    }
}

fn ended() -> Stop {
    Stop::Dead(Outcome::Refused { reason: "the instance was cleaned up".to_owned() })
}

impl Backend for FrameAbi {
    fn context(&mut self) -> &mut CopyServices {
        self.machine.running.store.data_mut()
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
        let function = exports.instance.get_func(&mut machine.running.store, frame_abi::CLEANUP);
        let typed =
            function.and_then(|function| function.typed::<(), ()>(&machine.running.store).ok());
        let Some(function) = typed else { return };
        let _running = pulse.run();
        machine.running.arm();
        if let Err(error) = function.call(&mut machine.running.store, ()) {
            let message = format!("cleanup {}", machine.running.died(&error).into_outcome());
            machine.running.store.data_mut().log_on_behalf(LogLevel::Warn, &message);
        }
    }

    fn memory(&mut self) -> Option<u64> {
        Some(self.machine.running.store.data().memory)
    }
}
